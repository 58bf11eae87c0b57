/*
 * journal/record.h - one change, as it lies in a frame of the log
 *
 * What     A record says which stream changed and how; `head` and `payload` are bytes that mean
 *          something to the shard and nothing to the journal.
 * Why      One record per request, so that everything that a request changes is durable together.
 * Thread   Any, pure.
 *
 * Format, little-endian, records one behind the other without padding
 *   0  u32 size       of the whole record
 *   4  u32 head_size  bytes of head, which begins at 32
 *   8  u64 stream_id
 *  16  u64 stream_offset   where the payload begins in its stream
 *  24  u8  kind       meaning of head; the shard's
 *  25  u8[7] 0
 *  32  head, then payload
 * The checksum is the frame's.
 */
#ifndef SL_JOURNAL_RECORD_H
#define SL_JOURNAL_RECORD_H

#include "sluice/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { SL_RECORD_HEADER_BYTES = 32 };

struct sl_record {
    uint64_t stream_id;
    uint64_t stream_offset;
    uint8_t kind;
    struct sl_bytes head;       /* borrowed */
    struct sl_bytes payload[2]; /* borrowed; stored one behind the other, read back as the first */
};

/* Bytes that it takes in a frame. */
size_t sl_record_size(const struct sl_record *record);
/* Writes it to `out`, which has room for that; returns the size. */
size_t sl_record_encode(const struct sl_record *record, uint8_t *out);
/*
 * Reads the record that `bytes` begins with; its parts borrow from `bytes`. False: it is malformed.
 */
bool sl_record_decode(struct sl_bytes bytes, struct sl_record *record, size_t *size);

#ifdef __cplusplus
}
#endif
#endif
