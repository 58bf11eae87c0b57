/*
 * stream/log.h - what a stream holds, as extents
 *
 * What     First what is on the disk: cold extents, of any number of appends each. Then what is in
 *          memory: one extent per append, with position, block, length, messages. So the extents in
 *          memory are also the index of append boundaries; on the disk boundary.h has them.
 * Why      Extents are kept in chunks that never move, so a stream of ten million appends grows
 *          without a stall and an idle stream of one append costs one small chunk. What was flushed
 *          leaves at the front.
 * Thread   The shard that owns the stream.
 * Owns     The chunks, one reference to the block of every extent, and the array of cold extents.
 *
 * Invariants
 *   (1) cold[0].start == base; every extent begins where the one before it ends, without gaps
 *   (2) the cold part ends at `hot`, which is the end of an append (or base); the other begins
 *       there
 *   (3) size > 0
 */
#ifndef SL_STREAM_LOG_H
#define SL_STREAM_LOG_H

#include "base/buffer.h"
#include "base/limits.h"
#include "sluice/operation.h"
#include "stream/slab.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { SL_MESSAGES_PER_INDEX_ENTRY = 256 };

struct sl_extent {
    uint64_t start;         /* position in the stream */
    struct sl_block *block; /* owned reference */
    uint32_t at;            /* of the payload in the block */
    uint32_t size;          /* bytes of payload */
    uint32_t count;         /* messages; bytes: 1 */
    uint32_t lengths_size;  /* bytes of varint lengths behind the payload; 0 unless count > 1 */
};

/* What was moved to the disk; the segment is the shard's, for whom this only keeps a pointer. */
struct sl_segment;
struct sl_log_read;

enum {
    SL_COLD_SIZE_BYTES = SL_COPY_SIZE_BYTES,
    SL_COLD_EXTENTS_PER_READ_MAX = 8,
};

/* What fits into the bits that a cold extent has for its place. */
#define SL_COLD_POSITION_MAX ((UINT64_C(1) << 63) - 1)

/* A run of bytes on the disk: at most SL_COLD_SIZE_BYTES of payload unless one chunk is larger. */
struct sl_cold {
    uint64_t start;             /* position in the stream */
    uint32_t size;              /* bytes of payload */
    uint32_t disk_size;         /* bytes in the segment */
    uint64_t position : 63;     /* in the segment */
    uint64_t ends_message : 1;  /* start + size is the end of a message */
    struct sl_segment *segment; /* borrowed: of the shard */
};

struct sl_log {
    struct sl_cold *cold;      /* owned; NULL: nothing is on the disk */
    struct sl_extent **chunks; /* owned; all but the only one of a short log have the full size */
    uint32_t cold_count;
    uint32_t first; /* extents of the first chunk that were dropped; 0 when it is the only one */
    uint32_t count; /* extents in memory */
    uint64_t base;  /* first position: 0, or where a fork begins its own data */
    uint64_t hot;   /* first position that is in memory: [base, hot) is on the disk */
};

/*
 * Adds to the varint lengths of `count` messages the index that a payload of more than
 * SL_MESSAGES_PER_INDEX_ENTRY messages needs: per entry two 32-bit numbers, position in the payload
 * and position in the lengths. So finding a message costs the same in a batch of any size.
 */
void sl_lengths_add_index(struct sl_buffer *lengths, uint32_t count);
/* Are these the lengths and the index of `count` messages of `size` bytes in all? */
bool sl_lengths_are_valid(struct sl_bytes lengths, uint32_t count, size_t size);

void sl_log_init(struct sl_log *log, uint64_t base);
/* Drops every reference. Returns the bytes that sl_log_memory() said. */
size_t sl_log_deinit(struct sl_log *log);

/* After the last extent; base when there is none. */
uint64_t sl_log_end(const struct sl_log *log);

/* Stores the payload at the end; returns by how many bytes sl_log_memory() grew. */
size_t sl_log_append(struct sl_log *log, struct sl_slab *slab, struct sl_payload *payload);

/*
 * Adds what is on the disk at the end of a log that has nothing in memory; for recovery. False, and
 * nothing is added: it does not begin where the log ends.
 */
bool sl_log_add_cold(struct sl_log *log, const struct sl_cold *cold);

/*
 * Encodes the content of one chunk from `position` on (hot <= position < up_to <= end, at an
 * append's begin or where the chunk before ended; up_to is the end of an append): appends at most
 * `payload_max` bytes of payload, then the boundaries (boundary.h), to `out`. Only a message that
 * is larger than that is cut. Returns the bytes of payload, at least one.
 */
uint32_t sl_log_encode_chunk(const struct sl_log *log, uint64_t position, uint64_t up_to,
                             uint32_t payload_max, bool json, struct sl_buffer *out,
                             bool *ends_message);

/*
 * The bytes [hot, up_to) are on the disk now, as `count` extents, and leave memory; up_to is the
 * end of an append. Returns by how many bytes sl_log_memory() changed.
 */
int64_t sl_log_make_cold(struct sl_log *log, const struct sl_cold *cold, uint32_t count);
/*
 * Other places for what is on the disk already. The `count` extents are in order; every run of them
 * without a gap covers whole ones of the log. Returns the change of memory.
 */
int64_t sl_log_move_cold(struct sl_log *log, const struct sl_cold *cold, uint32_t count);

/*
 * Plans a read of [start, next) that begins on the disk (base <= start < hot), as sl_log_read()
 * does in memory, and copies the extents that it needs to `cold` (room for
 * SL_COLD_EXTENTS_PER_READ_MAX); returns how many. `next` is at most `hot`, page_end can be
 * anywhere up to bound. A page of JSON that ends on the disk ends with an extent, so it can be
 * larger than page_size by up to one extent, or one message. Whether `start` is a message boundary
 * is for the reader of the chunks to see.
 */
uint32_t sl_log_plan_cold(const struct sl_log *log, struct sl_log_read *read, struct sl_cold *cold);

/* Does the cold extent that begins at `start` begin with a message? */
bool sl_log_cold_starts_message(const struct sl_log *log, uint64_t start);

/* Bytes of the extents, cold ones too, and chunks, not of the blocks. */
size_t sl_log_memory(const struct sl_log *log);

/* Moves what lies in slabs that are mostly dead into the one being filled, so that those can go. */
void sl_log_compact(struct sl_log *log, struct sl_slab *slab);

/* What a read found; the blocks keep the slices alive and belong to the reader. */
struct sl_pieces {
    uint32_t count;
    struct sl_bytes slices[SL_READ_SLICES_MAX];
    struct sl_block *blocks[SL_READ_SLICES_MAX]; /* owned references */
};

struct sl_log_read {
    /* arguments: [start, bound) is wanted, hot <= start <= bound <= end */
    uint64_t start;
    uint64_t bound;
    uint64_t limit;      /* not 0: the page ends there, start may be inside a message */
    uint32_t page_size;  /* bytes wanted in a page, 1 or more */
    uint32_t piece_size; /* bytes wanted now, 1 or more */
    bool json;           /* pages and (without limit) start are message boundaries */
    bool by_reference;   /* rather fewer bytes than a copy */
    bool may_be_empty;   /* JSON: rather no message than one that is larger than the page */
    /* results */
    uint64_t next;
    uint64_t page_end;
};

/*
 * Adds [start, next) to `pieces`, which has room for at least one more slice: up to what is left of
 * SL_READ_SLICES_MAX by reference, else copied into one block of `account`, SL_COPY_SIZE_BYTES at
 * most, or if that is not wanted as many bytes as there is room for. At most
 * SL_EXTENTS_PER_PIECE_MAX extents.
 * Errors: INVALID_OFFSET when `start` is inside a JSON message.
 */
SL_NODISCARD enum sl_err sl_log_read(const struct sl_log *log, struct sl_log_read *read,
                                     struct sl_account *account, struct sl_pieces *pieces);

/* Joins all slices into one block, so that there is room again. */
void sl_pieces_join(struct sl_pieces *pieces, struct sl_account *account);
/* Drops the references. */
void sl_pieces_clear(struct sl_pieces *pieces);

/*
 * The position `sub_offset` bytes (JSON: messages) after `offset`, inside the append that begins or
 * goes on there. hot <= offset <= bound <= end.
 * Errors: INVALID_FORK_OFFSET when offset is inside a JSON message or the append has not so many.
 */
SL_NODISCARD enum sl_err sl_log_resolve(const struct sl_log *log, uint64_t offset,
                                        uint64_t sub_offset, uint64_t bound, bool json,
                                        uint64_t *position);

#ifdef __cplusplus
}
#endif
#endif
