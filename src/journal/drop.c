#include "base/memory.h"
#include "base/thread.h"
#include "journal/drop_internal.h"
#include "journal/segment_internal.h"

/*
 * States   (segment is read) -> queued  sli_drop_start()
 *          queued -> queued             one step done; other jobs of the worker get their turn
 *          queued -> freed              the file is gone, or cannot be removed
 */
struct sl_drop {
    struct sl_job job;        /* in the worker's queue */
    const struct sl_vfs *vfs; /* borrowed */
    struct sl_worker *worker; /* borrowed */
    struct sl_file *file;     /* owned: open for writing once the work has begun */
    uint64_t size;            /* bytes that are left of it */
    char *directory;          /* owned */
    uint64_t number;
};

static void run(struct sl_job *job);

struct sl_drop *sli_drop_create(const struct sl_vfs *vfs, const char *directory, uint64_t number,
                                struct sl_worker *worker)
{
    struct sl_drop *drop = sl_memory_alloc(sizeof(*drop));
    *drop = (struct sl_drop){ .vfs = vfs, .worker = worker, .number = number };
    sl_link_init(&drop->job.link);
    drop->job.run = run;
    drop->directory = sl_memory_alloc(strlen(directory) + 1);
    memcpy(drop->directory, directory, strlen(directory) + 1);
    return drop;
}

void sli_drop_start(struct sl_drop **drop)
{
    struct sl_drop *started = *drop;
    *drop = NULL;
    sl_worker_push(started->worker, &started->job);
}

/* Gives the file a name that the next start simply removes, whatever becomes of the rest. */
static bool begin(struct sl_drop *drop, const char *tmp_path)
{
    uint64_t links = 0;
    char name[SL_SEGMENT_NAME_SIZE];
    char path[SL_PATH_SIZE_MAX];
    const struct sl_vfs *vfs = drop->vfs;
    sl_segment_name(drop->number, name);
    return sl_path_join(path, drop->directory, name) && vfs->rename(vfs, path, tmp_path) == 0 &&
           vfs->sync_directory(vfs, drop->directory) == 0 &&
           vfs->open(vfs, tmp_path, SL_VFS_WRITE, &drop->file) == 0 &&
           vfs->size(drop->file, &drop->size) == 0 && vfs->links(drop->file, &links) == 0 &&
           links == 1; /* else the bytes are a backup's, too */
}

/* One step; false: there is nothing left to cut. */
static bool cut(struct sl_drop *drop)
{
    if (drop->size <= SLI_DROP_STEP_BYTES)
        return false;
    drop->size -= SLI_DROP_STEP_BYTES;
    return drop->vfs->truncate(drop->file, drop->size) == 0;
}

static void pause_a_moment(void)
{
    struct sl_mutex *mutex = sl_mutex_create();
    struct sl_condition *condition = sl_condition_create();
    sl_mutex_lock(mutex);
    sl_condition_wait_for(condition, mutex, SLI_DROP_PAUSE_MS);
    sl_mutex_unlock(mutex);
    sl_condition_destroy(&condition);
    sl_mutex_destroy(&mutex);
}

static void run(struct sl_job *job)
{
    struct sl_drop *drop = SL_OBJECT(job, struct sl_drop, job);
    char name[SLI_SEGMENT_TMP_NAME_SIZE];
    char path[SL_PATH_SIZE_MAX];
    sli_segment_tmp_name(drop->number, name);
    bool fits = sl_path_join(path, drop->directory, name);
    bool found = fits && (drop->file != NULL || begin(drop, path));
    if (found && cut(drop)) {
        pause_a_moment();
        sl_worker_push(drop->worker, &drop->job);
        return;
    }
    if (drop->file != NULL)
        drop->vfs->close(drop->file);
    /* What cannot be removed is found at the next start. */
    if (fits)
        (void)drop->vfs->unlink(drop->vfs, path);
    sl_memory_free(drop->directory);
    sl_memory_free(drop);
}
