#include "support/engine_fixture.h"

#include <set>

using namespace sluice_test;

SL_ENGINE_SUITE(ListTest);

static std::vector<std::string> Numbered(const std::string &prefix, int count)
{
    std::vector<std::string> names;
    for (int i = 0; i < count; i++)
        names.push_back(prefix + std::to_string(i));
    std::sort(names.begin(), names.end());
    return names;
}

TEST_P(ListTest, OfNothingIsEmpty)
{
    EXPECT_TRUE(s().List().empty());
    EXPECT_TRUE(s().List("x").empty());
}

TEST_P(ListTest, GivesEveryNameOnce)
{
    std::vector<std::string> names = Numbered("n", 5000);
    for (const std::string &name : names)
        Make(name);
    EXPECT_EQ(s().List(), names);
}

TEST_P(ListTest, SelectsByPrefix)
{
    for (const char *name : { "a", "a/1", "a/2", "ab", "b/1", "A" })
        Make(name);
    using Names = std::vector<std::string>;
    EXPECT_EQ(s().List("a/"), (Names{ "a/1", "a/2" }));
    EXPECT_EQ(s().List("a"), (Names{ "a", "a/1", "a/2", "ab" }));
    EXPECT_EQ(s().List("a/1"), (Names{ "a/1" }));
    EXPECT_EQ(s().List("a/11"), (Names{}));
    EXPECT_EQ(s().List().size(), 6u);
}

TEST_P(ListTest, TellsWhatIsThereAtTheMoment)
{
    Make("a");
    Make("b", Plain().Ttl(0));
    Make("c", Plain().Closed());
    Make("source");
    Make("fork", ForkOf("source"));
    ASSERT_EQ(s().Delete("source"), SL_OK);
    ASSERT_EQ(s().Delete("a"), SL_OK);
    EXPECT_EQ(s().List(), (std::vector<std::string>{ "c", "fork" }));
}

TEST_P(ListTest, DoesBoundedWorkPerCall)
{
    for (const std::string &name : Numbered("n", 3000))
        Make(name);
    uint64_t cursor = 0;
    int calls = 0;
    do {
        s().ListPage("no such prefix", &cursor);
        ASSERT_LT(++calls, 100000);
    } while (cursor != 0);
    EXPECT_GT(calls, 1);
}

TEST_P(ListTest, GivesOnceWhatStaysWhileStreamsAreCreated)
{
    std::vector<std::string> names = Numbered("stays", 1500);
    for (const std::string &name : names)
        Make(name);
    std::vector<std::string> seen;
    uint64_t cursor = 0;
    int made = 0;
    do {
        std::vector<std::string> page = s().ListPage("stays", &cursor);
        seen.insert(seen.end(), page.begin(), page.end());
        for (int i = 0; i < 300 && made < 20000; i++, made++)
            Make("new" + std::to_string(made));
    } while (cursor != 0);
    std::sort(seen.begin(), seen.end());
    EXPECT_EQ(seen, names);
}

TEST_P(ListTest, GivesAtLeastOnceWhatStaysWhileStreamsAreDeleted)
{
    std::vector<std::string> names = Numbered("stays", 300);
    constexpr int kOthers = 6000;
    for (const std::string &name : names)
        Make(name);
    for (int i = 0; i < kOthers; i++)
        Make("goes" + std::to_string(i));
    std::set<std::string> seen;
    uint64_t cursor = 0;
    int gone = 0;
    do {
        for (const std::string &name : s().ListPage("", &cursor))
            seen.insert(name);
        for (int i = 0; i < 1000 && gone < kOthers; i++, gone++)
            ASSERT_EQ(s().Delete("goes" + std::to_string(gone)), SL_OK);
    } while (cursor != 0);
    for (const std::string &name : names)
        EXPECT_EQ(seen.count(name), 1u) << name;
}
