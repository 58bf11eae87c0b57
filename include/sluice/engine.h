/*
 * sluice/engine.h - a set of shard threads that own streams
 *
 * What     Opens and closes an engine. Streams are hashed to shards by a keyed hash of the name.
 * Why      The engine knows nothing of HTTP: embedders and our own server use it alike.
 * Thread   Open and close: any one thread. Everything else goes through sessions (session.h).
 */
#ifndef SLUICE_ENGINE_H
#define SLUICE_ENGINE_H

#include "sluice/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    SL_SHARDS_MAX = 32,
    SL_SESSIONS_MAX = 60, /* open at the same time */
};

struct sl_engine;
struct sl_metrics_registry;

/* 0 in a member means its default. */
struct sl_engine_options {
    unsigned shards;                     /* 1 to SL_SHARDS_MAX; default 1 */
    unsigned producers_per_stream_max;   /* default 10,000 */
    uint64_t streams_max;                /* over all shards; default 4,000,000 */
    uint64_t memory_budget_bytes;        /* stored bytes and stream state; default 1 GiB */
    struct sl_metrics_registry *metrics; /* borrowed for the engine's life; NULL: one of its own */
};

/* What the engine is doing, summed over its shards; every value is of some recent moment. */
struct sl_engine_status {
    uint64_t streams;           /* that exist, soft-deleted ones too */
    uint64_t memory_used_bytes; /* of memory_budget_bytes */
    uint64_t read_copies_bytes; /* copied for readers, beside the budget; at most an eighth of it */
    uint64_t expired_total;
    uint64_t waiting_reads;
    unsigned shards;
    struct {
        uint64_t appended_lsn; /* position of the last accepted change */
        uint64_t durable_lsn;  /* position up to which changes are durable */
    } shard[SL_SHARDS_MAX];
};

/*
 * Starts the shard threads. Sets *engine, NULL on failure; the caller closes it.
 * Errors: INVALID_ARGUMENT.
 */
SL_NODISCARD enum sl_err sl_engine_open(const struct sl_engine_options *options,
                                        struct sl_engine **engine);

/* Stops and joins the shard threads and frees everything. Every session is closed before. */
void sl_engine_close(struct sl_engine **engine);

/* A number that no other engine has had: with a stream id it names one incarnation for ever. */
uint64_t sl_engine_history_id(const struct sl_engine *engine);

/* Any thread. */
void sl_engine_status(const struct sl_engine *engine, struct sl_engine_status *status);

#ifdef __cplusplus
}
#endif
#endif
