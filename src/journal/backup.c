#include "journal/backup.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"
#include "journal/encoding_internal.h"
#include "journal/inspect.h"
#include "journal/store_internal.h"

enum { COPY_BYTES = 1024 * 1024 };

#define NOTE_NAME "INCOMPLETE"
#define NOTE_BEGUN                                                                                 \
    "This backup is not complete: sluice backup writes it, or was stopped. Remove it.\n"

static enum sl_err fail(const char *path, int error, const char *what)
{
    char text[SL_LOG_LINE_SIZE_MAX / 2];
    sl_log(SL_LOG_ERROR, "journal", "backup_failed", "path=%s what=\"%s%s%s\"",
           sl_log_escaped(text, sizeof(text), sl_bytes_of(path)), what, error == 0 ? "" : ": ",
           error == 0 ? "" : strerror(error));
    return sli_disk_err(error);
}

static enum sl_err fail_destination(const char *path, int error, const char *what)
{
    enum sl_err err = fail(path, error, what);
    return sli_store_is_mistake(error) ? SL_ERR_DESTINATION_UNUSABLE : err;
}

/* ---- cut ---- */

void sl_cut_add(struct sl_cut *cut, struct sl_segment *segment)
{
    struct sl_segment *held = sl_segment_ref(segment);
    sl_buffer_append(&cut->segments, &held, sizeof(held));
}

void sl_cut_deinit(struct sl_cut *cut)
{
    struct sl_segment **segments = (void *)cut->segments.data;
    for (size_t i = 0; i < cut->segments.size / sizeof(*segments); i++)
        sl_segment_unref(&segments[i]);
    sl_buffer_deinit(&cut->segments);
}

static int compare_numbers(const void *left, const void *right)
{
    const struct sl_manifest_segment *a = left, *b = right;
    return a->number < b->number ? -1 : a->number > b->number;
}

/* ---- directories and files ---- */

static void on_any_name(void *context, const char *name)
{
    /* What a file system puts there itself. */
    if (strcmp(name, "lost+found") != 0)
        *(bool *)context = true;
}

/* An empty directory at `path`, with a durable name. */
static enum sl_err make_empty(const struct sl_vfs *vfs, const char *path)
{
    bool in_use = false;
    if (strlen(path) >= SL_PATH_SIZE_MAX)
        return fail_destination(path, ENAMETOOLONG, "the path cannot be used");
    int error = vfs->make_directory(vfs, path);
    if (error == EEXIST)
        error = vfs->list(vfs, path, on_any_name, &in_use);
    if (error != 0)
        return fail_destination(path, error, "the directory cannot be made or read");
    if (in_use) {
        (void)fail(path, 0, "the directory is not empty");
        return SL_ERR_DESTINATION_IN_USE;
    }
    error = sli_store_sync_parent(vfs, path);
    return error == 0 ? SL_OK
                      : fail_destination(path, error, "the directory cannot be made durable");
}

static int write_note(const struct sl_vfs *vfs, const char *directory, const char *text)
{
    char path[SL_PATH_SIZE_MAX];
    struct sl_file *file;
    if (!sl_path_join(path, directory, NOTE_NAME))
        return ENAMETOOLONG;
    int error = vfs->unlink(vfs, path);
    if (error == 0 || error == ENOENT)
        error = vfs->open(vfs, path, SL_VFS_WRITE | SL_VFS_CREATE, &file);
    if (error != 0)
        return error;
    error = vfs->write(file, text, strlen(text), 0);
    if (error == 0)
        error = vfs->sync(file);
    vfs->close(file);
    return error;
}

static int copy_open(struct sl_file *from, struct sl_file *to)
{
    uint8_t *bytes = sl_memory_alloc(COPY_BYTES);
    uint64_t at = 0;
    size_t got = 0;
    int error;
    do {
        error = from->vfs->read(from, bytes, COPY_BYTES, at, &got);
        if (error == 0 && got > 0)
            error = to->vfs->write(to, bytes, got, at);
        at += got;
    } while (error == 0 && got == COPY_BYTES);
    if (error == 0)
        error = to->vfs->sync(to);
    sl_memory_free(bytes);
    return error;
}

static int copy_file(const struct sl_vfs *vfs, const char *from, const char *to)
{
    struct sl_file *source, *target;
    int error = vfs->open(vfs, from, 0, &source);
    if (error != 0)
        return error;
    error = vfs->open(vfs, to, SL_VFS_WRITE | SL_VFS_CREATE, &target);
    if (error == 0) {
        error = copy_open(source, target);
        vfs->close(target);
    }
    vfs->close(source);
    return error;
}

/* Another file system, or one without links, or too many of them. */
static int link_or_copy(const struct sl_vfs *vfs, const char *from, const char *to)
{
    int error = vfs->link(vfs, from, to);
    bool must_copy = error == EXDEV || error == EPERM || error == EMLINK || error == ENOTSUP;
    return must_copy ? copy_file(vfs, from, to) : error;
}

/*
 * From one directory to another; `on_file` may be NULL. Returns 0 or an errno value; ENOENT: there
 * is no such file.
 */
static int copy_named(const struct sl_vfs *vfs, const char *from, const char *to, const char *name,
                      void (*on_file)(const char *path, uint64_t size))
{
    char source[SL_PATH_SIZE_MAX], target[SL_PATH_SIZE_MAX];
    struct sl_file *file;
    uint64_t size = 0;
    if (!sl_path_join(source, from, name) || !sl_path_join(target, to, name))
        return ENAMETOOLONG;
    int error = vfs->open(vfs, source, 0, &file);
    if (error != 0)
        return error;
    error = vfs->size(file, &size);
    vfs->close(file);
    if (error != 0)
        return error;
    if (on_file != NULL)
        on_file(target, size);
    return copy_file(vfs, source, target);
}

/*
 * If there are any. They are replaced as a whole, so the copy is those of one moment, whoever
 * rotates them meanwhile.
 */
static enum sl_err copy_keys(const struct sl_store *store, const char *to,
                             void (*on_file)(const char *path, uint64_t size))
{
    int error = copy_named(store->vfs, store->path, to, SL_STORE_KEYS_NAME, on_file);
    if (error == 0 || error == ENOENT)
        return SL_OK;
    return fail(to, error, "the file " SL_STORE_KEYS_NAME " cannot be copied");
}

/* "<directory>/shard-NN". */
static bool shard_path(const struct sl_store *store, const char *directory, unsigned index,
                       char *out)
{
    char own[SL_PATH_SIZE_MAX];
    sl_store_shard_path(store, index, own);
    return sl_path_join(out, directory, strrchr(own, '/') + 1);
}

static enum sl_err make_shards(const struct sl_store *store, const char *directory)
{
    char path[SL_PATH_SIZE_MAX];
    int error = 0;
    for (unsigned i = 0; i < store->shards && error == 0; i++)
        error = shard_path(store, directory, i, path) ? store->vfs->make_directory(store->vfs, path)
                                                      : ENAMETOOLONG;
    if (error == 0)
        error = store->vfs->sync_directory(store->vfs, directory);
    return error == 0 ? SL_OK : fail(directory, error, "a shard's directory cannot be made");
}

/* ---- backup ---- */

enum sl_err sl_backup_begin(const struct sl_store *store, const char *destination)
{
    enum sl_err err = make_empty(store->vfs, destination);
    if (err != SL_OK)
        return err;
    int error = write_note(store->vfs, destination, NOTE_BEGUN);
    if (error != 0)
        return fail_destination(destination, error, "the directory cannot be written");
    err = make_shards(store, destination);
    if (err != SL_OK)
        sl_backup_abandon(store, destination, err);
    return err;
}

static enum sl_err add_segments(const struct sl_store *store, const char *directory,
                                const struct sl_cut *cut, struct sl_manifest *manifest)
{
    struct sl_segment *const *segments = (const void *)cut->segments.data;
    size_t count = cut->segments.size / sizeof(struct sl_segment *);
    for (size_t i = 0; i < count; i++) {
        char name[SL_SEGMENT_NAME_SIZE];
        char path[SL_PATH_SIZE_MAX];
        sl_segment_name(segments[i]->number, name);
        int error = sl_path_join(path, directory, name)
                        ? link_or_copy(store->vfs, segments[i]->path, path)
                        : ENAMETOOLONG;
        if (error != 0)
            return fail(segments[i]->path, error, "a segment cannot be linked or copied");
        struct sl_manifest_segment named = { .number = segments[i]->number,
                                             .size = segments[i]->size,
                                             .footer_crc = segments[i]->footer_crc };
        sl_buffer_append(&manifest->segments, &named, sizeof(named));
        if (named.number >= manifest->next_segment)
            manifest->next_segment = named.number + 1;
    }
    if (count > 0)
        qsort(manifest->segments.data, count, sizeof(struct sl_manifest_segment), compare_numbers);
    return SL_OK;
}

enum sl_err sl_backup_add(const struct sl_store *store, const char *destination, unsigned index,
                          const struct sl_cut *cut)
{
    char directory[SL_PATH_SIZE_MAX];
    bool unknown;
    struct sl_manifest manifest = {
        .log_id = store->log_id + index,
        .sequence = 1,
        .mark = cut->mark,
        .last_id = cut->last_id,
        .durable_lsn = cut->mark.lsn - 1,
        .next_segment = 1,
        .no_log = true,
    };
    SL_ASSERT(cut->mark.position % store->wal_file_size == 0);
    if (!shard_path(store, destination, index, directory))
        return fail(destination, ENAMETOOLONG, "the path is too long");
    enum sl_err err = add_segments(store, directory, cut, &manifest);
    if (err == SL_OK) {
        err = sl_manifest_store(store->vfs, directory, &manifest, &unknown);
        if (err != SL_OK)
            (void)fail(directory, 0, "the manifest cannot be written");
    }
    sl_manifest_deinit(&manifest);
    return err;
}

/* The note goes first: a directory with both would say two things. */
static enum sl_err finish(const struct sl_store *store, const char *directory, bool backup)
{
    char path[SL_PATH_SIZE_MAX];
    if (!sl_path_join(path, directory, NOTE_NAME))
        return fail(directory, ENAMETOOLONG, "the path is too long");
    int error = store->vfs->unlink(store->vfs, path);
    if (error == 0)
        error = store->vfs->sync_directory(store->vfs, directory);
    if (error != 0)
        return fail(path, error, "the note cannot be removed");
    return sl_store_write_identity(store, directory, backup);
}

enum sl_err sl_backup_finish(const struct sl_store *store, const char *destination)
{
    enum sl_err err = copy_keys(store, destination, NULL);
    return err == SL_OK ? finish(store, destination, true) : err;
}

static void remove_files(const struct sl_vfs *vfs, const char *directory)
{
    char path[SL_PATH_SIZE_MAX];
    char name[SL_SEGMENT_NAME_SIZE];
    struct sl_buffer segments = { 0 }, log_files = { 0 };
    if (sl_inspect_list(vfs, directory, &segments, &log_files) == SL_OK) {
        const uint64_t *numbers = (const void *)segments.data;
        for (size_t i = 0; i < segments.size / sizeof(*numbers); i++) {
            sl_segment_name(numbers[i], name);
            if (sl_path_join(path, directory, name))
                (void)vfs->unlink(vfs, path);
        }
    }
    if (sl_path_join(path, directory, "MANIFEST"))
        (void)vfs->unlink(vfs, path);
    if (sl_path_join(path, directory, "MANIFEST.tmp"))
        (void)vfs->unlink(vfs, path);
    sl_buffer_deinit(&segments);
    sl_buffer_deinit(&log_files);
}

void sl_backup_abandon(const struct sl_store *store, const char *destination, enum sl_err err)
{
    char path[SL_PATH_SIZE_MAX];
    struct sl_buffer text = { 0 };
    for (unsigned i = 0; i < store->shards; i++)
        if (shard_path(store, destination, i, path))
            remove_files(store->vfs, path);
    if (sl_path_join(path, destination, SL_STORE_KEYS_NAME))
        (void)store->vfs->unlink(store->vfs, path);
    sl_buffer_printf(&text,
                     "This is not complete and of no use: it failed with %s: %s. Remove it.\n",
                     sl_err_code(err), sl_err_text(err));
    sl_buffer_append(&text, "", 1);
    (void)write_note(store->vfs, destination, (const char *)text.data);
    sl_buffer_deinit(&text);
}

/* ---- restore ---- */

static enum sl_err restore_file(const struct sl_vfs *vfs, const char *from, const char *to,
                                const char *name, void (*on_file)(const char *path, uint64_t size))
{
    char source[SL_PATH_SIZE_MAX];
    int error = copy_named(vfs, from, to, name, on_file);
    if (error == 0)
        return SL_OK;
    enum sl_err err =
        fail(sl_path_join(source, from, name) ? source : from, error,
             error == ENOENT ? "a file of the backup is missing" : "a file cannot be copied");
    return error == ENOENT ? SL_ERR_DATA_CORRUPT : err;
}

static enum sl_err restore_shard(const struct sl_store *backup, const char *path, unsigned index,
                                 void (*on_file)(const char *path, uint64_t size))
{
    char from[SL_PATH_SIZE_MAX], to[SL_PATH_SIZE_MAX];
    struct sl_manifest manifest;
    bool one_copy;
    sl_store_shard_path(backup, index, from);
    if (!shard_path(backup, path, index, to))
        return fail(path, ENAMETOOLONG, "the path is too long");
    enum sl_err err = sl_manifest_load(backup->vfs, from, &manifest, &one_copy);
    if (err != SL_OK) {
        (void)fail(from, 0, "the manifest of the backup cannot be read");
        return err == SL_ERR_NOT_FOUND ? SL_ERR_DATA_CORRUPT : err;
    }
    const struct sl_manifest_segment *named = (const void *)manifest.segments.data;
    for (size_t i = 0; i < manifest.segments.size / sizeof(*named) && err == SL_OK; i++) {
        char name[SL_SEGMENT_NAME_SIZE];
        sl_segment_name(named[i].number, name);
        err = restore_file(backup->vfs, from, to, name, on_file);
    }
    sl_manifest_deinit(&manifest);
    if (err == SL_OK)
        err = restore_file(backup->vfs, from, to, "MANIFEST", on_file);
    int error = err == SL_OK ? backup->vfs->sync_directory(backup->vfs, to) : 0;
    return error == 0 ? err : fail(to, error, "the directory cannot be made durable");
}

enum sl_err sl_backup_restore(const struct sl_store *backup, const char *path,
                              void (*on_file)(const char *path, uint64_t size))
{
    struct sl_store restored = *backup;
    restored.history_id = sl_random_u64();
    enum sl_err err = sl_backup_begin(backup, path);
    if (err != SL_OK)
        return err;
    for (unsigned i = 0; i < backup->shards && err == SL_OK; i++)
        err = restore_shard(backup, path, i, on_file);
    if (err == SL_OK)
        err = copy_keys(backup, path, on_file);
    if (err == SL_OK)
        err = finish(&restored, path, false);
    if (err != SL_OK)
        sl_backup_abandon(backup, path, err);
    return err;
}
