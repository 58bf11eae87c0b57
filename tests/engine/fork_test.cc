#include "base/limits.h"
#include "support/engine_fixture.h"

using namespace sluice_test;

/* Every test runs for several names, so that source and fork are on the same shard and on others.
 */
class ForkTest : public EngineTest
{
  protected:
    void ForNames(const std::function<void(const std::string &)> &test)
    {
        for (const char *prefix : { "1/", "2/", "3/", "4/" }) {
            SCOPED_TRACE(prefix);
            test(prefix);
        }
    }
    /* The source must not be held by anything that is not there. */
    void ExpectNoReference(const std::string &source)
    {
        EXPECT_EQ(s().Delete(source), SL_OK);
        EXPECT_TRUE(Becomes(source, SL_ERR_NOT_FOUND)) << source << " is still held";
    }
};
SL_ENGINE_STORAGES(ForkTest);

TEST_P(ForkTest, InheritsEverythingBeforeTheTail)
{
    ForNames([&](const std::string &p) {
        Make(p + "a", Plain().Data("abc"));
        ASSERT_EQ(s().Append(p + "a", Body("def")).err, SL_OK);
        Reply made = Make(p + "f", ForkOf(p + "a"));
        EXPECT_EQ(made.stream.tail, 6u);
        EXPECT_FALSE(made.stream.closed);
        EXPECT_EQ(s().ReadAll(p + "f"), "abcdef");
        EXPECT_NE(made.stream.id, s().Head(p + "a").stream.id);
    });
}

TEST_P(ForkTest, InheritsEverythingBeforeTheOffset)
{
    Make("a", Plain().Data("abc"));
    ASSERT_EQ(s().Append("a", Body("def")).err, SL_OK);
    for (uint64_t offset = 0; offset <= 6; offset++) {
        std::string name = "f" + std::to_string(offset);
        EXPECT_EQ(Make(name, ForkOf("a").At(offset)).stream.tail, offset);
        EXPECT_EQ(s().ReadAll(name), std::string("abcdef").substr(0, offset));
    }
}

TEST_P(ForkTest, RefusesOffsetsBeyondTheTail)
{
    Make("a", Plain().Data("abc"));
    for (uint64_t offset : { UINT64_C(4), SL_OFFSET_MAX, UINT64_MAX })
        EXPECT_EQ(s().Create("f", ForkOf("a").At(offset)).err, SL_ERR_INVALID_FORK_OFFSET);
    EXPECT_EQ(s().Head("f").err, SL_ERR_NOT_FOUND);
    ExpectNoReference("a");
}

TEST_P(ForkTest, RefusesOffsetsInsideAJsonMessage)
{
    Make("a", Json().Data("[11,22]"));
    for (uint64_t offset : { 1u, 2u, 4u, 5u })
        EXPECT_EQ(s().Create("f", ForkOf("a").At(offset)).err, SL_ERR_INVALID_FORK_OFFSET);
    EXPECT_EQ(s().Create("f", ForkOf("a").At(3)).err, SL_OK);
    EXPECT_EQ(s().ReadAll("f"), "11,");
}

TEST_P(ForkTest, NeedsTheSource)
{
    EXPECT_EQ(s().Create("f", ForkOf("a")).err, SL_ERR_FORK_SOURCE_NOT_FOUND);
    EXPECT_EQ(s().Create("f", ForkOf("f")).err, SL_ERR_FORK_SOURCE_NOT_FOUND);
    EXPECT_EQ(s().Head("f").err, SL_ERR_NOT_FOUND);
    Make("gone", Plain().Ttl(0));
    EXPECT_EQ(s().Create("f", ForkOf("gone")).err, SL_ERR_FORK_SOURCE_NOT_FOUND);
}

TEST_P(ForkTest, GoesItsOwnWay)
{
    ForNames([&](const std::string &p) {
        Make(p + "a", Plain().Data("abc"));
        Make(p + "f", ForkOf(p + "a"));
        ASSERT_EQ(s().Append(p + "a", Body("source")).err, SL_OK);
        Reply own = s().Append(p + "f", Body("own"));
        EXPECT_EQ(own.stream.tail, 6u);
        EXPECT_EQ(s().ReadAll(p + "f"), "abcown");
        EXPECT_EQ(s().ReadAll(p + "a"), "abcsource");
        ASSERT_EQ(s().Append(p + "a", CloseOnly()).err, SL_OK);
        EXPECT_FALSE(s().Head(p + "f").stream.closed);
        Make(p + "g", ForkOf(p + "a"));
        ASSERT_EQ(s().Append(p + "g", CloseOnly()).err, SL_OK);
        EXPECT_TRUE(s().Head(p + "g").stream.closed);
        EXPECT_EQ(s().Append(p + "f", Body("!")).err, SL_OK);
    });
}

TEST_P(ForkTest, StartsOpenFromAClosedSource)
{
    Make("a", Plain().Data("abc").Closed());
    EXPECT_FALSE(Make("f", ForkOf("a")).stream.closed);
    EXPECT_EQ(s().Append("f", Body("d")).err, SL_OK);
    EXPECT_EQ(s().ReadAll("f"), "abcd");
    EXPECT_EQ(s().ReadAll("a"), "abc");
}

TEST_P(ForkTest, MayBeCreatedClosedAndWithData)
{
    ForNames([&](const std::string &p) {
        Make(p + "a", Plain().Data("abc"));
        Reply made = Make(p + "f", ForkOf(p + "a").At(2).Data("XY").Closed());
        EXPECT_EQ(made.stream.tail, 4u);
        EXPECT_TRUE(made.stream.closed);
        EXPECT_EQ(s().ReadAll(p + "f"), "abXY");
        Make(p + "j", Json().Data("[1,2]"));
        EXPECT_EQ(Make(p + "k", ForkOf(p + "j").Data("[3,[4]]")).stream.tail, 10u);
        EXPECT_EQ(s().ReadAll(p + "k"), "1,2,3,[4],");
        EXPECT_EQ(Make(p + "l", ForkOf(p + "j").Data("[]")).stream.tail, 4u);
    });
}

TEST_P(ForkTest, InheritsTheContentType)
{
    Make("a", Plain().Type("Text/Plain; charset=utf-8"));
    EXPECT_STREQ(Make("f", ForkOf("a")).stream.content_type, "Text/Plain; charset=utf-8");
    Make("j", Json());
    EXPECT_TRUE(Make("k", ForkOf("j")).stream.json);
    Make("g", ForkOf("a").Type("text/plain"));
    EXPECT_EQ(s().Create("h", ForkOf("a").Type("text/html")).err, SL_ERR_CONTENT_TYPE_MISMATCH);
    EXPECT_EQ(s().Create("h", ForkOf("a").Type(kBytes)).err, SL_ERR_CONTENT_TYPE_MISMATCH);
    EXPECT_EQ(s().Head("h").err, SL_ERR_NOT_FOUND);
}

TEST_P(ForkTest, RefusedForksLeaveNoReference)
{
    ForNames([&](const std::string &p) {
        std::string a = p + "a", f = p + "f";
        Make(a, Json().Data("[1]"));
        EXPECT_EQ(s().Create(f, ForkOf(a).Type("text/html")).err, SL_ERR_CONTENT_TYPE_MISMATCH);
        EXPECT_EQ(s().Create(f, ForkOf(a).At(99)).err, SL_ERR_INVALID_FORK_OFFSET);
        EXPECT_EQ(s().Create(f, ForkOf(a).At(0).Sub(2)).err, SL_ERR_INVALID_FORK_OFFSET);
        EXPECT_EQ(s().Create(f, ForkOf(a).Data("{")).err, SL_ERR_INVALID_JSON);
        EXPECT_EQ(s().Head(f).err, SL_ERR_NOT_FOUND);
        Make(f, Json());
        EXPECT_EQ(s().Create(f, ForkOf(a)).err, SL_ERR_CONFIG_MISMATCH);
        ExpectNoReference(a);
    });
}

TEST_P(ForkTest, RepeatsTakeNoSecondReference)
{
    ForNames([&](const std::string &p) {
        Make(p + "a", Plain().Data("abc"));
        Make(p + "f", ForkOf(p + "a"));
        for (int i = 0; i < 5; i++) {
            Reply again = s().Create(p + "f", ForkOf(p + "a"));
            EXPECT_EQ(again.err, SL_OK);
            EXPECT_FALSE(again.created);
        }
        ASSERT_EQ(s().Delete(p + "f"), SL_OK);
        ExpectNoReference(p + "a");
    });
}

TEST_P(ForkTest, ARepeatAsksForWhatWasAskedNotForWhatWasInherited)
{
    Make("a", Plain().Type("text/plain").Ttl(1000).Data("abc"));
    Make("f", ForkOf("a"));
    EXPECT_EQ(s().Head("f").stream.ttl_s, 1000u);
    ASSERT_EQ(s().Append("a", Body("def").Type("text/plain")).err, SL_OK);
    Reply again = s().Create("f", ForkOf("a"));
    EXPECT_EQ(again.err, SL_OK) << "the tail at creation is what was asked";
    EXPECT_FALSE(again.created);
    EXPECT_EQ(s().Create("f", ForkOf("a").Ttl(999)).err, SL_ERR_CONFIG_MISMATCH);
    EXPECT_EQ(s().Create("f", ForkOf("a").Type("text/html")).err, SL_ERR_CONFIG_MISMATCH);
    EXPECT_EQ(s().Create("f", Plain().Type("text/plain").Ttl(1000)).err, SL_ERR_CONFIG_MISMATCH);
    EXPECT_EQ(s().Create("f", ForkOf("a").Closed()).err, SL_ERR_CONFIG_MISMATCH);
}

TEST_P(ForkTest, ARepeatComparesSourceAndPoints)
{
    Make("a", Plain().Data("abc"));
    Make("b", Plain().Data("abc"));
    Make("f", ForkOf("a").At(1).Sub(1).Ttl(1000));
    Reply again = s().Create("f", ForkOf("a").At(1).Sub(1).Ttl(1000));
    EXPECT_EQ(again.err, SL_OK);
    EXPECT_FALSE(again.created);
    EXPECT_EQ(again.stream.tail, 2u);
    EXPECT_EQ(s().Create("f", ForkOf("b").At(1).Sub(1).Ttl(1000)).err, SL_ERR_CONFIG_MISMATCH);
    EXPECT_EQ(s().Create("f", ForkOf("a").At(0).Sub(1).Ttl(1000)).err, SL_ERR_CONFIG_MISMATCH);
    EXPECT_EQ(s().Create("f", ForkOf("a").At(1).Sub(2).Ttl(1000)).err, SL_ERR_CONFIG_MISMATCH);
    EXPECT_EQ(s().Create("f", ForkOf("a").At(2).Ttl(1000)).err, SL_ERR_CONFIG_MISMATCH)
        << "the same point, asked in another way";
    EXPECT_EQ(s().Create("f", ForkOf("a").At(1).Sub(1)).err, SL_ERR_CONFIG_MISMATCH);
    EXPECT_EQ(s().Create("f", ForkOf("f").At(1).Sub(1).Ttl(1000)).err, SL_ERR_CONFIG_MISMATCH);
}

TEST_P(ForkTest, ARepeatOfAClosedForkSaysClosed)
{
    Make("a", Plain().Data("abc"));
    Make("f", ForkOf("a"));
    ASSERT_EQ(s().Append("f", CloseOnly()).err, SL_OK);
    EXPECT_EQ(s().Create("f", ForkOf("a")).err, SL_ERR_CONFIG_MISMATCH);
    EXPECT_EQ(s().Create("f", ForkOf("a").Closed()).err, SL_OK);
}

TEST_P(ForkTest, SubOffsetCountsBytesOfTheNextAppend)
{
    ForNames([&](const std::string &p) {
        Make(p + "a", Plain().Data("abc"));
        ASSERT_EQ(s().Append(p + "a", Body("defg")).err, SL_OK);
        for (uint64_t sub = 0; sub <= 4; sub++) {
            std::string name = p + "f" + std::to_string(sub);
            EXPECT_EQ(Make(name, ForkOf(p + "a").At(3).Sub(sub)).stream.tail, 3 + sub);
            EXPECT_EQ(s().ReadAll(name), std::string("abcdefg").substr(0, 3 + sub));
        }
        EXPECT_EQ(s().Create(p + "f", ForkOf(p + "a").At(3).Sub(5)).err,
                  SL_ERR_INVALID_FORK_OFFSET);
        EXPECT_EQ(s().Create(p + "f", ForkOf(p + "a").At(0).Sub(3)).err, SL_OK);
        EXPECT_EQ(s().Create(p + "g", ForkOf(p + "a").At(0).Sub(4)).err, SL_ERR_INVALID_FORK_OFFSET)
            << "across an append";
        EXPECT_EQ(s().Create(p + "g", ForkOf(p + "a").At(0).Sub(UINT64_MAX)).err,
                  SL_ERR_INVALID_FORK_OFFSET);
        EXPECT_EQ(s().Create(p + "g", ForkOf(p + "a").At(5).Sub(UINT64_MAX - 4)).err,
                  SL_ERR_INVALID_FORK_OFFSET);
    });
}

TEST_P(ForkTest, SubOffsetCountsJsonMessagesOfTheNextAppend)
{
    ForNames([&](const std::string &p) {
        Make(p + "a", Json().Data("[1,22,333]"));
        ASSERT_EQ(s().Append(p + "a", JsonBody("[4,5]")).err, SL_OK);
        const uint64_t ends[] = { 0, 2, 5, 9 };
        for (uint64_t sub = 0; sub <= 3; sub++)
            EXPECT_EQ(
                Make(p + "f" + std::to_string(sub), ForkOf(p + "a").At(0).Sub(sub)).stream.tail,
                ends[sub]);
        EXPECT_EQ(s().Create(p + "f", ForkOf(p + "a").At(0).Sub(4)).err, SL_ERR_INVALID_FORK_OFFSET)
            << "across an append";
        EXPECT_EQ(s().Create(p + "f", ForkOf(p + "a").At(2).Sub(3)).err,
                  SL_ERR_INVALID_FORK_OFFSET);
        EXPECT_EQ(Make(p + "f", ForkOf(p + "a").At(2).Sub(1)).stream.tail, 5u);
        EXPECT_EQ(s().ReadAll(p + "f"), "1,22,");
        EXPECT_EQ(Make(p + "g", ForkOf(p + "a").At(9).Sub(1)).stream.tail, 11u);
        EXPECT_EQ(s().ReadAll(p + "g"), "1,22,333,4,");
    });
}

TEST_P(ForkTest, SubOffsetNeedsAnAppendAfterTheOffset)
{
    Make("a", Plain().Data("abc"));
    Make("empty");
    EXPECT_EQ(s().Create("f", ForkOf("a").Sub(1)).err, SL_ERR_INVALID_FORK_OFFSET);
    EXPECT_EQ(s().Create("f", ForkOf("a").At(3).Sub(1)).err, SL_ERR_INVALID_FORK_OFFSET);
    EXPECT_EQ(s().Create("f", ForkOf("empty").At(0).Sub(1)).err, SL_ERR_INVALID_FORK_OFFSET);
    EXPECT_EQ(s().Create("f", ForkOf("empty").Sub(1)).err, SL_ERR_INVALID_FORK_OFFSET);
    ExpectNoReference("a");
    ExpectNoReference("empty");
}

TEST_P(ForkTest, AnchoredInsideAnAppendTheSubOffsetEndsWithIt)
{
    Make("a", Plain().Data("abcdef"));
    ASSERT_EQ(s().Append("a", Body("ghi")).err, SL_OK);
    EXPECT_EQ(Make("f", ForkOf("a").At(2).Sub(4)).stream.tail, 6u);
    EXPECT_EQ(s().Create("g", ForkOf("a").At(2).Sub(5)).err, SL_ERR_INVALID_FORK_OFFSET);
}

TEST_P(ForkTest, TheInheritedPartEndsWithABoundary)
{
    ForNames([&](const std::string &p) {
        Make(p + "a", Plain().Data("hello world"));
        Make(p + "f", ForkOf(p + "a").At(0).Sub(5));
        ASSERT_EQ(s().Append(p + "f", Body("XYZ")).err, SL_OK);
        EXPECT_EQ(s().ReadAll(p + "f"), "helloXYZ");
        Make(p + "g", ForkOf(p + "f").At(0).Sub(5));
        EXPECT_EQ(s().ReadAll(p + "g"), "hello");
        EXPECT_EQ(s().Create(p + "h", ForkOf(p + "f").At(0).Sub(6)).err,
                  SL_ERR_INVALID_FORK_OFFSET);
        Make(p + "h", ForkOf(p + "f").At(5).Sub(2));
        EXPECT_EQ(s().ReadAll(p + "h"), "helloXY");
        Make(p + "i", ForkOf(p + "h").At(0).Sub(3).Data("!"));
        EXPECT_EQ(s().ReadAll(p + "i"), "hel!");
        Make(p + "j", Json().Data("[1,2,3]"));
        Make(p + "k", ForkOf(p + "j").At(0).Sub(2).Data("[8,9]"));
        EXPECT_EQ(s().Create(p + "l", ForkOf(p + "k").At(0).Sub(3)).err,
                  SL_ERR_INVALID_FORK_OFFSET);
        Make(p + "l", ForkOf(p + "k").At(2).Sub(1));
        EXPECT_EQ(s().ReadAll(p + "l"), "1,2,");
        Make(p + "m", ForkOf(p + "k").At(4).Sub(1));
        EXPECT_EQ(s().ReadAll(p + "m"), "1,2,8,");
    });
}

TEST_P(ForkTest, ForksInsideInheritedData)
{
    ForNames([&](const std::string &p) {
        Make(p + "a", Plain().Data("aaaa"));
        Make(p + "b", ForkOf(p + "a").Data("bbbb"));
        Make(p + "c", ForkOf(p + "b").Data("cccc"));
        ASSERT_EQ(s().Append(p + "a", Body("AAAA")).err, SL_OK);
        const std::string all = "aaaabbbbcccc";
        for (uint64_t offset = 0; offset <= all.size(); offset++) {
            std::string name = p + "d" + std::to_string(offset);
            Make(name, ForkOf(p + "c").At(offset).Data("d"));
            EXPECT_EQ(s().ReadAll(name), all.substr(0, offset) + "d");
        }
        EXPECT_EQ(s().Create(p + "x", ForkOf(p + "c").At(1).Sub(4)).err,
                  SL_ERR_INVALID_FORK_OFFSET);
        EXPECT_EQ(Make(p + "x", ForkOf(p + "c").At(1).Sub(3)).stream.tail, 4u);
    });
}

TEST_P(ForkTest, ReadsAcrossTheBoundaryInOneResult)
{
    ForNames([&](const std::string &p) {
        Make(p + "a", Json().Data("[1,2]"));
        Make(p + "b", ForkOf(p + "a").Data("[3]"));
        Make(p + "c", ForkOf(p + "b").Data("[4,5]"));
        ReadReply reply = s().Read(p + "c");
        EXPECT_EQ(reply.err, SL_OK);
        EXPECT_EQ(reply.data, "1,2,3,4,5,");
        EXPECT_EQ(reply.page_end, 10u);
        EXPECT_EQ(s().Read(p + "c", From(2)).data, "2,3,4,5,");
        EXPECT_EQ(s().Read(p + "c", From(2).Page(4)).data, "2,3,");
        EXPECT_EQ(s().Read(p + "c", From(4).Page(3)).data, "3,");
        EXPECT_EQ(s().Read(p + "c", From(1)).err, SL_ERR_INVALID_OFFSET);
        EXPECT_EQ(s().Read(p + "c", From(5)).err, SL_ERR_INVALID_OFFSET);
        Make(p + "d", Plain().Data("abc"));
        Make(p + "e", ForkOf(p + "d").Data("def").Closed());
        reply = s().Read(p + "e", From(1).Page(4));
        EXPECT_EQ(reply.data, "bcde");
        EXPECT_EQ(reply.stream.tail, 6u);
        EXPECT_TRUE(reply.stream.closed);
    });
}

TEST_P(ForkTest, PagesThroughManyAncestors)
{
    std::string all;
    Make("g0", Json().Data("[0]"));
    all = "0,";
    for (int i = 1; i < 30; i++) {
        std::string number(static_cast<size_t>(1 + i % 7), static_cast<char>('1' + i % 9));
        Make("g" + std::to_string(i), ForkOf("g" + std::to_string(i - 1)).Data("[" + number + "]"));
        all += number + ",";
    }
    for (uint32_t page : { 1u, 10u, 50u, 4096u })
        for (uint32_t piece : { 1u, 9u, 4096u })
            EXPECT_EQ(s().ReadAll("g29", page, piece), all) << page << "/" << piece;
}

TEST_P(ForkTest, ReadsLargeInheritedData)
{
    ForNames([&](const std::string &p) {
        std::string all;
        Make(p + "a");
        for (int i = 0; i < 40; i++) {
            std::string data(static_cast<size_t>(20000 + i), static_cast<char>('a' + i % 26));
            ASSERT_EQ(s().Append(p + "a", Body(data)).err, SL_OK);
            all += data;
        }
        Make(p + "f", ForkOf(p + "a").At(700001));
        ASSERT_EQ(s().Append(p + "f", Body("own")).err, SL_OK);
        std::string want = all.substr(0, 700001) + "own";
        EXPECT_TRUE(s().ReadAll(p + "f") == want);
        EXPECT_TRUE(s().ReadAll(p + "f", 100000, 33333) == want);
        const auto all_but_4 = static_cast<uint32_t>(want.size() - 4);
        auto page_end = [&](uint32_t page) {
            return s().Read(p + "f", From(4).Page(page).Piece(90000)).page_end;
        };
        EXPECT_EQ(page_end(all_but_4), want.size());
        EXPECT_EQ(page_end(all_but_4 - 1), 700001u);
        EXPECT_EQ(page_end(100000), 100004u);
        ASSERT_EQ(s().Delete(p + "a"), SL_OK);
        EXPECT_TRUE(s().ReadAll(p + "f") == want);
    });
}

TEST_P(ForkTest, InheritsNoWriterState)
{
    ForNames([&](const std::string &p) {
        Make(p + "a");
        ASSERT_EQ(s().Append(p + "a", Body("x").Producer("p", 5, 0).Seq("9")).err, SL_OK);
        ASSERT_EQ(s().Append(p + "a", CloseOnly().Producer("p", 5, 1)).err, SL_OK);
        Make(p + "f", ForkOf(p + "a"));
        EXPECT_EQ(s().Append(p + "f", Body("y").Producer("p", 5, 1)).err, SL_ERR_SEQUENCE_GAP);
        Reply reply = s().Append(p + "f", Body("y").Producer("p", 0, 0).Seq("1"));
        EXPECT_EQ(reply.err, SL_OK);
        EXPECT_FALSE(reply.duplicate);
        EXPECT_EQ(s().ReadAll(p + "f"), "xy");
    });
}

TEST_P(ForkTest, TakesLifetimesAsTheTableSays)
{
    int64_t later_ms = WallClock_ms() + 1000000, sooner_ms = later_ms - 500000;
    Make("none");
    Make("ttl", Plain().Ttl(1000));
    Make("at", Plain().ExpiresAt(later_ms, "later"));
    for (const char *source : { "none", "ttl", "at" }) {
        std::string name(source);
        Reply nothing = Make(name + "/nothing", ForkOf(source));
        EXPECT_EQ(nothing.stream.has_ttl, name == "ttl");
        EXPECT_EQ(nothing.stream.has_expires_at, name == "at");
        EXPECT_EQ(nothing.stream.ttl_s, name == "ttl" ? 1000u : 0u);
        EXPECT_STREQ(nothing.stream.expires_text, name == "at" ? "later" : "");
        Reply ttl = Make(name + "/ttl", ForkOf(source).Ttl(50));
        EXPECT_TRUE(ttl.stream.has_ttl);
        EXPECT_FALSE(ttl.stream.has_expires_at);
        EXPECT_EQ(ttl.stream.ttl_s, 50u);
        Reply at = Make(name + "/at", ForkOf(source).ExpiresAt(sooner_ms, "sooner"));
        EXPECT_FALSE(at.stream.has_ttl);
        EXPECT_TRUE(at.stream.has_expires_at);
        EXPECT_STREQ(at.stream.expires_text, "sooner");
    }
}

TEST_P(ForkTest, HasALimitOfDepth)
{
    Make("g0", Plain().Data("0"));
    for (int i = 1; i <= SL_FORK_DEPTH_MAX; i++)
        ASSERT_EQ(s().Create("g" + std::to_string(i),
                             ForkOf("g" + std::to_string(i - 1)).Data(std::to_string(i % 10)))
                      .err,
                  SL_OK)
            << i;
    std::string last = "g" + std::to_string(SL_FORK_DEPTH_MAX);
    EXPECT_EQ(s().Create("deeper", ForkOf(last)).err, SL_ERR_FORK_TOO_DEEP);
    /* Only those count whose bytes it would have. */
    for (unsigned at : { 0u, 1u, +SL_FORK_DEPTH_MAX + 0u }) {
        Make("early", ForkOf(last).At(at));
        EXPECT_EQ(s().Delete("early"), SL_OK);
    }
    EXPECT_EQ(s().Create("deeper", ForkOf(last).At(SL_FORK_DEPTH_MAX + 1)).err,
              SL_ERR_FORK_TOO_DEEP);
    EXPECT_EQ(s().Create("deeper", ForkOf(last).At(SL_FORK_DEPTH_MAX + 2)).err,
              SL_ERR_INVALID_FORK_OFFSET);
    EXPECT_EQ(s().Head("deeper").err, SL_ERR_NOT_FOUND);
    EXPECT_EQ(s().ReadAll(last).size(), static_cast<size_t>(SL_FORK_DEPTH_MAX) + 1);
    Make("beside", ForkOf("g" + std::to_string(SL_FORK_DEPTH_MAX - 1)));
    ExpectNoReference(last);
}

TEST_P(ForkTest, CreationRacesWithTheDeleteOfTheSource)
{
    Session other(engine());
    for (int i = 0; i < 200; i++) {
        std::string source = "a" + std::to_string(i), fork = "f" + std::to_string(i);
        Make(source, Plain().Data("abc"));
        enum sl_err err = SL_OK;
        std::thread forker([&] { err = other.Create(fork, ForkOf(source)).err; });
        EXPECT_EQ(s().Delete(source), SL_OK);
        forker.join();
        if (err == SL_OK) {
            EXPECT_EQ(s().ReadAll(fork), "abc");
            EXPECT_EQ(s().Head(source).err, SL_ERR_GONE);
            EXPECT_EQ(s().Delete(fork), SL_OK);
        } else {
            EXPECT_TRUE(err == SL_ERR_FORK_SOURCE_NOT_FOUND || err == SL_ERR_FORK_SOURCE_GONE)
                << sl_err_code(err);
        }
        ASSERT_TRUE(Becomes(source, SL_ERR_NOT_FOUND));
    }
}

TEST_P(ForkTest, TwoCreationsOfOneForkMakeOne)
{
    Session other(engine());
    for (int i = 0; i < 200; i++) {
        std::string source = "a" + std::to_string(i), fork = "f" + std::to_string(i);
        Make(source, Plain().Data("abc"));
        Reply theirs;
        std::thread forker([&] { theirs = other.Create(fork, ForkOf(source)); });
        Reply ours = s().Create(fork, ForkOf(source));
        forker.join();
        EXPECT_EQ(ours.err, SL_OK);
        EXPECT_EQ(theirs.err, SL_OK);
        EXPECT_NE(ours.created, theirs.created);
        EXPECT_EQ(ours.stream.id, theirs.stream.id);
        EXPECT_EQ(s().Delete(fork), SL_OK);
        ExpectNoReference(source);
        ASSERT_FALSE(HasFailure()) << i;
    }
}
