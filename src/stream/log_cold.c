#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "stream/boundary.h"
#include "stream/log_internal.h"

enum {
    COLD_EXACT_MAX = 4, /* extents up to which the array has exactly the room that it needs */
    COLD_STEPS = 4,     /* in which the room doubles above */
};

SL_STATIC_ASSERT(sizeof(struct sl_cold) == 32, "most of what a flushed stream costs");

/* ---- the array ---- */

static size_t cold_capacity_of(uint32_t count)
{
    if (count <= COLD_EXACT_MAX)
        return count;
    size_t power = (size_t)1 << (31 - __builtin_clz(count)), step = power / COLD_STEPS;
    return (count + step - 1) / step * step;
}

size_t sli_cold_memory(uint32_t count)
{
    return cold_capacity_of(count) * sizeof(struct sl_cold);
}

static uint64_t cold_end(const struct sl_cold *cold)
{
    return cold->start + cold->size;
}

/* The cold extent that holds `position`; cold_count when it is `hot`. */
static uint32_t find_cold(const struct sl_log *log, uint64_t position)
{
    uint32_t low = 0, high = log->cold_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (cold_end(&log->cold[middle]) <= position)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* `count` extents in the place of `removed` ones from `at` on. */
static void splice(struct sl_log *log, uint32_t at, uint32_t removed, const struct sl_cold *cold,
                   uint32_t count)
{
    uint32_t after = log->cold_count - at - removed, total = at + count + after;
    if (total > log->cold_count)
        log->cold = sl_memory_grow(log->cold, sli_cold_memory(total));
    memmove(log->cold + at + count, log->cold + at + removed, after * sizeof(*cold));
    memcpy(log->cold + at, cold, count * sizeof(*cold));
    if (total < log->cold_count)
        log->cold = sl_memory_grow(log->cold, sli_cold_memory(total));
    log->cold_count = total;
}

/* How many of `count` extents, one at least, follow each other without a gap. */
static uint32_t run_of(const struct sl_cold *cold, uint32_t count)
{
    uint32_t run = 1;
    SL_ASSERT(cold[0].size > 0);
    while (run < count && cold[run].start == cold_end(&cold[run - 1])) {
        SL_ASSERT(cold[run].size > 0);
        run++;
    }
    return run;
}

bool sl_log_add_cold(struct sl_log *log, const struct sl_cold *cold)
{
    SL_ASSERT(log->count == 0);
    SL_ASSERT(cold->size > 0);
    if (cold->start != log->hot)
        return false;
    splice(log, log->cold_count, 0, cold, 1);
    log->hot = cold_end(cold);
    return true;
}

int64_t sl_log_make_cold(struct sl_log *log, const struct sl_cold *cold, uint32_t count)
{
    if (count == 0)
        return 0;
    size_t before = sl_log_memory(log);
    uint64_t up_to = cold_end(&cold[count - 1]);
    SL_ASSERT(cold[0].start == log->hot && run_of(cold, count) == count);
    SL_ASSERT(up_to <= sl_log_end(log) && cold[count - 1].ends_message);
    uint32_t gone = sli_log_find(log, up_to);
    if (gone < log->count)
        SL_ASSERT(sli_log_extent(log, gone)->start == up_to);
    sli_log_drop_front(log, gone);
    splice(log, log->cold_count, 0, cold, count);
    log->hot = up_to;
    return (int64_t)sl_log_memory(log) - (int64_t)before;
}

int64_t sl_log_move_cold(struct sl_log *log, const struct sl_cold *cold, uint32_t count)
{
    size_t before = sl_log_memory(log);
    for (uint32_t run; count > 0; cold += run, count -= run) {
        run = run_of(cold, count);
        uint64_t end = cold_end(&cold[run - 1]);
        uint32_t from = find_cold(log, cold[0].start), to = find_cold(log, end);
        SL_ASSERT(from < to && log->cold[from].start == cold[0].start);
        SL_ASSERT(cold_end(&log->cold[to - 1]) == end);
        splice(log, from, to - from, cold, run);
    }
    return (int64_t)sl_log_memory(log) - (int64_t)before;
}

/* ---- reading ---- */

/* End of a JSON page without limit that begins in cold extent `first`, short of bound. */
static uint64_t json_page_end(const struct sl_log *log, const struct sl_log_read *read,
                              uint32_t first)
{
    uint64_t wanted = read->start + read->page_size;
    if (wanted >= log->hot)
        return sli_mark_before(sli_log_extent(log, sli_log_find(log, wanted)), wanted).at;
    for (uint32_t i = find_cold(log, wanted); i > first; i--)
        if (log->cold[i - 1].ends_message)
            return cold_end(&log->cold[i - 1]);
    if (read->may_be_empty)
        return read->start;
    uint32_t i = first;
    while (i < log->cold_count - 1 && !log->cold[i].ends_message)
        i++;
    uint64_t end = cold_end(&log->cold[i]);
    return end < read->bound ? end : read->bound;
}

static uint64_t page_end_of(const struct sl_log *log, const struct sl_log_read *read,
                            uint32_t first)
{
    if (read->limit != 0)
        return read->limit < read->bound ? read->limit : read->bound;
    if (read->bound - read->start <= read->page_size)
        return read->bound;
    return read->json ? json_page_end(log, read, first) : read->start + read->page_size;
}

uint32_t sl_log_plan_cold(const struct sl_log *log, struct sl_log_read *read, struct sl_cold *cold)
{
    SL_ASSERT(read->start >= log->base && read->start < log->hot);
    SL_ASSERT(read->start <= read->bound && read->bound <= sl_log_end(log));
    read->next = read->page_end = read->start;
    if (read->start == read->bound || (read->limit != 0 && read->limit <= read->start))
        return 0;
    uint32_t first = find_cold(log, read->start), count = 0;
    read->page_end = page_end_of(log, read, first);
    uint64_t wanted = read->start + read->piece_size;
    if (wanted > read->page_end)
        wanted = read->page_end;
    while (count < SL_COLD_EXTENTS_PER_READ_MAX && first + count < log->cold_count &&
           read->next < wanted) {
        cold[count] = log->cold[first + count];
        read->next = cold_end(&cold[count++]);
    }
    if (read->next > wanted)
        read->next = wanted;
    return count;
}

/* ---- writing ---- */

/* A chunk being filled. */
struct filling {
    struct sl_buffer *out;       /* borrowed: gets the payload */
    struct sl_buffer boundaries; /* owned */
    uint32_t room;               /* bytes of payload that still fit */
    uint32_t size;               /* bytes of payload */
    bool ends_message;
};

/* The rest of a message, or as much of it as the chunk takes; false: the chunk is full. */
static bool add_message(struct filling *filling, const uint8_t *data, uint64_t size,
                        bool ends_append)
{
    bool cut = size > filling->room;
    if (filling->room == 0 || (cut && filling->size > 0))
        return false;
    struct sl_boundary_piece piece = {
        .size = cut ? filling->room : (uint32_t)size,
        .ends_message = !cut,
        .ends_append = !cut && ends_append,
    };
    sl_buffer_append(filling->out, data, piece.size);
    sl_boundary_add(&filling->boundaries, &piece);
    filling->room -= piece.size;
    filling->size += piece.size;
    filling->ends_message = !cut;
    return !cut;
}

/* What of an append comes at and after `position`; false: the chunk is full. */
static bool add_append(struct filling *filling, const struct sl_extent *extent, uint64_t position,
                       bool json)
{
    const uint8_t *data = sl_block_data(extent->block) + extent->at + (position - extent->start);
    uint64_t end = sli_extent_end(extent);
    if (!json || extent->count == 1)
        return add_message(filling, data, end - position, true);
    struct sli_mark mark = sli_mark_before(extent, position);
    while (sli_mark_next(&mark)) {
        if (!add_message(filling, data, mark.at - position, mark.at == end))
            return false;
        data += mark.at - position;
        position = mark.at;
    }
    return true;
}

uint32_t sl_log_encode_chunk(const struct sl_log *log, uint64_t position, uint64_t up_to,
                             uint32_t payload_max, bool json, struct sl_buffer *out,
                             bool *ends_message)
{
    SL_ASSERT(position >= log->hot && position < up_to && up_to <= sl_log_end(log));
    SL_ASSERT(payload_max > 0);
    struct filling filling = { .out = out, .room = payload_max };
    uint64_t at = position;
    for (uint32_t i = sli_log_find(log, position); at < up_to; i++) {
        const struct sl_extent *extent = sli_log_extent(log, i);
        SL_ASSERT(sli_extent_end(extent) <= up_to);
        if (!add_append(&filling, extent, at, json))
            break;
        at = sli_extent_end(extent);
    }
    sl_buffer_append_bytes(out, sl_buffer_bytes(&filling.boundaries));
    sl_buffer_deinit(&filling.boundaries);
    *ends_message = filling.ends_message;
    return filling.size;
}

bool sl_log_cold_starts_message(const struct sl_log *log, uint64_t start)
{
    uint32_t index = find_cold(log, start);
    SL_ASSERT(index < log->cold_count && log->cold[index].start == start);
    return index == 0 || log->cold[index - 1].ends_message;
}
