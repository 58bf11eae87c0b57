#include "protocol/number.h"

#include "protocol/text.h"

#include <gtest/gtest.h>

static std::string parsed(std::string_view text, uint64_t max, bool canonical)
{
    uint64_t value = 77;
    bool ok = canonical ? sl_number_parse_canonical(Text(text), max, &value)
                        : sl_number_parse(Text(text), max, &value);
    if (!ok) {
        EXPECT_EQ(value, 0u) << text;
        return "refused";
    }
    return std::to_string(value);
}

TEST(Number, AcceptsDigitsOnly)
{
    EXPECT_EQ(parsed("0", UINT64_MAX, false), "0");
    EXPECT_EQ(parsed("42", UINT64_MAX, false), "42");
    for (const char *text : { "", " ", "+1", "-1", " 1", "1 ", "1.0", "1e3", "0x1", "1a", "a",
                              "1,2", "/", ":", "\xd9\xa1" }) {
        EXPECT_EQ(parsed(text, UINT64_MAX, false), "refused") << text;
        EXPECT_EQ(parsed(text, UINT64_MAX, true), "refused") << text;
    }
    EXPECT_EQ(parsed(std::string_view("1\0", 2), UINT64_MAX, false), "refused");
}

TEST(Number, LeadingZerosAreNotCanonical)
{
    EXPECT_EQ(parsed("00", UINT64_MAX, false), "0");
    EXPECT_EQ(parsed("007", UINT64_MAX, false), "7");
    EXPECT_EQ(parsed(std::string(100, '0') + "7", UINT64_MAX, false), "7");
    EXPECT_EQ(parsed("00", UINT64_MAX, true), "refused");
    EXPECT_EQ(parsed("007", UINT64_MAX, true), "refused");
    EXPECT_EQ(parsed("0", UINT64_MAX, true), "0");
    EXPECT_EQ(parsed("10", UINT64_MAX, true), "10");
}

TEST(Number, RefusesWhatIsAboveTheMaximumOrOverflows)
{
    EXPECT_EQ(parsed("9007199254740990", 9007199254740991, false), "9007199254740990");
    EXPECT_EQ(parsed("9007199254740991", 9007199254740991, false), "9007199254740991");
    EXPECT_EQ(parsed("9007199254740992", 9007199254740991, false), "refused");
    EXPECT_EQ(parsed("18446744073709551614", UINT64_MAX, true), "18446744073709551614");
    EXPECT_EQ(parsed("18446744073709551615", UINT64_MAX, true), "18446744073709551615");
    EXPECT_EQ(parsed("18446744073709551616", UINT64_MAX, true), "refused");
    EXPECT_EQ(parsed("18446744073709551620", UINT64_MAX, true), "refused");
    EXPECT_EQ(parsed("36893488147419103232", UINT64_MAX, true), "refused"); /* wraps to 0 */
    EXPECT_EQ(parsed("99999999999999999999999999", UINT64_MAX, true), "refused");
    EXPECT_EQ(parsed("0", 0, true), "0");
    EXPECT_EQ(parsed("1", 0, true), "refused");
}

TEST(Number, FormatsWhatItParses)
{
    std::mt19937_64 random(1);
    for (int i = 0; i < 20000; i++) {
        uint64_t value = i < 2 ? (uint64_t)0 - (uint64_t)i : random() >> (random() % 64);
        char out[SL_NUMBER_SIZE_MAX];
        std::string text(out, sl_number_format(value, out));
        EXPECT_EQ(text, std::to_string(value));
        EXPECT_EQ(parsed(text, UINT64_MAX, true), text);
    }
}
