#include "journal/store.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"
#include "journal/encoding_internal.h"
#include "journal/manifest.h"
#include "journal/small_file.h"
#include "journal/store_internal.h"

#define LOCK_NAME "LOCK"
#define IDENTITY_NAME "SLUICE"
#define BACKUP_NAME "SLUICE.backup"
#define TEMPORARY_NAME "SLUICE.tmp"
#define LOST_NAME "lost+found"

enum {
    VERSION = 1,
    SHARDS_MAX = 100,              /* "shard-NN" */
    LOGS_BITS = 10,                /* log_id ends in zeros, so log_id + i is no other's */
    IDENTITY_BYTES = 72,           /* of one copy; its checksum is the last field */
    COPY_AT = SL_DISK_BLOCK_BYTES, /* where the second copy is */
    IDENTITY_FILE_BYTES = 2 * SL_DISK_BLOCK_BYTES,
    PATH_TEXT_SIZE = 400, /* bytes of a path in a log line, or of what to do, with its NUL */
    NAMES_SIZE = 128,     /* bytes of the longest "/lost+found/shard-NN.x.N" */
    NAME_SIZE = 256,      /* bytes of a file's name with its NUL */
    COPY_STEP_BYTES = 256 * 1024,
    KEPT_MAX = 1000, /* files in lost+found with the same name */
};

static const uint8_t magic[8] = { 'S', 'L', 'U', 'I', 'C', 'E', '\n', '\0' };
static const uint64_t wal_file_size_default = UINT64_C(64) * 1024 * 1024;

/* What is in a directory. */
struct contents {
    bool identity;           /* SLUICE */
    bool backup;             /* SLUICE.backup */
    bool shards[SHARDS_MAX]; /* shard-NN */
    char foreign[NAME_SIZE]; /* something that is not ours; "" if there is nothing */
};

/* The operator's line: what is wrong, and what to do. `error` is an errno value or 0. */
static enum sl_err refuse(const char *path, enum sl_err err, int error, const char *reason,
                          const char *todo)
{
    char text[PATH_TEXT_SIZE];
    sl_log(SL_LOG_ERROR, "journal", "data_refused", "path=%s code=%s reason=\"%s%s%s\" todo=\"%s\"",
           sl_log_escaped(text, sizeof(text), sl_bytes_of(path)), sl_err_code(err), reason,
           error == 0 ? "" : ": ", error == 0 ? "" : strerror(error), todo);
    return err;
}

bool sli_store_is_mistake(int error)
{
    return error == ENOENT || error == ENOTDIR || error == EISDIR || error == EACCES ||
           error == EPERM || error == EROFS || error == ELOOP || error == EEXIST ||
           error == ENAMETOOLONG;
}

static enum sl_err refuse_disk(const char *path, int error, const char *reason)
{
    if (sli_store_is_mistake(error))
        return refuse(path, SL_ERR_DATA_DIRECTORY, error, reason,
                      "check its name, and who may use it");
    return refuse(path, sli_disk_err(error), error, reason,
                  "check the disk, the free space and who owns the directory");
}

/* Every path here fits: sl_store_open() looked. */
static void join(char *out, const char *directory, const char *name)
{
    bool fits = sl_path_join(out, directory, name);
    SL_ASSERT(fits);
}

static void shard_name(unsigned index, char out[NAME_SIZE])
{
    SL_ASSERT(index < SHARDS_MAX);
    snprintf(out, NAME_SIZE, "shard-%02u", index);
}

static bool is_shard_name(const char *name, unsigned *index)
{
    static const char prefix[] = "shard-";
    const size_t size = sizeof(prefix) - 1;
    if (strlen(name) != size + 2 || memcmp(name, prefix, size) != 0)
        return false;
    unsigned tens = (unsigned)name[size] - '0';
    unsigned ones = (unsigned)name[size + 1] - '0';
    *index = 10 * tens + ones;
    return tens < 10 && ones < 10;
}

/*
 * ---- the identity -----------------------------------------------------------------------------
 */

static uint8_t *put_u32(uint8_t *out, uint32_t value)
{
    value = htole32(value);
    memcpy(out, &value, sizeof(value));
    return out + sizeof(value);
}

static uint8_t *put_u64(uint8_t *out, uint64_t value)
{
    value = htole64(value);
    memcpy(out, &value, sizeof(value));
    return out + sizeof(value);
}

static uint32_t u32_at(const uint8_t *data)
{
    uint32_t value;
    memcpy(&value, data, sizeof(value));
    return le32toh(value);
}

static uint64_t u64_at(const uint8_t *data)
{
    uint64_t value;
    memcpy(&value, data, sizeof(value));
    return le64toh(value);
}

/* One copy, IDENTITY_BYTES. */
static void encode(const struct sl_store *store, uint8_t *out)
{
    uint8_t *at = out;
    memcpy(at, magic, sizeof(magic));
    at = put_u32(at + sizeof(magic), VERSION);
    at = put_u32(at, IDENTITY_BYTES);
    at = put_u32(at, 0);
    at = put_u32(at, 0);
    at = put_u64(at, store->log_id);
    at = put_u64(at, store->history_id);
    at = put_u64(at, store->route_key.k0);
    at = put_u64(at, store->route_key.k1);
    at = put_u32(at, store->shards);
    at = put_u64(at, store->wal_file_size);
    at = put_u32(at, sl_crc32c(0, out, (size_t)(at - out)));
    SL_ASSERT(at == out + IDENTITY_BYTES);
}

/* `copy` is a block. DATA_CORRUPT; DATA_VERSION: whole, but of another program. */
static enum sl_err decode(const uint8_t *copy, struct sl_store *store)
{
    const uint32_t crc_bytes = 4;
    const uint32_t fixed_bytes = 24; /* what every version has: magic to incompat */
    uint32_t size = u32_at(copy + 12);
    if (memcmp(copy, magic, sizeof(magic)) != 0)
        return SL_ERR_DATA_CORRUPT;
    if (size < fixed_bytes + crc_bytes || size > SL_DISK_BLOCK_BYTES)
        return SL_ERR_DATA_CORRUPT;
    if (sl_crc32c(0, copy, size - crc_bytes) != u32_at(copy + size - crc_bytes))
        return SL_ERR_DATA_CORRUPT;
    bool knows_all_features = u32_at(copy + 20) == 0;
    if (u32_at(copy + 8) != VERSION || size != IDENTITY_BYTES || !knows_all_features)
        return SL_ERR_DATA_VERSION;
    store->log_id = u64_at(copy + 24);
    store->history_id = u64_at(copy + 32);
    store->route_key.k0 = u64_at(copy + 40);
    store->route_key.k1 = u64_at(copy + 48);
    store->shards = u32_at(copy + 56);
    store->wal_file_size = u64_at(copy + 60);
    bool makes_sense = store->shards > 0 && store->shards <= SHARDS_MAX &&
                       store->wal_file_size > 0 && store->wal_file_size % SL_DISK_BLOCK_BYTES == 0;
    return makes_sense ? SL_OK : SL_ERR_DATA_CORRUPT;
}

/* Fills `store` from both copies, or says what is wrong with them. */
static enum sl_err decode_both(const uint8_t *file, struct sl_store *store)
{
    char text[PATH_TEXT_SIZE];
    struct sl_store second = *store;
    enum sl_err first_err = decode(file, store);
    enum sl_err second_err = decode(file + COPY_AT, &second);

    if (first_err == SL_ERR_DATA_VERSION || second_err == SL_ERR_DATA_VERSION)
        return refuse(store->path, SL_ERR_DATA_VERSION, 0,
                      "the data directory was written by another version",
                      "start the version that wrote it, or a newer one");
    bool differ = first_err == SL_OK && second_err == SL_OK &&
                  memcmp(file, file + COPY_AT, IDENTITY_BYTES) != 0;
    if ((first_err != SL_OK && second_err != SL_OK) || differ)
        return refuse(store->path, SL_ERR_DATA_CORRUPT, 0, "the file SLUICE is damaged",
                      "restore the directory from a backup and check the disk");
    if (first_err != SL_OK)
        *store = second;
    if (first_err != SL_OK || second_err != SL_OK)
        sl_log(SL_LOG_WARN, "journal", "identity_copy_damaged",
               "path=%s copy=%d todo=\"the other copy is used; make a backup and check the disk\"",
               sl_log_escaped(text, sizeof(text), sl_bytes_of(store->path)),
               first_err != SL_OK ? 1 : 2);
    return SL_OK;
}

bool sl_store_is_made(const struct sl_vfs *vfs, const char *path)
{
    char name[SL_PATH_SIZE_MAX];
    struct sl_file *file;
    if (!sl_path_join(name, path, IDENTITY_NAME) || vfs->open(vfs, name, 0, &file) != 0)
        return false;
    vfs->close(file);
    return true;
}

static int read_identity(const struct sl_store *store, const char *name, uint8_t *out)
{
    char path[SL_PATH_SIZE_MAX];
    struct sl_file *file;
    size_t got;
    join(path, store->path, name);
    int error = store->vfs->open(store->vfs, path, 0, &file);
    if (error != 0)
        return error;
    error = store->vfs->read(file, out, IDENTITY_FILE_BYTES, 0, &got);
    store->vfs->close(file);
    return error;
}

static int write_identity(const struct sl_store *store, const char *directory, const char *name)
{
    bool unknown;
    uint8_t *bytes = sl_memory_zalloc(IDENTITY_FILE_BYTES);
    encode(store, bytes);
    memcpy(bytes + COPY_AT, bytes, IDENTITY_BYTES);
    int error = sl_small_file_replace(store->vfs, directory, name,
                                      sl_bytes(bytes, IDENTITY_FILE_BYTES), &unknown);
    sl_memory_free(bytes);
    return error;
}

enum sl_err sl_store_write_identity(const struct sl_store *store, const char *directory,
                                    bool backup)
{
    if (strlen(directory) + NAMES_SIZE > SL_PATH_SIZE_MAX)
        return refuse_disk(directory, ENAMETOOLONG, "the file SLUICE cannot be written");
    int error = write_identity(store, directory, backup ? BACKUP_NAME : IDENTITY_NAME);
    if (error == 0)
        return SL_OK;
    return refuse_disk(directory, error, "the file SLUICE cannot be written");
}

/*
 * ---- the directory ----------------------------------------------------------------------------
 */

static void on_name(void *context, const char *name)
{
    struct contents *contents = context;
    unsigned index;
    if (strcmp(name, IDENTITY_NAME) == 0)
        contents->identity = true;
    else if (strcmp(name, BACKUP_NAME) == 0)
        contents->backup = true;
    else if (is_shard_name(name, &index))
        contents->shards[index] = true;
    else if (strcmp(name, LOCK_NAME) != 0 && strcmp(name, TEMPORARY_NAME) != 0 &&
             strcmp(name, LOST_NAME) != 0)
        snprintf(contents->foreign, sizeof(contents->foreign), "%s", name);
}

static enum sl_err look(const struct sl_store *store, struct contents *contents)
{
    *contents = (struct contents){ .identity = false };
    int error = store->vfs->list(store->vfs, store->path, on_name, contents);
    return error == 0 ? SL_OK
                      : refuse_disk(store->path, error, "the data directory cannot be read");
}

static void on_shard_name(void *context, const char *name)
{
    if (strcmp(name, "MANIFEST") != 0 && strcmp(name, "MANIFEST.tmp") != 0)
        *(bool *)context = true;
}

/* Whoever made a store and was killed has left nothing in its shards but first manifests. */
static enum sl_err check_new_shard(const struct sl_store *store, unsigned index)
{
    char path[SL_PATH_SIZE_MAX];
    char name[NAME_SIZE];
    struct sl_manifest manifest;
    bool holds_data = false, one_copy;
    shard_name(index, name);
    join(path, store->path, name);
    int error = store->vfs->list(store->vfs, path, on_shard_name, &holds_data);
    if (error != 0)
        return refuse_disk(path, error, "a shard's directory cannot be read");
    enum sl_err err = sl_manifest_load(store->vfs, path, &manifest, &one_copy);
    bool is_first = err == SL_OK && manifest.sequence == 1 && manifest.mark.lsn == 1;
    sl_manifest_deinit(&manifest);
    if (err == SL_ERR_STORAGE_FAILED)
        return refuse(path, err, 0, "a shard's manifest cannot be read", "check the disk");
    if (!holds_data && (is_first || err == SL_ERR_NOT_FOUND))
        return SL_OK;
    return refuse(path, SL_ERR_DATA_CORRUPT, 0,
                  "there is data, but the file SLUICE beside it is missing",
                  "restore the directory from a backup");
}

/* A directory without identity: may it become a store? Nothing in it has been touched yet. */
static enum sl_err check_new(const struct sl_store *store, const struct contents *contents,
                             bool must_exist)
{
    enum sl_err err = SL_OK;
    if (contents->backup)
        return refuse(store->path, SL_ERR_DATA_KIND, 0, "this is a backup",
                      "make a data directory of it with sluice restore, and start with that");
    for (unsigned i = 0; i < SHARDS_MAX && err == SL_OK; i++)
        if (contents->shards[i])
            err = check_new_shard(store, i);
    if (err != SL_OK)
        return err;
    if (must_exist)
        return refuse(store->path, SL_ERR_DATA_DIRECTORY, 0, "there is no data in this directory",
                      "name the directory that holds the file SLUICE");
    if (contents->foreign[0] != '\0')
        return refuse(store->path, SL_ERR_DATA_DIRECTORY, 0,
                      "the directory holds other files and no data",
                      "name an empty directory, or one that is not there yet");
    return SL_OK;
}

/* Without it a part of the data is gone, and nobody would notice when it were made anew. */
static enum sl_err check_shards(const struct sl_store *store, const struct contents *contents)
{
    char path[SL_PATH_SIZE_MAX];
    for (unsigned i = 0; i < store->shards; i++) {
        if (contents->shards[i])
            continue;
        sl_store_shard_path(store, i, path);
        return refuse(path, SL_ERR_DATA_CORRUPT, 0, "a shard's directory is missing",
                      "restore the directory from a backup");
    }
    return SL_OK;
}

struct access {
    const struct sl_store *store;
    const char *directory;       /* borrowed: of a shard */
    bool read_only;              /* nothing is to be written */
    int error;                   /* the first that is a matter of permission, or 0 */
    char path[SL_PATH_SIZE_MAX]; /* of what that was */
};

/* The log's files are used again; all others are only read, and removed. */
static void on_file(void *context, const char *name)
{
    struct access *access = context;
    const struct sl_vfs *vfs = access->store->vfs;
    bool is_log = strncmp(name, "wal-", 4) == 0;
    struct sl_file *file;
    if (access->error != 0 || !sl_path_join(access->path, access->directory, name))
        return;
    int error =
        vfs->open(vfs, access->path, is_log && !access->read_only ? SL_VFS_WRITE : 0, &file);
    if (error == 0)
        vfs->close(file);
    if (error == EACCES || error == EPERM)
        access->error = error;
}

/* Files that somebody else has made, root for instance, are no failure of the disk. */
static enum sl_err check_access(const struct sl_store *store, bool read_only)
{
    char directory[SL_PATH_SIZE_MAX];
    struct access access = { .store = store, .directory = directory, .read_only = read_only };
    for (unsigned i = 0; i < store->shards && access.error == 0; i++) {
        sl_store_shard_path(store, i, directory);
        int error = store->vfs->list(store->vfs, directory, on_file, &access);
        if (error == EACCES || error == EPERM) {
            access.error = error;
            memcpy(access.path, directory, sizeof(directory));
        }
    }
    if (access.error == 0)
        return SL_OK;
    return refuse(access.path, SL_ERR_DATA_DIRECTORY, access.error, "it may not be used",
                  "run this as the user that owns the directory, or give that user all of it: "
                  "chown -R USER DIRECTORY");
}

static int make_directory(const struct sl_store *store, const char *name)
{
    char path[SL_PATH_SIZE_MAX];
    join(path, store->path, name);
    int error = store->vfs->make_directory(store->vfs, path);
    return error == EEXIST ? 0 : error;
}

int sli_store_sync_parent(const struct sl_vfs *vfs, const char *path)
{
    char parent[SL_PATH_SIZE_MAX];
    sl_path_parent(parent, path);
    return vfs->sync_directory(vfs, parent);
}

/* All directories are durable before the identity says that they are there. */
static int make_directories(const struct sl_store *store)
{
    char name[NAME_SIZE];
    int error = make_directory(store, LOST_NAME);
    for (unsigned i = 0; i < store->shards && error == 0; i++) {
        shard_name(i, name);
        error = make_directory(store, name);
    }
    if (error == 0)
        error = store->vfs->sync_directory(store->vfs, store->path);
    if (error == 0)
        error = sli_store_sync_parent(store->vfs, store->path);
    return error;
}

/* Those of whoever was killed while making the store are of other logs. */
static enum sl_err make_manifests(const struct sl_store *store)
{
    char path[SL_PATH_SIZE_MAX];
    for (unsigned i = 0; i < store->shards; i++) {
        struct sl_manifest manifest;
        bool unknown;
        sl_manifest_init(&manifest, store->log_id + i);
        manifest.no_log = true;
        sl_store_shard_path(store, i, path);
        enum sl_err err = sl_manifest_store(store->vfs, path, &manifest, &unknown);
        if (err != SL_OK)
            return refuse(path, err, 0, "a shard's first manifest cannot be written",
                          "check the disk, the free space and who owns the directory");
    }
    return SL_OK;
}

static enum sl_err make(const struct sl_store_setup *setup, struct sl_store *store)
{
    while (store->log_id == 0)
        store->log_id = sl_random_u64() >> LOGS_BITS << LOGS_BITS;
    store->history_id = sl_random_u64();
    store->route_key.k0 = sl_random_u64();
    store->route_key.k1 = sl_random_u64();
    store->shards = setup->shards == 0 ? setup->shards_of_new : setup->shards;
    store->wal_file_size = setup->wal_file_size == 0 ? wal_file_size_default : setup->wal_file_size;
    int error = make_directories(store);
    if (error != 0)
        return refuse_disk(store->path, error, "the data directory cannot be made");
    enum sl_err err = make_manifests(store);
    return err == SL_OK ? sl_store_write_identity(store, store->path, false) : err;
}

static enum sl_err load(const struct sl_store_setup *setup, struct sl_store *store,
                        const struct contents *contents)
{
    uint8_t *bytes = sl_memory_zalloc(IDENTITY_FILE_BYTES);
    int error = read_identity(store, setup->backup ? BACKUP_NAME : IDENTITY_NAME, bytes);
    enum sl_err err = error == 0
                          ? decode_both(bytes, store)
                          : refuse_disk(store->path, error, "the file SLUICE cannot be read");
    sl_memory_free(bytes);
    if (err == SL_OK)
        err = check_shards(store, contents);
    if (err == SL_OK)
        err = check_access(store, setup->backup || setup->read_only);
    if (err != SL_OK)
        return err;
    if (setup->shards != 0 && setup->shards != store->shards) {
        char todo[PATH_TEXT_SIZE];
        snprintf(todo, sizeof(todo), "leave out the number of shards, or give %u", store->shards);
        return refuse(store->path, SL_ERR_DATA_SHARDS, 0,
                      "the data directory was made for another number of shards", todo);
    }
    if (setup->backup || setup->read_only)
        return SL_OK;
    /* Whoever made it may have been killed before its name was durable. */
    error = make_directory(store, LOST_NAME);
    if (error == 0)
        error = store->vfs->sync_directory(store->vfs, store->path);
    return error == 0 ? SL_OK
                      : refuse_disk(store->path, error, "the data directory cannot be written");
}

/*
 * ---- opening ----------------------------------------------------------------------------------
 */

static int open_lock(const struct sl_store *store, struct sl_file **file)
{
    char path[SL_PATH_SIZE_MAX];
    join(path, store->path, LOCK_NAME);
    int error = store->vfs->open(store->vfs, path, SL_VFS_WRITE, file);
    if (error == ENOENT)
        error = store->vfs->open(store->vfs, path, SL_VFS_WRITE | SL_VFS_CREATE, file);
    /* Another process was faster in making it. */
    if (error == EEXIST)
        error = store->vfs->open(store->vfs, path, SL_VFS_WRITE, file);
    return error;
}

/*
 * Who only reads may do so where nothing can be written. Without a file to lock there nobody has
 * ever opened the directory to write, or it was copied without.
 */
static int open_lock_to_read(const struct sl_store *store, struct sl_file **file)
{
    char path[SL_PATH_SIZE_MAX];
    int error = open_lock(store, file);
    if (error != EROFS && error != EACCES)
        return error;
    join(path, store->path, LOCK_NAME);
    error = store->vfs->open(store->vfs, path, 0, file);
    return error == ENOENT ? 0 : error;
}

static enum sl_err lock(const struct sl_store_setup *setup, struct sl_store *store)
{
    int error =
        setup->read_only ? open_lock_to_read(store, &store->lock) : open_lock(store, &store->lock);
    if (error == 0 && store->lock != NULL)
        error = store->vfs->lock(store->lock);
    if (error == EWOULDBLOCK)
        return refuse(store->path, SL_ERR_DATA_LOCKED, 0,
                      "another process has the data directory open",
                      "stop it, or name another directory");
    return error == 0 ? SL_OK
                      : refuse_disk(store->path, error, "the data directory cannot be locked");
}

/* Nothing is made in a place that is refused. */
static enum sl_err check_place(const struct sl_store_setup *setup, const struct sl_store *store)
{
    char parent[SL_PATH_SIZE_MAX];
    bool is_volatile = false;
    int error = store->vfs->is_volatile(store->vfs, store->path, &is_volatile);
    bool is_new = error == ENOENT && !setup->must_exist;
    if (is_new) {
        sl_path_parent(parent, store->path);
        error = store->vfs->is_volatile(store->vfs, parent, &is_volatile);
    }
    if (error != 0)
        return refuse_disk(store->path, error, "the data directory cannot be used");
    if (is_volatile && !setup->allow_volatile)
        return refuse(store->path, SL_ERR_DATA_VOLATILE, 0,
                      "the file system forgets everything when the machine stops",
                      "name a directory on a disk, or give --allow-volatile-data-dir");
    error = is_new ? store->vfs->make_directory(store->vfs, store->path) : 0;
    return error == 0 || error == EEXIST
               ? SL_OK
               : refuse_disk(store->path, error, "the data directory cannot be made");
}

static enum sl_err open_store(const struct sl_store_setup *setup, struct sl_store *store)
{
    struct contents contents;
    enum sl_err err = check_place(setup, store);
    if (err == SL_OK)
        err = look(store, &contents);
    if (err == SL_OK && !contents.identity)
        err = check_new(store, &contents, setup->must_exist);
    if (err == SL_OK)
        err = lock(setup, store);
    /* Until it was locked another process may have made it. */
    if (err == SL_OK)
        err = look(store, &contents);
    if (err != SL_OK)
        return err;
    if (contents.identity)
        return load(setup, store, &contents);
    err = check_new(store, &contents, setup->must_exist);
    return err == SL_OK ? make(setup, store) : err;
}

static enum sl_err open_backup(const struct sl_store_setup *setup, struct sl_store *store)
{
    struct contents contents;
    enum sl_err err = look(store, &contents);
    if (err == SL_OK && !contents.backup)
        err = refuse(store->path, SL_ERR_DATA_KIND, 0,
                     "there is no complete backup in this directory",
                     "name one that sluice backup has finished: the file SLUICE.backup comes last");
    return err == SL_OK ? load(setup, store, &contents) : err;
}

enum sl_err sl_store_open(const struct sl_store_setup *setup, struct sl_store **store)
{
    *store = NULL;
    SL_ASSERT(setup->shards <= SHARDS_MAX);
    SL_ASSERT(!setup->read_only || setup->must_exist);
    SL_ASSERT(setup->wal_file_size % SL_DISK_BLOCK_BYTES == 0);
    size_t size = strlen(setup->path);
    if (size == 0 || size + NAMES_SIZE > SL_PATH_SIZE_MAX)
        return refuse(setup->path, SL_ERR_DATA_DIRECTORY, 0, "the path is empty or too long",
                      "name another directory");
    struct sl_store *opened = sl_memory_alloc(sizeof(*opened));
    *opened = (struct sl_store){ .vfs = setup->vfs, .path = sl_memory_alloc(size + 1) };
    memcpy(opened->path, setup->path, size + 1);
    enum sl_err err = setup->backup ? open_backup(setup, opened) : open_store(setup, opened);
    if (err == SL_OK)
        *store = opened;
    else
        sl_store_close(&opened);
    return err;
}

void sl_store_close(struct sl_store **store)
{
    struct sl_store *closed = *store;
    *store = NULL;
    if (closed == NULL)
        return;
    if (closed->lock != NULL)
        closed->vfs->close(closed->lock);
    sl_memory_free(closed->path);
    sl_memory_free(closed);
}

void sl_store_shard_path(const struct sl_store *store, unsigned index, char *out)
{
    char name[NAME_SIZE];
    SL_ASSERT(index < store->shards);
    shard_name(index, name);
    join(out, store->path, name);
}

/*
 * ---- lost+found -------------------------------------------------------------------------------
 */

/* A path in lost+found that is free. */
static int free_path(const struct sl_store *store, unsigned index, const char *name, char *out)
{
    const struct sl_vfs *vfs = store->vfs;
    char lost_name[NAME_SIZE];
    for (unsigned i = 0; i < KEPT_MAX; i++) {
        struct sl_file *file;
        int size =
            i == 0 ? snprintf(lost_name, sizeof(lost_name), LOST_NAME "/shard-%02u.%s", index, name)
                   : snprintf(lost_name, sizeof(lost_name), LOST_NAME "/shard-%02u.%s.%u", index,
                              name, i);
        SL_ASSERT(size > 0 && size < NAMES_SIZE);
        join(out, store->path, lost_name);
        int error = vfs->open(vfs, out, 0, &file);
        if (error == ENOENT)
            return 0;
        if (error != 0)
            return error;
        vfs->close(file);
    }
    return EEXIST;
}

static int copy_open(struct sl_file *from, struct sl_file *to, uint64_t at, uint64_t size)
{
    uint8_t *bytes = sl_memory_alloc(COPY_STEP_BYTES);
    int error = 0;
    uint64_t done = 0;
    while (done < size && error == 0) {
        uint64_t left = size - done;
        size_t got = 0;
        error = from->vfs->read(from, bytes, left < COPY_STEP_BYTES ? left : COPY_STEP_BYTES,
                                at + done, &got);
        if (error == 0 && got == 0)
            break;
        if (error == 0)
            error = to->vfs->write(to, bytes, got, done);
        done += got;
    }
    if (error == 0)
        error = to->vfs->sync(to);
    sl_memory_free(bytes);
    return error;
}

static int copy_file(const struct sl_vfs *vfs, const char *from, const char *to, uint64_t at,
                     uint64_t size)
{
    struct sl_file *source = NULL;
    struct sl_file *target = NULL;
    int error = vfs->open(vfs, from, 0, &source);
    if (error == 0)
        error = vfs->open(vfs, to, SL_VFS_WRITE | SL_VFS_CREATE, &target);
    if (error == 0)
        error = copy_open(source, target, at, size);
    if (target != NULL)
        vfs->close(target);
    if (source != NULL)
        vfs->close(source);
    return error;
}

enum sl_err sl_store_keep_lost(const struct sl_store *store, unsigned index, const char *name,
                               uint64_t at, uint64_t size)
{
    const struct sl_vfs *vfs = store->vfs;
    char lost[SL_PATH_SIZE_MAX];
    char shard[SL_PATH_SIZE_MAX];
    char from[SL_PATH_SIZE_MAX];
    char to[SL_PATH_SIZE_MAX];
    char text[PATH_TEXT_SIZE];
    join(lost, store->path, LOST_NAME);
    sl_store_shard_path(store, index, shard);
    join(from, shard, name);
    int error = free_path(store, index, name, to);
    if (error == 0)
        error = size == 0 ? vfs->rename(vfs, from, to) : copy_file(vfs, from, to, at, size);
    /* First where it is now, then where it was: at no moment is it in neither place. */
    if (error == 0)
        error = vfs->sync_directory(vfs, lost);
    if (error == 0 && size == 0)
        error = vfs->sync_directory(vfs, shard);
    if (error != 0)
        return refuse_disk(from, error, "the file cannot be kept in lost+found");
    sl_log(SL_LOG_WARN, "journal", "kept_lost", "path=%s",
           sl_log_escaped(text, sizeof(text), sl_bytes_of(to)));
    return SL_OK;
}
