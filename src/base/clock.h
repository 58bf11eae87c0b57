/*
 * base/clock.h - what time it is
 *
 * What     The running clock never goes back and goes on while the machine sleeps; the wall clock
 *          says the date and can jump.
 * Why      The only file that asks: everywhere else time is an argument, so tests choose it.
 * Thread   Any.
 */
#ifndef SL_BASE_CLOCK_H
#define SL_BASE_CLOCK_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Since ten years before the machine was started, so that what happened before a restart of the
 * machine has an instant too.
 */
uint64_t sl_clock_running_ms(void);
uint64_t sl_clock_running_ns(void);
/* The clock that waits with a timeout go by. */
uint64_t sl_clock_monotonic_ns(void);

/* Since 1970-01-01T00:00:00Z. */
int64_t sl_clock_wall_ms(void);

/* That the threads of the process have had a processor. */
uint64_t sl_clock_processor_ns(void);

enum {
    SL_CLOCK_TEXT_SIZE = 25, /* "2026-01-31T23:59:59.999Z" and its NUL */
};

/* 9999-12-31T23:59:59.999Z */
#define SL_CLOCK_WALL_MS_MAX INT64_C(253402300799999)

/* Writes SL_CLOCK_TEXT_SIZE bytes; `wall_ms` is from 0 to SL_CLOCK_WALL_MS_MAX. */
void sl_clock_format_wall(int64_t wall_ms, char *out);

#ifdef __cplusplus
}
#endif
#endif
