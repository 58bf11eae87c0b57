#include "server/repair.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/memory.h"
#include "journal/inspect.h"
#include "journal/wal_files.h"

enum {
    ZEROS_BYTES = 1024 * 1024, /* of one write */
    REPLACED_ROUNDS_MAX = 64,  /* of dropping segments that others replaced */
};

/*
 * Numbers of streams and of changes of which a lost manifest, a cut log or a segment that cannot be
 * read has left no trace: more than any log has bytes for.
 */
static const uint64_t numbers_margin = UINT64_C(1) << 40;

static enum sl_exit_code refuse(unsigned index, const char *why)
{
    sl_tool_print("not repaired: shard %u: %s\n", index, why);
    return SL_EXIT_CORRUPT;
}

static enum sl_exit_code refuse_disk(unsigned index)
{
    sl_tool_print("not repaired: shard %u: the disk does not answer\n", index);
    return SL_EXIT_STORAGE_FAILED;
}

static enum sl_err store_manifest(const struct sl_store *store, unsigned index,
                                  const struct sl_manifest *manifest)
{
    char directory[SL_PATH_SIZE_MAX];
    bool unknown;
    sl_store_shard_path(store, index, directory);
    return sl_manifest_store(store->vfs, directory, manifest, &unknown);
}

/* ---- cut ---- */

struct cut {
    uint64_t lsn;
    bool reached; /* a record with it, or a later one, was found */
};

static bool stop_at(void *context, uint64_t lsn, int64_t wall_ms, const struct sl_record *record,
                    const char **what)
{
    struct cut *cut = context;
    (void)wall_ms;
    (void)record;
    (void)what;
    cut->reached = lsn >= cut->lsn;
    return !cut->reached;
}

/* Overwrites a file from `at` on. */
static int zero(const struct sl_vfs *vfs, const char *path, uint64_t at)
{
    struct sl_file *file;
    uint64_t size = 0;
    int error = vfs->open(vfs, path, SL_VFS_WRITE, &file);
    if (error != 0)
        return error == ENOENT ? 0 : error;
    uint8_t *zeros = sl_memory_zalloc(ZEROS_BYTES);
    error = vfs->size(file, &size);
    while (error == 0 && at < size) {
        size_t step = size - at < ZEROS_BYTES ? (size_t)(size - at) : ZEROS_BYTES;
        error = vfs->write(file, zeros, step, at);
        at += step;
    }
    if (error == 0)
        error = vfs->sync(file);
    sl_memory_free(zeros);
    vfs->close(file);
    return error;
}

/* What one file of the log has behind `position` goes to lost+found. */
static enum sl_err put_aside(const struct sl_store *store, unsigned index, uint64_t number,
                             uint64_t position)
{
    char directory[SL_PATH_SIZE_MAX];
    char path[SL_PATH_SIZE_MAX];
    char name[SL_WAL_FILE_NAME_SIZE];
    uint64_t begin = number * store->wal_file_size;
    if (begin + store->wal_file_size <= position)
        return SL_OK;
    sl_wal_file_name(number, name);
    if (begin >= position) {
        sl_tool_print("shard %u: moving %s to lost+found\n", index, name);
        return sl_store_keep_lost(store, index, name, 0, 0);
    }
    uint64_t at = position - begin;
    sl_store_shard_path(store, index, directory);
    if (!sl_path_join(path, directory, name))
        return SL_ERR_STORAGE_FAILED;
    sl_tool_print("shard %u: copying %s from %" PRIu64 " on to lost+found, then zeros there\n",
                  index, name, at);
    enum sl_err err = sl_store_keep_lost(store, index, name, at, store->wal_file_size - at);
    if (err == SL_OK && zero(store->vfs, path, at) != 0)
        err = SL_ERR_STORAGE_FAILED;
    return err;
}

static enum sl_err put_all_aside(const struct sl_store *store, unsigned index, uint64_t position)
{
    char directory[SL_PATH_SIZE_MAX];
    struct sl_buffer segments = { 0 }, log_files = { 0 };
    sl_store_shard_path(store, index, directory);
    enum sl_err err = sl_inspect_list(store->vfs, directory, &segments, &log_files);
    const uint64_t *numbers = (const void *)log_files.data;
    /* From the back: whenever this ends early the log has no gap, and a second try does the
       rest. */
    for (size_t i = log_files.size / sizeof(*numbers); i > 0 && err == SL_OK; i--)
        err = put_aside(store, index, numbers[i - 1], position);
    sl_buffer_deinit(&segments);
    sl_buffer_deinit(&log_files);
    return err;
}

/* Up to where segments have changes; *readable: all of them. */
static enum sl_err look_at_segments(const struct sl_store *store, unsigned index,
                                    const struct sl_manifest *manifest, uint64_t *lsn_max,
                                    bool *readable)
{
    struct sl_shard_check check = {
        .store = store, .index = index, .manifest = manifest, .quiet = true
    };
    sl_shard_check_run(&check);
    const struct sl_check_segment *segments = (const void *)check.segments.data;
    enum sl_err err = check.err;
    *readable = true;
    for (size_t i = 0; i < check.segments.size / sizeof(*segments); i++)
        *readable = *readable && !segments[i].unreadable;
    *lsn_max = check.lsn_max;
    sl_shard_check_deinit(&check);
    return err;
}

/* Behind every file of the log that is there. */
static enum sl_err find_end(const struct sl_store *store, unsigned index, uint64_t *position)
{
    char directory[SL_PATH_SIZE_MAX];
    struct sl_buffer segments = { 0 }, log_files = { 0 };
    sl_store_shard_path(store, index, directory);
    enum sl_err err = sl_inspect_list(store->vfs, directory, &segments, &log_files);
    const uint64_t *numbers = (const void *)log_files.data;
    size_t count = log_files.size / sizeof(*numbers);
    uint64_t end = count == 0 ? 0 : (numbers[count - 1] + 1) * store->wal_file_size;
    *position =
        (*position + store->wal_file_size - 1) / store->wal_file_size * store->wal_file_size;
    if (end > *position)
        *position = end;
    sl_buffer_deinit(&segments);
    sl_buffer_deinit(&log_files);
    return err;
}

/*
 * Before anything of the log goes: a fork in another shard may name a stream that is cut off, and
 * must not find another one.
 */
static enum sl_err raise_ids(const struct sl_store *store, unsigned index,
                             struct sl_manifest *manifest)
{
    manifest->last_id += numbers_margin;
    manifest->sequence++;
    return store_manifest(store, index, manifest);
}

/* Every stream is as the segments say, and the log begins anew with numbers that nobody has. */
static enum sl_exit_code give_up_log(const struct sl_store *store, struct sl_manifest *manifest,
                                     unsigned index, uint64_t lsn_max)
{
    uint64_t begin = manifest->mark.position;
    enum sl_err err = raise_ids(store, index, manifest);
    if (err == SL_OK)
        err = find_end(store, index, &manifest->mark.position);
    manifest->no_log = true;
    manifest->sequence++;
    if (lsn_max >= manifest->mark.lsn)
        manifest->mark.lsn = lsn_max + 1;
    manifest->durable_lsn = manifest->mark.lsn - 1;
    /* First the files: with the old manifest that is no worse than before. */
    if (err == SL_OK)
        err = put_all_aside(store, index, begin);
    if (err == SL_OK)
        err = store_manifest(store, index, manifest);
    if (err != SL_OK)
        return refuse_disk(index);
    sl_tool_print("shard %u: its log is given up; the next change gets LSN %" PRIu64 "\n", index,
                  manifest->mark.lsn);
    return SL_EXIT_CLEAN;
}

static enum sl_exit_code cut_at_end(const struct sl_store *store, struct sl_manifest *manifest,
                                    unsigned index, const struct sl_wal_scan *scan)
{
    enum sl_err err = raise_ids(store, index, manifest);
    if (err == SL_OK)
        err = put_all_aside(store, index, scan->end.position);
    if (manifest->durable_lsn >= scan->end.lsn)
        manifest->durable_lsn = scan->end.lsn - 1;
    manifest->sequence++;
    if (err == SL_OK)
        err = store_manifest(store, index, manifest);
    if (err != SL_OK)
        return refuse_disk(index);
    sl_tool_print("shard %u: the log ends before LSN %" PRIu64 " now\n", index, scan->end.lsn);
    return SL_EXIT_CLEAN;
}

static enum sl_exit_code cut(const struct sl_store *store, struct sl_manifest *manifest,
                             unsigned index, uint64_t lsn)
{
    char directory[SL_PATH_SIZE_MAX];
    struct cut where = { .lsn = lsn };
    uint64_t lsn_max;
    bool readable;
    if (look_at_segments(store, index, manifest, &lsn_max, &readable) != SL_OK)
        return refuse_disk(index);
    if (lsn == manifest->mark.lsn)
        return give_up_log(store, manifest, index, readable ? lsn_max : lsn_max + numbers_margin);
    if (!readable || lsn_max >= lsn || lsn < manifest->mark.lsn) {
        sl_tool_print("shard %u: --cut-at %" PRIu64 " is possible: it gives up the whole log\n",
                      index, manifest->mark.lsn);
        return refuse(index, readable ? "segments hold that change, or later ones: numbers would "
                                        "be used twice"
                                      : "a segment cannot be read: nobody knows what changes it "
                                        "holds");
    }
    sl_store_shard_path(store, index, directory);
    struct sl_wal_scan scan = {
        .vfs = store->vfs,
        .directory = directory,
        .log_id = manifest->log_id,
        .file_size = store->wal_file_size,
        .from = manifest->mark,
        .on_record = stop_at,
        .context = &where,
    };
    sl_wal_scan(&scan);
    if (scan.result == SL_WAL_IO)
        return refuse_disk(index);
    if (scan.end.lsn == lsn)
        return cut_at_end(store, manifest, index, &scan);
    sl_tool_print("shard %u: --cut-at %" PRIu64 " is possible\n", index, scan.end.lsn);
    return refuse(index, where.reached ? "that change was written together with earlier ones"
                                       : "the log cannot be read up to there");
}

enum sl_exit_code sl_repair_cut(const struct sl_store *store, unsigned index, uint64_t lsn)
{
    char directory[SL_PATH_SIZE_MAX];
    struct sl_manifest manifest;
    bool one_copy;
    sl_store_shard_path(store, index, directory);
    enum sl_err err = sl_manifest_load(store->vfs, directory, &manifest, &one_copy);
    if (err != SL_OK)
        return refuse(index, "the manifest cannot be read; --rebuild-manifest first");
    enum sl_exit_code code = cut(store, &manifest, index, lsn);
    sl_manifest_deinit(&manifest);
    return code;
}

/* ---- quarantine ---- */

struct shard_repair {
    const struct sl_store *store;
    unsigned index;
    const struct sl_shard_check *first; /* borrowed: with everything */
    struct sl_shard_check second;       /* owned: without what cannot be read */
    struct sl_manifest manifest;        /* owned: of the outcome */
    uint64_t lost;                      /* streams */
};

struct quarantine {
    unsigned shards;
    struct shard_repair *all; /* owned, per shard */
    unsigned index;           /* of the shard that is walked */
    bool changed;
};

static bool is_unreadable(const struct sl_shard_check *check, uint64_t number)
{
    const struct sl_check_segment *segments = (const void *)check->segments.data;
    for (size_t i = 0; i < check->segments.size / sizeof(*segments); i++)
        if (segments[i].number == number && segments[i].unreadable)
            return true;
    return false;
}

/* The same manifest without segments that cannot be read. */
static void drop_unreadable(struct shard_repair *repair)
{
    const struct sl_manifest *old = repair->first->manifest;
    const struct sl_manifest_segment *named = (const void *)old->segments.data;
    repair->manifest = *old;
    repair->manifest.segments = (struct sl_buffer){ 0 };
    repair->manifest.sequence++;
    for (size_t i = 0; i < old->segments.size / sizeof(*named); i++)
        if (!is_unreadable(repair->first, named[i].number))
            sl_buffer_append(&repair->manifest.segments, &named[i], sizeof(named[i]));
}

static void lose(struct shard_repair *repair, struct sl_check_stream *stream, const char *why)
{
    struct sl_buffer name = { 0 };
    stream->is_lost = true;
    repair->lost++;
    sl_check_stream_print(stream, &name);
    sl_buffer_append(&name, "", 1);
    sl_tool_print("shard %u: removing stream %s: %s\n", repair->index, (const char *)name.data,
                  why);
    sl_buffer_deinit(&name);
}

static void lose_bad(void *context, struct sl_check_stream *stream)
{
    if (stream->bad != NULL && !stream->is_lost)
        lose(context, stream, stream->bad);
}

/*
 * What the first check knew of a stream and the second one does not: the lost segments had
 * something of it that no other has.
 */
static void compare(void *context, struct sl_check_stream *known)
{
    struct shard_repair *repair = context;
    struct sl_check_stream *left = sl_shard_check_find(&repair->second, known->id);
    bool state_is_lost =
        known->state_segment != 0 && is_unreadable(repair->first, known->state_segment);
    bool has_newer = left != NULL && left->state_lsn > known->lost_lsn &&
                     left->cold_end >= known->lost_end && !state_is_lost;
    bool was_removed = known->tombstone_lsn > 0 && (left == NULL || left->tombstone_lsn == 0);
    if ((!known->in_lost_segment && !state_is_lost && !was_removed) ||
        (left != NULL && left->is_lost))
        return;
    if (known->in_lost_segment && has_newer && !was_removed)
        return;
    if (left != NULL && left->tombstone_lsn > 0)
        return;
    if (was_removed) {
        /* It stays removed; nobody has to be told. */
        left = sl_shard_check_add(&repair->second, known->id);
        left->is_lost = true;
        return;
    }
    if (left == NULL)
        left = sl_shard_check_add(&repair->second, known->id);
    if (left->name.size == 0)
        sl_buffer_append_bytes(&left->name, sl_buffer_bytes(&known->name));
    lose(repair, left, "a lost segment had a part of it");
}

static bool own_bytes_left(const void *context, uint32_t shard, uint64_t id, uint64_t *base,
                           uint64_t *end)
{
    const struct quarantine *quarantine = context;
    return shard < quarantine->shards &&
           sl_check_stream_own(sl_shard_check_find(&quarantine->all[shard].second, id), base, end);
}

static void lose_fork(void *context, struct sl_check_stream *stream)
{
    struct quarantine *quarantine = context;
    if (!stream->exists || stream->is_lost ||
        sl_lineage_is_whole(stream->lineage, stream->source_shard, stream->source_id,
                            own_bytes_left, quarantine))
        return;
    lose(&quarantine->all[quarantine->index], stream, "it inherits what is not there any more");
    quarantine->changed = true;
}

static void lose_forks(struct quarantine *quarantine)
{
    do {
        quarantine->changed = false;
        for (unsigned i = 0; i < quarantine->shards; i++) {
            quarantine->index = i;
            sl_shard_check_walk(&quarantine->all[i].second, lose_fork, quarantine);
        }
    } while (quarantine->changed);
}

/* Behind every segment that is there: one that no manifest names is kept, too. */
static enum sl_err pass_segments(struct shard_repair *repair, const char *directory)
{
    struct sl_buffer segments = { 0 }, log_files = { 0 };
    enum sl_err err = sl_inspect_list(repair->store->vfs, directory, &segments, &log_files);
    const uint64_t *numbers = (const void *)segments.data;
    size_t count = segments.size / sizeof(*numbers);
    if (count > 0 && numbers[count - 1] >= repair->manifest.next_segment)
        repair->manifest.next_segment = numbers[count - 1] + 1;
    sl_buffer_deinit(&segments);
    sl_buffer_deinit(&log_files);
    return err;
}

struct burial {
    struct sl_segment_batch *batch;
    uint64_t lsn;
};

static void add_tombstone(void *context, struct sl_check_stream *stream)
{
    struct burial *burial = context;
    struct sl_tombstone tombstone = { .id = stream->id, .lsn = burial->lsn };
    if (stream->is_lost)
        sl_buffer_append(&burial->batch->tombstones, &tombstone, sizeof(tombstone));
}

/*
 * A segment that says of the lost streams that they are removed, as of the end of the log: so a
 * start skips what the log still says of them. *added stays NULL when there are none.
 */
static enum sl_err bury(struct shard_repair *repair, struct sl_segment **added)
{
    struct burial burial = { sl_segment_batch_create(), repair->second.scan.end.lsn - 1 };
    struct sl_segment_writer *writer = NULL;
    const struct sl_vfs *vfs = repair->store->vfs;
    char directory[SL_PATH_SIZE_MAX];
    enum sl_err err = SL_OK;
    if (burial.lsn == 0)
        burial.lsn = 1;
    sl_shard_check_walk(&repair->second, add_tombstone, &burial);
    sl_store_shard_path(repair->store, repair->index, directory);
    if (burial.batch->tombstones.size > 0) {
        err = pass_segments(repair, directory);
        if (err == SL_OK)
            err = sl_segment_writer_open(vfs, directory, repair->manifest.next_segment,
                                         repair->manifest.log_id, &writer);
        if (err == SL_OK)
            err = sl_segment_writer_add(writer, burial.batch);
        if (err == SL_OK)
            err = sl_segment_writer_finish(&writer, added);
        else if (writer != NULL)
            sl_segment_writer_abort(&writer);
    }
    sl_segment_batch_destroy(&burial.batch);
    if (err != SL_OK || *added == NULL)
        return err;
    struct sl_manifest_segment named = { .number = (*added)->number,
                                         .size = (*added)->size,
                                         .footer_crc = (*added)->footer_crc };
    sl_buffer_append(&repair->manifest.segments, &named, sizeof(named));
    repair->manifest.next_segment++;
    return SL_OK;
}

/* Would a start take it? */
static bool is_sound(const struct sl_store *store, unsigned index,
                     const struct sl_manifest *manifest)
{
    struct sl_shard_check check = {
        .store = store, .index = index, .manifest = manifest, .quiet = true
    };
    sl_shard_check_run(&check);
    bool sound = check.err == SL_OK && check.errors == 0;
    sl_shard_check_deinit(&check);
    return sound;
}

static void remove_segment(const struct shard_repair *repair, const struct sl_segment *segment)
{
    if (segment != NULL)
        (void)repair->store->vfs->unlink(repair->store->vfs, segment->path);
}

static enum sl_err move_unreadable(const struct shard_repair *repair)
{
    const struct sl_check_segment *segments = (const void *)repair->first->segments.data;
    enum sl_err err = SL_OK;
    for (size_t i = 0; i < repair->first->segments.size / sizeof(*segments); i++) {
        char name[SL_SEGMENT_NAME_SIZE], path[SL_PATH_SIZE_MAX];
        struct sl_file *file;
        sl_segment_name(segments[i].number, name);
        if (!segments[i].unreadable || !sl_path_join(path, repair->second.directory, name) ||
            repair->store->vfs->open(repair->store->vfs, path, 0, &file) != 0)
            continue;
        repair->store->vfs->close(file);
        sl_tool_print("shard %u: moving %s to lost+found\n", repair->index, name);
        enum sl_err moved = sl_store_keep_lost(repair->store, repair->index, name, 0, 0);
        if (moved != SL_OK)
            err = moved;
    }
    return err;
}

static enum sl_exit_code finish_shard(struct shard_repair *repair)
{
    struct sl_segment *added = NULL;
    bool drops = repair->manifest.segments.size != repair->first->manifest->segments.size;
    enum sl_err err = bury(repair, &added);
    if (err != SL_OK)
        return refuse_disk(repair->index);
    if (!drops && added == NULL)
        return SL_EXIT_CLEAN;
    enum sl_exit_code code = SL_EXIT_CLEAN;
    if (!is_sound(repair->store, repair->index, &repair->manifest)) {
        remove_segment(repair, added);
        code = refuse(repair->index, "the server would not start even then; restore a backup");
    } else {
        err = store_manifest(repair->store, repair->index, &repair->manifest);
        if (err == SL_OK)
            err = move_unreadable(repair);
        if (err != SL_OK)
            code = refuse_disk(repair->index);
    }
    sl_segment_unref(&added);
    if (code == SL_EXIT_CLEAN && drops)
        sl_tool_print("shard %u: %" PRIu64
                      " streams removed; streams of which only the lost segment "
                      "knew, and whose names it does not tell any more, are gone too; others may "
                      "be in an older state if their last change was noted only there\n",
                      repair->index, repair->lost);
    return code;
}

static enum sl_exit_code judge_shards(struct quarantine *quarantine)
{
    for (unsigned i = 0; i < quarantine->shards; i++) {
        struct shard_repair *repair = &quarantine->all[i];
        if (repair->first->scan.result == SL_WAL_CORRUPT)
            return refuse(i, "the log is damaged too; --cut-at first");
        drop_unreadable(repair);
        repair->second = (struct sl_shard_check){
            .store = repair->store, .index = i, .manifest = &repair->manifest, .quiet = true
        };
        sl_shard_check_run(&repair->second);
        if (repair->second.err != SL_OK)
            return refuse_disk(i);
        sl_shard_check_walk(&repair->second, lose_bad, repair);
        sl_shard_check_walk(repair->first, compare, repair);
    }
    lose_forks(quarantine);
    return SL_EXIT_CLEAN;
}

enum sl_exit_code sl_repair_quarantine(const struct sl_store *store,
                                       const struct sl_shard_check *checks)
{
    struct quarantine quarantine = { .shards = store->shards };
    quarantine.all = sl_memory_zalloc(store->shards * sizeof(*quarantine.all));
    for (unsigned i = 0; i < store->shards; i++)
        quarantine.all[i] =
            (struct shard_repair){ .store = store, .index = i, .first = &checks[i] };
    enum sl_exit_code code = judge_shards(&quarantine);
    for (unsigned i = 0; i < store->shards && code == SL_EXIT_CLEAN; i++)
        code = finish_shard(&quarantine.all[i]);
    for (unsigned i = 0; i < store->shards; i++) {
        sl_shard_check_deinit(&quarantine.all[i].second);
        sl_manifest_deinit(&quarantine.all[i].manifest);
    }
    sl_memory_free(quarantine.all);
    return code;
}

/* ---- rebuild ---- */

/* All segments that are there; false: one cannot be read. */
static bool name_segments(const struct sl_store *store, unsigned index,
                          const struct sl_buffer *numbers, struct sl_manifest *manifest)
{
    char directory[SL_PATH_SIZE_MAX];
    const uint64_t *number = (const void *)numbers->data;
    sl_store_shard_path(store, index, directory);
    for (size_t i = 0; i < numbers->size / sizeof(*number); i++) {
        struct sl_segment *segment;
        uint64_t position;
        const char *what;
        enum sl_err err = sl_inspect_segment(store->vfs, directory, number[i], manifest->log_id,
                                             &segment, &position, &what);
        if (err != SL_OK) {
            char name[SL_SEGMENT_NAME_SIZE];
            sl_segment_name(number[i], name);
            sl_tool_print("error: shard-%02u/%s at %" PRIu64 ": %s\n", index, name, position, what);
            return false;
        }
        if (number[i] > manifest->next_segment)
            sl_tool_print("warning: shard-%02u: segments %016" PRIx64 " to %016" PRIx64
                          " are not there: replaced by a compaction, never finished, or lost\n",
                          index, manifest->next_segment, number[i] - 1);
        struct sl_manifest_segment named = { .number = number[i],
                                             .size = segment->size,
                                             .footer_crc = segment->footer_crc };
        sl_buffer_append(&manifest->segments, &named, sizeof(named));
        manifest->next_segment = number[i] + 1;
        sl_segment_unref(&segment);
    }
    return true;
}

/* Takes segments out of whose bytes another one has a newer copy; false: there were none. */
static bool drop_replaced(const struct sl_shard_check *check, struct sl_manifest *manifest)
{
    const struct sl_check_segment *noted = (const void *)check->segments.data;
    struct sl_manifest_segment *named = (void *)manifest->segments.data;
    size_t count = manifest->segments.size / sizeof(*named), kept = 0;
    for (size_t i = 0; i < count; i++) {
        bool replaced = false;
        for (size_t j = 0; j < check->segments.size / sizeof(*noted); j++)
            replaced = replaced || (noted[j].number == named[i].number && noted[j].replaced);
        if (replaced)
            sl_tool_print("shard %u: segment %016" PRIx64
                          " was replaced by a compaction: left out\n",
                          check->index, named[i].number);
        else
            named[kept++] = named[i];
    }
    manifest->segments.size = kept * sizeof(*named);
    return kept < count;
}

/* Leaves out what was replaced, and learns how far the segments reach. */
static void settle_segments(const struct sl_store *store, unsigned index,
                            struct sl_manifest *manifest)
{
    bool again = true;
    for (unsigned round = 0; again && round < REPLACED_ROUNDS_MAX; round++) {
        struct sl_shard_check check = {
            .store = store, .index = index, .manifest = manifest, .quiet = true
        };
        sl_shard_check_run(&check);
        manifest->durable_lsn = check.lsn_max;
        manifest->last_id = (check.id_max >> SL_STREAM_ID_SHARD_BITS) + numbers_margin;
        again = drop_replaced(&check, manifest);
        sl_shard_check_deinit(&check);
    }
}

/* Where the log has to be read from: the earliest place that makes sense. */
static bool find_mark(const struct sl_store *store, unsigned index,
                      const struct sl_buffer *log_files, struct sl_manifest *manifest)
{
    char directory[SL_PATH_SIZE_MAX];
    const uint64_t *numbers = (const void *)log_files->data;
    bool has_log = false;
    sl_store_shard_path(store, index, directory);
    for (size_t i = 0; i < log_files->size / sizeof(*numbers); i++) {
        struct sl_wal_mark mark;
        if (!sl_inspect_log_begin(store->vfs, directory, manifest->log_id, store->wal_file_size,
                                  numbers[i], &mark))
            continue;
        has_log = true;
        if (mark.lsn > manifest->durable_lsn + 1)
            break;
        manifest->mark = mark;
        if (is_sound(store, index, manifest))
            return true;
    }
    if (has_log)
        return false;
    sl_tool_print("shard %u: there is no log: every change that only it had is lost\n", index);
    manifest->no_log = true;
    manifest->mark = (struct sl_wal_mark){ .lsn = manifest->durable_lsn + 1 };
    return is_sound(store, index, manifest);
}

static enum sl_exit_code install_rebuilt(const struct sl_store *store, unsigned index, bool has_old,
                                         const struct sl_manifest *manifest)
{
    enum sl_err err = has_old ? sl_store_keep_lost(store, index, "MANIFEST", 0, 0) : SL_OK;
    if (err == SL_OK)
        err = store_manifest(store, index, manifest);
    if (err != SL_OK)
        return refuse_disk(index);
    sl_tool_print("shard %u: new manifest: %zu segments, log from LSN %" PRIu64 " on\n", index,
                  manifest->segments.size / sizeof(struct sl_manifest_segment), manifest->mark.lsn);
    return SL_EXIT_CLEAN;
}

static enum sl_exit_code rebuild(const struct sl_store *store, unsigned index, bool has_old)
{
    char directory[SL_PATH_SIZE_MAX];
    struct sl_buffer segments = { 0 }, log_files = { 0 };
    struct sl_manifest manifest;
    enum sl_exit_code code;
    sl_manifest_init(&manifest, store->log_id + index);
    sl_store_shard_path(store, index, directory);
    if (sl_inspect_list(store->vfs, directory, &segments, &log_files) != SL_OK) {
        code = refuse_disk(index);
    } else if (!name_segments(store, index, &segments, &manifest)) {
        code = refuse(index, "without that segment nobody can tell what is missing; restore a "
                             "backup, or move the file away and try again");
    } else {
        settle_segments(store, index, &manifest);
        code = find_mark(store, index, &log_files, &manifest)
                   ? install_rebuilt(store, index, has_old, &manifest)
                   : refuse(index, "segments and log do not fit together; restore a backup");
    }
    sl_manifest_deinit(&manifest);
    sl_buffer_deinit(&segments);
    sl_buffer_deinit(&log_files);
    return code;
}

enum sl_exit_code sl_repair_manifest(const struct sl_store *store, unsigned index)
{
    char directory[SL_PATH_SIZE_MAX];
    struct sl_manifest old;
    bool one_copy;
    sl_store_shard_path(store, index, directory);
    enum sl_err err = sl_manifest_load(store->vfs, directory, &old, &one_copy);
    if (err == SL_OK) {
        sl_tool_print("shard %u: its manifest can be read; nothing to do\n", index);
        sl_manifest_deinit(&old);
        return SL_EXIT_CLEAN;
    }
    if (err != SL_ERR_DATA_CORRUPT && err != SL_ERR_NOT_FOUND)
        return sl_exit_code_of(err);
    return rebuild(store, index, err == SL_ERR_DATA_CORRUPT);
}
