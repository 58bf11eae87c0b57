#include "journal/record.h"

#include "base/assert.h"
#include "journal/encoding_internal.h"

enum {
    KIND_AT = 24,   /* u8 */
    ZEROS_SIZE = 7, /* bytes behind it */
};

size_t sl_record_size(const struct sl_record *record)
{
    return SL_RECORD_HEADER_BYTES + record->head.size + record->payload[0].size +
           record->payload[1].size;
}

/* Copies to `out`; returns where it ends. */
static uint8_t *put_bytes(uint8_t *out, struct sl_bytes bytes)
{
    if (bytes.size > 0)
        memcpy(out, bytes.data, bytes.size);
    return out + bytes.size;
}

size_t sl_record_encode(const struct sl_record *record, uint8_t *out)
{
    size_t size = sl_record_size(record);
    SL_ASSERT(size <= UINT32_MAX);
    sli_put_u32(out, (uint32_t)size);
    sli_put_u32(out + 4, (uint32_t)record->head.size);
    sli_put_u64(out + 8, record->stream_id);
    sli_put_u64(out + 16, record->stream_offset);
    out[KIND_AT] = record->kind;
    memset(out + KIND_AT + 1, 0, ZEROS_SIZE);
    uint8_t *end = put_bytes(out + SL_RECORD_HEADER_BYTES, record->head);
    end = put_bytes(end, record->payload[0]);
    end = put_bytes(end, record->payload[1]);
    SL_ASSERT(end == out + size);
    return size;
}

bool sl_record_decode(struct sl_bytes bytes, struct sl_record *record, size_t *size)
{
    static const uint8_t zeros[ZEROS_SIZE];
    *record = (struct sl_record){ 0 };
    *size = 0;
    if (bytes.size < SL_RECORD_HEADER_BYTES)
        return false;
    size_t whole = sli_get_u32(bytes.data);
    size_t head_size = sli_get_u32(bytes.data + 4);
    if (whole > bytes.size || whole < SL_RECORD_HEADER_BYTES ||
        head_size > whole - SL_RECORD_HEADER_BYTES)
        return false;
    if (memcmp(bytes.data + KIND_AT + 1, zeros, ZEROS_SIZE) != 0)
        return false;
    const uint8_t *head = bytes.data + SL_RECORD_HEADER_BYTES;
    *record = (struct sl_record){
        .stream_id = sli_get_u64(bytes.data + 8),
        .stream_offset = sli_get_u64(bytes.data + 16),
        .kind = bytes.data[KIND_AT],
        .head = sl_bytes(head, head_size),
        .payload[0] = sl_bytes(head + head_size, whole - SL_RECORD_HEADER_BYTES - head_size),
    };
    *size = whole;
    return true;
}
