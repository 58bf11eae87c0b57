/*
 * stream/boundary.h - where messages and appends end, inside a chunk on the disk
 *
 * What     One number per piece of a message, as a varint, one behind the other:
 *          size << 2 | ends_message << 1 | ends_append. The sizes add up to the chunk's payload. A
 *          byte stream has one piece per append, and its message is the append; a message (or
 *          append) that does not fit into a chunk is cut into pieces.
 * Why      Everything that a fork or a JSON read must know of flushed data lies beside the data.
 * Thread   Any, pure.
 *
 * Invariants  (1) size > 0  (2) the end of an append is the end of a message
 */
#ifndef SL_STREAM_BOUNDARY_H
#define SL_STREAM_BOUNDARY_H

#include "base/buffer.h"
#include "sluice/bytes.h"
#include "sluice/error.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sl_boundary_piece {
    uint32_t size; /* bytes of payload */
    bool ends_message;
    bool ends_append;
};

void sl_boundary_add(struct sl_buffer *out, const struct sl_boundary_piece *piece);
/* Takes the first piece off `bytes`; false: there is none, or it is malformed (*malformed). */
bool sl_boundary_take(struct sl_bytes *bytes, struct sl_boundary_piece *piece, bool *malformed);
/*
 * Does a message begin `at` bytes after the begin of the payload? `starts_message`: one does at 0.
 * At the end of the payload: does it end with a message?
 */
bool sl_boundary_is_start(struct sl_bytes boundaries, bool starts_message, uint32_t at);

/*
 * Walks on from one chunk to the next until a sub-offset is resolved (sl_log_resolve has the rule).
 * The first chunk is the one that holds `offset`, or one before it. `offset` == `bound` needs a
 * chunk too, any one.
 */
struct sl_boundary_walk {
    uint64_t offset;     /* argument: as of sl_log_resolve */
    uint64_t sub_offset; /* argument, then what is still to go */
    uint64_t bound;      /* argument */
    bool json;           /* argument */
    bool found_start;    /* false before the offset was seen to be a boundary */
    bool done;           /* position and err count */
    uint64_t position;   /* result */
    enum sl_err err;     /* result; DATA_DAMAGED: the boundaries are malformed */
};
/* `starts_message`: the chunk's first byte begins a message. */
void sl_boundary_walk_chunk(struct sl_boundary_walk *walk, uint64_t chunk_start,
                            struct sl_bytes boundaries, bool starts_message);

#ifdef __cplusplus
}
#endif
#endif
