#include "journal/compaction.h"
#include "journal/segment_internal.h"

enum {
    SIZE_FACTOR_MAX = 4,
    SMALL_BYTES = 64 * 1024, /* below it all are of one size: their number is what they cost */
};

/* What was picked so far. */
struct choice {
    struct sl_segment **inputs; /* borrowed: the caller's array */
    unsigned count;
    uint64_t entries;
};

static uint64_t entries_of(const struct sl_segment *segment)
{
    return (uint64_t)segment->entries + segment->tombstones;
}

/* False: it is too much. A segment alone is always taken: nobody else would make it smaller. */
static bool take(struct choice *choice, struct sl_segment *segment)
{
    if (choice->count == SL_COMPACTION_INPUTS_MAX)
        return false;
    if (choice->count > 0 && choice->entries + entries_of(segment) > SL_COMPACTION_ENTRIES_MAX)
        return false;
    choice->inputs[choice->count++] = segment;
    choice->entries += entries_of(segment);
    return true;
}

static struct sl_segment *segment_of(struct sl_link *link)
{
    return SL_OBJECT(link, struct sl_segment, link);
}

/* Everything that was written into it for streams is dead. */
static bool is_dead(const struct sl_segment *segment)
{
    return segment->live_bytes == 0 && segment->live_entries == 0 && !segment->stubborn &&
           (segment->entries > 0 || segment->data_size > segment->entry_bytes);
}

/*
 * More than half of the chunks are dead, or, if it comes from a flush, more than half of
 * everything. A state that is newer elsewhere counts as dead but may have to stay for the sake of
 * its extents, so only the chunks say that to compact a compacted segment again is worth it.
 */
static bool is_half_dead(const struct sl_segment *segment)
{
    uint64_t chunks = segment->data_size - segment->entry_bytes;
    uint64_t live_chunks = segment->live_bytes < chunks ? segment->live_bytes : chunks;
    if (live_chunks < chunks / 2 && (chunks - live_chunks) > segment->size / 8)
        return true;
    if (segment->compacted)
        return false;
    uint64_t tombstones = (uint64_t)segment->tombstones * SLI_TOMBSTONE_BYTES;
    uint64_t entry_bytes =
        segment->entries == 0 ? 0 : (segment->entry_bytes - tombstones) / segment->entries;
    uint64_t live = live_chunks + segment->live_entries * entry_bytes + tombstones +
                    (segment->size - segment->data_size);
    return live < segment->size / 2;
}

static void pick_dead(const struct sl_link *segments, bool wholly, struct choice *choice)
{
    for (struct sl_link *link = segments->next; link != segments; link = link->next) {
        struct sl_segment *segment = segment_of(link);
        if (sl_segment_is_damaged(segment) || is_dead(segment) != wholly)
            continue;
        if ((wholly || is_half_dead(segment)) && !take(choice, segment))
            return;
    }
}

/* The neighbours from `link` on that are of about the same size. */
static void pick_tier(const struct sl_link *segments, struct sl_link *link, struct choice *choice)
{
    uint64_t least = UINT64_MAX, most = 0;
    choice->count = 0;
    choice->entries = 0;
    for (; link != segments; link = link->next) {
        struct sl_segment *segment = segment_of(link);
        uint64_t size = segment->size < SMALL_BYTES ? SMALL_BYTES : segment->size;
        if (size < least)
            least = size;
        if (size > most)
            most = size;
        if (sl_segment_is_damaged(segment) || most / SIZE_FACTOR_MAX > least ||
            !take(choice, segment))
            return;
    }
}

/*
 * There are too many, and each holds a descriptor: those neighbours that cost the fewest bytes for
 * each one less. A few small ones between two large ones would stay for ever else.
 */
static void pick_cheapest(const struct sl_link *segments, struct choice *choice)
{
    uint64_t best = UINT64_MAX;
    unsigned best_count = 0;
    struct sl_link *best_from = NULL;
    for (struct sl_link *from = segments->next; from != segments; from = from->next) {
        uint64_t bytes = 0;
        *choice = (struct choice){ .inputs = choice->inputs };
        for (struct sl_link *link = from; link != segments; link = link->next) {
            struct sl_segment *segment = segment_of(link);
            if (sl_segment_is_damaged(segment) || !take(choice, segment))
                break;
            bytes += segment->size;
            if (choice->count > 1 && bytes / (choice->count - 1) < best) {
                best = bytes / (choice->count - 1);
                best_count = choice->count;
                best_from = from;
            }
        }
    }
    *choice = (struct choice){ .inputs = choice->inputs };
    for (struct sl_link *link = best_from; choice->count < best_count; link = link->next)
        (void)take(choice, segment_of(link));
}

static void pick(const struct sl_link *segments, struct choice *choice)
{
    pick_dead(segments, true, choice);
    pick_dead(segments, false, choice);
    if (choice->count > 0)
        return;
    unsigned count = 0;
    for (struct sl_link *link = segments->next; link != segments; link = link->next) {
        pick_tier(segments, link, choice);
        if (choice->count >= SL_COMPACTION_TIER_MIN)
            return;
        count++;
    }
    choice->count = 0;
    if (count > SL_COMPACTION_SEGMENTS_MAX)
        pick_cheapest(segments, choice);
}

static bool is_input(const struct choice *choice, const struct sl_segment *segment)
{
    for (unsigned i = 0; i < choice->count; i++)
        if (choice->inputs[i] == segment)
            return true;
    return false;
}

/* Of those that were not picked the one with the lowest LSN; NULL: there is none. */
static struct sl_segment *oldest_other(const struct sl_link *segments, const struct choice *choice)
{
    struct sl_segment *oldest = NULL;
    for (struct sl_link *link = segments->next; link != segments; link = link->next) {
        struct sl_segment *segment = segment_of(link);
        if (!is_input(choice, segment) &&
            (oldest == NULL || segment->first_lsn < oldest->first_lsn))
            oldest = segment;
    }
    return oldest;
}

/*
 * The oldest ones, too, as long as they are small beside the tombstones that were picked: these stay
 * as long as something older does, and one small stream that lives for ever would keep them all.
 */
static void add_oldest(const struct sl_link *segments, struct choice *choice)
{
    uint64_t size_max = 0;
    for (unsigned i = 0; i < choice->count; i++)
        size_max += (uint64_t)choice->inputs[i]->tombstones * SLI_TOMBSTONE_BYTES * SIZE_FACTOR_MAX;
    for (;;) {
        struct sl_segment *oldest = oldest_other(segments, choice);
        if (oldest == NULL || sl_segment_is_damaged(oldest) || oldest->size > size_max ||
            !take(choice, oldest))
            return;
        size_max -= oldest->size;
    }
}

unsigned sl_compaction_pick(const struct sl_link *segments,
                            struct sl_segment *inputs[SL_COMPACTION_INPUTS_MAX])
{
    struct choice choice = { .inputs = inputs };
    pick(segments, &choice);
    if (choice.count > 0)
        add_oldest(segments, &choice);
    return choice.count;
}
