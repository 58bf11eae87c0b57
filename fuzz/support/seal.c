#include "support/seal.h"

#include "base/crc32c.h"

#include <stdbool.h>
#include <string.h>

enum {
    BLOCK = 4096,
    FRAME_HEADER = 96,
    CHUNK_HEADER = 32,
    FOOTER = 64,
    DIRECTORY_ENTRY = 16,
    ENTRY_BLOCK_HEADER = 16,
    ENTRY_HEADER = 24,
    EXTENT = 24,
    MANIFEST_HEAD = 96,
    MANIFEST_SEGMENT = 24,
};

static uint32_t get_u32(const uint8_t *from)
{
    uint32_t value;
    memcpy(&value, from, sizeof(value));
    return value;
}

static uint64_t get_u64(const uint8_t *from)
{
    uint64_t value;
    memcpy(&value, from, sizeof(value));
    return value;
}

static void put_u32(uint8_t *to, uint32_t value)
{
    memcpy(to, &value, sizeof(value));
}

static void put_u64(uint8_t *to, uint64_t value)
{
    memcpy(to, &value, sizeof(value));
}

/* [at, at + length) lies in `size` bytes. */
static bool fits(uint64_t at, uint64_t length, size_t size)
{
    return at <= size && length <= size - at;
}

/* Where the second copy begins, behind one of `size` bytes. */
static size_t next_block(size_t size)
{
    return (size + BLOCK - 1) / BLOCK * BLOCK;
}

/* ---- identity and manifest ---- */

void seal_identity(uint8_t *bytes, size_t size)
{
    for (size_t at = 0; fits(at, 16, size);) {
        uint32_t copy_size = get_u32(bytes + at + 12);
        if (copy_size < 20 || !fits(at, copy_size, size))
            return;
        put_u32(bytes + at + copy_size - 4, sl_crc32c(0, bytes + at, copy_size - 4));
        at += next_block(copy_size);
    }
}

/* The size of the copy at `at`; 0: there is none. */
static size_t manifest_copy_size(const uint8_t *bytes, size_t size, size_t at)
{
    if (!fits(at, 16, size))
        return 0;
    uint32_t copy_size = get_u32(bytes + at + 8);
    return copy_size < 16 || !fits(at, copy_size, size) ? 0 : copy_size;
}

void seal_manifest(uint8_t *bytes, size_t size)
{
    size_t copy_size;
    for (size_t at = 0; (copy_size = manifest_copy_size(bytes, size, at)) > 0;
         at += next_block(copy_size)) {
        uint32_t crc = sl_crc32c(0, bytes + at, 12);
        put_u32(bytes + at + 12, sl_crc32c(crc, bytes + at + 16, copy_size - 16));
    }
}

void seal_manifest_segment(uint8_t *manifest, size_t manifest_size, uint64_t number,
                           const uint8_t *segment, size_t segment_size)
{
    size_t copy_size;
    if (segment_size < FOOTER)
        return;
    for (size_t at = 0; (copy_size = manifest_copy_size(manifest, manifest_size, at)) > 0;
         at += next_block(copy_size)) {
        for (size_t named = MANIFEST_HEAD; fits(named, MANIFEST_SEGMENT, copy_size);
             named += MANIFEST_SEGMENT) {
            uint8_t *entry = manifest + at + named;
            if (get_u64(entry) != number)
                continue;
            put_u64(entry + 8, segment_size);
            put_u32(entry + 16, get_u32(segment + segment_size - 4));
        }
    }
}

/* ---- the log ---- */

void seal_frame_header(uint8_t *frame)
{
    put_u32(frame + 4, sl_crc32c(0, frame + 8, FRAME_HEADER - 8));
}

uint32_t seal_frames(uint8_t *bytes, size_t size, uint32_t chain)
{
    for (size_t at = 0; fits(at, FRAME_HEADER, size); at += BLOCK) {
        if (memcmp(bytes + at, "SLFR", 4) != 0)
            continue;
        uint32_t body_size = get_u32(bytes + at + 12);
        put_u32(bytes + at + 72, chain);
        if (fits(at + FRAME_HEADER, body_size, size))
            put_u32(bytes + at + 20, sl_crc32c(0, bytes + at + FRAME_HEADER, body_size));
        seal_frame_header(bytes + at);
        chain = get_u32(bytes + at + 4);
    }
    return chain;
}

/* ---- segments ---- */

void seal_chunks(uint8_t *bytes, size_t size)
{
    while (size >= CHUNK_HEADER) {
        uint32_t chunk_size = get_u32(bytes + 4);
        if (chunk_size < CHUNK_HEADER || chunk_size > size)
            return;
        put_u32(bytes, sl_crc32c(0, bytes + 4, chunk_size - 4));
        bytes += chunk_size;
        size -= chunk_size;
    }
}

/* The chunks that the entries of a block name; returns nothing, believes nothing. */
static void seal_named_chunks(uint8_t *bytes, size_t size, const uint8_t *block, size_t block_size)
{
    uint32_t entries = block_size < ENTRY_BLOCK_HEADER ? 0 : get_u32(block + 8);
    size_t at = ENTRY_BLOCK_HEADER;
    for (; entries > 0 && fits(at, ENTRY_HEADER, block_size); entries--) {
        uint64_t state_size = get_u32(block + at + 16);
        uint64_t extents = get_u32(block + at + 20);
        if (!fits(at + ENTRY_HEADER, state_size + extents * EXTENT, block_size))
            return;
        at += ENTRY_HEADER + state_size;
        for (; extents > 0; extents--, at += EXTENT) {
            uint32_t disk_size = get_u32(block + at + 12);
            uint64_t position = get_u64(block + at + 16) << 1 >> 1;
            if (fits(position, disk_size, size))
                seal_chunks(bytes + position, disk_size);
        }
    }
}

void seal_block(uint8_t *bytes, size_t size)
{
    if (size < ENTRY_BLOCK_HEADER)
        return;
    put_u32(bytes + 4, (uint32_t)size);
    put_u32(bytes, sl_crc32c(0, bytes + 4, size - 4));
}

void seal_segment(uint8_t *bytes, size_t size)
{
    if (size < FOOTER)
        return;
    uint8_t *footer = bytes + size - FOOTER;
    uint64_t position = get_u64(footer + 32);
    uint32_t directory_size = get_u32(footer + 40);
    if (fits(position, directory_size, size - FOOTER)) {
        uint8_t *directory = bytes + position;
        for (size_t at = 0; fits(at, DIRECTORY_ENTRY, directory_size); at += DIRECTORY_ENTRY) {
            uint64_t block = get_u64(directory + at);
            uint32_t block_size = get_u32(directory + at + 8);
            if (!fits(block, block_size, position) || block_size < ENTRY_BLOCK_HEADER)
                continue;
            seal_named_chunks(bytes, position, bytes + block, block_size);
            seal_block(bytes + block, block_size);
            put_u32(directory + at + 12, get_u32(bytes + block));
        }
        put_u32(footer + 44, sl_crc32c(0, directory, directory_size));
    }
    put_u32(footer + 60, sl_crc32c(0, footer, FOOTER - 4));
}
