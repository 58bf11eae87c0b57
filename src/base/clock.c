#include "base/clock.h"

#include <stddef.h>
#include <stdio.h>
#include <time.h>

#include "base/assert.h"

#define TEN_YEARS_NS (UINT64_C(3650) * 24 * 3600 * 1000000000)

static struct timespec now(clockid_t clock)
{
    struct timespec time;
    int failed = clock_gettime(clock, &time);
    SL_ASSERT(failed == 0);
    return time;
}

uint64_t sl_clock_running_ms(void)
{
    return sl_clock_running_ns() / 1000000;
}

static uint64_t ns_of(struct timespec time)
{
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

uint64_t sl_clock_running_ns(void)
{
    return TEN_YEARS_NS + ns_of(now(CLOCK_BOOTTIME));
}

uint64_t sl_clock_monotonic_ns(void)
{
    return ns_of(now(CLOCK_MONOTONIC));
}

int64_t sl_clock_wall_ms(void)
{
    struct timespec time = now(CLOCK_REALTIME);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

uint64_t sl_clock_processor_ns(void)
{
    return ns_of(now(CLOCK_PROCESS_CPUTIME_ID));
}

void sl_clock_format_wall(int64_t wall_ms, char *out)
{
    SL_ASSERT(wall_ms >= 0);
    time_t seconds = wall_ms / 1000;
    struct tm date;
    struct tm *filled = gmtime_r(&seconds, &date);
    SL_ASSERT(filled != NULL);
    size_t size = strftime(out, SL_CLOCK_TEXT_SIZE, "%Y-%m-%dT%H:%M:%S", &date);
    SL_ASSERT(size == SL_CLOCK_TEXT_SIZE - sizeof(".000Z"));
    snprintf(out + size, SL_CLOCK_TEXT_SIZE - size, ".%03uZ", (unsigned)(wall_ms % 1000));
}
