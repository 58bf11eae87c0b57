#include "protocol/stream_name.h"

#include "protocol/text.h"

#include <gtest/gtest.h>

#include <vector>

/* The canonical name, or the code of the error. */
static std::string parse(std::string_view raw)
{
    std::vector<char> out(SL_NAME_SIZE_MAX); /* on the heap, so a sanitizer guards its end */
    size_t size = 77;
    enum sl_err err = sl_stream_name_parse(Text(raw), out.data(), &size);
    if (err == SL_OK)
        return std::string(out.data(), size);
    EXPECT_EQ(size, 0u) << raw;
    return sl_err_code(err);
}

static std::string parse_reference(std::string_view reference, std::string_view root)
{
    std::vector<char> out(SL_NAME_SIZE_MAX);
    size_t size = 77;
    enum sl_err err = sl_stream_name_from_reference(Text(reference), Text(root), out.data(), &size);
    if (err == SL_OK)
        return std::string(out.data(), size);
    EXPECT_EQ(size, 0u) << reference;
    return sl_err_code(err);
}

TEST(StreamName, SpellingsOfOnePathAreOneName)
{
    const struct {
        const char *raw, *name;
    } cases[] = {
        { "a", "a" },
        { "a/b/c", "a/b/c" },
        { "AZaz09-._~", "AZaz09-._~" },
        { "%41%5a%61%7A%30%39%2d%2E%5f%7e", "AZaz09-._~" },
        { "!$&'()*+,;=:@", "!$&'()*+,;=:@" },
        /* an escape of what need not be escaped stays, it may mean something else */
        { "%21%24%26%27%28%29%2a%2b%2c%3b%3d%3a%40", "%21%24%26%27%28%29%2A%2B%2C%3B%3D%3A%40" },
        { "a%2fb", "a%2Fb" },
        { "a%2Fb", "a%2Fb" },
        { "%25", "%25" },
        { "%2525", "%2525" },
        { "%20%3f%23", "%20%3F%23" },
        /* raw bytes that a path may not hold are the same as their escapes */
        { "a b", "a%20b" },
        { "\"<>\\^`{|}[]?#", "%22%3C%3E%5C%5E%60%7B%7C%7D%5B%5D%3F%23" },
        { "%22%3c%3E%5c%5e%60%7b%7c%7d%5b%5d%3f%23", "%22%3C%3E%5C%5E%60%7B%7C%7D%5B%5D%3F%23" },
        { "\xc3\xa4", "%C3%A4" },
        { "%c3%a4", "%C3%A4" },
        { "\xc3%a4", "%C3%A4" },
        { "%C3\xa4", "%C3%A4" },
        { "\xf0\x9f\x98\x80/%f0%9f%98%80", "%F0%9F%98%80/%F0%9F%98%80" },
        /* dots that are not segments of their own */
        { "...", "..." },
        { ".a/a./..a/a../a..b", ".a/a./..a/a../a..b" },
        { "a%2F..", "a%2F.." },
    };
    for (const auto &c : cases) {
        EXPECT_EQ(parse(c.raw), c.name) << c.raw;
        EXPECT_EQ(parse(c.name), c.name) << c.name;
    }
}

TEST(StreamName, RefusesEmptyAndDotSegments)
{
    for (const char *raw : { "",       "/",   "//",     "/a",     "a/",       "a//b", "a/b/",
                             ".",      "..",  "./a",    "../a",   "a/.",      "a/..", "a/./b",
                             "a/../b", "%2e", "%2E%2e", ".%2e/a", "a/%2e./b", "a/%2E" })
        EXPECT_EQ(parse(raw), "INVALID_STREAM_NAME") << raw;
    EXPECT_EQ(parse("") /* no memory at all */, "INVALID_STREAM_NAME");
}

TEST(StreamName, RefusesControlCharacters)
{
    for (int byte = 0; byte < 0x80; byte++) {
        char escape[4];
        snprintf(escape, sizeof(escape), "%%%02x", byte);
        bool control = byte < 0x20 || byte == 0x7f;
        EXPECT_EQ(parse(std::string("a") + escape) == "INVALID_STREAM_NAME", control) << byte;
        EXPECT_EQ(parse(std::string("a") + (char)byte + "b") == "INVALID_STREAM_NAME",
                  control || byte == '%')
            << byte;
    }
}

TEST(StreamName, RefusesBadEscapes)
{
    for (const char *raw : { "%", "a%", "%4", "%4/", "%g1", "%1g", "%%41", "% 41", "%-1", "%+1",
                             "%u0041", "a/%zz/b", "%0x" })
        EXPECT_EQ(parse(raw), "INVALID_STREAM_NAME") << raw;
}

TEST(StreamName, RefusesWhatIsNotUtf8)
{
    for (const char *raw : { "%80",
                             "%c3",
                             "%c3/a4",
                             "%c3x",
                             "%c3%28",
                             "%c0%af",
                             "%c1%81",
                             "%e0%80%af",
                             "%e2%82",
                             "%ed%a0%80",
                             "%f0%80%80%af",
                             "%f4%90%80%80",
                             "%f8%88%80%80%80",
                             "%ff",
                             "%fe",
                             "\x80",
                             "\xff",
                             "\xc3",
                             "a/%e2%82/%ac",
                             "%c3%2Fa" })
        EXPECT_EQ(parse(raw), "INVALID_STREAM_NAME") << raw;
    EXPECT_EQ(parse("%ed%9f%bf%ee%80%80%f4%8f%bf%bf"), "%ED%9F%BF%EE%80%80%F4%8F%BF%BF");
}

TEST(StreamName, ReservesTheFirstSegmentOfControlPaths)
{
    for (const char *raw : { "__ds", "__ds/", "__ds/subscriptions/x", "%5f_ds", "_%5F%64s/a",
                             "__ds//", "__ds/../a", "__ds/%00" })
        EXPECT_EQ(parse(raw), "RESERVED_NAME") << raw;
    EXPECT_EQ(parse("__ds/" + std::string(5000, 'a')), "RESERVED_NAME");
    for (const char *raw :
         { "__dsx", "__ds%2Fa", "__DS", "a/__ds", "x__ds", "__d", "__ds.", "_ds" })
        EXPECT_EQ(parse(raw), raw);
}

TEST(StreamName, LimitsTheSizeOfTheCanonicalForm)
{
    for (size_t size = SL_NAME_SIZE_MAX - 1; size <= SL_NAME_SIZE_MAX + 1; size++) {
        bool fits = size <= SL_NAME_SIZE_MAX;
        std::string plain(size, 'a');
        EXPECT_EQ(parse(plain), fits ? plain : "NAME_TOO_LONG");
        std::string escaped = std::string(size - 3, 'a') + "%2F";
        EXPECT_EQ(parse(escaped), fits ? escaped : "NAME_TOO_LONG");
        EXPECT_EQ(parse(std::string(size - 3, 'a') + "\""),
                  fits ? std::string(size - 3, 'a') + "%22" : "NAME_TOO_LONG");
    }
    std::string longer_raw;
    for (int i = 0; i < SL_NAME_SIZE_MAX; i++)
        longer_raw += "%61";
    EXPECT_EQ(parse(longer_raw), std::string(SL_NAME_SIZE_MAX, 'a'));
    EXPECT_EQ(parse(longer_raw + "%61"), "NAME_TOO_LONG");
    EXPECT_EQ(parse(std::string(1 << 20, 'a')), "NAME_TOO_LONG");
}

TEST(StreamName, TheCanonicalFormIsItsOwnCanonicalForm)
{
    std::mt19937_64 random(5);
    const std::string alphabets[] = { "ab/.%2eE5f_ds", "%0123456789abcdefABCDEF/",
                                      "a\xc3\xa4\xe2\x82\xac%C3A4/ \"" };
    int accepted = 0;
    for (int i = 0; i < 100000; i++) {
        std::string raw = random_text(random, alphabets[i % 3], 16);
        std::string name = parse(raw);
        if (name == "INVALID_STREAM_NAME" || name == "RESERVED_NAME")
            continue;
        accepted++;
        EXPECT_EQ(parse(name), name) << raw;
        for (char c : name)
            EXPECT_TRUE(c > ' ' && c < 0x7f) << raw;
        EXPECT_EQ(name.find("//"), std::string::npos) << raw;
        EXPECT_EQ(("/" + name + "/").find("/../"), std::string::npos) << raw;
    }
    EXPECT_GT(accepted, 1000);
}

TEST(StreamName, AReferenceIsAPathBelowTheRoot)
{
    const struct {
        const char *reference, *name;
    } cases[] = {
        { "/v1/stream/src", "src" },
        { "/v1/stream/a/%62", "a/b" },
        { "/v1/stream/a%3fb", "a%3Fb" },
        { "/v1/stream/v1/stream/a", "v1/stream/a" },
        { "src", "FORK_SOURCE_NOT_FOUND" },
        { "", "FORK_SOURCE_NOT_FOUND" },
        { "/", "FORK_SOURCE_NOT_FOUND" },
        { "/v1/stream", "FORK_SOURCE_NOT_FOUND" },
        { "/v1/streams/src", "FORK_SOURCE_NOT_FOUND" },
        { "/v1/strea/src", "FORK_SOURCE_NOT_FOUND" },
        { "/V1/stream/src", "FORK_SOURCE_NOT_FOUND" },
        { "v1/stream/src", "FORK_SOURCE_NOT_FOUND" },
        { "//v1/stream/src", "FORK_SOURCE_NOT_FOUND" },
        { "http://localhost/v1/stream/src", "FORK_SOURCE_NOT_FOUND" },
        { "/v1/stream/src?", "FORK_SOURCE_NOT_FOUND" },
        { "/v1/stream/src?offset=-1", "FORK_SOURCE_NOT_FOUND" },
        { "/v1/stream/src#top", "FORK_SOURCE_NOT_FOUND" },
        { "/v1/stream/__ds", "FORK_SOURCE_NOT_FOUND" },
        { "/v1/stream/__ds/jwks.json", "FORK_SOURCE_NOT_FOUND" },
        { "/v1/stream/", "INVALID_STREAM_NAME" },
        { "/v1/stream//src", "INVALID_STREAM_NAME" },
        { "/v1/stream/../src", "INVALID_STREAM_NAME" },
        { "/v1/stream/src/", "INVALID_STREAM_NAME" },
        { "/v1/stream/%00", "INVALID_STREAM_NAME" },
        { "/v1/stream/%zz", "INVALID_STREAM_NAME" },
    };
    for (const auto &c : cases)
        EXPECT_EQ(parse_reference(c.reference, "/v1/stream"), c.name) << c.reference;
    std::string name(SL_NAME_SIZE_MAX, 'a');
    EXPECT_EQ(parse_reference("/v1/stream/" + name, "/v1/stream"), name);
    EXPECT_EQ(parse_reference("/v1/stream/" + name + "a", "/v1/stream"), "FORK_SOURCE_NOT_FOUND");
}

TEST(StreamName, TheRootMayBeAnything)
{
    EXPECT_EQ(parse_reference("/src", ""), "src");
    EXPECT_EQ(parse_reference("src", ""), "FORK_SOURCE_NOT_FOUND");
    EXPECT_EQ(parse_reference("/x/src", "/x"), "src");
    EXPECT_EQ(parse_reference("/x", "/x"), "FORK_SOURCE_NOT_FOUND");
}
