#include "journal/wal_reader.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/thread.h"
#include "journal/wal_files.h"

/* What follows the window, of the same file, is being read or was. */
struct ahead {
    struct sl_thread *thread; /* owned; NULL: nothing is */
    struct sl_file *file;     /* borrowed from the reader */
    uint8_t *bytes;           /* owned, aligned; SL_WAL_READER_WINDOW_BYTES */
    uint64_t offset;          /* in the file */
    size_t size;              /* wanted */
    size_t got;
    int error;
};

struct sl_wal_reader {
    const struct sl_vfs *vfs; /* borrowed */
    const char *directory;    /* borrowed */
    uint64_t file_size;
    struct sl_file *file; /* owned; NULL: there is no file of this number */
    uint64_t number;      /* of the file */
    bool selected;        /* the two above count */
    bool wrong_size;      /* of the file */
    bool buffered;        /* direct reads are refused */
    uint8_t *window;      /* owned, aligned; bytes of the file */
    size_t capacity;      /* bytes of the window */
    uint64_t window_at;   /* where in the file it begins */
    size_t window_size;   /* bytes that count */
    struct ahead ahead;
};

struct sl_wal_reader *sl_wal_reader_open(const struct sl_vfs *vfs, const char *directory,
                                         uint64_t file_size)
{
    struct sl_wal_reader *reader = sl_memory_zalloc(sizeof(*reader));
    reader->vfs = vfs;
    reader->directory = directory;
    reader->file_size = file_size;
    reader->capacity =
        file_size < SL_WAL_READER_WINDOW_BYTES ? (size_t)file_size : SL_WAL_READER_WINDOW_BYTES;
    reader->window = sl_memory_alloc_aligned(SL_DISK_BLOCK_BYTES, reader->capacity);
    reader->ahead.bytes = sl_memory_alloc_aligned(SL_DISK_BLOCK_BYTES, reader->capacity);
    return reader;
}

/* ---- ahead ---- */

static void read_ahead(void *argument)
{
    struct ahead *ahead = argument;
    ahead->error =
        ahead->file->vfs->read(ahead->file, ahead->bytes, ahead->size, ahead->offset, &ahead->got);
}

static void start_ahead(struct sl_wal_reader *reader)
{
    uint64_t offset = reader->window_at + reader->window_size;
    uint64_t rest = reader->file_size - offset;
    if (rest == 0)
        return;
    struct ahead *ahead = &reader->ahead;
    SL_ASSERT(ahead->thread == NULL);
    ahead->file = reader->file;
    ahead->offset = offset;
    ahead->size = rest < SL_WAL_READER_WINDOW_BYTES ? (size_t)rest : SL_WAL_READER_WINDOW_BYTES;
    ahead->thread = sl_thread_start("read-ahead", read_ahead, ahead);
}

/*
 * Copies what was read ahead of the bytes at `offset`; returns how many. What had gone wrong is not
 * worth a word: whoever needs those bytes reads them again.
 */
static size_t take_ahead(struct sl_wal_reader *reader, uint64_t offset, uint8_t *out, size_t size)
{
    struct ahead *ahead = &reader->ahead;
    if (ahead->thread == NULL)
        return 0;
    sl_thread_join(&ahead->thread);
    if (ahead->error != 0 || ahead->offset != offset || ahead->got != ahead->size)
        return 0;
    size_t taken = size < ahead->size ? size : ahead->size;
    if (taken > 0)
        memcpy(out, ahead->bytes, taken);
    return taken;
}

/* ---- the file and the window ---- */

static void deselect(struct sl_wal_reader *reader)
{
    take_ahead(reader, 0, NULL, 0);
    if (reader->file != NULL)
        reader->vfs->close(reader->file);
    reader->file = NULL;
    reader->selected = false;
    reader->window_size = 0;
}

void sl_wal_reader_close(struct sl_wal_reader **reader)
{
    struct sl_wal_reader *last = *reader;
    *reader = NULL;
    deselect(last);
    sl_memory_free(last->window);
    sl_memory_free(last->ahead.bytes);
    sl_memory_free(last);
}

static int select_file(struct sl_wal_reader *reader, uint64_t number)
{
    if (reader->selected && reader->number == number)
        return 0;
    deselect(reader);
    char name[SL_WAL_FILE_NAME_SIZE];
    char path[SL_PATH_SIZE_MAX];
    sl_wal_file_name(number, name);
    if (!sl_path_join(path, reader->directory, name))
        return ENAMETOOLONG;
    int error = EINVAL;
    if (!reader->buffered)
        error = reader->vfs->open(reader->vfs, path, SL_VFS_DIRECT, &reader->file);
    if (error == EINVAL) {
        reader->buffered = true;
        error = reader->vfs->open(reader->vfs, path, 0, &reader->file);
    }
    if (error != 0)
        reader->file = NULL;
    uint64_t size = reader->file_size;
    reader->number = number;
    reader->selected = error == 0 || error == ENOENT;
    if (error == 0)
        error = reader->vfs->size(reader->file, &size);
    reader->wrong_size = size != reader->file_size;
    return error == ENOENT ? 0 : error;
}

/* Makes the window begin at `offset` and keeps what it has of that. Returns the bytes kept. */
static size_t move_window(struct sl_wal_reader *reader, uint64_t offset, size_t size)
{
    size_t kept = 0;
    if (offset >= reader->window_at && offset < reader->window_at + reader->window_size)
        kept = (size_t)(reader->window_at + reader->window_size - offset);
    const uint8_t *from = reader->window + (kept == 0 ? 0 : offset - reader->window_at);
    if (size > reader->capacity) {
        uint8_t *larger = sl_memory_alloc_aligned(SL_DISK_BLOCK_BYTES, size);
        memcpy(larger, from, kept);
        sl_memory_free(reader->window);
        reader->window = larger;
        reader->capacity = size;
    } else {
        memmove(reader->window, from, kept);
    }
    reader->window_at = offset;
    reader->window_size = 0;
    return kept;
}

/* The window begins at `offset` and has `size` bytes at least. */
static int fill_window(struct sl_wal_reader *reader, uint64_t offset, size_t size)
{
    size_t have = move_window(reader, offset, size);
    uint64_t rest = reader->file_size - offset;
    size_t wanted = rest < reader->capacity ? (size_t)rest : reader->capacity;
    have += take_ahead(reader, offset + have, reader->window + have, wanted - have);
    if (have < size) {
        size_t got;
        int error = reader->file->vfs->read(reader->file, reader->window + have, wanted - have,
                                            offset + have, &got);
        /* The file has its size: what is missing is there, and nothing else may stand for it. */
        if (error == 0 && got < wanted - have)
            error = EIO;
        if (error != 0)
            return error;
        have = wanted;
    }
    reader->window_size = have;
    start_ahead(reader);
    return 0;
}

int sl_wal_reader_view(struct sl_wal_reader *reader, uint64_t position, size_t size,
                       const uint8_t **bytes, bool *wrong_size)
{
    uint64_t offset = position % reader->file_size;
    SL_ASSERT(offset % SL_DISK_BLOCK_BYTES == 0);
    SL_ASSERT(offset + size <= reader->file_size);
    *bytes = NULL;
    *wrong_size = false;
    int error = select_file(reader, position / reader->file_size);
    if (error != 0 || reader->file == NULL)
        return error;
    *wrong_size = reader->wrong_size;
    if (reader->wrong_size)
        return 0;
    bool inside =
        offset >= reader->window_at && offset + size <= reader->window_at + reader->window_size;
    if (!inside)
        error = fill_window(reader, offset, size);
    if (error == EINVAL && !reader->buffered) {
        reader->buffered = true;
        deselect(reader);
        return sl_wal_reader_view(reader, position, size, bytes, wrong_size);
    }
    if (error == 0)
        *bytes = reader->window + (offset - reader->window_at);
    return error;
}

bool sl_wal_reader_is_buffered(const struct sl_wal_reader *reader)
{
    return reader->buffered;
}
