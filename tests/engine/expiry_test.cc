#include "protocol/expiry.h"
#include "support/engine_fixture.h"

using namespace sluice_test;

SL_ENGINE_SUITE(ExpiryTest);

/* These last seconds, as a TTL does, so they run once. */
class SlidingTest : public EngineTest
{
};
INSTANTIATE_TEST_SUITE_P(Engine, SlidingTest, testing::Values(4u), ShardsOf);

TEST_P(ExpiryTest, TtlZeroIsMadeAndAlreadyExpired)
{
    for (int i = 0; i < 3; i++) {
        Make("a", Plain().Ttl(0).Data("abc"));
        EXPECT_EQ(s().Head("a").err, SL_ERR_NOT_FOUND);
        EXPECT_EQ(s().Read("a").err, SL_ERR_NOT_FOUND);
        EXPECT_EQ(s().Append("a", Body("x")).err, SL_ERR_NOT_FOUND);
        EXPECT_EQ(s().Delete("a"), SL_ERR_NOT_FOUND);
    }
    Make("a");
    EXPECT_EQ(s().Head("a").stream.tail, 0u);
}

TEST_P(ExpiryTest, AnInstantInThePastIsMadeAndAlreadyExpired)
{
    for (int64_t past_ms : { WallClock_ms() - 1, INT64_C(0), INT64_C(-1), INT64_MIN }) {
        Make("a", Plain().ExpiresAt(past_ms));
        EXPECT_EQ(s().Head("a").err, SL_ERR_NOT_FOUND);
        EXPECT_EQ(s().Read("a", FromNow().Wait()).err, SL_ERR_NOT_FOUND);
    }
}

TEST_P(ExpiryTest, TheLongestTimesDoNotOverflow)
{
    Make("ttl", Plain().Ttl(SL_TTL_S_MAX));
    Make("at", Plain().ExpiresAt(INT64_MAX));
    s().Cleanup();
    for (const char *name : { "ttl", "at" }) {
        Reply head = s().Head(name);
        EXPECT_EQ(head.err, SL_OK) << name;
        EXPECT_GT(head.stream.remaining_ms, 0) << name;
        EXPECT_EQ(s().Append(name, Body("x")).err, SL_OK);
    }
    EXPECT_EQ(s().Head("ttl").stream.ttl_s, SL_TTL_S_MAX);
    for (uint64_t ttl_s : { SL_TTL_S_MAX + 1, UINT64_MAX / 1000 + 1, UINT64_MAX })
        EXPECT_EQ(s().Create("more", Plain().Ttl(ttl_s)).err, SL_ERR_INVALID_TTL);
    EXPECT_EQ(s().Head("more").err, SL_ERR_NOT_FOUND);
}

TEST_P(ExpiryTest, AnExpiredStreamIsAsAbsent)
{
    int64_t soon_ms = WallClock_ms() + 100;
    uint64_t id = Make("a", Json().ExpiresAt(soon_ms).Data("[1]")).stream.id;
    Make("closed", Plain().ExpiresAt(soon_ms).Closed());
    while (WallClock_ms() <= soon_ms)
        Sleep_ms(1);
    EXPECT_EQ(s().Head("a").err, SL_ERR_NOT_FOUND);
    EXPECT_EQ(s().Read("a").err, SL_ERR_NOT_FOUND);
    EXPECT_EQ(s().Append("a", JsonBody("2")).err, SL_ERR_NOT_FOUND);
    EXPECT_EQ(s().Append("closed", CloseOnly()).err, SL_ERR_NOT_FOUND);
    EXPECT_EQ(s().Delete("a"), SL_ERR_NOT_FOUND);
    EXPECT_EQ(s().Create("f", ForkOf("a")).err, SL_ERR_FORK_SOURCE_NOT_FOUND);
    EXPECT_TRUE(s().List().empty());
    Reply made = Make("a", Plain().Type("text/plain"));
    EXPECT_NE(made.stream.id, id);
    EXPECT_EQ(made.stream.tail, 0u);
}

TEST_P(ExpiryTest, TheInstantNeverMoves)
{
    int64_t soon_ms = WallClock_ms() + 400;
    Make("a", Plain().ExpiresAt(soon_ms));
    while (WallClock_ms() < soon_ms - 100) {
        enum sl_err err = s().Append("a", Body("x")).err;
        EXPECT_TRUE(err == SL_OK || WallClock_ms() >= soon_ms);
        Sleep_ms(20);
    }
    while (WallClock_ms() <= soon_ms)
        Sleep_ms(1);
    EXPECT_EQ(s().Head("a").err, SL_ERR_NOT_FOUND);
}

/* One second of life, touched every 50 ms for 1.5 s in one way each. */
TEST_P(SlidingTest, AccessRenewsASlidingTtlAndNothingElseDoes)
{
    auto read = [this](const char *name) { EXPECT_EQ(s().Read(name).err, SL_OK) << name; };
    struct {
        const char *name;
        bool renews;
        std::function<void(const char *)> touch;
    } const ways[] = {
        { "append", true,
          [this](const char *n) { EXPECT_EQ(s().Append(n, Body("x")).err, SL_OK); } },
        { "read", true, read },
        { "read now", true,
          [this](const char *n) { EXPECT_EQ(s().Read(n, FromNow()).err, SL_OK); } },
        { "read at the tail", true,
          [this](const char *n) { EXPECT_EQ(s().Read(n, From(1)).err, SL_OK); } },
        { "close", true,
          [this](const char *n) { EXPECT_EQ(s().Append(n, CloseOnly()).err, SL_OK); } },
        { "duplicate", true,
          [this](const char *n) {
              EXPECT_EQ(s().Append(n, Body("x").Producer("p", 0, 0)).err, SL_OK);
          } },
        { "head", false, [this](const char *n) { (void)s().Head(n); } },
        { "list", false, [this](const char *n) { (void)s().List(n); } },
        { "nothing", false, [](const char *) {} },
        { "read of the fork", false, [this](const char *) { (void)s().Read("fork"); } },
        { "refused append", false,
          [this](const char *n) { (void)s().Append(n, Body("x").Type("image/png")); } },
    };
    for (const auto &way : ways)
        Make(way.name, Plain().Ttl(3).Data("1")); /* a pause of the machine is shorter */
    Make("fork", ForkOf("read of the fork").Ttl(1000));
    int64_t start_ms = Steady_ms();
    for (int64_t last_ms = start_ms; last_ms < start_ms + 4500;) {
        for (const auto &way : ways)
            if (way.renews || last_ms < start_ms + 800)
                way.touch(way.name);
        Sleep_ms(50);
        last_ms = Steady_ms();
    }
    for (const auto &way : ways) {
        enum sl_err err = s().Head(way.name).err;
        if (way.renews)
            EXPECT_EQ(err, SL_OK) << way.name;
        else
            EXPECT_TRUE(err == SL_ERR_NOT_FOUND || err == SL_ERR_GONE) << way.name;
    }
    for (const auto &way : ways)
        EXPECT_TRUE(Eventually([&] { return s().Head(way.name).err != SL_OK; })) << way.name;
}

TEST_P(SlidingTest, TheRemainingTimeSlides)
{
    Make("a", Plain().Ttl(10));
    Sleep_ms(120);
    Reply head = s().Head("a");
    EXPECT_LE(head.stream.remaining_ms, 9900);
    EXPECT_GT(head.stream.remaining_ms, 1000);
    ASSERT_EQ(s().Append("a", Body("x")).err, SL_OK);
    EXPECT_GT(s().Head("a").stream.remaining_ms, head.stream.remaining_ms);
}

TEST_P(ExpiryTest, TheWheelRemovesWithoutAnyCall)
{
    constexpr uint64_t kStreams = 300;
    int64_t soon_ms = WallClock_ms() + 200;
    for (uint64_t i = 0; i < kStreams; i++)
        Make("at" + std::to_string(i), Plain().ExpiresAt(soon_ms + static_cast<int64_t>(i)));
    for (uint64_t i = 0; i < kStreams; i++)
        Make("ttl" + std::to_string(i), Plain().Ttl(1));
    Make("stays", Plain().Ttl(1000));
    EXPECT_TRUE(Eventually([&] { return Status().streams == 1; }));
    EXPECT_TRUE(Eventually([&] { return Status().expired_total == 2 * kStreams; }));
    EXPECT_EQ(s().Head("stays").err, SL_OK);
}

TEST_P(ExpiryTest, CleanupRemovesWhatTheWheelHasNotYet)
{
    constexpr uint64_t kStreams = 200;
    for (uint64_t i = 0; i < kStreams; i++)
        Make(std::to_string(i), Plain().Ttl(0));
    Make("stays", Plain().Ttl(1000));
    uint64_t removed = s().Cleanup();
    EXPECT_LE(removed, kStreams);
    EXPECT_TRUE(Eventually([&] {
        struct sl_engine_status status = Status();
        return status.streams == 1 && status.expired_total == kStreams;
    }));
    EXPECT_EQ(s().Cleanup(), 0u);
    EXPECT_EQ(s().Head("stays").err, SL_OK);
}

TEST_P(SlidingTest, AWaitingReadKeepsASlidingTtlAliveAndItsEndIsTheLastAccess)
{
    Make("a", Plain().Ttl(1));
    auto waiting = s().StartRead("a", FromNow().Wait());
    EXPECT_TRUE(waiting->StaysFor(1700));
    EXPECT_EQ(s().Head("a").err, SL_OK);
    int64_t end_ms = Steady_ms();
    waiting->Cancel();
    EXPECT_EQ(waiting->Result().err, SL_ERR_CANCELLED);
    Sleep_ms(400);
    enum sl_err err = s().Head("a").err;
    if (Steady_ms() - end_ms < 900) {
        EXPECT_EQ(err, SL_OK);
    }
    EXPECT_TRUE(Becomes("a", SL_ERR_NOT_FOUND));
    EXPECT_GE(Steady_ms() - end_ms, 950);
}

TEST_P(SlidingTest, AWaitingReadOfAClosedSessionKeepsNothingAlive)
{
    Make("a", Plain().Ttl(1));
    Session other(engine());
    auto waiting = other.StartRead("a", FromNow().Wait());
    EXPECT_TRUE(waiting->StaysFor(50));
    other.Close();
    EXPECT_TRUE(Eventually([&] { return Status().streams == 0; }));
}

TEST_P(ExpiryTest, AnExpiredSourceOfForksIsAsSoftDeleted)
{
    int64_t soon_ms = WallClock_ms() + 400;
    Make("a", Plain().Data("abc").ExpiresAt(soon_ms));
    Make("f", ForkOf("a").Ttl(1000).Data("d"));
    while (WallClock_ms() <= soon_ms)
        Sleep_ms(1);
    EXPECT_EQ(s().Create("a", Plain()).err, SL_ERR_PATH_BLOCKED);
    EXPECT_EQ(s().Head("a").err, SL_ERR_GONE);
    EXPECT_EQ(s().Read("a").err, SL_ERR_GONE);
    EXPECT_EQ(s().Append("a", Body("x")).err, SL_ERR_GONE);
    EXPECT_EQ(s().Delete("a"), SL_ERR_GONE);
    EXPECT_EQ(s().Create("g", ForkOf("a")).err, SL_ERR_FORK_SOURCE_GONE);
    EXPECT_EQ(s().List(), std::vector<std::string>{ "f" });
    EXPECT_EQ(s().ReadAll("f"), "abcd");
    ASSERT_EQ(s().Delete("f"), SL_OK);
    EXPECT_TRUE(Becomes("a", SL_ERR_NOT_FOUND));
}

TEST_P(ExpiryTest, TheExpiryOfAForkReleasesItsSource)
{
    int64_t soon_ms = WallClock_ms() + 300;
    for (int i = 0; i < 8; i++) {
        std::string n = std::to_string(i);
        Make("a" + n, Plain().Data("abc"));
        Make("b" + n, ForkOf("a" + n));
        Make("c" + n, ForkOf("b" + n).ExpiresAt(soon_ms));
        EXPECT_EQ(s().Delete("a" + n), SL_OK);
        EXPECT_EQ(s().Delete("b" + n), SL_OK);
    }
    EXPECT_TRUE(Eventually([&] { return Status().streams == 0; }));
    for (int i = 0; i < 8; i++)
        Make("a" + std::to_string(i));
}

TEST_P(SlidingTest, ForkAndSourceHaveWindowsOfTheirOwn)
{
    Make("a", Plain().Ttl(3).Data("abc")); /* a pause of the machine is shorter */
    Make("f", ForkOf("a"));
    int64_t start_ms = Steady_ms();
    for (int64_t last_ms = start_ms; last_ms < start_ms + 4500;) {
        ASSERT_EQ(s().Read("f").err, SL_OK);
        Sleep_ms(50);
        last_ms = Steady_ms();
    }
    EXPECT_EQ(s().Head("f").err, SL_OK);
    EXPECT_EQ(s().Head("a").err, SL_ERR_GONE);
    EXPECT_EQ(s().ReadAll("f"), "abc");
    EXPECT_TRUE(Eventually([&] { return Status().streams == 0; }));
}
