#include "journal/flush.h"

#include "base/memory.h"
#include "base/thread.h"
#include "journal/segment_internal.h"

enum {
    LOG_POLL_MS = 1,
    ROOMS_MAX = 16, /* more batches than that are hardly ever under way */
};

struct sl_flush {
    struct sl_job job; /* in the worker's queue, or running, while `scheduled` */
    struct sl_flush_setup setup;
    struct sl_mutex *mutex;         /* guards what follows, up to `room_count` */
    struct sl_condition *condition; /* the worker's short waits */
    struct sl_link queued;          /* struct sl_segment_batch: to be written */
    struct sl_link written;         /* struct sl_segment_batch: written, oldest first */
    size_t queued_bytes;
    bool scheduled; /* the worker has the job, or will come to it */
    bool ended;     /* no batch comes any more */
    bool cancelled;
    enum sl_flush_state state;
    enum sl_err err;                   /* FAILED: why */
    struct sl_wal_mark mark;           /* of end */
    uint64_t lsn_max;                  /* of end */
    uint64_t last_id;                  /* of end */
    struct sl_buffer rooms[ROOMS_MAX]; /* owned: mapped, empty, for the chunks of batches to come */
    unsigned room_count;
    struct sl_segment_writer *writer; /* worker, owned: NULL: nothing to write so far */
    struct sl_segment *segment;       /* worker, then shard; owned */
};

static void run(struct sl_job *job);

struct sl_flush *sl_flush_begin(const struct sl_flush_setup *setup)
{
    struct sl_flush *flush = sl_memory_alloc(sizeof(*flush));
    *flush = (struct sl_flush){ .setup = *setup };
    sl_link_init(&flush->job.link);
    flush->job.run = run;
    sl_link_init(&flush->queued);
    sl_link_init(&flush->written);
    flush->mutex = sl_mutex_create();
    flush->condition = sl_condition_create();
    return flush;
}

static size_t batch_bytes(const struct sl_segment_batch *batch)
{
    return batch->chunks.size + batch->states.size + batch->entries.size + batch->extents.size +
           batch->tombstones.size;
}

/* ---- the worker's thread ---- */

static enum sl_err write_batch(struct sl_flush *flush, struct sl_segment_batch *batch)
{
    struct sl_catalog *catalog = flush->setup.catalog;
    if (batch_bytes(batch) == 0)
        return SL_OK;
    if (flush->writer == NULL) {
        enum sl_err err = sl_segment_writer_open(
            sl_catalog_vfs(catalog), sl_catalog_directory(catalog), sl_catalog_new_number(catalog),
            sl_catalog_log_id(catalog), &flush->writer);
        if (err != SL_OK)
            return err;
    }
    return sl_segment_writer_add(flush->writer, batch);
}

static bool is_cancelled(struct sl_flush *flush)
{
    sl_mutex_lock(flush->mutex);
    bool cancelled = flush->cancelled;
    sl_mutex_unlock(flush->mutex);
    return cancelled;
}

/* A manifest never says more than the log has kept: that would be seen after a crash, then gone. */
static enum sl_err wait_for_log(struct sl_flush *flush, uint64_t *durable_lsn)
{
    uint64_t needed = flush->mark.lsn - 1;
    if (needed < flush->lsn_max)
        needed = flush->lsn_max;
    *durable_lsn = needed;
    struct sl_wal *wal = flush->setup.wal;
    if (wal == NULL)
        return SL_OK;
    for (;;) {
        if (sl_wal_failed(wal))
            return SL_ERR_STORAGE_FAILED;
        *durable_lsn = sl_wal_durable_lsn(wal);
        if (*durable_lsn >= needed)
            return SL_OK;
        if (is_cancelled(flush))
            return SL_ERR_CANCELLED;
        sl_mutex_lock(flush->mutex);
        sl_condition_wait_for(flush->condition, flush->mutex, LOG_POLL_MS);
        sl_mutex_unlock(flush->mutex);
    }
}

static enum sl_err install(struct sl_flush *flush)
{
    struct sl_catalog *catalog = flush->setup.catalog;
    struct sl_catalog_edit edit = {
        .added = flush->segment, .has_mark = true, .mark = flush->mark, .last_id = flush->last_id
    };
    enum sl_err err = wait_for_log(flush, &edit.durable_lsn);
    if (err == SL_OK)
        return sl_catalog_install(catalog, &edit);
    if (flush->segment != NULL)
        sli_segment_remove(sl_catalog_vfs(catalog), sl_catalog_directory(catalog),
                           flush->segment->number);
    return err;
}

static enum sl_err finish(struct sl_flush *flush)
{
    enum sl_err err = SL_OK;
    if (is_cancelled(flush))
        return SL_ERR_CANCELLED;
    if (flush->writer != NULL)
        err = sl_segment_writer_finish(&flush->writer, &flush->segment);
    return err == SL_OK ? install(flush) : err;
}

/* The last thing that the worker does with it: the shard may free it at once. */
static void settle(struct sl_flush *flush, enum sl_err err)
{
    struct sl_flush_setup setup = flush->setup;
    sl_segment_writer_abort(&flush->writer);
    if (err != SL_OK)
        sl_segment_unref(&flush->segment);
    sl_mutex_lock(flush->mutex);
    flush->err = err;
    flush->state = err == SL_OK ? SL_FLUSH_DONE : SL_FLUSH_FAILED;
    flush->scheduled = false;
    unsigned room_count = flush->room_count;
    struct sl_buffer rooms[ROOMS_MAX];
    for (unsigned i = 0; i < room_count; i++)
        rooms[i] = flush->rooms[i];
    flush->room_count = 0;
    sl_mutex_unlock(flush->mutex);
    setup.wake(setup.context);
    while (room_count > 0)
        sl_buffer_deinit(&rooms[--room_count]); /* takes its time: nobody waits for it */
}

/* The next batch; NULL: there is none, and *more says whether there may be one later. */
static struct sl_segment_batch *take_queued(struct sl_flush *flush, bool *more)
{
    struct sl_segment_batch *batch = NULL;
    sl_mutex_lock(flush->mutex);
    struct sl_link *link = flush->cancelled ? NULL : sl_link_first(&flush->queued);
    *more = !flush->ended && !flush->cancelled;
    if (link != NULL) {
        sl_link_remove(link);
        batch = SL_OBJECT(link, struct sl_segment_batch, link);
    } else if (*more) {
        flush->scheduled = false;
    }
    sl_mutex_unlock(flush->mutex);
    return batch;
}

static void put_written(struct sl_flush *flush, struct sl_segment_batch *batch)
{
    size_t bytes = batch_bytes(batch);
    /* They are on the disk, or lost: only the places are of interest any more. */
    struct sl_buffer room = batch->chunks;
    batch->chunks = (struct sl_buffer){ 0 };
    sl_buffer_clear(&room);
    sl_buffer_deinit(&batch->states);
    sl_mutex_lock(flush->mutex);
    if (flush->room_count < ROOMS_MAX) {
        flush->rooms[flush->room_count++] = room;
        room = (struct sl_buffer){ 0 };
    }
    flush->queued_bytes -= bytes;
    sl_link_append(&flush->written, &batch->link);
    sl_mutex_unlock(flush->mutex);
    sl_buffer_deinit(&room);
}

static void run(struct sl_job *job)
{
    struct sl_flush *flush = SL_OBJECT(job, struct sl_flush, job);
    struct sl_segment_batch *batch;
    enum sl_err err = SL_OK;
    bool more;
    while (err == SL_OK && (batch = take_queued(flush, &more)) != NULL) {
        err = write_batch(flush, batch);
        put_written(flush, batch);
        flush->setup.wake(flush->setup.context);
    }
    if (err == SL_OK && more)
        return;
    settle(flush, err == SL_OK ? finish(flush) : err);
}

/* ---- the shard ---- */

/* The worker comes to it; `mutex` is held. */
static void schedule(struct sl_flush *flush)
{
    if (flush->scheduled || flush->state != SL_FLUSH_WRITING)
        return;
    flush->scheduled = true;
    sl_worker_push(flush->setup.worker, &flush->job);
}

bool sl_flush_wants_more(const struct sl_flush *flush)
{
    sl_mutex_lock(flush->mutex);
    bool more = flush->queued_bytes < SL_FLUSH_QUEUED_BYTES_MAX;
    sl_mutex_unlock(flush->mutex);
    return more;
}

struct sl_segment_batch *sl_flush_new_batch(struct sl_flush *flush)
{
    struct sl_segment_batch *batch = sl_segment_batch_create();
    sl_mutex_lock(flush->mutex);
    if (flush->room_count > 0)
        batch->chunks = flush->rooms[--flush->room_count];
    sl_mutex_unlock(flush->mutex);
    sl_buffer_reserve(&batch->chunks, SL_BUFFER_MAPPED_BYTES);
    return batch;
}

void sl_flush_add(struct sl_flush *flush, struct sl_segment_batch **batch)
{
    struct sl_segment_batch *added = *batch;
    *batch = NULL;
    sl_mutex_lock(flush->mutex);
    SL_ASSERT(!flush->ended);
    sl_link_append(&flush->queued, &added->link);
    flush->queued_bytes += batch_bytes(added);
    schedule(flush);
    sl_mutex_unlock(flush->mutex);
}

void sl_flush_end(struct sl_flush *flush, const struct sl_wal_mark *mark, uint64_t lsn_max,
                  uint64_t last_id)
{
    SL_ASSERT(mark->lsn > 0);
    sl_mutex_lock(flush->mutex);
    SL_ASSERT(!flush->ended);
    flush->ended = true;
    flush->mark = *mark;
    flush->lsn_max = lsn_max;
    flush->last_id = last_id;
    schedule(flush);
    sl_mutex_unlock(flush->mutex);
}

void sl_flush_cancel(struct sl_flush *flush)
{
    sl_mutex_lock(flush->mutex);
    flush->cancelled = true;
    sl_condition_signal(flush->condition);
    schedule(flush);
    sl_mutex_unlock(flush->mutex);
}

enum sl_flush_state sl_flush_state(const struct sl_flush *flush)
{
    sl_mutex_lock(flush->mutex);
    enum sl_flush_state state = flush->state;
    sl_mutex_unlock(flush->mutex);
    return state;
}

enum sl_err sl_flush_error(const struct sl_flush *flush)
{
    SL_ASSERT(sl_flush_state(flush) == SL_FLUSH_FAILED);
    return flush->err;
}

struct sl_segment *sl_flush_take_segment(struct sl_flush *flush)
{
    SL_ASSERT(sl_flush_state(flush) == SL_FLUSH_DONE);
    struct sl_segment *segment = flush->segment;
    flush->segment = NULL;
    return segment;
}

struct sl_segment_batch *sl_flush_take_batch(struct sl_flush *flush)
{
    SL_ASSERT(sl_flush_state(flush) == SL_FLUSH_DONE);
    struct sl_link *link = sl_link_first(&flush->written);
    if (link == NULL)
        return NULL;
    sl_link_remove(link);
    return SL_OBJECT(link, struct sl_segment_batch, link);
}

static void free_batches(struct sl_link *head)
{
    struct sl_link *link;
    while ((link = sl_link_first(head)) != NULL) {
        struct sl_segment_batch *batch = SL_OBJECT(link, struct sl_segment_batch, link);
        sl_link_remove(link);
        sl_segment_batch_destroy(&batch);
    }
}

void sl_flush_destroy(struct sl_flush **flush)
{
    struct sl_flush *gone = *flush;
    *flush = NULL;
    if (gone == NULL)
        return;
    SL_ASSERT(sl_flush_state(gone) != SL_FLUSH_WRITING);
    free_batches(&gone->queued);
    free_batches(&gone->written);
    sl_segment_unref(&gone->segment);
    sl_condition_destroy(&gone->condition);
    sl_mutex_destroy(&gone->mutex);
    sl_memory_free(gone);
}
