/*
 * Backup: all shards hold still what concerns other shards, then each of them flushes and names its
 * segments, then they go on. What takes long, to link or copy files, comes after that.
 */
#include "journal/backup.h"
#include "base/memory.h"
#include "base/thread.h"
#include "engine/engine_internal.h"

struct backup {
    struct sl_engine *engine;     /* borrowed */
    struct sl_mutex *mutex;       /* owned; of the tasks */
    struct sl_condition *changed; /* owned */
    struct sl_cut cuts[SL_SHARDS_MAX];
};

/* All shards at the same time; the first error. */
static enum sl_err ask_all(struct backup *backup, enum sl_shard_task_kind kind)
{
    struct sl_shard_task tasks[SL_SHARDS_MAX];
    struct sl_engine *engine = backup->engine;
    enum sl_err err = SL_OK;
    for (unsigned i = 0; i < engine->route.shards; i++) {
        tasks[i] = (struct sl_shard_task){
            .kind = kind,
            .cut = &backup->cuts[i],
            .mutex = backup->mutex,
            .changed = backup->changed,
        };
        sl_shard_give(engine->shards[i], &tasks[i]);
    }
    for (unsigned i = 0; i < engine->route.shards; i++) {
        enum sl_err one = sl_shard_await(&tasks[i]);
        if (err == SL_OK)
            err = one;
    }
    return err;
}

/* A fork that is in the backup has its source there, as it was before the first shard chose. */
static enum sl_err choose(struct backup *backup)
{
    enum sl_err err = ask_all(backup, SL_SHARD_TASK_HOLD);
    if (err == SL_OK)
        err = ask_all(backup, SL_SHARD_TASK_CUT);
    enum sl_err released = ask_all(backup, SL_SHARD_TASK_RELEASE);
    return err == SL_OK ? released : err;
}

static enum sl_err write_all(struct backup *backup, const char *destination)
{
    const struct sl_store *store = backup->engine->store;
    enum sl_err err = sl_backup_begin(store, destination);
    if (err == SL_ERR_DESTINATION_IN_USE)
        return err;
    if (err == SL_OK)
        err = choose(backup);
    for (unsigned i = 0; i < store->shards && err == SL_OK; i++)
        err = sl_backup_add(store, destination, i, &backup->cuts[i]);
    if (err == SL_OK)
        err = sl_backup_finish(store, destination);
    if (err != SL_OK)
        sl_backup_abandon(store, destination, err);
    return err;
}

/* False: it is under way already. */
static bool begin(struct sl_engine *engine)
{
    sl_mutex_lock(engine->mutex);
    bool begins = !engine->backing_up;
    engine->backing_up = true;
    sl_mutex_unlock(engine->mutex);
    return begins;
}

enum sl_err sl_engine_backup(struct sl_engine *engine, const char *destination)
{
    if (engine->store == NULL)
        return SL_ERR_INVALID_ARGUMENT;
    if (!begin(engine))
        return SL_ERR_OVERLOADED;
    struct backup *backup = sl_memory_zalloc(sizeof(*backup));
    backup->engine = engine;
    backup->mutex = sl_mutex_create();
    backup->changed = sl_condition_create();
    enum sl_err err = write_all(backup, destination);
    for (unsigned i = 0; i < engine->route.shards; i++)
        sl_cut_deinit(&backup->cuts[i]);
    sl_condition_destroy(&backup->changed);
    sl_mutex_destroy(&backup->mutex);
    sl_memory_free(backup);
    sl_mutex_lock(engine->mutex);
    engine->backing_up = false;
    sl_mutex_unlock(engine->mutex);
    return err;
}
