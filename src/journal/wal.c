#include "journal/wal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "base/thread.h"
#include "journal/encoding_internal.h"
#include "journal/frame.h"
#include "journal/wal_files.h"

enum {
    /* Of idleness after data, then a WATERMARK: so long is rot in the last frame taken for a torn
       end. */
    WATERMARK_AFTER_MS = 10,
    BUFFERS = 2, /* one is written, the other one is filled */
    NS_PER_US = 1000,
    NS_PER_MS = 1000 * 1000,
    QUICK_NS = 300 * NS_PER_US, /* mean commits below that are worth waiting for in the shard */
    MEAN_OF = 8,                /* commits, about, are in the mean */
};

/* A frame that is filled or written. */
struct frame_buffer {
    uint8_t *data;      /* owned, aligned: room for the header, then records */
    size_t capacity;    /* bytes, whole blocks */
    size_t body_size;   /* bytes of records */
    uint32_t count;     /* of records */
    uint64_t first_lsn; /* of the first record */
    int64_t wall_ms;    /* of the last record */
};

struct sl_wal {
    struct sl_wal_setup setup; /* directory: borrowed only by open */
    /* shard */
    struct frame_buffer *held; /* borrowed: of the log, from the first add to commit */
    uint64_t next_lsn;         /* of the next record */
    uint64_t held_max; /* bytes of records for which the held frame has a place for certain */
    /* whoever writes: the commit thread, or, while is_lent, the shard */
    struct sl_file *file;         /* owned; NULL: none yet */
    uint64_t file_number;         /* of file */
    bool direct;                  /* file was opened for direct writes */
    uint64_t position;            /* of the next frame */
    uint8_t *empty_frame;         /* owned: one block, for frames without records */
    bool watermark_due;           /* the last frame held records */
    uint64_t written_at_ns;       /* monotonic; when that was durable */
    uint64_t mean_ns;             /* of the last commits */
    size_t last_size;             /* bytes of the last frame with records */
    int64_t wall_offset_ms;       /* of the records' clock over the running one */
    struct sl_wal_files *files;   /* owned */
    struct sl_thread *thread;     /* owned */
    struct sl_mutex *mutex;       /* owned; guards the next block */
    struct sl_condition *changed; /* owned; the commit thread waits for it */
    /* guarded: */
    struct frame_buffer buffers[BUFFERS]; /* the open one, and the one being written or empty */
    unsigned open;                        /* index of the buffer that is filled */
    size_t writing;                       /* bytes of the frame that is being written */
    bool is_held;                         /* by the shard: not to be written */
    bool sleeping;                        /* the commit thread waits */
    bool is_lent;                         /* the shard writes, the commit thread waits for it */
    bool closing;                         /* it ends when all is written */
    struct sl_wal_mark mark;              /* behind the last durable frame */
    /* published by the commit thread: */
    uint64_t durable_lsn;                     /* last durable record */
    uint64_t failed;                          /* 1: a write went wrong */
    uint64_t latency[SL_WAL_LATENCY_BUCKETS]; /* of commits */
    uint64_t latency_sum_us;                  /* of commits */
};

/* ---- frame buffers ---- */

static void make_buffer(const struct sl_wal *wal, struct frame_buffer *buffer)
{
    size_t capacity = sl_frame_size(wal->setup.frame_size_max);
    *buffer = (struct frame_buffer){
        .data = sl_memory_alloc_aligned(SL_DISK_BLOCK_BYTES, capacity),
        .capacity = capacity,
    };
}

/* Empties the buffer and gives the memory of an unusually large frame back. */
static void reset_buffer(const struct sl_wal *wal, struct frame_buffer *buffer)
{
    if (buffer->capacity > sl_frame_size(wal->setup.frame_size_max)) {
        sl_memory_free(buffer->data);
        make_buffer(wal, buffer);
    }
    buffer->body_size = 0;
    buffer->count = 0;
}

/* The place for `size` more bytes of records. */
static uint8_t *reserve(const struct sl_wal *wal, struct frame_buffer *buffer, size_t size)
{
    size_t needed = sl_frame_size(buffer->body_size + size);
    size_t largest = (size_t)(wal->setup.file_size / 2);
    SL_ASSERT(needed <= largest);
    if (needed > buffer->capacity) {
        size_t capacity = buffer->capacity * 2;
        if (capacity < needed)
            capacity = needed;
        uint8_t *larger = sl_memory_alloc_aligned(SL_DISK_BLOCK_BYTES, capacity);
        memcpy(larger, buffer->data, SL_FRAME_HEADER_BYTES + buffer->body_size);
        sl_memory_free(buffer->data);
        buffer->data = larger;
        buffer->capacity = capacity;
    }
    return buffer->data + SL_FRAME_HEADER_BYTES + buffer->body_size;
}

/* ---- commit thread: writing ---- */

static void fail(struct sl_wal *wal, int error)
{
    char name[SL_WAL_FILE_NAME_SIZE];
    sl_wal_file_name(wal->file_number, name);
    sl_log(SL_LOG_ERROR, "journal", "wal_failed", "shard=%u file=%s position=%" PRIu64 " errno=%d",
           wal->setup.index, name, wal->position, error);
    sl_metrics_publish(&wal->failed, 1);
    sl_wal_files_stop(wal->files);
}

static bool has_place(const struct sl_wal *wal, size_t size)
{
    return wal->file != NULL &&
           (wal->file_number + 1) * wal->setup.file_size - wal->position >= size;
}

/* Makes sure that the next frame, of that size, has its place in the open file. */
static int place_frame(struct sl_wal *wal, size_t size)
{
    uint64_t file_size = wal->setup.file_size;
    if (has_place(wal, size))
        return 0;
    uint64_t number;
    struct sl_file *next = sl_wal_files_take(wal->files, &number);
    if (next == NULL)
        return ENOSPC;
    if (wal->file != NULL)
        wal->file->vfs->close(wal->file);
    SL_ASSERT(number == (wal->position + file_size - 1) / file_size);
    wal->file = next;
    wal->file_number = number;
    wal->direct = true;
    wal->position = number * file_size;
    return 0;
}

/* One write; a file system may accept direct files and refuse direct writes. */
static int write_frame(struct sl_wal *wal, const uint8_t *data, size_t size)
{
    uint64_t offset = wal->position - wal->file_number * wal->setup.file_size;
    int error = wal->file->vfs->write(wal->file, data, size, offset);
    if (error != EINVAL || !wal->direct)
        return error;
    wal->file->vfs->close(wal->file);
    wal->file = NULL;
    wal->direct = false;
    error = sl_wal_files_fall_back(wal->files, wal->file_number, &wal->file);
    return error != 0 ? error : wal->file->vfs->write(wal->file, data, size, offset);
}

static void count_latency(struct sl_wal *wal, uint64_t ns)
{
    uint64_t us = ns / NS_PER_US;
    wal->mean_ns = wal->mean_ns - wal->mean_ns / MEAN_OF + ns / MEAN_OF;
    unsigned bucket = us == 0 ? 0 : 64 - (unsigned)__builtin_clzll(us);
    if (bucket >= SL_WAL_LATENCY_BUCKETS)
        bucket = SL_WAL_LATENCY_BUCKETS - 1;
    sl_metrics_publish(&wal->latency[bucket], wal->latency[bucket] + 1);
    sl_metrics_publish(&wal->latency_sum_us, wal->latency_sum_us + us);
}

/* The frame is durable. */
static void publish(struct sl_wal *wal, const struct sl_frame *frame, size_t size)
{
    wal->position += size;
    sl_wal_files_advance(wal->files, wal->position);
    sl_mutex_lock(wal->mutex);
    wal->writing = 0;
    wal->mark = (struct sl_wal_mark){
        .position = wal->position,
        .lsn = frame->first_lsn + frame->record_count,
        .epoch = frame->epoch,
        .chain = frame->header_crc,
    };
    sl_metrics_publish(&wal->durable_lsn, wal->mark.lsn - 1);
    sl_mutex_unlock(wal->mutex);
}

/*
 * When the frame is made, by the clock of those who add records: a frame without records says what
 * they would have said, even if the wall clock has been set meanwhile.
 */
static int64_t frame_time(struct sl_wal *wal, const struct frame_buffer *buffer)
{
    int64_t running_ms = (int64_t)sl_clock_running_ms();

    if (buffer != NULL)
        wal->wall_offset_ms = buffer->wall_ms - running_ms;
    return running_ms + wal->wall_offset_ms;
}

/*
 * Writes a frame of the buffer's records, or without any. Returns an errno value; the log has
 * failed then.
 */
static int commit(struct sl_wal *wal, struct frame_buffer *buffer, unsigned flags)
{
    size_t body_size = buffer == NULL ? 0 : buffer->body_size;
    uint8_t *data = buffer == NULL ? wal->empty_frame : buffer->data;
    size_t size = sl_frame_size(body_size);
    size_t filled = SL_FRAME_HEADER_BYTES + body_size;
    int error = place_frame(wal, size);
    if (error != 0) {
        fail(wal, error);
        return error;
    }
    struct sl_frame frame = {
        .flags = (uint16_t)flags,
        .body_size = (uint32_t)body_size,
        .record_count = buffer == NULL ? 0 : buffer->count,
        .body_crc = sl_crc32c(0, data + SL_FRAME_HEADER_BYTES, body_size),
        .log_id = wal->setup.log_id,
        .epoch = wal->mark.epoch,
        .position = wal->position,
        .first_lsn = wal->mark.lsn,
        .durable_lsn = wal->mark.lsn - 1,
        .wall_ms = frame_time(wal, buffer),
        .chain = wal->mark.chain,
    };
    if (buffer != NULL)
        SL_ASSERT(buffer->first_lsn == frame.first_lsn);
    if ((flags & SL_FRAME_OPEN) != 0)
        frame.epoch++;
    sl_frame_encode(&frame, data);
    memset(data + filled, 0, size - filled);

    uint64_t started_ns = sl_clock_monotonic_ns();
    error = write_frame(wal, data, size);
    if (error != 0) {
        fail(wal, error);
        return error;
    }
    wal->written_at_ns = sl_clock_monotonic_ns();
    wal->watermark_due = frame.record_count > 0;
    if (frame.record_count > 0) {
        count_latency(wal, wal->written_at_ns - started_ns);
        wal->last_size = size;
    }
    publish(wal, &frame, size);
    return 0;
}

/* ---- commit thread: the loop ---- */

/* Takes the open buffer if there is something in it and the shard has nothing to do with it. Locked.
 */
static struct frame_buffer *take_open(struct sl_wal *wal)
{
    struct frame_buffer *taken = &wal->buffers[wal->open];
    if (wal->is_held || wal->is_lent || taken->count == 0)
        return NULL;
    wal->open = (wal->open + 1) % BUFFERS;
    wal->writing = sl_frame_size(taken->body_size);
    SL_ASSERT(wal->buffers[wal->open].count == 0);
    return taken;
}

/* Waits until there may be something to do; false: it is time for a WATERMARK. Locked. */
static bool rest(struct sl_wal *wal)
{
    wal->sleeping = true;
    bool waited = true;
    if (wal->is_lent) {
        sl_condition_wait_for(wal->changed, wal->mutex, WATERMARK_AFTER_MS);
    } else if (wal->watermark_due) {
        uint64_t due_ns = wal->written_at_ns + (uint64_t)WATERMARK_AFTER_MS * NS_PER_MS;
        uint64_t now_ns = sl_clock_monotonic_ns();
        waited = now_ns < due_ns;
        if (waited)
            sl_condition_wait_for(wal->changed, wal->mutex,
                                  (unsigned)((due_ns - now_ns) / NS_PER_MS) + 1);
    } else {
        sl_condition_wait(wal->changed, wal->mutex);
    }
    wal->sleeping = false;
    return waited;
}

static void wake(const struct sl_wal *wal)
{
    wal->setup.wake(wal->setup.context);
}

/* Writes what is there; false: nothing was. The lock is held, but not meanwhile. */
static bool write_open(struct sl_wal *wal, bool *must_wake)
{
    struct frame_buffer *buffer = take_open(wal);
    if (buffer == NULL && !*must_wake)
        return false;
    sl_mutex_unlock(wal->mutex);
    /* Not before the buffers were swapped: who is woken finds room at once. */
    if (*must_wake)
        wake(wal);
    *must_wake = false;
    if (buffer != NULL && commit(wal, buffer, 0) == 0) {
        reset_buffer(wal, buffer);
        *must_wake = true;
    }
    sl_mutex_lock(wal->mutex);
    return true;
}

static void commit_main(void *argument)
{
    struct sl_wal *wal = argument;
    bool must_wake = false;
    sl_mutex_lock(wal->mutex);
    while (!sl_wal_failed(wal)) {
        if (write_open(wal, &must_wake))
            continue;
        if (wal->closing)
            break;
        if (rest(wal))
            continue;
        /* Not worth a file that others may need more. */
        wal->watermark_due = sl_wal_files_contiguous(wal->files) >= SL_DISK_BLOCK_BYTES;
        if (!wal->watermark_due)
            continue;
        sl_mutex_unlock(wal->mutex);
        (void)commit(wal, NULL, SL_FRAME_WATERMARK);
        sl_mutex_lock(wal->mutex);
    }
    sl_mutex_unlock(wal->mutex);
    /* On a full disk there may be no place for it; the manifest says, too, what was durable. */
    if (!sl_wal_failed(wal) && sl_wal_files_contiguous(wal->files) >= SL_DISK_BLOCK_BYTES)
        (void)commit(wal, NULL, SL_FRAME_SEAL);
    if (sl_wal_failed(wal))
        wake(wal);
}

/* ---- open and close ---- */

/*
 * What the scan has read may have been in the page cache or in the disk's cache only, when the
 * process was killed and not the machine. The OPEN frame says that it is durable, so it has to be.
 */
static int sync_end(const struct sl_wal_setup *setup, const struct sl_wal_mark *end)
{
    if (end->position == 0)
        return 0;
    char name[SL_WAL_FILE_NAME_SIZE];
    char path[SL_PATH_SIZE_MAX];
    struct sl_file *file;
    sl_wal_file_name((end->position - 1) / setup->file_size, name);
    if (!sl_path_join(path, setup->directory, name))
        return ENAMETOOLONG;
    int error = setup->vfs->open(setup->vfs, path, SL_VFS_WRITE, &file);
    /* Released, and so durable long ago, and recycled. */
    if (error == ENOENT && end->position % setup->file_size == 0)
        return 0;
    if (error != 0)
        return error;
    error = setup->vfs->sync(file);
    setup->vfs->close(file);
    return error;
}

/* Everything but the threads and the files. */
static struct sl_wal *make(const struct sl_wal_setup *setup, const struct sl_wal_mark *end)
{
    struct sl_wal *wal = sl_memory_alloc(sizeof(*wal));
    *wal = (struct sl_wal){
        .setup = *setup,
        .next_lsn = end->lsn,
        .position = end->position,
        .empty_frame = sl_memory_alloc_aligned(SL_DISK_BLOCK_BYTES, SL_DISK_BLOCK_BYTES),
        .mutex = sl_mutex_create(),
        .changed = sl_condition_create(),
        .mark = *end,
        .durable_lsn = end->lsn - 1,
        .mean_ns = MEAN_OF * QUICK_NS, /* until it has shown that it is quick */
        .wall_offset_ms = sl_clock_wall_ms() - (int64_t)sl_clock_running_ms(),
    };
    for (size_t i = 0; i < BUFFERS; i++)
        make_buffer(wal, &wal->buffers[i]);
    wal->setup.directory = NULL;
    return wal;
}

static void destroy(struct sl_wal *wal)
{
    if (wal->file != NULL)
        wal->file->vfs->close(wal->file);
    if (wal->files != NULL)
        sl_wal_files_close(&wal->files);
    for (size_t i = 0; i < BUFFERS; i++)
        sl_memory_free(wal->buffers[i].data);
    sl_memory_free(wal->empty_frame);
    sl_condition_destroy(&wal->changed);
    sl_mutex_destroy(&wal->mutex);
    sl_memory_free(wal);
}

static enum sl_err open_files(struct sl_wal *wal, const char *directory, uint64_t keep_from)
{
    struct sl_wal_files_setup setup = {
        .vfs = wal->setup.vfs,
        .directory = directory,
        .file_size = wal->setup.file_size,
        .size_max = wal->setup.size_max,
        .free_bytes_min = wal->setup.free_bytes_min,
        .index = wal->setup.index,
        .wake = wal->setup.wake,
        .context = wal->setup.context,
    };
    enum sl_err err = sl_wal_files_open(&setup, wal->position, keep_from, &wal->files);
    if (err != SL_OK)
        return err;
    wal->file = sl_wal_files_take_resumed(wal->files);
    wal->file_number = wal->position / setup.file_size;
    wal->direct = true;
    return SL_OK;
}

enum sl_err sl_wal_open(const struct sl_wal_setup *setup, const struct sl_wal_mark *end,
                        uint64_t keep_from, struct sl_wal **wal)
{
    SL_ASSERT(setup->file_size > 0 && setup->file_size % SL_DISK_BLOCK_BYTES == 0);
    SL_ASSERT(sl_frame_size(setup->frame_size_max) <= setup->file_size / 2);
    SL_ASSERT(setup->size_max >= 2 * setup->file_size);
    SL_ASSERT(end->lsn > 0 && end->position % SL_DISK_BLOCK_BYTES == 0);
    SL_ASSERT(keep_from <= end->position);
    *wal = NULL;
    int error = sync_end(setup, end);
    if (error != 0) {
        sl_log(SL_LOG_ERROR, "journal", "wal_end_not_durable", "directory=%s errno=%d",
               setup->directory, error);
        return sli_disk_err(error);
    }
    struct sl_wal *opened = make(setup, end);
    enum sl_err err = open_files(opened, setup->directory, keep_from);
    if (err == SL_OK)
        err = sli_disk_err(commit(opened, NULL, SL_FRAME_OPEN));
    if (err != SL_OK) {
        destroy(opened);
        return err;
    }
    char name[SL_THREAD_NAME_SIZE_MAX + 1];
    snprintf(name, sizeof(name), "wal-%u", setup->index);
    opened->thread = sl_thread_start(name, commit_main, opened);
    *wal = opened;
    return SL_OK;
}

void sl_wal_close(struct sl_wal **wal)
{
    struct sl_wal *closed = *wal;
    *wal = NULL;
    sl_wal_commit(closed);
    sl_mutex_lock(closed->mutex);
    closed->closing = true;
    sl_condition_signal(closed->changed);
    sl_mutex_unlock(closed->mutex);
    sl_wal_files_finish(closed->files);
    sl_thread_join(&closed->thread);
    destroy(closed);
}

/* ---- shard ---- */

static bool fits(const struct sl_wal *wal, const struct frame_buffer *buffer, size_t size)
{
    return buffer->count == 0 || buffer->body_size + size <= wal->setup.frame_size_max;
}

/*
 * Bytes of records that the open frame may hold so that it has a place whatever becomes of the
 * disk: behind the frame that is being written, and a WATERMARK. Locked.
 */
static uint64_t placeable(const struct sl_wal *wal)
{
    uint64_t contiguous = sl_wal_files_contiguous(wal->files);
    uint64_t others = wal->writing + SL_DISK_BLOCK_BYTES + SL_FRAME_HEADER_BYTES;
    if (contiguous == UINT64_MAX)
        return UINT64_MAX;
    return contiguous > others ? contiguous - others : 0;
}

bool sl_wal_has_room(struct sl_wal *wal, size_t size)
{
    if (sl_wal_failed(wal))
        return true;
    enum sl_wal_room room = sl_wal_files_room(wal->files);
    if (room == SL_WAL_ROOM_SOON ||
        (room == SL_WAL_ROOM_FULL && size > SL_WAL_RESERVED_RECORD_BYTES))
        return false;
    if (wal->held != NULL)
        return fits(wal, wal->held, size) && wal->held->body_size + size <= wal->held_max;
    sl_mutex_lock(wal->mutex);
    const struct frame_buffer *open = &wal->buffers[wal->open];
    bool has_room = fits(wal, open, size) && open->body_size + size <= placeable(wal);
    sl_mutex_unlock(wal->mutex);
    return has_room;
}

uint64_t sl_wal_add(struct sl_wal *wal, const struct sl_record *record, int64_t wall_ms)
{
    uint64_t lsn = wal->next_lsn++;
    /* Nobody will ever write it. */
    if (sl_wal_failed(wal))
        return lsn;
    if (wal->held == NULL) {
        sl_mutex_lock(wal->mutex);
        wal->held = &wal->buffers[wal->open];
        wal->held_max = placeable(wal);
        wal->is_held = true;
        sl_mutex_unlock(wal->mutex);
    }
    struct frame_buffer *buffer = wal->held;
    size_t size = sl_record_size(record);
    uint8_t *out = reserve(wal, buffer, size);
    sl_record_encode(record, out);
    if (buffer->count == 0)
        buffer->first_lsn = lsn;
    buffer->body_size += size;
    buffer->count++;
    buffer->wall_ms = wall_ms;
    return lsn;
}

/*
 * May the shard write its frame itself? One block on a quick disk takes little more than waking a
 * thread and being woken by it; with larger frames before there is work to do meanwhile. A file is
 * never changed here, which might wait. Locked.
 */
static bool is_short(const struct sl_wal *wal, size_t size)
{
    return wal->sleeping && size == SL_DISK_BLOCK_BYTES && wal->last_size == size &&
           wal->mean_ns < QUICK_NS && has_place(wal, size);
}

/* The shard writes the open frame; it is woken as after any commit. Locked, but not meanwhile. */
static void write_here(struct sl_wal *wal)
{
    struct frame_buffer *buffer = take_open(wal);
    bool watched = wal->watermark_due; /* the commit thread waits no longer than until then */
    SL_ASSERT(buffer != NULL);         /* what is_short() was asked of */
    wal->is_lent = true;
    sl_mutex_unlock(wal->mutex);
    bool failed = commit(wal, buffer, 0) != 0;
    if (!failed) {
        reset_buffer(wal, buffer);
        wake(wal);
    }
    sl_mutex_lock(wal->mutex);
    wal->is_lent = false;
    if (!watched || failed)
        sl_condition_signal(wal->changed);
}

void sl_wal_commit(struct sl_wal *wal)
{
    if (wal->held == NULL)
        return;
    size_t size = sl_frame_size(wal->held->body_size);
    wal->held = NULL;
    sl_mutex_lock(wal->mutex);
    wal->is_held = false;
    if (is_short(wal, size))
        write_here(wal);
    else if (wal->sleeping)
        sl_condition_signal(wal->changed);
    sl_mutex_unlock(wal->mutex);
}

enum sl_err sl_wal_space(const struct sl_wal *wal)
{
    return sl_wal_files_room(wal->files) == SL_WAL_ROOM_FULL ? SL_ERR_DISK_FULL : SL_OK;
}

void sl_wal_release(struct sl_wal *wal, uint64_t position)
{
    sl_wal_files_release(wal->files, position);
}

/* ---- any thread ---- */

uint64_t sl_wal_durable_lsn(const struct sl_wal *wal)
{
    return sl_metrics_read(&wal->durable_lsn);
}

bool sl_wal_failed(const struct sl_wal *wal)
{
    return sl_metrics_read(&wal->failed) != 0;
}

struct sl_wal_mark sl_wal_durable_mark(const struct sl_wal *wal)
{
    sl_mutex_lock(wal->mutex);
    struct sl_wal_mark mark = wal->mark;
    sl_mutex_unlock(wal->mutex);
    return mark;
}

bool sl_wal_is_buffered(const struct sl_wal *wal)
{
    return sl_wal_files_is_buffered(wal->files);
}

void sl_wal_latency(const struct sl_wal *wal, uint64_t counts[SL_WAL_LATENCY_BUCKETS],
                    uint64_t *sum_us)
{
    for (size_t i = 0; i < SL_WAL_LATENCY_BUCKETS; i++)
        counts[i] = sl_metrics_read(&wal->latency[i]);
    *sum_us = sl_metrics_read(&wal->latency_sum_us);
}
