#include "stream/log.h"

#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "protocol/varint.h"
#include "stream/log_internal.h"

/* Entry n of the index says where message (n + 1) * SL_MESSAGES_PER_INDEX_ENTRY begins. */
struct index_entry {
    uint32_t payload_at;
    uint32_t lengths_at;
};

SL_STATIC_ASSERT(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the index goes to the disk");

/* Payload, lengths and index. */
static size_t stored_size(const struct sl_extent *extent)
{
    return (size_t)extent->size + extent->lengths_size;
}

/*
 * Extents that there is room for when `used` slots are in use, the dropped ones of the first chunk
 * too: a power of two below one chunk, then chunks.
 */
static size_t capacity_of(uint32_t used)
{
    if (used > SLI_CHUNK_EXTENTS)
        return ((size_t)used + SLI_CHUNK_MASK) & ~(size_t)SLI_CHUNK_MASK;
    size_t capacity = used == 0 ? 0 : 1;
    while (capacity < used)
        capacity *= 2;
    return capacity;
}

/* Entries of the array of chunks: a power of two. */
static size_t chunk_slots_of(uint32_t used)
{
    size_t chunks = (capacity_of(used) + SLI_CHUNK_MASK) >> SLI_CHUNK_BITS;
    size_t slots = used == 0 ? 0 : 1;
    while (slots < chunks)
        slots *= 2;
    return slots;
}

static size_t memory_of(uint32_t used)
{
    return capacity_of(used) * sizeof(struct sl_extent) +
           chunk_slots_of(used) * sizeof(struct sl_extent *);
}

void sl_log_init(struct sl_log *log, uint64_t base)
{
    *log = (struct sl_log){ .base = base, .hot = base };
}

size_t sl_log_deinit(struct sl_log *log)
{
    size_t memory = sl_log_memory(log);
    sli_log_drop_front(log, log->count);
    sl_memory_free(log->cold);
    *log = (struct sl_log){ .base = 0 };
    return memory;
}

uint64_t sl_log_end(const struct sl_log *log)
{
    return log->count == 0 ? log->hot : sli_extent_end(sli_log_extent(log, log->count - 1));
}

size_t sl_log_memory(const struct sl_log *log)
{
    return memory_of(log->first + log->count) + sli_cold_memory(log->cold_count);
}

static void make_room(struct sl_log *log)
{
    uint32_t used = log->first + log->count;
    size_t capacity = capacity_of(used + 1), slots = chunk_slots_of(used + 1);
    if (slots != chunk_slots_of(used))
        log->chunks = sl_memory_grow(log->chunks, slots * sizeof(struct sl_extent *));
    if (capacity == capacity_of(used))
        return;
    struct sl_extent **chunk = &log->chunks[used >> SLI_CHUNK_BITS];
    if ((used & SLI_CHUNK_MASK) == 0)
        *chunk = NULL;
    size_t in_chunk = capacity > SLI_CHUNK_EXTENTS ? SLI_CHUNK_EXTENTS : capacity;
    *chunk = sl_memory_grow(*chunk, in_chunk * sizeof(**chunk));
}

/* The only chunk that is left has no more room than what is in it needs. */
static void shorten(struct sl_log *log)
{
    struct sl_extent **chunk = &log->chunks[0];
    memmove(*chunk, *chunk + log->first, log->count * sizeof(**chunk));
    log->first = 0;
    *chunk = sl_memory_grow(*chunk, capacity_of(log->count) * sizeof(**chunk));
}

void sli_log_drop_front(struct sl_log *log, uint32_t count)
{
    SL_ASSERT(count <= log->count);
    for (uint32_t i = 0; i < count; i++)
        sl_slab_drop(&sli_log_extent(log, i)->block, stored_size(sli_log_extent(log, i)));
    uint32_t chunks = (log->first + log->count + SLI_CHUNK_MASK) >> SLI_CHUNK_BITS;
    uint32_t gone = count == log->count ? chunks : (log->first + count) >> SLI_CHUNK_BITS;
    for (uint32_t i = 0; i < gone; i++)
        sl_memory_free(log->chunks[i]);
    log->first = (log->first + count) & SLI_CHUNK_MASK;
    log->count -= count;
    if (log->count == 0) {
        sl_memory_free(log->chunks);
        log->chunks = NULL;
        log->first = 0;
        return;
    }
    memmove(log->chunks, log->chunks + gone, (chunks - gone) * sizeof(struct sl_extent *));
    if (chunks - gone == 1)
        shorten(log);
    size_t slots = chunk_slots_of(log->first + log->count);
    log->chunks = sl_memory_grow(log->chunks, slots * sizeof(struct sl_extent *));
}

size_t sl_log_append(struct sl_log *log, struct sl_slab *slab, struct sl_payload *payload)
{
    SL_ASSERT(payload->bytes.size > 0);
    SL_ASSERT(payload->bytes.size <= UINT32_MAX - payload->lengths.size);
    SL_ASSERT(payload->count > 0);
    size_t before = sl_log_memory(log);
    uint64_t end = sl_log_end(log);
    make_room(log);
    struct sl_place place = sl_slab_store(slab, payload);
    log->count++;
    *sli_log_extent(log, log->count - 1) = (struct sl_extent){
        .start = end,
        .block = place.block,
        .at = place.at,
        .size = (uint32_t)payload->bytes.size,
        .count = payload->count,
        .lengths_size = (uint32_t)payload->lengths.size,
    };
    return sl_log_memory(log) - before;
}

void sl_log_compact(struct sl_log *log, struct sl_slab *slab)
{
    for (uint32_t i = 0; i < log->count; i++) {
        struct sl_extent *extent = sli_log_extent(log, i);
        if (!sl_slab_is_sparse(slab, extent->block))
            continue;
        const uint8_t *stored = sl_block_data(extent->block) + extent->at;
        struct sl_payload payload = {
            .bytes = sl_bytes(stored, extent->size),
            .lengths = sl_bytes(stored + extent->size, extent->lengths_size),
        };
        struct sl_place place = sl_slab_store(slab, &payload);
        sl_slab_drop(&extent->block, stored_size(extent));
        extent->block = place.block;
        extent->at = place.at;
    }
}

/* The extent that holds `position`; count when it is the end. */
uint32_t sli_log_find(const struct sl_log *log, uint64_t position)
{
    uint32_t low = 0, high = log->count;
    if (high > 0 &&
        position >= sli_log_extent(log, high - 1)->start) /* readers are mostly at the tail */
        return position < sli_extent_end(sli_log_extent(log, high - 1)) ? high - 1 : high;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (sli_extent_end(sli_log_extent(log, middle)) <= position)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uint32_t index_count(uint32_t messages)
{
    return messages == 0 ? 0 : (messages - 1) / SL_MESSAGES_PER_INDEX_ENTRY;
}

void sl_lengths_add_index(struct sl_buffer *lengths, uint32_t count)
{
    size_t size = lengths->size;
    struct index_entry entry = { 0, 0 };
    for (uint32_t i = 1; i <= index_count(count) * SL_MESSAGES_PER_INDEX_ENTRY; i++) {
        uint64_t length;
        size_t used =
            sl_varint_read(lengths->data + entry.lengths_at, size - entry.lengths_at, &length);
        SL_ASSERT(used > 0);
        entry.payload_at += (uint32_t)length;
        entry.lengths_at += (uint32_t)used;
        if (i % SL_MESSAGES_PER_INDEX_ENTRY == 0)
            sl_buffer_append(lengths, &entry, sizeof(entry));
    }
}

bool sl_lengths_are_valid(struct sl_bytes lengths, uint32_t count, size_t size)
{
    size_t index_size = index_count(count) * sizeof(struct index_entry), at = 0;
    struct index_entry entry = { 0, 0 };
    if (count <= 1 || index_size > lengths.size)
        return count == 1 && lengths.size == 0 && size > 0;
    struct sl_bytes index = sl_bytes_from(lengths, lengths.size - index_size);
    lengths.size -= index_size;
    for (uint32_t i = 1; i <= count; i++) {
        uint64_t length;
        size_t used = sl_varint_read(lengths.data + entry.lengths_at,
                                     lengths.size - entry.lengths_at, &length);
        if (used == 0 || length == 0 || length > size - entry.payload_at)
            return false;
        entry.payload_at += (uint32_t)length;
        entry.lengths_at += (uint32_t)used;
        if (i % SL_MESSAGES_PER_INDEX_ENTRY > 0 || at == index_size)
            continue;
        if (memcmp(index.data + at, &entry, sizeof(entry)) != 0)
            return false;
        at += sizeof(entry);
    }
    return entry.payload_at == size && entry.lengths_at == lengths.size;
}

static const uint8_t *lengths_of(const struct sl_extent *extent)
{
    return sl_block_data(extent->block) + extent->at + extent->size;
}

/* The boundary that entry `n` of the index names; the first one of the extent for n == -1. */
static struct sli_mark mark_of_entry(const struct sl_extent *extent, int64_t n)
{
    struct index_entry entry = { 0, 0 };
    if (n >= 0) {
        size_t index_size = index_count(extent->count) * sizeof(entry);
        memcpy(&entry,
               lengths_of(extent) + extent->lengths_size - index_size + (size_t)n * sizeof(entry),
               sizeof(entry));
    }
    return (struct sli_mark){
        .extent = extent,
        .lengths = lengths_of(extent) + entry.lengths_at,
        .at = extent->start + entry.payload_at,
        .index = (uint32_t)(n + 1) * SL_MESSAGES_PER_INDEX_ENTRY,
    };
}

/* False after the last message. */
bool sli_mark_next(struct sli_mark *mark)
{
    const struct sl_extent *extent = mark->extent;
    uint64_t length = extent->size;
    if (mark->index == extent->count)
        return false;
    if (extent->count > 1) {
        const uint8_t *end = lengths_of(extent) + extent->lengths_size;
        size_t used = sl_varint_read(mark->lengths, (size_t)(end - mark->lengths), &length);
        SL_ASSERT(used > 0);
        mark->lengths += used;
    }
    mark->at += length;
    mark->index++;
    return true;
}

/* The boundary at `position`, or the last one before it. */
struct sli_mark sli_mark_before(const struct sl_extent *extent, uint64_t position)
{
    int64_t low = -1, high = (int64_t)index_count(extent->count) - 1;
    while (low < high) {
        int64_t middle = low + (high - low + 1) / 2;
        if (mark_of_entry(extent, middle).at <= position)
            low = middle;
        else
            high = middle - 1;
    }
    struct sli_mark here = mark_of_entry(extent, low), next = here;
    while (next.at < position && sli_mark_next(&next))
        if (next.at <= position)
            here = next;
    return here;
}

/* `count` messages after `from`; false when the extent has not so many. */
static bool mark_after(struct sli_mark *from, uint64_t count)
{
    if (count > from->extent->count - from->index)
        return false;
    uint32_t wanted = from->index + (uint32_t)count;
    int64_t entry = (int64_t)(wanted / SL_MESSAGES_PER_INDEX_ENTRY) - 1;
    if (entry >= (int64_t)index_count(from->extent->count))
        entry = (int64_t)index_count(from->extent->count) - 1;
    if (entry >= 0 && (uint32_t)(entry + 1) * SL_MESSAGES_PER_INDEX_ENTRY > from->index)
        *from = mark_of_entry(from->extent, entry);
    while (from->index < wanted)
        sli_mark_next(from);
    return true;
}

/*
 * End of a JSON page that begins at the boundary `start` in extent `first`: the last boundary up to
 * start + page_size, but at least one message unless it may be empty.
 */
static uint64_t json_page_end(const struct sl_log *log, const struct sl_log_read *read,
                              uint32_t first)
{
    uint64_t wanted = read->start + read->page_size;
    if (wanted >= read->bound)
        return read->bound;
    struct sli_mark last = sli_mark_before(sli_log_extent(log, sli_log_find(log, wanted)), wanted);
    if (last.at > read->start)
        return last.at;
    if (read->may_be_empty)
        return read->start;
    struct sli_mark next = sli_mark_before(sli_log_extent(log, first), read->start);
    bool more = sli_mark_next(&next);
    SL_ASSERT(more);
    return next.at < read->bound ? next.at : read->bound;
}

static void add_slice(struct sl_pieces *pieces, struct sl_block *block, const uint8_t *data,
                      size_t size)
{
    struct sl_bytes *last = pieces->count == 0 ? NULL : &pieces->slices[pieces->count - 1];
    if (last != NULL && pieces->blocks[pieces->count - 1] == block &&
        last->data + last->size == data) {
        last->size += size;
        return;
    }
    SL_ASSERT(pieces->count < SL_READ_SLICES_MAX);
    pieces->slices[pieces->count] = sl_bytes(data, size);
    pieces->blocks[pieces->count] = sl_block_ref(block);
    pieces->count++;
}

struct span {
    const uint8_t *data;
    size_t size;
};

/* What of [start, next) lies in this extent. */
static struct span span_of(const struct sl_extent *extent, uint64_t start, uint64_t next)
{
    uint64_t from = start > extent->start ? start - extent->start : 0;
    uint64_t to = next < sli_extent_end(extent) ? next - extent->start : extent->size;
    return (struct span){ sl_block_data(extent->block) + extent->at + from, to - from };
}

/* Copies [start, next) into one block of its own. */
static void copy_out(const struct sl_log *log, const struct sl_log_read *read, uint32_t first,
                     struct sl_account *account, struct sl_pieces *pieces)
{
    struct sl_block *block = sl_block_create(read->next - read->start, account);
    uint8_t *to = sl_block_data(block);
    for (uint32_t i = first; i < log->count && sli_log_extent(log, i)->start < read->next; i++) {
        struct span span = span_of(sli_log_extent(log, i), read->start, read->next);
        memcpy(to, span.data, span.size);
        to += span.size;
    }
    add_slice(pieces, block, sl_block_data(block), read->next - read->start);
    sl_block_unref(&block);
}

/*
 * By reference if the runs of [start, next) fit into the room that is left; else copied, or cut
 * where the room ends.
 */
static void collect(const struct sl_log *log, struct sl_log_read *read, uint32_t first,
                    struct sl_account *account, struct sl_pieces *pieces)
{
    uint32_t room = SL_READ_SLICES_MAX - pieces->count, runs = 0;
    const uint8_t *end = NULL;
    uint32_t behind = first + SL_EXTENTS_PER_PIECE_MAX;
    if (behind < log->count && sli_log_extent(log, behind)->start < read->next)
        read->next = sli_log_extent(log, behind)->start;
    for (uint32_t i = first; i < log->count && sli_log_extent(log, i)->start < read->next; i++) {
        struct span span = span_of(sli_log_extent(log, i), read->start, read->next);
        runs += span.data != end;
        end = span.data + span.size;
        if (runs > room && read->by_reference) {
            read->next = sli_log_extent(log, i)->start;
            break;
        }
        if (runs > room) {
            if (read->next - read->start > SL_COPY_SIZE_BYTES)
                read->next = read->start + SL_COPY_SIZE_BYTES;
            copy_out(log, read, first, account, pieces);
            return;
        }
    }
    for (uint32_t i = first; i < log->count && sli_log_extent(log, i)->start < read->next; i++) {
        struct span span = span_of(sli_log_extent(log, i), read->start, read->next);
        add_slice(pieces, sli_log_extent(log, i)->block, span.data, span.size);
    }
}

enum sl_err sl_log_read(const struct sl_log *log, struct sl_log_read *read,
                        struct sl_account *account, struct sl_pieces *pieces)
{
    SL_ASSERT(read->start >= log->hot && read->start <= read->bound);
    SL_ASSERT(read->bound <= sl_log_end(log));
    SL_ASSERT(pieces->count < SL_READ_SLICES_MAX);
    uint64_t bound = read->limit != 0 && read->limit < read->bound ? read->limit : read->bound;
    read->next = read->page_end = read->start;
    if (read->start >= bound)
        return SL_OK;
    uint32_t first = sli_log_find(log, read->start);
    if (read->limit != 0) {
        read->page_end = bound;
    } else if (read->json) {
        if (sli_mark_before(sli_log_extent(log, first), read->start).at != read->start)
            return SL_ERR_INVALID_OFFSET;
        read->page_end = json_page_end(log, read, first);
    } else {
        read->page_end =
            bound - read->start > read->page_size ? read->start + read->page_size : bound;
    }
    uint64_t wanted = read->start + read->piece_size;
    read->next = wanted < read->page_end ? wanted : read->page_end;
    if (read->next > read->start)
        collect(log, read, first, account, pieces);
    return SL_OK;
}

void sl_pieces_join(struct sl_pieces *pieces, struct sl_account *account)
{
    size_t size = 0;
    for (uint32_t i = 0; i < pieces->count; i++)
        size += pieces->slices[i].size;
    struct sl_block *block = sl_block_create(size, account);
    uint8_t *to = sl_block_data(block);
    for (uint32_t i = 0; i < pieces->count; i++) {
        memcpy(to, pieces->slices[i].data, pieces->slices[i].size);
        to += pieces->slices[i].size;
    }
    sl_pieces_clear(pieces);
    add_slice(pieces, block, sl_block_data(block), size);
    sl_block_unref(&block);
}

void sl_pieces_clear(struct sl_pieces *pieces)
{
    for (uint32_t i = 0; i < pieces->count; i++)
        sl_block_unref(&pieces->blocks[i]);
    pieces->count = 0;
}

enum sl_err sl_log_resolve(const struct sl_log *log, uint64_t offset, uint64_t sub_offset,
                           uint64_t bound, bool json, uint64_t *position)
{
    SL_ASSERT(offset >= log->hot && offset <= bound);
    *position = offset;
    if (offset == bound)
        return sub_offset == 0 ? SL_OK : SL_ERR_INVALID_FORK_OFFSET;
    const struct sl_extent *extent = sli_log_extent(log, sli_log_find(log, offset));
    uint64_t end = sli_extent_end(extent) < bound ? sli_extent_end(extent) : bound;
    if (!json) {
        if (sub_offset > end - offset)
            return SL_ERR_INVALID_FORK_OFFSET;
        *position = offset + sub_offset;
        return SL_OK;
    }
    struct sli_mark mark = sli_mark_before(extent, offset);
    if (mark.at != offset)
        return SL_ERR_INVALID_FORK_OFFSET;
    if (!mark_after(&mark, sub_offset) || mark.at > end)
        return SL_ERR_INVALID_FORK_OFFSET;
    *position = mark.at;
    return SL_OK;
}
