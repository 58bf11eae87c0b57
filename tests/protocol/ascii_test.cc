#include "protocol/ascii.h"

#include "protocol/text.h"

#include <gtest/gtest.h>

TEST(Ascii, TrimsSpacesAndTabsAtBothEndsOnly)
{
    EXPECT_EQ(string_of(sl_ascii_trim(Text(" \t a b\t "))), "a b");
    EXPECT_EQ(string_of(sl_ascii_trim(Text("\na\r"))), "\na\r");
    EXPECT_EQ(sl_ascii_trim(Text(" \t ")).size, 0u);
    EXPECT_EQ(sl_ascii_trim(sl_bytes(nullptr, 0)).size, 0u);
}

TEST(Ascii, CutsAtTheFirstMarkAndLeavesNothingWithoutOne)
{
    Text two("a/b/"), none_first("/b");
    struct sl_bytes rest = two;
    EXPECT_EQ(string_of(sl_ascii_cut(&rest, '/')), "a");
    EXPECT_EQ(string_of(rest), "b/");
    EXPECT_EQ(string_of(sl_ascii_cut(&rest, '/')), "b");
    EXPECT_EQ(rest.size, 0u);
    EXPECT_EQ(sl_ascii_cut(&rest, '/').size, 0u);
    rest = none_first;
    EXPECT_EQ(sl_ascii_cut(&rest, '/').size, 0u);
    EXPECT_EQ(string_of(sl_ascii_cut(&rest, '/')), "b");
    rest = sl_bytes(nullptr, 0);
    EXPECT_EQ(sl_ascii_cut(&rest, '/').size, 0u);
    EXPECT_EQ(rest.size, 0u);
}

TEST(Ascii, IgnoresTheCaseOfLettersAndOfNothingElse)
{
    for (int a = 0; a < 256; a++) {
        for (int b = 0; b < 256; b++) {
            bool letters =
                (a >= 'A' && a <= 'Z' && b == a + 32) || (b >= 'A' && b <= 'Z' && a == b + 32);
            uint8_t left = (uint8_t)a, right = (uint8_t)b;
            EXPECT_EQ(sl_ascii_equal_ignore_case(sl_bytes(&left, 1), sl_bytes(&right, 1)),
                      a == b || letters)
                << a << " " << b;
        }
    }
    EXPECT_FALSE(sl_ascii_equal_ignore_case(Text("abc"), Text("abcd")));
    EXPECT_TRUE(sl_ascii_equal_ignore_case(Text("aBc-1"), Text("AbC-1")));
}

TEST(Ascii, KnowsEveryByte)
{
    const std::string digits = "0123456789", hex = "0123456789abcdef";
    for (int byte = 0; byte < 256; byte++) {
        char c = (char)byte, lower = byte >= 'A' && byte <= 'Z' ? (char)(byte + 32) : c;
        bool letter = lower >= 'a' && lower <= 'z';
        bool digit = digits.find(c) != std::string::npos;
        size_t value = hex.find(lower);
        EXPECT_EQ(sl_ascii_is_digit((uint8_t)byte), digit);
        EXPECT_EQ(sl_ascii_is_alphanumeric((uint8_t)byte), digit || letter);
        EXPECT_EQ(sl_ascii_hex_value((uint8_t)byte), value == std::string::npos ? -1 : (int)value);
    }
}

TEST(Ascii, KnowsTokens)
{
    for (const char *text : { "a", "GET", "x-y", "!#$%&'*+-.^_`|~09azAZ" })
        EXPECT_TRUE(sl_ascii_is_token(Text(text))) << text;
    EXPECT_FALSE(sl_ascii_is_token(Text("")));
    for (int byte = 0; byte < 256; byte++) {
        const std::string marks = "!#$%&'*+-.^_`|~";
        uint8_t text[] = { 'a', (uint8_t)byte };
        bool is_mark = marks.find((char)byte) != std::string::npos;
        EXPECT_EQ(sl_ascii_is_token(sl_bytes(text, sizeof text)),
                  is_mark || sl_ascii_is_alphanumeric((uint8_t)byte))
            << byte;
    }
}
