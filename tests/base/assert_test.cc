#include "base/assert.h"

#include <gtest/gtest.h>

#include "base/thread.h"

SL_STATIC_ASSERT(sizeof(int) >= 4, "works in C++");

TEST(Assert, IsSilentWhenTheConditionHolds)
{
    int evaluated = 0;
    SL_ASSERT(++evaluated == 1);
    EXPECT_EQ(evaluated, 1);
}

TEST(AssertDeathTest, PrintsThreadFileLineAndCondition)
{
    EXPECT_DEATH(SL_ASSERT(1 + 1 == 3),
                 "panic: thread main, .*base/assert_test.cc:[0-9]+: 1 \\+ 1 == 3\n");
}

TEST(AssertDeathTest, PrintsTheNameOfTheThread)
{
    auto fail = [] {
        sl_thread *thread = sl_thread_start(
            "unlucky", [](void *) { sl_assert_fail("x", "y", 7); }, nullptr);
        sl_thread_join(&thread);
    };
    EXPECT_DEATH(fail(), "panic: thread unlucky, y:7: x\n");
}

#ifdef SL_DEBUG_CHECKS
TEST(AssertDeathTest, SlowOnesAreCheckedInDebugBuilds)
{
    EXPECT_DEATH(SL_ASSERT_SLOW(false), "panic");
}
#else
TEST(Assert, SlowOnesEvaluateNothingInReleaseBuilds)
{
    int evaluated = 0;
    SL_ASSERT_SLOW(++evaluated == 0);
    EXPECT_EQ(evaluated, 0);
}
#endif
