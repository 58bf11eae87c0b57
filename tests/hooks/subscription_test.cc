#include "hooks/subscription.h"

#include "hooks/registry_fixture.h"

#include <climits>

using namespace sluice_test;

namespace
{

constexpr uint64_t kNow = 1000000;
constexpr uint64_t kLease = 1000;
constexpr struct sl_failure kRefused = { "refused", 0 };

class SubscriptionTest : public RegistryTest
{
  protected:
    void TearDown() override
    {
        if (s_ != nullptr)
            sl_subscription_check(s_);
    }

    void MakePullWake()
    {
        s_ = Make("s", std::string(kPullWake) + R"("pattern":"a/*"})");
        a_ = Link(s_, "a/1", 5, 5);
    }
    void MakeWebhook()
    {
        s_ = Make("s", std::string(kWebhook) + R"("pattern":"a/*"})");
        a_ = Link(s_, "a/1", 5, 5);
    }
    void Wake()
    {
        if (!sl_subscription_is_pending(s_))
            Grow(a_, a_->stream->tail + 10);
        ASSERT_TRUE(sl_subscription_may_wake(s_, kNow));
        sl_subscription_wake(s_, kRandom);
    }
    enum sl_err Claim(const std::string &worker)
    {
        return sl_subscription_claim(s_, Bytes(worker), kNow);
    }
    enum sl_err Check(uint64_t token_generation, uint64_t generation, const std::string &wake_id)
    {
        struct sl_control_body body = {};
        body.has_generation = true;
        body.generation = generation;
        body.wake_id = Bytes(wake_id);
        return sl_subscription_check_wake(s_, token_generation, &body);
    }
    std::string WakeId() const
    {
        return std::string(s_->wake_id, SL_WAKE_ID_SIZE);
    }

    struct sl_subscription *s_ = nullptr;
    struct sl_cursor *a_ = nullptr;
};

TEST_F(SubscriptionTest, StaysIdleWithoutPendingWork)
{
    MakePullWake();
    EXPECT_FALSE(sl_subscription_is_pending(s_));
    EXPECT_FALSE(sl_subscription_may_wake(s_, kNow));
    EXPECT_EQ(sl_subscription_deadline(s_), UINT64_MAX);
}

TEST_F(SubscriptionTest, IsPendingOnlyBeyondWhatWasAcked)
{
    MakePullWake();
    Grow(a_, 6);
    EXPECT_TRUE(sl_subscription_is_pending(s_));
    sl_cursor_ack(a_, 6);
    EXPECT_FALSE(sl_subscription_is_pending(s_));
    EXPECT_EQ(a_->acked, 6);
}

TEST_F(SubscriptionTest, NeverMovesACursorBack)
{
    MakePullWake();
    Grow(a_, 9);
    sl_cursor_ack(a_, 8);
    sl_cursor_ack(a_, 7);
    EXPECT_EQ(a_->acked, 8);
}

TEST_F(SubscriptionTest, IsPendingBeforeTheFirstByte)
{
    MakePullWake();
    struct sl_cursor *fresh = Link(s_, "a/2", -1, 3);
    EXPECT_TRUE(fresh->is_pending);
    sl_cursor_ack(fresh, 3);
    EXPECT_FALSE(sl_subscription_is_pending(s_));
}

TEST_F(SubscriptionTest, IsNotPendingWhereItHasNoPlaceYet)
{
    MakePullWake();
    struct sl_cursor *cursor;
    ASSERT_EQ(sl_registry_link(&registry_, s_, Bytes("a/2"), &cursor), SL_OK);
    cursor->stream->tail = 100;
    sl_cursor_update(cursor);
    EXPECT_FALSE(sl_subscription_is_pending(s_));
    sl_cursor_place(cursor, 100);
    EXPECT_FALSE(sl_subscription_is_pending(s_));
    Grow(cursor, 101);
    EXPECT_TRUE(sl_subscription_is_pending(s_));
}

TEST_F(SubscriptionTest, CountsGenerationsAndNamesWakes)
{
    MakePullWake();
    EXPECT_EQ(s_->generation, 0u);
    Wake();
    EXPECT_EQ(s_->generation, 1u);
    EXPECT_EQ(s_->phase, SL_SUBSCRIPTION_WAKING);
    EXPECT_EQ(WakeId(), "w_0123456789abcdefff001020");
    sl_subscription_end_wake(s_);
    Wake();
    EXPECT_EQ(s_->generation, 2u);
}

TEST_F(SubscriptionTest, DoesNotWakeAgainWhileItIsAwake)
{
    MakePullWake();
    Wake();
    Grow(a_, 50);
    EXPECT_FALSE(sl_subscription_may_wake(s_, kNow));
    EXPECT_EQ(Claim("w"), SL_OK);
    EXPECT_FALSE(sl_subscription_may_wake(s_, kNow));
}

TEST_F(SubscriptionTest, KeepsTheTailsOfTheMomentOfTheWake)
{
    MakeWebhook();
    Grow(a_, 15);
    Wake();
    Grow(a_, 50);
    EXPECT_EQ(a_->snapshot, 15u);
    struct sl_cursor *later = Link(s_, "a/2", -1, 3);
    EXPECT_FALSE(later->in_wake);
}

TEST_F(SubscriptionTest, IsClaimedByOneWorkerAtATime)
{
    MakePullWake();
    EXPECT_EQ(Claim("w-1"), SL_ERR_NO_PENDING_WORK);
    Wake();
    EXPECT_EQ(s_->lease_until_ms, 0u);
    EXPECT_EQ(Claim("w-1"), SL_OK);
    EXPECT_EQ(s_->phase, SL_SUBSCRIPTION_HELD);
    EXPECT_EQ(s_->lease_until_ms, kNow + kLease);
    EXPECT_EQ(Claim("w-2"), SL_ERR_ALREADY_CLAIMED);
    EXPECT_EQ(String(sl_buffer_bytes(&s_->worker)), "w-1");
}

TEST_F(SubscriptionTest, IsNotClaimedWhenTheWorkIsGone)
{
    MakePullWake();
    Wake();
    sl_registry_unlink(&registry_, &a_);
    EXPECT_EQ(Claim("w"), SL_ERR_NO_PENDING_WORK);
    EXPECT_TRUE(sl_subscription_is_idle_wake(s_));
}

TEST_F(SubscriptionTest, EndsAWakeForNothingOnlyIfNobodyWasTold)
{
    MakeWebhook();
    Wake();
    sl_cursor_ack(a_, 15);
    EXPECT_TRUE(sl_subscription_is_idle_wake(s_));
    s_->issued = true;
    EXPECT_FALSE(sl_subscription_is_idle_wake(s_));
}

TEST_F(SubscriptionTest, FencesEverythingThatIsNotTheCurrentWake)
{
    MakePullWake();
    EXPECT_EQ(Check(0, 0, ""), SL_ERR_FENCED);
    Wake();
    std::string id = WakeId();
    EXPECT_EQ(Check(1, 1, id), SL_OK);
    EXPECT_EQ(Check(0, 1, id), SL_ERR_FENCED);
    EXPECT_EQ(Check(2, 1, id), SL_ERR_FENCED);
    EXPECT_EQ(Check(1, 0, id), SL_ERR_FENCED);
    EXPECT_EQ(Check(1, 2, id), SL_ERR_FENCED);
    EXPECT_EQ(Check(1, 1, "w_0123456789abcdefff001021"), SL_ERR_FENCED);
    EXPECT_EQ(Check(1, 1, id.substr(0, id.size() - 1)), SL_ERR_FENCED);
    EXPECT_EQ(Check(1, 1, ""), SL_ERR_FENCED);
    struct sl_control_body without = {};
    without.wake_id = Bytes(id);
    EXPECT_EQ(sl_subscription_check_wake(s_, 1, &without), SL_ERR_FENCED);
    sl_subscription_end_wake(s_);
    EXPECT_EQ(Check(1, 1, id), SL_ERR_FENCED);
}

TEST_F(SubscriptionTest, ExtendsTheLeaseByEveryAck)
{
    MakePullWake();
    Wake();
    ASSERT_EQ(Claim("w"), SL_OK);
    sl_subscription_on_callback(s_, kNow + 900);
    EXPECT_FALSE(sl_subscription_lease_is_over(s_, kNow + 900 + kLease - 1));
    EXPECT_TRUE(sl_subscription_lease_is_over(s_, kNow + 900 + kLease));
    EXPECT_EQ(sl_subscription_deadline(s_), kNow + 900 + kLease);
}

TEST_F(SubscriptionTest, WakesAgainAfterTheLeaseIfWorkIsLeft)
{
    MakePullWake();
    Wake();
    ASSERT_EQ(Claim("w"), SL_OK);
    sl_subscription_end_wake(s_);
    EXPECT_EQ(s_->phase, SL_SUBSCRIPTION_IDLE);
    EXPECT_EQ(s_->worker.size, 0u);
    EXPECT_TRUE(sl_subscription_may_wake(s_, kNow));
    sl_cursor_ack(a_, 15);
    EXPECT_FALSE(sl_subscription_may_wake(s_, kNow));
}

/* Whoever was told of the link before must not ack what it has never heard of. */
TEST_F(SubscriptionTest, KnowsLinksThatEndedAndBeganAgainSinceTheWakeWasTold)
{
    MakePullWake();
    Link(s_, "a/2", 5, 15);
    Wake();
    sl_registry_unlink(&registry_, &a_);
    a_ = Link(s_, "a/1", -1, 15);
    EXPECT_EQ(a_->renewed_in, s_->generation);
    EXPECT_EQ(Link(s_, "a/3", -1, 15)->renewed_in, 0u) << "it was never lost";
    ASSERT_EQ(Claim("w"), SL_OK);
    EXPECT_EQ(a_->renewed_in, 0u) << "the claim tells of it";
    sl_registry_unlink(&registry_, &a_);
    a_ = Link(s_, "a/1", -1, 15);
    EXPECT_EQ(a_->renewed_in, s_->generation);
    sl_subscription_end_wake(s_);
    sl_registry_unlink(&registry_, &a_);
    a_ = Link(s_, "a/1", -1, 15);
    EXPECT_EQ(a_->renewed_in, 0u) << "nobody works on a wake";
}

TEST_F(SubscriptionTest, TakesAnyLinkForLostWhenTooManyWere)
{
    registry_.cursors_max = 1000;
    registry_.bytes_max = 1 << 20;
    MakePullWake();
    Wake();
    for (int lost = 1; lost <= 256; lost++) {
        EXPECT_EQ(Link(s_, "a/new" + std::to_string(lost), -1, 15)->renewed_in, 0u) << lost;
        struct sl_cursor *cursor = Link(s_, "a/lost" + std::to_string(lost), -1, 15);
        sl_registry_unlink(&registry_, &cursor);
    }
    EXPECT_EQ(Link(s_, "a/new", -1, 15)->renewed_in, s_->generation);
}

TEST_F(SubscriptionTest, CountsLeasesThatRunOutUntilSomebodyReports)
{
    MakeWebhook();
    for (unsigned lost = 1; lost <= 2; lost++) {
        Wake();
        sl_subscription_on_delivered(s_, false);
        sl_subscription_on_lease_over(s_);
        EXPECT_EQ(s_->phase, SL_SUBSCRIPTION_IDLE);
        EXPECT_EQ(s_->leases_expired, lost);
    }
    Wake();
    sl_subscription_on_callback(s_, kNow);
    EXPECT_EQ(s_->leases_expired, 0u);
    sl_subscription_on_lease_over(s_);
    Wake();
    sl_subscription_on_delivered(s_, true);
    EXPECT_EQ(s_->leases_expired, 0u);
}

TEST_F(SubscriptionTest, AcksTheSnapshotWhenTheReceiverIsDone)
{
    MakeWebhook();
    Wake();
    s_->issued = true;
    Grow(a_, 50);
    struct sl_cursor *later = Link(s_, "a/2", -1, 3);
    sl_subscription_on_delivered(s_, true);
    EXPECT_EQ(a_->acked, 15);
    EXPECT_EQ(later->acked, -1);
    EXPECT_EQ(s_->phase, SL_SUBSCRIPTION_IDLE);
    EXPECT_TRUE(sl_subscription_may_wake(s_, kNow)) << "what came after the snapshot";
}

TEST_F(SubscriptionTest, WaitsForTheCallbackWhenTheReceiverIsNotDone)
{
    MakeWebhook();
    Wake();
    s_->issued = true;
    sl_subscription_extend_lease(s_, kNow);
    sl_subscription_on_delivered(s_, false);
    EXPECT_EQ(s_->phase, SL_SUBSCRIPTION_WAKING);
    EXPECT_FALSE(sl_subscription_wants_issue(s_, kNow));
    EXPECT_EQ(a_->acked, 5);
    EXPECT_EQ(sl_subscription_deadline(s_), kNow + kLease);
}

TEST_F(SubscriptionTest, IssuesTheSameWakeAgainAfterAFailure)
{
    MakeWebhook();
    Wake();
    EXPECT_TRUE(sl_subscription_wants_issue(s_, kNow));
    s_->issued = true;
    EXPECT_FALSE(sl_subscription_wants_issue(s_, kNow));
    sl_subscription_on_failed(s_, kRefused, kNow, 200);
    EXPECT_EQ(s_->retry_count, 1u);
    EXPECT_EQ(s_->next_attempt_ms, kNow + 1000);
    EXPECT_EQ(sl_subscription_deadline(s_), kNow + 1000);
    EXPECT_FALSE(sl_subscription_wants_issue(s_, kNow + 999));
    EXPECT_TRUE(sl_subscription_wants_issue(s_, kNow + 1000));
    EXPECT_EQ(s_->generation, 1u);
}

TEST_F(SubscriptionTest, DoesNotBypassTheBackoffWhenTheLeaseRunsOut)
{
    MakeWebhook();
    Wake();
    s_->issued = true;
    for (unsigned i = 0; i < 5; i++)
        sl_subscription_on_failed(s_, kRefused, kNow, 0);
    uint64_t attempt_ms = s_->next_attempt_ms;
    sl_subscription_end_wake(s_);
    EXPECT_FALSE(sl_subscription_may_wake(s_, attempt_ms - 1));
    EXPECT_EQ(sl_subscription_deadline(s_), attempt_ms);
    EXPECT_TRUE(sl_subscription_may_wake(s_, attempt_ms));
    EXPECT_EQ(s_->retry_count, 5u);
}

TEST_F(SubscriptionTest, ForgetsFailuresAfterASuccess)
{
    MakeWebhook();
    Wake();
    sl_subscription_on_failed(s_, kRefused, kNow, 0);
    s_->issued = true;
    sl_subscription_on_delivered(s_, false);
    EXPECT_EQ(s_->retry_count, 0u);
    EXPECT_EQ(s_->next_attempt_ms, 0u);
    EXPECT_EQ(s_->failure.reason, nullptr);
    sl_subscription_on_failed(s_, kRefused, kNow, 0);
    sl_subscription_on_callback(s_, kNow);
    EXPECT_EQ(s_->retry_count, 0u);
    EXPECT_FALSE(sl_subscription_wants_issue(s_, kNow + 100000)) << "the worker lives";
}

TEST_F(SubscriptionTest, AClaimForgetsThatTheEventFailed)
{
    MakePullWake();
    Wake();
    s_->issued = true;
    sl_subscription_on_failed(s_, kRefused, kNow, 200);
    EXPECT_FALSE(sl_subscription_wants_issue(s_, kNow + 999));
    EXPECT_TRUE(sl_subscription_wants_issue(s_, kNow + 1000));
    EXPECT_EQ(Claim("w"), SL_OK);
    EXPECT_EQ(s_->retry_count, 0u);
    EXPECT_EQ(s_->failure.reason, nullptr);
    EXPECT_EQ(sl_subscription_deadline(s_), kNow + kLease);
}

TEST_F(SubscriptionTest, BacksOffFromOneSecondToSixtyWithAFifthOfJitter)
{
    const uint64_t wanted[] = { 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000 };
    for (unsigned i = 0; i < 8; i++) {
        uint64_t jitter = wanted[i] / 5;
        EXPECT_EQ(sl_retry_delay_ms(i + 1, 0), wanted[i] - jitter);
        EXPECT_EQ(sl_retry_delay_ms(i + 1, jitter), wanted[i]);
        EXPECT_EQ(sl_retry_delay_ms(i + 1, 2 * jitter), wanted[i] + jitter);
        EXPECT_EQ(sl_retry_delay_ms(i + 1, 2 * jitter + 1), wanted[i] - jitter);
    }
    EXPECT_EQ(sl_retry_delay_ms(UINT_MAX, 0), 48000u);
}

TEST_F(SubscriptionTest, FindsACursorWhicheverListIsShorter)
{
    MakePullWake();
    struct sl_subscription *other = Make("t", std::string(kPullWake) + R"("streams":["x"]})");
    std::vector<struct sl_cursor *> mine;
    for (int i = 0; i < 10; i++)
        mine.push_back(Link(s_, "b/" + std::to_string(i), 0, 0));
    for (struct sl_cursor *cursor : mine) {
        EXPECT_EQ(sl_subscription_find(s_, cursor->stream), cursor);
        EXPECT_EQ(sl_subscription_find(other, cursor->stream), nullptr);
    }
    struct sl_cursor *theirs = Link(other, "b/3", 0, 0);
    EXPECT_EQ(sl_subscription_find(other, mine[3]->stream), theirs);
    EXPECT_EQ(sl_subscription_find(s_, mine[3]->stream), mine[3]);
}

} // namespace
