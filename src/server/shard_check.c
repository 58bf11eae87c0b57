#include "server/shard_check.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/memory.h"
#include "journal/inspect.h"
#include "journal/wal_files.h"
#include "server/json_line.h"
#include "server/tool.h"
#include "stream/boundary.h"
#include "stream/change.h"
#include "stream/snapshot.h"

/* An extent that an entry named, until all segments are read. */
struct found_extent {
    uint64_t id;
    uint64_t start;
    uint64_t end;
    uint64_t segment; /* number */
};

/* An extent whose chunk was found damaged, until it is known whether its stream is still there. */
struct damaged_extent {
    uint64_t id;
    uint64_t start;
    uint64_t end;
    uint64_t segment;  /* number */
    uint64_t position; /* in the segment's file */
    bool malformed;    /* its boundaries are, and the checksum says that it was written so */
};

/* ---- streams ---- */

static uint64_t name_hash(struct sl_bytes name)
{
    const struct sl_hash_key key = { 0, 0 };
    return sl_hash(&key, name);
}

struct sl_check_stream *sl_shard_check_find(const struct sl_shard_check *check, uint64_t id)
{
    struct sl_table_node *node = sl_table_bucket(&check->streams, sl_stream_id_hash(id));
    for (; node != NULL; node = node->next) {
        struct sl_check_stream *stream = SL_OBJECT(node, struct sl_check_stream, by_id);
        if (stream->id == id)
            return stream;
    }
    return NULL;
}

struct sl_check_stream *sl_shard_check_add(struct sl_shard_check *check, uint64_t id)
{
    struct sl_check_stream *stream = sl_shard_check_find(check, id);
    if (stream != NULL)
        return stream;
    stream = sl_memory_zalloc(sizeof(*stream));
    stream->id = id;
    sl_table_insert(&check->streams, &stream->by_id, sl_stream_id_hash(id));
    if (id > check->id_max)
        check->id_max = id;
    return stream;
}

static struct sl_check_stream *find_name(const struct sl_shard_check *check, struct sl_bytes name)
{
    uint64_t hash = name_hash(name);
    struct sl_table_node *node = sl_table_bucket(&check->names, hash);
    for (; node != NULL; node = node->next) {
        struct sl_check_stream *stream = SL_OBJECT(node, struct sl_check_stream, by_name);
        if (node->hash == hash && sl_bytes_equal(sl_buffer_bytes(&stream->name), name))
            return stream;
    }
    return NULL;
}

static void set_bad(struct sl_check_stream *stream, const char *what)
{
    if (stream->bad == NULL)
        stream->bad = what;
}

static void add_name(struct sl_shard_check *check, struct sl_check_stream *stream)
{
    struct sl_bytes name = sl_buffer_bytes(&stream->name);
    struct sl_check_stream *other = find_name(check, name);
    if (other != NULL) {
        /* The older one should have been removed before. */
        set_bad(stream->id < other->id ? stream : other, "two streams have one name");
        return;
    }
    sl_table_insert(&check->names, &stream->by_name, name_hash(name));
    stream->is_named = true;
}

static void take_out(struct sl_shard_check *check, struct sl_check_stream *stream)
{
    if (stream->is_named)
        sl_table_remove(&check->names, &stream->by_name);
    stream->is_named = false;
    stream->exists = false;
}

/* Name, lineage and source are copied; `origin` may be NULL. */
static void set_identity(struct sl_check_stream *stream, struct sl_bytes name,
                         const struct sl_origin *origin)
{
    sl_buffer_clear(&stream->name);
    sl_buffer_append_bytes(&stream->name, name);
    sl_memory_free(stream->lineage);
    stream->lineage = NULL;
    stream->is_fork = origin != NULL;
    if (origin == NULL)
        return;
    stream->source_shard = origin->source_shard;
    stream->source_id = origin->source_id;
    if (origin->lineage == NULL)
        return;
    size_t size =
        sizeof(*stream->lineage) + (origin->lineage->count - 1) * sizeof(struct sl_ancestor);
    stream->lineage = sl_memory_alloc(size);
    memcpy(stream->lineage, origin->lineage, size);
}

void sl_shard_check_walk(const struct sl_shard_check *check,
                         void (*each)(void *context, struct sl_check_stream *stream), void *context)
{
    uint64_t cursor = 0;
    do {
        struct sl_table_node *node = sl_table_walk(&check->streams, &cursor);
        while (node != NULL) {
            struct sl_check_stream *stream = SL_OBJECT(node, struct sl_check_stream, by_id);
            node = node->next;
            each(context, stream);
        }
    } while (cursor != 0);
}

bool sl_check_stream_own(const struct sl_check_stream *stream, uint64_t *base, uint64_t *end)
{
    if (stream == NULL || !stream->exists || stream->is_lost)
        return false;
    *base = stream->base;
    *end = stream->end;
    return true;
}

/* ---- output ---- */

void sl_check_stream_print(const struct sl_check_stream *stream, struct sl_buffer *out)
{
    struct sl_buffer quoted = { 0 };
    sl_json_line_text(&quoted, "", sl_buffer_bytes(&stream->name));
    if (stream->name.size > 0) /* without the member's name: ,"": */
        sl_buffer_append_bytes(out, sl_bytes_from(sl_buffer_bytes(&quoted), 4));
    else
        sl_buffer_append_text(out, "of unknown name");
    sl_buffer_printf(out, " (id %" PRIu64 ")", stream->id);
    sl_buffer_deinit(&quoted);
}

void sl_shard_check_report(const struct sl_shard_check *check, bool is_error,
                           const struct sl_fault *fault)
{
    if (check->quiet)
        return;
    sl_tool_print("%s: shard-%02u/%s at %" PRIu64 ": %s\n", is_error ? "error" : "warning",
                  check->index, fault->file, fault->position, fault->what);
    if (fault->lost != NULL)
        sl_tool_print("  lost: %s\n", fault->lost);
    if (fault->todo != NULL)
        sl_tool_print("  repair: %s\n", fault->todo);
}

static const char *text_of(struct sl_buffer *buffer)
{
    sl_buffer_append(buffer, "", 1);
    return (const char *)buffer->data;
}

static struct sl_check_segment *note_segment(struct sl_shard_check *check, uint64_t number)
{
    struct sl_check_segment *noted = (void *)check->segments.data;
    size_t count = check->segments.size / sizeof(*noted);
    for (size_t i = 0; i < count; i++)
        if (noted[i].number == number)
            return &noted[i];
    struct sl_check_segment added = { .number = number };
    sl_buffer_append(&check->segments, &added, sizeof(added));
    noted = (void *)check->segments.data;
    return &noted[count];
}

const char *sl_check_quarantine_text(const struct sl_store *store, struct sl_buffer *todo)
{
    const char *word = sl_tool_word(store->path);
    sl_buffer_printf(todo,
                     "sluice fsck %s --quarantine\n"
                     "      or: restore a backup\n"
                     "  before: sluice dump %s --payload > FILE saves what can be read of the "
                     "streams that this removes",
                     word, word);
    return text_of(todo);
}

static void unreadable(struct sl_shard_check *check, uint64_t number, uint64_t position,
                       const char *what, const char *lost)
{
    char name[SL_SEGMENT_NAME_SIZE];
    sl_segment_name(number, name);
    note_segment(check, number)->unreadable = true;
    check->errors++;
    struct sl_buffer todo = { 0 };
    struct sl_fault fault = { name, position, what, lost,
                              sl_check_quarantine_text(check->store, &todo) };
    sl_shard_check_report(check, true, &fault);
    sl_buffer_deinit(&todo);
}

/* ---- segments ---- */

struct chunk_check {
    bool malformed; /* the boundaries of some chunk */
};

static void on_chunk(void *context, const struct sl_chunk *chunk)
{
    struct chunk_check *found = context;
    struct sl_bytes rest = chunk->boundaries;
    struct sl_boundary_piece piece;
    uint64_t size = 0;
    bool malformed = false;
    while (sl_boundary_take(&rest, &piece, &malformed))
        size += piece.size;
    if (malformed || size != chunk->payload.size)
        found->malformed = true;
}

static void check_extent(struct sl_shard_check *check, uint64_t id,
                         const struct sl_extent_on_disk *extent)
{
    struct chunk_check found = { .malformed = false };
    enum sl_err err = sl_segment_read(check->segment, id, extent, &check->chunk, on_chunk, &found);
    if (err == SL_ERR_STORAGE_FAILED)
        check->err = err;
    if (err == SL_OK && !found.malformed)
        return;
    struct damaged_extent damaged = {
        .id = id,
        .start = extent->start,
        .end = extent->start + extent->size,
        .segment = check->segment->number,
        .position = extent->position,
        .malformed = err == SL_OK,
    };
    sl_buffer_append(&check->damaged, &damaged, sizeof(damaged));
}

/* Once it is known whose bytes still count. */
static void report_extent(struct sl_shard_check *check, const struct damaged_extent *damaged)
{
    const struct sl_check_stream *stream = sl_shard_check_find(check, damaged->id);
    SL_ASSERT(stream != NULL); /* its entry had this extent */
    char name[SL_SEGMENT_NAME_SIZE];
    struct sl_buffer lost = { 0 };
    sl_segment_name(damaged->segment, name);
    struct sl_fault fault = {
        .file = name,
        .position = damaged->position,
        .what = damaged->malformed
                    ? "the boundaries of a chunk are malformed"
                    : "a chunk is damaged: its checksum, its size or its place is wrong",
        .lost = "nothing: its stream was removed",
        .todo = "none needed: compaction leaves these bytes out",
    };
    if (stream->exists) {
        sl_buffer_printf(&lost, "bytes %" PRIu64 " to %" PRIu64 " of stream ", damaged->start,
                         damaged->end);
        sl_check_stream_print(stream, &lost);
        fault.lost = text_of(&lost);
        fault.todo = "none here: the server starts and refuses to read these bytes; restore a "
                     "backup to have them";
        check->errors++;
    }
    sl_shard_check_report(check, stream->exists, &fault);
    sl_buffer_deinit(&lost);
}

static void report_extents(struct sl_shard_check *check)
{
    const struct damaged_extent *damaged = (const void *)check->damaged.data;
    for (size_t i = 0; i < check->damaged.size / sizeof(*damaged); i++)
        report_extent(check, &damaged[i]);
}

/* Its state; false: malformed. */
static bool take_state(struct sl_shard_check *check, const struct sl_entry *entry,
                       struct sl_check_stream *known)
{
    uint64_t end = 0;
    struct sl_stream *stream =
        sl_snapshot_decode(entry->state, entry->id, &check->media, &check->now, &end);
    if (stream == NULL)
        return false;
    if (!known->exists || known->lsn < entry->lsn) {
        known->exists = true;
        known->lsn = known->state_lsn = entry->lsn;
        known->state_segment = check->segment == NULL ? 0 : check->segment->number;
        known->end = end;
        known->base = known->cold_end = stream->log.base;
        known->closed = stream->closed;
        known->soft_deleted = stream->soft_deleted;
        set_identity(known, sl_stream_name(stream), stream->origin);
    }
    sl_stream_destroy(&stream, &check->media);
    return true;
}

static void note_lsn(struct sl_shard_check *check, uint64_t lsn)
{
    if (lsn > check->lsn_max)
        check->lsn_max = lsn;
}

static void on_entry(void *context, struct sl_segment *segment, const struct sl_entry *entry)
{
    struct sl_shard_check *check = context;
    struct sl_check_stream *stream = sl_shard_check_add(check, entry->id);
    note_lsn(check, entry->lsn);
    if (!take_state(check, entry, stream))
        unreadable(check, segment->number, segment->data_size, "a stream's state is malformed",
                   "the state of one stream");
    for (uint32_t i = 0; i < entry->extent_count; i++) {
        const struct sl_extent_on_disk *extent = &entry->extents[i];
        struct found_extent found = { entry->id, extent->start, extent->start + extent->size,
                                      segment->number };
        sl_buffer_append(&check->extents, &found, sizeof(found));
        if (!check->quiet)
            check_extent(check, entry->id, extent);
    }
}

static void on_tombstone(void *context, struct sl_segment *segment,
                         const struct sl_tombstone *tombstone)
{
    struct sl_shard_check *check = context;
    struct sl_check_stream *stream = sl_shard_check_add(check, tombstone->id);
    (void)segment;
    note_lsn(check, tombstone->lsn);
    if (tombstone->lsn > stream->tombstone_lsn)
        stream->tombstone_lsn = tombstone->lsn;
}

/* ---- what is in a segment that cannot be read ---- */

static void on_lost_entry(void *context, struct sl_segment *segment, const struct sl_entry *entry)
{
    struct sl_shard_check *check = context;
    struct sl_check_stream *stream = sl_shard_check_add(check, entry->id);
    (void)segment;
    stream->in_lost_segment = true;
    if (entry->lsn > stream->lost_lsn)
        stream->lost_lsn = entry->lsn;
    /* For its name: it is not there until another segment says so. */
    uint64_t end;
    struct sl_stream *state =
        stream->name.size > 0
            ? NULL
            : sl_snapshot_decode(entry->state, entry->id, &check->media, &check->now, &end);
    if (state == NULL)
        return;
    set_identity(stream, sl_stream_name(state), NULL);
    sl_stream_destroy(&state, &check->media);
}

static void on_lost_tombstone(void *context, struct sl_segment *segment,
                              const struct sl_tombstone *tombstone)
{
    struct sl_check_stream *stream = sl_shard_check_add(context, tombstone->id);
    (void)segment;
    stream->in_lost_segment = true;
    if (tombstone->lsn > stream->lost_lsn)
        stream->lost_lsn = tombstone->lsn;
}

static void on_lost_chunk(void *context, uint64_t id, uint64_t start, uint32_t size)
{
    struct sl_check_stream *stream = sl_shard_check_add(context, id);
    stream->in_lost_segment = true;
    if (start + size > stream->lost_end)
        stream->lost_end = start + size;
}

static void on_more_damage(void *context, uint64_t from, uint64_t position, const char *what)
{
    (void)context;
    (void)from;
    (void)position;
    (void)what;
}

/* Finds out of what streams the bytes [from, to) are. */
static void salvage(struct sl_shard_check *check, uint64_t number, uint64_t from, uint64_t to)
{
    const struct sl_inspect_visitor visitor = {
        .entries = { on_lost_entry, on_lost_tombstone, check },
        .on_damage = on_more_damage,
        .on_chunk = on_lost_chunk,
    };
    char name[SL_SEGMENT_NAME_SIZE];
    char path[SL_PATH_SIZE_MAX];
    uint64_t stopped_at;
    sl_segment_name(number, name);
    if (!sl_path_join(path, check->directory, name))
        return;
    enum sl_err err = sl_inspect_salvage(check->store->vfs, path, from, to, &visitor, &stopped_at);
    if (err != SL_OK)
        check->err = err;
}

static void on_damage(void *context, uint64_t from, uint64_t position, const char *what)
{
    struct sl_shard_check *check = context;
    unreadable(check, check->segment->number, position, what,
               "the state and the place of the bytes of some streams");
    salvage(check, check->segment->number, from, position);
}

static void check_segment(struct sl_shard_check *check, const struct sl_manifest_segment *named)
{
    const struct sl_inspect_visitor visitor = {
        .entries = { on_entry, on_tombstone, check },
        .on_damage = on_damage,
        .on_chunk = on_lost_chunk,
    };
    uint64_t position;
    const char *what;
    enum sl_err err =
        sl_inspect_segment(check->store->vfs, check->directory, named->number,
                           check->manifest->log_id, &check->segment, &position, &what);
    if (err == SL_ERR_STORAGE_FAILED) {
        check->err = err;
        return;
    }
    if (err != SL_OK) {
        unreadable(check, named->number, position, what,
                   "every stream that has its state or bytes in this segment");
        salvage(check, named->number, 0, UINT64_MAX);
        return;
    }
    check->segment_bytes += check->segment->size;
    if (check->segment->size != named->size || check->segment->footer_crc != named->footer_crc)
        unreadable(check, named->number, position, "it is not the segment that the manifest names",
                   NULL);
    err = sl_inspect_entries(check->segment, &visitor);
    if (err != SL_OK)
        check->err = err;
    sl_segment_unref(&check->segment);
}

/* ---- all segments together, as a start does it ---- */

static int compare_extents(const void *left, const void *right)
{
    const struct found_extent *a = left, *b = right;
    if (a->id != b->id)
        return a->id < b->id ? -1 : 1;
    return a->start < b->start ? -1 : a->start > b->start;
}

static void apply_extents(struct sl_shard_check *check)
{
    size_t count = check->extents.size / sizeof(struct found_extent);
    if (count == 0)
        return;
    qsort(check->extents.data, count, sizeof(struct found_extent), compare_extents);
    const struct found_extent *found = (const void *)check->extents.data;
    const struct found_extent *last = found; /* the one that reaches furthest */
    for (size_t i = 0; i < count; i++) {
        struct sl_check_stream *stream = sl_shard_check_find(check, found[i].id);
        SL_ASSERT(stream != NULL); /* its entry had this extent */
        if (found[i].id != last->id)
            last = &found[i];
        if (!stream->exists)
            continue;
        if (found[i].start < last->end && last != &found[i])
            note_segment(check, found[i].segment < last->segment ? found[i].segment : last->segment)
                ->replaced = true;
        if (found[i].end >= last->end)
            last = &found[i];
        if (found[i].start < stream->cold_end)
            set_bad(stream, "bytes of it are in two segments");
        else if (found[i].start > stream->cold_end)
            set_bad(stream, "bytes of it are in no segment");
        stream->cold_end = found[i].end;
    }
}

static void settle(void *context, struct sl_check_stream *stream)
{
    struct sl_shard_check *check = context;
    if (!stream->exists)
        return;
    if (stream->cold_end != stream->end)
        set_bad(stream, "its last bytes are in no segment");
    add_name(check, stream);
}

static void bury(void *context, struct sl_check_stream *stream)
{
    (void)context;
    if (stream->tombstone_lsn > 0)
        stream->exists = false;
}

/* ---- the log ---- */

static const char *replay(struct sl_shard_check *check, struct sl_check_stream *stream,
                          const struct sl_record *record, const struct sl_change *change)
{
    uint64_t size = record->payload[0].size - change->lengths_size;
    switch (change->kind) {
    case SL_CHANGE_CREATE:
        set_identity(stream, change->name, change->origin);
        stream->exists = true;
        stream->soft_deleted = false;
        stream->closed = change->closed;
        stream->base = change->base;
        stream->end = change->base + size;
        add_name(check, stream);
        break;
    case SL_CHANGE_APPEND:
        if (stream->closed || stream->soft_deleted)
            return "something is appended to it after it had ended";
        if (size > 0 && record->stream_offset != stream->end)
            return "an append leaves a gap or overlaps";
        stream->end += size;
        stream->closed = change->closed;
        break;
    case SL_CHANGE_REMOVE:
        stream->soft_deleted = change->soft;
        if (!change->soft)
            take_out(check, stream);
        break;
    case SL_CHANGE_TOUCH:
        break;
    }
    return NULL;
}

static bool on_record(void *context, uint64_t lsn, int64_t wall_ms, const struct sl_record *record,
                      const char **what)
{
    struct sl_shard_check *check = context;
    struct sl_change change;
    (void)wall_ms;
    if (!sl_change_decode(record->kind, record->head, record->payload[0].size, &change)) {
        *what = "a record's head is malformed";
        return false;
    }
    bool is_sound = sl_change_check_payload(&change, record->payload[0]);
    struct sl_check_stream *stream = sl_shard_check_add(check, record->stream_id);
    bool is_known = lsn <= stream->tombstone_lsn || (stream->exists && lsn <= stream->lsn);
    if (is_sound && !is_known) {
        const char *bad = NULL;
        if (stream->exists == (change.kind == SL_CHANGE_CREATE))
            bad = stream->exists ? "it is made twice" : "it is changed, but it does not exist";
        else
            bad = replay(check, stream, record, &change);
        stream->lsn = lsn;
        if (bad != NULL)
            set_bad(stream, bad);
    }
    if (change.origin != NULL)
        sl_memory_free(change.origin->lineage);
    sl_memory_free(change.origin);
    *what = "a record's payload is malformed";
    return is_sound;
}

static bool has_unreadable(const struct sl_shard_check *check)
{
    const struct sl_check_segment *noted = (const void *)check->segments.data;
    for (size_t i = 0; i < check->segments.size / sizeof(*noted); i++)
        if (noted[i].unreadable)
            return true;
    return false;
}

static const char *cut_text(const struct sl_shard_check *check, uint64_t lsn,
                            struct sl_buffer *todo)
{
    sl_buffer_printf(todo,
                     "sluice fsck %s --shard %u --cut-at %" PRIu64 "\n      or: restore a backup",
                     sl_tool_word(check->store->path), check->index, lsn);
    return text_of(todo);
}

static void report_log(struct sl_shard_check *check)
{
    /* Segments may have later changes of some streams: then it is all of the log or nothing. So it
       is when nobody knows what a segment has. */
    uint64_t manifest_lsn = check->manifest->mark.lsn;
    struct sl_wal_scan *scan = &check->scan;
    char name[SL_WAL_FILE_NAME_SIZE];
    struct sl_buffer lost = { 0 }, todo = { 0 };
    struct sl_fault fault = { name, scan->file_offset, scan->what, NULL, NULL };
    sl_wal_file_name(scan->file_number, name);
    if (scan->result == SL_WAL_TORN) {
        sl_buffer_printf(&lost,
                         "nothing that was acknowledged: %" PRIu64
                         " bytes of a last write that was "
                         "cut",
                         scan->torn_bytes);
        fault.what = "the end of the log is torn";
        fault.todo = "none needed: the next start puts these bytes into lost+found and goes on";
    } else {
        sl_buffer_printf(&lost, "changes from LSN %" PRIu64 " on, some of which had been durable",
                         scan->end.lsn);
        if (scan->durable_lsn_at_least >= scan->end.lsn)
            sl_buffer_printf(&lost, ": at least those up to LSN %" PRIu64,
                             scan->durable_lsn_at_least);
        bool gives_up_all = check->lsn_max >= scan->end.lsn || has_unreadable(check);
        fault.todo = cut_text(check, gives_up_all ? manifest_lsn : scan->end.lsn, &todo);
        check->errors++;
    }
    fault.lost = text_of(&lost);
    sl_shard_check_report(check, scan->result == SL_WAL_CORRUPT, &fault);
    sl_buffer_deinit(&todo);
    sl_buffer_deinit(&lost);
}

/* Files are made one after the other and never leave a gap: a missing one was lost with its
   frames. */
static void check_log_files(struct sl_shard_check *check)
{
    struct sl_buffer segments = { 0 }, log_files = { 0 }, todo = { 0 };
    char name[SL_WAL_FILE_NAME_SIZE];
    uint64_t next = check->manifest->mark.position / check->store->wal_file_size;
    enum sl_err err = sl_inspect_list(check->store->vfs, check->directory, &segments, &log_files);
    const uint64_t *numbers = (const void *)log_files.data;
    size_t count = err == SL_OK ? log_files.size / sizeof(*numbers) : 0, i = 0;
    if (err != SL_OK)
        check->err = err;
    while (i < count && numbers[i] < next)
        i++;
    while (i < count && numbers[i] == next) {
        i++;
        next++;
    }
    if (i < count) {
        sl_wal_file_name(next, name);
        struct sl_fault fault = { name, 0, "it is missing, but a later file of the log is there",
                                  "whatever was in it",
                                  cut_text(check, check->scan.end.lsn, &todo) };
        check->errors++;
        sl_shard_check_report(check, true, &fault);
    }
    sl_buffer_deinit(&todo);
    sl_buffer_deinit(&segments);
    sl_buffer_deinit(&log_files);
}

static void check_log(struct sl_shard_check *check)
{
    const struct sl_manifest *manifest = check->manifest;
    check->scan = (struct sl_wal_scan){
        .vfs = check->store->vfs,
        .directory = check->directory,
        .log_id = manifest->log_id,
        .file_size = check->store->wal_file_size,
        .from = manifest->mark,
        .durable_lsn_at_least = sl_manifest_durable_lsn(manifest, check->lsn_max),
        .on_record = on_record,
        .context = check,
    };
    sl_wal_scan(&check->scan);
    if (check->scan.result == SL_WAL_IO)
        check->err = SL_ERR_STORAGE_FAILED;
    if (check->scan.result == SL_WAL_TORN || check->scan.result == SL_WAL_CORRUPT)
        report_log(check);
    if (check->scan.result == SL_WAL_CLEAN || check->scan.result == SL_WAL_TORN)
        check_log_files(check);
}

/* ---- the whole ---- */

static void report_stream(void *context, struct sl_check_stream *stream)
{
    struct sl_shard_check *check = context;
    check->stream_count += stream->exists;
    if (stream->bad == NULL)
        return;
    check->errors++;
    if (check->quiet)
        return;
    struct sl_buffer name = { 0 }, todo = { 0 };
    sl_check_stream_print(stream, &name);
    sl_tool_print("error: shard-%02u: stream %s: %s\n", check->index, text_of(&name), stream->bad);
    sl_tool_print("  repair: %s\n", sl_check_quarantine_text(check->store, &todo));
    sl_buffer_deinit(&todo);
    sl_buffer_deinit(&name);
}

static void check_segments(struct sl_shard_check *check)
{
    const struct sl_manifest_segment *named = (const void *)check->manifest->segments.data;
    size_t count = check->manifest->segments.size / sizeof(*named);
    for (size_t i = 0; i < count && check->err == SL_OK; i++)
        check_segment(check, &named[i]);
    sl_shard_check_walk(check, bury, check);
    apply_extents(check);
    sl_shard_check_walk(check, settle, check);
}

void sl_shard_check_run(struct sl_shard_check *check)
{
    sl_media_set_init(&check->media, NULL);
    sl_store_shard_path(check->store, check->index, check->directory);
    check->now = (struct sl_now){ sl_clock_running_ms(), sl_clock_wall_ms() };
    check_segments(check);
    if (check->err == SL_OK)
        check_log(check);
    if (check->err == SL_OK) {
        report_extents(check);
        sl_shard_check_walk(check, report_stream, check);
    }
}

static void destroy_stream(void *context, struct sl_check_stream *stream)
{
    struct sl_shard_check *check = context;
    take_out(check, stream);
    sl_table_remove(&check->streams, &stream->by_id);
    sl_buffer_deinit(&stream->name);
    sl_memory_free(stream->lineage);
    sl_memory_free(stream);
}

void sl_shard_check_deinit(struct sl_shard_check *check)
{
    sl_shard_check_walk(check, destroy_stream, check);
    sl_table_deinit(&check->names);
    sl_table_deinit(&check->streams);
    sl_buffer_deinit(&check->segments);
    sl_buffer_deinit(&check->extents);
    sl_buffer_deinit(&check->damaged);
    sl_buffer_deinit(&check->chunk);
    sl_media_set_deinit(&check->media);
}
