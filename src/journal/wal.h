/*
 * journal/wal.h - the write-ahead log of one shard
 *
 * What     The shard puts records into the frame that is being filled; the log's own commit thread
 *          writes frames one after the other, each with one write that returns when it is durable.
 *          A frame of one block the shard writes itself, if nothing is being written and the last
 *          commits were quick.
 * Why      Natural group commit: whatever gathers while a write is under way is the next frame. No
 *          timer, and one write in flight, which is what makes a torn end and corruption
 *          distinguishable at recovery. For a short write, two changes of thread are half the price.
 * Thread   open, close: the opener. "Shard:" functions: the shard. Commit thread: inside.
 * Owns     Two frame buffers, the log's files, the commit thread.
 *
 * Files    <directory>/wal-<16 hex digits>, numbered: file n holds positions n * file_size up to
 *          (n + 1) * file_size. They are zero-filled or recycled before use, so a commit never
 *          allocates blocks: wal_files.h makes them ahead in a thread of their own. A frame never
 *          crosses a file's end; the next one then begins the next file.
 * Start    A start goes on at the begin of the next file, the first without a good frame. It may
 *          hold stale frames, whose positions are lower than any that comes, or one torn frame at
 *          its begin, which OPEN overwrites. Until OPEN is durable a scan finds the same end as
 *          before, and behind it there is nothing but that one frame: so a start may die anywhere,
 *          and as often as it likes. Before OPEN the end that was read is made durable: it may have
 *          been in a cache only when the last process was killed.
 *
 * Errors   The first failed write ends the log: failed() is true from then on, nothing is written
 *          or retried, durable_lsn stays. Only a restart clears that.
 */
#ifndef SL_JOURNAL_WAL_H
#define SL_JOURNAL_WAL_H

#include "journal/record.h"
#include "journal/vfs.h"
#include "sluice/error.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    /* Records up to this size may use what is kept for when the disk is full. */
    SL_WAL_RESERVED_RECORD_BYTES = 16 * 1024,
};

/* A place in the log between two frames. */
struct sl_wal_mark {
    uint64_t position; /* where the next frame is, or would be */
    uint64_t lsn;      /* of the next record; the first record of a log has 1 */
    uint64_t epoch;    /* of the frame before it; 0 at the very start */
    uint32_t chain;    /* header_crc of the frame before it */
};

struct sl_wal_setup {
    const struct sl_vfs *vfs; /* borrowed */
    const char *directory;    /* borrowed for the call; exists */
    uint64_t log_id;
    uint64_t file_size;      /* bytes, a multiple of SL_DISK_BLOCK_BYTES */
    uint64_t frame_size_max; /* bytes of records that one frame gathers; one record may be larger,
                                but a frame takes half a file at most */
    uint64_t size_max;       /* bytes of files from the last release on, two files at least; beyond
                                it there is no room, and after seconds without a
                                release: DISK_FULL */
    uint64_t free_bytes_min; /* of the file system; below it: DISK_FULL */
    unsigned index;          /* of the shard, for the threads' names */
    /* Called by the log's threads, and inside sl_wal_commit: after every commit, when it has failed,
       when space changes. */
    void (*wake)(void *context);
    void *context;
};

struct sl_wal;

/*
 * Goes on with the log after `end` (all zero but lsn = 1: a new log), in a fresh file with a frame
 * OPEN of the next epoch. Files that lie wholly before `keep_from` may be recycled at once.
 * Errors: STORAGE_FAILED, DISK_FULL; *wal is NULL then.
 */
SL_NODISCARD enum sl_err sl_wal_open(const struct sl_wal_setup *setup,
                                     const struct sl_wal_mark *end, uint64_t keep_from,
                                     struct sl_wal **wal);
/* Commits what was added, writes SEAL (unless failed), ends the threads, frees. */
void sl_wal_close(struct sl_wal **wal);

/* ---- Shard: ---- */

/*
 * May a record of this size be added now? No: both buffers are busy, or the next file is not ready;
 * wake() tells when to ask again.
 */
bool sl_wal_has_room(struct sl_wal *wal, size_t size);
/* Adds a record; returns its LSN. Records without payload may be added without asking for room. */
uint64_t sl_wal_add(struct sl_wal *wal, const struct sl_record *record, int64_t wall_ms);
/*
 * End of a batch: what was added goes to the disk as soon as the write under way is done. It may
 * be durable, or the log have failed, on return.
 */
void sl_wal_commit(struct sl_wal *wal);
/*
 * Is there room on the disk for more data? DISK_FULL: only records without payload may be added;
 * they use a reserve that is kept for them. Ask before has_room.
 */
SL_NODISCARD enum sl_err sl_wal_space(const struct sl_wal *wal);
/* What lies before `position` is not needed any more. */
void sl_wal_release(struct sl_wal *wal, uint64_t position);

/* ---- any thread ---- */

uint64_t sl_wal_durable_lsn(const struct sl_wal *wal);
bool sl_wal_failed(const struct sl_wal *wal);
/* Behind the last durable frame: a scan that begins here finds everything that comes later. */
struct sl_wal_mark sl_wal_durable_mark(const struct sl_wal *wal);
/* True: the file system refused direct writes and the log goes through the page cache. */
bool sl_wal_is_buffered(const struct sl_wal *wal);
/* Commit latency: counts per power of two of microseconds, [n]: below 2^n us; for the metrics. */
enum { SL_WAL_LATENCY_BUCKETS = 24 };
void sl_wal_latency(const struct sl_wal *wal, uint64_t counts[SL_WAL_LATENCY_BUCKETS],
                    uint64_t *sum_us);

#ifdef __cplusplus
}
#endif
#endif
