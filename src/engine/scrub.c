#include "engine/scrub_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "journal/scrub.h"

#define MS_PER_DAY (UINT64_C(24) * 3600 * 1000)

enum {
    NS_PER_MS = 1000 * 1000,
    LONGEST_REST_MS = 3600 * 1000, /* fits the wait; then it looks at the clock again */
};

struct sli_scrub {
    struct sli_scrub_setup setup; /* as given */
    struct sl_pace pace;          /* of the thread */
    uint64_t checked;             /* of the thread: segments in this pass */
    struct sl_thread *thread;     /* owned */
    struct sl_mutex *mutex;       /* owned; of `stopping` */
    struct sl_condition *changed; /* owned */
    bool stopping;                /* the engine is closing */
};

/* False: the engine is closing. */
static bool rest(struct sli_scrub *scrub, uint64_t until_ms)
{
    sl_mutex_lock(scrub->mutex);
    for (uint64_t now; !scrub->stopping && (now = sl_clock_running_ms()) < until_ms;) {
        uint64_t left_ms = until_ms - now;
        sl_condition_wait_for(scrub->changed, scrub->mutex,
                              left_ms < LONGEST_REST_MS ? (unsigned)left_ms : LONGEST_REST_MS);
    }
    bool goes_on = !scrub->stopping;
    sl_mutex_unlock(scrub->mutex);
    return goes_on;
}

static bool pace(void *context, size_t bytes)
{
    struct sli_scrub *scrub = context;
    uint64_t now_ns = sl_clock_running_ns();
    uint64_t until_ns = now_ns + sl_pace_take(&scrub->pace, bytes, now_ns);
    if (!rest(scrub, until_ns / NS_PER_MS))
        return false;
    sl_metrics_add(scrub->setup.metrics, SL_METRIC_SCRUBBED_BYTES, bytes);
    return true;
}

/* False: given up. What the shard makes while the pass goes on is new and waits for the next one. */
static bool scrub_shard(struct sli_scrub *scrub, unsigned index)
{
    struct sl_engine *engine = scrub->setup.engine;
    struct sl_metrics *metrics = scrub->setup.metrics;
    struct sl_shard_task task = { .kind = SL_SHARD_TASK_NEXT_SEGMENT };
    char directory[SL_PATH_SIZE_MAX];
    uint64_t last = 0;
    bool goes_on;
    sl_store_shard_path(engine->store, index, directory);
    do {
        struct sl_scrub one = {
            .vfs = engine->store->vfs,
            .directory = directory,
            .log_id = engine->store->log_id + index,
            .pace = pace,
            .context = scrub,
        };
        if (sli_engine_ask(engine, index, &task, 1) != SL_OK || task.segment == NULL)
            return true;
        if (last == 0)
            last = task.last_number;
        task.number = task.segment->number;
        goes_on = sl_scrub_segment(&one, task.segment);
        sl_segment_unref(&task.segment);
        sl_metrics_add(metrics, SL_METRIC_SCRUB_DAMAGED, one.damaged);
        scrub->checked++;
    } while (goes_on && task.number < last);
    return goes_on;
}

static bool run_pass(struct sli_scrub *scrub)
{
    struct sl_metrics *metrics = scrub->setup.metrics;
    scrub->checked = 0;
    for (unsigned i = 0; i < scrub->setup.engine->route.shards; i++)
        if (!scrub_shard(scrub, i))
            return false;
    sl_metrics_add(metrics, SL_METRIC_SCRUB_PASSES, 1);
    sl_metrics_set(metrics, SL_METRIC_SCRUB_LAST_PASS, (uint64_t)(sl_clock_wall_ms() / 1000));
    sl_log(SL_LOG_INFO, "engine", "scrubbed", "segments=%llu damaged_since_start=%llu",
           (unsigned long long)scrub->checked,
           (unsigned long long)sl_metrics_get(metrics, SL_METRIC_SCRUB_DAMAGED));
    return true;
}

static void scrub_main(void *argument)
{
    struct sli_scrub *scrub = argument;
    uint64_t began_ms;
    sl_thread_yield_to_others();
    do
        began_ms = sl_clock_running_ms();
    while (run_pass(scrub) && rest(scrub, began_ms + scrub->setup.days * MS_PER_DAY));
}

struct sli_scrub *sli_scrub_start(const struct sli_scrub_setup *setup)
{
    struct sli_scrub *scrub = sl_memory_alloc(sizeof(*scrub));
    *scrub = (struct sli_scrub){
        .setup = *setup,
        .pace = { .bytes_per_second = setup->bytes_per_second },
        .mutex = sl_mutex_create(),
        .changed = sl_condition_create(),
    };
    scrub->thread = sl_thread_start("scrub", scrub_main, scrub);
    return scrub;
}

void sli_scrub_stop(struct sli_scrub **scrub)
{
    struct sli_scrub *stopped = *scrub;
    *scrub = NULL;
    if (stopped == NULL)
        return;
    sl_mutex_lock(stopped->mutex);
    stopped->stopping = true;
    sl_condition_signal_all(stopped->changed);
    sl_mutex_unlock(stopped->mutex);
    sl_thread_join(&stopped->thread);
    sl_condition_destroy(&stopped->changed);
    sl_mutex_destroy(&stopped->mutex);
    sl_memory_free(stopped);
}
