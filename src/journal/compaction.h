/*
 * journal/compaction.h - several segments become one, without what is dead
 *
 * What     Copies the newest states and the chunks of streams that still exist from some segments
 *          into a new one; small chunks of a stream that follow each other become one extent.
 * Why      Space of removed streams comes back, and a stream's data lies in few places.
 * Thread   "Shard:" functions: the shard. The rest: the worker's thread, inside.
 *
 * The worker asks the shard which ids still exist, SL_COMPACTION_IDS_MAX at a time: it calls
 * wake(), the shard takes the question, clears the ids of streams that are no more (sets them to
 * 0), and answers. A removal that is not durable yet does not count: a crash would bring back a
 * stream whose bytes are gone.
 *
 * A tombstone is kept unless every segment of the shard whose first_lsn is below its LSN is among
 * the inputs, and its LSN is below the manifest's mark. A stream's state is the newest of the
 * inputs; where another segment has a newer one, that one counts when they are read.
 */
#ifndef SL_JOURNAL_COMPACTION_H
#define SL_JOURNAL_COMPACTION_H

#include "journal/flush.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    SL_COMPACTION_INPUTS_MAX = 16,
    SL_COMPACTION_TIER_MIN = 8,      /* inputs of about the same size that are worth it */
    SL_COMPACTION_SEGMENTS_MAX = 32, /* of a shard: of more some are compacted whatever they are */
    SL_COMPACTION_IDS_MAX = 256,
    SL_COMPACTION_EXTENT_BYTES_MAX = 64 * 1024, /* of an extent that was joined */
    /* Entries and tombstones of all inputs: they are sorted in memory, 40 bytes each. */
    SL_COMPACTION_ENTRIES_MAX = 4 * 1024 * 1024,
};

/*
 * Shard: picks what is worth compacting: segments that are not damaged and more than half dead,
 * those without anything live first; or else SL_COMPACTION_TIER_MIN and more neighbours whose sizes
 * differ by a factor of 4 at most; or else, of more than SL_COMPACTION_SEGMENTS_MAX, those neighbours
 * that are cheapest. With them the oldest others, up to 4 times the size of the tombstones that
 * were picked. Returns how many; 0: nothing.
 */
unsigned sl_compaction_pick(const struct sl_link *segments,
                            struct sl_segment *inputs[SL_COMPACTION_INPUTS_MAX]);

struct sl_compaction;

/*
 * Shard: starts it. setup->wal is not used. The inputs stay in the shard's list; `others_first_lsn`
 * is the lowest first_lsn of the shard's segments that are not among the inputs (UINT64_MAX: there
 * are none), `mark_lsn` the LSN of the manifest's mark. Never NULL.
 */
struct sl_compaction *sl_compaction_begin(const struct sl_flush_setup *setup,
                                          struct sl_segment *const *inputs, unsigned input_count,
                                          uint64_t others_first_lsn, uint64_t mark_lsn);
/* Shard: ids to be looked at, NULL when none are asked; `count` of them. */
uint64_t *sl_compaction_question(struct sl_compaction *compaction, unsigned *count);
void sl_compaction_answer(struct sl_compaction *compaction);
/* Shard: gives up; ends in FAILED, or in DONE if it was too late. Questions may stay unanswered. */
void sl_compaction_cancel(struct sl_compaction *compaction);
/* Shard: as of a flush. The inputs are in no manifest any more when it is DONE. */
enum sl_flush_state sl_compaction_state(const struct sl_compaction *compaction);
/* Shard, FAILED: why: STORAGE_FAILED, DISK_FULL, DATA_DAMAGED (an input, now marked), CANCELLED. */
enum sl_err sl_compaction_error(const struct sl_compaction *compaction);
/* Shard, DONE: as of a flush; NULL: nothing was left to be written. */
struct sl_segment *sl_compaction_take_segment(struct sl_compaction *compaction);
/*
 * Shard, DONE: as of a flush. Per id all its new extents, by start, of parts and the complete
 * entry: they take the place of those that it had in the inputs.
 */
struct sl_segment_batch *sl_compaction_take_batch(struct sl_compaction *compaction);
/* Shard, DONE or FAILED: gives back the references to the inputs. */
void sl_compaction_destroy(struct sl_compaction **compaction);

#ifdef __cplusplus
}
#endif
#endif
