/*
 * journal/flush.h - from memory to a new segment, a batch at a time
 *
 * What     The shard adds batches while the worker writes them; at the end the segment is made
 *          durable and named in the manifest, and the shard takes the batches back, with the places
 *          of every chunk.
 * Why      The shard hands over as much as the disk takes, so a flush of gigabytes costs a few
 *          megabytes of memory beside the data.
 * Thread   "Shard:" functions: the shard. The rest: the worker's thread, inside.
 *
 * States   WRITING -> DONE     after end, when the manifest names the segment and `mark`
 *          WRITING -> FAILED   a write or the log failed, or cancel; the segment's file is gone
 *          The state is looked at after wake() was called.
 */
#ifndef SL_JOURNAL_FLUSH_H
#define SL_JOURNAL_FLUSH_H

#include "journal/catalog.h"
#include "journal/worker.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { SL_FLUSH_QUEUED_BYTES_MAX = 8 * 1024 * 1024 };

enum sl_flush_state {
    SL_FLUSH_WRITING,
    SL_FLUSH_DONE,
    SL_FLUSH_FAILED,
};

struct sl_flush_setup {
    struct sl_catalog *catalog; /* borrowed */
    struct sl_worker *worker;   /* borrowed; its one thread writes */
    struct sl_wal *wal; /* borrowed: the manifest waits until it is durable; NULL: there is none */
    /* By the worker: there is room for more batches, or the state has changed. */
    void (*wake)(void *context);
    void *context;
};

struct sl_flush;

/* Shard: begins a segment. Never NULL. */
struct sl_flush *sl_flush_begin(const struct sl_flush_setup *setup);
/* Shard: true: less than SL_FLUSH_QUEUED_BYTES_MAX wait to be written. */
bool sl_flush_wants_more(const struct sl_flush *flush);
/*
 * Shard: an empty batch, the caller's until it is added or destroyed. It has the mapped room for
 * chunks of one that was written, if there is one: pages are filled again without a fault, and all
 * are given back when the flush ends. In the heap, holes of all sizes would be left.
 */
struct sl_segment_batch *sl_flush_new_batch(struct sl_flush *flush);
/* Shard: hands a batch over; takes it and clears the caller's pointer. */
void sl_flush_add(struct sl_flush *flush, struct sl_segment_batch **batch);
/*
 * Shard: that was the last batch. No change up to mark.lsn - 1 is missing in the segments then;
 * `lsn_max` is the highest LSN of any entry or tombstone in it. A poisoned log (sl_wal_failed) ends
 * in FAILED.
 */
void sl_flush_end(struct sl_flush *flush, const struct sl_wal_mark *mark, uint64_t lsn_max,
                  uint64_t last_id);
/* Shard: gives up; ends in FAILED, or in DONE if it was too late. No end after it. */
void sl_flush_cancel(struct sl_flush *flush);
/* Shard: how far it is. */
enum sl_flush_state sl_flush_state(const struct sl_flush *flush);
/* Shard, FAILED: why: STORAGE_FAILED, DISK_FULL or CANCELLED. */
enum sl_err sl_flush_error(const struct sl_flush *flush);
/*
 * Shard, DONE: the new segment (with a reference, the caller's, once); NULL when nothing was added.
 */
struct sl_segment *sl_flush_take_segment(struct sl_flush *flush);
/*
 * Shard, DONE: the next written batch, the caller's to destroy; NULL: no more. Its chunks and
 * states are freed already.
 */
struct sl_segment_batch *sl_flush_take_batch(struct sl_flush *flush);
/* Shard, DONE or FAILED. Frees it with what was not taken. */
void sl_flush_destroy(struct sl_flush **flush);

#ifdef __cplusplus
}
#endif
#endif
