/*
 * shard/shard.h - a thread that owns its streams
 *
 * What     Takes requests from the rings of all sessions, applies them to its streams, and lets the
 *          answers go when what they reveal is durable.
 * Why      One owner per stream: no locks, one total order, and appends to different streams share
 *          one commit.
 * Thread   create, start, stop, destroy: the engine's opener. Everything else: the shard.
 * Owns     Its streams, its thread, its port.
 *
 * A turn   requests of every session that signalled, in bounded batches -> timer wheel -> commit ->
 *          gate -> waiting reads -> a slice of a flush -> sleep until the next signal or timer
 *
 * Durable  With a store every change is a record of the shard's log, an answer leaves when the log
 *          has it on the disk, and data moves to segments when there is much of it. Without one the
 *          log is missing and a change is durable as soon as it was applied: the rest is the same
 *          code.
 */
#ifndef SL_SHARD_SHARD_H
#define SL_SHARD_SHARD_H

#include "base/block.h"
#include "base/metrics.h"
#include "base/thread.h"
#include "bus/inbox.h"
#include "bus/port.h"
#include "bus/ring.h"
#include "bus/route.h"
#include "journal/backup.h"
#include "journal/store.h"
#include "journal/wal.h"
#include "journal/worker.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sl_shard;

/* What a shard is told when it is made. */
struct sl_shard_setup {
    uint32_t index;
    const struct sl_route *route;  /* borrowed */
    struct sl_shard *const *peers; /* borrowed: all shards by index, complete before start */
    struct sl_account *account;    /* borrowed: of the engine */
    struct sl_account *copies;     /* borrowed: of the engine; what reads had to copy */
    uint64_t copies_max_bytes;     /* of that account; beyond it reads give less at a time */
    struct sl_metrics *metrics;    /* borrowed */
    uint64_t memory_budget_bytes;  /* of the account */
    struct sl_account *streams;    /* borrowed: how many streams the engine has */
    uint64_t streams_max;          /* of the engine */
    unsigned producers_max;        /* per stream */
    size_t slab_size;
    /* a durable shard; in memory `store` is NULL and nothing below counts */
    const struct sl_store *store; /* borrowed */
    struct sl_worker *readers;    /* borrowed: threads for cold reads */
    struct sl_worker *flusher;    /* borrowed: one thread */
    struct sl_worker *compactor;  /* borrowed: one thread */
    uint64_t wal_budget_bytes;    /* of log before a flush begins */
    uint64_t hot_max_bytes;       /* of new payload in memory before a flush begins */
    uint64_t free_bytes_min;      /* of the file system; below it changes with data are refused */
    void (*on_failed)(void *context); /* by the shard, once, when its log has failed; or NULL */
    void *context;
};

/* Never NULL. The caller destroys it. */
struct sl_shard *sl_shard_create(const struct sl_shard_setup *setup);

/*
 * A durable shard's second life: reads segments and log back. In a thread of its own, before start.
 * What is wrong is logged with file and position.
 * Errors: DATA_CORRUPT DATA_VERSION STORAGE_FAILED
 */
SL_NODISCARD enum sl_err sl_shard_recover(struct sl_shard *shard);
/*
 * After all shards recovered; each in a thread of its own, one after the other: every fork takes
 * its reference at its source again.
 * Errors: DATA_CORRUPT, what a fork inherited is not there; it is logged.
 */
SL_NODISCARD enum sl_err sl_shard_pin_sources(struct sl_shard *shard);
/*
 * When all of them are well: the log goes on, behind the end that was found. In a thread of its own.
 * Errors: STORAGE_FAILED DISK_FULL
 */
SL_NODISCARD enum sl_err sl_shard_open_log(struct sl_shard *shard);
/* Then, one after the other: what was kept for forks that are gone will be removed. */
void sl_shard_collect(struct sl_shard *shard);
void sl_shard_start(struct sl_shard *shard);
/* No session is open. Ends the thread and waits for it. */
void sl_shard_stop(struct sl_shard *shard);
/* Seals the log, frees the streams; stopped before, if it was started. */
void sl_shard_destroy(struct sl_shard **shard);

/* Wake-ups of the shard: sessions signal it after a push, with their index. */
struct sl_port *sl_shard_port(struct sl_shard *shard);

/*
 * Connects session `index`: its rings and its port, borrowed until the shard is destroyed or
 * another session is connected there. Before the session's first signal.
 */
void sl_shard_connect(struct sl_shard *shard, uint32_t index, struct sl_ring *requests,
                      struct sl_ring *replies, struct sl_port *port);

/* ---- tasks: any thread that is not a shard; one FLUSH or CUT at a time ---- */

enum sl_shard_task_kind {
    SL_SHARD_TASK_HOLD,         /* no fork begins, and no source is let go of, until RELEASE */
    SL_SHARD_TASK_FLUSH,        /* everything that was durable when it came is in segments */
    SL_SHARD_TASK_CUT,          /* held: the same, and `cut` says where it is then */
    SL_SHARD_TASK_RELEASE,      /* go on */
    SL_SHARD_TASK_NEXT_SEGMENT, /* `segment` is the one behind `number` */
};

struct sl_shard_task {
    struct sl_inbox_item item;
    enum sl_shard_task_kind kind;
    struct sl_cut *cut;           /* borrowed: CUT fills it */
    uint64_t number;              /* NEXT_SEGMENT: of the segment before; 0: the first is wanted */
    struct sl_segment *segment;   /* NEXT_SEGMENT: with a reference; NULL: that was the last one */
    uint64_t last_number;         /* NEXT_SEGMENT: the highest that there is */
    struct sl_mutex *mutex;       /* borrowed: guards the two below */
    struct sl_condition *changed; /* borrowed */
    bool done;
    enum sl_err err; /* FLUSH, CUT: STORAGE_FAILED, DISK_FULL */
};

/* The task is the shard's until await has returned. */
void sl_shard_give(struct sl_shard *shard, struct sl_shard_task *task);
SL_NODISCARD enum sl_err sl_shard_await(struct sl_shard_task *task);

/* ---- any thread ---- */

uint64_t sl_shard_appended_lsn(const struct sl_shard *shard);
uint64_t sl_shard_durable_lsn(const struct sl_shard *shard);
uint64_t sl_shard_waiting_reads(const struct sl_shard *shard);
/* What has happened to the disk, of some recent moment. */
struct sl_shard_health {
    bool failed;    /* the log has failed: no change is taken until the next start */
    bool disk_full; /* changes with data are refused */
    bool buffered;  /* the file system refuses direct writes */
    uint64_t segments;
    uint64_t segment_bytes;
    uint64_t wal_bytes;  /* of log that a start would read */
    uint64_t torn_bytes; /* cut off at the last start */
    uint64_t damaged;    /* checksum errors in segments since the start */
};
void sl_shard_health(const struct sl_shard *shard, struct sl_shard_health *health);
/* NULL in memory. */
const struct sl_wal *sl_shard_wal(const struct sl_shard *shard);
const struct sl_metrics *sl_shard_metrics(const struct sl_shard *shard);

#ifdef __cplusplus
}
#endif
#endif
