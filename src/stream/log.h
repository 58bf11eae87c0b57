/*
 * stream/log.h - what a stream holds, as extents
 *
 * What     One extent per append, in order and without gaps: position, block, length, messages. So
 *          the extents are also the index of append boundaries.
 * Why      Extents are kept in chunks that never move, so a stream of ten million appends grows
 *          without a stall and an idle stream of one append costs one small chunk.
 * Thread   The shard that owns the stream.
 * Owns     The chunks and one reference to the block of every extent.
 *
 * Invariants
 *   (1) extent[0].start == base; extent[i + 1].start == extent[i].start + extent[i].size
 *   (2) size > 0
 */
#ifndef SL_STREAM_LOG_H
#define SL_STREAM_LOG_H

#include "base/buffer.h"
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

struct sl_log {
    struct sl_extent **chunks; /* owned; all but the only one of a short log have the full size */
    uint32_t count;            /* extents */
    uint64_t base;             /* first position: 0, or where a fork begins its own data */
};

/*
 * Adds to the varint lengths of `count` messages the index that a payload of more than
 * SL_MESSAGES_PER_INDEX_ENTRY messages needs: per entry two 32-bit numbers, position in the payload and
 * position in the lengths. So finding a message costs the same in a batch of any size.
 */
void sl_lengths_add_index(struct sl_buffer *lengths, uint32_t count);

void sl_log_init(struct sl_log *log, uint64_t base);
/* Drops every reference. Returns the bytes that sl_log_memory() said. */
size_t sl_log_deinit(struct sl_log *log);

/* After the last extent; base when there is none. */
uint64_t sl_log_end(const struct sl_log *log);

/* Stores the payload at the end; returns by how many bytes sl_log_memory() grew. */
size_t sl_log_append(struct sl_log *log, struct sl_slab *slab, struct sl_payload *payload);

/* Bytes of the chunks, not of the blocks. */
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
    /* arguments: [start, bound) is wanted, base <= start <= bound <= end */
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
 * SL_READ_SLICES_MAX by reference, else copied into one block of `account`, or if that is not wanted
 * as many bytes as there is room for.
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
 * goes on there. base <= offset <= bound <= end.
 * Errors: INVALID_FORK_OFFSET when offset is inside a JSON message or the append has not so many.
 */
SL_NODISCARD enum sl_err sl_log_resolve(const struct sl_log *log, uint64_t offset,
                                        uint64_t sub_offset, uint64_t bound, bool json,
                                        uint64_t *position);

#ifdef __cplusplus
}
#endif
#endif
