#include <errno.h>

#include "base/crc32c.h"
#include "base/memory.h"
#include "journal/encoding_internal.h"
#include "journal/segment_internal.h"

enum {
    WRITE_BYTES = 1024 * 1024, /* of one write */
    /* One sync of gigabytes at the end would keep the log's commits waiting behind it. */
    SYNC_BYTES = 32 * 1024 * 1024,
};

struct sl_segment_writer {
    const struct sl_vfs *vfs; /* borrowed */
    char *directory;          /* owned */
    struct sl_file *file;     /* owned: seg-N.tmp */
    bool direct;              /* how it is open */
    uint64_t number;
    uint64_t log_id;
    uint64_t position;           /* where the next byte goes */
    uint8_t *staged;             /* owned, aligned: what is not written yet; WRITE_BYTES */
    size_t staged_size;          /* bytes of it */
    uint64_t synced;             /* what was synced on the way */
    bool compacted;              /* for the footer */
    uint64_t first_lsn;          /* lowest so far */
    uint32_t entries;            /* written so far */
    uint32_t tombstones;         /* written so far */
    uint64_t pending_id;         /* of the stream whose parts are gathered */
    struct sl_buffer pending;    /* struct sl_extent_on_disk each: of its parts so far */
    struct sl_buffer block;      /* the entry block that is being made */
    struct sl_buffer block_list; /* the directory, as it will be written */
};

/* ---- batches ---- */

struct sl_segment_batch *sl_segment_batch_create(void)
{
    struct sl_segment_batch *batch = sl_memory_zalloc(sizeof(*batch));
    sl_link_init(&batch->link);
    return batch;
}

void sl_segment_batch_destroy(struct sl_segment_batch **batch)
{
    struct sl_segment_batch *gone = *batch;
    *batch = NULL;
    if (gone == NULL)
        return;
    SL_ASSERT(!sl_link_is_linked(&gone->link));
    sl_buffer_deinit(&gone->chunks);
    sl_buffer_deinit(&gone->states);
    sl_buffer_deinit(&gone->entries);
    sl_buffer_deinit(&gone->extents);
    sl_buffer_deinit(&gone->tombstones);
    sl_memory_free(gone);
}

size_t sl_segment_batch_begin_chunk(struct sl_segment_batch *batch)
{
    size_t at = batch->chunks.size;
    memset(sl_buffer_reserve(&batch->chunks, SL_CHUNK_HEADER_BYTES), 0, SL_CHUNK_HEADER_BYTES);
    batch->chunks.size += SL_CHUNK_HEADER_BYTES;
    return at;
}

void sl_segment_batch_end_chunk(struct sl_segment_batch *batch, size_t at, uint64_t id,
                                uint64_t start, uint32_t payload_size)
{
    SL_ASSERT(at + SL_CHUNK_HEADER_BYTES <= batch->chunks.size);
    size_t size = batch->chunks.size - at;
    SL_ASSERT(size <= UINT32_MAX);
    SL_ASSERT(payload_size <= SL_CHUNK_PAYLOAD_BYTES_MAX);
    SL_ASSERT(payload_size <= size - SL_CHUNK_HEADER_BYTES);
    uint8_t *header = batch->chunks.data + at;
    sli_put_u32(header + 4, (uint32_t)size);
    sli_put_u64(header + 8, id);
    sli_put_u64(header + 16, start);
    sli_put_u32(header + 24, payload_size);
    sli_put_u32(header + 28, 0);
}

/* ---- the writer ---- */

/* Writes the path of the temporary file (or of the final one) to `out`. */
static bool path_of(const char *directory, uint64_t number, bool tmp, char *out)
{
    char name[SLI_SEGMENT_TMP_NAME_SIZE];
    if (tmp)
        sli_segment_tmp_name(number, name);
    else
        sl_segment_name(number, name);
    return sl_path_join(out, directory, name);
}

static int open_file(struct sl_segment_writer *writer)
{
    char path[SL_PATH_SIZE_MAX];
    const struct sl_vfs *vfs = writer->vfs;
    unsigned direct = writer->direct ? SL_VFS_DIRECT : 0;
    if (!path_of(writer->directory, writer->number, true, path))
        return ENAMETOOLONG;
    int error_number = vfs->unlink(vfs, path); /* what a crash has left there does not count */
    if (error_number != 0 && error_number != ENOENT)
        return error_number;
    return vfs->open(vfs, path, SL_VFS_WRITE | SL_VFS_CREATE | direct, &writer->file);
}

/* The file system refuses direct writes, now or at the first one. */
static int open_buffered(struct sl_segment_writer *writer)
{
    if (writer->file != NULL)
        writer->vfs->close(writer->file);
    writer->file = NULL;
    writer->direct = false;
    return open_file(writer);
}

static void free_writer(struct sl_segment_writer **writer)
{
    struct sl_segment_writer *gone = *writer;
    *writer = NULL;
    if (gone->file != NULL)
        gone->vfs->close(gone->file);
    sl_buffer_deinit(&gone->pending);
    sl_buffer_deinit(&gone->block);
    sl_buffer_deinit(&gone->block_list);
    sl_memory_free(gone->staged);
    sl_memory_free(gone->directory);
    sl_memory_free(gone);
}

enum sl_err sl_segment_writer_open(const struct sl_vfs *vfs, const char *directory, uint64_t number,
                                   uint64_t log_id, struct sl_segment_writer **writer)
{
    struct sl_segment_writer *opened = sl_memory_alloc(sizeof(*opened));
    *opened = (struct sl_segment_writer){
        .vfs = vfs,
        .direct = true,
        .number = number,
        .log_id = log_id,
        .first_lsn = UINT64_MAX,
    };
    opened->directory = sl_memory_alloc(strlen(directory) + 1);
    memcpy(opened->directory, directory, strlen(directory) + 1);
    opened->staged = sl_memory_alloc_aligned(SL_DISK_BLOCK_BYTES, WRITE_BYTES);
    int error_number = open_file(opened);
    if (error_number == EINVAL)
        error_number = open_buffered(opened);
    *writer = opened;
    if (error_number != 0)
        free_writer(writer);
    return sli_disk_err(error_number);
}

void sli_segment_writer_set_compacted(struct sl_segment_writer *writer)
{
    writer->compacted = true;
}

/* Writes what is staged, and `padding` behind it. */
static int write_staged(struct sl_segment_writer *writer, size_t padding)
{
    uint64_t at = writer->position - writer->staged_size;
    size_t size = writer->staged_size + padding;
    writer->staged_size = 0;
    int error_number = writer->vfs->write(writer->file, writer->staged, size, at);
    if (error_number != EINVAL || !writer->direct || at > 0)
        return error_number;
    error_number = open_buffered(writer);
    return error_number != 0 ? error_number
                             : writer->vfs->write(writer->file, writer->staged, size, at);
}

static enum sl_err write_out(struct sl_segment_writer *writer, struct sl_bytes bytes)
{
    int error_number = 0;
    while (bytes.size > 0 && error_number == 0) {
        size_t room = WRITE_BYTES - writer->staged_size;
        size_t size = bytes.size < room ? bytes.size : room;
        memcpy(writer->staged + writer->staged_size, bytes.data, size);
        writer->staged_size += size;
        writer->position += size;
        bytes = sl_bytes(bytes.data + size, bytes.size - size);
        if (size == room)
            error_number = write_staged(writer, 0);
    }
    return sli_disk_err(error_number);
}

/* The file gets its size, and all of it is durable. */
static int write_end(struct sl_segment_writer *writer)
{
    size_t padding =
        (SL_DISK_BLOCK_BYTES - writer->staged_size % SL_DISK_BLOCK_BYTES) % SL_DISK_BLOCK_BYTES;
    memset(writer->staged + writer->staged_size, 0, padding);
    int error_number = write_staged(writer, padding);
    if (error_number == 0 && padding > 0)
        error_number = writer->vfs->truncate(writer->file, writer->position);
    return error_number != 0 ? error_number : writer->vfs->sync(writer->file);
}

static struct sl_extent_on_disk *extents_of(struct sl_buffer *buffer)
{
    return (struct sl_extent_on_disk *)(void *)buffer->data;
}

/* The entry of a stream whose parts are all there. */
static void append_entry(struct sl_segment_writer *writer, const struct sl_batch_entry *entry,
                         const uint8_t *states)
{
    struct sl_buffer *block = &writer->block;
    const struct sl_extent_on_disk *extents = extents_of(&writer->pending);
    size_t count = writer->pending.size / sizeof(*extents);
    SL_ASSERT(count <= UINT32_MAX);
    sli_append_u64(block, entry->id);
    sli_append_u64(block, entry->lsn);
    sli_append_u32(block, entry->state_size);
    sli_append_u32(block, (uint32_t)count);
    if (entry->state_size > 0)
        sl_buffer_append(block, states + entry->state_at, entry->state_size);
    for (size_t i = 0; i < count; i++) {
        sli_append_u64(block, extents[i].start);
        sli_append_u32(block, extents[i].size);
        sli_append_u32(block, extents[i].disk_size);
        sli_append_u64(block, extents[i].position | (uint64_t)extents[i].ends_message << 63);
    }
    if (entry->lsn < writer->first_lsn)
        writer->first_lsn = entry->lsn;
}

/* Places the extents of the batch, joins the parts of streams; returns how many entries it made. */
static uint32_t append_entries(struct sl_segment_writer *writer, struct sl_segment_batch *batch)
{
    uint32_t made = 0;
    struct sl_extent_on_disk *extents = extents_of(&batch->extents);
    size_t extent_count = batch->extents.size / sizeof(*extents);
    const struct sl_batch_entry *entries =
        (const struct sl_batch_entry *)(const void *)batch->entries.data;
    for (size_t i = 0; i < extent_count; i++) {
        SL_ASSERT(extents[i].position + extents[i].disk_size <= batch->chunks.size);
        extents[i].position += writer->position;
    }
    for (size_t i = 0; i < batch->entries.size / sizeof(*entries); i++) {
        const struct sl_batch_entry *entry = &entries[i];
        SL_ASSERT((size_t)entry->extent_at + entry->extent_count <= extent_count);
        SL_ASSERT((size_t)entry->state_at + entry->state_size <= batch->states.size);
        /* Parts of a stream that never becomes complete are dropped here. */
        if (entry->id != writer->pending_id)
            sl_buffer_clear(&writer->pending);
        writer->pending_id = entry->id;
        if (entry->extent_count > 0)
            sl_buffer_append(&writer->pending, extents + entry->extent_at,
                             entry->extent_count * sizeof(*extents));
        if (!entry->complete)
            continue;
        append_entry(writer, entry, batch->states.data);
        sl_buffer_clear(&writer->pending);
        made++;
    }
    return made;
}

static uint32_t append_tombstones(struct sl_segment_writer *writer,
                                  const struct sl_segment_batch *batch)
{
    const struct sl_tombstone *tombstones =
        (const struct sl_tombstone *)(const void *)batch->tombstones.data;
    size_t count = batch->tombstones.size / sizeof(*tombstones);
    for (size_t i = 0; i < count; i++) {
        sli_append_u64(&writer->block, tombstones[i].id);
        sli_append_u64(&writer->block, tombstones[i].lsn);
        if (tombstones[i].lsn < writer->first_lsn)
            writer->first_lsn = tombstones[i].lsn;
    }
    return (uint32_t)count;
}

static enum sl_err write_block(struct sl_segment_writer *writer, uint32_t entries,
                               uint32_t tombstones)
{
    struct sl_buffer *block = &writer->block;
    if (entries == 0 && tombstones == 0)
        return SL_OK;
    SL_ASSERT(block->size <= UINT32_MAX);
    sli_put_u32(block->data + 4, (uint32_t)block->size);
    sli_put_u32(block->data + 8, entries);
    sli_put_u32(block->data + 12, tombstones);
    uint32_t crc = sl_crc32c(0, block->data + 4, block->size - 4);
    sli_put_u32(block->data, crc);
    writer->entries += entries;
    writer->tombstones += tombstones;
    sli_append_u64(&writer->block_list, writer->position);
    sli_append_u32(&writer->block_list, (uint32_t)block->size);
    sli_append_u32(&writer->block_list, crc);
    return write_out(writer, sl_buffer_bytes(block));
}

enum sl_err sl_segment_writer_add(struct sl_segment_writer *writer, struct sl_segment_batch *batch)
{
    sl_buffer_clear(&writer->block);
    memset(sl_buffer_reserve(&writer->block, SLI_BLOCK_HEADER_BYTES), 0, SLI_BLOCK_HEADER_BYTES);
    writer->block.size = SLI_BLOCK_HEADER_BYTES;
    sli_chunks_seal(batch->chunks.data, batch->chunks.size);
    uint32_t entries = append_entries(writer, batch);
    uint32_t tombstones = append_tombstones(writer, batch);
    enum sl_err err = write_out(writer, sl_buffer_bytes(&batch->chunks));
    if (err == SL_OK)
        err = write_block(writer, entries, tombstones);
    if (err != SL_OK || writer->position - writer->synced < SYNC_BYTES)
        return err;
    writer->synced = writer->position;
    return sli_disk_err(writer->vfs->sync(writer->file));
}

static enum sl_err write_footer(struct sl_segment_writer *writer)
{
    struct sl_buffer *list = &writer->block_list;
    struct sli_footer footer = {
        .log_id = writer->log_id,
        .number = writer->number,
        .first_lsn = writer->first_lsn,
        .directory_position = writer->position,
        .directory_size = (uint32_t)list->size,
        .directory_crc = sl_crc32c(0, list->data, list->size),
        .entries = writer->entries,
        .tombstones = writer->tombstones,
        .compacted = writer->compacted,
    };
    SL_ASSERT(list->size <= UINT32_MAX);
    sli_footer_encode(&footer, sl_buffer_reserve(list, SLI_FOOTER_BYTES));
    list->size += SLI_FOOTER_BYTES;
    enum sl_err err = write_out(writer, sl_buffer_bytes(list));
    return err == SL_OK ? sli_disk_err(write_end(writer)) : err;
}

void sli_segment_remove(const struct sl_vfs *vfs, const char *directory, uint64_t number)
{
    char path[SL_PATH_SIZE_MAX];
    if (path_of(directory, number, false, path))
        (void)vfs->unlink(vfs, path);
}

static void remove_tmp(const struct sl_segment_writer *writer)
{
    char path[SL_PATH_SIZE_MAX];
    if (path_of(writer->directory, writer->number, true, path))
        (void)writer->vfs->unlink(writer->vfs, path);
}

/* Gives the written file its name and opens it. */
static enum sl_err publish(struct sl_segment_writer *writer, struct sl_segment **segment)
{
    char from[SL_PATH_SIZE_MAX];
    char to[SL_PATH_SIZE_MAX];
    const char *what;
    const struct sl_vfs *vfs = writer->vfs;
    if (!path_of(writer->directory, writer->number, true, from) ||
        !path_of(writer->directory, writer->number, false, to))
        return SL_ERR_STORAGE_FAILED;
    enum sl_err err = sli_disk_err(vfs->rename(vfs, from, to));
    if (err == SL_OK)
        err = sli_disk_err(vfs->sync_directory(vfs, writer->directory));
    if (err == SL_OK && sl_segment_open(vfs, writer->directory, writer->number, writer->log_id,
                                        segment, &what) != SL_OK)
        err = SL_ERR_STORAGE_FAILED;
    if (err != SL_OK)
        sli_segment_remove(vfs, writer->directory, writer->number);
    return err;
}

enum sl_err sl_segment_writer_finish(struct sl_segment_writer **writer, struct sl_segment **segment)
{
    *segment = NULL;
    enum sl_err err = write_footer(*writer);
    if (err == SL_OK)
        err = publish(*writer, segment);
    if (err != SL_OK)
        remove_tmp(*writer);
    free_writer(writer);
    return err;
}

void sl_segment_writer_abort(struct sl_segment_writer **writer)
{
    if (*writer == NULL)
        return;
    remove_tmp(*writer);
    free_writer(writer);
}
