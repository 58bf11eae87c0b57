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
 * A turn   requests of every session that signalled, in bounded batches -> commit -> gate ->
 *          waiting reads -> timer wheel -> sleep until the next signal or timer
 */
#ifndef SL_SHARD_SHARD_H
#define SL_SHARD_SHARD_H

#include "base/block.h"
#include "base/metrics.h"
#include "bus/port.h"
#include "bus/ring.h"
#include "bus/route.h"

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
};

/* Never NULL. The caller destroys it. */
struct sl_shard *sl_shard_create(const struct sl_shard_setup *setup);
void sl_shard_start(struct sl_shard *shard);
/* No session is open. Ends the thread and waits for it. */
void sl_shard_stop(struct sl_shard *shard);
/* Frees the streams; stopped before. */
void sl_shard_destroy(struct sl_shard **shard);

/* Wake-ups of the shard: sessions signal it after a push, with their index. */
struct sl_port *sl_shard_port(struct sl_shard *shard);

/*
 * Connects session `index`: its rings and its port, borrowed until the shard is destroyed or
 * another session is connected there. Before the session's first signal.
 */
void sl_shard_connect(struct sl_shard *shard, uint32_t index, struct sl_ring *requests,
                      struct sl_ring *replies, struct sl_port *port);

/* ---- any thread ---- */

uint64_t sl_shard_appended_lsn(const struct sl_shard *shard);
uint64_t sl_shard_durable_lsn(const struct sl_shard *shard);
uint64_t sl_shard_waiting_reads(const struct sl_shard *shard);
const struct sl_metrics *sl_shard_metrics(const struct sl_shard *shard);

#ifdef __cplusplus
}
#endif
#endif
