/*
 * engine/engine_internal.h - what a session sees of its engine
 *
 * Thread   Read-only while sessions run, except the slots, which the mutex guards.
 */
#ifndef SL_ENGINE_ENGINE_INTERNAL_H
#define SL_ENGINE_ENGINE_INTERNAL_H

#include "base/block.h"
#include "bus/port.h"
#include "bus/ring.h"
#include "bus/route.h"
#include "shard/shard.h"
#include "sluice/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What connects one session to all shards; kept for the next session when it is closed. */
struct sli_slot {
    bool open;
    struct sl_port *port;                    /* owned; NULL until the slot is used */
    struct sl_ring *requests[SL_SHARDS_MAX]; /* owned */
    struct sl_ring *replies[SL_SHARDS_MAX];  /* owned */
};

struct sl_engine {
    struct sl_route route;
    uint64_t history_id;
    uint64_t memory_budget_bytes;
    struct sl_account account; /* bytes of blocks and stream state */
    struct sl_account streams; /* how many there are */
    struct sl_account copies;  /* bytes that reads had to copy */
    uint64_t copies_max_bytes;
    uint64_t payload_max_bytes;              /* of one change: it has to fit into a log file */
    struct sl_store *store;                  /* owned; NULL: in memory, as are the workers */
    struct sl_worker *readers;               /* owned */
    struct sl_worker *flusher;               /* owned */
    struct sl_worker *compactor;             /* owned */
    struct sli_scrub *scrub;                 /* owned; NULL: never */
    struct sl_metrics_registry *metrics;     /* borrowed: the opener's, or: */
    struct sl_metrics_registry *own_metrics; /* owned; NULL: the opener's are used */
    struct sl_shard *shards[SL_SHARDS_MAX];  /* owned */
    struct sl_mutex *mutex;                  /* guards the slots, and: */
    bool backing_up;                         /* a backup is under way */
    struct sli_slot slots[SL_SESSIONS_MAX];
};

/* ---- tasks.c: any thread that is not a shard, while the shards run ---- */

/*
 * Gives tasks[i] to shard `first` + i and waits for all of them; `mutex` and `changed` of a task
 * are set here. Errors: the first one.
 */
SL_NODISCARD enum sl_err sli_engine_ask(struct sl_engine *engine, unsigned first,
                                        struct sl_shard_task *tasks, unsigned count);
/* The same question to every shard; `cuts`, by shard, is for CUT. */
SL_NODISCARD enum sl_err sli_engine_ask_all(struct sl_engine *engine, enum sl_shard_task_kind kind,
                                            struct sl_cut *cuts);

#ifdef __cplusplus
}
#endif
#endif
