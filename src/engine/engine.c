#include "sluice/engine.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/thread.h"
#include "engine/scrub_internal.h"

#define MEMORY_BUDGET_DEFAULT (UINT64_C(1) << 30)
#define WAL_BUDGET_DEFAULT (UINT64_C(512) << 20)
#define FREE_BYTES_MIN_DEFAULT (UINT64_C(64) << 20)
#define SCRUB_BYTES_PER_SECOND_DEFAULT (UINT64_C(16) << 20)

enum {
    PRODUCERS_MAX_DEFAULT = 10 * 1000,
    STREAMS_MAX_DEFAULT = 4 * 1000 * 1000,
    SLABS_IN_BUDGET_MIN = 64, /* so that the slabs being filled are a small part of the budget */
    SLAB_SIZE_MIN = 4096,
    HOT_SHARE = 4, /* one part in so many of the budget may be new payload before a flush begins */
    COLD_READERS = 4, /* threads; they mostly wait for the disk */
    COPIES_SHARE = 8, /* one part in so many of the budget, beside it, for what reads copy */
};

SL_STATIC_ASSERT((int)SL_SESSIONS_MAX <= (int)SL_PORT_PRODUCERS_MAX,
                 "every session has a bit at a shard");
SL_STATIC_ASSERT((int)SL_COMMIT_BUCKETS == (int)SL_WAL_LATENCY_BUCKETS, "one histogram, twice");
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

static struct sl_shard_setup shard_setup(struct sl_engine *engine,
                                         const struct sl_engine_options *options)
{
    unsigned shards = engine->route.shards;
    uint64_t producers_max = or_default(options->producers_per_stream_max, PRODUCERS_MAX_DEFAULT);
    return (struct sl_shard_setup){
        .route = &engine->route,
        .peers = engine->shards,
        .account = &engine->account,
        .memory_budget_bytes = engine->memory_budget_bytes,
        .copies = &engine->copies,
        .copies_max_bytes = engine->copies_max_bytes,
        .streams = &engine->streams,
        .streams_max = or_default(options->streams_max, STREAMS_MAX_DEFAULT),
        .producers_max = producers_max < SL_PRODUCERS_PER_STREAM_MAX ? (unsigned)producers_max
                                                                     : SL_PRODUCERS_PER_STREAM_MAX,
        .slab_size = slab_size(engine->memory_budget_bytes, shards),
        .store = engine->store,
        .readers = engine->readers,
        .flusher = engine->flusher,
        .compactor = engine->compactor,
        .wal_budget_bytes = or_default(options->wal_budget_bytes, WAL_BUDGET_DEFAULT) / shards,
        .hot_max_bytes = engine->memory_budget_bytes / HOT_SHARE / shards,
        .free_bytes_min = or_default(options->free_bytes_min, FREE_BYTES_MIN_DEFAULT),
        .on_failed = options->on_storage_failed,
        .context = options->context,
    };
}

static void create_shards(struct sl_engine *engine, const struct sl_engine_options *options)
{
    engine->metrics = options->metrics;
    if (engine->metrics == NULL)
        engine->metrics = engine->own_metrics = sl_metrics_registry_create();
    struct sl_shard_setup setup = shard_setup(engine, options);
    for (unsigned i = 0; i < engine->route.shards; i++) {
        setup.index = i;
        setup.metrics = sl_metrics_registry_join(engine->metrics);
        engine->shards[i] = sl_shard_create(&setup);
    }
}

/* ---- recovery ---- */

struct recovery {
    struct sl_shard *shard;
    struct sl_thread *thread;
    enum sl_err err;
};

static void recover(void *argument)
{
    struct recovery *recovery = argument;
    recovery->err = sl_shard_recover(recovery->shard);
}

static void open_log(void *argument)
{
    struct recovery *recovery = argument;
    recovery->err = sl_shard_open_log(recovery->shard);
}

static void pin_sources(void *argument)
{
    struct recovery *recovery = argument;
    recovery->err = sl_shard_pin_sources(recovery->shard);
}

static void collect(void *argument)
{
    sl_shard_collect(((struct recovery *)argument)->shard);
}

static void run_alone(struct recovery *recovery, void (*run)(void *argument))
{
    recovery->thread = sl_thread_start("recovery", run, recovery);
    sl_thread_join(&recovery->thread);
}

static enum sl_err run_together(struct recovery *recoveries, unsigned count,
                                void (*run)(void *argument))
{
    enum sl_err err = SL_OK;
    for (unsigned i = 0; i < count; i++)
        recoveries[i].thread = sl_thread_start("recovery", run, &recoveries[i]);
    for (unsigned i = 0; i < count; i++) {
        sl_thread_join(&recoveries[i].thread);
        if (err == SL_OK)
            err = recoveries[i].err;
    }
    return err;
}

/*
 * All shards read their data at the same time. What concerns several of them comes afterwards, and
 * nothing is written to a log before all is well: so a start that is refused leaves what it found.
 */
static enum sl_err recover_shards(struct sl_engine *engine)
{
    struct recovery recoveries[SL_SHARDS_MAX];
    unsigned shards = engine->route.shards;
    for (unsigned i = 0; i < shards; i++)
        recoveries[i] = (struct recovery){ .shard = engine->shards[i] };
    enum sl_err err = run_together(recoveries, shards, recover);
    for (unsigned i = 0; i < shards && err == SL_OK; i++) {
        run_alone(&recoveries[i], pin_sources);
        err = recoveries[i].err;
    }
    if (err == SL_OK)
        err = run_together(recoveries, shards, open_log);
    for (unsigned i = 0; i < shards && err == SL_OK; i++)
        run_alone(&recoveries[i], collect);
    return err;
}

/*
 * Without direct writes the log was read from the page cache, which may show what no disk has, if a
 * sync had failed before. So all of it is in new segments before anybody sees any of it.
 */
static enum sl_err settle_cache(struct sl_engine *engine)
{
    struct sl_engine_status status;
    sl_engine_status(engine, &status);
    if (!status.buffered)
        return SL_OK;
    enum sl_err err = sli_engine_ask_all(engine, SL_SHARD_TASK_FLUSH, NULL);
    if (err != SL_OK)
        sl_log(
            SL_LOG_ERROR, "engine", "not_started",
            "code=%s reason=\"the file system refuses direct writes, so what the log says has to "
            "be in segments first, and that failed; see the lines before\"",
            sl_err_code(err));
    return err;
}

/* ---- open and close ---- */

static void start_scrub(struct sl_engine *engine, const struct sl_engine_options *options)
{
    const struct sli_scrub_setup setup = {
        .engine = engine,
        .metrics = sl_metrics_registry_join(engine->metrics),
        .days = options->scrub_days,
        .bytes_per_second =
            or_default(options->scrub_bytes_per_second, SCRUB_BYTES_PER_SECOND_DEFAULT),
    };
    engine->scrub = sli_scrub_start(&setup);
}

static enum sl_err open_store(struct sl_engine *engine, const struct sl_engine_options *options)
{
    struct sl_store_setup setup = {
        .vfs = options->vfs == NULL ? sl_vfs_posix() : options->vfs,
        .path = options->data_directory,
        .shards = options->shards,
        .shards_of_new = engine->route.shards,
        .wal_file_size = options->wal_file_bytes,
        .allow_volatile = options->allow_volatile,
    };
    enum sl_err err = sl_store_open(&setup, &engine->store);
    if (err != SL_OK)
        return err;
    engine->route.key = engine->store->route_key;
    engine->route.shards = engine->store->shards;
    engine->history_id = engine->store->history_id;
    engine->payload_max_bytes = SL_PAYLOAD_BYTES_MAX(engine->store->wal_file_size);
    engine->readers = sl_worker_create("cold-read", COLD_READERS);
    engine->flusher = sl_worker_create("flush", 1);
    engine->compactor = sl_worker_create("compact", 1);
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

/* The workers first: what they still do is for the shards. */
static void destroy_engine(struct sl_engine *engine)
{
    if (engine->readers != NULL) {
        sl_worker_destroy(&engine->readers);
        sl_worker_destroy(&engine->flusher);
        sl_worker_destroy(&engine->compactor);
    }
    for (unsigned i = 0; i < engine->route.shards; i++)
        if (engine->shards[i] != NULL)
            sl_shard_destroy(&engine->shards[i]);
    for (unsigned i = 0; i < SL_SESSIONS_MAX; i++)
        destroy_slot(engine, &engine->slots[i]);
    if (engine->store != NULL)
        sl_store_close(&engine->store);
    if (engine->own_metrics != NULL)
        sl_metrics_registry_destroy(&engine->own_metrics);
    sl_mutex_destroy(&engine->mutex);
    sl_memory_free(engine);
}

enum sl_err sl_engine_open(const struct sl_engine_options *options, struct sl_engine **engine)
{
    enum sl_err err = SL_OK;
    *engine = NULL;
    if (options->shards > SL_SHARDS_MAX || options->shards_of_new > SL_SHARDS_MAX)
        return SL_ERR_INVALID_ARGUMENT;
    struct sl_engine *made = sl_memory_zalloc(sizeof(*made));
    sl_random_bytes(&made->route.key, sizeof(made->route.key));
    made->route.shards =
        (uint32_t)or_default(options->shards, or_default(options->shards_of_new, 1));
    made->history_id = sl_random_u64();
    made->memory_budget_bytes = or_default(options->memory_budget_bytes, MEMORY_BUDGET_DEFAULT);
    made->copies_max_bytes = made->memory_budget_bytes / COPIES_SHARE;
    made->payload_max_bytes = UINT64_MAX;
    made->mutex = sl_mutex_create();
    if (options->data_directory != NULL)
        err = open_store(made, options);
    if (err == SL_OK)
        create_shards(made, options);
    if (err == SL_OK && made->store != NULL)
        err = recover_shards(made);
    if (err != SL_OK) {
        destroy_engine(made);
        return err;
    }
    for (unsigned i = 0; i < made->route.shards; i++)
        sl_shard_start(made->shards[i]);
    err = settle_cache(made);
    if (err != SL_OK)
        sl_engine_close(&made);
    else if (made->store != NULL && options->scrub_days != 0)
        start_scrub(made, options);
    *engine = made;
    return err;
}

void sl_engine_close(struct sl_engine **engine)
{
    struct sl_engine *last = *engine;
    *engine = NULL;
    sli_scrub_stop(&last->scrub);
    for (unsigned i = 0; i < last->route.shards; i++)
        sl_shard_stop(last->shards[i]);
    destroy_engine(last);
}

uint64_t sl_engine_history_id(const struct sl_engine *engine)
{
    return engine->history_id;
}

unsigned sl_engine_shards(const struct sl_engine *engine)
{
    return engine->route.shards;
}

uint64_t sl_engine_payload_max(const struct sl_engine *engine)
{
    return engine->payload_max_bytes;
}

static void add_commits(const struct sl_shard *shard, struct sl_engine_status *status)
{
    uint64_t counts[SL_WAL_LATENCY_BUCKETS], sum_us = 0;
    const struct sl_wal *wal = sl_shard_wal(shard);
    if (wal == NULL)
        return;
    sl_wal_latency(wal, counts, &sum_us);
    status->commit_sum_us += sum_us;
    for (unsigned i = 0; i < SL_WAL_LATENCY_BUCKETS; i++)
        status->commits[i] += counts[i];
}

void sl_engine_status(const struct sl_engine *engine, struct sl_engine_status *status)
{
    *status = (struct sl_engine_status){
        .streams = sl_account_bytes(&engine->streams),
        .memory_used_bytes = sl_account_bytes(&engine->account),
        .read_copies_bytes = sl_account_bytes(&engine->copies),
        .durable = engine->store != NULL,
        .shards = engine->route.shards,
    };
    for (unsigned i = 0; i < engine->route.shards; i++) {
        const struct sl_shard *shard = engine->shards[i];
        struct sl_shard_health health;
        sl_shard_health(shard, &health);
        status->expired_total += sl_metrics_get(sl_shard_metrics(shard), SL_METRIC_STREAMS_EXPIRED);
        status->waiting_reads += sl_shard_waiting_reads(shard);
        status->buffered = status->buffered || health.buffered;
        status->failed = status->failed || health.failed;
        status->shard[i].durable_lsn = sl_shard_durable_lsn(shard);
        status->shard[i].appended_lsn = sl_shard_appended_lsn(shard);
        status->shard[i].failed = health.failed;
        status->shard[i].disk_full = health.disk_full;
        status->shard[i].wal_bytes = health.wal_bytes;
        status->shard[i].segments = health.segments;
        status->shard[i].segment_bytes = health.segment_bytes;
        status->shard[i].torn_bytes = health.torn_bytes;
        status->shard[i].damaged = health.damaged;
        add_commits(shard, status);
    }
}
