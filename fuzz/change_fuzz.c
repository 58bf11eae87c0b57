/*
 * Any bytes as a record or a snapshot: what is accepted is written again byte by byte the same (a
 * snapshot: can be read again), and can be applied. The first byte is the kind, 0 for a snapshot;
 * the next one says how many of the last bytes are the payload.
 */
#include "base/assert.h"
#include "stream/boundary.h"
#include "stream/change.h"
#include "stream/snapshot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct sl_now NOW = { UINT64_C(1000000000000), INT64_C(1700000000000) };

static void create_again(struct sl_change *change, const struct sl_payload *payload,
                         struct sl_buffer *out)
{
    struct sl_media_set media = { .table = { .count = 0 } };
    struct sl_stream_setup setup = {
        .name = change->name,
        .content_type = change->config.content_type,
        .config = &change->config,
        .lifetime_inherited = change->lifetime_inherited,
        .id = 1,
        .base = change->base,
        .origin = change->origin,
    };
    change->origin = NULL;
    struct sl_stream *stream = sl_stream_create(&setup, &media, &NOW);
    stream->closed = change->closed;
    sl_change_encode_create(stream, payload, out);
    sl_stream_destroy(&stream, &media);
    sl_media_set_deinit(&media);
}

static void append_again(const struct sl_change *change, const struct sl_payload *payload,
                         struct sl_buffer *out)
{
    struct sl_append append = {
        .close = change->closed,
        .has_producer = change->has_producer,
        .has_seq = change->has_seq,
        .producer = change->producer,
        .seq = change->seq,
    };
    sl_change_encode_append(&append, payload, out);
}

/* The lengths cut the payload as its boundaries on the disk do. */
static void check_chunk(const struct sl_payload *stored)
{
    struct sl_account account = { .bytes = 0 };
    struct sl_payload payload = *stored;
    struct sl_buffer out = { 0 };
    struct sl_slab slab;
    struct sl_log log;
    bool ends_message, malformed;
    sl_slab_init(&slab, SL_SLAB_SIZE_BYTES, &account);
    sl_log_init(&log, 0);
    sl_log_append(&log, &slab, &payload);
    uint32_t size =
        sl_log_encode_chunk(&log, 0, sl_log_end(&log), UINT32_MAX, true, &out, &ends_message);
    SL_ASSERT(size == stored->bytes.size && ends_message);
    struct sl_bytes boundaries = sl_bytes_from(sl_buffer_bytes(&out), size);
    struct sl_boundary_piece piece;
    uint32_t count = 0;
    while (sl_boundary_take(&boundaries, &piece, &malformed))
        count++;
    SL_ASSERT(!malformed && count == stored->count);
    sl_buffer_deinit(&out);
    sl_log_deinit(&log);
    sl_slab_deinit(&slab);
}

static void check_change(uint8_t kind, struct sl_bytes head, struct sl_bytes stored)
{
    struct sl_change change;
    struct sl_buffer again = { 0 };
    if (!sl_change_decode(kind, head, stored.size, &change)) {
        SL_ASSERT(change.origin == NULL);
        return;
    }
    struct sl_payload payload = sl_change_payload(&change, stored);
    if (sl_change_check_payload(&change, stored) && change.count > 0)
        check_chunk(&payload);
    switch (change.kind) {
    case SL_CHANGE_CREATE:
        create_again(&change, &payload, &again);
        break;
    case SL_CHANGE_APPEND:
        append_again(&change, &payload, &again);
        break;
    case SL_CHANGE_REMOVE:
        sl_change_encode_remove(change.soft, change.why, &again);
        break;
    case SL_CHANGE_TOUCH:
        sl_change_encode_touch(&again);
        break;
    }
    SL_ASSERT(sl_bytes_equal(sl_buffer_bytes(&again), head));
    sl_buffer_deinit(&again);
}

static void check_snapshot(struct sl_bytes bytes)
{
    struct sl_media_set media = { .table = { .count = 0 } };
    struct sl_buffer out = { 0 };
    uint64_t end, end_again;
    struct sl_stream *stream = sl_snapshot_decode(bytes, 1, &media, &NOW, &end);
    if (stream != NULL) {
        /* Its log is empty, so that is where the second one ends. */
        sl_snapshot_encode(stream, &NOW, &out);
        struct sl_stream *again =
            sl_snapshot_decode(sl_buffer_bytes(&out), 1, &media, &NOW, &end_again);
        SL_ASSERT(again != NULL);
        SL_ASSERT(end_again == stream->log.base && end >= end_again);
        SL_ASSERT(sl_stream_memory(again) == sl_stream_memory(stream));
        sl_stream_destroy(&again, &media);
        sl_stream_destroy(&stream, &media);
    }
    sl_buffer_deinit(&out);
    sl_media_set_deinit(&media);
}

/* Boundaries of a chunk, and a walk over them. */
static void check_boundaries(struct sl_bytes bytes)
{
    for (unsigned json = 0; json < 2; json++) {
        struct sl_boundary_walk walk = { .offset = 3, .sub_offset = 2, .bound = 50, .json = json };
        sl_boundary_walk_chunk(&walk, 0, bytes, true);
        if (walk.done && walk.err == SL_OK)
            SL_ASSERT(walk.position > walk.offset && walk.position <= walk.bound);
        if (walk.done && walk.err == SL_OK && json)
            SL_ASSERT(sl_boundary_is_start(bytes, true, (uint32_t)walk.position));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct sl_bytes rest = sl_bytes(data + 2, size - 2);
    size_t payload_size = data[1] < rest.size ? data[1] : rest.size;
    if (data[0] == 0)
        check_snapshot(rest);
    else
        check_change(data[0], sl_bytes(rest.data, rest.size - payload_size),
                     sl_bytes_from(rest, rest.size - payload_size));
    check_boundaries(rest);
    return 0;
}
