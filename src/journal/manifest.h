/*
 * journal/manifest.h - which segments a shard has, and where its log is read from
 *
 * What     One small file, replaced as a whole: temporary file, sync, rename, sync of the
 *          directory.
 * Why      Everything that is not named in it does not count: a crash at any moment leaves the old
 *          or the new state. It holds its content twice, so that rot in one copy does no harm.
 * Thread   Whoever installs it; one at a time.
 *
 * Format   MANIFEST: two copies, the second at the next block of SL_DISK_BLOCK_BYTES after the
 *          first, each little-endian
 *   0  u32 magic          "SLMF"
 *   4  u32 version        1
 *   8  u32 size           of the copy
 *  12  u32 crc            CRC32C of the copy without this field; up to here in every version
 *  16  u64 log_id
 *  24  u64 sequence       one more every time
 *  32  u64 position, u64 lsn, u64 epoch, u32 chain   of the mark
 *  60  u32 flags          1: no_log
 *  64  u64 last_id
 *  72  u64 durable_lsn
 *  80  u64 next_segment
 *  88  u32 segments
 *  92  u32 0
 *  96  per segment, lowest number first: u64 number, u64 size, u32 footer_crc, u32 0
 */
#ifndef SL_JOURNAL_MANIFEST_H
#define SL_JOURNAL_MANIFEST_H

#include "base/buffer.h"
#include "journal/wal.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sl_manifest_segment {
    uint64_t number;
    uint64_t size;
    uint32_t footer_crc;
};

struct sl_manifest {
    uint64_t log_id;
    uint64_t sequence;       /* one more every time */
    struct sl_wal_mark mark; /* the log is read from here on */
    uint64_t last_id;        /* no stream up to the mark has a higher id */
    uint64_t durable_lsn;  /* at least so much was durable: a log that ends before it is corrupt */
    uint64_t next_segment; /* numbers are never used again */
    bool no_log;           /* no start has opened its log yet: new, restored, or given up */
    struct sl_buffer segments; /* owned; struct sl_manifest_segment each */
};

/* Of a shard in which nothing has happened yet. */
void sl_manifest_init(struct sl_manifest *manifest, uint64_t log_id);
void sl_manifest_deinit(struct sl_manifest *manifest);
/* Appends both copies to `out`. */
void sl_manifest_encode(const struct sl_manifest *manifest, struct sl_buffer *out);
/* False: no copy is good. *one_copy: one is not. */
bool sl_manifest_decode(struct sl_bytes bytes, struct sl_manifest *manifest, bool *one_copy);

/*
 * The log of the shard says at least so much: what was durable at a clean end, and everything in its
 * segments, `segments_lsn` being the highest LSN there. 0: there is no log.
 */
uint64_t sl_manifest_durable_lsn(const struct sl_manifest *manifest, uint64_t segments_lsn);

/* Errors: NOT_FOUND, DATA_CORRUPT, DATA_VERSION, STORAGE_FAILED. */
SL_NODISCARD enum sl_err sl_manifest_load(const struct sl_vfs *vfs, const char *directory,
                                          struct sl_manifest *manifest, bool *one_copy);
/*
 * Errors: STORAGE_FAILED, DISK_FULL. The old one stays, for this process; *unknown: after a crash
 * it may be the new one, until the next store succeeds. So nothing that either of them names may
 * go.
 */
SL_NODISCARD enum sl_err sl_manifest_store(const struct sl_vfs *vfs, const char *directory,
                                           const struct sl_manifest *manifest, bool *unknown);

#ifdef __cplusplus
}
#endif
#endif
