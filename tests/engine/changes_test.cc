#include "support/engine_fixture.h"

#include <map>

using namespace sluice_test;

SL_ENGINE_SUITE(ChangesTest);

namespace
{

struct Change {
    uint64_t id = 0, tail = 0;
    bool removed = false;
};

/* A session that follows: what it is told, by name. */
class Follower
{
  public:
    explicit Follower(sl_engine *engine) : shards_(sl_engine_shards(engine))
    {
        EXPECT_EQ(sl_session_open(engine, &session_), SL_OK);
        Take();
    }

    ~Follower()
    {
        sl_session_close(&session_);
    }

    /* Everything that is there to be told now. */
    std::map<std::string, Change> Take(std::vector<sl_follow> follow = {}, uint32_t shard = 0)
    {
        std::map<std::string, Change> all;
        for (uint32_t i = 0; i < shards_; i++) {
            bool more = true;
            while (more) {
                sl_operation *op = sl_session_take(session_, SL_OPERATION_CHANGES);
                op->u.changes.shard = i;
                op->u.changes.epoch = epoch;
                if (i == shard) {
                    op->u.changes.follow = follow.data();
                    op->u.changes.follow_count = follow.size();
                }
                EXPECT_EQ(sl_session_run(session_, op), SL_OK);
                more = op->u.changes.more;
                Add(op->u.changes, &all);
                sl_session_put(session_, &op);
            }
        }
        told = follow;
        return all;
    }

    /* Says of the stream whether it is wanted. */
    std::map<std::string, Change> Want(const Change &change, bool wanted)
    {
        return Take({ { change.id, wanted, false } }, static_cast<uint32_t>(change.id & 0xff));
    }

    /* Starts to wait at the shard of this stream. */
    sl_operation *Wait(const Change &change)
    {
        sl_operation *op = sl_session_take(session_, SL_OPERATION_CHANGES);
        op->u.changes.shard = static_cast<uint32_t>(change.id & 0xff);
        op->u.changes.epoch = epoch;
        op->u.changes.wait = true;
        sl_session_submit(session_, op);
        sl_session_flush(session_);
        return op;
    }

    sl_operation *Poll()
    {
        sl_operation *op = nullptr;
        EXPECT_TRUE(Eventually([&] { return (op = sl_session_poll(session_)) != nullptr; }));
        return op;
    }

    bool HeadFollow(const std::string &name)
    {
        sl_operation *op = sl_session_take(session_, SL_OPERATION_HEAD);
        op->u.head.name = BytesOf(name);
        op->u.head.follow = true;
        bool found = sl_session_run(session_, op) == SL_OK;
        sl_session_put(session_, &op);
        return found;
    }

    static void Add(const sl_changes &changes, std::map<std::string, Change> *all)
    {
        for (uint32_t i = 0; i < changes.change_count; i++) {
            const sl_changed &one = changes.changes[i];
            std::string name(reinterpret_cast<const char *>(one.name.data), one.name.size);
            EXPECT_EQ(all->count(name), 0u) << name;
            (*all)[name] = { one.id, one.tail, one.removed };
        }
    }

    uint32_t epoch = 1;
    std::vector<sl_follow> told; /* the last ones, with their results */
    sl_session *session_ = nullptr;

  private:
    uint32_t shards_;
};

} // namespace

TEST_P(ChangesTest, TellsOfAppendsOnceWithTheNewestTail)
{
    Follower follower(engine());
    Make("a");
    Make("b", Plain().Data("xyz"));
    ASSERT_EQ(s().Append("a", Body("1")).err, SL_OK);
    ASSERT_EQ(s().Append("a", Body("23")).err, SL_OK);
    auto all = follower.Take();
    ASSERT_EQ(all.size(), 2u);
    EXPECT_EQ(all["a"].tail, 3u);
    EXPECT_EQ(all["a"].id, s().Head("a").stream.id);
    EXPECT_EQ(all["b"].tail, 3u);
    EXPECT_FALSE(all["b"].removed);
    EXPECT_TRUE(follower.Take().empty());
}

TEST_P(ChangesTest, SaysNothingOfEmptyStreamsAndCloses)
{
    Follower follower(engine());
    Make("a");
    Make("source", Plain().Data("inherited"));
    follower.Take();
    Make("fork", ForkOf("source"));
    ASSERT_EQ(s().Append("a", CloseOnly()).err, SL_OK);
    EXPECT_TRUE(follower.Take().empty());
}

TEST_P(ChangesTest, SaysNothingWithoutAFollower)
{
    Make("a", Plain().Data("before"));
    Follower follower(engine());
    EXPECT_TRUE(follower.Take().empty());
}

TEST_P(ChangesTest, SaysNothingMoreOfWhatIsNotWantedUntilTheNextEpoch)
{
    Follower follower(engine());
    Make("a", Plain().Data("1"));
    Change a = follower.Take()["a"];
    follower.Want(a, false);
    ASSERT_EQ(s().Append("a", Body("2")).err, SL_OK);
    EXPECT_TRUE(follower.Take().empty());
    follower.epoch++;
    EXPECT_TRUE(follower.Take().empty());
    ASSERT_EQ(s().Append("a", Body("3")).err, SL_OK);
    EXPECT_EQ(follower.Take()["a"].tail, 3u);
}

TEST_P(ChangesTest, TellsOfWhatHeadFollowsAlthoughItWasNotWanted)
{
    Follower follower(engine());
    Make("a", Plain().Data("1"));
    follower.Want(follower.Take()["a"], false);
    EXPECT_TRUE(follower.HeadFollow("a"));
    EXPECT_FALSE(follower.HeadFollow("none"));
    ASSERT_EQ(s().Append("a", Body("2")).err, SL_OK);
    EXPECT_EQ(follower.Take()["a"].tail, 2u);
}

TEST_P(ChangesTest, TellsOfRemovalsOfWhatIsWanted)
{
    Follower follower(engine());
    Make("a", Plain().Data("1"));
    Make("b", Plain().Data("1"));
    auto all = follower.Take();
    follower.Want(all["a"], true);
    follower.Want(all["b"], false);
    ASSERT_EQ(s().Delete("a"), SL_OK);
    ASSERT_EQ(s().Delete("b"), SL_OK);
    auto told = follower.Take();
    ASSERT_EQ(told.size(), 1u);
    EXPECT_TRUE(told["a"].removed);
    EXPECT_EQ(told["a"].id, all["a"].id);
    EXPECT_TRUE(follower.Take().empty());
}

TEST_P(ChangesTest, TellsOfANewIncarnationAfterTheOldOneWasRemoved)
{
    Follower follower(engine());
    Make("a", Plain().Data("old"));
    Change old = follower.Take()["a"];
    follower.Want(old, true);
    ASSERT_EQ(s().Delete("a"), SL_OK);
    ASSERT_TRUE(follower.Take()["a"].removed);
    Make("a", Plain().Data("new one"));
    Change made = follower.Take()["a"];
    EXPECT_FALSE(made.removed);
    EXPECT_NE(made.id, old.id);
    EXPECT_EQ(made.tail, 7u);
}

TEST_P(ChangesTest, TellsThatASoftDeletedStreamIsGone)
{
    Follower follower(engine());
    Make("a", Plain().Data("1"));
    follower.Want(follower.Take()["a"], true);
    Make("fork", ForkOf("a"));
    ASSERT_EQ(s().Delete("a"), SL_OK);
    EXPECT_TRUE(follower.Take()["a"].removed);
    ASSERT_EQ(s().Delete("fork"), SL_OK);
    EXPECT_TRUE(follower.Take().empty());
}

TEST_P(ChangesTest, SaysThatAStreamWasGoneWhenItBecameWanted)
{
    Follower follower(engine());
    Make("a", Plain().Data("1"));
    Change a = follower.Take()["a"];
    ASSERT_EQ(s().Delete("a"), SL_OK);
    follower.Want(a, true);
    ASSERT_EQ(follower.told.size(), 1u);
    EXPECT_TRUE(follower.told[0].gone);
}

TEST_P(ChangesTest, WaitsUntilThereIsSomething)
{
    Follower follower(engine());
    Make("a", Plain().Data("1"));
    Change a = follower.Take()["a"];
    sl_operation *waiting = follower.Wait(a);
    ASSERT_EQ(s().Append("a", Body("2")).err, SL_OK);
    ASSERT_EQ(follower.Poll(), waiting);
    ASSERT_EQ(waiting->err, SL_OK);
    ASSERT_EQ(waiting->u.changes.change_count, 1u);
    EXPECT_EQ(waiting->u.changes.changes[0].tail, 2u);
    sl_session_put(follower.session_, &waiting);
}

TEST_P(ChangesTest, EndsWaitingWhenItIsCancelled)
{
    Follower follower(engine());
    sl_operation *waiting = follower.Wait({});
    sl_session_cancel(follower.session_, waiting);
    ASSERT_EQ(follower.Poll(), waiting);
    EXPECT_EQ(waiting->err, SL_ERR_CANCELLED);
    sl_session_put(follower.session_, &waiting);
    follower.Wait({}); /* close cancels it */
}

TEST_P(ChangesTest, AnswersASecondOneThatWouldWaitAtOnce)
{
    Follower follower(engine());
    sl_operation *first = follower.Wait({}), *second = follower.Wait({});
    ASSERT_EQ(follower.Poll(), second);
    EXPECT_EQ(second->u.changes.change_count, 0u);
    sl_session_put(follower.session_, &second);
    sl_session_cancel(follower.session_, first);
    ASSERT_EQ(follower.Poll(), first);
    sl_session_put(follower.session_, &first);
}

TEST_P(ChangesTest, GivesMoreThanOneAnswerHoldsInSeveral)
{
    Follower follower(engine());
    constexpr size_t kStreams = 4 * SL_CHANGES_MAX + 1;
    for (size_t i = 0; i < kStreams; i++)
        Make("s" + std::to_string(i), Plain().Data("x"));
    EXPECT_EQ(follower.Take().size(), kStreams);
    EXPECT_TRUE(follower.Take().empty());
}

TEST_P(ChangesTest, RefusesAShardThatIsNotThere)
{
    Follower follower(engine());
    sl_operation *op = sl_session_take(follower.session_, SL_OPERATION_CHANGES);
    op->u.changes.shard = sl_engine_shards(engine());
    op->u.changes.epoch = 1;
    EXPECT_EQ(sl_session_run(follower.session_, op), SL_ERR_INVALID_ARGUMENT);
    sl_session_put(follower.session_, &op);
}

TEST_P(ChangesTest, EndsWithStreamsThatWereNeverTold)
{
    Follower follower(engine());
    Make("a", Plain().Data("1"));
    follower.Want(follower.Take()["a"], true);
    ASSERT_EQ(s().Delete("a"), SL_OK);
    Make("b", Plain().Data("1"));
}
