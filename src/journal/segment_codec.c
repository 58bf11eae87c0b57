#include "journal/segment_internal.h"

#include "base/crc32c.h"
#include "journal/encoding_internal.h"

static const uint8_t footer_magic[4] = { 'S', 'L', 'S', 'G' };
static const uint64_t ends_message_bit = UINT64_C(1) << 63;

enum { FOOTER_VERSION = 1, FLAG_COMPACTED = 1 };

SL_STATIC_ASSERT(SL_CHUNK_HEADER_BYTES == 32, "the format says so");

void sli_footer_encode(struct sli_footer *footer, uint8_t out[SLI_FOOTER_BYTES])
{
    memcpy(out, footer_magic, sizeof(footer_magic));
    sli_put_u32(out + 4, FOOTER_VERSION);
    sli_put_u64(out + 8, footer->log_id);
    sli_put_u64(out + 16, footer->number);
    sli_put_u64(out + 24, footer->first_lsn);
    sli_put_u64(out + 32, footer->directory_position);
    sli_put_u32(out + 40, footer->directory_size);
    sli_put_u32(out + 44, footer->directory_crc);
    sli_put_u32(out + 48, footer->entries);
    sli_put_u32(out + 52, footer->tombstones);
    sli_put_u32(out + 56, footer->compacted ? FLAG_COMPACTED : 0);
    footer->crc = sl_crc32c(0, out, SLI_FOOTER_BYTES - 4);
    sli_put_u32(out + 60, footer->crc);
}

const char *sli_footer_decode(struct sl_bytes bytes, struct sli_footer *footer)
{
    const uint8_t *from = bytes.data;
    if (bytes.size != SLI_FOOTER_BYTES)
        return "the footer is cut off";
    if (memcmp(from, footer_magic, sizeof(footer_magic)) != 0)
        return "there is no footer";
    if (sli_get_u32(from + 60) != sl_crc32c(0, from, SLI_FOOTER_BYTES - 4))
        return "the checksum of the footer is wrong";
    if (sli_get_u32(from + 4) != FOOTER_VERSION || sli_get_u32(from + 56) > FLAG_COMPACTED)
        return "the version is not known";
    *footer = (struct sli_footer){
        .log_id = sli_get_u64(from + 8),
        .number = sli_get_u64(from + 16),
        .first_lsn = sli_get_u64(from + 24),
        .directory_position = sli_get_u64(from + 32),
        .directory_size = sli_get_u32(from + 40),
        .directory_crc = sli_get_u32(from + 44),
        .entries = sli_get_u32(from + 48),
        .tombstones = sli_get_u32(from + 52),
        .compacted = sli_get_u32(from + 56) == FLAG_COMPACTED,
        .crc = sli_get_u32(from + 60),
    };
    return NULL;
}

struct sli_directory_entry sli_directory_get(struct sl_bytes directory, size_t index)
{
    const uint8_t *from = directory.data + index * SLI_DIRECTORY_ENTRY_BYTES;
    SL_ASSERT(index < directory.size / SLI_DIRECTORY_ENTRY_BYTES);
    return (struct sli_directory_entry){ .position = sli_get_u64(from),
                                         .size = sli_get_u32(from + 8),
                                         .crc = sli_get_u32(from + 12) };
}

const char *sli_directory_check(struct sl_bytes directory, const struct sli_footer *footer,
                                uint64_t *entry_bytes)
{
    *entry_bytes = 0;
    if (directory.size != footer->directory_size || directory.size % SLI_DIRECTORY_ENTRY_BYTES != 0)
        return "the size of the directory is wrong";
    if (sl_crc32c(0, directory.data, directory.size) != footer->directory_crc)
        return "the checksum of the directory is wrong";
    uint64_t end = 0;
    for (size_t i = 0; i < directory.size / SLI_DIRECTORY_ENTRY_BYTES; i++) {
        struct sli_directory_entry entry = sli_directory_get(directory, i);
        if (entry.position < end || entry.size < SLI_BLOCK_HEADER_BYTES ||
            entry.position > footer->directory_position ||
            entry.size > footer->directory_position - entry.position)
            return "an entry block lies outside of its place";
        end = entry.position + entry.size;
        *entry_bytes += entry.size;
    }
    return NULL;
}

/* Decodes the extents at `from` into `scratch`. */
static const char *decode_extents(const uint8_t *from, uint32_t count, uint64_t data_size,
                                  struct sl_buffer *scratch)
{
    sl_buffer_clear(scratch);
    for (uint32_t i = 0; i < count; i++, from += SLI_EXTENT_BYTES) {
        uint64_t position = sli_get_u64(from + 16);
        struct sl_extent_on_disk extent = {
            .start = sli_get_u64(from),
            .size = sli_get_u32(from + 8),
            .disk_size = sli_get_u32(from + 12),
            .position = position & ~ends_message_bit,
            .ends_message = (position & ends_message_bit) != 0,
        };
        if (extent.position > data_size || extent.disk_size > data_size - extent.position)
            return "an extent lies outside of the data";
        if (extent.size == 0 || extent.size > UINT64_MAX - extent.start)
            return "an extent is empty, or ends beyond every stream";
        sl_buffer_append(scratch, &extent, sizeof(extent));
    }
    return NULL;
}

const char *sli_entry_decode(struct sl_bytes bytes, uint64_t data_size, struct sl_entry *entry,
                             struct sl_buffer *scratch)
{
    if (bytes.size < SLI_ENTRY_HEADER_BYTES)
        return "an entry is cut off";
    const uint8_t *from = bytes.data;
    uint32_t state_size = sli_get_u32(from + 16);
    uint32_t extent_count = sli_get_u32(from + 20);
    uint64_t size =
        SLI_ENTRY_HEADER_BYTES + (uint64_t)state_size + (uint64_t)extent_count * SLI_EXTENT_BYTES;
    if (size > bytes.size)
        return "an entry is cut off";
    const uint8_t *state = from + SLI_ENTRY_HEADER_BYTES;
    const char *what = decode_extents(state + state_size, extent_count, data_size, scratch);
    *entry = (struct sl_entry){
        .id = sli_get_u64(from),
        .lsn = sli_get_u64(from + 8),
        .state = sl_bytes(state, state_size),
        .extent_count = extent_count,
        .extents = (const struct sl_extent_on_disk *)(const void *)scratch->data,
        .raw = sl_bytes(from, (size_t)size),
    };
    return what;
}

static const char *visit_tombstones(struct sl_bytes left, uint32_t count,
                                    struct sl_segment *segment,
                                    const struct sl_segment_visitor *visitor)
{
    if (left.size != (uint64_t)count * SLI_TOMBSTONE_BYTES)
        return "the tombstones do not fill the rest of their block";
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *from = left.data + (size_t)i * SLI_TOMBSTONE_BYTES;
        struct sl_tombstone tombstone = { .id = sli_get_u64(from), .lsn = sli_get_u64(from + 8) };
        if (visitor->on_tombstone != NULL)
            visitor->on_tombstone(visitor->context, segment, &tombstone);
    }
    return NULL;
}

const char *sli_entry_block_visit(struct sl_bytes block, uint64_t position, uint64_t data_size,
                                  struct sl_segment *segment,
                                  const struct sl_segment_visitor *visitor,
                                  struct sl_buffer *scratch)
{
    if (block.size < SLI_BLOCK_HEADER_BYTES || sli_get_u32(block.data + 4) != block.size)
        return "the size of an entry block is wrong";
    if (sli_get_u32(block.data) != sl_crc32c(0, block.data + 4, block.size - 4))
        return "the checksum of an entry block is wrong";
    struct sl_bytes left = sl_bytes_from(block, SLI_BLOCK_HEADER_BYTES);
    uint32_t entries = sli_entry_block_entries(block);
    for (uint32_t i = 0; i < entries; i++) {
        struct sl_entry entry;
        const char *what = sli_entry_decode(left, data_size, &entry, scratch);
        if (what != NULL)
            return what;
        entry.position = position + (uint64_t)(left.data - block.data);
        left = sl_bytes_from(left, entry.raw.size);
        if (visitor->on_entry != NULL)
            visitor->on_entry(visitor->context, segment, &entry);
    }
    return visit_tombstones(left, sli_entry_block_tombstones(block), segment, visitor);
}

uint32_t sli_entry_block_entries(struct sl_bytes block)
{
    return sli_get_u32(block.data + 8);
}

uint32_t sli_entry_block_tombstones(struct sl_bytes block)
{
    return sli_get_u32(block.data + 12);
}

const char *sli_chunk_decode(struct sl_bytes bytes, uint64_t id, uint64_t start,
                             struct sl_chunk *chunk, size_t *size)
{
    const uint8_t *from = bytes.data;
    if (bytes.size < SL_CHUNK_HEADER_BYTES)
        return "a chunk is cut off";
    *size = sli_get_u32(from + 4);
    uint32_t payload_size = sli_get_u32(from + 24);
    if (*size < SL_CHUNK_HEADER_BYTES || *size > bytes.size)
        return "the size of a chunk is wrong";
    if (sli_get_u32(from) != sl_crc32c(0, from + 4, *size - 4))
        return "the checksum of a chunk is wrong";
    if (payload_size > SL_CHUNK_PAYLOAD_BYTES_MAX || payload_size > *size - SL_CHUNK_HEADER_BYTES ||
        sli_get_u32(from + 28) != 0)
        return "the payload of a chunk has a wrong size";
    if (sli_get_u64(from + 8) != id)
        return "a chunk is of another stream";
    if (sli_get_u64(from + 16) != start)
        return "a chunk is of another place of its stream";
    const uint8_t *payload = from + SL_CHUNK_HEADER_BYTES;
    *chunk = (struct sl_chunk){
        .start = start,
        .payload = sl_bytes(payload, payload_size),
        .boundaries =
            sl_bytes(payload + payload_size, *size - SL_CHUNK_HEADER_BYTES - payload_size),
    };
    return NULL;
}

void sli_chunks_seal(uint8_t *bytes, size_t size)
{
    while (size > 0) {
        SL_ASSERT(size >= SL_CHUNK_HEADER_BYTES);
        size_t chunk_size = sli_get_u32(bytes + 4);
        SL_ASSERT(chunk_size >= SL_CHUNK_HEADER_BYTES && chunk_size <= size);
        sli_put_u32(bytes, sl_crc32c(0, bytes + 4, chunk_size - 4));
        bytes += chunk_size;
        size -= chunk_size;
    }
}
