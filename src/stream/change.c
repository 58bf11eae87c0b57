#include "stream/change.h"

#include "base/assert.h"
#include "stream/code_internal.h"

enum {
    APPEND_CLOSES = 1,
    APPEND_PRODUCER = 2,
    APPEND_SEQ = 4,
    APPEND_PAYLOAD = 8,
    APPEND_FLAGS = 15,

    CREATE_FLAGS = SLI_FLAG_TTL | SLI_FLAG_EXPIRES_AT | SLI_FLAG_INHERITED | SLI_FLAG_ORIGIN |
                   SLI_FLAG_CLOSED | SLI_FLAG_PAYLOAD,

    REMOVE_SOFT = 1,
    REMOVE_WHY_SHIFT = 1,
};

/* Every message of a JSON text may have become longer by a comma. */
#define STORED_SIZE_MAX ((size_t)SL_BODY_SIZE_MAX + SL_MESSAGES_PER_REQUEST_MAX)

static void write_payload(const struct sl_payload *payload, struct sl_buffer *out)
{
    SL_ASSERT(payload->count > 0 && payload->bytes.size > 0);
    sli_write_number(out, payload->count);
    sli_write_number(out, payload->lengths.size);
}

void sl_change_encode_create(const struct sl_stream *stream, const struct sl_payload *payload,
                             struct sl_buffer *out)
{
    bool has_data = payload->bytes.size > 0;
    sli_write_byte(out, SLI_CODE_FORMAT);
    sli_write_byte(out, (uint8_t)(sli_identity_flags(stream) | (has_data ? SLI_FLAG_PAYLOAD : 0)));
    sli_write_identity(stream, out);
    if (has_data)
        write_payload(payload, out);
}

void sl_change_encode_append(const struct sl_append *append, const struct sl_payload *payload,
                             struct sl_buffer *out)
{
    bool has_data = payload->bytes.size > 0, has_seq = append->has_seq && has_data;
    SL_ASSERT(has_data || append->close);
    sli_write_byte(out, SLI_CODE_FORMAT);
    sli_write_byte(out, (uint8_t)((append->close ? APPEND_CLOSES : 0) |
                                  (append->has_producer ? APPEND_PRODUCER : 0) |
                                  (has_seq ? APPEND_SEQ : 0) | (has_data ? APPEND_PAYLOAD : 0)));
    if (append->has_producer) {
        sli_write_text(out, append->producer.id);
        sli_write_number(out, append->producer.epoch);
        sli_write_number(out, append->producer.sequence);
    }
    if (has_seq)
        sli_write_text(out, append->seq);
    if (has_data)
        write_payload(payload, out);
}

void sl_change_encode_remove(bool soft, enum sl_removal why, struct sl_buffer *out)
{
    SL_ASSERT(!soft || why != SL_REMOVAL_UNPIN);
    sli_write_byte(out, SLI_CODE_FORMAT);
    sli_write_byte(out, (uint8_t)((soft ? REMOVE_SOFT : 0) | (unsigned)why << REMOVE_WHY_SHIFT));
}

void sl_change_encode_touch(struct sl_buffer *out)
{
    sli_write_byte(out, SLI_CODE_FORMAT);
}

/* Count and size of lengths, as far as they can be checked without the payload. */
static void read_payload(struct sli_reader *reader, size_t payload_size, struct sl_change *change)
{
    change->count = (uint32_t)sli_read_number(reader, SL_MESSAGES_PER_REQUEST_MAX);
    change->lengths_size = (uint32_t)sli_read_number(reader, UINT32_MAX);
    sli_read_check(reader, change->count > 0 && change->lengths_size < payload_size);
    if (reader->failed)
        return;
    size_t size = payload_size - change->lengths_size;
    sli_read_check(reader, size >= change->count && size <= STORED_SIZE_MAX);
    /* Every length has a byte at least. */
    sli_read_check(reader, change->count == 1 ? change->lengths_size == 0
                                              : change->lengths_size >= change->count);
}

static void read_create(struct sli_reader *reader, size_t payload_size, struct sl_change *change)
{
    uint8_t flags = sli_read_byte(reader);
    sli_read_check(reader, (flags & ~CREATE_FLAGS) == 0);
    sli_read_identity(reader, flags, change);
    if (flags & SLI_FLAG_PAYLOAD)
        read_payload(reader, payload_size, change);
}

static void read_append(struct sli_reader *reader, size_t payload_size, struct sl_change *change)
{
    uint8_t flags = sli_read_byte(reader);
    sli_read_check(reader, (flags & ~APPEND_FLAGS) == 0);
    sli_read_check(reader, flags & (APPEND_CLOSES | APPEND_PAYLOAD));
    sli_read_check(reader, !(flags & APPEND_SEQ) || flags & APPEND_PAYLOAD);
    change->closed = flags & APPEND_CLOSES;
    change->has_producer = flags & APPEND_PRODUCER;
    change->has_seq = flags & APPEND_SEQ;
    if (change->has_producer) {
        change->producer.id = sli_read_text(reader, 1, SL_PRODUCER_ID_SIZE_MAX);
        change->producer.epoch = sli_read_number(reader, SL_PRODUCER_NUMBER_MAX);
        change->producer.sequence = sli_read_number(reader, SL_PRODUCER_NUMBER_MAX);
    }
    if (change->has_seq)
        change->seq = sli_read_text(reader, 0, SL_SEQ_SIZE_MAX);
    if (flags & APPEND_PAYLOAD)
        read_payload(reader, payload_size, change);
}

static void read_remove(struct sli_reader *reader, size_t payload_size, struct sl_change *change)
{
    uint8_t flags = sli_read_byte(reader);
    unsigned why = (unsigned)flags >> REMOVE_WHY_SHIFT;
    change->soft = flags & REMOVE_SOFT;
    sli_read_check(reader, why <= SL_REMOVAL_UNPIN && payload_size == 0);
    sli_read_check(reader, !change->soft || why != SL_REMOVAL_UNPIN);
    change->why = (enum sl_removal)(reader->failed ? 0 : why);
}

static void read_touch(struct sli_reader *reader, size_t payload_size, struct sl_change *change)
{
    (void)change;
    sli_read_check(reader, payload_size == 0);
}

bool sl_change_decode(uint8_t kind, struct sl_bytes head, size_t payload_size,
                      struct sl_change *change)
{
    struct sli_reader reader = { .rest = head };
    struct sl_change read = { .origin = NULL };
    sli_read_check(&reader, sli_read_byte(&reader) == SLI_CODE_FORMAT);
    switch (kind) {
#define X(KIND, number, member)                                                                    \
    case number:                                                                                   \
        read.kind = SL_CHANGE_##KIND;                                                              \
        read_##member(&reader, payload_size, &read);                                               \
        break;
        SL_CHANGE_LIST(X)
#undef X
    default:
        sli_read_check(&reader, false);
        break;
    }
    sli_read_check(&reader, read.count > 0 || payload_size == 0);
    bool ok = sli_read_end(&reader);
    if (!ok) {
        sli_origin_destroy(&read.origin);
        read = (struct sl_change){ .origin = NULL };
    }
    *change = read;
    return ok;
}

struct sl_payload sl_change_payload(const struct sl_change *change, struct sl_bytes payload)
{
    SL_ASSERT(change->lengths_size <= payload.size);
    size_t size = payload.size - change->lengths_size;
    return (struct sl_payload){
        .bytes = sl_bytes(payload.data, size),
        .lengths = sl_bytes_from(payload, size),
        .count = change->count,
    };
}

bool sl_change_check_payload(const struct sl_change *change, struct sl_bytes payload)
{
    struct sl_payload stored = sl_change_payload(change, payload);
    return change->count == 0
               ? payload.size == 0
               : sl_lengths_are_valid(stored.lengths, change->count, stored.bytes.size);
}
