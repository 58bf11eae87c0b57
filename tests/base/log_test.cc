#include "base/log.h"

#include <algorithm>
#include <cctype>
#include <functional>
#include <string>

#include <gtest/gtest.h>

namespace
{

std::string printed(const std::function<void()> &body)
{
    testing::internal::CaptureStderr();
    body();
    return testing::internal::GetCapturedStderr();
}

std::string escaped(const std::string &text, size_t out_size = 100)
{
    std::string out(out_size + 1, '#');
    EXPECT_EQ(sl_log_escaped(out.data(), out_size, sl_bytes(text.data(), text.size())), out.data());
    EXPECT_EQ(out[out_size], '#') << "wrote behind the end";
    return out.c_str();
}

std::string digits_hidden(std::string text)
{
    for (char &c : text)
        c = isdigit(c) ? '0' : c;
    return text;
}

class Log : public ::testing::Test
{
  protected:
    void TearDown() override
    {
        sl_log_set_level(SL_LOG_INFO);
    }
};

} // namespace

TEST_F(Log, PrintsOneLine)
{
    std::string line = printed([] { sl_log(SL_LOG_WARN, "http", "slow", "port=%d", 80); });
    EXPECT_EQ(digits_hidden(line), "0000-00-00T00:00:00.000Z warn http slow port=00\n");
}

TEST_F(Log, NeedsNoKeys)
{
    std::string line = printed([] { sl_log(SL_LOG_INFO, "http", "ready", nullptr); });
    EXPECT_EQ(digits_hidden(line), "0000-00-00T00:00:00.000Z info http ready\n");
}

TEST_F(Log, DropsLinesBelowTheLevel)
{
    auto all = [] {
        sl_log(SL_LOG_DEBUG, "room", "a", "x=%d", 1);
        sl_log(SL_LOG_INFO, "room", "b", "x=%d", 1);
        sl_log(SL_LOG_WARN, "room", "c", "x=%d", 1);
        sl_log(SL_LOG_ERROR, "room", "d", "x=%d", 1);
    };
    auto lines = [&] {
        std::string text = printed(all);
        return std::count(text.begin(), text.end(), '\n');
    };
    EXPECT_EQ(lines(), 3);
    sl_log_set_level(SL_LOG_DEBUG);
    EXPECT_EQ(lines(), 4);
    sl_log_set_level(SL_LOG_ERROR);
    EXPECT_EQ(lines(), 1);
}

TEST_F(Log, CutsLongLines)
{
    size_t head = printed([] { sl_log(SL_LOG_INFO, "r", "e", "%s", ""); }).size();
    for (size_t over : { 0, 1, 2, 5000 }) {
        std::string value(SL_LOG_LINE_SIZE_MAX - head + over, 'v');
        std::string line = printed([&] { sl_log(SL_LOG_INFO, "r", "e", "%s", value.c_str()); });
        ASSERT_EQ(line.size(), static_cast<size_t>(SL_LOG_LINE_SIZE_MAX));
        EXPECT_EQ(line.substr(line.size() - 4), over == 0 ? "vvv\n" : "...\n");
    }
}

TEST_F(Log, EscapesWhatIsNotVisible)
{
    EXPECT_EQ(escaped(""), "");
    EXPECT_EQ(escaped("jobs/7~!"), "jobs/7~!");
    EXPECT_EQ(escaped(std::string("a\0b\n", 4)), "a\\x00b\\x0a");
    EXPECT_EQ(escaped("a b"), "a\\x20b");
    EXPECT_EQ(escaped("\"\\="), "\\x22\\x5c\\x3d");
    EXPECT_EQ(escaped("\x1b\x7f\xff"), "\\x1b\\x7f\\xff");
}

TEST_F(Log, CutsEscapedBytesThatDoNotFit)
{
    EXPECT_EQ(escaped("12345", 6), "12345");
    EXPECT_EQ(escaped("123456", 6), "12...");
    EXPECT_EQ(escaped("1234", 4), "...");
    EXPECT_EQ(escaped("123", 4), "123");
    EXPECT_EQ(escaped("\n\n", 9), "\\x0a\\x0a");
    EXPECT_EQ(escaped("\n\n", 8), "\\x0a...");
    EXPECT_EQ(escaped("\n\n", 7), "...");
    EXPECT_EQ(escaped("1\n", 5), "1...");
}

TEST(LogDeathTest, RefusesAPlaceWithoutRoomForTheEllipsis)
{
    char out[3];
    EXPECT_DEATH(sl_log_escaped(out, sizeof(out), sl_bytes_of("a")), "panic");
}
