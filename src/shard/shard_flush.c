/*
 * Flush and compaction, the shard's side: streams are copied out and let go of, a slice per turn.
 */
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/thread.h"
#include "shard/shard_internal.h"

enum {
    SLICE_STREAMS_MAX = 256,       /* per turn */
    SLICE_BYTES_MAX = 256 * 1024,  /* per turn */
    BATCH_BYTES_MAX = 1024 * 1024, /* then it goes to the worker */
    RETRY_MS = 1000,               /* after a failure */
    REMOVED_MAX = 128 * 1024,      /* since the last flush: they are in no budget */
    SCARCE_SHARE = 16,             /* when memory is scarce, this part of new payload is enough */
    SMALL_SEGMENTS_MAX = 48,       /* with so many there are no more small flushes: descriptors */
    FREED_SHARE = 8,               /* so much of the segments is dead: their space may come back */
    FREED_BYTES_MIN = 1024 * 1024, /* less is not worth a segment of tombstones */
    MERGE_PAUSE_MS = 1000,         /* between two looks for something to compact */
    DEAD_LOOK_MS = 1000,           /* between two looks for what is dead in a log without room */
    DEAD_LOOK_STREAMS_MAX = 4096,  /* in a ms */
    DEAD_SHARE = 4,                /* a flush of no more than this part of it gives the log back */
    STATE_BYTES = 64,              /* what a flush needs for a stream beside its name and data */
};

static void wake(void *context)
{
    struct sl_shard *shard = context;
    sl_port_signal(shard->port, SL_PORT_JOURNAL);
}

static struct sl_flush_setup setup_of(struct sl_shard *shard, struct sl_worker *worker)
{
    return (struct sl_flush_setup){
        .catalog = shard->catalog,
        .worker = worker,
        .wal = shard->wal,
        .wake = wake,
        .context = shard,
    };
}

struct sl_cold sli_cold_of(const struct sl_extent_on_disk *extent, struct sl_segment *segment)
{
    return (struct sl_cold){
        .start = extent->start,
        .size = extent->size,
        .disk_size = extent->disk_size,
        .position = extent->position & SL_COLD_POSITION_MAX,
        .ends_message = extent->ends_message,
        .segment = segment,
    };
}

static void account(struct sl_shard *shard, int64_t bytes) SL_RUNS_ON(sl_role_shard)
{
    if (bytes > 0)
        sl_account_add(shard->setup.account, (uint64_t)bytes);
    else
        sl_account_subtract(shard->setup.account, (uint64_t)-bytes);
}

static void set_state_segment(struct sl_stream *stream, struct sl_segment *segment)
{
    if (stream->state_segment != NULL)
        stream->state_segment->live_entries--;
    stream->state_segment = segment;
    if (segment != NULL)
        segment->live_entries++;
}

void sli_shard_forget_cold(struct sl_shard *shard, struct sl_stream *stream)
{
    for (uint32_t i = 0; i < stream->log.cold_count; i++) {
        stream->log.cold[i].segment->live_bytes -= stream->log.cold[i].disk_size;
        shard->flush.freed_bytes += stream->log.cold[i].disk_size;
    }
    set_state_segment(stream, NULL);
    sl_link_remove(&stream->dirty);
    if (shard->flush.current == stream)
        shard->flush.current = NULL; /* its parts get no entry */
}

void sli_shard_publish_segments(struct sl_shard *shard)
{
    const struct sl_link *segments = sl_catalog_segments(shard->catalog);
    uint64_t count = 0, bytes = 0;
    for (struct sl_link *link = segments->next; link != segments; link = link->next) {
        count++;
        bytes += SL_OBJECT(link, struct sl_segment, link)->size;
    }
    sl_metrics_publish(&shard->segment_count, count);
    sl_metrics_publish(&shard->segment_bytes, bytes);
}

/* ---- removed streams ---- */

void sli_shard_add_removed(struct sl_shard *shard, const struct sl_stream *stream)
{
    struct sli_removed *removed = sl_memory_alloc(sizeof(*removed));
    *removed = (struct sli_removed){ .tombstone = { .id = stream->id, .lsn = stream->last_lsn } };
    sl_table_insert(&shard->removed, &removed->node, sl_stream_id_hash(stream->id));
}

/*
 * Takes about `max` out from the cursor on, and puts them into another table or frees them; false:
 * that was the last one.
 */
static bool take_removed(struct sl_table *table, struct sl_table *into, size_t max,
                         uint64_t *cursor)
{
    for (size_t taken = 0; taken < max && table->count > 0;) {
        struct sl_table_node *node = sl_table_walk(table, cursor);
        while (node != NULL) {
            struct sli_removed *removed = SL_OBJECT(node, struct sli_removed, node);
            uint64_t hash = node->hash;
            node = node->next;
            sl_table_remove(table, &removed->node);
            if (into != NULL)
                sl_table_insert(into, &removed->node, hash);
            else
                sl_memory_free(removed);
            taken++;
        }
    }
    if (table->count > 0)
        return true;
    sl_table_deinit(table);
    *table = (struct sl_table){ .count = 0 };
    return false;
}

void sli_shard_drop_removed(struct sl_shard *shard)
{
    uint64_t cursor = 0;
    (void)take_removed(&shard->removed, NULL, SIZE_MAX, &cursor);
    cursor = 0;
    (void)take_removed(&shard->flush.removed, NULL, SIZE_MAX, &cursor);
}

static bool is_removed(const struct sl_table *table, uint64_t id)
{
    struct sl_table_node *node = sl_table_bucket(table, sl_stream_id_hash(id));
    for (; node != NULL; node = node->next)
        if (SL_OBJECT(node, struct sli_removed, node)->tombstone.id == id)
            return true;
    return false;
}

/* ---- capture ---- */

/*
 * Is most of a log that finds no space for more of streams that are gone? A flush, which needs
 * space for the rest only, gives that back. Looks at a part of the streams, and goes on there when
 * it is asked again.
 */
static bool is_log_dead(struct sl_shard *shard, uint64_t log_bytes) SL_RUNS_ON(sl_role_shard)
{
    struct sli_flush *flush = &shard->flush;
    uint64_t live_max = log_bytes / DEAD_SHARE;
    if (!shard->disk_full || log_bytes < FREED_BYTES_MIN)
        return false;
    if (!sl_link_is_linked(&flush->dead_look)) {
        if (shard->now.running_ms < flush->dead_look_ms)
            return false;
        flush->dead_look_ms = shard->now.running_ms + DEAD_LOOK_MS;
        flush->dead_look_bytes = 0;
        sl_link_prepend(&shard->dirty, &flush->dead_look);
    }
    struct sl_link *link = flush->dead_look.next;
    sl_link_remove(&flush->dead_look);
    for (unsigned i = 0; link != &shard->dirty && flush->dead_look_bytes <= live_max; i++) {
        if (i == DEAD_LOOK_STREAMS_MAX) {
            sl_link_append(link, &flush->dead_look); /* before this one */
            return false;
        }
        const struct sl_stream *stream = SL_OBJECT(link, struct sl_stream, dirty);
        flush->dead_look_bytes +=
            STATE_BYTES + stream->name_size + sl_log_end(&stream->log) - stream->log.hot;
        link = link->next;
    }
    return flush->dead_look_bytes <= live_max;
}

/* Is there so much new payload that it is time to flush it? */
static bool is_hot(const struct sl_shard *shard) SL_RUNS_ON(sl_role_shard)
{
    uint64_t hot = shard->flush.hot_bytes, max = shard->setup.hot_max_bytes;
    if (hot < max && sli_shard_is_memory_scarce(shard)) {
        uint64_t used = sl_account_bytes(shard->setup.account);
        uint64_t budget = shard->setup.memory_budget_bytes;
        uint64_t left = used < budget ? budget - used : 0;
        max /= SCARCE_SHARE;
        if (left < max)
            max = left; /* else that much would never come */
    }
    return hot > 0 && hot >= max;
}

/* A small one waits until compactions have left fewer segments. */
static bool may_flush(const struct sl_shard *shard) SL_RUNS_ON(sl_role_shard)
{
    return shard->flush.hot_bytes >= shard->setup.hot_max_bytes ||
           shard->segment_count < SMALL_SEGMENTS_MAX;
}

bool sli_shard_is_ahead_of_flush(const struct sl_shard *shard)
{
    return (shard->flush.flush != NULL || !may_flush(shard)) && is_hot(shard);
}

static bool wants_flush(struct sl_shard *shard) SL_RUNS_ON(sl_role_shard)
{
    struct sli_flush *flush = &shard->flush;
    if (sli_shard_wants_backup(shard))
        return true;
    bool may_begin = !shard->failed && shard->now.running_ms >= flush->not_before_ms;
    if (may_begin && is_hot(shard) && may_flush(shard))
        return true;
    if (shard->now.running_ms == flush->looked_ms)
        return false;
    flush->looked_ms = shard->now.running_ms;
    uint64_t log_bytes = sl_wal_durable_mark(shard->wal).position - flush->installed.position;
    sl_metrics_publish(&shard->wal_bytes, log_bytes);
    return may_begin &&
           (shard->removed.count >= REMOVED_MAX || log_bytes >= shard->setup.wal_budget_bytes ||
            (flush->freed_bytes >= FREED_BYTES_MIN &&
             flush->freed_bytes >= shard->segment_bytes / FREED_SHARE) ||
            is_log_dead(shard, log_bytes));
}

static void begin_flush(struct sl_shard *shard) SL_RUNS_ON(sl_role_shard)
{
    struct sli_flush *flush = &shard->flush;
    struct sl_flush_setup setup = setup_of(shard, shard->setup.flusher);
    /*
     * First the mark: every change that is not behind it is in a stream that is captured from now
     * on.
     */
    flush->mark = sl_wal_durable_mark(shard->wal);
    shard->backup.flushing = shard->backup.task != NULL;
    flush->flush = sl_flush_begin(&setup);
    flush->batch = sl_flush_new_batch(flush->flush);
    flush->step = SLI_FLUSH_CAPTURE;
    flush->hot_bytes = flush->freed_bytes = 0;
    flush->lsn_max = 0;
    flush->current = NULL;
    sl_link_remove(&flush->dead_look);
    sl_link_splice_back(&flush->todo, &shard->dirty);
}

/* Takes the next stream's state as it is now; its data follows in parts. */
static void begin_stream(struct sl_shard *shard, struct sl_stream *stream) SL_RUNS_ON(sl_role_shard)
{
    struct sli_flush *flush = &shard->flush;
    sl_link_remove(&stream->dirty);
    sl_link_append(&flush->captured, &stream->dirty);
    stream->is_dirty = false;
    sl_buffer_clear(&flush->state);
    sl_snapshot_encode(stream, &shard->now, &flush->state);
    flush->current = stream;
    flush->position = stream->log.hot;
    flush->up_to = sl_log_end(&stream->log);
    flush->lsn = stream->last_lsn;
    if (flush->lsn > flush->lsn_max)
        flush->lsn_max = flush->lsn;
}

/* One part of the current stream, and its state behind the last one. */
static void capture_part(struct sl_shard *shard, size_t bytes_max) SL_RUNS_ON(sl_role_shard)
{
    struct sli_flush *flush = &shard->flush;
    struct sl_segment_batch *batch = flush->batch;
    const struct sl_stream *stream = flush->current;
    struct sl_batch_entry entry = {
        .id = stream->id,
        .lsn = flush->lsn,
        .extent_at = (uint32_t)(batch->extents.size / sizeof(struct sl_extent_on_disk)),
    };
    size_t until = batch->chunks.size + bytes_max;
    while (flush->position < flush->up_to && batch->chunks.size < until) {
        size_t at = sl_segment_batch_begin_chunk(batch);
        struct sl_extent_on_disk extent = { .start = flush->position, .position = at };
        extent.size = sl_log_encode_chunk(&stream->log, flush->position, flush->up_to,
                                          SL_CHUNK_PAYLOAD_BYTES_MAX, stream->media->json,
                                          &batch->chunks, &extent.ends_message);
        sl_segment_batch_end_chunk(batch, at, stream->id, flush->position, extent.size);
        extent.disk_size = (uint32_t)(batch->chunks.size - at);
        flush->position += extent.size;
        sl_buffer_append(&batch->extents, &extent, sizeof(extent));
        entry.extent_count++;
    }
    if (flush->position == flush->up_to) {
        entry.state_at = (uint32_t)batch->states.size;
        entry.state_size = (uint32_t)flush->state.size;
        entry.complete = true;
        sl_buffer_append_bytes(&batch->states, sl_buffer_bytes(&flush->state));
        flush->current = NULL;
    }
    sl_buffer_append(&batch->entries, &entry, sizeof(entry));
}

static size_t size_of(const struct sl_segment_batch *batch)
{
    return batch->chunks.size + batch->states.size + batch->tombstones.size;
}

/* When all streams are captured: a slice of those that were removed until then; false: the last. */
static bool add_tombstones(struct sl_shard *shard) SL_RUNS_ON(sl_role_shard)
{
    struct sli_flush *flush = &shard->flush;
    if (flush->removed.count == 0) {
        flush->removed = shard->removed;
        shard->removed = (struct sl_table){ .count = 0 };
        flush->removed_cursor = 0;
    }
    size_t until = flush->batch->tombstones.size + SLICE_BYTES_MAX;
    do {
        struct sl_table_node *node = sl_table_walk(&flush->removed, &flush->removed_cursor);
        for (; node != NULL; node = node->next) {
            const struct sl_tombstone *tombstone =
                &SL_OBJECT(node, struct sli_removed, node)->tombstone;
            if (tombstone->lsn > flush->lsn_max)
                flush->lsn_max = tombstone->lsn;
            sl_buffer_append(&flush->batch->tombstones, tombstone, sizeof(*tombstone));
        }
    } while (flush->removed_cursor != 0 && flush->batch->tombstones.size < until);
    return flush->removed_cursor != 0;
}

/* True: there is more to capture at once. */
static bool capture(struct sl_shard *shard) SL_RUNS_ON(sl_role_shard)
{
    struct sli_flush *flush = &shard->flush;
    if (sl_flush_state(flush->flush) == SL_FLUSH_FAILED) {
        flush->step = SLI_FLUSH_WRITE;
        return true;
    }
    if (!sl_flush_wants_more(flush->flush))
        return false;
    size_t until = size_of(flush->batch) + SLICE_BYTES_MAX;
    for (unsigned i = 0; i < SLICE_STREAMS_MAX && size_of(flush->batch) < until; i++) {
        struct sl_link *link = sl_link_first(&flush->todo);
        if (flush->current == NULL && link == NULL)
            break;
        if (flush->current == NULL)
            begin_stream(shard, SL_OBJECT(link, struct sl_stream, dirty));
        capture_part(shard, until - size_of(flush->batch));
    }
    bool last = flush->current == NULL && sl_link_is_empty(&flush->todo) && !add_tombstones(shard);
    if (last || size_of(flush->batch) >= BATCH_BYTES_MAX) {
        sl_flush_add(flush->flush, &flush->batch);
        flush->batch = last ? NULL : sl_flush_new_batch(flush->flush);
    }
    if (last) {
        sl_flush_end(flush->flush, &flush->mark, flush->lsn_max, shard->ids);
        flush->step = SLI_FLUSH_WRITE;
    }
    return !last;
}

/* ---- install ---- */

/* Nothing is lost: the old segments and the log are there. */
static void log_failure(const struct sl_shard *shard, const char *event, enum sl_err err)
    SL_RUNS_ON(sl_role_shard)
{
    if (err != SL_ERR_CANCELLED)
        sl_log(SL_LOG_WARN, "shard", event, "shard=%u code=%s retry_ms=%d", shard->setup.index,
               sl_err_code(err), RETRY_MS);
}

static void flush_failed(struct sl_shard *shard) SL_RUNS_ON(sl_role_shard)
{
    struct sli_flush *flush = &shard->flush;
    log_failure(shard, "flush_failed", sl_flush_error(flush->flush));
    sl_link_splice_back(&shard->dirty, &flush->todo); /* these are still dirty */
    if (flush->batch != NULL)
        sl_segment_batch_destroy(&flush->batch);
    if (shard->backup.flushing)
        sli_shard_end_backup(shard, sl_flush_error(flush->flush));
    sl_flush_destroy(&flush->flush);
    flush->current = NULL;
    flush->step = SLI_FLUSH_UNDO;
    flush->removed_cursor = 0;
}

/* After the last slice there may be another flush, soon. */
static void undo(struct sl_shard *shard) SL_RUNS_ON(sl_role_shard)
{
    struct sli_flush *flush = &shard->flush;
    for (unsigned i = 0; i < SLICE_STREAMS_MAX; i++) {
        struct sl_link *link = sl_link_first(&flush->captured);
        if (link == NULL) {
            if (take_removed(&flush->removed, &shard->removed, SLICE_STREAMS_MAX,
                             &flush->removed_cursor))
                return;
            flush->step = SLI_FLUSH_NONE;
            flush->hot_bytes = shard->setup.hot_max_bytes;
            flush->not_before_ms = shard->now.running_ms + RETRY_MS;
            return;
        }
        sli_shard_mark_dirty(shard, SL_OBJECT(link, struct sl_stream, dirty));
    }
}

static void flush_done(struct sl_shard *shard) SL_RUNS_ON(sl_role_shard)
{
    struct sli_flush *flush = &shard->flush;
    flush->segment = sl_flush_take_segment(flush->flush);
    if (flush->segment != NULL)
        sl_link_append(sl_catalog_segments(shard->catalog), &flush->segment->link);
    if (shard->backup.flushing)
        sli_shard_end_backup(shard, SL_OK);
    flush->installed = flush->mark;
    sl_wal_release(shard->wal, flush->mark.position);
    flush->step = SLI_FLUSH_INSTALL;
    flush->batch_next = 0;
    flush->removed_cursor = 0;
    sl_buffer_clear(&flush->parts);
}

static void install_flushed(struct sl_shard *shard, const struct sl_segment_batch *batch,
                            const struct sl_batch_entry *entry) SL_RUNS_ON(sl_role_shard)
{
    struct sli_flush *flush = &shard->flush;
    const struct sl_extent_on_disk *extents = (const void *)batch->extents.data;
    struct sl_stream *stream = sli_shard_by_id(shard, entry->id);
    if (stream == NULL) {
        sl_buffer_clear(&flush->parts);
        return;
    }
    for (uint32_t i = 0; i < entry->extent_count; i++) {
        struct sl_cold cold = sli_cold_of(&extents[entry->extent_at + i], flush->segment);
        sl_buffer_append(&flush->parts, &cold, sizeof(cold));
    }
    if (!entry->complete)
        return;
    const struct sl_cold *cold = (const void *)flush->parts.data;
    uint32_t count = (uint32_t)(flush->parts.size / sizeof(*cold));
    for (uint32_t i = 0; i < count; i++)
        flush->segment->live_bytes += cold[i].disk_size;
    if (count > 0)
        account(shard, sl_log_make_cold(&stream->log, cold, count));
    set_state_segment(stream, flush->segment);
    sl_buffer_clear(&flush->parts);
    if (!stream->is_dirty)
        sl_link_remove(&stream->dirty);
}

/* Where an install stands: a batch and the next entry of it. Takes the next batch when needed. */
static bool has_entry(struct sl_segment_batch **batch, size_t *next,
                      struct sl_segment_batch *(*take)(void *), void *from)
{
    while (*batch == NULL || *next == (*batch)->entries.size / sizeof(struct sl_batch_entry)) {
        if (*batch != NULL)
            sl_segment_batch_destroy(batch);
        *next = 0;
        *batch = take(from);
        if (*batch == NULL)
            return false;
    }
    return true;
}

static struct sl_segment_batch *take_flushed(void *flush)
{
    return sl_flush_take_batch(flush);
}

static bool install(struct sl_shard *shard) SL_RUNS_ON(sl_role_shard)
{
    struct sli_flush *flush = &shard->flush;
    for (unsigned i = 0; i < SLICE_STREAMS_MAX; i++) {
        if (!has_entry(&flush->batch, &flush->batch_next, take_flushed, flush->flush)) {
            if (take_removed(&flush->removed, NULL, SLICE_STREAMS_MAX, &flush->removed_cursor))
                return true;
            sl_flush_destroy(&flush->flush);
            flush->step = SLI_FLUSH_NONE;
            sli_shard_publish_segments(shard);
            return true;
        }
        const struct sl_batch_entry *entries = (const void *)flush->batch->entries.data;
        install_flushed(shard, flush->batch, &entries[flush->batch_next++]);
    }
    return true;
}

/* One step of the flush; true: there is more to do at once. */
static bool step_flush(struct sl_shard *shard) SL_RUNS_ON(sl_role_shard)
{
    struct sli_flush *flush = &shard->flush;
    switch (flush->step) {
    case SLI_FLUSH_NONE:
        if (!wants_flush(shard))
            return false;
        begin_flush(shard);
        return true;
    case SLI_FLUSH_CAPTURE:
        return capture(shard);
    case SLI_FLUSH_WRITE:
        if (sl_flush_state(flush->flush) == SL_FLUSH_WRITING)
            return false;
        if (sl_flush_state(flush->flush) == SL_FLUSH_FAILED)
            flush_failed(shard);
        else
            flush_done(shard);
        return true;
    case SLI_FLUSH_INSTALL:
        return install(shard);
    case SLI_FLUSH_UNDO:
        undo(shard);
        return true;
    }
    return false;
}

/* ---- compaction ---- */

static bool is_input(const struct sli_compaction *merge, const struct sl_segment *segment)
{
    for (unsigned i = 0; i < merge->input_count; i++)
        if (merge->inputs[i] == segment)
            return true;
    return false;
}

/* Lowest LSN in the segments that are not among the inputs. */
static uint64_t others_first_lsn(struct sl_shard *shard) SL_RUNS_ON(sl_role_shard)
{
    const struct sl_link *segments = sl_catalog_segments(shard->catalog);
    uint64_t first = UINT64_MAX;
    for (struct sl_link *link = segments->next; link != segments; link = link->next) {
        const struct sl_segment *segment = SL_OBJECT(link, struct sl_segment, link);
        if (!is_input(&shard->merge, segment) && segment->first_lsn < first)
            first = segment->first_lsn;
    }
    return first;
}

static bool begin_merge(struct sl_shard *shard) SL_RUNS_ON(sl_role_shard)
{
    struct sli_compaction *merge = &shard->merge;
    if (shard->now.running_ms < merge->not_before_ms || shard->failed ||
        shard->flush.step == SLI_FLUSH_INSTALL)
        return false;
    merge->not_before_ms = shard->now.running_ms + MERGE_PAUSE_MS;
    merge->input_count = sl_compaction_pick(sl_catalog_segments(shard->catalog), merge->inputs);
    if (merge->input_count == 0)
        return false;
    struct sl_flush_setup setup = setup_of(shard, shard->setup.compactor);
    merge->compaction = sl_compaction_begin(&setup, merge->inputs, merge->input_count,
                                            others_first_lsn(shard), shard->flush.installed.lsn);
    return true;
}

static void answer_question(struct sl_shard *shard) SL_RUNS_ON(sl_role_shard)
{
    unsigned count = 0;
    uint64_t *ids = sl_compaction_question(shard->merge.compaction, &count);
    if (ids == NULL)
        return;
    for (unsigned i = 0; i < count; i++)
        if (sli_shard_by_id(shard, ids[i]) == NULL && !is_removed(&shard->removed, ids[i]) &&
            !is_removed(&shard->flush.removed, ids[i]))
            ids[i] = 0;
    sl_compaction_answer(shard->merge.compaction);
}

static void install_merged(struct sl_shard *shard, const struct sl_segment_batch *batch,
                           const struct sl_batch_entry *entry) SL_RUNS_ON(sl_role_shard)
{
    struct sli_compaction *merge = &shard->merge;
    const struct sl_extent_on_disk *extents = (const void *)batch->extents.data;
    struct sl_stream *stream = sli_shard_by_id(shard, entry->id);
    if (stream == NULL)
        return;
    sl_buffer_clear(&merge->parts);
    for (uint32_t i = 0; i < entry->extent_count; i++) {
        struct sl_cold cold = sli_cold_of(&extents[entry->extent_at + i], merge->output);
        sl_buffer_append(&merge->parts, &cold, sizeof(cold));
        merge->output->live_bytes += cold.disk_size;
    }
    if (entry->extent_count > 0)
        account(shard, sl_log_move_cold(&stream->log, (const void *)merge->parts.data,
                                        entry->extent_count));
    if (stream->state_segment != NULL && is_input(merge, stream->state_segment))
        set_state_segment(stream, merge->output);
}

static struct sl_segment_batch *take_merged(void *compaction)
{
    return sl_compaction_take_batch(compaction);
}

/* The inputs have nothing any more that anybody needs. */
static void drop_inputs(struct sl_shard *shard) SL_RUNS_ON(sl_role_shard)
{
    struct sli_compaction *merge = &shard->merge;
    for (unsigned i = 0; i < merge->input_count; i++) {
        sl_link_remove(&merge->inputs[i]->link);
        sl_catalog_drop(shard->catalog, &merge->inputs[i], shard->setup.compactor);
    }
    merge->input_count = 0;
    sli_shard_publish_segments(shard);
}

static bool install_merge(struct sl_shard *shard) SL_RUNS_ON(sl_role_shard)
{
    struct sli_compaction *merge = &shard->merge;
    for (unsigned i = 0; i < SLICE_STREAMS_MAX; i++) {
        if (!has_entry(&merge->batch, &merge->batch_next, take_merged, merge->compaction)) {
            sl_compaction_destroy(&merge->compaction);
            merge->installing = false;
            drop_inputs(shard);
            merge->not_before_ms = 0;
            return true;
        }
        const struct sl_batch_entry *entries = (const void *)merge->batch->entries.data;
        install_merged(shard, merge->batch, &entries[merge->batch_next++]);
    }
    return true;
}

static bool step_merge(struct sl_shard *shard) SL_RUNS_ON(sl_role_shard)
{
    struct sli_compaction *merge = &shard->merge;
    if (merge->compaction == NULL)
        return begin_merge(shard);
    if (merge->installing)
        return install_merge(shard);
    answer_question(shard);
    enum sl_flush_state state = sl_compaction_state(merge->compaction);
    if (state == SL_FLUSH_WRITING)
        return false;
    if (state == SL_FLUSH_FAILED) {
        log_failure(shard, "compaction_failed", sl_compaction_error(merge->compaction));
        sl_compaction_destroy(&merge->compaction);
        merge->input_count = 0;
        merge->not_before_ms = shard->now.running_ms + RETRY_MS;
        return false;
    }
    merge->output = sl_compaction_take_segment(merge->compaction);
    if (merge->output != NULL)
        sl_link_append(sl_catalog_segments(shard->catalog), &merge->output->link);
    merge->installing = true;
    merge->batch_next = 0;
    return true;
}

bool sli_shard_flush(struct sl_shard *shard)
{
    if (shard->wal == NULL)
        return false;
    bool more = step_flush(shard);
    return step_merge(shard) || more;
}

bool sli_shard_stop_flush(struct sl_shard *shard)
{
    struct sli_flush *flush = &shard->flush;
    struct sli_compaction *merge = &shard->merge;
    if (shard->wal == NULL)
        return true;
    if (flush->step == SLI_FLUSH_CAPTURE) {
        sl_flush_cancel(flush->flush);
        flush->step = SLI_FLUSH_WRITE;
    }
    if (flush->step != SLI_FLUSH_NONE)
        step_flush(shard);
    while (flush->step == SLI_FLUSH_INSTALL || flush->step == SLI_FLUSH_UNDO)
        step_flush(shard);
    if (merge->compaction != NULL) {
        if (!merge->installing)
            sl_compaction_cancel(merge->compaction);
        step_merge(shard);
    }
    while (merge->installing)
        step_merge(shard);
    return flush->step == SLI_FLUSH_NONE && merge->compaction == NULL;
}
