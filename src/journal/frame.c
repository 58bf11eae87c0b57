#include "journal/frame.h"

#include "base/assert.h"
#include "base/crc32c.h"
#include "journal/encoding_internal.h"
#include "journal/vfs.h"

#define FRAME_MAGIC UINT32_C(0x52464c53) /* "SLFR" */

enum {
    FRAME_VERSION = 1,
    CHECKED_AT = 8, /* the checksum of the header begins here */
    CHAIN_AT = 72,
    ZEROS_AT = 76,
    ZEROS_SIZE = SL_FRAME_HEADER_BYTES - ZEROS_AT,
};

static uint32_t header_crc(const uint8_t *header)
{
    return sl_crc32c(0, header + CHECKED_AT, SL_FRAME_HEADER_BYTES - CHECKED_AT);
}

size_t sl_frame_size(size_t body_size)
{
    size_t size = SL_FRAME_HEADER_BYTES + body_size;
    return (size + SL_DISK_BLOCK_BYTES - 1) / SL_DISK_BLOCK_BYTES * SL_DISK_BLOCK_BYTES;
}

void sl_frame_encode(struct sl_frame *frame, uint8_t *out)
{
    sli_put_u32(out, FRAME_MAGIC);
    sli_put_u32(out + 8, FRAME_VERSION | (uint32_t)frame->flags << 16);
    sli_put_u32(out + 12, frame->body_size);
    sli_put_u32(out + 16, frame->record_count);
    sli_put_u32(out + 20, frame->body_crc);
    sli_put_u64(out + 24, frame->log_id);
    sli_put_u64(out + 32, frame->epoch);
    sli_put_u64(out + 40, frame->position);
    sli_put_u64(out + 48, frame->first_lsn);
    sli_put_u64(out + 56, frame->durable_lsn);
    sli_put_u64(out + 64, (uint64_t)frame->wall_ms);
    sli_put_u32(out + CHAIN_AT, frame->chain);
    memset(out + ZEROS_AT, 0, ZEROS_SIZE);
    frame->header_crc = header_crc(out);
    sli_put_u32(out + 4, frame->header_crc);
}

bool sl_frame_decode(struct sl_bytes bytes, struct sl_frame *frame)
{
    static const uint8_t zeros[ZEROS_SIZE];
    *frame = (struct sl_frame){ 0 };
    if (bytes.size < SL_FRAME_HEADER_BYTES || sli_get_u32(bytes.data) != FRAME_MAGIC)
        return false;
    const uint8_t *from = bytes.data;
    uint32_t version_and_flags = sli_get_u32(from + 8);
    if ((version_and_flags & UINT16_MAX) != FRAME_VERSION ||
        sli_get_u32(from + 4) != header_crc(from))
        return false;
    if (memcmp(from + ZEROS_AT, zeros, ZEROS_SIZE) != 0)
        return false;
    *frame = (struct sl_frame){
        .flags = (uint16_t)(version_and_flags >> 16),
        .body_size = sli_get_u32(from + 12),
        .record_count = sli_get_u32(from + 16),
        .body_crc = sli_get_u32(from + 20),
        .log_id = sli_get_u64(from + 24),
        .epoch = sli_get_u64(from + 32),
        .position = sli_get_u64(from + 40),
        .first_lsn = sli_get_u64(from + 48),
        .durable_lsn = sli_get_u64(from + 56),
        .wall_ms = (int64_t)sli_get_u64(from + 64),
        .chain = sli_get_u32(from + CHAIN_AT),
        .header_crc = sli_get_u32(from + 4),
    };
    return true;
}
