/*
 * server/shard_check.h - would this shard start, and with what?
 *
 * What     Does what a start does, without changing anything and without stopping at the first
 *          fault: reads segments, checks every chunk, replays the log, and keeps of every stream
 *          what its bytes must fit to.
 * Why      fsck tells everything that is wrong, and a repair is tried here before it is made.
 * Thread   Main.
 * Owns     Its streams and buffers, until sl_shard_check_deinit().
 */
#ifndef SL_SERVER_SHARD_CHECK_H
#define SL_SERVER_SHARD_CHECK_H

#include "base/table.h"
#include "journal/manifest.h"
#include "journal/segment.h"
#include "journal/store.h"
#include "journal/wal_scan.h"
#include "stream/stream.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What is known of a stream id. */
struct sl_check_stream {
    struct sl_table_node by_id;
    struct sl_table_node by_name;
    uint64_t id;
    uint64_t lsn;           /* of its newest state, then of its last change */
    uint64_t tombstone_lsn; /* 0: there is none */
    uint64_t state_lsn;     /* of its newest state */
    uint64_t state_segment; /* number */
    uint64_t base;          /* of its own bytes; before it lies what it inherits */
    uint64_t end;           /* of its bytes, as the newest state says, then as replayed */
    uint64_t cold_end;      /* up to where segments have its bytes */
    bool exists;            /* it is not removed, and something says what it is */
    bool is_named;          /* in the table of names */
    bool closed;
    bool soft_deleted;          /* kept for its forks */
    bool is_lost;               /* a repair takes it out */
    bool in_lost_segment;       /* a segment that cannot be read has something of it: */
    uint64_t lost_lsn;          /* ... its state of then */
    uint64_t lost_end;          /* ... its bytes up to here */
    const char *bad;            /* why it cannot be served; static text; NULL: nothing is wrong */
    struct sl_lineage *lineage; /* owned, or NULL */
    bool is_fork;
    uint32_t source_shard;
    uint64_t source_id;
    struct sl_buffer name; /* owned; empty: not known */
};

/* A segment that a start would refuse, or that another one replaced. */
struct sl_check_segment {
    uint64_t number;
    bool unreadable; /* footer, directory or an entry block: a start refuses it */
    bool replaced;   /* a segment with a higher number has the same bytes */
};

struct sl_shard_check {
    /* arguments */
    const struct sl_store *store;       /* borrowed */
    unsigned index;                     /* of the shard */
    const struct sl_manifest *manifest; /* borrowed */
    bool quiet;                         /* say nothing, and do not read the chunks */
    /* results */
    unsigned errors; /* for which a start would fail, or reads would */
    enum sl_err err; /* STORAGE_FAILED: the disk does not answer, nothing else counts */
    struct sl_wal_scan scan;
    uint64_t lsn_max; /* of all entries and tombstones */
    uint64_t id_max;  /* that was seen */
    uint64_t segment_bytes;
    uint64_t stream_count;     /* that exist in the end */
    struct sl_buffer segments; /* struct sl_check_segment each: those that are not all right */
    struct sl_table streams;   /* of struct sl_check_stream, by id */
    /* inside */
    struct sl_table names;
    struct sl_buffer extents;
    struct sl_buffer damaged; /* struct damaged_extent each */
    struct sl_buffer chunk;
    struct sl_media_set media;
    struct sl_now now;
    struct sl_segment *segment; /* borrowed: being read */
    char directory[SL_PATH_SIZE_MAX];
};

/* All results start at zero; deinit in any case. */
void sl_shard_check_run(struct sl_shard_check *check);
void sl_shard_check_deinit(struct sl_shard_check *check);

struct sl_check_stream *sl_shard_check_find(const struct sl_shard_check *check, uint64_t id);
/* The same; makes one that does not exist if there is none. */
struct sl_check_stream *sl_shard_check_add(struct sl_shard_check *check, uint64_t id);
/* The stream's name in quotes, or its id if the name is not known, for a line of output. */
void sl_check_stream_print(const struct sl_check_stream *stream, struct sl_buffer *out);
/*
 * What a stream has itself, [*base, *end); false: `stream` is NULL, does not exist or is lost. For
 * sl_lineage_is_whole().
 */
bool sl_check_stream_own(const struct sl_check_stream *stream, uint64_t *base, uint64_t *end);
/* How to go on without what is bad: lines for an operator. The caller deinits `todo`. */
const char *sl_check_quarantine_text(const struct sl_store *store, struct sl_buffer *todo);
/* Calls `each` for every id that was seen. */
void sl_shard_check_walk(const struct sl_shard_check *check,
                         void (*each)(void *context, struct sl_check_stream *stream),
                         void *context);

/*
 * One fault: file and position where it is, what is lost and what can be done about it (NULL:
 * nothing to say).
 */
struct sl_fault {
    const char *file;
    uint64_t position;
    const char *what;
    const char *lost;
    const char *todo;
};
void sl_shard_check_report(const struct sl_shard_check *check, bool is_error,
                           const struct sl_fault *fault);

#ifdef __cplusplus
}
#endif
#endif
