#include "base/thread.h"
#include "engine/engine_internal.h"

enum sl_err sli_engine_ask(struct sl_engine *engine, unsigned first, struct sl_shard_task *tasks,
                           unsigned count)
{
    struct sl_mutex *mutex = sl_mutex_create();
    struct sl_condition *changed = sl_condition_create();
    enum sl_err err = SL_OK;
    for (unsigned i = 0; i < count; i++) {
        tasks[i].mutex = mutex;
        tasks[i].changed = changed;
        sl_shard_give(engine->shards[first + i], &tasks[i]);
    }
    for (unsigned i = 0; i < count; i++) {
        enum sl_err one = sl_shard_await(&tasks[i]);
        if (err == SL_OK)
            err = one;
    }
    sl_condition_destroy(&changed);
    sl_mutex_destroy(&mutex);
    return err;
}

enum sl_err sli_engine_ask_all(struct sl_engine *engine, enum sl_shard_task_kind kind,
                               struct sl_cut *cuts)
{
    struct sl_shard_task tasks[SL_SHARDS_MAX];
    for (unsigned i = 0; i < engine->route.shards; i++)
        tasks[i] = (struct sl_shard_task){ .kind = kind, .cut = cuts == NULL ? NULL : &cuts[i] };
    return sli_engine_ask(engine, 0, tasks, engine->route.shards);
}
