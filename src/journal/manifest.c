#include "journal/manifest.h"

#include "base/crc32c.h"
#include "journal/encoding_internal.h"
#include "journal/small_file.h"

static const uint8_t manifest_magic[4] = { 'S', 'L', 'M', 'F' };
static const char file_name[] = "MANIFEST";

enum {
    MANIFEST_VERSION = 1,
    FLAG_NO_LOG = 1,
    HEADER_BYTES = 96,
    SEGMENT_BYTES = 24,
    FILE_BYTES_MAX = 64 * 1024 * 1024, /* more than a million segments: this is not a manifest */
};

/* Nothing that counts up from 0 ever gets there; what goes on from more could begin again at 0. */
#define COUNT_MAX (UINT64_MAX / 2)

void sl_manifest_init(struct sl_manifest *manifest, uint64_t log_id)
{
    *manifest = (struct sl_manifest){
        .log_id = log_id, .sequence = 1, .mark = { .lsn = 1 }, .next_segment = 1
    };
}

void sl_manifest_deinit(struct sl_manifest *manifest)
{
    sl_buffer_deinit(&manifest->segments);
    *manifest = (struct sl_manifest){ 0 };
}

static const struct sl_manifest_segment *segments_of(const struct sl_manifest *manifest)
{
    return (const struct sl_manifest_segment *)(const void *)manifest->segments.data;
}

/* Of the copy without the field itself. */
static uint32_t checksum(const uint8_t *copy, size_t size)
{
    return sl_crc32c(sl_crc32c(0, copy, 12), copy + 16, size - 16);
}

static size_t round_up(size_t size)
{
    return (size + SL_DISK_BLOCK_BYTES - 1) / SL_DISK_BLOCK_BYTES * SL_DISK_BLOCK_BYTES;
}

/* Checked before it is written and after it was read. */
static bool is_sound(const struct sl_manifest *manifest)
{
    const struct sl_manifest_segment *segments = segments_of(manifest);
    if (manifest->mark.lsn == 0 || manifest->mark.position % SL_DISK_BLOCK_BYTES != 0)
        return false;
    if (manifest->mark.lsn > COUNT_MAX || manifest->mark.position > COUNT_MAX ||
        manifest->mark.epoch > COUNT_MAX || manifest->sequence > COUNT_MAX ||
        manifest->last_id > COUNT_MAX || manifest->next_segment > COUNT_MAX)
        return false;
    uint64_t least = 0;
    for (size_t i = 0; i < manifest->segments.size / sizeof(*segments); i++) {
        if (segments[i].number < least || segments[i].number >= manifest->next_segment)
            return false;
        least = segments[i].number + 1;
    }
    return true;
}

static void encode_copy(const struct sl_manifest *manifest, struct sl_buffer *out)
{
    const struct sl_manifest_segment *segments = segments_of(manifest);
    size_t count = manifest->segments.size / sizeof(*segments);
    size_t size = HEADER_BYTES + count * SEGMENT_BYTES;
    size_t at = out->size;
    SL_ASSERT(size <= FILE_BYTES_MAX / 2 - SL_DISK_BLOCK_BYTES);
    sl_buffer_append(out, manifest_magic, sizeof(manifest_magic));
    sli_append_u32(out, MANIFEST_VERSION);
    sli_append_u32(out, (uint32_t)size);
    sli_append_u32(out, 0);
    sli_append_u64(out, manifest->log_id);
    sli_append_u64(out, manifest->sequence);
    sli_append_u64(out, manifest->mark.position);
    sli_append_u64(out, manifest->mark.lsn);
    sli_append_u64(out, manifest->mark.epoch);
    sli_append_u32(out, manifest->mark.chain);
    sli_append_u32(out, manifest->no_log ? FLAG_NO_LOG : 0);
    sli_append_u64(out, manifest->last_id);
    sli_append_u64(out, manifest->durable_lsn);
    sli_append_u64(out, manifest->next_segment);
    sli_append_u32(out, (uint32_t)count);
    sli_append_u32(out, 0);
    for (size_t i = 0; i < count; i++) {
        sli_append_u64(out, segments[i].number);
        sli_append_u64(out, segments[i].size);
        sli_append_u32(out, segments[i].footer_crc);
        sli_append_u32(out, 0);
    }
    SL_ASSERT(out->size - at == size);
    sli_put_u32(out->data + at + 12, checksum(out->data + at, size));
}

void sl_manifest_encode(const struct sl_manifest *manifest, struct sl_buffer *out)
{
    SL_ASSERT(is_sound(manifest));
    size_t at = out->size;
    encode_copy(manifest, out);
    size_t padding = round_up(out->size - at) - (out->size - at);
    memset(sl_buffer_reserve(out, padding), 0, padding);
    out->size += padding;
    encode_copy(manifest, out);
}

static enum sl_err decode_fields(const uint8_t *from, size_t size, struct sl_manifest *manifest)
{
    uint32_t flags = sli_get_u32(from + 60);
    uint32_t count = sli_get_u32(from + 88);
    if ((flags & ~(uint32_t)FLAG_NO_LOG) != 0)
        return SL_ERR_DATA_VERSION;
    if (size - HEADER_BYTES != (uint64_t)count * SEGMENT_BYTES)
        return SL_ERR_DATA_CORRUPT;
    *manifest = (struct sl_manifest){
        .log_id = sli_get_u64(from + 16),
        .sequence = sli_get_u64(from + 24),
        .mark = { .position = sli_get_u64(from + 32),
                  .lsn = sli_get_u64(from + 40),
                  .epoch = sli_get_u64(from + 48),
                  .chain = sli_get_u32(from + 56) },
        .last_id = sli_get_u64(from + 64),
        .durable_lsn = sli_get_u64(from + 72),
        .next_segment = sli_get_u64(from + 80),
        .no_log = (flags & FLAG_NO_LOG) != 0,
    };
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *segment = from + HEADER_BYTES + (size_t)i * SEGMENT_BYTES;
        struct sl_manifest_segment decoded = { .number = sli_get_u64(segment),
                                               .size = sli_get_u64(segment + 8),
                                               .footer_crc = sli_get_u32(segment + 16) };
        sl_buffer_append(&manifest->segments, &decoded, sizeof(decoded));
    }
    return is_sound(manifest) ? SL_OK : SL_ERR_DATA_CORRUPT;
}

/* The copy that `bytes` begins with. */
static enum sl_err decode_copy(struct sl_bytes bytes, struct sl_manifest *manifest, size_t *size)
{
    const uint8_t *from = bytes.data;
    *manifest = (struct sl_manifest){ 0 };
    if (bytes.size < HEADER_BYTES || memcmp(from, manifest_magic, sizeof(manifest_magic)) != 0)
        return SL_ERR_DATA_CORRUPT;
    *size = sli_get_u32(from + 8);
    if (*size < HEADER_BYTES || *size > bytes.size ||
        sli_get_u32(from + 12) != checksum(from, *size))
        return SL_ERR_DATA_CORRUPT;
    if (sli_get_u32(from + 4) != MANIFEST_VERSION)
        return SL_ERR_DATA_VERSION;
    enum sl_err err = decode_fields(from, *size, manifest);
    if (err != SL_OK)
        sl_manifest_deinit(manifest);
    return err;
}

static enum sl_err decode(struct sl_bytes bytes, struct sl_manifest *manifest, bool *one_copy)
{
    size_t size;
    *one_copy = false;
    enum sl_err err = decode_copy(bytes, manifest, &size);
    if (err == SL_OK) {
        /* The same, byte for byte, is as good as to decode it again. */
        size_t second = round_up(size);
        *one_copy = bytes.size != second + size ||
                    !sl_bytes_equal(sl_bytes(bytes.data, size), sl_bytes_from(bytes, second));
        return SL_OK;
    }
    /* Where the second copy is was written in the first one, which is not to be believed. */
    for (size_t at = SL_DISK_BLOCK_BYTES; at < bytes.size && err == SL_ERR_DATA_CORRUPT;
         at += SL_DISK_BLOCK_BYTES)
        err = decode_copy(sl_bytes_from(bytes, at), manifest, &size);
    *one_copy = err == SL_OK;
    return err;
}

bool sl_manifest_decode(struct sl_bytes bytes, struct sl_manifest *manifest, bool *one_copy)
{
    return decode(bytes, manifest, one_copy) == SL_OK;
}

static enum sl_err read_file(struct sl_file *file, struct sl_buffer *buffer)
{
    uint64_t size;
    size_t got;
    if (file->vfs->size(file, &size) != 0)
        return SL_ERR_STORAGE_FAILED;
    if (size > FILE_BYTES_MAX)
        return SL_ERR_DATA_CORRUPT;
    if (file->vfs->read(file, sl_buffer_reserve(buffer, (size_t)size), (size_t)size, 0, &got) != 0)
        return SL_ERR_STORAGE_FAILED;
    buffer->size = got;
    return SL_OK;
}

uint64_t sl_manifest_durable_lsn(const struct sl_manifest *manifest, uint64_t segments_lsn)
{
    if (manifest->no_log)
        return 0;
    return manifest->durable_lsn > segments_lsn ? manifest->durable_lsn : segments_lsn;
}

enum sl_err sl_manifest_load(const struct sl_vfs *vfs, const char *directory,
                             struct sl_manifest *manifest, bool *one_copy)
{
    char path[SL_PATH_SIZE_MAX];
    struct sl_file *file;
    struct sl_buffer buffer = { 0 };
    *manifest = (struct sl_manifest){ 0 };
    *one_copy = false;
    if (!sl_path_join(path, directory, file_name))
        return SL_ERR_STORAGE_FAILED;
    int error_number = vfs->open(vfs, path, 0, &file);
    if (error_number != 0)
        return error_number == ENOENT ? SL_ERR_NOT_FOUND : SL_ERR_STORAGE_FAILED;
    enum sl_err err = read_file(file, &buffer);
    if (err == SL_OK)
        err = decode(sl_buffer_bytes(&buffer), manifest, one_copy);
    vfs->close(file);
    sl_buffer_deinit(&buffer);
    return err;
}

enum sl_err sl_manifest_store(const struct sl_vfs *vfs, const char *directory,
                              const struct sl_manifest *manifest, bool *unknown)
{
    struct sl_buffer buffer = { 0 };
    sl_manifest_encode(manifest, &buffer);
    int error_number =
        sl_small_file_replace(vfs, directory, file_name, sl_buffer_bytes(&buffer), unknown);
    sl_buffer_deinit(&buffer);
    return sli_disk_err(error_number);
}
