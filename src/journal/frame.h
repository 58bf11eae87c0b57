/*
 * journal/frame.h - one commit, as it lies in the log
 *
 * What     A header and records, padded with zeros to whole blocks of SL_DISK_BLOCK_BYTES, written
 *          with one write.
 * Why      A frame says by itself which log, which epoch and which place it belongs to and which
 *          frame comes before it, so that stale, lost, swapped, misdirected and torn frames are all
 *          seen for what they are.
 * Thread   Any, pure.
 *
 * Format, little-endian
 *   0  u32 magic          "SLFR"
 *   4  u32 header_crc     CRC32C of bytes 8 to 95
 *   8  u16 version        1
 *  10  u16 flags          enum sl_frame_flags
 *  12  u32 body_size      bytes of all records
 *  16  u32 record_count
 *  20  u32 body_crc       CRC32C of the records
 *  24  u64 log_id         of the shard's log, never reused: frames of another log do not parse
 *  32  u64 epoch          one more at every start
 *  40  u64 position       of this frame in the endless log, in bytes
 *  48  u64 first_lsn      number of the first record; of the next one when there is none
 *  56  u64 durable_lsn    last record that was durable when this was written
 *  64  i64 wall_ms        when
 *  72  u32 chain          header_crc of the frame before it, 0 for the first of a log
 *  76  u8[20] 0
 *  96  records
 *
 * Invariant  The frame of record n is durable before one with record n + 1 is written: one
 *            write is in flight at a time.
 */
#ifndef SL_JOURNAL_FRAME_H
#define SL_JOURNAL_FRAME_H

#include "sluice/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { SL_FRAME_HEADER_BYTES = 96 };

enum sl_frame_flags {
    SL_FRAME_OPEN = 1,      /* first frame of an epoch: the log goes on here after a start */
    SL_FRAME_SEAL = 2,      /* last frame of a clean shutdown */
    SL_FRAME_WATERMARK = 4, /* nothing came for a while: says that the frame before it is durable */
};

struct sl_frame {
    uint16_t flags;
    uint32_t body_size;
    uint32_t record_count;
    uint32_t body_crc;
    uint64_t log_id;
    uint64_t epoch;
    uint64_t position;
    uint64_t first_lsn;
    uint64_t durable_lsn;
    int64_t wall_ms;
    uint32_t chain;
    uint32_t header_crc; /* set by encode and decode */
};

/* The epoch of the log before this frame: an OPEN frame begins the next one. */
static inline uint64_t sl_frame_epoch_before(const struct sl_frame *frame)
{
    return frame->epoch - ((frame->flags & SL_FRAME_OPEN) != 0 ? 1 : 0);
}

/* Bytes on disk of a frame with so many bytes of records. */
size_t sl_frame_size(size_t body_size);
/* Writes the header to `out` (SL_FRAME_HEADER_BYTES) and sets frame->header_crc. */
void sl_frame_encode(struct sl_frame *frame, uint8_t *out);
/* False: magic, version or checksum is wrong. Says nothing about the body. */
bool sl_frame_decode(struct sl_bytes bytes, struct sl_frame *frame);

#ifdef __cplusplus
}
#endif
#endif
