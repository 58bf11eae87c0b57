#include "base/clock.h"

#include <ctime>

#include <gtest/gtest.h>

namespace
{

std::string format(int64_t wall_ms)
{
    char text[SL_CLOCK_TEXT_SIZE];
    sl_clock_format_wall(wall_ms, text);
    return text;
}

} // namespace

TEST(Clock, RunningNeverGoesBack)
{
    uint64_t before = sl_clock_running_ns();
    for (int i = 0; i < 10000; i++) {
        uint64_t now = sl_clock_running_ns();
        ASSERT_GE(now, before);
        before = now;
    }
}

TEST(Clock, RunningMsAndNsAreTheSameClock)
{
    uint64_t before = sl_clock_running_ns() / 1000000;
    uint64_t between = sl_clock_running_ms();
    uint64_t after = sl_clock_running_ns() / 1000000;
    EXPECT_LE(before, between);
    EXPECT_LE(between, after);
}

TEST(Clock, RunningBeganTenYearsBeforeTheMachine)
{
    const uint64_t ten_years_ns = 3650ull * 86400 * 1000000000;
    timespec before, after;
    clock_gettime(CLOCK_BOOTTIME, &before);
    uint64_t between = sl_clock_running_ns() - ten_years_ns;
    clock_gettime(CLOCK_BOOTTIME, &after);
    EXPECT_LE(before.tv_sec * 1000000000ull + before.tv_nsec, between);
    EXPECT_LE(between, after.tv_sec * 1000000000ull + after.tv_nsec);
}

TEST(Clock, MonotonicIsTheClockOfTimeouts)
{
    timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    uint64_t between = sl_clock_monotonic_ns();
    clock_gettime(CLOCK_MONOTONIC, &after);
    EXPECT_LE(before.tv_sec * 1000000000ull + before.tv_nsec, between);
    EXPECT_LE(between, after.tv_sec * 1000000000ull + after.tv_nsec);
}

TEST(Clock, WallIsMillisecondsSince1970)
{
    timespec before, after;
    clock_gettime(CLOCK_REALTIME, &before);
    int64_t between = sl_clock_wall_ms();
    clock_gettime(CLOCK_REALTIME, &after);
    EXPECT_LE(before.tv_sec * 1000 + before.tv_nsec / 1000000, between);
    EXPECT_LE(between, after.tv_sec * 1000 + after.tv_nsec / 1000000);
}

TEST(Clock, FormatsTheDate)
{
    EXPECT_EQ(format(0), "1970-01-01T00:00:00.000Z");
    EXPECT_EQ(format(951782399999), "2000-02-28T23:59:59.999Z");
    EXPECT_EQ(format(951782400000), "2000-02-29T00:00:00.000Z");
    EXPECT_EQ(format(951782400007), "2000-02-29T00:00:00.007Z");
    EXPECT_EQ(format(253402300799999), "9999-12-31T23:59:59.999Z");
}

TEST(ClockDeathTest, RefusesDatesThatDoNotFit)
{
    EXPECT_DEATH(format(-1), "panic");
    EXPECT_DEATH(format(253402300800000), "panic");
}
