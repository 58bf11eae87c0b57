#include "journal/inspect.h"

#include <stdlib.h>

#include "base/crc32c.h"
#include "base/memory.h"
#include "journal/encoding_internal.h"
#include "journal/frame.h"
#include "journal/segment_internal.h"
#include "journal/wal_files.h"

enum {
    PIECE_HEADER_BYTES = 8, /* what chunks and entry blocks begin with: u32 crc, u32 size */
    CHUNK_ID_AT = 8,
    CHUNK_START_AT = 16,
    CHUNK_PAYLOAD_SIZE_AT = 24,
};

enum sl_err sl_inspect_segment(const struct sl_vfs *vfs, const char *directory, uint64_t number,
                               uint64_t log_id, struct sl_segment **segment, uint64_t *position,
                               const char **what)
{
    return sli_segment_open_at(vfs, directory, number, log_id, segment, position, what);
}

/* Reads what is there of `size` bytes. */
static enum sl_err read_some(struct sl_file *file, uint64_t at, size_t size,
                             struct sl_buffer *buffer)
{
    size_t got = 0;
    sl_buffer_clear(buffer);
    if (file->vfs->read(file, sl_buffer_reserve(buffer, size), size, at, &got) != 0)
        return SL_ERR_STORAGE_FAILED;
    buffer->size = got;
    return SL_OK;
}

/* ---- with the directory ---- */

static const char *visit_block(struct sl_segment *segment, struct sli_directory_entry place,
                               const struct sl_inspect_visitor *visitor, struct sl_bytes block,
                               struct sl_buffer *scratch)
{
    if (block.size != place.size)
        return "an entry block is cut off";
    if (sli_get_u32(block.data) != place.crc)
        return "the checksum of an entry block is not the one in the directory";
    return sli_entry_block_visit(block, place.position, segment->data_size, segment,
                                 &visitor->entries, scratch);
}

enum sl_err sl_inspect_entries(struct sl_segment *segment, const struct sl_inspect_visitor *visitor)
{
    struct sl_buffer directory = { 0 }, block = { 0 }, scratch = { 0 };
    size_t size = (size_t)(segment->size - segment->data_size - SLI_FOOTER_BYTES);
    enum sl_err err = read_some(segment->file, segment->data_size, size, &directory);
    uint64_t from = 0, entries = 0, tombstones = 0;
    bool is_whole = true;
    for (size_t i = 0; err == SL_OK && i < directory.size / SLI_DIRECTORY_ENTRY_BYTES; i++) {
        struct sli_directory_entry place = sli_directory_get(sl_buffer_bytes(&directory), i);
        err = read_some(segment->file, place.position, place.size, &block);
        if (err != SL_OK)
            break;
        const char *what = visit_block(segment, place, visitor, sl_buffer_bytes(&block), &scratch);
        if (what != NULL) {
            visitor->on_damage(visitor->entries.context, from, place.position, what);
            is_whole = false;
        } else {
            entries += sli_entry_block_entries(sl_buffer_bytes(&block));
            tombstones += sli_entry_block_tombstones(sl_buffer_bytes(&block));
        }
        from = place.position + place.size;
    }
    /* A start refuses that, too. */
    if (err == SL_OK && is_whole &&
        (entries != segment->entries || tombstones != segment->tombstones))
        visitor->on_damage(visitor->entries.context, from, from, "the footer counts other entries");
    sl_buffer_deinit(&scratch);
    sl_buffer_deinit(&block);
    sl_buffer_deinit(&directory);
    return err;
}

/* ---- without ---- */

/* A whole chunk or entry block; false: neither. */
static bool visit_piece(struct sl_bytes piece, const struct sl_inspect_visitor *visitor,
                        struct sl_buffer *scratch)
{
    struct sl_segment_visitor nobody = { .context = NULL };
    if (sli_get_u32(piece.data) != sl_crc32c(0, piece.data + 4, piece.size - 4))
        return false;
    /* First without calling anybody: only a block that is right to its end is one. */
    if (piece.size >= SLI_BLOCK_HEADER_BYTES &&
        sli_entry_block_visit(piece, 0, UINT64_MAX, NULL, &nobody, scratch) == NULL)
        return sli_entry_block_visit(piece, 0, UINT64_MAX, NULL, &visitor->entries, scratch) ==
               NULL;
    if (piece.size < SL_CHUNK_HEADER_BYTES)
        return false;
    uint64_t id = sli_get_u64(piece.data + CHUNK_ID_AT);
    uint64_t start = sli_get_u64(piece.data + CHUNK_START_AT);
    struct sl_chunk chunk;
    size_t size;
    if (sli_chunk_decode(piece, id, start, &chunk, &size) != NULL)
        return false;
    visitor->on_chunk(visitor->entries.context, id, start,
                      sli_get_u32(piece.data + CHUNK_PAYLOAD_SIZE_AT));
    return true;
}

static enum sl_err salvage(struct sl_file *file, uint64_t to,
                           const struct sl_inspect_visitor *visitor, uint64_t *at)
{
    struct sl_buffer piece = { 0 }, scratch = { 0 };
    enum sl_err err = SL_OK;
    while (*at < to && to - *at >= PIECE_HEADER_BYTES) {
        err = read_some(file, *at, PIECE_HEADER_BYTES, &piece);
        if (err != SL_OK || piece.size != PIECE_HEADER_BYTES)
            break;
        uint32_t size = sli_get_u32(piece.data + 4);
        if (size < PIECE_HEADER_BYTES || size > to - *at)
            break;
        err = read_some(file, *at, size, &piece);
        if (err != SL_OK || piece.size != size ||
            !visit_piece(sl_buffer_bytes(&piece), visitor, &scratch))
            break;
        *at += size;
    }
    sl_buffer_deinit(&scratch);
    sl_buffer_deinit(&piece);
    return err;
}

enum sl_err sl_inspect_salvage(const struct sl_vfs *vfs, const char *path, uint64_t from,
                               uint64_t to, const struct sl_inspect_visitor *visitor,
                               uint64_t *stopped_at)
{
    struct sl_file *file;
    uint64_t size;
    *stopped_at = from;
    int error = vfs->open(vfs, path, 0, &file);
    if (error != 0)
        return error == ENOENT ? SL_OK : SL_ERR_STORAGE_FAILED;
    enum sl_err err = vfs->size(file, &size) == 0 ? SL_OK : SL_ERR_STORAGE_FAILED;
    if (err == SL_OK)
        err = salvage(file, to < size ? to : size, visitor, stopped_at);
    vfs->close(file);
    return err;
}

/* ---- what there is ---- */

struct listing {
    struct sl_buffer *segments;
    struct sl_buffer *log_files;
};

static void on_name(void *context, const char *name)
{
    struct listing *listing = context;
    uint64_t number;
    if (sl_segment_number(name, &number))
        sl_buffer_append(listing->segments, &number, sizeof(number));
    else if (sl_wal_file_number(name, &number))
        sl_buffer_append(listing->log_files, &number, sizeof(number));
}

static int compare(const void *left, const void *right)
{
    const uint64_t *a = left, *b = right;
    return *a < *b ? -1 : *a > *b;
}

static void sort(struct sl_buffer *numbers)
{
    if (numbers->size > 0)
        qsort(numbers->data, numbers->size / sizeof(uint64_t), sizeof(uint64_t), compare);
}

enum sl_err sl_inspect_list(const struct sl_vfs *vfs, const char *directory,
                            struct sl_buffer *segments, struct sl_buffer *log_files)
{
    struct listing listing = { segments, log_files };
    sl_buffer_clear(segments);
    sl_buffer_clear(log_files);
    if (vfs->list(vfs, directory, on_name, &listing) != 0)
        return SL_ERR_STORAGE_FAILED;
    sort(segments);
    sort(log_files);
    return SL_OK;
}

bool sl_inspect_log_begin(const struct sl_vfs *vfs, const char *directory, uint64_t log_id,
                          uint64_t file_size, uint64_t number, struct sl_wal_mark *mark)
{
    char name[SL_WAL_FILE_NAME_SIZE];
    char path[SL_PATH_SIZE_MAX];
    struct sl_file *file;
    struct sl_buffer header = { 0 };
    struct sl_frame frame;
    sl_wal_file_name(number, name);
    if (!sl_path_join(path, directory, name) || vfs->open(vfs, path, 0, &file) != 0)
        return false;
    bool found = read_some(file, 0, SL_FRAME_HEADER_BYTES, &header) == SL_OK &&
                 sl_frame_decode(sl_buffer_bytes(&header), &frame) && frame.log_id == log_id &&
                 frame.position == number * file_size && frame.first_lsn > 0;
    vfs->close(file);
    sl_buffer_deinit(&header);
    if (found)
        *mark = (struct sl_wal_mark){
            .position = frame.position,
            .lsn = frame.first_lsn,
            .epoch = sl_frame_epoch_before(&frame),
            .chain = frame.chain,
        };
    return found;
}
