#include "support/engine_fixture.h"

using namespace sluice_test;

SL_ENGINE_SUITE(WatchTest);

constexpr int kQuiet_ms = 50; /* long enough to notice a read that does not wait */

TEST_P(WatchTest, AnswersAtOnceWhenThereIsData)
{
    Make("a", Plain().Data("abc"));
    EXPECT_EQ(s().Read("a", From(1).Wait()).data, "bc");
}

TEST_P(WatchTest, WaitsAtTheTailForAnAppend)
{
    Make("a", Plain().Data("abc"));
    for (const ReadRequest &request : { From(3).Wait(), FromNow().Wait() }) {
        uint64_t tail = s().Head("a").stream.tail;
        ReadRequest at_tail = request;
        at_tail.offset = tail;
        auto waiting = s().StartRead("a", at_tail);
        EXPECT_TRUE(waiting->StaysFor(kQuiet_ms));
        ASSERT_EQ(s().Append("a", Body("new")).err, SL_OK);
        ReadReply reply = waiting->Result();
        EXPECT_EQ(reply.err, SL_OK);
        EXPECT_EQ(reply.start, tail);
        EXPECT_EQ(reply.data, "new");
        EXPECT_EQ(reply.stream.tail, tail + 3);
    }
}

TEST_P(WatchTest, WaitsAtTheStartOfAnEmptyStream)
{
    Make("a");
    auto waiting = s().StartRead("a", FromStart().Wait());
    EXPECT_TRUE(waiting->StaysFor(kQuiet_ms));
    ASSERT_EQ(s().Append("a", Body("x")).err, SL_OK);
    EXPECT_EQ(waiting->Result().data, "x");
}

TEST_P(WatchTest, DoesNotWaitBeyondTheTail)
{
    Make("a", Plain().Data("abc"));
    ReadReply reply = s().StartRead("a", From(4).Wait())->Result();
    EXPECT_EQ(reply.err, SL_OK);
    EXPECT_EQ(reply.data, "");
    EXPECT_EQ(reply.next, 3u);
}

TEST_P(WatchTest, DoesNotWaitOnAClosedStream)
{
    Make("a", Plain().Data("abc").Closed());
    for (const ReadRequest &request : { From(3).Wait(), FromNow().Wait(), From(9).Wait() }) {
        ReadReply reply = s().StartRead("a", request)->Result();
        EXPECT_EQ(reply.err, SL_OK);
        EXPECT_EQ(reply.data, "");
        EXPECT_TRUE(reply.stream.closed);
    }
}

TEST_P(WatchTest, EndsWithACloseWithoutData)
{
    Make("a", Plain().Data("abc"));
    auto waiting = s().StartRead("a", From(3).Wait());
    EXPECT_TRUE(waiting->StaysFor(kQuiet_ms));
    ASSERT_EQ(s().Append("a", CloseOnly()).err, SL_OK);
    ReadReply reply = waiting->Result();
    EXPECT_EQ(reply.err, SL_OK);
    EXPECT_EQ(reply.data, "");
    EXPECT_TRUE(reply.stream.closed);
}

TEST_P(WatchTest, SeesTheLastDataAndTheCloseTogether)
{
    for (int i = 0; i < 50; i++) {
        std::string name = "a" + std::to_string(i);
        Make(name);
        auto waiting = s().StartRead(name, FromStart().Wait());
        ASSERT_EQ(s().Append(name, Body("end").Close()).err, SL_OK);
        ReadReply reply = waiting->Result();
        EXPECT_EQ(reply.data, "end");
        EXPECT_TRUE(reply.stream.closed);
    }
}

TEST_P(WatchTest, IsNotReleasedByARefusedAppend)
{
    Make("a", Json());
    auto waiting = s().StartRead("a", FromNow().Wait());
    EXPECT_EQ(s().Append("a", JsonBody("{")).err, SL_ERR_INVALID_JSON);
    EXPECT_EQ(s().Append("a", Body("x")).err, SL_ERR_CONTENT_TYPE_MISMATCH);
    EXPECT_EQ(s().Create("a", Json()).err, SL_OK);
    EXPECT_TRUE(waiting->StaysFor(kQuiet_ms));
}

TEST_P(WatchTest, EndsWithADelete)
{
    Make("a");
    auto waiting = s().StartRead("a", FromNow().Wait());
    ASSERT_EQ(s().Delete("a"), SL_OK);
    EXPECT_EQ(waiting->Result().err, SL_ERR_NOT_FOUND);
}

TEST_P(WatchTest, EndsWithASoftDelete)
{
    Make("a");
    Make("fork", ForkOf("a"));
    auto waiting = s().StartRead("a", FromNow().Wait());
    EXPECT_TRUE(waiting->StaysFor(kQuiet_ms));
    ASSERT_EQ(s().Delete("a"), SL_OK);
    EXPECT_EQ(waiting->Result().err, SL_ERR_GONE);
}

TEST_P(WatchTest, DoesNotPassToTheNextIncarnation)
{
    Make("a");
    auto waiting = s().StartRead("a", FromNow().Wait());
    EXPECT_TRUE(waiting->StaysFor(kQuiet_ms));
    ASSERT_EQ(s().Delete("a"), SL_OK);
    Make("a", Plain().Data("new"));
    EXPECT_EQ(waiting->Result().err, SL_ERR_NOT_FOUND);
}

TEST_P(WatchTest, EndsWithTheExpiry)
{
    Make("a", Plain().ExpiresAt(WallClock_ms() + 300));
    auto waiting = s().StartRead("a", FromNow().Wait());
    EXPECT_EQ(waiting->Result().err, SL_ERR_NOT_FOUND);
    EXPECT_EQ(s().Head("a").err, SL_ERR_NOT_FOUND);
}

TEST_P(WatchTest, EndsWithTheExpiryOfAForkedStream)
{
    Make("a", Plain().ExpiresAt(WallClock_ms() + 500));
    Make("fork", ForkOf("a").Ttl(1000));
    auto waiting = s().StartRead("a", FromNow().Wait());
    EXPECT_EQ(waiting->Result().err, SL_ERR_GONE);
}

TEST_P(WatchTest, EndsWithCancel)
{
    Make("a");
    auto waiting = s().StartRead("a", FromNow().Wait());
    EXPECT_TRUE(waiting->StaysFor(kQuiet_ms));
    waiting->Cancel();
    EXPECT_EQ(waiting->Result().err, SL_ERR_CANCELLED);
    auto at_once = s().StartRead("a", FromNow().Wait());
    at_once->Cancel();
    EXPECT_EQ(at_once->Result().err, SL_ERR_CANCELLED);
    EXPECT_EQ(s().Append("a", Body("x")).err, SL_OK);
}

TEST_P(WatchTest, ACancelThatComesLateChangesNothing)
{
    Make("a");
    auto waiting = s().StartRead("a", FromNow().Wait());
    ASSERT_EQ(s().Append("a", Body("x")).err, SL_OK);
    waiting->Cancel();
    ReadReply reply = waiting->Result();
    if (reply.err != SL_ERR_CANCELLED) {
        EXPECT_EQ(reply.data, "x");
    }
    EXPECT_EQ(s().ReadAll("a"), "x");
}

TEST_P(WatchTest, ChecksTheOffsetAndTheIncarnationBeforeItWaits)
{
    Make("a", Json().Data("[11]"));
    EXPECT_EQ(s().Read("a", From(2).Wait()).err, SL_ERR_INVALID_OFFSET);
    EXPECT_EQ(s().Read("a", FromNow().Wait().Id(UINT64_MAX)).err, SL_ERR_NOT_FOUND);
}

TEST_P(WatchTest, ReleasesEveryWaitingReadOfEverySession)
{
    Make("a");
    std::vector<std::unique_ptr<Session>> sessions;
    std::vector<std::unique_ptr<Session::Waiting>> waiting;
    for (int i = 0; i < 8; i++) {
        sessions.push_back(std::make_unique<Session>(engine()));
        for (int j = 0; j < 200; j++)
            waiting.push_back(sessions.back()->StartRead("a", FromNow().Wait()));
    }
    EXPECT_TRUE(Eventually([&] { return Status().waiting_reads == 1600; }));
    ASSERT_EQ(s().Append("a", Body("all")).err, SL_OK);
    for (auto &one : waiting)
        ASSERT_EQ(one->Result().data, "all");
    EXPECT_TRUE(Eventually([&] { return Status().waiting_reads == 0; }));
}

TEST_P(WatchTest, ReleasesOnlyTheReadsOfTheStream)
{
    std::vector<std::unique_ptr<Session::Waiting>> waiting;
    for (int i = 0; i < 50; i++) {
        Make(std::to_string(i));
        waiting.push_back(s().StartRead(std::to_string(i), FromNow().Wait()));
    }
    ASSERT_EQ(s().Append("17", Body("x")).err, SL_OK);
    EXPECT_EQ(waiting[17]->Result().data, "x");
    EXPECT_TRUE(waiting[0]->StaysFor(kQuiet_ms));
    for (size_t i = 0; i < waiting.size(); i++)
        EXPECT_EQ(waiting[i]->Done(), i == 17);
}

TEST_P(WatchTest, AForkIsNotReleasedByItsSource)
{
    Make("a", Plain().Data("abc"));
    Make("fork", ForkOf("a"));
    auto waiting = s().StartRead("fork", From(3).Wait());
    ASSERT_EQ(s().Append("a", Body("source").Close()).err, SL_OK);
    ASSERT_EQ(s().Delete("a"), SL_OK);
    EXPECT_TRUE(waiting->StaysFor(kQuiet_ms));
    ASSERT_EQ(s().Append("fork", Body("own")).err, SL_OK);
    EXPECT_EQ(waiting->Result().data, "own");
}

TEST_P(WatchTest, AForkAnswersAtOnceWithInheritedData)
{
    Make("a", Plain().Data("abc"));
    Make("fork", ForkOf("a"));
    EXPECT_EQ(s().Read("fork", From(1).Wait()).data, "bc");
}

TEST_P(WatchTest, LosesNoWakeUpBetweenTwoThreads)
{
    constexpr int kRounds = 1500;
    Make("ping");
    Make("pong");
    std::thread other([&] {
        Session session(engine());
        for (uint64_t i = 0; i < kRounds; i++) {
            ASSERT_EQ(session.Read("ping", From(i).Wait()).next, i + 1);
            ASSERT_EQ(session.Append("pong", Body("x")).err, SL_OK);
        }
    });
    for (uint64_t i = 0; i < kRounds; i++) {
        EXPECT_EQ(s().Append("ping", Body("x")).err, SL_OK);
        EXPECT_EQ(s().Read("pong", From(i).Wait()).next, i + 1);
    }
    other.join();
}

TEST_P(WatchTest, AFollowerSeesEverythingOnceAndInOrder)
{
    constexpr int kAppends = 2000;
    Make("a");
    std::string seen;
    std::thread follower([&] {
        Session session(engine());
        ReadReply reply;
        do {
            reply = session.Read("a", From(reply.next).Wait().Page(100).Piece(64));
            ASSERT_EQ(reply.err, SL_OK);
            seen += reply.data;
        } while (!reply.stream.closed || reply.next < reply.stream.tail);
    });
    std::string all;
    for (int i = 0; i < kAppends; i++) {
        std::string data = std::to_string(i) + ";";
        EXPECT_EQ(s().Append("a", Body(data).Close(i + 1 == kAppends)).err, SL_OK);
        all += data;
    }
    follower.join();
    EXPECT_TRUE(seen == all);
}

TEST_P(WatchTest, AppendAndWaitRaceInAnyOrder)
{
    Session other(engine());
    for (int i = 0; i < 300; i++) {
        std::string name = std::to_string(i);
        Make(name);
        std::thread appender([&] { EXPECT_EQ(other.Append(name, Body("x")).err, SL_OK); });
        EXPECT_EQ(s().StartRead(name, FromStart().Wait())->Result().data, "x");
        appender.join();
    }
}
