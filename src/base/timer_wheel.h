/*
 * base/timer_wheel.h - many timers, each set and cleared in O(1)
 *
 * What     A hierarchical wheel with ticks of 1 ms. Timers live in their objects.
 * Why      One shard holds millions of expiring streams; most timers are moved before they fire.
 * Thread   Whoever owns the wheel. Time comes in as an argument, from any clock.
 * Owns     Nothing: a timer is cleared before its object is freed, and the wheel does not move.
 *
 * How      A deadline is read as 11 digits of 6 bits, which is all of 64 bits, so nothing lies
 *          beyond the horizon. A timer waits at the level of the highest digit in which its
 *          deadline differs from the position of the wheel, in the slot of that digit. So every
 *          timer of a level comes before all timers of the levels above it, and the next slot is
 *          the lowest occupied one of the lowest occupied level: two bit scans, no ticking. When
 *          the position reaches a slot, level 0 fires it, and the other levels spread it over the
 *          levels below, a few timers at a time: a slot can hold all that there are.
 *
 * Invariants
 *   (1) A timer never fires before its deadline.
 *   (2) Timers fire in the order of their deadlines, except those that were set late.
 *   (3) An occupied slot has its bit; a bit may outlive the last timer of its slot (a timer that is
 *       cleared does not know its wheel), and is dropped when it is looked at.
 *   (4) position_ms <= now_ms; every slot that has its bit begins after position_ms.
 */
#ifndef SL_BASE_TIMER_WHEEL_H
#define SL_BASE_TIMER_WHEEL_H

#include "base/link.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    SL_TIMER_WHEEL_DIGIT_BITS = 6,
    SL_TIMER_WHEEL_SLOTS = 64,  /* one bit each in a word */
    SL_TIMER_WHEEL_LEVELS = 11, /* 11 digits of 6 bits hold any 64-bit time */
};

struct sl_timer {
    struct sl_link link;  /* in a slot, or among those that are due */
    uint64_t deadline_ms; /* counts while the timer is set */
};

struct sl_timer_level {
    uint64_t occupied;                          /* one bit per slot */
    struct sl_link slots[SL_TIMER_WHEEL_SLOTS]; /* of struct sl_timer */
};

struct sl_timer_wheel {
    uint64_t now_ms;       /* latest time that advance was told */
    uint64_t position_ms;  /* up to here slots are emptied; behind now_ms after `max` was hit */
    struct sl_link due;    /* timers that fire now, in order */
    struct sl_link moving; /* the rest of the slot at the position: to be spread before it moves */
    struct sl_link late;   /* timers set for now_ms or before: they fire at the next advance */
    uint32_t levels_occupied; /* one bit per level that has a bit in `occupied` */
    struct sl_timer_level levels[SL_TIMER_WHEEL_LEVELS];
};

void sl_timer_wheel_init(struct sl_timer_wheel *wheel, uint64_t now_ms);

/* Sets the timer, or moves it; a deadline that has passed fires at the next advance. */
void sl_timer_set(struct sl_timer_wheel *wheel, struct sl_timer *timer, uint64_t deadline_ms);

/*
 * Fires at most `max` timers whose deadline is `now_ms` or before and returns how many; the rest
 * waits for the next call, as it does when a few times `max` timers that fire later had to come
 * closer first. A timer that fires is no longer set. `fire` may set and clear any timer,
 * its own too, and may free its object; what it sets fires in a later call at the earliest. It does
 * not call advance. Time that goes backwards is ignored.
 */
size_t sl_timer_wheel_advance(struct sl_timer_wheel *wheel, uint64_t now_ms, size_t max,
                              void (*fire)(void *context, struct sl_timer *timer), void *context);

/*
 * No timer fires before this time: 0 when the last advance left something to do, or a timer was set
 * that is due already, UINT64_MAX when none is set. It can be earlier than the first deadline; an
 * advance to it brings the next answer closer. It is after the time of the last advance unless that
 * was bounded by its `max`.
 */
uint64_t sl_timer_wheel_next(struct sl_timer_wheel *wheel);

/* A timer that is not set. Once, before anything else. */
static inline void sl_timer_init(struct sl_timer *timer)
{
    sl_link_init(&timer->link);
    timer->deadline_ms = 0;
}

static inline bool sl_timer_is_set(const struct sl_timer *timer)
{
    return sl_link_is_linked(&timer->link);
}

/* Nothing happens when it is not set. */
static inline void sl_timer_clear(struct sl_timer *timer)
{
    sl_link_remove(&timer->link);
}

#ifdef __cplusplus
}
#endif
#endif
