/*
 * journal/segment.h - an immutable file with the data and the state of many streams
 *
 * What     A segment is written once, front to back, then only read. It holds chunks (a run of
 *          bytes of one stream, checksummed), entries (the state of one stream as of one LSN, and
 *          where its chunks are), and tombstones (this stream is no more).
 * Why      The index is the entries: the streams of a shard are what the entries of all its
 *          segments say, the newest state per id, the union of the extents. There is no other store
 *          that could fall out of step. What the shard needs of it lies in memory.
 * Thread   Writing: one background thread. Reading chunks: any. `live_*`: the shard.
 *
 * File     seg-<16 hex digits>: batches, then the directory, then the footer
 *   batch      chunks one behind the other, then one entry block
 *   chunk      u32 crc (CRC32C of all that follows), u32 size (of the whole chunk), u64 stream_id,
 *              u64 start, u32 payload_size, u32 0, then size - 32 bytes: payload and what the
 *              stream room adds to find its boundaries
 *   entry block u32 crc (of all that follows), u32 size, u32 entries, u32 tombstones, then entries:
 *              {u64 id, u64 lsn, u32 state_size, u32 extent_count, state, extents {u64 start, u32
 *              size, u32 disk_size, u64 position, top bit: ends_message}}, then tombstones {u64 id,
 *              u64 lsn}
 *   directory  per entry block {u64 position, u32 size, u32 crc}
 *   footer     the last 64 bytes: magic "SLSG", u32 version, u64 log_id, u64 number, u64 first_lsn
 *              (of any entry or tombstone), u64 directory position, u32 directory size, u32
 *              directory crc, u32 entries, u32 tombstones, u32 flags (1: made by a compaction), u32
 *              crc of the footer before it
 */
#ifndef SL_JOURNAL_SEGMENT_H
#define SL_JOURNAL_SEGMENT_H

#include "base/buffer.h"
#include "base/link.h"
#include "journal/vfs.h"
#include "sluice/error.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    SL_CHUNK_HEADER_BYTES = 32,
    SL_CHUNK_PAYLOAD_BYTES_MAX = 64 * 1024,
    SL_SEGMENT_NAME_SIZE = 21, /* "seg-0123456789abcdef" and its NUL */
};

/* A run of bytes of one stream in a segment: one chunk, or several one behind the other. */
struct sl_extent_on_disk {
    uint64_t start;     /* position in the stream */
    uint32_t size;      /* bytes of payload in all */
    uint32_t disk_size; /* bytes in the segment */
    uint64_t position;  /* in the segment */
    bool ends_message;  /* start + size is the end of a message */
};

struct sl_segment {
    struct sl_link link;  /* in the list of its shard */
    struct sl_file *file; /* owned */
    char *path;           /* owned: for the log */
    uint64_t number;
    uint64_t size;        /* bytes of the file */
    uint64_t data_size;   /* bytes of chunks and entry blocks: the directory begins there */
    uint64_t entry_bytes; /* of all entry blocks */
    uint64_t first_lsn;   /* lowest LSN of an entry or a tombstone; UINT64_MAX: there is none */
    uint32_t directory_crc;
    uint32_t footer_crc; /* what the manifest says */
    uint32_t entries;
    uint32_t tombstones;
    uint32_t references;  /* any thread, only by ref and unref */
    bool damaged;         /* any thread sets it; ask sl_segment_is_damaged() */
    bool compacted;       /* made by a compaction */
    bool stubborn;        /* shard: made by a compaction that saved little; never after a restart */
    struct sl_drop *drop; /* owned: what becomes of the file after the last reference; or NULL */
    uint64_t live_bytes;  /* shard: disk_size of extents that streams still have */
    uint64_t live_entries; /* shard: streams whose newest state is here */
};

struct sl_drop;

/* The state of one stream, borrowed from the block that it was read from. */
struct sl_entry {
    uint64_t id;
    uint64_t lsn; /* of the last change that is in it */
    struct sl_bytes state;
    uint32_t extent_count;
    const struct sl_extent_on_disk *extents;
    struct sl_bytes raw; /* as it lies in the segment */
    uint64_t position;   /* of that in the segment */
};

struct sl_tombstone {
    uint64_t id;
    uint64_t lsn;
};

/* Writes the name of segment `number` to `out`. */
void sl_segment_name(uint64_t number, char out[SL_SEGMENT_NAME_SIZE]);
bool sl_segment_number(const char *name, uint64_t *number);

/*
 * Opens a segment and checks its footer and directory. Errors: DATA_CORRUPT (*what says why,
 * static), STORAGE_FAILED. One reference, the caller's.
 */
SL_NODISCARD enum sl_err sl_segment_open(const struct sl_vfs *vfs, const char *directory,
                                         uint64_t number, uint64_t log_id,
                                         struct sl_segment **segment, const char **what);
struct sl_segment *sl_segment_ref(struct sl_segment *segment);
/* The last one closes the file. */
void sl_segment_unref(struct sl_segment **segment);
/* Any thread: a checksum was wrong; it is not compacted any more. */
bool sl_segment_is_damaged(const struct sl_segment *segment);

/* What a segment holds, block by block; what a callback gets is valid during the call. */
struct sl_segment_visitor {
    void (*on_entry)(void *context, struct sl_segment *segment, const struct sl_entry *entry);
    void (*on_tombstone)(void *context, struct sl_segment *segment,
                         const struct sl_tombstone *tombstone);
    void *context;
};
/* Errors as open; `position` says where. */
SL_NODISCARD enum sl_err sl_segment_visit(struct sl_segment *segment,
                                          const struct sl_segment_visitor *visitor,
                                          uint64_t *position, const char **what);

/* One chunk after it was read and checked; borrows from the caller's buffer. */
struct sl_chunk {
    uint64_t start;
    struct sl_bytes payload;
    struct sl_bytes boundaries; /* what the stream room added */
};

/*
 * Reads the chunks of an extent of stream `id` into `buffer` (cleared before), checks everything,
 * and calls `each` in order. Any thread. Errors: DATA_DAMAGED (the segment is marked),
 * STORAGE_FAILED.
 */
SL_NODISCARD enum sl_err sl_segment_read(struct sl_segment *segment, uint64_t id,
                                         const struct sl_extent_on_disk *extent,
                                         struct sl_buffer *buffer,
                                         void (*each)(void *context, const struct sl_chunk *chunk),
                                         void *context);

/* ---- writing ---- */

/*
 * What the shard gives to be written in one go, and gets back with the places filled in.
 * Thread: the shard fills it, the background thread writes it, the shard installs and frees it.
 */
struct sl_segment_batch {
    struct sl_link link;
    struct sl_buffer chunks;  /* whole chunks; their crc is set when they are written */
    struct sl_buffer states;  /* one behind the other */
    struct sl_buffer entries; /* struct sl_batch_entry each */
    struct sl_buffer extents; /* struct sl_extent_on_disk each; position counts from the first byte
                                 of `chunks` before, from that of the file after it was written */
    struct sl_buffer tombstones; /* struct sl_tombstone each */
};

/*
 * A part of a stream: all but the last part of a large one have no state and are not complete; the
 * writer joins the extents of all parts of an id, which come one after the other, into one entry.
 */
struct sl_batch_entry {
    uint64_t id;
    uint64_t lsn;
    uint32_t state_at;
    uint32_t state_size;
    uint32_t extent_at; /* index */
    uint32_t extent_count;
    bool complete; /* write the entry; false: more of this stream follows, or it is dropped */
};

struct sl_segment_batch *sl_segment_batch_create(void);
void sl_segment_batch_destroy(struct sl_segment_batch **batch);
/*
 * Reserves the header of a chunk in batch->chunks; the caller then appends payload and boundaries
 * and calls end, which fills the header. Returns where the chunk begins in `chunks`.
 */
size_t sl_segment_batch_begin_chunk(struct sl_segment_batch *batch);
void sl_segment_batch_end_chunk(struct sl_segment_batch *batch, size_t at, uint64_t id,
                                uint64_t start, uint32_t payload_size);

struct sl_segment_writer;

/* Makes "seg-N.tmp". Errors: STORAGE_FAILED, DISK_FULL. */
SL_NODISCARD enum sl_err sl_segment_writer_open(const struct sl_vfs *vfs, const char *directory,
                                                uint64_t number, uint64_t log_id,
                                                struct sl_segment_writer **writer);
/* Writes a batch and sets its extents' positions. After an error only abort is allowed. */
SL_NODISCARD enum sl_err sl_segment_writer_add(struct sl_segment_writer *writer,
                                               struct sl_segment_batch *batch);
/*
 * Directory, footer, sync, rename, sync of the directory; opens the segment. Frees the writer in
 * any case; after an error the temporary file is gone.
 */
SL_NODISCARD enum sl_err sl_segment_writer_finish(struct sl_segment_writer **writer,
                                                  struct sl_segment **segment);
void sl_segment_writer_abort(struct sl_segment_writer **writer);

#ifdef __cplusplus
}
#endif
#endif
