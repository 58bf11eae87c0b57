#include "support/engine_fixture.h"

using namespace sluice_test;

SL_ENGINE_SUITE(RemoveTest);
SL_ENGINE_SUITE(SoftDeleteTest);

TEST_P(RemoveTest, RemovesTheStream)
{
    Make("a", Plain().Data("abc"));
    EXPECT_EQ(s().Delete("a"), SL_OK);
    EXPECT_EQ(s().Head("a").err, SL_ERR_NOT_FOUND);
    EXPECT_EQ(s().Read("a").err, SL_ERR_NOT_FOUND);
    EXPECT_EQ(s().Append("a", Body("x")).err, SL_ERR_NOT_FOUND);
    EXPECT_EQ(s().Create("b", ForkOf("a")).err, SL_ERR_FORK_SOURCE_NOT_FOUND);
    EXPECT_EQ(s().Delete("a"), SL_ERR_NOT_FOUND);
    EXPECT_TRUE(s().List().empty());
}

TEST_P(RemoveTest, RemovesClosedStreams)
{
    Make("a", Plain().Data("abc").Closed());
    EXPECT_EQ(s().Delete("a"), SL_OK);
    EXPECT_EQ(s().Head("a").err, SL_ERR_NOT_FOUND);
}

TEST_P(RemoveTest, ANewStreamOfTheNameHasNothingOfTheOld)
{
    uint64_t id = Make("a", Json().Data("[1,2]").Closed()).stream.id;
    ASSERT_EQ(s().Delete("a"), SL_OK);
    Reply made = Make("a", Plain().Type("text/plain"));
    EXPECT_NE(made.stream.id, id);
    EXPECT_EQ(made.stream.tail, 0u);
    EXPECT_FALSE(made.stream.closed);
    EXPECT_FALSE(made.stream.json);
    EXPECT_EQ(s().ReadAll("a"), "");
}

TEST_P(RemoveTest, IdsAreNeverUsedAgain)
{
    std::vector<uint64_t> ids;
    for (int i = 0; i < 200; i++) {
        ids.push_back(Make("a").stream.id);
        ids.push_back(Make("b" + std::to_string(i)).stream.id);
        ASSERT_EQ(s().Delete("a"), SL_OK);
    }
    std::sort(ids.begin(), ids.end());
    EXPECT_EQ(std::adjacent_find(ids.begin(), ids.end()), ids.end());
}

TEST_P(SoftDeleteTest, EveryOperationOnTheNameIsRefused)
{
    Make("a", Plain().Type("text/plain").Data("abc"));
    Make("fork", ForkOf("a"));
    EXPECT_EQ(s().Delete("a"), SL_OK);
    EXPECT_EQ(s().Head("a").err, SL_ERR_GONE);
    EXPECT_EQ(s().Read("a").err, SL_ERR_GONE);
    EXPECT_EQ(s().Read("a", FromNow().Wait()).err, SL_ERR_GONE);
    EXPECT_EQ(s().Append("a", Body("x").Type("text/plain")).err, SL_ERR_GONE);
    EXPECT_EQ(s().Append("a", AppendRequest()).err, SL_ERR_GONE);
    EXPECT_EQ(s().Append("a", CloseOnly()).err, SL_ERR_GONE);
    EXPECT_EQ(s().Delete("a"), SL_ERR_GONE);
    EXPECT_EQ(s().Create("a", Plain().Type("text/plain")).err, SL_ERR_PATH_BLOCKED);
    EXPECT_EQ(s().Create("a", Json()).err, SL_ERR_PATH_BLOCKED);
    EXPECT_EQ(s().Create("a", ForkOf("a")).err, SL_ERR_PATH_BLOCKED);
    EXPECT_EQ(s().Create("b", ForkOf("a")).err, SL_ERR_FORK_SOURCE_GONE);
    EXPECT_EQ(s().Head("b").err, SL_ERR_NOT_FOUND);
    EXPECT_EQ(s().List(), std::vector<std::string>{ "fork" });
    EXPECT_EQ(s().ReadAll("fork"), "abc");
}

TEST_P(SoftDeleteTest, ForksStillReadAppendAndFork)
{
    Make("a", Plain().Data("abc"));
    Make("fork", ForkOf("a").At(2));
    ASSERT_EQ(s().Delete("a"), SL_OK);
    EXPECT_EQ(s().Append("fork", Body("X")).err, SL_OK);
    EXPECT_EQ(s().ReadAll("fork"), "abX");
    Make("second", ForkOf("fork").At(1));
    EXPECT_EQ(s().ReadAll("second"), "a");
    Reply again = s().Create("fork", ForkOf("a").At(2));
    EXPECT_EQ(again.err, SL_OK) << "the target is looked at before the source";
    EXPECT_FALSE(again.created);
}

TEST_P(SoftDeleteTest, EndsWithTheLastFork)
{
    Make("a", Plain().Data("abc"));
    Make("one", ForkOf("a"));
    Make("two", ForkOf("a"));
    ASSERT_EQ(s().Delete("a"), SL_OK);
    ASSERT_EQ(s().Delete("one"), SL_OK);
    Sleep_ms(30);
    EXPECT_EQ(s().Head("a").err, SL_ERR_GONE);
    EXPECT_EQ(s().ReadAll("two"), "abc");
    ASSERT_EQ(s().Delete("two"), SL_OK);
    EXPECT_EQ(s().Head("two").err, SL_ERR_NOT_FOUND);
    EXPECT_TRUE(Becomes("a", SL_ERR_NOT_FOUND));
    Make("a", Json());
}

TEST_P(SoftDeleteTest, ALiveSourceJustLosesTheReference)
{
    Make("a", Plain().Data("abc"));
    Make("fork", ForkOf("a"));
    ASSERT_EQ(s().Delete("fork"), SL_OK);
    Sleep_ms(30);
    EXPECT_EQ(s().ReadAll("a"), "abc");
    EXPECT_EQ(s().Delete("a"), SL_OK);
    EXPECT_TRUE(Becomes("a", SL_ERR_NOT_FOUND));
}

TEST_P(SoftDeleteTest, CascadesThroughGenerations)
{
    constexpr int kGenerations = 20;
    Make("g0", Plain().Data("0"));
    std::string all = "0";
    for (int i = 1; i < kGenerations; i++) {
        std::string digit = std::to_string(i % 10);
        Make("g" + std::to_string(i), ForkOf("g" + std::to_string(i - 1)).Data(digit));
        all += digit;
    }
    for (int i = 0; i + 1 < kGenerations; i++)
        ASSERT_EQ(s().Delete("g" + std::to_string(i)), SL_OK);
    for (int i = 0; i + 1 < kGenerations; i++)
        EXPECT_EQ(s().Head("g" + std::to_string(i)).err, SL_ERR_GONE) << i;
    std::string last = "g" + std::to_string(kGenerations - 1);
    EXPECT_EQ(s().ReadAll(last), all);
    EXPECT_TRUE(Eventually([&] { return Status().streams == kGenerations; }));
    ASSERT_EQ(s().Delete(last), SL_OK);
    for (int i = kGenerations - 1; i >= 0; i--)
        ASSERT_TRUE(Becomes("g" + std::to_string(i), SL_ERR_NOT_FOUND)) << i;
    EXPECT_TRUE(Eventually([&] { return Status().streams == 0; }));
}

TEST_P(SoftDeleteTest, ACascadeStopsAtALiveStream)
{
    Make("a", Plain().Data("a"));
    Make("b", ForkOf("a").Data("b"));
    Make("c", ForkOf("b").Data("c"));
    Make("d", ForkOf("c").Data("d"));
    ASSERT_EQ(s().Delete("a"), SL_OK);
    ASSERT_EQ(s().Delete("c"), SL_OK);
    ASSERT_EQ(s().Delete("d"), SL_OK);
    EXPECT_TRUE(Becomes("c", SL_ERR_NOT_FOUND));
    EXPECT_EQ(s().ReadAll("b"), "ab");
    EXPECT_EQ(s().Head("a").err, SL_ERR_GONE);
    ASSERT_EQ(s().Delete("b"), SL_OK);
    EXPECT_TRUE(Becomes("a", SL_ERR_NOT_FOUND));
}

TEST_P(SoftDeleteTest, TheMiddleGoesAndDescendantsStayReadable)
{
    Make("a", Plain().Data("aaa"));
    Make("b", ForkOf("a").Data("bbb"));
    Make("c", ForkOf("b").At(4).Data("ccc"));
    ASSERT_EQ(s().Delete("b"), SL_OK);
    EXPECT_EQ(s().ReadAll("c"), "aaabccc");
    EXPECT_EQ(s().Head("b").err, SL_ERR_GONE);
    EXPECT_EQ(s().ReadAll("a"), "aaa");
    ASSERT_EQ(s().Delete("c"), SL_OK);
    EXPECT_TRUE(Becomes("b", SL_ERR_NOT_FOUND));
    EXPECT_EQ(s().Delete("a"), SL_OK);
    EXPECT_TRUE(Becomes("a", SL_ERR_NOT_FOUND));
}

TEST_P(SoftDeleteTest, AForkOfNothingHoldsItsSourceToo)
{
    Make("a", Plain().Data("abc"));
    Make("fork", ForkOf("a").At(0));
    ASSERT_EQ(s().Delete("a"), SL_OK);
    EXPECT_EQ(s().Head("a").err, SL_ERR_GONE);
    ASSERT_EQ(s().Delete("fork"), SL_OK);
    EXPECT_TRUE(Becomes("a", SL_ERR_NOT_FOUND));
}
