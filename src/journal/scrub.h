/*
 * journal/scrub.h - reads a segment again before somebody needs it
 *
 * What     Reads all of a segment from the disk, a piece at a time, and checks every checksum.
 * Why      Damage of bytes that nobody reads is found while a backup still has them. It reads past
 *          the page cache where that is allowed: what lies there says nothing about the disk, and
 *          readers keep what they have in it.
 * Thread   Any one. The segment may leave the manifest meanwhile: the caller's reference keeps its
 *          file.
 */
#ifndef SL_JOURNAL_SCRUB_H
#define SL_JOURNAL_SCRUB_H

#include "journal/segment.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { SL_SCRUB_PIECE_BYTES = 256 * 1024 }; /* of one read, at most */

/* A bound for what is read over time. Nothing is saved up while nothing is read. */
struct sl_pace {
    uint64_t bytes_per_second; /* at least 1 */
    uint64_t free_at_ns;       /* nothing may be read before */
};

/*
 * How many nanoseconds to wait, at `now_ns` of a clock that never goes back, before `bytes` are
 * read, which they are then.
 */
uint64_t sl_pace_take(struct sl_pace *pace, size_t bytes, uint64_t now_ns);

struct sl_scrub {
    /* arguments */
    const struct sl_vfs *vfs; /* borrowed */
    const char *directory;    /* borrowed: of the segments */
    uint64_t log_id;          /* of their shard */
    /* Before every read: waits as long as it must; false: give up. */
    bool (*pace)(void *context, size_t bytes);
    void *context; /* of pace */
    /* result, summed up over segments */
    uint64_t damaged; /* chunks, entry blocks and files */
};

/*
 * False: it was given up. The first damage in the segment is logged with file and position, and
 * `segment` is marked as by a reader who meets damage.
 */
bool sl_scrub_segment(struct sl_scrub *scrub, struct sl_segment *segment);

#ifdef __cplusplus
}
#endif
#endif
