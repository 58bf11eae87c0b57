#include "journal/scrub.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "journal/inspect.h"
#include "journal/segment_internal.h"

#define NS_PER_SECOND UINT64_C(1000000000)

/*
 * A segment's file as the scrub sees it: `vfs` opens it, once, and `file` is what it opens. So
 * whatever reads segments reads them here in paced pieces, and ends when the scrub is given up.
 */
struct reader {
    struct sl_vfs vfs;
    struct sl_file file;
    struct sl_scrub *scrub;     /* borrowed */
    struct sl_segment *segment; /* borrowed: the one that is used */
    struct sl_segment *reread;  /* owned: the same, opened through `vfs` */
    struct sl_file *inner;      /* owned: on the disk */
    uint64_t size;              /* bytes of the file */
    uint8_t *piece;             /* owned: a part of it, */
    uint64_t piece_at;          /* which begins here */
    size_t piece_size;          /* and has so many bytes */
    bool given_up;              /* nothing is read any more */
    struct sl_buffer chunks;    /* owned: being checked */
};

uint64_t sl_pace_take(struct sl_pace *pace, size_t bytes, uint64_t now_ns)
{
    if (pace->free_at_ns < now_ns)
        pace->free_at_ns = now_ns;
    uint64_t wait_ns = pace->free_at_ns - now_ns;
    uint64_t rate = pace->bytes_per_second;
    pace->free_at_ns += (bytes * NS_PER_SECOND + rate - 1) / rate;
    return wait_ns;
}

/* ---- the file ---- */

static int open_inner(struct reader *reader, unsigned flags)
{
    const struct sl_vfs *vfs = reader->scrub->vfs;
    if (reader->inner != NULL)
        vfs->close(reader->inner);
    reader->inner = NULL;
    return vfs->open(vfs, reader->segment->path, flags, &reader->inner);
}

static int on_open(const struct sl_vfs *vfs, const char *path, unsigned flags,
                   struct sl_file **file)
{
    struct reader *reader = (struct reader *)(uintptr_t)vfs; /* the first member */
    (void)path;
    *file = NULL;
    int error = open_inner(reader, flags | SL_VFS_DIRECT);
    if (error == EINVAL)
        error = open_inner(reader, flags);
    if (error == 0)
        error = reader->inner->vfs->size(reader->inner, &reader->size);
    if (error == 0)
        *file = &reader->file;
    return error;
}

static void on_close(struct sl_file *file)
{
    (void)file; /* it ends with the reader */
}

static int on_size(struct sl_file *file, uint64_t *size)
{
    *size = SL_OBJECT(file, struct reader, file)->size;
    return 0;
}

/* The piece that has the byte at `at`, which is in the file. */
static int load(struct reader *reader, uint64_t at)
{
    struct sl_scrub *scrub = reader->scrub;
    reader->piece_at = at / SL_SCRUB_PIECE_BYTES * SL_SCRUB_PIECE_BYTES;
    reader->piece_size = 0;
    uint64_t left = reader->size - reader->piece_at;
    size_t wanted = left < SL_SCRUB_PIECE_BYTES ? (size_t)left : SL_SCRUB_PIECE_BYTES;
    reader->given_up = reader->given_up || !scrub->pace(scrub->context, wanted);
    if (reader->given_up)
        return ECANCELED;
    int error = reader->inner->vfs->read(reader->inner, reader->piece, SL_SCRUB_PIECE_BYTES,
                                         reader->piece_at, &reader->piece_size);
    if (error != EINVAL)
        return error;
    /* Some file systems take the flag and refuse the read. */
    error = open_inner(reader, 0);
    return error != 0 ? error
                      : reader->inner->vfs->read(reader->inner, reader->piece, SL_SCRUB_PIECE_BYTES,
                                                 reader->piece_at, &reader->piece_size);
}

static int on_read(struct sl_file *file, void *to, size_t size, uint64_t at, size_t *got)
{
    struct reader *reader = SL_OBJECT(file, struct reader, file);
    for (*got = 0; *got < size && at + *got < reader->size;) {
        uint64_t next = at + *got;
        bool is_there = next >= reader->piece_at && next - reader->piece_at < reader->piece_size;
        int error = is_there ? 0 : load(reader, next);
        if (error != 0)
            return error;
        size_t skip = (size_t)(next - reader->piece_at);
        if (skip >= reader->piece_size)
            break; /* the file has become shorter */
        size_t part = reader->piece_size - skip;
        if (part > size - *got)
            part = size - *got;
        memcpy((uint8_t *)to + *got, reader->piece + skip, part);
        *got += part;
    }
    return 0;
}

/* ---- the segment ---- */

static void damaged(struct reader *reader, uint64_t position, const char *what)
{
    if (reader->given_up)
        return;
    reader->scrub->damaged++;
    (void)sli_segment_damage(reader->reread != NULL ? reader->reread : reader->segment, position,
                             what);
    sli_segment_mark_damaged(reader->segment);
}

/* An answer that did not come says nothing about the bytes: the next pass asks again. */
static void unreadable(const struct reader *reader, uint64_t position, enum sl_err err)
{
    char path[SL_LOG_LINE_SIZE_MAX / 2];
    if (reader->given_up)
        return;
    sl_log(SL_LOG_WARN, "journal", "not_scrubbed", "file=%s position=%llu code=%s",
           sl_log_escaped(path, sizeof(path), sl_bytes_of(reader->segment->path)),
           (unsigned long long)position, sl_err_code(err));
}

static void on_chunk(void *context, const struct sl_chunk *chunk)
{
    (void)context;
    (void)chunk; /* that it came says that it is good */
}

static void on_entry(void *context, struct sl_segment *segment, const struct sl_entry *entry)
{
    struct reader *reader = context;
    for (uint32_t i = 0; i < entry->extent_count && !reader->given_up; i++) {
        const struct sl_extent_on_disk *extent = &entry->extents[i];
        enum sl_err err =
            sl_segment_read(segment, entry->id, extent, &reader->chunks, on_chunk, NULL);
        if (err == SL_ERR_STORAGE_FAILED)
            unreadable(reader, extent->position, err);
        else if (err != SL_OK)
            damaged(reader, extent->position, "a chunk is damaged");
    }
}

static void on_tombstone(void *context, struct sl_segment *segment,
                         const struct sl_tombstone *tombstone)
{
    (void)context;
    (void)segment;
    (void)tombstone;
}

static void on_damage(void *context, uint64_t from, uint64_t position, const char *what)
{
    (void)from;
    damaged(context, position, what);
}

static void check(struct reader *reader)
{
    const struct sl_inspect_visitor visitor = {
        .entries = { on_entry, on_tombstone, reader },
        .on_damage = on_damage,
    };
    const struct sl_segment *used = reader->segment;
    uint64_t position;
    const char *what;
    enum sl_err err = sl_inspect_segment(&reader->vfs, reader->scrub->directory, used->number,
                                         reader->scrub->log_id, &reader->reread, &position, &what);
    if (err == SL_OK &&
        (reader->reread->footer_crc != used->footer_crc || reader->reread->size != used->size)) {
        what = "it is not the segment that the manifest names";
        err = SL_ERR_DATA_CORRUPT;
    }
    if (err == SL_OK)
        err = sl_inspect_entries(reader->reread, &visitor);
    else if (err != SL_ERR_STORAGE_FAILED)
        damaged(reader, position, what);
    if (err == SL_ERR_STORAGE_FAILED)
        unreadable(reader, reader->piece_at, err);
}

bool sl_scrub_segment(struct sl_scrub *scrub, struct sl_segment *segment)
{
    struct reader reader = {
        .vfs = { .open = on_open, .close = on_close, .read = on_read, .size = on_size },
        .scrub = scrub,
        .segment = segment,
        .piece = sl_memory_alloc_aligned(SL_DISK_BLOCK_BYTES, SL_SCRUB_PIECE_BYTES),
    };
    reader.file.vfs = &reader.vfs;
    check(&reader);
    sl_segment_unref(&reader.reread);
    if (reader.inner != NULL)
        scrub->vfs->close(reader.inner);
    sl_buffer_deinit(&reader.chunks);
    sl_memory_free(reader.piece);
    return !reader.given_up;
}
