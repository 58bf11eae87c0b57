#include "journal/compaction.h"

#include <stdlib.h>

#include "base/crc32c.h"
#include "base/memory.h"
#include "base/thread.h"
#include "journal/segment_internal.h"

enum {
    BATCH_BYTES = 4 * 1024 * 1024, /* of chunks; what is written at once */
    BATCH_STATE_BYTES = 1024 * 1024,
    PAUSE_MS = 1, /* after every batch: the log's commits come first */
};

/* One entry or tombstone of an input. */
struct item {
    uint64_t id;
    uint64_t lsn;
    uint64_t position; /* of the entry in its input */
    uint32_t size;     /* of the entry; 0: a tombstone */
    uint32_t crc;      /* of the entry: it is read a second time */
    uint32_t input;    /* index */
};

/* An extent of the stream in hand, and where it comes from. */
struct source {
    struct sl_extent_on_disk extent;
    uint32_t input; /* index */
};

struct sl_compaction {
    struct sl_job job;
    struct sl_flush_setup setup;
    struct sl_segment *inputs[SL_COMPACTION_INPUTS_MAX]; /* owned references */
    unsigned input_count;
    uint64_t others_first_lsn; /* of begin */
    uint64_t mark_lsn;         /* of begin */

    struct sl_mutex *mutex;              /* guards the next five */
    struct sl_condition *condition;      /* an answer, the end, and short pauses */
    uint64_t ids[SL_COMPACTION_IDS_MAX]; /* the shard's while it is asked */
    unsigned id_count;                   /* > 0: it is asked */
    bool cancelled;
    enum sl_flush_state state;
    enum sl_err err; /* FAILED: why */

    struct sl_link written;     /* worker, then shard: struct sl_segment_batch, oldest first */
    struct sl_segment *segment; /* worker, then shard; owned */
    struct sl_segment_writer *writer; /* worker, owned; NULL: nothing is written so far */
    struct sl_segment_batch *batch;   /* worker, owned: being filled */
    struct sl_buffer items;           /* worker: struct item each */
    struct sl_buffer sources;         /* worker: struct source each, of the stream in hand */
    struct sl_buffer state_bytes;     /* worker: the newest state of the stream in hand */
    struct sl_buffer raw;             /* worker: an entry or an extent as it was read */
    struct sl_buffer scratch;         /* worker: extents of an entry */
};

/* What a visit of an input fills. */
struct loading {
    struct sl_compaction *compaction;
    uint32_t input; /* index */
};

/* ---- loading ---- */

static void on_entry(void *context, struct sl_segment *segment, const struct sl_entry *entry)
{
    struct loading *loading = context;
    (void)segment;
    SL_ASSERT(entry->raw.size <= UINT32_MAX);
    struct item item = {
        .id = entry->id,
        .lsn = entry->lsn,
        .position = entry->position,
        .size = (uint32_t)entry->raw.size,
        .crc = sl_crc32c(0, entry->raw.data, entry->raw.size),
        .input = loading->input,
    };
    sl_buffer_append(&loading->compaction->items, &item, sizeof(item));
}

static void on_tombstone(void *context, struct sl_segment *segment,
                         const struct sl_tombstone *tombstone)
{
    struct loading *loading = context;
    (void)segment;
    struct item item = { .id = tombstone->id, .lsn = tombstone->lsn, .input = loading->input };
    sl_buffer_append(&loading->compaction->items, &item, sizeof(item));
}

/* By id, and then the oldest first. */
static int compare_items(const void *left, const void *right)
{
    const struct item *a = left, *b = right;
    if (a->id != b->id)
        return a->id < b->id ? -1 : 1;
    return a->lsn < b->lsn ? -1 : a->lsn > b->lsn;
}

static enum sl_err load(struct sl_compaction *compaction)
{
    for (unsigned i = 0; i < compaction->input_count; i++) {
        struct loading loading = { .compaction = compaction, .input = i };
        struct sl_segment_visitor visitor = { .on_entry = on_entry,
                                              .on_tombstone = on_tombstone,
                                              .context = &loading };
        uint64_t position;
        const char *what;
        enum sl_err err = sl_segment_visit(compaction->inputs[i], &visitor, &position, &what);
        if (err == SL_ERR_DATA_CORRUPT)
            return sli_segment_damage(compaction->inputs[i], position, what);
        if (err != SL_OK)
            return err;
    }
    if (compaction->items.size > 0)
        qsort(compaction->items.data, compaction->items.size / sizeof(struct item),
              sizeof(struct item), compare_items);
    return SL_OK;
}

/* ---- writing ---- */

/* Writes the batch that was filled, and lets others have the disk for a moment. */
static enum sl_err write_batch(struct sl_compaction *compaction)
{
    struct sl_catalog *catalog = compaction->setup.catalog;
    struct sl_segment_batch *batch = compaction->batch;
    enum sl_err err = SL_OK;
    if (batch->entries.size == 0 && batch->tombstones.size == 0)
        return SL_OK;
    if (compaction->writer == NULL) {
        err = sl_segment_writer_open(sl_catalog_vfs(catalog), sl_catalog_directory(catalog),
                                     sl_catalog_new_number(catalog), sl_catalog_log_id(catalog),
                                     &compaction->writer);
        if (err != SL_OK)
            return err;
        sli_segment_writer_set_compacted(compaction->writer);
    }
    err = sl_segment_writer_add(compaction->writer, batch);
    compaction->batch = sl_segment_batch_create();
    compaction->batch->chunks = batch->chunks;
    batch->chunks = (struct sl_buffer){ 0 };
    sl_buffer_clear(&compaction->batch->chunks);
    sl_buffer_deinit(&batch->states);
    sl_link_append(&compaction->written, &batch->link);
    sl_mutex_lock(compaction->mutex);
    if (!compaction->cancelled)
        sl_condition_wait_for(compaction->condition, compaction->mutex, PAUSE_MS);
    if (compaction->cancelled && err == SL_OK)
        err = SL_ERR_CANCELLED;
    sl_mutex_unlock(compaction->mutex);
    return err;
}

static uint32_t extent_count(const struct sl_segment_batch *batch)
{
    return (uint32_t)(batch->extents.size / sizeof(struct sl_extent_on_disk));
}

/* Adds the extents from `extent_at` on as an entry, or as a part of one. */
static void add_entry(struct sl_compaction *compaction, const struct item *newest,
                      uint32_t extent_at, bool complete)
{
    struct sl_segment_batch *batch = compaction->batch;
    struct sl_batch_entry entry = {
        .id = newest->id,
        .lsn = newest->lsn,
        .state_at = (uint32_t)batch->states.size,
        .extent_at = extent_at,
        .extent_count = extent_count(batch) - extent_at,
        .complete = complete,
    };
    if (complete) {
        entry.state_size = (uint32_t)compaction->state_bytes.size;
        sl_buffer_append_bytes(&batch->states, sl_buffer_bytes(&compaction->state_bytes));
    }
    sl_buffer_append(&batch->entries, &entry, sizeof(entry));
}

/* ---- one stream ---- */

/* The entry of an item, read again: the newest one's state stays, and the extents of all. */
static enum sl_err gather_entry(struct sl_compaction *compaction, const struct item *item)
{
    struct sl_segment *input = compaction->inputs[item->input];
    struct sl_entry entry;
    const char *what;
    enum sl_err err =
        sli_segment_read_raw(input, item->position, item->size, &compaction->raw, &what);
    if (err == SL_ERR_STORAGE_FAILED)
        return err;
    if (err != SL_OK)
        return sli_segment_damage(input, item->position, what);
    struct sl_bytes raw = sl_buffer_bytes(&compaction->raw);
    if (sl_crc32c(0, raw.data, raw.size) != item->crc)
        what = "an entry is not what it was a moment ago";
    else
        what = sli_entry_decode(raw, input->data_size, &entry, &compaction->scratch);
    if (what != NULL)
        return sli_segment_damage(input, item->position, what);
    sl_buffer_clear(&compaction->state_bytes);
    sl_buffer_append_bytes(&compaction->state_bytes, entry.state);
    for (uint32_t i = 0; i < entry.extent_count; i++) {
        struct source source = { .extent = entry.extents[i], .input = item->input };
        sl_buffer_append(&compaction->sources, &source, sizeof(source));
    }
    return SL_OK;
}

static int compare_sources(const void *left, const void *right)
{
    const struct source *a = left, *b = right;
    return a->extent.start < b->extent.start ? -1 : a->extent.start > b->extent.start;
}

static void ignore_chunk(void *context, const struct sl_chunk *chunk)
{
    (void)context;
    (void)chunk;
}

static struct sl_extent_on_disk *last_extent(struct sl_segment_batch *batch)
{
    struct sl_extent_on_disk *extents = (struct sl_extent_on_disk *)(void *)batch->extents.data;
    return extents + extent_count(batch) - 1;
}

/* False: the two are not one run, or would be too large. */
static bool join(struct sl_extent_on_disk *last, const struct sl_extent_on_disk *next)
{
    if (last->start + last->size != next->start ||
        last->position + last->disk_size != next->position ||
        (uint64_t)last->disk_size + next->disk_size > SL_COMPACTION_EXTENT_BYTES_MAX)
        return false;
    last->size += next->size;
    last->disk_size += next->disk_size;
    last->ends_message = next->ends_message;
    return true;
}

/* Copies an extent to the end of the batch; it grows the last one since `extent_at` if it can. */
static enum sl_err copy_extent(struct sl_compaction *compaction, uint64_t id,
                               const struct source *source, uint32_t extent_at)
{
    struct sl_segment_batch *batch = compaction->batch;
    struct sl_extent_on_disk extent = source->extent;
    /* Every checksum is looked at; then the bytes in `raw` are copied as they are. */
    enum sl_err err = sl_segment_read(compaction->inputs[source->input], id, &extent,
                                      &compaction->raw, ignore_chunk, NULL);
    if (err != SL_OK)
        return err;
    extent.position = batch->chunks.size;
    sl_buffer_append_bytes(&batch->chunks, sl_buffer_bytes(&compaction->raw));
    if (extent_count(batch) == extent_at || !join(last_extent(batch), &extent))
        sl_buffer_append(&batch->extents, &extent, sizeof(extent));
    return SL_OK;
}

/* The union of the extents with the newest state. */
static enum sl_err copy_stream(struct sl_compaction *compaction, const struct item *items,
                               size_t count)
{
    const struct item *newest = NULL;
    sl_buffer_clear(&compaction->sources);
    for (size_t i = 0; i < count; i++) {
        if (items[i].size == 0)
            continue;
        newest = &items[i];
        enum sl_err err = gather_entry(compaction, newest);
        if (err != SL_OK)
            return err;
    }
    SL_ASSERT(newest != NULL);
    struct source *sources = (struct source *)(void *)compaction->sources.data;
    size_t source_count = compaction->sources.size / sizeof(*sources);
    if (source_count > 0)
        qsort(sources, source_count, sizeof(*sources), compare_sources);
    uint32_t extent_at = extent_count(compaction->batch);
    for (size_t i = 0; i < source_count; i++) {
        enum sl_err err = copy_extent(compaction, newest->id, &sources[i], extent_at);
        if (err == SL_OK && compaction->batch->chunks.size >= BATCH_BYTES) {
            add_entry(compaction, newest, extent_at, false);
            err = write_batch(compaction);
            extent_at = 0;
        }
        if (err != SL_OK)
            return err;
    }
    add_entry(compaction, newest, extent_at, true);
    return compaction->batch->states.size >= BATCH_STATE_BYTES ? write_batch(compaction) : SL_OK;
}

/* ---- all streams ---- */

/* Waits for the shard's answer to compaction->ids. */
static enum sl_err ask(struct sl_compaction *compaction, unsigned count)
{
    sl_mutex_lock(compaction->mutex);
    compaction->id_count = count;
    sl_mutex_unlock(compaction->mutex);
    compaction->setup.wake(compaction->setup.context);
    sl_mutex_lock(compaction->mutex);
    while (compaction->id_count > 0 && !compaction->cancelled)
        sl_condition_wait(compaction->condition, compaction->mutex);
    enum sl_err err = compaction->cancelled ? SL_ERR_CANCELLED : SL_OK;
    sl_mutex_unlock(compaction->mutex);
    return err;
}

/* Items of one id; *has_entry: they are not only tombstones. */
static size_t run_of(const struct item *items, size_t count, bool *has_entry)
{
    size_t size = 0;
    *has_entry = false;
    while (size < count && items[size].id == items[0].id)
        *has_entry |= items[size++].size > 0;
    return size;
}

static bool is_kept(const struct sl_compaction *compaction, const struct item *tombstone)
{
    return compaction->others_first_lsn < tombstone->lsn || tombstone->lsn >= compaction->mark_lsn;
}

/* The newest tombstone of an id says what all of them say. */
static void copy_tombstone(struct sl_compaction *compaction, const struct item *items, size_t count)
{
    const struct item *newest = NULL;
    for (size_t i = 0; i < count; i++)
        if (items[i].size == 0)
            newest = &items[i];
    if (newest == NULL || !is_kept(compaction, newest))
        return;
    struct sl_tombstone tombstone = { .id = newest->id, .lsn = newest->lsn };
    sl_buffer_append(&compaction->batch->tombstones, &tombstone, sizeof(tombstone));
}

/* What the answer to a question leaves of the items that it was about. */
static enum sl_err copy_group(struct sl_compaction *compaction, const struct item *items,
                              size_t count)
{
    unsigned asked = 0;
    for (size_t at = 0; at < count;) {
        bool has_entry;
        size_t run = run_of(items + at, count - at, &has_entry);
        if (has_entry && compaction->ids[asked++] != 0) {
            enum sl_err err = copy_stream(compaction, items + at, run);
            if (err != SL_OK)
                return err;
        }
        copy_tombstone(compaction, items + at, run);
        at += run;
    }
    return SL_OK;
}

static enum sl_err copy_all(struct sl_compaction *compaction)
{
    const struct item *items = (const struct item *)(const void *)compaction->items.data;
    size_t count = compaction->items.size / sizeof(*items);
    for (size_t at = 0; at < count;) {
        unsigned asked = 0;
        size_t end = at;
        while (end < count && asked < SL_COMPACTION_IDS_MAX) {
            bool has_entry;
            size_t run = run_of(items + end, count - end, &has_entry);
            if (has_entry)
                compaction->ids[asked++] = items[end].id;
            end += run;
        }
        enum sl_err err = asked > 0 ? ask(compaction, asked) : SL_OK;
        if (err == SL_OK)
            err = copy_group(compaction, items + at, end - at);
        if (err != SL_OK)
            return err;
        at = end;
    }
    return write_batch(compaction);
}

/* ---- the job ---- */

static enum sl_err install(struct sl_compaction *compaction)
{
    struct sl_catalog_edit edit = { .added = compaction->segment,
                                    .removed = compaction->inputs,
                                    .removed_count = compaction->input_count };
    uint64_t input_bytes = 0;
    for (unsigned i = 0; i < compaction->input_count; i++)
        input_bytes += compaction->inputs[i]->size;
    if (compaction->segment != NULL)
        compaction->segment->stubborn = compaction->segment->size > input_bytes / 4 * 3;
    return sl_catalog_install(compaction->setup.catalog, &edit);
}

static enum sl_err compact(struct sl_compaction *compaction)
{
    compaction->batch = sl_segment_batch_create();
    sl_buffer_reserve(&compaction->batch->chunks, SL_BUFFER_MAPPED_BYTES); /* not in the heap */
    enum sl_err err = load(compaction);
    if (err == SL_OK)
        err = copy_all(compaction);
    if (err == SL_OK && compaction->writer != NULL)
        err = sl_segment_writer_finish(&compaction->writer, &compaction->segment);
    return err == SL_OK ? install(compaction) : err;
}

static void run(struct sl_job *job)
{
    struct sl_compaction *compaction = SL_OBJECT(job, struct sl_compaction, job);
    struct sl_flush_setup setup = compaction->setup;
    enum sl_err err = compact(compaction);
    sl_segment_writer_abort(&compaction->writer);
    sl_segment_batch_destroy(&compaction->batch);
    sl_buffer_deinit(&compaction->items);
    sl_buffer_deinit(&compaction->sources);
    sl_buffer_deinit(&compaction->state_bytes);
    sl_buffer_deinit(&compaction->raw);
    sl_buffer_deinit(&compaction->scratch);
    if (err != SL_OK)
        sl_segment_unref(&compaction->segment);
    /* The last thing that the worker does with it: the shard may free it at once. */
    sl_mutex_lock(compaction->mutex);
    compaction->id_count = 0;
    compaction->err = err;
    compaction->state = err == SL_OK ? SL_FLUSH_DONE : SL_FLUSH_FAILED;
    sl_mutex_unlock(compaction->mutex);
    setup.wake(setup.context);
}

/* ---- the shard ---- */

struct sl_compaction *sl_compaction_begin(const struct sl_flush_setup *setup,
                                          struct sl_segment *const *inputs, unsigned input_count,
                                          uint64_t others_first_lsn, uint64_t mark_lsn)
{
    SL_ASSERT(input_count > 0 && input_count <= SL_COMPACTION_INPUTS_MAX);
    struct sl_compaction *compaction = sl_memory_alloc(sizeof(*compaction));
    *compaction = (struct sl_compaction){
        .setup = *setup,
        .input_count = input_count,
        .others_first_lsn = others_first_lsn,
        .mark_lsn = mark_lsn,
        .mutex = sl_mutex_create(),
        .condition = sl_condition_create(),
    };
    for (unsigned i = 0; i < input_count; i++)
        compaction->inputs[i] = sl_segment_ref(inputs[i]);
    sl_link_init(&compaction->job.link);
    sl_link_init(&compaction->written);
    compaction->job.run = run;
    sl_worker_push(setup->worker, &compaction->job);
    return compaction;
}

uint64_t *sl_compaction_question(struct sl_compaction *compaction, unsigned *count)
{
    sl_mutex_lock(compaction->mutex);
    *count = compaction->id_count;
    sl_mutex_unlock(compaction->mutex);
    return *count > 0 ? compaction->ids : NULL;
}

void sl_compaction_answer(struct sl_compaction *compaction)
{
    sl_mutex_lock(compaction->mutex);
    compaction->id_count = 0;
    sl_condition_signal(compaction->condition);
    sl_mutex_unlock(compaction->mutex);
}

void sl_compaction_cancel(struct sl_compaction *compaction)
{
    sl_mutex_lock(compaction->mutex);
    compaction->cancelled = true;
    sl_condition_signal(compaction->condition);
    sl_mutex_unlock(compaction->mutex);
}

enum sl_flush_state sl_compaction_state(const struct sl_compaction *compaction)
{
    sl_mutex_lock(compaction->mutex);
    enum sl_flush_state state = compaction->state;
    sl_mutex_unlock(compaction->mutex);
    return state;
}

enum sl_err sl_compaction_error(const struct sl_compaction *compaction)
{
    SL_ASSERT(sl_compaction_state(compaction) == SL_FLUSH_FAILED);
    return compaction->err;
}

struct sl_segment *sl_compaction_take_segment(struct sl_compaction *compaction)
{
    SL_ASSERT(sl_compaction_state(compaction) == SL_FLUSH_DONE);
    struct sl_segment *segment = compaction->segment;
    compaction->segment = NULL;
    return segment;
}

struct sl_segment_batch *sl_compaction_take_batch(struct sl_compaction *compaction)
{
    SL_ASSERT(sl_compaction_state(compaction) == SL_FLUSH_DONE);
    struct sl_link *link = sl_link_first(&compaction->written);
    if (link == NULL)
        return NULL;
    sl_link_remove(link);
    return SL_OBJECT(link, struct sl_segment_batch, link);
}

void sl_compaction_destroy(struct sl_compaction **compaction)
{
    struct sl_compaction *gone = *compaction;
    *compaction = NULL;
    if (gone == NULL)
        return;
    SL_ASSERT(sl_compaction_state(gone) != SL_FLUSH_WRITING);
    struct sl_link *link;
    while ((link = sl_link_first(&gone->written)) != NULL) {
        struct sl_segment_batch *batch = SL_OBJECT(link, struct sl_segment_batch, link);
        sl_link_remove(link);
        sl_segment_batch_destroy(&batch);
    }
    for (unsigned i = 0; i < gone->input_count; i++)
        sl_segment_unref(&gone->inputs[i]);
    sl_segment_unref(&gone->segment);
    sl_condition_destroy(&gone->condition);
    sl_mutex_destroy(&gone->mutex);
    sl_memory_free(gone);
}
