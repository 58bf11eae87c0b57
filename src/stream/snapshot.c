#include "stream/snapshot.h"

#include <limits.h>

#include "base/assert.h"
#include "stream/code_internal.h"

enum {
    SNAPSHOT_FLAGS = SLI_FLAG_TTL | SLI_FLAG_EXPIRES_AT | SLI_FLAG_INHERITED | SLI_FLAG_ORIGIN |
                     SLI_FLAG_CLOSED | SLI_FLAG_SEQ | SLI_FLAG_SOFT_DELETED,
    /* Bytes of a producer: the sizes of id, epoch and sequence, an id of one, the rest is fixed. */
    PRODUCER_SIZE_MIN = 4 + 8 + 1,
};

/* ---- encoding ---- */

/* When an instant of the running clock was, on the wall clock. */
static int64_t wall_of(const struct sl_now *now, uint64_t running_ms)
{
    uint64_t ago_ms = now->running_ms > running_ms ? now->running_ms - running_ms : 0;
    return (int64_t)((uint64_t)now->wall_ms - ago_ms);
}

static void write_producers(const struct sl_writers *writers, const struct sl_now *now,
                            struct sl_buffer *out)
{
    const struct sl_link *head = &writers->producers.by_age;
    sli_write_number(out, writers->producers.table.count);
    for (struct sl_link *link = head->next; link != head; link = link->next) {
        const struct sl_producer_state *state = SL_OBJECT(link, struct sl_producer_state, by_age);
        sli_write_text(out, sl_bytes(state->id, state->id_size));
        sli_write_number(out, state->epoch);
        sli_write_number(out, state->sequence);
        sli_write_instant(out, wall_of(now, state->used_ms));
        sli_write_byte(out, state == writers->closer);
    }
}

void sl_snapshot_encode(const struct sl_stream *stream, const struct sl_now *now,
                        struct sl_buffer *out)
{
    const struct sl_writers *writers = stream->writers;
    bool has_seq = writers != NULL && writers->has_seq;
    sli_write_byte(out, SLI_CODE_FORMAT);
    sli_write_byte(out, (uint8_t)(sli_identity_flags(stream) | (has_seq ? SLI_FLAG_SEQ : 0) |
                                  (stream->soft_deleted ? SLI_FLAG_SOFT_DELETED : 0)));
    sli_write_identity(stream, out);
    sli_write_number(out, sl_log_end(&stream->log));
    sli_write_instant(out, wall_of(now, stream->accessed_ms));
    if (has_seq)
        sli_write_text(out, sl_bytes(writers->seq, writers->seq_size));
    if (writers != NULL)
        write_producers(writers, now, out);
    else
        sli_write_number(out, 0);
}

/* ---- decoding ---- */

static void read_producer(struct sli_reader *reader, const struct sl_now *now,
                          struct sl_stream *stream)
{
    struct sl_writers *writers = stream->writers;
    int64_t bytes = 0; /* nobody counts yet */
    struct sl_producer producer = { .id = sli_read_text(reader, 1, SL_PRODUCER_ID_SIZE_MAX) };
    producer.epoch = sli_read_number(reader, SL_PRODUCER_NUMBER_MAX);
    producer.sequence = sli_read_number(reader, SL_PRODUCER_NUMBER_MAX);
    uint64_t used_ms = sl_now_at(now, sli_read_instant(reader)).running_ms;
    uint8_t is_closer = sli_read_byte(reader);
    sli_read_check(reader, is_closer <= 1);
    sli_read_check(reader, is_closer == 0 || (stream->closed && writers->closer == NULL));
    if (!reader->failed)
        sli_read_check(reader, sl_producer_find(&writers->producers, producer.id) == NULL);
    if (reader->failed)
        return;
    struct sl_producer_state *state =
        sl_producer_accept(&writers->producers, NULL, &producer, UINT_MAX, used_ms, &bytes);
    if (is_closer == 1)
        writers->closer = state;
}

static void read_writers(struct sli_reader *reader, uint8_t flags, const struct sl_now *now,
                         struct sl_stream *stream)
{
    struct sl_bytes seq = sl_bytes(NULL, 0);
    if (flags & SLI_FLAG_SEQ)
        seq = sli_read_text(reader, 0, SL_SEQ_SIZE_MAX);
    uint64_t count = sli_read_number(reader, reader->rest.size / PRODUCER_SIZE_MIN);
    if (reader->failed || (count == 0 && !(flags & SLI_FLAG_SEQ)))
        return;
    struct sl_writers *writers = sl_stream_writers(stream);
    if (flags & SLI_FLAG_SEQ)
        sl_writers_set_seq(writers, seq);
    for (uint64_t i = 0; i < count; i++)
        read_producer(reader, now, stream);
}

/* What comes after the identity. */
static void read_state(struct sli_reader *reader, uint8_t flags, const struct sl_now *now,
                       struct sl_stream *stream, uint64_t *end)
{
    *end = sli_read_number(reader, SL_OFFSET_MAX);
    sli_read_check(reader, *end >= stream->log.base);
    int64_t accessed = sli_read_instant(reader);
    stream->closed = stream->durable_closed = flags & SLI_FLAG_CLOSED;
    stream->soft_deleted = flags & SLI_FLAG_SOFT_DELETED;
    stream->durable_created = true;
    stream->durable_tail = *end;
    sl_stream_set_access_after_restart(stream, accessed, now);
    read_writers(reader, flags, now, stream);
}

struct sl_stream *sl_snapshot_decode(struct sl_bytes bytes, uint64_t id, struct sl_media_set *media,
                                     const struct sl_now *now, uint64_t *end)
{
    struct sli_reader reader = { .rest = bytes };
    struct sl_change change = { .origin = NULL };
    *end = 0;
    sli_read_check(&reader, sli_read_byte(&reader) == SLI_CODE_FORMAT);
    uint8_t flags = sli_read_byte(&reader);
    sli_read_check(&reader, (flags & ~SNAPSHOT_FLAGS) == 0);
    sli_read_identity(&reader, flags, &change);
    if (reader.failed)
        return NULL;
    struct sl_stream_setup setup = {
        .name = change.name,
        .content_type = change.config.content_type,
        .config = &change.config,
        .lifetime_inherited = change.lifetime_inherited,
        .id = id,
        .base = change.base,
        .origin = change.origin,
    };
    struct sl_stream *stream = sl_stream_create(&setup, media, now);
    read_state(&reader, flags, now, stream, end);
    if (!sli_read_end(&reader)) {
        *end = 0;
        sl_stream_destroy(&stream, media);
    }
    return stream;
}
