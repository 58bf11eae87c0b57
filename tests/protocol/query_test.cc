#include "protocol/query.h"

#include "protocol/text.h"

#include <gtest/gtest.h>

static const std::string token = "0000000000000000_0000000000000042";

static struct sl_query parse(std::string_view text)
{
    struct sl_query query;
    memset(&query, 0x5a, sizeof(query));
    sl_query_parse(Text(text), &query);
    return query;
}

static std::string start(const struct sl_query &query)
{
    return string_of(sl_query_start_token(&query));
}

TEST(Query, NothingMeansFromTheStart)
{
    for (const char *text :
         { "", "&", "&&&", "x=1", "=", "=&=", "offse=1&offsett=2&OFFSET=now&Live=sse",
           "%6fffset%00=now", "%zz=1", "offset%=now" }) {
        struct sl_query query = parse(text);
        EXPECT_EQ(query.from, SL_READ_FROM_START) << text;
        EXPECT_EQ(query.live, SL_LIVE_NONE) << text;
        EXPECT_EQ(query.err, SL_OK) << text;
        EXPECT_FALSE(query.has_offset) << text;
        EXPECT_FALSE(query.has_cursor) << text;
        EXPECT_EQ(start(query), "-1") << text;
    }
    struct sl_query query;
    sl_query_parse(sl_bytes(nullptr, 0), &query);
    EXPECT_EQ(query.err, SL_OK);
}

TEST(Query, AcceptsSentinelsAndTokens)
{
    const struct {
        std::string text;
        enum sl_read_from from;
        uint64_t offset;
        std::string start;
    } cases[] = {
        { "offset=-1", SL_READ_FROM_START, 0, "-1" },
        { "offset=%2D1", SL_READ_FROM_START, 0, "-1" },
        { "offset=%2d%31", SL_READ_FROM_START, 0, "-1" },
        { "offset=now", SL_READ_FROM_NOW, 0, "now" },
        { "offset=%6eow", SL_READ_FROM_NOW, 0, "now" },
        { "%6Fffset=now", SL_READ_FROM_NOW, 0, "now" },
        { "offset=" + token, SL_READ_FROM_OFFSET, 42, token },
        { "offset=0000000000000000%5F0000000000000042", SL_READ_FROM_OFFSET, 42, token },
        { "offset=0000000000000001_0000000000000000", SL_READ_FROM_OFFSET, SL_OFFSET_MAX,
          "0000000000000001_0000000000000000" },
        { "a=b&offset=" + token + "&c", SL_READ_FROM_OFFSET, 42, token },
        { "&&offset=now&&", SL_READ_FROM_NOW, 0, "now" },
    };
    for (const auto &c : cases) {
        struct sl_query query = parse(c.text);
        EXPECT_EQ(query.err, SL_OK) << c.text;
        EXPECT_TRUE(query.has_offset) << c.text;
        EXPECT_EQ(query.from, c.from) << c.text;
        EXPECT_EQ(query.offset, c.offset) << c.text;
        EXPECT_EQ(start(query), c.start) << c.text;
    }
}

TEST(Query, RefusesMalformedOffsets)
{
    const std::string values[] = {
        "",
        "a",
        "NOW",
        "Now",
        "nOw",
        "-2",
        "1",
        "0",
        "-1%00",
        "now%0A",
        "-1%0D%0A",
        "-1%20",
        "-1,",
        "now+",
        "+-1",
        "-1=",
        "-1?",
        "0_0",
        "a%2Cb",
        "..",
        "../x",
        "%",
        "%2",
        "%2D1%",
        "%2D1%4",
        "%zz",
        "%2g1",
        "-1%zz",
        "n%6Gw",
        "null",
        "-01",
        "--1",
        "-1#",
        "now;live",
        "%252D1",
        token + "0",
        token.substr(1),
        token + "%00",
        "+" + token,
        std::string(10000, '0'),
    };
    for (const std::string &value : values) {
        for (const std::string &text : { "offset=" + value, "x=y&offset=" + value + "&live=sse" }) {
            struct sl_query query = parse(text);
            EXPECT_EQ(query.err, SL_ERR_INVALID_OFFSET) << text;
            EXPECT_TRUE(query.has_offset) << text;
            EXPECT_EQ(query.from, SL_READ_FROM_START) << text;
            EXPECT_EQ(start(query), "-1") << text;
        }
    }
    EXPECT_EQ(parse("offset").err, SL_ERR_INVALID_OFFSET);
    EXPECT_EQ(parse("offset&live=sse").err, SL_ERR_INVALID_OFFSET);
    EXPECT_EQ(parse(std::string_view("offset=-1\0", 10)).err, SL_ERR_INVALID_OFFSET);
}

TEST(Query, RefusesARepeatedOffset)
{
    for (const std::string &text :
         { std::string("offset=-1&offset=-1"), std::string("offset=now&offset=-1"),
           std::string("offset=-1&x=y&%6Fffset=now"), "offset=" + token + "&offset=" + token,
           std::string("offset=&offset=-1"), "offset=" + token + "&offset=" }) {
        struct sl_query query = parse(text);
        EXPECT_EQ(query.err, SL_ERR_INVALID_OFFSET) << text;
        EXPECT_EQ(query.from, SL_READ_FROM_START) << text;
        EXPECT_EQ(query.offset, 0u) << text;
        EXPECT_EQ(start(query), "-1") << text;
    }
}

TEST(Query, KnowsTwoKindsOfLive)
{
    const struct {
        const char *text;
        enum sl_live_mode live;
    } cases[] = {
        { "live=long-poll", SL_LIVE_LONG_POLL },
        { "live=sse", SL_LIVE_SSE },
        { "live=long%2Dpoll", SL_LIVE_LONG_POLL },
        { "liv%65=sse", SL_LIVE_SSE },
        { "live=", SL_LIVE_NONE },
        { "live", SL_LIVE_NONE },
        { "live=SSE", SL_LIVE_NONE },
        { "live=longpoll", SL_LIVE_NONE },
        { "live=long+poll", SL_LIVE_NONE },
        { "live=true", SL_LIVE_NONE },
        { "live=sse%00", SL_LIVE_NONE },
        { "live=sse%", SL_LIVE_NONE },
        { "live=sse&live=long-poll", SL_LIVE_SSE },
        { "live=&live=long-poll", SL_LIVE_NONE },
    };
    for (const auto &c : cases) {
        struct sl_query after = parse(std::string("offset=now&") + c.text);
        EXPECT_EQ(after.live, c.live) << c.text;
        EXPECT_EQ(after.err, SL_OK) << c.text;
        struct sl_query before = parse(std::string(c.text) + "&offset=now");
        EXPECT_EQ(before.live, c.live) << c.text;
        EXPECT_EQ(before.err, SL_OK) << c.text;
    }
}

TEST(Query, LiveNeedsAnOffset)
{
    EXPECT_EQ(parse("live=long-poll").err, SL_ERR_INVALID_OFFSET);
    EXPECT_EQ(parse("live=sse&cursor=1").err, SL_ERR_INVALID_OFFSET);
    EXPECT_EQ(parse("live=").err, SL_OK);
    EXPECT_EQ(parse("live=other").err, SL_OK);
}

TEST(Query, TakesACursorOfDigits)
{
    const struct {
        const char *value;
        bool has_cursor;
        uint64_t cursor;
    } cases[] = {
        { "0", true, 0 },
        { "1234", true, 1234 },
        { "%31", true, 1 },
        { "007", true, 7 },
        { "9007199254740991", true, 9007199254740991 },
        { "9007199254740992", true, 9007199254740992 },
        { "9007199254740993", false, 0 },
        { "99999999999999999999999999", false, 0 },
        { "", false, 0 },
        { "abc", false, 0 },
        { "-1", false, 0 },
        { "+1", false, 0 },
        { "1.5", false, 0 },
        { "1e3", false, 0 },
        { "1%00", false, 0 },
        { "1%", false, 0 },
        { "1&cursor=2", true, 1 },
        { "x&cursor=2", false, 0 },
    };
    for (const auto &c : cases) {
        struct sl_query query = parse(std::string("cursor=") + c.value);
        EXPECT_EQ(query.has_cursor, c.has_cursor) << c.value;
        EXPECT_EQ(query.cursor, c.cursor) << c.value;
        EXPECT_EQ(query.err, SL_OK) << c.value;
    }
}

TEST(Query, ACopyIsWhole)
{
    struct sl_query copy = {};
    {
        struct sl_query query = parse("offset=" + token);
        copy = query;
        memset(&query, 0, sizeof(query));
    }
    EXPECT_EQ(start(copy), token);
}

TEST(Query, AnyTextGivesAConsistentResult)
{
    std::mt19937_64 random(3);
    const char *pieces[] = { "offset",
                             "live",
                             "cursor",
                             "=",
                             "=",
                             "&",
                             "&",
                             "-1",
                             "now",
                             "sse",
                             "long-poll",
                             "%2D",
                             "%",
                             "%0",
                             "0000000000000000_",
                             "0000000000000042",
                             "+",
                             "1",
                             "\xff" };
    for (int i = 0; i < 50000; i++) {
        std::string text;
        for (uint64_t n = random() % 10; n > 0; n--)
            text += pieces[random() % (sizeof(pieces) / sizeof(pieces[0]))];
        struct sl_query query = parse(text);
        if (query.err != SL_OK || query.from == SL_READ_FROM_START)
            EXPECT_EQ(start(query), "-1") << text;
        else if (query.from == SL_READ_FROM_NOW)
            EXPECT_EQ(start(query), "now") << text;
        else
            EXPECT_EQ(start(query).size(), (size_t)SL_OFFSET_TOKEN_SIZE) << text;
        EXPECT_TRUE(query.live == SL_LIVE_NONE || query.err != SL_OK || query.has_offset) << text;
    }
}
