#include "base/timer_wheel.h"

SL_STATIC_ASSERT(1 << SL_TIMER_WHEEL_DIGIT_BITS == SL_TIMER_WHEEL_SLOTS, "a slot per digit");
SL_STATIC_ASSERT(SL_TIMER_WHEEL_LEVELS *SL_TIMER_WHEEL_DIGIT_BITS >= 64, "no horizon");
SL_STATIC_ASSERT(SL_TIMER_WHEEL_LEVELS <= 32, "one bit per level");

/* So a turn of a shard moves 1,024, which took 0.4 ms at most with 2.7 million in random memory. */
enum { MOVES_PER_FIRING = 4 };

struct slot {
    unsigned level;    /* in `levels` */
    unsigned index;    /* in `slots` */
    uint64_t start_ms; /* no timer of this slot has an earlier deadline */
};

void sl_timer_wheel_init(struct sl_timer_wheel *wheel, uint64_t now_ms)
{
    wheel->now_ms = now_ms;
    wheel->position_ms = now_ms;
    sl_link_init(&wheel->due);
    sl_link_init(&wheel->late);
    sl_link_init(&wheel->moving);
    wheel->levels_occupied = 0;
    for (unsigned level = 0; level < SL_TIMER_WHEEL_LEVELS; level++) {
        wheel->levels[level].occupied = 0;
        for (unsigned index = 0; index < SL_TIMER_WHEEL_SLOTS; index++)
            sl_link_init(&wheel->levels[level].slots[index]);
    }
}

/* Puts a timer that is after the position into the slot of the highest digit that differs. */
static void place(struct sl_timer_wheel *wheel, struct sl_timer *timer)
{
    SL_ASSERT(timer->deadline_ms > wheel->position_ms);
    uint64_t difference = timer->deadline_ms ^ wheel->position_ms;
    unsigned highest_bit = 63 - (unsigned)__builtin_clzll(difference);
    unsigned level = highest_bit / SL_TIMER_WHEEL_DIGIT_BITS;
    uint64_t digits = timer->deadline_ms >> (level * SL_TIMER_WHEEL_DIGIT_BITS);
    unsigned index = (unsigned)digits % SL_TIMER_WHEEL_SLOTS;

    sl_link_append(&wheel->levels[level].slots[index], &timer->link);
    wheel->levels[level].occupied |= UINT64_C(1) << index;
    wheel->levels_occupied |= UINT32_C(1) << level;
}

void sl_timer_set(struct sl_timer_wheel *wheel, struct sl_timer *timer, uint64_t deadline_ms)
{
    sl_timer_clear(timer);
    timer->deadline_ms = deadline_ms;
    if (deadline_ms <= wheel->now_ms)
        sl_link_append(&wheel->late, &timer->link);
    else
        place(wheel, timer);
}

static void drop_bit(struct sl_timer_wheel *wheel, unsigned level, unsigned index)
{
    wheel->levels[level].occupied &= ~(UINT64_C(1) << index);
    if (wheel->levels[level].occupied == 0)
        wheel->levels_occupied &= ~(UINT32_C(1) << level);
}

/*
 * Finds the first slot that holds a timer; false when there is none. Drops the bits of empty slots
 * that it meets: every set raises one bit, which is dropped once, so this stays O(1) per set.
 */
static bool find_first_slot(struct sl_timer_wheel *wheel, struct slot *slot)
{
    while (wheel->levels_occupied != 0) {
        unsigned level = (unsigned)__builtin_ctz(wheel->levels_occupied);
        unsigned index = (unsigned)__builtin_ctzll(wheel->levels[level].occupied);
        if (sl_link_is_empty(&wheel->levels[level].slots[index])) {
            drop_bit(wheel, level, index);
            continue;
        }
        unsigned shift = level * SL_TIMER_WHEEL_DIGIT_BITS;
        /* At the top level the factor is 2^66, which is 0 here: then no digit is above this one. */
        uint64_t below = ((uint64_t)SL_TIMER_WHEEL_SLOTS << shift) - 1;
        slot->level = level;
        slot->index = index;
        slot->start_ms = (wheel->position_ms & ~below) | ((uint64_t)index << shift);
        return true;
    }
    return false;
}

/* Moves the position to the slot; its timers become due, or are to come closer by a level or more. */
static void empty_slot(struct sl_timer_wheel *wheel, const struct slot *slot)
{
    SL_ASSERT(slot->start_ms > wheel->position_ms);
    wheel->position_ms = slot->start_ms;
    drop_bit(wheel, slot->level, slot->index);
    sl_link_splice_back(slot->level == 0 ? &wheel->due : &wheel->moving,
                        &wheel->levels[slot->level].slots[slot->index]);
}

/* Brings a timer of the slot that the position has reached closer. */
static void move(struct sl_timer_wheel *wheel, struct sl_timer *timer)
{
    sl_link_remove(&timer->link);
    if (timer->deadline_ms == wheel->position_ms)
        sl_link_append(&wheel->due, &timer->link);
    else
        place(wheel, timer);
}

size_t sl_timer_wheel_advance(struct sl_timer_wheel *wheel, uint64_t now_ms, size_t max,
                              void (*fire)(void *context, struct sl_timer *timer), void *context)
{
    if (now_ms > wheel->now_ms)
        wheel->now_ms = now_ms;
    sl_link_splice_back(&wheel->due, &wheel->late);

    size_t fired = 0, moved = 0;
    while (fired < max && moved / MOVES_PER_FIRING < max) {
        struct sl_link *link = sl_link_first(&wheel->due);
        if (link != NULL) {
            sl_link_remove(link);
            fired++;
            fire(context, SL_OBJECT(link, struct sl_timer, link));
            continue;
        }
        link = sl_link_first(&wheel->moving);
        if (link != NULL) {
            moved++;
            move(wheel, SL_OBJECT(link, struct sl_timer, link));
            continue;
        }
        struct slot slot;
        if (!find_first_slot(wheel, &slot) || slot.start_ms > wheel->now_ms) {
            wheel->position_ms = wheel->now_ms;
            break;
        }
        empty_slot(wheel, &slot);
    }
    return fired;
}

uint64_t sl_timer_wheel_next(struct sl_timer_wheel *wheel)
{
    if (!sl_link_is_empty(&wheel->due) || !sl_link_is_empty(&wheel->late) ||
        !sl_link_is_empty(&wheel->moving))
        return 0;
    struct slot slot;
    return find_first_slot(wheel, &slot) ? slot.start_ms : UINT64_MAX;
}
