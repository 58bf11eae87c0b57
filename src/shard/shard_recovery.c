/*
 * Recovery: the streams are what the entries of all segments and then the records of the log say.
 * It applies what was decided and never decides again.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/thread.h"
#include "journal/wal_files.h"
#include "journal/wal_scan.h"
#include "shard/shard_internal.h"

enum {
    /* Bytes of records that one frame gathers. */
    FRAME_SIZE_MAX = 4 * 1024 * 1024,
    /* The log may grow to so many times its budget, and so many files, before data is refused. */
    WAL_SIZE_FACTOR = 4,
    WAL_FILES_MIN = 4,
    /* Records between the two steps in which memory is asked for a stream. */
    COMING_MAX = SL_WAL_SCAN_AHEAD / 2,
    /* Streams that get their names in one go. */
    NAME_BATCH_MAX = 64,
};

/* An extent that an entry named, until all segments are read. */
struct found_extent {
    uint64_t id;
    struct sl_cold cold;
};

struct recovery {
    struct sl_shard *shard;
    struct sl_buffer extents;    /* struct found_extent each */
    struct sl_buffer tombstones; /* struct sl_tombstone each; later sorted by id */
    uint64_t segments_lsn;       /* the highest of what is in segments */
    const char *what;            /* first thing that makes no sense; static text */
    uint64_t coming[COMING_MAX]; /* a ring: hashes of the ids in the records that come soon */
    unsigned came;               /* records so far */
};

/* ---- segments ---- */

/* A state that is not (any more) the newest one of its id. */
static void drop_state(struct sl_shard *shard, struct sl_stream *stream) SL_RUNS_ON(sl_role_shard)
{
    sl_stream_destroy(&stream, &shard->media);
}

/*
 * Streams are in by_id only, until it is known which of them still exist. An id is not given again,
 * whatever has become of its stream.
 */
static void add_found(struct sl_shard *shard, struct sl_stream *stream) SL_RUNS_ON(sl_role_shard)
{
    uint64_t number = stream->id >> SL_STREAM_ID_SHARD_BITS;
    sl_table_insert(&shard->by_id, &stream->by_id, sl_stream_id_hash(stream->id));
    if (number > shard->ids)
        shard->ids = number;
}

static void note_lsn(struct recovery *recovery, uint64_t lsn)
{
    if (lsn > recovery->segments_lsn)
        recovery->segments_lsn = lsn;
}

static void on_entry(void *context, struct sl_segment *segment, const struct sl_entry *entry)
{
    struct recovery *recovery = context;
    struct sl_shard *shard = recovery->shard;
    sl_thread_assert_shard(shard->setup.index);
    note_lsn(recovery, entry->lsn);
    for (uint32_t i = 0; i < entry->extent_count; i++) {
        struct found_extent found = { entry->id, sli_cold_of(&entry->extents[i], segment) };
        sl_buffer_append(&recovery->extents, &found, sizeof(found));
    }
    struct sl_stream *older = sli_shard_by_id(shard, entry->id);
    if (older != NULL && older->last_lsn >= entry->lsn)
        return;
    uint64_t end = 0;
    struct sl_stream *stream =
        sl_snapshot_decode(entry->state, entry->id, &shard->media, &shard->now, &end);
    if (stream == NULL) {
        recovery->what = "a stream's state is malformed";
        return;
    }
    if (older != NULL) {
        sl_table_remove(&shard->by_id, &older->by_id);
        drop_state(shard, older);
    }
    stream->last_lsn = entry->lsn;
    stream->state_segment = segment;
    stream->durable_tail = end;
    stream->durable_created = true;
    add_found(shard, stream);
}

static void on_tombstone(void *context, struct sl_segment *segment,
                         const struct sl_tombstone *tombstone)
{
    struct recovery *recovery = context;
    (void)segment;
    note_lsn(recovery, tombstone->lsn);
    sl_buffer_append(&recovery->tombstones, tombstone, sizeof(*tombstone));
}

static int compare_extents(const void *left, const void *right)
{
    const struct found_extent *a = left, *b = right;
    if (a->id != b->id)
        return a->id < b->id ? -1 : 1;
    return a->cold.start < b->cold.start ? -1 : a->cold.start > b->cold.start;
}

static int compare_tombstones(const void *left, const void *right)
{
    const struct sl_tombstone *a = left, *b = right;
    return a->id < b->id ? -1 : a->id > b->id;
}

static const struct sl_tombstone *find_tombstone(const struct recovery *recovery, uint64_t id)
{
    struct sl_tombstone wanted = { .id = id };
    size_t count = recovery->tombstones.size / sizeof(wanted);
    return count == 0 ? NULL
                      : bsearch(&wanted, recovery->tombstones.data, count, sizeof(wanted),
                                compare_tombstones);
}

static void apply_tombstones(struct recovery *recovery) SL_RUNS_ON(sl_role_shard)
{
    struct sl_shard *shard = recovery->shard;
    size_t count = recovery->tombstones.size / sizeof(struct sl_tombstone);
    if (count == 0)
        return;
    qsort(recovery->tombstones.data, count, sizeof(struct sl_tombstone), compare_tombstones);
    const struct sl_tombstone *tombstones = (const void *)recovery->tombstones.data;
    for (size_t i = 0; i < count; i++) {
        struct sl_stream *stream = sli_shard_by_id(shard, tombstones[i].id);
        if (tombstones[i].lsn > shard->removed_lsn)
            shard->removed_lsn = tombstones[i].lsn;
        if (stream == NULL)
            continue;
        sl_table_remove(&shard->by_id, &stream->by_id);
        drop_state(shard, stream);
    }
}

/* Every stream gets its extents, which leave no gap. */
static void apply_extents(struct recovery *recovery) SL_RUNS_ON(sl_role_shard)
{
    size_t count = recovery->extents.size / sizeof(struct found_extent);
    if (count == 0)
        return;
    qsort(recovery->extents.data, count, sizeof(struct found_extent), compare_extents);
    const struct found_extent *found = (const void *)recovery->extents.data;
    struct sl_stream *stream = NULL;
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || found[i].id != found[i - 1].id)
            stream = sli_shard_by_id(recovery->shard, found[i].id);
        if (stream == NULL)
            continue;
        if (!sl_log_add_cold(&stream->log, &found[i].cold)) {
            recovery->what = "bytes of a stream are in no segment, or in two";
            return;
        }
        found[i].cold.segment->live_bytes += found[i].cold.disk_size;
    }
}

static void log_senseless(const struct sl_shard *shard, const char *what) SL_RUNS_ON(sl_role_shard)
{
    sl_log(SL_LOG_ERROR, "recovery", "streams_disagree", "shard=%u what=\"%s\"", shard->setup.index,
           what);
}

/* What is left of the segments' streams must be whole. */
static void check_found(struct recovery *recovery) SL_RUNS_ON(sl_role_shard)
{
    const struct sl_table *found = &recovery->shard->by_id;
    for (size_t i = 0; i < found->buckets; i++)
        for (struct sl_table_node *node = sl_table_at(found, i); node != NULL; node = node->next) {
            struct sl_stream *stream = SL_OBJECT(node, struct sl_stream, by_id);
            if (stream->log.hot != stream->durable_tail)
                recovery->what = "the last bytes of a stream are in no segment";
            stream->state_segment->live_entries++;
        }
}

static enum sl_err read_segments(struct recovery *recovery) SL_RUNS_ON(sl_role_shard)
{
    struct sl_shard *shard = recovery->shard;
    const struct sl_link *segments = sl_catalog_segments(shard->catalog);
    struct sl_segment_visitor visitor = { on_entry, on_tombstone, recovery };
    enum sl_err err = SL_OK;
    for (struct sl_link *link = segments->next; link != segments && err == SL_OK;
         link = link->next) {
        struct sl_segment *segment = SL_OBJECT(link, struct sl_segment, link);
        const char *what = NULL;
        uint64_t position = 0;
        err = sl_segment_visit(segment, &visitor, &position, &what);
        if (err == SL_OK && recovery->what != NULL)
            err = SL_ERR_DATA_CORRUPT;
        if (err != SL_OK)
            sl_log(SL_LOG_ERROR, "recovery", "segment_damaged",
                   "shard=%u file=seg-%016llx position=%llu what=\"%s\"", shard->setup.index,
                   (unsigned long long)segment->number, (unsigned long long)position,
                   what != NULL ? what : recovery->what);
    }
    apply_tombstones(recovery);
    if (err == SL_OK)
        apply_extents(recovery);
    check_found(recovery);
    if (err == SL_OK && recovery->what != NULL) {
        log_senseless(recovery->shard, recovery->what);
        err = SL_ERR_DATA_CORRUPT;
    }
    return err;
}

/* ---- the log ---- */

static struct sl_stream *replay_create(struct sl_shard *shard, const struct sl_record *record,
                                       struct sl_change *change, struct sl_payload *payload,
                                       int64_t wall_ms) SL_RUNS_ON(sl_role_shard)
{
    struct sl_stream_setup setup = {
        .name = change->name,
        .content_type = change->config.content_type,
        .config = &change->config,
        .lifetime_inherited = change->lifetime_inherited,
        .id = record->stream_id,
        .base = change->base,
        .origin = change->origin,
    };
    struct sl_stream *stream = sl_stream_create(&setup, &shard->media, &shard->now);
    change->origin = NULL;
    sl_stream_apply_first(stream, &shard->slab, payload, change->closed);
    sl_stream_set_access_after_restart(stream, wall_ms, &shard->now);
    add_found(shard, stream);
    return stream;
}

static const char *replay_append(struct sl_shard *shard, struct sl_stream *stream,
                                 const struct sl_record *record, const struct sl_change *change,
                                 struct sl_payload *payload, int64_t wall_ms)
    SL_RUNS_ON(sl_role_shard)
{
    struct sl_now at = sl_now_at(&shard->now, wall_ms);
    if (payload->bytes.size > 0 && record->stream_offset != sl_log_end(&stream->log))
        return "an append leaves a gap or overlaps";
    if (stream->soft_deleted ||
        !sl_stream_replay_append(stream, change, &shard->slab, payload, &at))
        return "something is appended to a stream that had ended";
    sl_stream_set_access_after_restart(stream, wall_ms, &shard->now);
    return NULL;
}

static void replay_remove(struct sl_shard *shard, struct sl_stream *stream, bool soft)
    SL_RUNS_ON(sl_role_shard)
{
    shard->removed_lsn = stream->last_lsn;
    if (soft) {
        stream->soft_deleted = true;
        return;
    }
    sl_table_remove(&shard->by_id, &stream->by_id);
    sli_shard_forget_cold(shard, stream);
    sli_shard_add_removed(shard, stream);
    drop_state(shard, stream);
}

/* What the change did; it is dead afterwards. NULL, or what makes no sense. */
static const char *replay(struct recovery *recovery, uint64_t lsn, int64_t wall_ms,
                          const struct sl_record *record, struct sl_change *change)
    SL_RUNS_ON(sl_role_shard)
{
    struct sl_shard *shard = recovery->shard;
    struct sl_stream *stream = sli_shard_by_id(shard, record->stream_id);
    const struct sl_tombstone *tombstone = find_tombstone(recovery, record->stream_id);
    struct sl_payload payload = sl_change_payload(change, record->payload[0]);
    const char *what = NULL;
    if ((tombstone != NULL && lsn <= tombstone->lsn) || (stream != NULL && lsn <= stream->last_lsn))
        return NULL; /* the segments know more already */
    if ((stream == NULL) != (change->kind == SL_CHANGE_CREATE))
        return stream == NULL ? "a change of a stream that does not exist"
                              : "a stream is made twice";
    switch (change->kind) {
    case SL_CHANGE_CREATE:
        stream = replay_create(shard, record, change, &payload, wall_ms);
        break;
    case SL_CHANGE_APPEND:
        what = replay_append(shard, stream, record, change, &payload, wall_ms);
        break;
    case SL_CHANGE_REMOVE:
        stream->last_lsn = lsn;
        replay_remove(shard, stream, change->soft);
        if (!change->soft)
            return NULL;
        break;
    case SL_CHANGE_TOUCH:
        sl_stream_set_access_after_restart(stream, wall_ms, &shard->now);
        break;
    }
    if (what != NULL)
        return what;
    stream->last_lsn = lsn;
    stream->durable_created = true;
    stream->durable_tail = sl_log_end(&stream->log);
    stream->durable_closed = stream->closed;
    sli_shard_mark_dirty(shard, stream);
    return NULL;
}

/* With a million streams most of a start would be spent waiting for memory. */
static void on_coming(void *context, const struct sl_record *record)
{
    struct recovery *recovery = context;
    const struct sl_shard *shard = recovery->shard;
    sl_thread_assert_shard(shard->setup.index);
    uint64_t *hash = &recovery->coming[recovery->came++ % COMING_MAX];
    sl_table_prefetch_node(&shard->by_id, *hash);
    *hash = sl_stream_id_hash(record->stream_id);
    sl_table_prefetch_slot(&shard->by_id, *hash);
}

static bool on_record(void *context, uint64_t lsn, int64_t wall_ms, const struct sl_record *record,
                      const char **what)
{
    struct recovery *recovery = context;
    struct sl_change change;
    sl_thread_assert_shard(recovery->shard->setup.index);
    if (!sl_change_decode(record->kind, record->head, record->payload[0].size, &change)) {
        *what = "a record's head is malformed";
        return false;
    }
    *what = sl_change_check_payload(&change, record->payload[0])
                ? replay(recovery, lsn, wall_ms, record, &change)
                : "a record's payload is malformed";
    sl_memory_free(change.origin == NULL ? NULL : change.origin->lineage);
    sl_memory_free(change.origin);
    recovery->shard->flush.hot_bytes += record->payload[0].size;
    return *what == NULL;
}

/* Nothing runs out while the clock may be wrong. */
static void set_clock(struct sl_shard *shard, int64_t last_wall_ms) SL_RUNS_ON(sl_role_shard)
{
    shard->clock.wall_ms = last_wall_ms;
    if (last_wall_ms == 0 || shard->now.wall_ms - last_wall_ms <= SLI_CLOCK_JUMP_MS)
        return;
    shard->clock.not_before_ms = shard->now.running_ms + SLI_CLOCK_CONFIRM_MS;
    sl_log(SL_LOG_WARN, "recovery", "clock_jump",
           "shard=%u days=%lld reason=\"nothing expires for an hour: the clock may be wrong\"",
           shard->setup.index,
           (long long)((shard->now.wall_ms - last_wall_ms) / (24 * 3600 * 1000)));
}

static enum sl_err end_of_scan(const struct sl_shard *shard, const struct sl_wal_scan *scan)
    SL_RUNS_ON(sl_role_shard)
{
    char name[SL_WAL_FILE_NAME_SIZE];
    unsigned index = shard->setup.index;
    sl_wal_file_name(scan->file_number, name);
    switch (scan->result) {
    case SL_WAL_CLEAN:
        return SL_OK;
    case SL_WAL_TORN:
        sl_log(
            SL_LOG_WARN, "recovery", "torn_end",
            "shard=%u file=%s position=%llu bytes=%llu lsn=%llu reason=\"the last write was cut; "
            "nothing that was acknowledged is in it\"",
            index, name, (unsigned long long)scan->file_offset,
            (unsigned long long)scan->torn_bytes, (unsigned long long)scan->end.lsn);
        return SL_OK;
    case SL_WAL_CORRUPT:
        sl_log(
            SL_LOG_ERROR, "recovery", "log_corrupt",
            "shard=%u file=%s position=%llu lost_from_lsn=%llu what=\"%s\" reason=\"records that "
            "were durable are damaged; sluice fsck says more\"",
            index, name, (unsigned long long)scan->file_offset, (unsigned long long)scan->end.lsn,
            scan->what == NULL ? "" : scan->what);
        return SL_ERR_DATA_CORRUPT;
    case SL_WAL_IO:
        sl_log(SL_LOG_ERROR, "recovery", "log_unreadable",
               "shard=%u file=%s position=%llu errno=%d", index, name,
               (unsigned long long)scan->file_offset, scan->error_number);
        return SL_ERR_STORAGE_FAILED;
    }
    return SL_ERR_DATA_CORRUPT;
}

static enum sl_err read_log(struct recovery *recovery) SL_RUNS_ON(sl_role_shard)
{
    struct sl_shard *shard = recovery->shard;
    struct sl_wal_scan *scan = &shard->scan;
    const struct sl_manifest *manifest = sl_catalog_manifest(shard->catalog);
    *scan = (struct sl_wal_scan){
        .vfs = shard->setup.store->vfs,
        .directory = sl_catalog_directory(shard->catalog),
        .log_id = sl_catalog_log_id(shard->catalog),
        .file_size = shard->setup.store->wal_file_size,
        .from = manifest->mark,
        .durable_lsn_at_least = sl_manifest_durable_lsn(manifest, recovery->segments_lsn),
        .on_record = on_record,
        .on_coming = on_coming,
        .context = recovery,
    };
    shard->flush.installed = manifest->mark;
    if (manifest->last_id > shard->ids)
        shard->ids = manifest->last_id;
    sl_wal_scan(scan);
    scan->context = NULL; /* it goes with the recovery */
    return end_of_scan(shard, scan);
}

/* ---- names ---- */

static void name_stream(struct recovery *recovery, struct sl_stream *stream, uint64_t hash)
    SL_RUNS_ON(sl_role_shard)
{
    struct sl_shard *shard = recovery->shard;
    if (sli_shard_by_name(shard, hash, sl_stream_name(stream)) != NULL)
        recovery->what = "two streams have one name";
    sli_shard_add_name(shard, stream, hash);
    shard->found_forks |= stream->origin != NULL;
    shard->found_soft_deleted |= stream->soft_deleted;
}

/* Names lie anywhere in memory: all places are asked for before the first one is needed. */
static void name_batch(struct recovery *recovery, struct sl_stream **streams, size_t count)
    SL_RUNS_ON(sl_role_shard)
{
    const struct sl_shard *shard = recovery->shard;
    uint64_t hashes[NAME_BATCH_MAX];
    for (size_t i = 0; i < count; i++) {
        hashes[i] = sl_hash(&shard->setup.route->key, sl_stream_name(streams[i]));
        sl_table_prefetch_slot(&shard->names, hashes[i]);
    }
    for (size_t i = 0; i < count; i++)
        sl_table_prefetch_node(&shard->names, hashes[i]);
    for (size_t i = 0; i < count; i++)
        name_stream(recovery, streams[i], hashes[i]);
}

/* When all is read, the table of names is made in its final size. */
static void name_streams(struct recovery *recovery) SL_RUNS_ON(sl_role_shard)
{
    struct sl_shard *shard = recovery->shard;
    struct sl_stream *streams[NAME_BATCH_MAX];
    size_t count = 0;
    sl_table_reserve(&shard->names, shard->by_id.count);
    sl_account_add(shard->setup.account,
                   sl_table_memory(&shard->names) + sl_table_memory(&shard->by_id));
    sl_account_add(shard->setup.streams, shard->by_id.count);
    for (size_t i = 0; i < shard->by_id.buckets; i++) {
        struct sl_table_node *node = sl_table_at(&shard->by_id, i);
        for (; node != NULL; node = node->next) {
            streams[count++] = SL_OBJECT(node, struct sl_stream, by_id);
            if (count < NAME_BATCH_MAX)
                continue;
            name_batch(recovery, streams, count);
            count = 0;
        }
    }
    name_batch(recovery, streams, count);
}

/* ---- the log goes on ---- */

static void wake(void *context)
{
    struct sl_shard *shard = context;
    sl_port_signal(shard->port, SL_PORT_JOURNAL);
}

static enum sl_err open_wal(struct sl_shard *shard, const struct sl_wal_mark *end)
    SL_RUNS_ON(sl_role_shard)
{
    const struct sl_store *store = shard->setup.store;
    uint64_t most = shard->setup.wal_budget_bytes * WAL_SIZE_FACTOR;
    uint64_t least = store->wal_file_size * WAL_FILES_MIN;
    struct sl_wal_setup setup = {
        .vfs = store->vfs,
        .directory = sl_catalog_directory(shard->catalog),
        .log_id = sl_catalog_log_id(shard->catalog),
        .file_size = store->wal_file_size,
        .frame_size_max =
            FRAME_SIZE_MAX < store->wal_file_size / 4 ? FRAME_SIZE_MAX : store->wal_file_size / 4,
        .size_max = most > least ? most : least,
        .free_bytes_min = shard->setup.free_bytes_min,
        .index = shard->setup.index,
        .wake = wake,
        .context = shard,
    };
    return sl_wal_open(&setup, end, shard->flush.installed.position, &shard->wal);
}

static void keep_torn_end(const struct sl_shard *shard, const struct sl_wal_scan *scan)
    SL_RUNS_ON(sl_role_shard)
{
    char name[SL_WAL_FILE_NAME_SIZE];
    unsigned index = shard->setup.index;
    sl_wal_file_name(scan->file_number, name);
    if (sl_store_keep_lost(shard->setup.store, index, name, scan->file_offset, scan->torn_bytes) !=
        SL_OK)
        sl_log(SL_LOG_WARN, "recovery", "torn_end_not_kept", "shard=%u", index);
}

/*
 * The first start of a log puts the mark behind its first frame: from now on a log that is not
 * there is damage, whether it is a new one, or that of a backup or a repair.
 *
 * What was torn may have given ids that forks in other shards name; one write has fewer changes
 * than a file has bytes.
 */
static enum sl_err install_begin(struct sl_shard *shard, const struct sl_wal_scan *scan)
    SL_RUNS_ON(sl_role_shard)
{
    const struct sl_manifest *manifest = sl_catalog_manifest(shard->catalog);
    bool is_first = manifest->no_log && scan->records == 0;
    if (scan->result == SL_WAL_TORN)
        shard->ids += scan->file_size;
    else if (!is_first)
        return SL_OK;
    struct sl_catalog_edit edit = {
        .has_mark = true,
        .mark = is_first ? sl_wal_durable_mark(shard->wal) : shard->flush.installed,
        .last_id = shard->ids,
        .durable_lsn = manifest->durable_lsn,
    };
    enum sl_err err = sl_catalog_install(shard->catalog, &edit);
    if (err == SL_OK)
        shard->flush.installed = edit.mark;
    return err;
}

/* From the end that the scan has found, in a new epoch. */
enum sl_err sl_shard_open_log(struct sl_shard *shard)
{
    const struct sl_wal_scan *scan = &shard->scan;
    sl_thread_enter_shard(shard->setup.index);
    if (scan->result == SL_WAL_TORN)
        keep_torn_end(shard, scan);
    set_clock(shard, scan->wall_ms);
    enum sl_err err = open_wal(shard, &scan->end);
    if (err == SL_OK)
        err = install_begin(shard, scan);
    if (err != SL_OK)
        return err;
    shard->appended_lsn = shard->durable_lsn = scan->end.lsn - 1;
    sl_log(SL_LOG_INFO, "recovery", "done",
           "shard=%u streams=%zu segments_lsn=%llu records=%llu lsn=%llu sealed=%d",
           shard->setup.index, shard->by_id.count, (unsigned long long)scan->from.lsn,
           (unsigned long long)scan->records, (unsigned long long)shard->durable_lsn, scan->sealed);
    sli_shard_publish_segments(shard);
    return SL_OK;
}

enum sl_err sl_shard_recover(struct sl_shard *shard)
{
    struct recovery recovery = { .shard = shard };
    sl_thread_enter_shard(shard->setup.index);
    shard->now = (struct sl_now){ sl_clock_running_ms(), sl_clock_wall_ms() };
    enum sl_err err = sl_catalog_open(shard->setup.store, shard->setup.index, &shard->catalog);
    if (err == SL_OK)
        err = read_segments(&recovery);
    if (err == SL_OK)
        err = read_log(&recovery);
    name_streams(&recovery);
    if (err == SL_OK && recovery.what != NULL) {
        log_senseless(shard, recovery.what);
        err = SL_ERR_DATA_CORRUPT;
    }
    sl_buffer_deinit(&recovery.extents);
    sl_buffer_deinit(&recovery.tombstones);
    return err;
}

/* ---- references between shards ---- */

static struct sl_stream *find_on(const struct sl_shard *shard, uint32_t owner, uint64_t id)
    SL_RUNS_ON(sl_role_shard)
{
    return owner < shard->setup.route->shards ? sli_shard_by_id(shard->setup.peers[owner], id)
                                              : NULL;
}

static bool own_bytes(const void *context, uint32_t owner, uint64_t id, uint64_t *base,
                      uint64_t *end)
{
    const struct sl_shard *shard = context;
    sl_thread_assert_shard(shard->setup.index);
    const struct sl_stream *found = find_on(shard, owner, id);
    if (found == NULL)
        return false;
    *base = found->log.base;
    *end = sl_log_end(&found->log);
    return true;
}

static void log_fork(const struct sl_shard *shard, const struct sl_stream *fork)
    SL_RUNS_ON(sl_role_shard)
{
    sl_log(SL_LOG_ERROR, "recovery", "streams_disagree",
           "shard=%u stream_id=%llu source_shard=%u source_id=%llu what=\"what a fork inherited is "
           "not there\"",
           shard->setup.index, (unsigned long long)fork->id, fork->origin->source_shard,
           (unsigned long long)fork->origin->source_id);
}

static void pin_source(struct sl_shard *shard, struct sl_origin *origin) SL_RUNS_ON(sl_role_shard)
{
    struct sl_stream *source = find_on(shard, origin->source_shard, origin->source_id);
    if (source != NULL)
        source->forks++;
    else
        origin->source_id = 0; /* nobody to give a reference back to */
}

/*
 * A repair, or damage at the very end of another shard's log, may leave a fork that is not whole.
 * It is not served: when its source grew again, other bytes would be in the place of those that it
 * inherited.
 */
enum sl_err sl_shard_pin_sources(struct sl_shard *shard)
{
    sl_thread_enter_shard(shard->setup.index);
    if (!shard->found_forks)
        return SL_OK;
    for (size_t i = 0; i < shard->by_id.buckets; i++) {
        struct sl_table_node *node = sl_table_at(&shard->by_id, i);
        for (; node != NULL; node = node->next) {
            struct sl_stream *stream = SL_OBJECT(node, struct sl_stream, by_id);
            const struct sl_origin *origin = stream->origin;
            if (origin == NULL)
                continue;
            if (!sl_lineage_is_whole(origin->lineage, origin->source_shard, origin->source_id,
                                     own_bytes, shard)) {
                log_fork(shard, stream);
                return SL_ERR_DATA_CORRUPT;
            }
            pin_source(shard, stream->origin);
        }
    }
    return SL_OK;
}

/*
 * Streams that were kept for forks which are gone: the start is the last one that refers to them.
 * So the running shard removes them when the log has room.
 */
void sl_shard_collect(struct sl_shard *shard)
{
    sl_thread_enter_shard(shard->setup.index);
    if (!shard->found_soft_deleted)
        return;
    for (size_t i = 0; i < shard->by_id.buckets; i++) {
        struct sl_table_node *node = sl_table_at(&shard->by_id, i);
        for (; node != NULL; node = node->next) {
            struct sl_stream *stream = SL_OBJECT(node, struct sl_stream, by_id);
            if (!stream->soft_deleted || stream->forks > 0)
                continue;
            stream->forks = 1;
            sli_shard_unpin_later(shard, stream->id);
        }
    }
}
