/*
 * Backup: all shards hold still what concerns other shards, then each of them flushes and names its
 * segments, then they go on. What takes long, to link or copy files, comes after that.
 */
#include "journal/backup.h"
#include "base/thread.h"
#include "engine/engine_internal.h"

/* A fork that is in the backup has its source there, as it was before the first shard chose. */
static enum sl_err choose(struct sl_engine *engine, struct sl_cut *cuts)
{
    enum sl_err err = sli_engine_ask_all(engine, SL_SHARD_TASK_HOLD, NULL);
    if (err == SL_OK)
        err = sli_engine_ask_all(engine, SL_SHARD_TASK_CUT, cuts);
    enum sl_err released = sli_engine_ask_all(engine, SL_SHARD_TASK_RELEASE, NULL);
    return err == SL_OK ? released : err;
}

static enum sl_err write_all(struct sl_engine *engine, struct sl_cut *cuts, const char *destination)
{
    const struct sl_store *store = engine->store;
    enum sl_err err = sl_backup_begin(store, destination);
    if (err != SL_OK)
        return err;
    err = choose(engine, cuts);
    for (unsigned i = 0; i < store->shards && err == SL_OK; i++)
        err = sl_backup_add(store, destination, i, &cuts[i]);
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
    struct sl_cut cuts[SL_SHARDS_MAX] = { 0 };
    enum sl_err err = write_all(engine, cuts, destination);
    for (unsigned i = 0; i < engine->route.shards; i++)
        sl_cut_deinit(&cuts[i]);
    sl_mutex_lock(engine->mutex);
    engine->backing_up = false;
    sl_mutex_unlock(engine->mutex);
    return err;
}
