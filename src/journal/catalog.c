#include "journal/catalog.h"

#include "base/log.h"
#include "base/memory.h"
#include "base/thread.h"
#include "journal/drop_internal.h"
#include "journal/encoding_internal.h"
#include "journal/segment_internal.h"

struct sl_catalog {
    const struct sl_vfs *vfs;    /* borrowed */
    char *directory;             /* owned: of the shard */
    uint64_t log_id;             /* of the shard's log */
    struct sl_link segments;     /* of struct sl_segment; the shard's, once it runs */
    struct sl_mutex *mutex;      /* held while a manifest is installed; guards what follows */
    struct sl_manifest manifest; /* the one that is installed */
    uint64_t sequence;           /* of the last one that was tried */
    uint64_t next_number;
    struct sl_buffer
        orphans; /* uint64_t each: segments of manifests that failed and may be on the disk */
};

/* What opening looks at. */
struct opening {
    const struct sl_store *store; /* borrowed */
    unsigned index;
    struct sl_catalog *catalog; /* being made */
    struct sl_buffer names;     /* NUL-terminated, one behind the other: files that are ours */
};

static bool begins_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool is_tmp(const char *name)
{
    size_t size = strlen(name);
    return size > 4 && strcmp(name + size - 4, ".tmp") == 0;
}

static void log_fault(const char *directory, const char *name, uint64_t position, const char *what)
{
    char path[SL_LOG_LINE_SIZE_MAX / 2];
    sl_log(SL_LOG_ERROR, "journal", "cannot_open", "directory=%s file=%s position=%llu what=\"%s\"",
           sl_log_escaped(path, sizeof(path), sl_bytes_of(directory)), name,
           (unsigned long long)position, what);
}

/* ---- opening ---- */

static void on_name(void *context, const char *name)
{
    struct opening *opening = context;
    if (begins_with(name, "seg-") || begins_with(name, "MANIFEST."))
        sl_buffer_append(&opening->names, name, strlen(name) + 1);
}

static enum sl_err look_around(struct opening *opening)
{
    const struct sl_catalog *catalog = opening->catalog;
    int error_number = catalog->vfs->list(catalog->vfs, catalog->directory, on_name, opening);
    if (error_number != 0)
        log_fault(catalog->directory, ".", 0, strerror(error_number));
    return error_number == 0 ? SL_OK : SL_ERR_STORAGE_FAILED;
}

static enum sl_err load_manifest(struct opening *opening)
{
    struct sl_catalog *catalog = opening->catalog;
    bool one_copy;
    enum sl_err err =
        sl_manifest_load(catalog->vfs, catalog->directory, &catalog->manifest, &one_copy);
    if (err == SL_ERR_NOT_FOUND) {
        log_fault(catalog->directory, "MANIFEST", 0,
                  "it is missing, and what the shard held may be, too: restore a backup, or ask "
                  "sluice fsck what is left");
        return SL_ERR_DATA_CORRUPT;
    }
    if (err != SL_OK) {
        log_fault(catalog->directory, "MANIFEST", 0, sl_err_text(err));
        return err;
    }
    if (catalog->manifest.log_id != catalog->log_id) {
        log_fault(catalog->directory, "MANIFEST", 0, "it is of another log");
        return SL_ERR_DATA_CORRUPT;
    }
    if (one_copy)
        sl_log(SL_LOG_WARN, "journal", "manifest_damaged",
               "directory=%s what=\"one of its two copies is damaged\" todo=\"none: the next flush "
               "writes both\"",
               catalog->directory);
    return SL_OK;
}

static struct sl_manifest_segment *segments_of(const struct sl_manifest *manifest, size_t *count)
{
    *count = manifest->segments.size / sizeof(struct sl_manifest_segment);
    return (struct sl_manifest_segment *)(void *)manifest->segments.data;
}

static enum sl_err open_segment(struct sl_catalog *catalog, const struct sl_manifest_segment *named)
{
    struct sl_segment *segment;
    uint64_t position;
    const char *what;
    enum sl_err err = sli_segment_open_at(catalog->vfs, catalog->directory, named->number,
                                          catalog->log_id, &segment, &position, &what);
    if (err == SL_OK &&
        (segment->size != named->size || segment->footer_crc != named->footer_crc)) {
        position = segment->size - SLI_FOOTER_BYTES;
        what = "it is not the segment that the manifest names";
        err = SL_ERR_DATA_CORRUPT;
        sl_segment_unref(&segment);
    }
    if (err != SL_OK) {
        char name[SL_SEGMENT_NAME_SIZE];
        sl_segment_name(named->number, name);
        log_fault(catalog->directory, name, position, what);
        return err;
    }
    sl_link_append(&catalog->segments, &segment->link);
    return SL_OK;
}

static enum sl_err open_segments(struct sl_catalog *catalog)
{
    size_t count;
    const struct sl_manifest_segment *named = segments_of(&catalog->manifest, &count);
    enum sl_err err = SL_OK;
    for (size_t i = 0; i < count && err == SL_OK; i++)
        err = open_segment(catalog, &named[i]);
    return err;
}

static bool is_named(const struct sl_manifest *manifest, uint64_t number)
{
    size_t count;
    const struct sl_manifest_segment *named = segments_of(manifest, &count);
    for (size_t i = 0; i < count; i++)
        if (named[i].number == number)
            return true;
    return false;
}

/*
 * What was being written when the process ended; a new manifest may have taken its place already.
 */
static enum sl_err remove_tmp(const struct sl_catalog *catalog, const char *name)
{
    char path[SL_PATH_SIZE_MAX];
    if (!sl_path_join(path, catalog->directory, name))
        return SL_ERR_STORAGE_FAILED;
    int error_number = catalog->vfs->unlink(catalog->vfs, path);
    return error_number == 0 || error_number == ENOENT ? SL_OK : SL_ERR_STORAGE_FAILED;
}

/* One file that is ours: named, half-written, or unknown. */
static enum sl_err judge_file(struct opening *opening, const char *name)
{
    struct sl_catalog *catalog = opening->catalog;
    uint64_t number;
    bool is_segment = sl_segment_number(name, &number);
    if (is_segment && number >= catalog->next_number)
        catalog->next_number = number + 1;
    if (is_segment && is_named(&catalog->manifest, number))
        return SL_OK;
    if (is_tmp(name))
        return remove_tmp(catalog, name);
    sl_log(SL_LOG_WARN, "journal", "not_in_manifest", "log=%016llx file=%s moved to lost+found",
           (unsigned long long)catalog->log_id, name);
    return sl_store_keep_lost(opening->store, opening->index, name, 0, 0);
}

static enum sl_err judge_files(struct opening *opening)
{
    struct sl_bytes names = sl_buffer_bytes(&opening->names);
    opening->catalog->next_number = opening->catalog->manifest.next_segment;
    while (names.size > 0) {
        const char *name = (const char *)names.data;
        enum sl_err err = judge_file(opening, name);
        if (err != SL_OK) {
            log_fault(opening->catalog->directory, "seg-*", 0, "a file cannot be put away");
            return err;
        }
        names = sl_bytes_from(names, strlen(name) + 1);
    }
    return SL_OK;
}

enum sl_err sl_catalog_open(const struct sl_store *store, unsigned index,
                            struct sl_catalog **catalog)
{
    char path[SL_PATH_SIZE_MAX];
    *catalog = NULL;
    sl_store_shard_path(store, index, path);
    struct sl_catalog *opened = sl_memory_alloc(sizeof(*opened));
    *opened = (struct sl_catalog){ .vfs = store->vfs, .log_id = store->log_id + index };
    sl_link_init(&opened->segments);
    opened->mutex = sl_mutex_create();
    opened->directory = sl_memory_alloc(strlen(path) + 1);
    memcpy(opened->directory, path, strlen(path) + 1);

    struct opening opening = { .store = store, .index = index, .catalog = opened };
    enum sl_err err = look_around(&opening);
    if (err == SL_OK)
        err = load_manifest(&opening);
    if (err == SL_OK)
        err = open_segments(opened);
    /* Only now that everything is there: a wrong manifest moves nothing. */
    if (err == SL_OK)
        err = judge_files(&opening);
    sl_buffer_deinit(&opening.names);
    opened->sequence = opened->manifest.sequence;
    if (err != SL_OK)
        sl_catalog_close(&opened);
    *catalog = opened;
    return err;
}

void sl_catalog_close(struct sl_catalog **catalog)
{
    struct sl_catalog *closed = *catalog;
    *catalog = NULL;
    if (closed == NULL)
        return;
    struct sl_link *link;
    while ((link = sl_link_first(&closed->segments)) != NULL) {
        struct sl_segment *segment = SL_OBJECT(link, struct sl_segment, link);
        sl_link_remove(link);
        sl_segment_unref(&segment);
    }
    sl_manifest_deinit(&closed->manifest);
    sl_buffer_deinit(&closed->orphans);
    sl_mutex_destroy(&closed->mutex);
    sl_memory_free(closed->directory);
    sl_memory_free(closed);
}

/* ---- looking ---- */

const struct sl_manifest *sl_catalog_manifest(const struct sl_catalog *catalog)
{
    return &catalog->manifest;
}

struct sl_link *sl_catalog_segments(struct sl_catalog *catalog)
{
    return &catalog->segments;
}

const char *sl_catalog_directory(const struct sl_catalog *catalog)
{
    return catalog->directory;
}

const struct sl_vfs *sl_catalog_vfs(const struct sl_catalog *catalog)
{
    return catalog->vfs;
}

uint64_t sl_catalog_log_id(const struct sl_catalog *catalog)
{
    return catalog->log_id;
}

uint64_t sl_catalog_new_number(struct sl_catalog *catalog)
{
    sl_mutex_lock(catalog->mutex);
    uint64_t number = catalog->next_number++;
    sl_mutex_unlock(catalog->mutex);
    return number;
}

/* ---- changing ---- */

static bool is_removed(const struct sl_catalog_edit *edit, uint64_t number)
{
    for (unsigned i = 0; i < edit->removed_count; i++)
        if (edit->removed[i]->number == number)
            return true;
    return false;
}

static void add_segment(struct sl_buffer *to, const struct sl_segment *added)
{
    struct sl_manifest_segment named = { .number = added->number,
                                         .size = added->size,
                                         .footer_crc = added->footer_crc };
    sl_buffer_append(to, &named, sizeof(named));
}

/* The old list without what was removed, and with what was added, lowest number first. */
static void apply_segments(const struct sl_manifest *old, const struct sl_catalog_edit *edit,
                           struct sl_buffer *to)
{
    size_t count;
    unsigned removed = 0;
    const struct sl_segment *added = edit->added;
    const struct sl_manifest_segment *named = segments_of(old, &count);
    for (size_t i = 0; i < count; i++) {
        if (added != NULL && added->number < named[i].number) {
            add_segment(to, added);
            added = NULL;
        }
        if (is_removed(edit, named[i].number))
            removed++;
        else
            sl_buffer_append(to, &named[i], sizeof(named[i]));
    }
    if (added != NULL)
        add_segment(to, added);
    SL_ASSERT(removed == edit->removed_count);
}

/* The files of segments that no manifest on the disk can name any more. */
static void remove_orphans(struct sl_catalog *catalog)
{
    for (size_t i = 0; i < catalog->orphans.size / sizeof(uint64_t); i++)
        sli_segment_remove(catalog->vfs, catalog->directory,
                           sli_get_u64(catalog->orphans.data + i * sizeof(uint64_t)));
    sl_buffer_clear(&catalog->orphans);
}

static enum sl_err install_locked(struct sl_catalog *catalog, const struct sl_catalog_edit *edit)
{
    struct sl_manifest *old = &catalog->manifest;
    struct sl_manifest next = *old;
    bool unknown;
    next.segments = (struct sl_buffer){ 0 };
    next.sequence = ++catalog->sequence;
    next.next_segment = catalog->next_number;
    next.no_log = false;
    if (edit->has_mark) {
        SL_ASSERT(edit->mark.lsn >= old->mark.lsn);
        next.mark = edit->mark;
        next.last_id = edit->last_id;
        next.durable_lsn = edit->durable_lsn;
    }
    apply_segments(old, edit, &next.segments);
    enum sl_err err = sl_manifest_store(catalog->vfs, catalog->directory, &next, &unknown);
    if (err == SL_OK) {
        sl_manifest_deinit(old);
        *old = next;
        remove_orphans(catalog);
        return SL_OK;
    }
    sl_manifest_deinit(&next);
    if (edit->added != NULL && unknown)
        sli_append_u64(&catalog->orphans, edit->added->number);
    else if (edit->added != NULL)
        sli_segment_remove(catalog->vfs, catalog->directory, edit->added->number);
    return err;
}

enum sl_err sl_catalog_install(struct sl_catalog *catalog, const struct sl_catalog_edit *edit)
{
    sl_mutex_lock(catalog->mutex);
    enum sl_err err = install_locked(catalog, edit);
    sl_mutex_unlock(catalog->mutex);
    return err;
}

void sl_catalog_drop(struct sl_catalog *catalog, struct sl_segment **segment,
                     struct sl_worker *worker)
{
    SL_ASSERT((*segment)->drop == NULL);
    (*segment)->drop =
        sli_drop_create(catalog->vfs, catalog->directory, (*segment)->number, worker);
    sl_segment_unref(segment);
}
