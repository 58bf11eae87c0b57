#include "protocol/utf8.h"

#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "protocol/text.h"

namespace
{

bool is_valid(const std::string &text)
{
    return sl_utf8_is_valid(Text(text));
}

size_t whole(const std::string &text)
{
    return sl_utf8_whole(Text(text));
}

/* The bytes of a code point, by the table of RFC 3629; surrogates too, for tests. */
std::string encode(uint32_t point)
{
    auto more = [point](int shift) { return static_cast<char>(0x80 | (point >> shift & 63)); };
    if (point < 0x80)
        return { static_cast<char>(point) };
    if (point < 0x800)
        return { static_cast<char>(0xc0 | point >> 6), more(0) };
    if (point < 0x10000)
        return { static_cast<char>(0xe0 | point >> 12), more(6), more(0) };
    return { static_cast<char>(0xf0 | point >> 18), more(12), more(6), more(0) };
}

/* Decodes and asks whether encoding gives the same bytes back: slow, and without a table. */
bool is_valid_reference(const std::string &text)
{
    size_t at = 0;
    while (at < text.size()) {
        uint8_t lead = static_cast<uint8_t>(text[at]);
        size_t size = lead < 0x80 ? 1 : lead < 0xc0 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
        if (size == 0 || lead >= 0xf8 || text.size() - at < size)
            return false;
        uint32_t point = size == 1 ? lead : lead & (0x7fu >> size);
        for (size_t i = 1; i < size; i++)
            point = point << 6 | (static_cast<uint8_t>(text[at + i]) & 63);
        if (point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff) ||
            encode(point) != text.substr(at, size))
            return false;
        at += size;
    }
    return true;
}

TEST(Utf8, AcceptsEveryCharacterAndRefusesSurrogates)
{
    for (uint32_t point = 0; point <= 0x10ffff; point++) {
        bool surrogate = point >= 0xd800 && point <= 0xdfff;
        ASSERT_EQ(is_valid(encode(point)), !surrogate) << point;
    }
    EXPECT_FALSE(is_valid(encode(0x110000)));
    EXPECT_FALSE(is_valid(encode(0x1fffff)));
}

TEST(Utf8, AcceptsEmptyText)
{
    EXPECT_TRUE(sl_utf8_is_valid(sl_bytes(nullptr, 0)));
    EXPECT_EQ(sl_utf8_whole(sl_bytes(nullptr, 0)), 0u);
}

TEST(Utf8, JudgesEveryPairAndTripleOfBytes)
{
    std::string text(3, '\0');
    for (uint32_t i = 0; i < 1 << 24; i++) {
        text[0] = static_cast<char>(i >> 16);
        text[1] = static_cast<char>(i >> 8);
        text[2] = static_cast<char>(i);
        if (static_cast<uint8_t>(text[0]) < 0x80 && i % 97 != 0)
            continue;
        ASSERT_EQ(is_valid(text), is_valid_reference(text)) << i;
    }
}

TEST(Utf8, RefusesKnownBadForms)
{
    const std::vector<std::string> bad = {
        "\x80",                     /* continuation alone */
        "\xc0\x80",                 /* overlong NUL */
        "\xc1\xbf",                 /* overlong DEL */
        "\xe0\x9f\xbf",             /* overlong U+07FF */
        "\xf0\x8f\xbf\xbf",         /* overlong U+FFFF */
        "\xed\xa0\x80",             /* surrogate */
        "\xed\xbf\xbf",             /* surrogate */
        "\xf4\x90\x80\x80",         /* above U+10FFFF */
        "\xf5\x80\x80\x80",         /* above U+10FFFF */
        "\xf8\x88\x80\x80\x80",     /* five bytes */
        "\xfc\x84\x80\x80\x80\x80", /* six bytes */
        "\xfe",
        "\xff",
        "\xc3",         /* cut */
        "\xe2\x82",     /* cut */
        "\xf0\x9f\x98", /* cut */
    };
    for (const std::string &text : bad) {
        for (size_t before = 0; before < 40; before++) {
            EXPECT_FALSE(is_valid(std::string(before, 'a') + text)) << before;
            EXPECT_FALSE(is_valid(std::string(before, 'a') + text + std::string(20, 'b')));
        }
    }
}

TEST(Utf8, RefusesOtherCharactersInsideACharacter)
{
    for (size_t before = 0; before < 40; before++)
        for (size_t inside = 1; inside < 40; inside++)
            EXPECT_FALSE(
                is_valid(std::string(before, 'a') + "\xc3" + std::string(inside, 'b') + "\xa9"));
}

TEST(Utf8, AcceptsCharactersAtEveryPlace)
{
    for (const char *text : { "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80" }) {
        for (size_t before = 0; before < 40; before++)
            for (size_t after = 0; after < 20; after++)
                EXPECT_TRUE(is_valid(std::string(before, 'a') + text + std::string(after, 'b')));
    }
}

TEST(Utf8, AgreesWithDecodingOnRandomText)
{
    std::mt19937_64 random(2);
    int valid = 0;
    for (int i = 0; i < 100000; i++) {
        std::string text;
        for (size_t n = random() % 30; n > 0; n--)
            text += encode(static_cast<uint32_t>(random() % 0x110000) >> (random() % 21));
        if (random() % 2 == 0 && !text.empty())
            text[random() % text.size()] ^= static_cast<char>(1 << random() % 8);
        ASSERT_EQ(is_valid(text), is_valid_reference(text));
        valid += is_valid(text);
    }
    EXPECT_GT(valid, 1000);
    EXPECT_LT(valid, 99000);
}

TEST(Utf8, CutsOnlyInsideACharacter)
{
    const struct {
        std::string text;
        size_t whole;
    } cases[] = {
        { "", 0 },
        { "a", 1 },
        { "a\xc3", 1 },
        { "a\xc3\xa9", 3 },
        { "\xe2", 0 },
        { "\xe2\x82", 0 },
        { "\xe2\x82\xac", 3 },
        { "ab\xf0", 2 },
        { "ab\xf0\x9f", 2 },
        { "ab\xf0\x9f\x98", 2 },
        { "ab\xf0\x9f\x98\x80", 6 },
        { "\xed\x9f", 0 },
        { "\xf4\x8f\xbf", 0 },
        /* no beginning of a character: nothing to wait for */
        { "a\x80", 2 },
        { "a\x80\x80\x80\x80", 5 },
        { "a\xff", 2 },
        { "a\xc0", 2 },
        { "\xed\xa0", 2 },
        { "\xe0\x80", 2 },
        { "\xf4\x90", 2 },
        { "\xc3\xa9\x80", 3 },
    };
    for (const auto &c : cases)
        EXPECT_EQ(whole(c.text), c.whole) << testing::PrintToString(c.text);
}

TEST(Utf8, EveryPrefixOfValidTextIsCutToValidText)
{
    std::mt19937_64 random(3);
    for (int i = 0; i < 2000; i++) {
        std::string text;
        for (int n = 0; n < 10; n++) {
            uint32_t point = static_cast<uint32_t>(random() % 0x110000) >> (random() % 21);
            text += point >= 0xd800 && point <= 0xdfff ? "x" : encode(point);
        }
        for (size_t size = 0; size <= text.size(); size++) {
            std::string prefix = text.substr(0, size);
            size_t cut = whole(prefix);
            ASSERT_LE(prefix.size() - cut, 3u);
            ASSERT_TRUE(is_valid(prefix.substr(0, cut)));
            ASSERT_TRUE(!is_valid(prefix) || cut == size);
        }
    }
}

} // namespace
