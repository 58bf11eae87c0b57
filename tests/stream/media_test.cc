#include "stream/media.h"

#include "sluice/operation.h"
#include "stream/content.h"

#include <gtest/gtest.h>

#include <map>

namespace
{

class Media : public ::testing::Test
{
  protected:
    void TearDown() override
    {
        EXPECT_EQ(set_.table.count, 0u);
        sl_media_set_deinit(&set_);
    }

    sl_media *Use(const std::string &content_type)
    {
        return sl_media_use(&set_, BytesOf(content_type));
    }

    void Release(sl_media *media)
    {
        sl_media_release(&set_, &media);
        EXPECT_EQ(media, nullptr);
    }

    static std::string Text(const sl_media *media)
    {
        return std::string(media->text, media->size);
    }

    sl_media_set set_{};
};

TEST_F(Media, KeepsEachContentTypeOnceAndVerbatim)
{
    sl_media *first = Use("Text/Plain; charset=UTF-8"), *again = Use("Text/Plain; charset=UTF-8");
    EXPECT_EQ(first, again);
    EXPECT_EQ(Text(first), "Text/Plain; charset=UTF-8");
    EXPECT_EQ(set_.table.count, 1u);
    Release(first);
    Release(again);
}

TEST_F(Media, KeepsApartWhatIsSpelledDifferently)
{
    std::vector<sl_media *> used;
    for (const char *text : { "text/plain", "text/plain;", "Text/plain", "text/plain; a=b", "text",
                              "text/plai", "text/plainx" })
        used.push_back(Use(text));
    EXPECT_EQ(set_.table.count, used.size());
    for (sl_media *media : used)
        Release(media);
}

TEST_F(Media, IsFreedWithItsLastUse)
{
    sl_media *media = Use("a/b");
    for (int i = 0; i < 99; i++)
        EXPECT_EQ(Use("a/b"), media);
    for (int i = 0; i < 99; i++)
        Release(media);
    EXPECT_EQ(set_.table.count, 1u);
    EXPECT_EQ(Text(media), "a/b");
    Release(media);
    EXPECT_EQ(set_.table.count, 0u);
    Release(Use("a/b"));
}

TEST_F(Media, KnowsJson)
{
    for (auto [text, json] : std::map<const char *, bool>{
             { "application/json", true },
             { "APPLICATION/JSON", true },
             { "application/json; charset=utf-8", true },
             { "application/json;", true },
             { "application/jsonl", false },
             { "application/json-seq", false },
             { "application/ndjson", false },
             { "application/vnd.x+json", false },
             { "text/plain", false },
             { "application/octet-stream", false },
         }) {
        sl_media *media = Use(text);
        EXPECT_EQ(media->json, json) << text;
        Release(media);
    }
}

TEST_F(Media, MatchesByMediaTypeWithoutParametersAndCase)
{
    sl_media *media = Use("Text/Plain; charset=UTF-8");
    for (auto [text, matches] : std::map<const char *, bool>{
             { "Text/Plain; charset=UTF-8", true },
             { "text/plain", true },
             { "TEXT/PLAIN;charset=latin1", true },
             { " text/plain ", true },
             { "text/plain2", false },
             { "text/plai", false },
             { "text/html; charset=UTF-8", false },
             { "", false },
         })
        EXPECT_EQ(sl_media_matches(media, sl_bytes_of(text)), matches) << text;
    Release(media);
}

TEST_F(Media, HoldsUpToTheMaximum)
{
    for (size_t size : { 1, SL_CONTENT_TYPE_SIZE_MAX - 1, +SL_CONTENT_TYPE_SIZE_MAX }) {
        std::string text(size, 'a');
        sl_media *media = Use(text);
        EXPECT_EQ(Text(media), text);
        EXPECT_TRUE(sl_media_matches(media, BytesOf(text)));
        Release(media);
    }
}

TEST_F(Media, HoldsAsManyAsClientsMakeUp)
{
    std::vector<sl_media *> used;
    for (int i = 0; i < 3000; i++)
        used.push_back(Use("a/" + std::to_string(i % 1500)));
    EXPECT_EQ(set_.table.count, 1500u);
    for (int i = 0; i < 3000; i++) {
        EXPECT_EQ(used[i], used[(i + 1500) % 3000]);
        EXPECT_EQ(Text(used[i]), "a/" + std::to_string(i % 1500));
    }
    for (sl_media *media : used)
        Release(media);
}

TEST_F(Media, TakesFromTheBudgetOncePerText)
{
    sl_account account{};
    sl_media_set_init(&set_, &account);
    sl_media *first = Use("a/b");
    uint64_t short_one = sl_account_bytes(&account);
    EXPECT_GE(short_one, sizeof(sl_media) + 3);
    sl_media *again = Use("a/b");
    EXPECT_EQ(sl_account_bytes(&account), short_one);
    sl_media *longer = Use("a/" + std::string(SL_CONTENT_TYPE_SIZE_MAX - 2, 'b'));
    EXPECT_EQ(sl_account_bytes(&account), 2 * short_one + SL_CONTENT_TYPE_SIZE_MAX - 3);
    Release(longer);
    Release(first);
    EXPECT_EQ(sl_account_bytes(&account), short_one);
    Release(again);
    EXPECT_EQ(sl_account_bytes(&account), 0u);
}

using MediaDeathTest = Media;

TEST_F(MediaDeathTest, RefusesMoreThanTheMaximum)
{
    EXPECT_DEATH(Use(std::string(SL_CONTENT_TYPE_SIZE_MAX + 1, 'a')), "panic");
}

TEST_F(MediaDeathTest, EndsWithNothingInUse)
{
    sl_media *media = Use("a/b");
    EXPECT_DEATH(sl_media_set_deinit(&set_), "panic");
    Release(media);
}

} // namespace
