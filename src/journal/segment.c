#include "journal/segment.h"

#include "base/log.h"
#include "base/memory.h"
#include "journal/drop_internal.h"
#include "journal/encoding_internal.h"
#include "journal/segment_internal.h"

static const char prefix[] = "seg-";
static const char digits[] = "0123456789abcdef";

enum { PREFIX_SIZE = sizeof(prefix) - 1, DIGITS = 16 };

SL_STATIC_ASSERT(PREFIX_SIZE + DIGITS + 1 == SL_SEGMENT_NAME_SIZE, "a name fits");

void sl_segment_name(uint64_t number, char out[SL_SEGMENT_NAME_SIZE])
{
    memcpy(out, prefix, PREFIX_SIZE);
    for (unsigned i = 0; i < DIGITS; i++)
        out[PREFIX_SIZE + i] = digits[(number >> (4 * (DIGITS - 1 - i))) & 15];
    out[PREFIX_SIZE + DIGITS] = 0;
}

void sli_segment_tmp_name(uint64_t number, char out[SLI_SEGMENT_TMP_NAME_SIZE])
{
    sl_segment_name(number, out);
    memcpy(out + SL_SEGMENT_NAME_SIZE - 1, ".tmp", sizeof(".tmp"));
}

bool sl_segment_number(const char *name, uint64_t *number)
{
    *number = 0;
    if (strlen(name) != SL_SEGMENT_NAME_SIZE - 1 || memcmp(name, prefix, PREFIX_SIZE) != 0)
        return false;
    for (unsigned i = 0; i < DIGITS; i++) {
        const char *digit = strchr(digits, name[PREFIX_SIZE + i]);
        if (digit == NULL)
            return false;
        *number = *number << 4 | (uint64_t)(digit - digits);
    }
    return true;
}

/* Reads exactly `size` bytes into `buffer`. */
static enum sl_err read_exactly(struct sl_file *file, uint64_t at, size_t size,
                                struct sl_buffer *buffer, const char **what)
{
    size_t got = 0;
    sl_buffer_clear(buffer);
    int error_number = file->vfs->read(file, sl_buffer_reserve(buffer, size), size, at, &got);
    if (error_number != 0) {
        *what = "the disk does not give what is there";
        return SL_ERR_STORAGE_FAILED;
    }
    if (got != size) {
        *what = "the file is cut off";
        return SL_ERR_DATA_CORRUPT;
    }
    buffer->size = size;
    return SL_OK;
}

/* The directory, checked: its end is that of the data. */
static enum sl_err read_directory(struct sl_segment *segment, const struct sli_footer *footer,
                                  struct sl_buffer *buffer, const char **what)
{
    enum sl_err err = read_exactly(segment->file, footer->directory_position,
                                   footer->directory_size, buffer, what);
    if (err != SL_OK)
        return err;
    *what = sli_directory_check(sl_buffer_bytes(buffer), footer, &segment->entry_bytes);
    return *what == NULL ? SL_OK : SL_ERR_DATA_CORRUPT;
}

static const char *check_footer(const struct sli_footer *footer, uint64_t size, uint64_t number,
                                uint64_t log_id)
{
    if (footer->log_id != log_id)
        return "the segment is of another log";
    if (footer->number != number)
        return "the segment has another number";
    uint64_t before = size - SLI_FOOTER_BYTES;
    if (footer->directory_position > before ||
        footer->directory_size != before - footer->directory_position)
        return "the directory is not in front of the footer";
    return NULL;
}

static enum sl_err read_footer(struct sl_segment *segment, uint64_t log_id,
                               struct sl_buffer *buffer, uint64_t *position, const char **what)
{
    int error_number = segment->file->vfs->size(segment->file, &segment->size);
    *what = "the disk does not tell the size";
    if (error_number != 0)
        return SL_ERR_STORAGE_FAILED;
    *what = "the file is too short";
    if (segment->size < SLI_FOOTER_BYTES)
        return SL_ERR_DATA_CORRUPT;
    *position = segment->size - SLI_FOOTER_BYTES;
    enum sl_err err = read_exactly(segment->file, *position, SLI_FOOTER_BYTES, buffer, what);
    if (err != SL_OK)
        return err;
    struct sli_footer footer;
    *what = sli_footer_decode(sl_buffer_bytes(buffer), &footer);
    if (*what == NULL)
        *what = check_footer(&footer, segment->size, segment->number, log_id);
    if (*what != NULL)
        return SL_ERR_DATA_CORRUPT;
    segment->first_lsn = footer.first_lsn;
    segment->footer_crc = footer.crc;
    segment->compacted = footer.compacted;
    segment->entries = footer.entries;
    segment->tombstones = footer.tombstones;
    segment->data_size = footer.directory_position;
    segment->directory_crc = footer.directory_crc;
    *position = footer.directory_position;
    return read_directory(segment, &footer, buffer, what);
}

enum sl_err sli_segment_open_at(const struct sl_vfs *vfs, const char *directory, uint64_t number,
                                uint64_t log_id, struct sl_segment **segment, uint64_t *position,
                                const char **what)
{
    char name[SL_SEGMENT_NAME_SIZE];
    char path[SL_PATH_SIZE_MAX];
    *segment = NULL;
    *position = 0;
    *what = NULL;
    sl_segment_name(number, name);
    struct sl_file *file = NULL;
    int error_number =
        sl_path_join(path, directory, name) ? vfs->open(vfs, path, 0, &file) : ENAMETOOLONG;
    if (error_number != 0) {
        *what = error_number == ENOENT ? "the file is missing" : "the file cannot be opened";
        return error_number == ENOENT ? SL_ERR_DATA_CORRUPT : SL_ERR_STORAGE_FAILED;
    }
    struct sl_segment *opened = sl_memory_alloc(sizeof(*opened));
    *opened = (struct sl_segment){ .file = file, .number = number, .references = 1 };
    sl_link_init(&opened->link);
    opened->path = sl_memory_alloc(strlen(path) + 1);
    memcpy(opened->path, path, strlen(path) + 1);
    struct sl_buffer buffer = { 0 };
    enum sl_err err = read_footer(opened, log_id, &buffer, position, what);
    sl_buffer_deinit(&buffer);
    if (err != SL_OK)
        sl_segment_unref(&opened);
    *segment = opened;
    return err;
}

enum sl_err sl_segment_open(const struct sl_vfs *vfs, const char *directory, uint64_t number,
                            uint64_t log_id, struct sl_segment **segment, const char **what)
{
    uint64_t position;
    return sli_segment_open_at(vfs, directory, number, log_id, segment, &position, what);
}

struct sl_segment *sl_segment_ref(struct sl_segment *segment)
{
    /* Relaxed: the caller holds a reference already, so nothing can be freed meanwhile. */
    uint32_t before = __atomic_fetch_add(&segment->references, 1, __ATOMIC_RELAXED);
    SL_ASSERT(before > 0 && before < UINT32_MAX);
    return segment;
}

void sl_segment_unref(struct sl_segment **segment)
{
    struct sl_segment *last = *segment;
    *segment = NULL;
    /* Release: our reads come before the close. Acquire: those of all others do, too. */
    if (last == NULL || __atomic_sub_fetch(&last->references, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    SL_ASSERT(!sl_link_is_linked(&last->link));
    last->file->vfs->close(last->file);
    if (last->drop != NULL)
        sli_drop_start(&last->drop);
    sl_memory_free(last->path);
    sl_memory_free(last);
}

bool sl_segment_is_damaged(const struct sl_segment *segment)
{
    return __atomic_load_n(&segment->damaged, __ATOMIC_RELAXED);
}

enum sl_err sli_segment_read_raw(struct sl_segment *segment, uint64_t at, size_t size,
                                 struct sl_buffer *buffer, const char **what)
{
    return read_exactly(segment->file, at, size, buffer, what);
}

static enum sl_err visit_block(struct sl_segment *segment, struct sli_directory_entry place,
                               const struct sl_segment_visitor *visitor, struct sl_buffer *block,
                               struct sl_buffer *scratch, const char **what)
{
    enum sl_err err = read_exactly(segment->file, place.position, place.size, block, what);
    if (err != SL_OK)
        return err;
    struct sl_bytes bytes = sl_buffer_bytes(block);
    /* A good block at the wrong place would have its own checksum, not this one. */
    if (sli_get_u32(bytes.data) != place.crc)
        *what = "the checksum of an entry block is not the one in the directory";
    else
        *what = sli_entry_block_visit(bytes, place.position, segment->data_size, segment, visitor,
                                      scratch);
    return *what == NULL ? SL_OK : SL_ERR_DATA_CORRUPT;
}

static enum sl_err visit_blocks(struct sl_segment *segment, struct sl_bytes directory,
                                const struct sl_segment_visitor *visitor, uint64_t *position,
                                const char **what)
{
    struct sl_buffer block = { 0 };
    struct sl_buffer scratch = { 0 };
    uint64_t entries = 0, tombstones = 0;
    enum sl_err err = SL_OK;
    size_t count = directory.size / SLI_DIRECTORY_ENTRY_BYTES;
    for (size_t i = 0; i < count && err == SL_OK; i++) {
        struct sli_directory_entry place = sli_directory_get(directory, i);
        *position = place.position;
        err = visit_block(segment, place, visitor, &block, &scratch, what);
        if (err != SL_OK)
            break;
        entries += sli_entry_block_entries(sl_buffer_bytes(&block));
        tombstones += sli_entry_block_tombstones(sl_buffer_bytes(&block));
    }
    if (err == SL_OK && (entries != segment->entries || tombstones != segment->tombstones)) {
        *position = segment->size - SLI_FOOTER_BYTES;
        *what = "the footer counts other entries";
        err = SL_ERR_DATA_CORRUPT;
    }
    sl_buffer_deinit(&scratch);
    sl_buffer_deinit(&block);
    return err;
}

enum sl_err sl_segment_visit(struct sl_segment *segment, const struct sl_segment_visitor *visitor,
                             uint64_t *position, const char **what)
{
    struct sl_buffer directory = { 0 };
    struct sli_footer footer = {
        .directory_position = segment->data_size,
        .directory_size = (uint32_t)(segment->size - segment->data_size - SLI_FOOTER_BYTES),
        .directory_crc = segment->directory_crc,
    };
    *position = segment->data_size;
    *what = NULL;
    enum sl_err err = read_directory(segment, &footer, &directory, what);
    if (err == SL_OK)
        err = visit_blocks(segment, sl_buffer_bytes(&directory), visitor, position, what);
    sl_buffer_deinit(&directory);
    return err;
}

bool sli_segment_mark_damaged(struct sl_segment *segment)
{
    return !__atomic_exchange_n(&segment->damaged, true, __ATOMIC_RELAXED);
}

/* Only the first one to find damage tells of it, so that readers cannot flood the log. */
enum sl_err sli_segment_damage(struct sl_segment *segment, uint64_t position, const char *what)
{
    if (sli_segment_mark_damaged(segment)) {
        char path[SL_LOG_LINE_SIZE_MAX / 2];
        sl_log(SL_LOG_ERROR, "journal", "damaged", "file=%s position=%llu what=\"%s\"",
               sl_log_escaped(path, sizeof(path), sl_bytes_of(segment->path)),
               (unsigned long long)position, what);
    }
    return SL_ERR_DATA_DAMAGED;
}

/* Everything is checked before anything is given, so that nobody has to take back what he used. */
static const char *check_chunks(struct sl_bytes bytes, uint64_t id,
                                const struct sl_extent_on_disk *extent, size_t *at)
{
    uint64_t start = extent->start;
    for (*at = 0; *at < bytes.size;) {
        struct sl_chunk chunk;
        size_t size;
        const char *what = sli_chunk_decode(sl_bytes_from(bytes, *at), id, start, &chunk, &size);
        if (what != NULL)
            return what;
        start += chunk.payload.size;
        *at += size;
    }
    return start - extent->start == extent->size ? NULL : "the chunks have another size";
}

enum sl_err sl_segment_read(struct sl_segment *segment, uint64_t id,
                            const struct sl_extent_on_disk *extent, struct sl_buffer *buffer,
                            void (*each)(void *context, const struct sl_chunk *chunk),
                            void *context)
{
    const char *what = NULL;
    sl_buffer_clear(buffer);
    if (extent->position > segment->data_size ||
        extent->disk_size > segment->data_size - extent->position)
        return sli_segment_damage(segment, extent->position, "an extent lies outside of the data");
    enum sl_err err =
        read_exactly(segment->file, extent->position, extent->disk_size, buffer, &what);
    if (err == SL_ERR_DATA_CORRUPT)
        return sli_segment_damage(segment, extent->position, what);
    if (err != SL_OK)
        return err;
    struct sl_bytes bytes = sl_buffer_bytes(buffer);
    size_t at;
    what = check_chunks(bytes, id, extent, &at);
    if (what != NULL)
        return sli_segment_damage(segment, extent->position + at, what);
    uint64_t start = extent->start;
    for (at = 0; at < bytes.size;) {
        struct sl_chunk chunk;
        size_t size;
        what = sli_chunk_decode(sl_bytes_from(bytes, at), id, start, &chunk, &size);
        SL_ASSERT(what == NULL);
        each(context, &chunk);
        start += chunk.payload.size;
        at += size;
    }
    return SL_OK;
}
