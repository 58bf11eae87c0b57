#include "stream/boundary.h"

#include "base/assert.h"
#include "protocol/varint.h"

enum {
    ENDS_APPEND = 1,
    ENDS_MESSAGE = 2,
    SIZE_SHIFT = 2,
};

void sl_boundary_add(struct sl_buffer *out, const struct sl_boundary_piece *piece)
{
    SL_ASSERT(piece->size > 0);
    SL_ASSERT(piece->ends_message || !piece->ends_append);
    uint64_t number = (uint64_t)piece->size << SIZE_SHIFT |
                      (piece->ends_message ? ENDS_MESSAGE : 0) |
                      (piece->ends_append ? ENDS_APPEND : 0);
    out->size += sl_varint_write(number, sl_buffer_reserve(out, SL_VARINT_SIZE_MAX));
}

bool sl_boundary_take(struct sl_bytes *bytes, struct sl_boundary_piece *piece, bool *malformed)
{
    uint64_t number;
    *piece = (struct sl_boundary_piece){ .size = 0 };
    *malformed = false;
    if (bytes->size == 0)
        return false;
    size_t used = sl_varint_read(bytes->data, bytes->size, &number);
    uint64_t size = number >> SIZE_SHIFT;
    bool ends_message = number & ENDS_MESSAGE, ends_append = number & ENDS_APPEND;
    if (used == 0 || size == 0 || size > UINT32_MAX || (ends_append && !ends_message)) {
        *malformed = true;
        return false;
    }
    *bytes = sl_bytes_from(*bytes, used);
    *piece = (struct sl_boundary_piece){ (uint32_t)size, ends_message, ends_append };
    return true;
}

bool sl_boundary_is_start(struct sl_bytes boundaries, bool starts_message, uint32_t at)
{
    struct sl_boundary_piece piece;
    uint64_t end = 0;
    bool malformed, starts = starts_message;
    while (end < at && sl_boundary_take(&boundaries, &piece, &malformed)) {
        end += piece.size;
        starts = piece.ends_message;
    }
    return end == at && starts;
}

static void finish(struct sl_boundary_walk *walk, enum sl_err err, uint64_t position)
{
    walk->done = true;
    walk->err = err;
    walk->position = position;
}

/* A piece that holds or follows the offset, in a byte stream. */
static void walk_bytes(struct sl_boundary_walk *walk, uint64_t start, uint64_t end,
                       const struct sl_boundary_piece *piece)
{
    uint64_t from = start > walk->offset ? start : walk->offset;
    uint64_t to = end < walk->bound ? end : walk->bound;
    if (walk->sub_offset <= to - from)
        finish(walk, SL_OK, from + walk->sub_offset);
    else if (piece->ends_append || end >= walk->bound)
        finish(walk, SL_ERR_INVALID_FORK_OFFSET, walk->offset);
    else
        walk->sub_offset -= to - from;
}

/* The same in a JSON stream; `starts_message`: a message begins at `start`. */
static void walk_messages(struct sl_boundary_walk *walk, uint64_t start, uint64_t end,
                          const struct sl_boundary_piece *piece, bool starts_message)
{
    walk->found_start |= start == walk->offset && starts_message;
    if (!walk->found_start) {
        finish(walk, SL_ERR_INVALID_FORK_OFFSET, walk->offset);
        return;
    }
    if (walk->sub_offset == 0) {
        finish(walk, SL_OK, walk->offset);
        return;
    }
    walk->sub_offset -= piece->ends_message ? 1 : 0;
    if (end <= walk->bound && piece->ends_message && walk->sub_offset == 0)
        finish(walk, SL_OK, end);
    else if (end >= walk->bound || piece->ends_append)
        finish(walk, SL_ERR_INVALID_FORK_OFFSET, walk->offset);
}

void sl_boundary_walk_chunk(struct sl_boundary_walk *walk, uint64_t chunk_start,
                            struct sl_bytes boundaries, bool starts_message)
{
    SL_ASSERT(walk->offset <= walk->bound);
    struct sl_boundary_piece piece;
    uint64_t start = chunk_start;
    bool malformed = false, starts = starts_message;
    if (walk->offset == walk->bound && !walk->done)
        finish(walk, walk->sub_offset == 0 ? SL_OK : SL_ERR_INVALID_FORK_OFFSET, walk->offset);
    while (!walk->done && sl_boundary_take(&boundaries, &piece, &malformed)) {
        uint64_t end = start + piece.size;
        if (end > walk->offset && walk->json)
            walk_messages(walk, start, end, &piece, starts);
        else if (end > walk->offset)
            walk_bytes(walk, start, end, &piece);
        starts = piece.ends_message;
        start = end;
    }
    if (malformed)
        finish(walk, SL_ERR_DATA_DAMAGED, walk->offset);
}
