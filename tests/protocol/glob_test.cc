#include "protocol/glob.h"

#include "protocol/stream_name.h"
#include "protocol/text.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

/* "yes", "no", or the code of the error. The name is one that a client sends. */
static std::string match(std::string_view pattern, std::string_view name)
{
    struct sl_glob *glob = nullptr;
    std::vector<char> canonical(SL_NAME_SIZE_MAX);
    size_t size = 0;
    enum sl_err err = sl_glob_create(Text(pattern), &glob);
    EXPECT_EQ(err == SL_OK, glob != nullptr);
    if (err != SL_OK)
        return sl_err_code(err);
    EXPECT_EQ(sl_stream_name_parse(Text(name), canonical.data(), &size), SL_OK) << name;
    bool matches = sl_glob_matches(glob, Text(std::string_view(canonical.data(), size)));
    sl_glob_destroy(&glob);
    EXPECT_EQ(glob, nullptr);
    return matches ? "yes" : "no";
}

static std::string repeat(std::string_view text, size_t count)
{
    std::string all;
    for (size_t i = 0; i < count; i++)
        all += text;
    return all;
}

TEST(Glob, MatchesSegmentBySegment)
{
    static const struct {
        const char *pattern, *name, *expected;
    } cases[] = {
        { "a", "a", "yes" },
        { "a", "b", "no" },
        { "a", "A", "no" },
        { "a", "ab", "no" },
        { "ab", "a", "no" },
        { "a/b", "a/b", "yes" },
        { "a/b", "a", "no" },
        { "a", "a/b", "no" },
        { "*", "a", "yes" },
        { "*", "a/b", "no" },
        { "*/*", "a/b", "yes" },
        { "*/*", "a", "no" },
        { "events/*", "events", "no" },
        { "events/*", "events/a", "yes" },
        { "events/*", "events/a/b", "no" },
        { "events/*", "other/a", "no" },
        { "events/*/tail", "events/a/tail", "yes" },
        { "events/*/tail", "events/tail", "no" },
        { "**", "a", "yes" },
        { "**", "a/b/c", "yes" },
        { "events/**", "events", "yes" },
        { "events/**", "events/a/b/c", "yes" },
        { "events/**", "event", "no" },
        { "**/c", "c", "yes" },
        { "**/c", "a/b/c", "yes" },
        { "**/c", "a/b/c/d", "no" },
        { "a/**/d", "a/d", "yes" },
        { "a/**/d", "a/b/c/d", "yes" },
        { "a/**/d", "a/b/c", "no" },
        { "**/**", "a", "yes" },
        { "**/*", "a", "yes" },
        { "*/**", "a", "yes" },
        { "*/**/*", "a", "no" },
        { "*/**/*", "a/b", "yes" },
        { "a/**/b/**/c", "a/b/x/b/y/c", "yes" },
        { "a/**/b/**/c", "a/c/b", "no" },
        { "**/a/*/b/**", "x/a/a/y/b/z", "yes" },
        { "**/a/*/b/**", "x/a/y/z/b", "no" },
    };
    for (const auto &c : cases)
        EXPECT_EQ(match(c.pattern, c.name), c.expected) << c.pattern << " " << c.name;
}

TEST(Glob, AStarWithinASegmentIsLiteral)
{
    EXPECT_EQ(match("a*", "ab"), "no");
    EXPECT_EQ(match("a*", "a*"), "yes");
    EXPECT_EQ(match("***", "a"), "no");
    EXPECT_EQ(match("***", "***"), "yes");
}

TEST(Glob, AnEscapedStarIsLiteral)
{
    EXPECT_EQ(match("%2A", "a"), "no");
    EXPECT_EQ(match("%2A", "*"), "yes");
    EXPECT_EQ(match("%2a%2A", "**"), "yes");
    EXPECT_EQ(match("%2a%2A", "a/b"), "no");
    EXPECT_EQ(match("x/a%2Ab", "x/a*b"), "yes");
    EXPECT_EQ(match("x/a%2", "x/a"), "INVALID_STREAM_NAME");
}

TEST(Glob, SlashesAtTheEndsDoNotCount)
{
    EXPECT_EQ(match("/a/*", "a/b"), "yes");
    EXPECT_EQ(match("//a/*//", "a/b"), "yes");
}

TEST(Glob, LiteralsAreComparedInCanonicalForm)
{
    EXPECT_EQ(match("%7Euser/*", "~user/a"), "yes");
    EXPECT_EQ(match("~user/*", "%7euser/a"), "yes");
    EXPECT_EQ(match("a b/*", "a%20b/c"), "yes");
    EXPECT_EQ(match("caf\xc3\xa9", "caf%c3%a9"), "yes");
    EXPECT_EQ(match("a%2Fb", "a/b"), "no");
}

TEST(Glob, RefusesWhatNoNameCanBe)
{
    EXPECT_EQ(match("", "a"), "INVALID_STREAM_NAME");
    EXPECT_EQ(match("///", "a"), "INVALID_STREAM_NAME");
    EXPECT_EQ(match("a//b", "a"), "INVALID_STREAM_NAME");
    EXPECT_EQ(match("../*", "a"), "INVALID_STREAM_NAME");
    EXPECT_EQ(match("a/%00", "a"), "INVALID_STREAM_NAME");
    EXPECT_EQ(match("a/\xff", "a"), "INVALID_STREAM_NAME");
    EXPECT_EQ(match("__ds/*", "a"), "RESERVED_NAME");
    EXPECT_EQ(match("a/__ds/*", "a/__ds/b"), "yes");
}

TEST(Glob, BoundsTheNumberOfSegments)
{
    const size_t max = SL_GLOB_SEGMENTS_MAX;
    EXPECT_EQ(match(repeat("*/", max - 1), repeat("a/", max - 2) + "a"), "yes");
    EXPECT_EQ(match(repeat("*/", max), repeat("a/", max - 1) + "a"), "yes");
    EXPECT_EQ(match(repeat("*/", max + 1), "a"), "NAME_TOO_LONG");
    /* Many `**` in a row are one segment. */
    EXPECT_EQ(match(repeat("**/", max + 1), "a"), "yes");
}

TEST(Glob, BoundsTheLength)
{
    EXPECT_EQ(match(std::string(SL_NAME_SIZE_MAX - 1, 'a'), "a"), "no");
    EXPECT_EQ(match(std::string(SL_NAME_SIZE_MAX, 'a'), std::string(SL_NAME_SIZE_MAX, 'a')), "yes");
    EXPECT_EQ(match(std::string(SL_NAME_SIZE_MAX + 1, 'a'), "a"), "NAME_TOO_LONG");
}

/* What a pattern means, word for word. */
static bool means(const std::vector<std::string> &pattern, size_t i,
                  const std::vector<std::string> &name, size_t j)
{
    if (i == pattern.size())
        return j == name.size();
    if (pattern[i] == "**")
        return means(pattern, i + 1, name, j) ||
               (j < name.size() && means(pattern, i, name, j + 1));
    return j < name.size() && (pattern[i] == "*" || pattern[i] == name[j]) &&
           means(pattern, i + 1, name, j + 1);
}

static std::string join(const std::vector<std::string> &words)
{
    std::string text;
    for (const std::string &word : words)
        text += (text.empty() ? "" : "/") + word;
    return text;
}

TEST(Glob, SaysWhatThePatternMeans)
{
    static const char *const words[] = { "a", "b", "ab", "*", "**" };
    std::minstd_rand random(1);
    size_t matches = 0;
    for (int round = 0; round < 20000; round++) {
        std::vector<std::string> pattern(1 + random() % 6), name(1 + random() % 8);
        for (std::string &word : pattern)
            word = words[random() % 5];
        for (std::string &word : name)
            word = words[random() % 3];
        bool expected = means(pattern, 0, name, 0);
        matches += expected;
        ASSERT_EQ(match(join(pattern), join(name)), expected ? "yes" : "no")
            << join(pattern) << " " << join(name);
    }
    EXPECT_GT(matches, 1000u);
}

/* As many texts as there can be, each at its place and in an order that is not that of texts. */
TEST(Glob, ComparesEachSegmentWithItsOwnText)
{
    std::vector<std::string> words;
    for (unsigned i = 0; i < SL_GLOB_SEGMENTS_MAX; i++)
        words.push_back(std::to_string(i * 37 % SL_GLOB_SEGMENTS_MAX));
    const std::string pattern = join(words);
    EXPECT_EQ(match(pattern, pattern), "yes");
    EXPECT_EQ(match(pattern, pattern + "/0"), "no");
    for (size_t i = 0; i + 1 < words.size(); i++) {
        std::vector<std::string> other = words;
        std::swap(other[i], other[i + 1]);
        EXPECT_EQ(match(pattern, join(other)), "no") << i;
        EXPECT_EQ(match("**/" + words[i] + "/**", pattern), "yes") << i;
    }
}

/* Tried one inside the other, 31 `**` over 512 segments would take longer than the universe. */
TEST(Glob, ManyAnysDoNotBlowUp)
{
    EXPECT_EQ(match(repeat("**/a/", 31) + "b", repeat("a/", 511) + "c"), "no");
    EXPECT_EQ(match(repeat("**/a/", 31) + "**", repeat("a/", 511) + "c"), "yes");
    EXPECT_EQ(match("**/" + repeat("a/", 62) + "b", repeat("a/", 511) + "c"), "no");
    EXPECT_EQ(match("**/" + repeat("a/", 62) + "b", repeat("a/", 511) + "b"), "yes");
    EXPECT_EQ(match(repeat("**/a/*/", 21) + "b", repeat("a/", 511) + "b"), "yes");
}

TEST(Glob, ThePrefixEndsAtTheFirstWildcard)
{
    static const struct {
        const char *pattern, *expected;
    } cases[] = {
        { "a", "a" },
        { "/a/b/", "a/b" },
        { "a/b/*", "a/b" },
        { "a/*/b", "a" },
        { "a/b/**/c/d", "a/b" },
        { "*", "" },
        { "**/a", "" },
        { "*/a/b", "" },
        { "%2A/a%2Ab/*", "*/a*b" },
        { "%7Ea/b*/**", "~a/b*" },
    };
    for (const auto &c : cases) {
        struct sl_glob *glob = nullptr;
        ASSERT_EQ(sl_glob_create(Text(c.pattern), &glob), SL_OK);
        EXPECT_EQ(string_of(sl_glob_prefix(glob)), c.expected) << c.pattern;
        sl_glob_destroy(&glob);
    }
}
