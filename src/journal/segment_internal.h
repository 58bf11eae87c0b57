/*
 * journal/segment_internal.h - the parts of a segment as bytes
 *
 * What     Encodes and checks footers, directories, entry blocks and chunks; the format is in
 *          segment.h.
 * Why      Pure functions over bytes: what reads files, what tests and what fuzzes is the same
 *          code.
 * Thread   Any, pure.
 *
 * A check returns NULL when all is well, else what is wrong (static text).
 */
#ifndef SL_JOURNAL_SEGMENT_INTERNAL_H
#define SL_JOURNAL_SEGMENT_INTERNAL_H

#include "journal/segment.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    SLI_FOOTER_BYTES = 64,
    SLI_DIRECTORY_ENTRY_BYTES = 16,
    SLI_BLOCK_HEADER_BYTES = 16,
    SLI_ENTRY_HEADER_BYTES = 24,
    SLI_EXTENT_BYTES = 24,
    SLI_TOMBSTONE_BYTES = 16,
    SLI_SEGMENT_TMP_NAME_SIZE = SL_SEGMENT_NAME_SIZE + 4, /* ".tmp" more */
};

/* The last bytes of a segment. */
struct sli_footer {
    uint64_t log_id;
    uint64_t number;
    uint64_t first_lsn;
    uint64_t directory_position;
    uint32_t directory_size;
    uint32_t directory_crc;
    uint32_t entries;
    uint32_t tombstones;
    bool compacted;
    uint32_t crc; /* set by encode and decode */
};

/* Where an entry block is. */
struct sli_directory_entry {
    uint64_t position;
    uint32_t size;
    uint32_t crc; /* as in the block's own header */
};

/* Writes "seg-N.tmp" to `out`. */
void sli_segment_tmp_name(uint64_t number, char out[SLI_SEGMENT_TMP_NAME_SIZE]);

/* As sl_segment_open(); *position says where the fault is. */
enum sl_err sli_segment_open_at(const struct sl_vfs *vfs, const char *directory, uint64_t number,
                                uint64_t log_id, struct sl_segment **segment, uint64_t *position,
                                const char **what);

/* The footer will say that a compaction made it. */
void sli_segment_writer_set_compacted(struct sl_segment_writer *writer);
/* Any thread; true: it was not marked before. */
bool sli_segment_mark_damaged(struct sl_segment *segment);
/* Marks the segment and logs it the first time; returns DATA_DAMAGED. */
enum sl_err sli_segment_damage(struct sl_segment *segment, uint64_t position, const char *what);
/* Reads exactly `size` bytes into `buffer`. Errors: STORAGE_FAILED, DATA_CORRUPT (*what). */
enum sl_err sli_segment_read_raw(struct sl_segment *segment, uint64_t at, size_t size,
                                 struct sl_buffer *buffer, const char **what);

/* Removes the file; what cannot be removed is found at the next start. */
void sli_segment_remove(const struct sl_vfs *vfs, const char *directory, uint64_t number);

void sli_footer_encode(struct sli_footer *footer, uint8_t out[SLI_FOOTER_BYTES]);
const char *sli_footer_decode(struct sl_bytes bytes, struct sli_footer *footer);

struct sli_directory_entry sli_directory_get(struct sl_bytes directory, size_t index);
/* *entry_bytes: what all entry blocks take. */
const char *sli_directory_check(struct sl_bytes directory, const struct sli_footer *footer,
                                uint64_t *entry_bytes);

/*
 * Checks an entry block that is at `position` and gives what it holds; extents lie below
 * `data_size`. `scratch` is cleared and used. `segment` is only passed on.
 */
const char *sli_entry_block_visit(struct sl_bytes block, uint64_t position, uint64_t data_size,
                                  struct sl_segment *segment,
                                  const struct sl_segment_visitor *visitor,
                                  struct sl_buffer *scratch);
/* The entry that `bytes` begins with; its extents are in `scratch`. */
const char *sli_entry_decode(struct sl_bytes bytes, uint64_t data_size, struct sl_entry *entry,
                             struct sl_buffer *scratch);
/* What its header says; only of a block that was checked. */
uint32_t sli_entry_block_entries(struct sl_bytes block);
uint32_t sli_entry_block_tombstones(struct sl_bytes block);

/* The chunk that `bytes` begins with, which is of stream `id` and starts at `start`. */
const char *sli_chunk_decode(struct sl_bytes bytes, uint64_t id, uint64_t start,
                             struct sl_chunk *chunk, size_t *size);
/* Sets the checksums of the chunks in `bytes`, one behind the other. */
void sli_chunks_seal(uint8_t *bytes, size_t size);

#ifdef __cplusplus
}
#endif
#endif
