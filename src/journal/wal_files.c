#include "journal/wal_files.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "base/thread.h"
#include "journal/encoding_internal.h"

enum {
    SPARES_WANTED = 1,    /* ready at any time */
    SPARES_MAX = 4,       /* that are kept of those found at open */
    RETRY_MS = 200,       /* after a file could not be made */
    DISK_WAIT_MS = 2000,  /* so long a frame without a place waits for a failing disk */
    FLUSH_WAIT_MS = 5000, /* so long a log at its size waits for a flush that makes room */
    AT_SIZE_MAX = -1,     /* no errno: the log may not be larger before a flush gives files back */
    ZEROS_SIZE_BYTES = 1024 * 1024, /* of one write: the disk is not blocked for others */
    RECYCLE_SHARE = 4,              /* this part of size_max is kept in released files */
    NUMBERS_CAPACITY_MIN = 16,      /* of a list of files */
    NAME_DIGITS = 16,               /* of a file's number */
};

#define FILE_PREFIX "wal-"
#define TEMPORARY_PREFIX "wal-tmp-"

/* Numbers of files, ascending. */
struct numbers {
    uint64_t *data;  /* owned */
    size_t count;    /* that are there */
    size_t capacity; /* that fit */
};

struct spare {
    uint64_t number;      /* of the file */
    struct sl_file *file; /* owned; open for commits */
};

struct sl_wal_files {
    struct sl_wal_files_setup setup; /* its directory is the one below */
    char *directory;                 /* owned */
    struct sl_mutex *mutex;          /* owned; guards everything below */
    struct sl_condition *changed;    /* owned; signalled when anything below changes */
    struct sl_thread *thread;        /* owned; makes and removes files */
    struct spare spares[SPARES_MAX]; /* ascending without gaps */
    size_t spares_count;             /* of spares */
    struct numbers used;             /* files before the one in use, needed or not */
    uint64_t next_number;            /* of the next spare */
    uint64_t position;               /* the log is written up to here */
    uint64_t in_use_end;             /* position where the file in use ends */
    uint64_t released;               /* position; what lies before is not needed */
    uint64_t attempts;               /* names of temporary files */
    size_t recycle_max;              /* released files that are kept */
    uint64_t room;                   /* published; enum sl_wal_room */
    uint64_t contiguous;             /* published; bytes of frames that have a place */
    uint64_t buffered;               /* published; 1: direct writes are refused */
    int blocked;                     /* 0, or why the last file was not made: errno, AT_SIZE_MAX */
    uint64_t room_ended_ms;          /* running; since then there is none */
    bool has_in_use;                 /* a file was taken */
    struct sl_file *resumed;         /* owned until it is taken: the last file goes on; or NULL */
    bool released_now;               /* release() came: try again at once */
    bool space_is_low;               /* at the last look */
    bool finishing;                  /* nobody waits for better times */
    bool stopping;                   /* the thread ends */
};

/* ---- names and lists ---- */

void sl_wal_file_name(uint64_t number, char out[SL_WAL_FILE_NAME_SIZE])
{
    snprintf(out, SL_WAL_FILE_NAME_SIZE, FILE_PREFIX "%0*" PRIx64, NAME_DIGITS, number);
}

bool sl_wal_file_number(const char *name, uint64_t *number)
{
    *number = 0;
    if (strncmp(name, FILE_PREFIX, strlen(FILE_PREFIX)) != 0)
        return false;
    const char *digits = name + strlen(FILE_PREFIX);
    if (strlen(digits) != NAME_DIGITS)
        return false;
    uint64_t value = 0;
    for (size_t i = 0; i < NAME_DIGITS; i++) {
        char digit = digits[i];
        if (digit >= '0' && digit <= '9')
            value = value << 4 | (uint64_t)(digit - '0');
        else if (digit >= 'a' && digit <= 'f')
            value = value << 4 | (uint64_t)(digit - 'a' + 10);
        else
            return false;
    }
    *number = value;
    return true;
}

static void add_number(struct numbers *numbers, uint64_t number)
{
    if (numbers->count == numbers->capacity) {
        numbers->capacity = numbers->capacity == 0 ? NUMBERS_CAPACITY_MIN : numbers->capacity * 2;
        numbers->data = sl_memory_grow(numbers->data, numbers->capacity * sizeof(*numbers->data));
    }
    numbers->data[numbers->count++] = number;
}

static uint64_t take_first_number(struct numbers *numbers)
{
    SL_ASSERT(numbers->count > 0);
    uint64_t first = numbers->data[0];
    numbers->count--;
    memmove(numbers->data, numbers->data + 1, numbers->count * sizeof(*numbers->data));
    return first;
}

static int compare_numbers(const void *a, const void *b)
{
    const uint64_t *left = a, *right = b;
    return *left < *right ? -1 : *left > *right;
}

/* The path of a file of the directory; sl_wal_files_open() has looked whether it fits. */
static void path_of(const struct sl_wal_files *files, const char *name, char *out)
{
    bool fits = sl_path_join(out, files->directory, name);
    SL_ASSERT(fits);
}

static void path_of_number(const struct sl_wal_files *files, uint64_t number, char *out)
{
    char name[SL_WAL_FILE_NAME_SIZE];
    sl_wal_file_name(number, name);
    path_of(files, name, out);
}

static void remove_number(const struct sl_wal_files *files, uint64_t number)
{
    char path[SL_PATH_SIZE_MAX];
    path_of_number(files, number, path);
    int error = files->setup.vfs->unlink(files->setup.vfs, path);
    /* It is found again at the next start. */
    if (error != 0 && error != ENOENT)
        sl_log(SL_LOG_WARN, "journal", "wal_file_stays", "path=%s errno=%d", path, error);
}

/* ---- state; the lock is held ---- */

/* Released files that can be recycled: the first ones of `used`. */
static size_t released_count(const struct sl_wal_files *files)
{
    size_t count = 0;
    while (count < files->used.count &&
           (files->used.data[count] + 1) * files->setup.file_size <= files->released)
        count++;
    return count;
}

/* There is no room: is that more than a matter of moments? */
static bool is_stuck(const struct sl_wal_files *files)
{
    if (files->blocked == AT_SIZE_MAX)
        return sl_clock_running_ms() - files->room_ended_ms >= FLUSH_WAIT_MS;
    return files->blocked != 0;
}

/* What there is to do about that; `error` is an errno value or AT_SIZE_MAX. */
static const char *way_out_of(int error)
{
    switch (error) {
    case AT_SIZE_MAX:
        return "see why segments are not written as fast as the log: flush_failed, or a slow disk";
    case ENOSPC:
    case EDQUOT:
        return "free needed_bytes on the disk; --min-free-bytes are a part of it";
    default:
        return "check the disk, and who owns the directory";
    }
}

/* Publishes what room there is; true: that has changed. */
static bool update_room(struct sl_wal_files *files)
{
    uint64_t left = files->spares_count * files->setup.file_size;
    if (files->in_use_end > files->position)
        left += files->in_use_end - files->position;
    uint64_t needed_bytes = files->setup.file_size + files->setup.free_bytes_min;
    enum sl_wal_room before = sl_wal_files_room(files);
    enum sl_wal_room room = SL_WAL_ROOM_YES;
    if (left < files->setup.file_size / 2) {
        if (before == SL_WAL_ROOM_YES)
            files->room_ended_ms = sl_clock_running_ms();
        room = is_stuck(files) ? SL_WAL_ROOM_FULL : SL_WAL_ROOM_SOON;
    }
    sl_metrics_publish(&files->room, room);
    sl_metrics_publish(&files->contiguous,
                       files->spares_count > 0 ? UINT64_MAX : files->in_use_end - files->position);
    if (room == SL_WAL_ROOM_FULL && before != room)
        sl_log(SL_LOG_ERROR, "journal", "wal_full",
               "directory=%s errno=%d needed_bytes=%llu reason=\"no log file can be made: creates "
               "and appends are refused until one can\" todo=\"%s\"",
               files->directory, files->blocked == AT_SIZE_MAX ? EFBIG : files->blocked,
               (unsigned long long)needed_bytes, way_out_of(files->blocked));
    if (room != SL_WAL_ROOM_FULL && before == SL_WAL_ROOM_FULL)
        sl_log(SL_LOG_INFO, "journal", "wal_has_room", "directory=%s", files->directory);
    return room != before;
}

/* Would another file be more log than there may be? */
static bool is_at_size_max(const struct sl_wal_files *files)
{
    uint64_t first = files->released / files->setup.file_size;
    return (files->next_number - first + 1) * files->setup.file_size > files->setup.size_max;
}

/* ---- making files; the lock is not held, `number` and so on belong to the one who makes ---- */

/* Opens a file for commits. */
static int open_for_commits(struct sl_wal_files *files, uint64_t number, struct sl_file **file)
{
    const struct sl_vfs *vfs = files->setup.vfs;
    char path[SL_PATH_SIZE_MAX];
    path_of_number(files, number, path);
    int error = EINVAL;
    if (!sl_wal_files_is_buffered(files))
        error = vfs->open(vfs, path, SL_VFS_WRITE | SL_VFS_SYNC | SL_VFS_DIRECT, file);
    if (error == EINVAL)
        return sl_wal_files_fall_back(files, number, file);
    return error;
}

int sl_wal_files_fall_back(struct sl_wal_files *files, uint64_t number, struct sl_file **file)
{
    const struct sl_vfs *vfs = files->setup.vfs;
    if (!sl_wal_files_is_buffered(files))
        sl_log(SL_LOG_WARN, "journal", "wal_not_direct", "directory=%s", files->directory);
    sl_metrics_publish(&files->buffered, 1);
    char path[SL_PATH_SIZE_MAX];
    path_of_number(files, number, path);
    return vfs->open(vfs, path, SL_VFS_WRITE | SL_VFS_SYNC, file);
}

/* Writes zeros to every block: a commit that has to allocate them costs three times as much. */
static int fill_with_zeros(const struct sl_wal_files *files, struct sl_file *file)
{
    uint64_t size = files->setup.file_size;
    size_t step = size < ZEROS_SIZE_BYTES ? (size_t)size : ZEROS_SIZE_BYTES;
    void *zeros = sl_memory_alloc_aligned(SL_DISK_BLOCK_BYTES, step);
    memset(zeros, 0, step);
    int error = 0;
    for (uint64_t at = 0; at < size && error == 0; at += step) {
        if (size - at < step)
            step = (size_t)(size - at);
        error = file->vfs->write(file, zeros, step, at);
    }
    sl_memory_free(zeros);
    return error == 0 ? file->vfs->sync(file) : error;
}

/* Makes a file of zeros at `path`, durable but for its name. */
static int make_zeros(struct sl_wal_files *files, const char *path)
{
    const struct sl_vfs *vfs = files->setup.vfs;
    struct sl_file *file = NULL;
    unsigned direct = sl_wal_files_is_buffered(files) ? 0 : SL_VFS_DIRECT;
    int error = vfs->open(vfs, path, SL_VFS_WRITE | SL_VFS_CREATE | direct, &file);
    if (error == 0) {
        error = fill_with_zeros(files, file);
        vfs->close(file);
    }
    if (error != EINVAL || direct == 0)
        return error;
    /* Whether commits can be direct is found out when one is made. */
    (void)vfs->unlink(vfs, path);
    error = vfs->open(vfs, path, SL_VFS_WRITE | SL_VFS_CREATE, &file);
    if (error != 0)
        return error;
    error = fill_with_zeros(files, file);
    vfs->close(file);
    return error;
}

/* Is there space for another file? A little more than the minimum ends a shortage. */
static int check_space(struct sl_wal_files *files)
{
    const struct sl_vfs *vfs = files->setup.vfs;
    uint64_t free_bytes = 0;
    int error = vfs->space(vfs, files->directory, &free_bytes);
    if (error != 0)
        return error;
    uint64_t least = files->setup.free_bytes_min;
    if (files->blocked == ENOSPC)
        least += least / 4;
    return free_bytes < files->setup.file_size || free_bytes - files->setup.file_size < least
               ? ENOSPC
               : 0;
}

/* Makes file `number` out of nothing. */
static int make_new(struct sl_wal_files *files, uint64_t number)
{
    const struct sl_vfs *vfs = files->setup.vfs;
    char name[sizeof(TEMPORARY_PREFIX) + NAME_DIGITS];
    char temporary[SL_PATH_SIZE_MAX];
    char path[SL_PATH_SIZE_MAX];
    snprintf(name, sizeof(name), TEMPORARY_PREFIX "%" PRIx64, files->attempts++);
    path_of(files, name, temporary);
    path_of_number(files, number, path);
    int error = make_zeros(files, temporary);
    if (error == 0)
        error = vfs->rename(vfs, temporary, path);
    if (error != 0)
        (void)vfs->unlink(vfs, temporary);
    return error;
}

/* Nobody has looked at a file that was released before the start. */
static bool is_whole(const struct sl_wal_files *files, uint64_t number)
{
    const struct sl_vfs *vfs = files->setup.vfs;
    char path[SL_PATH_SIZE_MAX];
    struct sl_file *file;
    uint64_t size = 0;
    path_of_number(files, number, path);
    if (vfs->open(vfs, path, 0, &file) != 0)
        return false;
    int error = vfs->size(file, &size);
    vfs->close(file);
    return error == 0 && size == files->setup.file_size;
}

/* Makes a released file to number `number`; its frames are all older than what comes. */
static int recycle(struct sl_wal_files *files, uint64_t old, uint64_t number)
{
    char from[SL_PATH_SIZE_MAX];
    char to[SL_PATH_SIZE_MAX];
    path_of_number(files, old, from);
    path_of_number(files, number, to);
    return files->setup.vfs->rename(files->setup.vfs, from, to);
}

/* What rename left behind: durable under its name, and open; or nothing. */
static int finish_spare(struct sl_wal_files *files, uint64_t number, struct sl_file **file)
{
    const struct sl_vfs *vfs = files->setup.vfs;
    int error = vfs->sync_directory(vfs, files->directory);
    if (error == 0)
        error = open_for_commits(files, number, file);
    if (error != 0)
        remove_number(files, number);
    return error;
}

/* Takes the lock again and says how the attempt went; returns the errno value. */
static int end_attempt(struct sl_wal_files *files, uint64_t number, struct sl_file *file, int error)
{
    sl_mutex_lock(files->mutex);
    if (error != 0 && error != AT_SIZE_MAX && files->blocked == 0)
        sl_log(SL_LOG_WARN, "journal", "wal_file_not_made", "directory=%s reason=\"%s\"",
               files->directory, strerror(error));
    files->blocked = error;
    files->space_is_low = error == ENOSPC;
    if (error == 0) {
        SL_ASSERT(files->spares_count < SPARES_MAX);
        files->spares[files->spares_count++] = (struct spare){ .number = number, .file = file };
        files->next_number = number + 1;
    }
    sl_condition_signal_all(files->changed);
    return error;
}

/*
 * Makes the next spare. The lock is held, but not meanwhile. `at_open`: the limits do not count
 * yet, since without a file the log cannot be opened at all.
 */
static int make_spare(struct sl_wal_files *files, bool at_open)
{
    uint64_t number = files->next_number;
    if (!at_open && is_at_size_max(files)) {
        sl_mutex_unlock(files->mutex);
        return end_attempt(files, number, NULL, AT_SIZE_MAX);
    }
    bool recycles = released_count(files) > 0;
    uint64_t old = recycles ? take_first_number(&files->used) : 0;
    sl_mutex_unlock(files->mutex);

    if (recycles && !is_whole(files, old)) {
        remove_number(files, old);
        recycles = false;
    }
    struct sl_file *file = NULL;
    int error = recycles || at_open ? 0 : check_space(files);
    if (error == 0) {
        error = recycles ? recycle(files, old, number) : make_new(files, number);
        /* It may have taken place, or may yet. */
        if (error == 0)
            error = finish_spare(files, number, &file);
        else
            remove_number(files, number);
    }
    return end_attempt(files, number, file, error);
}

/* ---- the thread ---- */

/* Removes the oldest released file. The lock is held, but not meanwhile. */
static void remove_released(struct sl_wal_files *files)
{
    uint64_t old = take_first_number(&files->used);
    sl_mutex_unlock(files->mutex);
    remove_number(files, old);
    sl_mutex_lock(files->mutex);
}

/* After a release: should the space of released files be given back? */
static void look_at_space(struct sl_wal_files *files)
{
    sl_mutex_unlock(files->mutex);
    int error = check_space(files);
    sl_mutex_lock(files->mutex);
    files->space_is_low = error == ENOSPC;
}

/* Does one thing that is to be done, or waits. The lock is held, but not meanwhile. */
static void work(struct sl_wal_files *files)
{
    if (files->released_now) {
        files->released_now = false;
        look_at_space(files);
    }
    bool wanted = files->spares_count < SPARES_WANTED;
    /* One for the spare that is missing, or soon will be. */
    size_t keep =
        (files->space_is_low ? 0 : files->recycle_max) + (wanted || !files->has_in_use ? 1 : 0);
    if (released_count(files) > keep) {
        remove_released(files);
        return;
    }
    if (!wanted) {
        if (!files->stopping && !files->released_now)
            sl_condition_wait(files->changed, files->mutex);
        return;
    }
    int error = make_spare(files, false);
    if (update_room(files)) {
        sl_mutex_unlock(files->mutex);
        files->setup.wake(files->setup.context);
        sl_mutex_lock(files->mutex);
    }
    if (error != 0 && !files->stopping && !files->released_now)
        sl_condition_wait_for(files->changed, files->mutex, RETRY_MS);
}

static void files_main(void *argument)
{
    struct sl_wal_files *files = argument;
    sl_mutex_lock(files->mutex);
    while (!files->stopping)
        work(files);
    sl_mutex_unlock(files->mutex);
}

/* ---- open and close ---- */

struct listing {
    struct sl_buffer temporaries; /* names, each with its NUL */
    struct numbers numbers;       /* of all files */
};

static void on_name(void *context, const char *name)
{
    struct listing *listing = context;
    uint64_t number;
    if (strncmp(name, TEMPORARY_PREFIX, strlen(TEMPORARY_PREFIX)) == 0)
        sl_buffer_append(&listing->temporaries, name, strlen(name) + 1);
    else if (sl_wal_file_number(name, &number))
        add_number(&listing->numbers, number);
}

static int remove_temporaries(const struct sl_wal_files *files, struct sl_bytes names)
{
    const struct sl_vfs *vfs = files->setup.vfs;
    int error = 0;
    while (names.size > 0 && error == 0) {
        const char *name = (const char *)names.data;
        char path[SL_PATH_SIZE_MAX];
        path_of(files, name, path);
        error = vfs->unlink(vfs, path);
        names = sl_bytes_from(names, strlen(name) + 1);
    }
    return error;
}

/* Keeps a file that was found as a spare when it is one: whole, and the next in the row. */
static int adopt_spare(struct sl_wal_files *files, uint64_t number, bool *adopted)
{
    struct sl_file *file;
    uint64_t size = 0;
    *adopted = false;
    if (number != files->next_number || files->spares_count == SPARES_MAX)
        return 0;
    int error = open_for_commits(files, number, &file);
    if (error != 0)
        return error;
    error = file->vfs->size(file, &size);
    *adopted = error == 0 && size == files->setup.file_size;
    if (*adopted)
        files->spares[files->spares_count++] = (struct spare){ number, file };
    else
        file->vfs->close(file);
    files->next_number += *adopted;
    return error;
}

/* The last one first, each for good: a gap would look like a file that was lost. */
static int remove_unwanted(struct sl_wal_files *files, const uint64_t *numbers, size_t count)
{
    const struct sl_vfs *vfs = files->setup.vfs;
    int error = 0;
    while (count > 0 && error == 0) {
        remove_number(files, numbers[--count]);
        error = vfs->sync_directory(vfs, files->directory);
    }
    return error;
}

/* Takes over the files that are there, ascending. */
static int take_over(struct sl_wal_files *files, const struct numbers *found)
{
    uint64_t first = files->next_number;
    for (size_t i = 0; i < found->count; i++) {
        bool adopted = found->data[i] < first;
        int error = 0;
        if (adopted)
            add_number(&files->used, found->data[i]);
        else
            error = adopt_spare(files, found->data[i], &adopted);
        if (error != 0)
            return error;
        if (!adopted)
            return remove_unwanted(files, found->data + i, found->count - i);
    }
    return 0;
}

/* Takes over what is in the directory. */
static int look_around(struct sl_wal_files *files)
{
    const struct sl_vfs *vfs = files->setup.vfs;
    struct listing listing = { 0 };
    int error = vfs->list(vfs, files->directory, on_name, &listing);
    if (error == 0)
        error = remove_temporaries(files, sl_buffer_bytes(&listing.temporaries));
    if (listing.numbers.count > 0)
        qsort(listing.numbers.data, listing.numbers.count, sizeof(*listing.numbers.data),
              compare_numbers);
    if (error == 0)
        error = take_over(files, &listing.numbers);
    /* Names that the last process gave and did not make durable. */
    if (error == 0)
        error = vfs->sync_directory(vfs, files->directory);
    sl_buffer_deinit(&listing.temporaries);
    sl_memory_free(listing.numbers.data);
    return error;
}

/*
 * There cannot or should not be another file, but the last one has room: the log goes on in it, over
 * what a cut write may have left, so that a full disk can be read and deleted from after a start.
 */
static int resume(struct sl_wal_files *files, uint64_t position)
{
    uint64_t number = position / files->setup.file_size;
    struct numbers *used = &files->used;
    if (position % files->setup.file_size == 0 || used->count == 0 ||
        used->data[used->count - 1] != number)
        return ENOSPC;
    int error = open_for_commits(files, number, &files->resumed);
    if (error != 0)
        return error;
    used->count--;
    files->has_in_use = true;
    files->position = position;
    files->in_use_end = (number + 1) * files->setup.file_size;
    sl_log(SL_LOG_WARN, "journal", "wal_resumed",
           "directory=%s reason=\"no space for the next file of %" PRIu64
           " bytes, or too many of them: free as much\"",
           files->directory, files->setup.file_size);
    return 0;
}

enum sl_err sl_wal_files_open(const struct sl_wal_files_setup *setup, uint64_t position,
                              uint64_t keep_from, struct sl_wal_files **files)
{
    uint64_t first = (position + setup->file_size - 1) / setup->file_size;
    *files = NULL;
    size_t directory_size = strlen(setup->directory) + 1;
    if (directory_size + sizeof(TEMPORARY_PREFIX) + NAME_DIGITS > SL_PATH_SIZE_MAX)
        return SL_ERR_STORAGE_FAILED;
    struct sl_wal_files *opened = sl_memory_alloc(sizeof(*opened));
    uint64_t recycle_max = setup->size_max / RECYCLE_SHARE / setup->file_size;
    *opened = (struct sl_wal_files){
        .setup = *setup,
        .directory = sl_memory_alloc(directory_size),
        .mutex = sl_mutex_create(),
        .changed = sl_condition_create(),
        .next_number = first,
        .position = first * setup->file_size,
        .in_use_end = first * setup->file_size,
        .released = keep_from,
        .recycle_max = recycle_max == 0 ? 1 : (size_t)recycle_max,
    };
    memcpy(opened->directory, setup->directory, directory_size);
    opened->setup.directory = opened->directory;

    int error = look_around(opened);
    sl_mutex_lock(opened->mutex);
    if (error == 0 && opened->spares_count == 0) {
        /* Starts that come to nothing must not take a file each without end, nor what another shard
           needs to start at all. */
        bool is_tight = is_at_size_max(opened) || check_space(opened) == ENOSPC;
        bool resumed = is_tight && resume(opened, position) == 0;
        error = resumed ? 0 : make_spare(opened, true);
    }
    if (sli_disk_err(error) == SL_ERR_DISK_FULL)
        error = resume(opened, position);
    sl_mutex_unlock(opened->mutex);
    if (error != 0) {
        sl_log(SL_LOG_ERROR, "journal", "wal_files_not_ready",
               "directory=%s file_bytes=%" PRIu64 " needed_bytes=%" PRIu64
               " reason=\"no log file can be made or opened: %s\" todo=\"%s\"",
               opened->directory, opened->setup.file_size,
               (1 + SPARES_WANTED) * opened->setup.file_size, strerror(error),
               sli_disk_err(error) == SL_ERR_DISK_FULL
                   ? "free needed_bytes for each shard, or, if nothing was ever stored in it, "
                     "remove the data directory: --wal-file-bytes counts when it is made"
                   : "check the disk, and who may use the directory");
        sl_wal_files_close(&opened);
        return sli_disk_err(error);
    }
    char name[SL_THREAD_NAME_SIZE_MAX + 1];
    snprintf(name, sizeof(name), "wal-files-%u", setup->index);
    opened->thread = sl_thread_start(name, files_main, opened);
    *files = opened;
    return SL_OK;
}

void sl_wal_files_close(struct sl_wal_files **files)
{
    struct sl_wal_files *closed = *files;
    *files = NULL;
    sl_wal_files_stop(closed);
    if (closed->thread != NULL)
        sl_thread_join(&closed->thread);
    for (size_t i = 0; i < closed->spares_count; i++)
        closed->spares[i].file->vfs->close(closed->spares[i].file);
    if (closed->resumed != NULL)
        closed->resumed->vfs->close(closed->resumed);
    sl_memory_free(closed->used.data);
    sl_condition_destroy(&closed->changed);
    sl_mutex_destroy(&closed->mutex);
    sl_memory_free(closed->directory);
    sl_memory_free(closed);
}

/* ---- cutting a log ---- */

/* Zeros from `offset` to the end of the file. */
static int clear_rest(const struct sl_vfs *vfs, const char *path, uint64_t offset)
{
    struct sl_file *file;
    int error = vfs->open(vfs, path, SL_VFS_WRITE, &file);
    if (error != 0)
        return error == ENOENT ? 0 : error;
    uint64_t size = 0;
    error = file->vfs->size(file, &size);
    uint8_t *zeros = sl_memory_zalloc(SL_DISK_BLOCK_BYTES);
    for (; offset < size && error == 0; offset += SL_DISK_BLOCK_BYTES)
        error = file->vfs->write(file, zeros, SL_DISK_BLOCK_BYTES, offset);
    sl_memory_free(zeros);
    if (error == 0)
        error = file->vfs->sync(file);
    file->vfs->close(file);
    return error;
}

int sl_wal_files_cut(const struct sl_vfs *vfs, const char *directory, uint64_t file_size,
                     uint64_t position)
{
    SL_ASSERT(position % SL_DISK_BLOCK_BYTES == 0);
    struct listing listing = { 0 };
    int error = vfs->list(vfs, directory, on_name, &listing);
    for (size_t i = 0; i < listing.numbers.count && error == 0; i++) {
        uint64_t number = listing.numbers.data[i];
        char name[SL_WAL_FILE_NAME_SIZE];
        char path[SL_PATH_SIZE_MAX];
        sl_wal_file_name(number, name);
        if (number < position / file_size)
            continue;
        if (!sl_path_join(path, directory, name))
            error = ENAMETOOLONG;
        else if (number == position / file_size)
            error = clear_rest(vfs, path, position % file_size);
        else
            error = vfs->unlink(vfs, path);
    }
    if (error == 0)
        error = vfs->sync_directory(vfs, directory);
    sl_buffer_deinit(&listing.temporaries);
    sl_memory_free(listing.numbers.data);
    return error;
}

/* ---- what the log asks ---- */

/* False: no file can be made, and who wants one has waited long enough or is closing. */
static bool may_wait(const struct sl_wal_files *files, uint64_t *blocked_ms)
{
    uint64_t now_ms = sl_clock_running_ms();
    if (files->blocked == 0 || *blocked_ms == 0)
        *blocked_ms = now_ms;
    uint64_t most_ms = files->blocked == AT_SIZE_MAX ? FLUSH_WAIT_MS : DISK_WAIT_MS;
    return files->blocked == 0 || (!files->finishing && now_ms - *blocked_ms < most_ms);
}

struct sl_file *sl_wal_files_take_resumed(struct sl_wal_files *files)
{
    struct sl_file *file = files->resumed;
    files->resumed = NULL;
    return file;
}

struct sl_file *sl_wal_files_take(struct sl_wal_files *files, uint64_t *number)
{
    struct sl_file *file = NULL;
    *number = 0;
    sl_mutex_lock(files->mutex);
    uint64_t blocked_ms = 0;
    while (files->spares_count == 0 && may_wait(files, &blocked_ms))
        sl_condition_wait_for(files->changed, files->mutex, RETRY_MS);
    if (files->spares_count > 0) {
        file = files->spares[0].file;
        *number = files->spares[0].number;
        files->spares_count--;
        memmove(files->spares, files->spares + 1, files->spares_count * sizeof(*files->spares));
        if (files->has_in_use)
            add_number(&files->used, files->in_use_end / files->setup.file_size - 1);
        files->has_in_use = true;
        files->position = *number * files->setup.file_size;
        files->in_use_end = files->position + files->setup.file_size;
        (void)update_room(files);
        sl_condition_signal_all(files->changed);
    }
    sl_mutex_unlock(files->mutex);
    return file;
}

void sl_wal_files_advance(struct sl_wal_files *files, uint64_t position)
{
    sl_mutex_lock(files->mutex);
    SL_ASSERT(position >= files->position && position <= files->in_use_end);
    files->position = position;
    /* Who waits for that is woken after every commit. */
    (void)update_room(files);
    sl_mutex_unlock(files->mutex);
}

void sl_wal_files_release(struct sl_wal_files *files, uint64_t position)
{
    sl_mutex_lock(files->mutex);
    if (position > files->released) {
        files->released = position;
        files->released_now = true;
        sl_condition_signal_all(files->changed);
    }
    sl_mutex_unlock(files->mutex);
}

void sl_wal_files_finish(struct sl_wal_files *files)
{
    sl_mutex_lock(files->mutex);
    files->finishing = true;
    sl_condition_signal_all(files->changed);
    sl_mutex_unlock(files->mutex);
}

void sl_wal_files_stop(struct sl_wal_files *files)
{
    sl_mutex_lock(files->mutex);
    files->stopping = true;
    sl_condition_signal_all(files->changed);
    sl_mutex_unlock(files->mutex);
}

enum sl_wal_room sl_wal_files_room(const struct sl_wal_files *files)
{
    return (enum sl_wal_room)sl_metrics_read(&files->room);
}

uint64_t sl_wal_files_contiguous(const struct sl_wal_files *files)
{
    return sl_metrics_read(&files->contiguous);
}

bool sl_wal_files_is_buffered(const struct sl_wal_files *files)
{
    return sl_metrics_read(&files->buffered) != 0;
}
