/*
 * Any bytes as the parts of a segment. The first byte chooses; the checksums are made right, so
 * that what lies behind them is reached. Nothing is read or given that lies outside of the bytes.
 */
#include "base/assert.h"
#include "base/crc32c.h"
#include "base/memory.h"
#include "journal/segment_internal.h"
#include "support/seal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DATA_SIZE = 100000 };

/* What the callbacks compare with. */
struct seen {
    struct sl_bytes block;
    size_t entries;
    size_t tombstones;
};

static bool is_within(struct sl_bytes inner, struct sl_bytes outer)
{
    return inner.data >= outer.data && inner.data + inner.size <= outer.data + outer.size;
}

static void on_entry(void *context, struct sl_segment *segment, const struct sl_entry *entry)
{
    struct seen *seen = context;
    SL_ASSERT(segment == NULL);
    SL_ASSERT(is_within(entry->raw, seen->block) && is_within(entry->state, entry->raw));
    SL_ASSERT(entry->position == (uint64_t)(entry->raw.data - seen->block.data) + 7);
    for (uint32_t i = 0; i < entry->extent_count; i++) {
        const struct sl_extent_on_disk *extent = &entry->extents[i];
        SL_ASSERT(extent->position + extent->disk_size <= DATA_SIZE);
        SL_ASSERT(extent->start + extent->size >= extent->start);
    }
    seen->entries++;
}

static void on_tombstone(void *context, struct sl_segment *segment,
                         const struct sl_tombstone *tombstone)
{
    struct seen *seen = context;
    SL_ASSERT(segment == NULL && tombstone != NULL);
    seen->tombstones++;
}

static void fuzz_block(uint8_t *bytes, size_t size)
{
    struct seen seen = { .block = sl_bytes(bytes, size) };
    struct sl_segment_visitor visitor = { .on_entry = on_entry,
                                          .on_tombstone = on_tombstone,
                                          .context = &seen };
    struct sl_buffer scratch = { 0 };
    seal_block(bytes, size);
    const char *what = sli_entry_block_visit(seen.block, 7, DATA_SIZE, NULL, &visitor, &scratch);
    if (what == NULL) {
        SL_ASSERT(seen.entries == sli_entry_block_entries(seen.block));
        SL_ASSERT(seen.tombstones == sli_entry_block_tombstones(seen.block));
    }
    sl_buffer_deinit(&scratch);
}

static void fuzz_footer(uint8_t *data, size_t size)
{
    struct sl_bytes bytes = sl_bytes(data, size);
    struct sli_footer footer;
    uint8_t again[SLI_FOOTER_BYTES];
    seal_segment(data, size);
    if (sli_footer_decode(bytes, &footer) != NULL)
        return;
    sli_footer_encode(&footer, again);
    SL_ASSERT(sl_bytes_equal(bytes, sl_bytes(again, sizeof(again))));
}

static void fuzz_directory(struct sl_bytes bytes)
{
    struct sli_footer footer = {
        .directory_position = DATA_SIZE,
        .directory_size = (uint32_t)bytes.size,
        .directory_crc = sl_crc32c(0, bytes.data, bytes.size),
    };
    uint64_t entry_bytes;
    if (sli_directory_check(bytes, &footer, &entry_bytes) != NULL)
        return;
    SL_ASSERT(entry_bytes <= DATA_SIZE);
    uint64_t end = 0;
    for (size_t i = 0; i < bytes.size / SLI_DIRECTORY_ENTRY_BYTES; i++) {
        struct sli_directory_entry entry = sli_directory_get(bytes, i);
        SL_ASSERT(entry.position >= end && entry.position + entry.size <= DATA_SIZE);
        end = entry.position + entry.size;
    }
}

static void fuzz_chunk(uint8_t *bytes, size_t size)
{
    struct sl_chunk chunk;
    size_t chunk_size;
    uint32_t stored = 0;
    if (size >= SL_CHUNK_HEADER_BYTES)
        memcpy(&stored, bytes + 4, sizeof(stored));
    if (stored >= SL_CHUNK_HEADER_BYTES && stored <= size)
        seal_chunks(bytes, stored);
    struct sl_bytes all = sl_bytes(bytes, size);
    if (sli_chunk_decode(all, 1, 2, &chunk, &chunk_size) != NULL)
        return;
    SL_ASSERT(chunk_size == stored && chunk.start == 2);
    SL_ASSERT(is_within(chunk.payload, all) && is_within(chunk.boundaries, all));
    SL_ASSERT(chunk.payload.size + chunk.boundaries.size + SL_CHUNK_HEADER_BYTES == chunk_size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    uint8_t *bytes = sl_memory_alloc(size - 1);
    memcpy(bytes, data + 1, size - 1);
    if (data[0] == 'b')
        fuzz_block(bytes, size - 1);
    else if (data[0] == 'f')
        fuzz_footer(bytes, size - 1);
    else if (data[0] == 'd')
        fuzz_directory(sl_bytes(bytes, size - 1));
    else
        fuzz_chunk(bytes, size - 1);
    sl_memory_free(bytes);
    return 0;
}
