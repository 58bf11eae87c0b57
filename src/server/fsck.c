#include "server/fsck.h"

#include <inttypes.h>

#include "base/memory.h"
#include "hooks/keys.h"
#include "journal/inspect.h"
#include "server/repair.h"
#include "server/shard_check.h"
#include "server/tool.h"
#include "sluice/engine.h"

static const char usage[] =
    "sluice fsck DIR [--shard N] [--cut-at LSN | --quarantine | --rebuild-manifest]\n"
    "\n"
    "Checks a data directory that no server has open: its identity, its keys and, per shard, the "
    "manifest, every\n"
    "segment with every stream's state and every byte, and the log. Prints what it finds. Without "
    "one\n"
    "of the last three options it changes nothing.\n"
    "\n"
    "  --shard N            look only at shard N, and not at the keys\n"
    "  --cut-at LSN         with --shard: the log of that shard ends before the change with this "
    "number.\n"
    "                       What comes later is lost, although it was acknowledged: the rest of "
    "the file\n"
    "                       is copied to lost+found and overwritten with zeros, files behind it "
    "are moved\n"
    "                       there. Refused when segments hold later changes, or cannot be read; "
    "the first\n"
    "                       LSN that a check prints for the shard is always possible and gives up "
    "the\n"
    "                       whole log.\n"
    "                       Forks in other shards that inherited what is lost are damage then, "
    "which\n"
    "                       --quarantine removes.\n"
    "  --quarantine         all shards: segments that cannot be read are moved to lost+found, and "
    "every\n"
    "                       stream that is not whole without them is removed and named, forks "
    "that\n"
    "                       inherit from it too. Other streams of the shard may go back to an "
    "older\n"
    "                       state (deleted: back, closed: open) if only a lost segment knew "
    "better. A\n"
    "                       segment in which only bytes of streams are damaged stays: reads of "
    "those\n"
    "                       bytes fail, everything else is served. To save what can still be "
    "read,\n"
    "                       run sluice dump --segments --log --payload before.\n"
    "  --rebuild-manifest   for a shard without a readable manifest: a new one is made from its "
    "segments\n"
    "                       and its log; the old one goes to lost+found. A segment that a "
    "compaction had\n"
    "                       replaced and whose file was still there may come back: where two "
    "segments have\n"
    "                       the same bytes the one with the higher number counts, but streams that "
    "were\n"
    "                       removed can appear again.\n"
    "\n"
    "Exit code: 0 all is well, 2 only the end of a log is torn (the next start mends it), 3 "
    "corrupt,\n"
    "4 a server has the directory open, 5 another version wrote it, 6 the disk does not answer, 1 "
    "usage.\n"
    "After a repair it is that of a new check of all shards.\n";

struct fsck {
    struct sl_store *store; /* borrowed */
    bool has_shard;
    uint64_t shard;
    bool cuts;
    uint64_t cut_at;
    bool quarantines;
    bool rebuilds;
    enum sl_exit_code code;        /* the worst so far */
    struct sl_manifest *manifests; /* owned, per shard */
    struct sl_shard_check *checks; /* owned, per shard */
    bool checked[SL_SHARDS_MAX];   /* the two above count */
};

/* Worse ones first. */
static void set_code(struct fsck *fsck, enum sl_exit_code code)
{
    static const enum sl_exit_code order[] = { SL_EXIT_STORAGE_FAILED, SL_EXIT_VERSION,
                                               SL_EXIT_CORRUPT, SL_EXIT_TORN };
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        if (fsck->code == order[i])
            return;
        if (code == order[i]) {
            fsck->code = code;
            return;
        }
    }
}

static bool is_wanted(const struct fsck *fsck, unsigned index)
{
    return !fsck->has_shard || fsck->shard == index;
}

/* ---- a shard ---- */

static void tell_lost_manifest(const struct sl_store *store, unsigned index, const char *directory)
{
    struct sl_buffer segments = { 0 }, log_files = { 0 };
    enum sl_err err = sl_inspect_list(store->vfs, directory, &segments, &log_files);
    bool is_empty = err == SL_OK && segments.size + log_files.size == 0;
    bool has_log = err != SL_OK || log_files.size > 0;
    sl_buffer_deinit(&segments);
    sl_buffer_deinit(&log_files);
    if (is_empty)
        sl_tool_print("  lost: everything that was in the shard\n"
                      "  repair: restore a backup\n"
                      "      or: go on with an empty shard, and then --quarantine:\n"
                      "          sluice fsck %s --shard %u --rebuild-manifest\n",
                      sl_tool_word(store->path), index);
    else
        sl_tool_print("  lost: the list of segments; %s\n"
                      "  repair: sluice fsck %s --shard %u --rebuild-manifest\n"
                      "      or: restore a backup\n",
                      has_log ? "the segments and the log may be good"
                              : "every change that only the log had, since there is none; the "
                                "segments may be good",
                      sl_tool_word(store->path), index);
}

/* False: there is nothing more to check in this shard. */
static bool load_manifest(struct fsck *fsck, unsigned index)
{
    char directory[SL_PATH_SIZE_MAX];
    struct sl_manifest *manifest = &fsck->manifests[index];
    bool one_copy;
    sl_store_shard_path(fsck->store, index, directory);
    enum sl_err err = sl_manifest_load(fsck->store->vfs, directory, manifest, &one_copy);
    if (one_copy)
        sl_tool_print("warning: shard-%02u/MANIFEST: one of its two copies is damaged\n"
                      "  repair: none needed: the next flush writes both\n",
                      index);
    if (err == SL_OK && manifest->log_id == fsck->store->log_id + index)
        return true;
    enum sl_exit_code code =
        err == SL_OK || err == SL_ERR_NOT_FOUND ? SL_EXIT_CORRUPT : sl_exit_code_of(err);
    set_code(fsck, code);
    const char *what = err == SL_OK ? "it is of another log" : sl_err_text(err);
    sl_tool_print("error: shard-%02u/MANIFEST at 0: %s\n", index,
                  err == SL_ERR_NOT_FOUND ? "it is missing" : what);
    if (code == SL_EXIT_CORRUPT)
        tell_lost_manifest(fsck->store, index, directory);
    return false;
}

static bool is_named(const struct sl_manifest *manifest, uint64_t number)
{
    const struct sl_manifest_segment *named = (const void *)manifest->segments.data;
    for (size_t i = 0; i < manifest->segments.size / sizeof(*named); i++)
        if (named[i].number == number)
            return true;
    return false;
}

static void tell_unnamed(const struct fsck *fsck, unsigned index)
{
    char directory[SL_PATH_SIZE_MAX];
    char name[SL_SEGMENT_NAME_SIZE];
    struct sl_buffer segments = { 0 }, log_files = { 0 };
    sl_store_shard_path(fsck->store, index, directory);
    enum sl_err err = sl_inspect_list(fsck->store->vfs, directory, &segments, &log_files);
    const uint64_t *numbers = (const void *)segments.data;
    for (size_t i = 0; err == SL_OK && i < segments.size / sizeof(*numbers); i++) {
        if (is_named(&fsck->manifests[index], numbers[i]))
            continue;
        sl_segment_name(numbers[i], name);
        sl_tool_print("note: shard-%02u/%s is not in the manifest; the next start moves it to "
                      "lost+found\n",
                      index, name);
    }
    sl_buffer_deinit(&segments);
    sl_buffer_deinit(&log_files);
}

static void check_shard(struct fsck *fsck, unsigned index)
{
    if (!load_manifest(fsck, index))
        return;
    const struct sl_manifest *manifest = &fsck->manifests[index];
    struct sl_shard_check *check = &fsck->checks[index];
    *check = (struct sl_shard_check){ .store = fsck->store, .index = index, .manifest = manifest };
    fsck->checked[index] = true;
    sl_shard_check_run(check);
    tell_unnamed(fsck, index);
    if (check->err != SL_OK) {
        sl_tool_print("error: shard-%02u: the disk does not answer (errno %d)\n", index,
                      check->scan.error_number);
        set_code(fsck, SL_EXIT_STORAGE_FAILED);
        return;
    }
    sl_tool_print("shard %u: %zu segments (%" PRIu64 " bytes), %" PRIu64 " streams, log from LSN "
                  "%" PRIu64 ": %" PRIu64 " changes%s, %" PRIu64 " torn bytes, %u errors\n",
                  index, manifest->segments.size / sizeof(struct sl_manifest_segment),
                  check->segment_bytes, check->stream_count, manifest->mark.lsn,
                  check->scan.end.lsn - manifest->mark.lsn, check->scan.sealed ? " (sealed)" : "",
                  check->scan.torn_bytes, check->errors);
    if (check->errors > 0)
        set_code(fsck, SL_EXIT_CORRUPT);
    else if (check->scan.result == SL_WAL_TORN)
        set_code(fsck, SL_EXIT_TORN);
}

/* ---- what concerns several shards ---- */

struct fork_check {
    struct fsck *fsck;
    unsigned index;
};

static bool own_bytes(const void *context, uint32_t shard, uint64_t id, uint64_t *base,
                      uint64_t *end)
{
    const struct fsck *fsck = context;
    return shard < fsck->store->shards &&
           sl_check_stream_own(sl_shard_check_find(&fsck->checks[shard], id), base, end);
}

static void check_fork(void *context, struct sl_check_stream *stream)
{
    const struct fork_check *fork = context;
    if (!stream->exists || sl_lineage_is_whole(stream->lineage, stream->source_shard,
                                               stream->source_id, own_bytes, fork->fsck))
        return;
    struct sl_buffer name = { 0 }, todo = { 0 };
    sl_check_stream_print(stream, &name);
    sl_buffer_append(&name, "", 1);
    sl_tool_print("error: shard-%02u: stream %s: what this fork inherited is not there any more\n"
                  "  lost: its bytes before %" PRIu64 ", or some of them\n"
                  "  repair: %s\n",
                  fork->index, (const char *)name.data, stream->base,
                  sl_check_quarantine_text(fork->fsck->store, &todo));
    set_code(fork->fsck, SL_EXIT_CORRUPT);
    sl_buffer_deinit(&todo);
    sl_buffer_deinit(&name);
}

static void check_forks(struct fsck *fsck)
{
    for (unsigned i = 0; i < fsck->store->shards; i++)
        if (!fsck->checked[i])
            return;
    for (unsigned i = 0; i < fsck->store->shards; i++) {
        struct fork_check fork = { fsck, i };
        sl_shard_check_walk(&fsck->checks[i], check_fork, &fork);
    }
}

/* A directory that nobody has served yet has none. */
static void check_keys(struct fsck *fsck)
{
    struct sl_keys *keys;
    enum sl_err err = sl_keys_read(fsck->store->vfs, fsck->store->path, &keys);
    if (err == SL_OK) {
        sl_tool_print("keys: webhooks are signed with %s\n", sl_keys_id(keys));
        sl_keys_close(&keys);
    } else if (err == SL_ERR_NOT_FOUND) {
        sl_tool_print("note: there are no KEYS; the next start makes new ones\n");
    } else if (err == SL_ERR_DATA_DIRECTORY) {
        sl_tool_print("error: KEYS at 0: others than its owner may use it, or it cannot be opened\n"
                      "  lost: nothing, but no server starts\n"
                      "  repair: chmod 600, and the user that runs the server as its owner\n");
        set_code(fsck, SL_EXIT_CORRUPT);
    } else {
        sl_tool_print("error: KEYS at 0: %s\n", sl_err_text(err));
        set_code(fsck, sl_exit_code_of(err));
    }
    if (err == SL_ERR_DATA_CORRUPT)
        sl_tool_print("  lost: what webhooks are signed with, and tokens; no stream\n"
                      "  repair: take KEYS of a backup, or remove it: then there are new keys, and "
                      "what workers hold wakes again when its lease ends\n");
}

static void check_all(struct fsck *fsck)
{
    if (!fsck->has_shard)
        check_keys(fsck);
    for (unsigned i = 0; i < fsck->store->shards; i++)
        if (is_wanted(fsck, i))
            check_shard(fsck, i);
    check_forks(fsck);
}

static void tell_outcome(enum sl_exit_code code)
{
    if (code == SL_EXIT_CLEAN)
        sl_tool_print("no errors\n");
    else if (code == SL_EXIT_TORN)
        sl_tool_print("no errors; the next start mends the torn end of the log\n");
    else
        sl_tool_print("errors: see above\n");
}

static void forget(struct fsck *fsck)
{
    for (unsigned i = 0; i < fsck->store->shards; i++) {
        if (fsck->checked[i])
            sl_shard_check_deinit(&fsck->checks[i]);
        fsck->checked[i] = false;
        sl_manifest_deinit(&fsck->manifests[i]);
    }
    fsck->code = SL_EXIT_CLEAN;
}

/* ---- repairs ---- */

static enum sl_exit_code quarantine(struct fsck *fsck)
{
    for (unsigned i = 0; i < fsck->store->shards; i++) {
        if (fsck->checked[i] && fsck->checks[i].err == SL_OK)
            continue;
        sl_tool_print("not repaired: shard %u could not be checked; mend that first\n", i);
        return SL_EXIT_CORRUPT;
    }
    return sl_repair_quarantine(fsck->store, fsck->checks);
}

static enum sl_exit_code rebuild(struct fsck *fsck)
{
    enum sl_exit_code code = SL_EXIT_CLEAN;
    for (unsigned i = 0; i < fsck->store->shards && code == SL_EXIT_CLEAN; i++)
        if (is_wanted(fsck, i))
            code = sl_repair_manifest(fsck->store, i);
    return code;
}

static enum sl_exit_code repair(struct fsck *fsck)
{
    if (fsck->cuts)
        return sl_repair_cut(fsck->store, (unsigned)fsck->shard, fsck->cut_at);
    if (fsck->rebuilds)
        return rebuild(fsck);
    sl_tool_print("before the repair:\n");
    check_all(fsck);
    enum sl_exit_code code = quarantine(fsck);
    forget(fsck);
    return code;
}

static bool repairs(const struct fsck *fsck)
{
    return fsck->cuts || fsck->quarantines || fsck->rebuilds;
}

static bool makes_sense(const struct fsck *fsck, enum sl_exit_code *code)
{
    const char *what = NULL;
    if (fsck->cuts + fsck->quarantines + fsck->rebuilds > 1)
        what = "one repair at a time";
    else if (fsck->cuts && !fsck->has_shard)
        what = "--cut-at needs --shard";
    else if (fsck->quarantines && fsck->has_shard)
        what = "--quarantine looks at all shards, because of forks";
    if (what != NULL)
        sl_tool_complain("%s", what);
    *code = SL_EXIT_USAGE;
    return what == NULL;
}

static enum sl_exit_code run(struct fsck *fsck)
{
    unsigned shards = fsck->store->shards;
    if (shards > SL_SHARDS_MAX || (fsck->has_shard && fsck->shard >= shards)) {
        sl_tool_complain("the shards are 0 to %u", shards - 1);
        return SL_EXIT_USAGE;
    }
    fsck->manifests = sl_memory_zalloc(shards * sizeof(*fsck->manifests));
    fsck->checks = sl_memory_zalloc(shards * sizeof(*fsck->checks));
    enum sl_exit_code code = SL_EXIT_CLEAN;
    if (repairs(fsck)) {
        code = repair(fsck);
        fsck->has_shard = false; /* forks in other shards may have lost what they inherit */
        if (code == SL_EXIT_CLEAN)
            sl_tool_print("after the repair:\n");
    }
    if (code == SL_EXIT_CLEAN) {
        check_all(fsck);
        code = fsck->code;
        tell_outcome(code);
    }
    forget(fsck);
    sl_memory_free(fsck->manifests);
    sl_memory_free(fsck->checks);
    return code;
}

enum sl_exit_code sl_fsck_check(struct sl_store *store)
{
    struct fsck fsck = { .store = store, .code = SL_EXIT_CLEAN };
    return run(&fsck);
}

int sl_fsck_main(int argument_count, char *const *arguments)
{
    struct fsck fsck = { .code = SL_EXIT_CLEAN };
    const char *path;
    const struct sl_tool_option options[] = {
        { "--shard", &fsck.has_shard, &fsck.shard, SL_SHARDS_MAX - 1 },
        { "--cut-at", &fsck.cuts, &fsck.cut_at, UINT64_MAX },
        { "--quarantine", &fsck.quarantines, NULL, 0 },
        { "--rebuild-manifest", &fsck.rebuilds, NULL, 0 },
    };
    const struct sl_tool_arguments wanted = { usage, options, sizeof(options) / sizeof(options[0]),
                                              &path, 1 };
    enum sl_exit_code code;
    if (!sl_tool_parse(&wanted, argument_count, arguments, &code) || !makes_sense(&fsck, &code))
        return (int)code;
    struct sl_store *store;
    enum sl_err err = sl_tool_open_store(path, !repairs(&fsck), &store);
    if (err != SL_OK)
        return (int)sl_exit_code_of(err);
    fsck.store = store;
    code = run(&fsck);
    sl_store_close(&store);
    if (!sl_tool_end_output())
        code = SL_EXIT_STORAGE_FAILED;
    return (int)code;
}
