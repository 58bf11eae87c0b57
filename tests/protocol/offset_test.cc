#include "protocol/offset.h"

#include "protocol/text.h"
#include "sluice/operation.h"

#include <gtest/gtest.h>

static std::string format(uint64_t offset)
{
    char out[SL_OFFSET_TOKEN_SIZE];
    sl_offset_format(offset, out);
    return std::string(out, sizeof(out));
}

static const std::string zeros = "0000000000000000";

TEST(Offset, FormatsSixteenDigitsTwice)
{
    EXPECT_EQ(format(0), zeros + "_" + zeros);
    EXPECT_EQ(format(7), zeros + "_0000000000000007");
    EXPECT_EQ(format(99999999), zeros + "_0000000099999999");
    EXPECT_EQ(format(100000000), zeros + "_0000000100000000");
    EXPECT_EQ(format(1234567890123456), zeros + "_1234567890123456");
    EXPECT_EQ(format(SL_OFFSET_MAX), zeros + "_9999999999999999");
}

TEST(OffsetDeathTest, RefusesToFormatWhatTheTokenCannotSay)
{
    EXPECT_DEATH(format(SL_OFFSET_MAX + 1), "SL_OFFSET_MAX");
}

TEST(Offset, ParsesWhatItFormatsAndSortsAlike)
{
    std::mt19937_64 random(2);
    uint64_t last = 0;
    for (int i = 0; i < 20000; i++) {
        uint64_t offset = (random() >> (random() % 64)) % (SL_OFFSET_MAX + 1);
        uint64_t parsed = 1;
        ASSERT_TRUE(sl_offset_parse(Text(format(offset)), &parsed));
        EXPECT_EQ(parsed, offset);
        EXPECT_EQ(format(offset) < format(last), offset < last);
        last = offset;
    }
}

TEST(Offset, AFirstPartOtherThanZeroIsBeyondEverything)
{
    for (const std::string &token :
         { std::string("9999999999999999_9999999999999999"), "0000000000000001_" + zeros,
           std::string("1000000000000000_0000000000000005") }) {
        uint64_t offset = 1;
        EXPECT_TRUE(sl_offset_parse(Text(token), &offset)) << token;
        EXPECT_EQ(offset, SL_OFFSET_MAX) << token;
    }
}

TEST(Offset, RefusesEverythingButTheExactForm)
{
    const std::string malformed[] = {
        "",
        "-1",
        "now",
        "0_0",
        zeros,
        zeros + "_",
        zeros + "_000000000000000",
        zeros + "_00000000000000000",
        "0" + zeros + "_" + zeros,
        "000000000000000_" + zeros + "0",
        zeros + "-" + zeros,
        zeros + zeros + "0",
        zeros + "__" + zeros.substr(1),
        zeros + "_ 00000000000000",
        zeros + "_00000000000000 0",
        zeros + "_+000000000000000",
        zeros + "_-000000000000001",
        zeros + "_000000000000000a",
        zeros + "_000000000000000:",
        zeros + "_000000000000000/",
        "a000000000000000_" + zeros,
        zeros + "_" + zeros + "\n",
        zeros + "_" + zeros + std::string(1, '\0'),
    };
    for (const std::string &token : malformed) {
        uint64_t offset = 1;
        EXPECT_FALSE(sl_offset_parse(Text(token), &offset)) << token;
        EXPECT_EQ(offset, 0u) << token;
    }
}

TEST(Offset, EveryByteOfTheTokenCounts)
{
    const std::string token = format(1234567890123456);
    for (size_t i = 0; i < token.size(); i++) {
        for (int byte = 0; byte < 256; byte++) {
            std::string other = token;
            other[i] = (char)byte;
            bool well_formed = i == 16 ? byte == '_' : byte >= '0' && byte <= '9';
            uint64_t offset;
            EXPECT_EQ(sl_offset_parse(Text(other), &offset), well_formed) << other;
        }
    }
}
