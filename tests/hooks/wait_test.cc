#include "base/limits.h"
#include "hooks/hooks_fixture.h"
#include "hooks/hooks_internal.h"

#include <deque>

using namespace sluice_test;

namespace
{

constexpr char kAllDone[] =
    R"("done":true,"acks":[{"stream":"jobs/1","offset":"0000000000000000_0000000000000001"}])";

/* The hooks without their thread: the test says what time it is, and when shards have answered. */
class HooksWait : public HooksTest
{
  protected:
    void SetUp() override
    {
        HooksTest::SetUp();
        ASSERT_EQ(Ask(SL_HOOKS_PUT, "a",
                      R"({"type":"pull-wake","wake_stream":"w","lease_ttl_ms":1000,)"
                      R"("streams":["jobs/1"]})")
                      .err,
                  SL_OK);
        Prepare(true);
    }

    /* Of the subscription "a": is a worker to hold its lease, and nothing else to be done? */
    void Prepare(bool is_idle)
    {
        if (!is_idle) {
            ASSERT_EQ(session_->Create("jobs/1", Plain().Data("x")).err, SL_OK);
            claim_ = Claim("a");
            ASSERT_EQ(claim_.err, SL_OK);
        }
        Close();
        HooksTest::Prepare();
        begin_ms_ = hooks_->now.running_ms;
    }

    struct sli_hook *Hook(const char *id = "a")
    {
        return sli_hook_of(sl_registry_find(&hooks_->registry, sl_bytes_of(id)));
    }

    void Receive(Asked *asked, uint64_t into_turn_ms = 0)
    {
        asked->request.came_ms = hooks_->now.running_ms + into_turn_ms;
        sl_link_init(&asked->request.link);
        sli_hooks_receive(hooks_, &asked->request);
        hooks_->turn_work = 0;
        sli_hooks_handle_received(hooks_);
    }

    /* So long after the beginning. */
    void PassTime(uint64_t ms)
    {
        hooks_->now.running_ms = begin_ms_ + ms;
        sli_hooks_refuse_late(hooks_);
    }

    /* Takes what shards have answered, until this is so. */
    bool AnswersMake(const std::function<bool()> &is_so)
    {
        return Eventually([&] {
            while (struct sl_operation *op = sl_session_poll(hooks_->session)) {
                auto *completion = static_cast<struct sli_completion *>(op->context);
                completion->on_done(hooks_, completion, op);
            }
            hooks_->turn_work = 0;
            sli_hooks_take_changes(hooks_);
            return is_so();
        });
    }

    Answer claim_;
    uint64_t begin_ms_ = 0;
};

TEST_F(HooksWait, AClaimIsRefusedWhenTheTimeIsOver)
{
    Asked claim(SL_HOOKS_CLAIM, "a", R"({"worker":"me"})");
    Receive(&claim);
    EXPECT_EQ(sli_hooks_wait_deadline(hooks_), begin_ms_ + SL_OVERLOAD_AGE_MS);
    PassTime(SL_OVERLOAD_AGE_MS - 1);
    EXPECT_FALSE(claim.IsAnswered());
    PassTime(SL_OVERLOAD_AGE_MS);
    ASSERT_TRUE(claim.IsAnswered());
    EXPECT_NE(claim.request.message, nullptr);
    EXPECT_EQ(Take(&claim).err, SL_ERR_OVERLOADED);
    EXPECT_EQ(sli_hooks_wait_deadline(hooks_), UINT64_MAX);
    Start();
    EXPECT_EQ(Claim("a").err, SL_ERR_NO_PENDING_WORK);
}

TEST_F(HooksWait, MoreThanATurnTakesWaitForTheNextOneOrUntilTheirTimeIsOver)
{
    std::deque<Asked> asked;
    for (int i = 0; i < SLI_TURN_WORK_MAX / 2 + 2; i++) { /* each counts, and its one link */
        asked.emplace_back(SL_HOOKS_GET, "a");
        asked.back().request.came_ms = begin_ms_;
        sl_link_init(&asked.back().request.link);
        sli_hooks_receive(hooks_, &asked.back().request);
    }
    Asked &last = asked.back(), &second_to_last = asked[asked.size() - 2];
    auto turn = [&] {
        hooks_->turn_work = 0;
        sli_hooks_handle_received(hooks_);
    };
    turn();
    EXPECT_TRUE(asked[asked.size() - 3].IsAnswered());
    EXPECT_FALSE(second_to_last.IsAnswered());
    hooks_->turn_work = SLI_TURN_WORK_MAX; /* with other work */
    sli_hooks_handle_received(hooks_);
    EXPECT_TRUE(second_to_last.IsAnswered());
    EXPECT_FALSE(last.IsAnswered());
    PassTime(SL_OVERLOAD_AGE_MS);
    for (Asked &one : asked)
        EXPECT_EQ(Take(&one).err, &one == &last ? SL_ERR_OVERLOADED : SL_OK);
    turn();
}

TEST_F(HooksWait, WhoCameLaterWaitsLonger)
{
    Asked first(SL_HOOKS_CLAIM, "a", R"({"worker":"me"})");
    Asked second(SL_HOOKS_CLAIM, "a", R"({"worker":"you"})");
    Receive(&first);
    PassTime(1);
    Receive(&second);
    PassTime(SL_OVERLOAD_AGE_MS);
    EXPECT_EQ(Take(&first).err, SL_ERR_OVERLOADED);
    EXPECT_FALSE(second.IsAnswered());
    PassTime(SL_OVERLOAD_AGE_MS + 1);
    EXPECT_EQ(Take(&second).err, SL_ERR_OVERLOADED);
}

TEST_F(HooksWait, ASubscriptionThatWasRefusedIsNotThere)
{
    const std::string body = R"({"type":"pull-wake","wake_stream":"w","pattern":"jobs/*"})";
    Asked put(SL_HOOKS_PUT, "b", body);
    Receive(&put);
    PassTime(SL_OVERLOAD_AGE_MS - 1);
    EXPECT_FALSE(put.IsAnswered());
    PassTime(SL_OVERLOAD_AGE_MS);
    EXPECT_EQ(Take(&put).err, SL_ERR_OVERLOADED);
    Start();
    EXPECT_EQ(Ask(SL_HOOKS_GET, "b").err, SL_ERR_SUBSCRIPTION_NOT_FOUND);
    EXPECT_EQ(Ask(SL_HOOKS_PUT, "b", body).err, SL_OK);
}

TEST_F(HooksWait, LinksThatWereRefusedAreNotMadeNorWaitedFor)
{
    Asked add(SL_HOOKS_ADD, "a", R"({"streams":["other"]})");
    Asked view(SL_HOOKS_GET, "a"), late_view(SL_HOOKS_GET, "a");
    Receive(&add);
    Receive(&view);
    PassTime(1);
    Receive(&late_view);
    PassTime(SL_OVERLOAD_AGE_MS - 1);
    EXPECT_FALSE(add.IsAnswered() || view.IsAnswered());
    PassTime(SL_OVERLOAD_AGE_MS);
    EXPECT_EQ(Take(&add).err, SL_ERR_OVERLOADED);
    EXPECT_EQ(Take(&view).err, SL_ERR_OVERLOADED);
    EXPECT_FALSE(late_view.IsAnswered());
    sli_hooks_settle(hooks_, Hook());
    Answer answer = Take(&late_view);
    EXPECT_EQ(answer.err, SL_OK);
    EXPECT_EQ(answer.text.find("other"), std::string::npos);
}

TEST_F(HooksWait, ALeaseLastsWhileAReportWaits)
{
    Close();
    Open();
    Prepare(false);
    struct sl_subscription *subscription = &Hook()->subscription;
    ASSERT_EQ(subscription->lease_until_ms, begin_ms_ + 1000);
    Asked report(SL_HOOKS_ACK, "a", ReportBody(claim_, kAllDone), claim_.Member("token"));
    PassTime(999);
    Receive(&report);
    PassTime(999 + SL_OVERLOAD_AGE_MS - 1);
    sli_hook_advance(hooks_, Hook());
    EXPECT_EQ(subscription->phase, SL_SUBSCRIPTION_HELD);
    EXPECT_TRUE(AnswersMake([&] { return subscription->phase == SL_SUBSCRIPTION_IDLE; }));
    Start();
    EXPECT_EQ(Take(&report).err, SL_OK);
}

/* The time of a turn is that of its beginning. */
TEST_F(HooksWait, ALeaseLastsForAReportThatCameDuringATurn)
{
    Close();
    Open();
    Prepare(false);
    Asked report(SL_HOOKS_ACK, "a", ReportBody(claim_, kAllDone), claim_.Member("token"));
    Receive(&report, 500);
    PassTime(500 + SL_OVERLOAD_AGE_MS - 1);
    sli_hook_advance(hooks_, Hook());
    EXPECT_EQ(Hook()->subscription.phase, SL_SUBSCRIPTION_HELD);
    PassTime(500 + SL_OVERLOAD_AGE_MS);
    EXPECT_EQ(Take(&report).err, SL_ERR_OVERLOADED);
}

TEST_F(HooksWait, ALeaseLastsWhileAReportWaitsForOthers)
{
    Close();
    Open();
    Prepare(false);
    struct sl_subscription *subscription = &Hook()->subscription;
    Asked add(SL_HOOKS_ADD, "a", R"({"streams":["other"]})");
    Asked report(SL_HOOKS_ACK, "a", ReportBody(claim_, kAllDone), claim_.Member("token"));
    PassTime(999);
    Receive(&add);
    Receive(&report);
    PassTime(999 + SL_OVERLOAD_AGE_MS - 1);
    sli_hook_advance(hooks_, Hook());
    EXPECT_EQ(subscription->phase, SL_SUBSCRIPTION_HELD);
    PassTime(999 + SL_OVERLOAD_AGE_MS);
    EXPECT_EQ(Take(&add).err, SL_ERR_OVERLOADED);
    EXPECT_EQ(Take(&report).err, SL_ERR_OVERLOADED);
    EXPECT_EQ(subscription->pending_count, 1u) << "nothing was applied";
    sli_hook_advance(hooks_, Hook());
    EXPECT_NE(subscription->phase, SL_SUBSCRIPTION_HELD);
}

TEST_F(HooksWait, AReportThatCameTooLateIsRefusedAtOnce)
{
    Close();
    Open();
    Prepare(false);
    Asked report(SL_HOOKS_ACK, "a", ReportBody(claim_, kAllDone), claim_.Member("token"));
    PassTime(1000);
    Receive(&report);
    EXPECT_EQ(Take(&report).err, SL_ERR_TOKEN_EXPIRED);
}

/* Its shards were asked: what they have answered is not thrown away, however long they take. */
TEST_F(HooksWait, WhatHasBegunEndsOnlyWithTheServer)
{
    Asked add(SL_HOOKS_ADD, "a", R"({"streams":["other"]})");
    Receive(&add);
    ASSERT_TRUE(AnswersMake([&] { return !sl_link_is_empty(&hooks_->wait.begun); }));
    hooks_->wait.end_ms = begin_ms_ + 2 * SL_OVERLOAD_AGE_MS;
    PassTime(2 * SL_OVERLOAD_AGE_MS - 1);
    EXPECT_NE(Hook()->job, nullptr);
    PassTime(2 * SL_OVERLOAD_AGE_MS);
    EXPECT_FALSE(add.IsAnswered()) << "what it borrows is with the shards";
    EXPECT_TRUE(AnswersMake([&] { return add.IsAnswered(); }));
    EXPECT_EQ(Take(&add).err, SL_ERR_OVERLOADED);
}

TEST_F(HooksWait, WhoWaitsForTheDiskIsRefusedWhenTheServerEnds)
{
    Asked remove(SL_HOOKS_DELETE, "a");
    Receive(&remove);
    sli_hooks_settle(hooks_, Hook());
    PassTime(SL_OVERLOAD_AGE_MS);
    EXPECT_FALSE(remove.IsAnswered());
    EXPECT_EQ(sli_hooks_wait_deadline(hooks_), UINT64_MAX);
    hooks_->wait.end_ms = begin_ms_ + SL_OVERLOAD_AGE_MS + 1;
    EXPECT_EQ(sli_hooks_wait_deadline(hooks_), hooks_->wait.end_ms);
    PassTime(SL_OVERLOAD_AGE_MS + 1);
    EXPECT_EQ(Take(&remove).err, SL_ERR_OVERLOADED);
}

TEST_F(HooksWait, AfterTheDrainNobodyWaits)
{
    Start();
    sl_hooks_drain(hooks_, 0);
    EXPECT_EQ(Claim("a").err, SL_ERR_OVERLOADED) << "it would have to ask the shards";
    EXPECT_EQ(Ask(SL_HOOKS_GET, "a").err, SL_OK);
}

TEST_F(HooksWait, TheEndOfTheDrainMayComeBeforeTheTimeIsOver)
{
    hooks_->wait.end_ms = begin_ms_ + 10;
    Asked claim(SL_HOOKS_CLAIM, "a", R"({"worker":"me"})");
    Receive(&claim);
    EXPECT_EQ(sli_hooks_wait_deadline(hooks_), begin_ms_ + 10);
    PassTime(9);
    EXPECT_FALSE(claim.IsAnswered());
    PassTime(10);
    EXPECT_EQ(Take(&claim).err, SL_ERR_OVERLOADED);
}

} // namespace
