#include "protocol/cursor.h"

#include "protocol/query.h"

#include <gtest/gtest.h>

static const int64_t epoch_ms = 1728432000000;

TEST(Cursor, CountsIntervalsOfTwentySeconds)
{
    const struct {
        int64_t wall_ms;
        uint64_t cursor;
    } cases[] = {
        { INT64_MIN, 0 },
        { -1, 0 },
        { 0, 0 },
        { epoch_ms - 1, 0 },
        { epoch_ms, 0 },
        { epoch_ms + 19999, 0 },
        { epoch_ms + 20000, 1 },
        { epoch_ms + 39999, 1 },
        { epoch_ms + 40000, 2 },
        { 1767225600000, 1939680 }, /* 2026-01-01: 449 days of 4,320 intervals */
        { INT64_MAX, (uint64_t)(INT64_MAX - epoch_ms) / 20000 },
    };
    for (const auto &c : cases)
        EXPECT_EQ(sl_cursor_next(false, 0, c.wall_ms, 1), c.cursor) << c.wall_ms;
}

TEST(Cursor, AClientThatIsBehindGetsTheCurrentInterval)
{
    EXPECT_EQ(sl_cursor_next(true, 0, epoch_ms + 200000, 5), 10u);
    EXPECT_EQ(sl_cursor_next(true, 9, epoch_ms + 200000, 5), 10u);
    EXPECT_EQ(sl_cursor_next(false, 99, epoch_ms + 200000, 5), 10u);
}

TEST(Cursor, AClientThatIsNotBehindIsMovedOnByOneTo180)
{
    const struct {
        uint64_t random, step;
    } cases[] = {
        { 0, 1 },
        { 18, 1 },
        { 19, 1 },
        { 20, 2 },
        { 39, 2 },
        { 40, 3 },
        { 3579, 179 },
        { 3580, 180 },
        { 3599, 180 },
        { 3600, 1 },
        { UINT64_MAX, 1 + UINT64_MAX % 3600 / 20 },
    };
    for (const auto &c : cases) {
        EXPECT_EQ(sl_cursor_next(true, 10, epoch_ms + 200000, c.random), 10 + c.step) << c.random;
        EXPECT_EQ(sl_cursor_next(true, 11, epoch_ms + 200000, c.random), 11 + c.step) << c.random;
        EXPECT_EQ(sl_cursor_next(true, 0, 0, c.random), c.step) << c.random;
        EXPECT_EQ(sl_cursor_next(true, SL_CURSOR_MAX, epoch_ms, c.random), SL_CURSOR_MAX + c.step);
    }
}

TEST(Cursor, IsStrictlyAboveThatOfTheClient)
{
    for (uint64_t random = 0; random < 3600; random++) {
        uint64_t next = sl_cursor_next(true, 10, epoch_ms + 200000, random);
        EXPECT_GT(next, 10u);
        EXPECT_LE(next, 190u);
    }
}
