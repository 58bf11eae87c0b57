/*
 * journal/inspect.h - what is still good in files that are damaged
 *
 * What     Looks into segments and logs of a shard that does not run, further than a start would:
 *          it goes on behind what is damaged.
 * Why      A start stops at the first fault; whoever repairs has to know all of them, and what they
 *          cost.
 * Thread   Any one; nobody has the shard open. Changes nothing.
 */
#ifndef SL_JOURNAL_INSPECT_H
#define SL_JOURNAL_INSPECT_H

#include "journal/manifest.h"
#include "journal/segment.h"

#ifdef __cplusplus
extern "C" {
#endif

/* As sl_segment_open(); *position says where in the file the fault is. */
SL_NODISCARD enum sl_err sl_inspect_segment(const struct sl_vfs *vfs, const char *directory,
                                            uint64_t number, uint64_t log_id,
                                            struct sl_segment **segment, uint64_t *position,
                                            const char **what);

struct sl_inspect_visitor {
    struct sl_segment_visitor entries;
    /* An entry block that cannot be read; its chunks begin at `from`. */
    void (*on_damage)(void *context, uint64_t from, uint64_t position, const char *what);
    /* sl_inspect_salvage() only: a good chunk. */
    void (*on_chunk)(void *context, uint64_t id, uint64_t start, uint32_t size);
};

/* Every entry block of an open segment. Errors: STORAGE_FAILED. */
SL_NODISCARD enum sl_err sl_inspect_entries(struct sl_segment *segment,
                                            const struct sl_inspect_visitor *visitor);

/*
 * Walks through the bytes [from, to) of a segment's file without any directory: chunks and entry
 * blocks say themselves how long they are. *stopped_at: where something begins that is neither.
 * Errors: STORAGE_FAILED.
 */
SL_NODISCARD enum sl_err sl_inspect_salvage(const struct sl_vfs *vfs, const char *path,
                                            uint64_t from, uint64_t to,
                                            const struct sl_inspect_visitor *visitor,
                                            uint64_t *stopped_at);

/* Numbers of the shard's segments and of its log's files, each uint64_t, lowest first. */
SL_NODISCARD enum sl_err sl_inspect_list(const struct sl_vfs *vfs, const char *directory,
                                         struct sl_buffer *segments, struct sl_buffer *log_files);

/* Where a scan of the log may begin: at the first frame of this file. False: there is none. */
bool sl_inspect_log_begin(const struct sl_vfs *vfs, const char *directory, uint64_t log_id,
                          uint64_t file_size, uint64_t number, struct sl_wal_mark *mark);

#ifdef __cplusplus
}
#endif
#endif
