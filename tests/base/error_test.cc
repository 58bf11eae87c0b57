#include "sluice/error.h"

#include <cctype>
#include <set>
#include <string>

#include <gtest/gtest.h>

TEST(Error, OkIsZero)
{
    EXPECT_EQ(SL_OK, 0);
    EXPECT_STREQ(sl_err_code(SL_OK), "OK");
}

TEST(Error, CodeIsTheName)
{
    EXPECT_STREQ(sl_err_code(SL_ERR_NOT_FOUND), "NOT_FOUND");
    EXPECT_STREQ(sl_err_text(SL_ERR_NOT_FOUND), "there is no such stream");
    EXPECT_STREQ(sl_err_code(SL_ERR_INVALID_ARGUMENT), "INVALID_ARGUMENT");
    EXPECT_STREQ(sl_err_text(SL_ERR_INVALID_ARGUMENT), "an argument is out of range");
}

TEST(Error, EveryOneHasItsOwnCodeAndASentence)
{
    std::set<std::string> codes;
    for (int err = SL_OK; err < SL_ERR_COUNT; err++) {
        std::string text = sl_err_text(static_cast<sl_err>(err));
        EXPECT_TRUE(codes.insert(sl_err_code(static_cast<sl_err>(err))).second);
        ASSERT_FALSE(text.empty());
        EXPECT_TRUE(islower(text.front())) << text;
        EXPECT_NE(text.back(), '.') << text;
    }
}

TEST(ErrorDeathTest, RefusesWhatIsNotInTheList)
{
    EXPECT_DEATH(sl_err_code(static_cast<sl_err>(SL_ERR_COUNT)), "panic");
    EXPECT_DEATH(sl_err_text(static_cast<sl_err>(-1)), "panic");
}
