#include "sluice/engine.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/thread.h"
#include "engine/engine_internal.h"

#define MEMORY_BUDGET_DEFAULT (UINT64_C(1) << 30)

enum {
    PRODUCERS_MAX_DEFAULT = 10 * 1000,
    STREAMS_MAX_DEFAULT = 4 * 1000 * 1000,
    SLABS_IN_BUDGET_MIN = 64, /* so that the slabs being filled are a small part of the budget */
    SLAB_SIZE_MIN = 4096,
    COPIES_SHARE = 8, /* one part in so many of the budget, beside it, for what reads copy */
};

SL_STATIC_ASSERT((int)SL_SESSIONS_MAX <= (int)SL_PORT_PRODUCERS_MAX,
                 "every session has a bit at a shard");
SL_STATIC_ASSERT((int)SL_SHARDS_MAX <= (int)SL_PORT_PRODUCERS_MAX,
                 "every shard has a bit at a session");

static size_t slab_size(uint64_t budget, unsigned shards)
{
    uint64_t size = budget / SLABS_IN_BUDGET_MIN / shards;
    if (size > SL_SLAB_SIZE_BYTES)
        return SL_SLAB_SIZE_BYTES;
    return size < SLAB_SIZE_MIN ? SLAB_SIZE_MIN : (size_t)size;
}

static uint64_t or_default(uint64_t value, uint64_t otherwise)
{
    return value == 0 ? otherwise : value;
}

static void create_shards(struct sl_engine *engine, const struct sl_engine_options *options)
{
    struct sl_metrics_registry *metrics = options->metrics;
    if (metrics == NULL)
        metrics = engine->own_metrics = sl_metrics_registry_create();
    struct sl_shard_setup setup = {
        .route = &engine->route,
        .peers = engine->shards,
        .account = &engine->account,
        .memory_budget_bytes = engine->memory_budget_bytes,
        .copies = &engine->copies,
        .copies_max_bytes = engine->copies_max_bytes,
        .streams = &engine->streams,
        .streams_max = or_default(options->streams_max, STREAMS_MAX_DEFAULT),
        .producers_max =
            (unsigned)or_default(options->producers_per_stream_max, PRODUCERS_MAX_DEFAULT),
        .slab_size = slab_size(engine->memory_budget_bytes, engine->route.shards),
    };
    for (unsigned i = 0; i < engine->route.shards; i++) {
        setup.index = i;
        setup.metrics = sl_metrics_registry_join(metrics);
        engine->shards[i] = sl_shard_create(&setup);
    }
    for (unsigned i = 0; i < engine->route.shards; i++)
        sl_shard_start(engine->shards[i]);
}

enum sl_err sl_engine_open(const struct sl_engine_options *options, struct sl_engine **engine)
{
    *engine = NULL;
    if (options->shards > SL_SHARDS_MAX)
        return SL_ERR_INVALID_ARGUMENT;
    struct sl_engine *made = sl_memory_zalloc(sizeof(*made));
    sl_random_bytes(&made->route.key, sizeof(made->route.key));
    made->route.shards = (uint32_t)or_default(options->shards, 1);
    made->history_id = sl_random_u64();
    made->memory_budget_bytes = or_default(options->memory_budget_bytes, MEMORY_BUDGET_DEFAULT);
    made->copies_max_bytes = made->memory_budget_bytes / COPIES_SHARE;
    made->mutex = sl_mutex_create();
    create_shards(made, options);
    *engine = made;
    return SL_OK;
}

static void destroy_slot(struct sl_engine *engine, struct sli_slot *slot)
{
    SL_ASSERT(!slot->open);
    if (slot->port == NULL)
        return;
    sl_port_destroy(&slot->port);
    for (unsigned i = 0; i < engine->route.shards; i++) {
        sl_ring_destroy(&slot->requests[i]);
        sl_ring_destroy(&slot->replies[i]);
    }
}

void sl_engine_close(struct sl_engine **engine)
{
    struct sl_engine *last = *engine;
    *engine = NULL;
    for (unsigned i = 0; i < last->route.shards; i++)
        sl_shard_stop(last->shards[i]);
    for (unsigned i = 0; i < last->route.shards; i++)
        sl_shard_destroy(&last->shards[i]);
    for (unsigned i = 0; i < SL_SESSIONS_MAX; i++)
        destroy_slot(last, &last->slots[i]);
    if (last->own_metrics != NULL)
        sl_metrics_registry_destroy(&last->own_metrics);
    sl_mutex_destroy(&last->mutex);
    sl_memory_free(last);
}

uint64_t sl_engine_history_id(const struct sl_engine *engine)
{
    return engine->history_id;
}

void sl_engine_status(const struct sl_engine *engine, struct sl_engine_status *status)
{
    *status = (struct sl_engine_status){
        .streams = sl_account_bytes(&engine->streams),
        .memory_used_bytes = sl_account_bytes(&engine->account),
        .read_copies_bytes = sl_account_bytes(&engine->copies),
        .shards = engine->route.shards,
    };
    for (unsigned i = 0; i < engine->route.shards; i++) {
        const struct sl_shard *shard = engine->shards[i];
        status->expired_total += sl_metrics_get(sl_shard_metrics(shard), SL_METRIC_STREAMS_EXPIRED);
        status->waiting_reads += sl_shard_waiting_reads(shard);
        status->shard[i].durable_lsn = sl_shard_durable_lsn(shard);
        status->shard[i].appended_lsn = sl_shard_appended_lsn(shard);
    }
}
