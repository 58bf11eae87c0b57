#include "hooks/hooks_fixture.h"

using namespace sluice_test;

namespace
{

std::string Ack(int offset)
{
    std::string digits = std::to_string(offset);
    return R"("done":true,"acks":[{"stream":"jobs/1","offset":"0000000000000000_)" +
           std::string(16 - digits.size(), '0') + digits + "\"}]";
}

class HooksRequest : public HooksTest
{
  protected:
    /* The memory of all subscriptions. It is published at the end of each turn: of a whole one. */
    size_t Bytes()
    {
        (void)Ask(SL_HOOKS_JWKS, "");
        (void)Ask(SL_HOOKS_JWKS, "");
        return Metric("sluice_subscription_bytes");
    }

    Answer Add(const std::string &id, const std::string &stream)
    {
        return Ask(SL_HOOKS_ADD, id, R"({"streams":[")" + stream + "\"]}");
    }
};

/* Each append has been answered before the worker says that it is done. */
TEST_F(HooksRequest, DoneSaysWhetherThereIsMore)
{
    ASSERT_EQ(Put("a", R"("pattern":"jobs/*")").err, SL_OK);
    ASSERT_EQ(session_->Create("jobs/1").err, SL_OK);
    for (int tail = 2; tail <= 200; tail += 2) {
        ASSERT_EQ(session_->Append("jobs/1", Body("x")).err, SL_OK);
        Answer claim = Claim("a");
        ASSERT_EQ(session_->Append("jobs/1", Body("y")).err, SL_OK);
        ASSERT_EQ(Report("a", claim, Ack(tail - 1)).Member("next_wake"), "true") << tail;
        ASSERT_EQ(Report("a", claim, Ack(tail)).err, SL_ERR_FENCED);
        ASSERT_EQ(Report("a", Claim("a"), Ack(tail)).Member("next_wake"), "false") << tail;
    }
}

TEST_F(HooksRequest, DoneSaysThatThereIsMoreThanWasAcknowledged)
{
    ASSERT_EQ(Put("a", R"("pattern":"jobs/*")").err, SL_OK);
    ASSERT_EQ(session_->Create("jobs/1", Plain().Data("xy")).err, SL_OK);
    EXPECT_EQ(Report("a", Claim("a"), R"("done":true)").Member("next_wake"), "true");
    EXPECT_EQ(Report("a", Claim("a"), Ack(1)).Member("next_wake"), "true");
    Answer claim = Claim("a");
    EXPECT_EQ(Report("a", claim, Ack(3)).err, SL_ERR_INVALID_OFFSET) << "and is not done";
    EXPECT_EQ(Report("a", claim, Ack(2)).Member("next_wake"), "false");
}

/* Changes are taken in many turns; a claim goes on behind those that were answered before it. */
TEST_F(HooksRequest, AClaimSeesAllThatWasAppendedHoweverMuchThereIsToCompare)
{
    for (const char *id : { "b", "c", "d", "e", "f", "g", "h", "i", "j" })
        ASSERT_EQ(Put(id, R"("pattern":"**/none")").err, SL_OK);
    ASSERT_EQ(Put("a", R"("pattern":"*/last")").err, SL_OK);
    Close();
    Prepare();
    for (int i = 0; i < 1000; i++)
        ASSERT_EQ(session_->Create("n/" + std::to_string(i), Plain().Data("x")).err, SL_OK);
    ASSERT_EQ(session_->Create("n/last", Plain().Data("x")).err, SL_OK);
    Start();
    EXPECT_EQ(Claim("a").err, SL_OK);
    EXPECT_EQ(Claim("b").err, SL_ERR_NO_PENDING_WORK);
}

/* More names and patterns than are compared before anybody is served. */
TEST_F(HooksRequest, AStartFindsTheRestOfItsLinksWhileItServes)
{
    const size_t names = 6000;
    links_max_ = 0;
    Reopen();
    for (const char *id : { "b", "c", "d", "e", "f", "g", "h", "i", "j" })
        ASSERT_EQ(Put(id, R"("pattern":"**/none")").err, SL_OK);
    ASSERT_EQ(Put("a", R"("pattern":"**/some")").err, SL_OK);
    for (size_t i = 0; i < names; i++)
        ASSERT_EQ(session_->Create(std::to_string(i) + "/some", Plain().Data("x")).err, SL_OK);
    ASSERT_EQ(session_->Create("empty/some").err, SL_OK);
    EXPECT_EQ(Claim("a").err, SL_ERR_NO_PENDING_WORK) << "no link was left";
    links_max_ = names + 1;
    Reopen();
    Reopen(); /* what was begun is left */
    const auto links = [&] { return Bytes() > 0 ? Metric("sluice_subscription_links") : 0; };
    EXPECT_TRUE(Eventually([&] { return links() == names; }));
    EXPECT_EQ(Claim("a").err, SL_OK);
    EXPECT_EQ(links(), names) << "creating a stream links nothing";
}

/* Nor does a restart, which compares all names with the pattern. */
TEST_F(HooksRequest, CreatingAStreamLinksNothingWhateverAForkInherits)
{
    ASSERT_EQ(session_->Create("source", Plain().Data("abc")).err, SL_OK);
    ASSERT_EQ(Put("a", R"("pattern":"jobs/*")").err, SL_OK);
    ASSERT_EQ(session_->Create("jobs/empty").err, SL_OK);
    ASSERT_EQ(session_->Create("jobs/1", ForkOf("source")).err, SL_OK);
    EXPECT_EQ(Claim("a").err, SL_ERR_NO_PENDING_WORK);
    EXPECT_EQ(Ask(SL_HOOKS_GET, "a").Member("streams"), "[]");
    Reopen();
    EXPECT_EQ(Claim("a").err, SL_ERR_NO_PENDING_WORK);
    EXPECT_EQ(Ask(SL_HOOKS_GET, "a").Member("streams"), "[]");
    ASSERT_EQ(session_->Append("jobs/1", Body("x")).err, SL_OK);
    EXPECT_EQ(Report("a", Claim("a"), Ack(4)).Member("next_wake"), "false");
}

TEST_F(HooksRequest, ASubscriptionBeyondTheMemoryIsRefused)
{
    const std::string pattern = R"("pattern":"jobs/*")";
    ASSERT_EQ(Put("a", pattern).err, SL_OK);
    const size_t size = Bytes();
    bytes_max_ = 2 * size - 1;
    Reopen();
    ASSERT_EQ(Bytes(), size) << "a start finds the same";
    EXPECT_EQ(Put("b", pattern).err, SL_ERR_MEMORY_LIMIT_EXCEEDED);
    EXPECT_EQ(Ask(SL_HOOKS_GET, "b").err, SL_ERR_SUBSCRIPTION_NOT_FOUND);
    EXPECT_EQ(Bytes(), size);
    bytes_max_++;
    Reopen();
    EXPECT_EQ(Put("b", pattern).err, SL_OK);
    EXPECT_EQ(Bytes(), bytes_max_);
    EXPECT_EQ(Put("b", pattern).err, SL_OK) << "it is there";
    EXPECT_EQ(Put("c", pattern).err, SL_ERR_MEMORY_LIMIT_EXCEEDED);
    EXPECT_EQ(Ask(SL_HOOKS_DELETE, "a").err, SL_OK);
    EXPECT_EQ(Put("c", pattern).err, SL_OK);
}

TEST_F(HooksRequest, ALinkBeyondTheMemoryIsRefused)
{
    ASSERT_EQ(Put("a", R"("streams":["x"])").err, SL_OK);
    const size_t before = Bytes();
    ASSERT_EQ(Add("a", "y").err, SL_OK);
    const size_t link = Bytes() - before;
    bytes_max_ = before + 2 * link - 1;
    Reopen();
    EXPECT_EQ(Add("a", "z").err, SL_ERR_MEMORY_LIMIT_EXCEEDED);
    EXPECT_EQ(Ask(SL_HOOKS_GET, "a").text.find("\"z\""), std::string::npos);
    EXPECT_EQ(Put("b", R"("streams":["z"])").err, SL_ERR_MEMORY_LIMIT_EXCEEDED);
    bytes_max_++;
    Reopen();
    EXPECT_EQ(Add("a", "z").err, SL_OK);
    EXPECT_EQ(Bytes(), bytes_max_);
}

TEST_F(HooksRequest, AStartReadsMoreThanThereIsMemoryForNow)
{
    ASSERT_EQ(Put("a", R"("streams":["x","y"])").err, SL_OK);
    bytes_max_ = 1;
    Reopen();
    EXPECT_NE(Ask(SL_HOOKS_GET, "a").text.find("\"y\""), std::string::npos);
    EXPECT_EQ(Add("a", "z").err, SL_ERR_MEMORY_LIMIT_EXCEEDED);
    EXPECT_EQ(Ask(SL_HOOKS_DELETE, "a").err, SL_OK);
    EXPECT_EQ(Bytes(), 0u);
}

/* A request that only holds memory, as those do that the HTTP threads have. */
class HooksHold : public HooksRequest
{
  protected:
    static constexpr size_t kMax = 1000000;

    void SetUp() override
    {
        bytes_max_ = kMax;
        HooksRequest::SetUp();
    }

    void TearDown() override
    {
        sl_hooks_let_go(hooks_, &other_);
        sl_hooks_let_go(hooks_, &one_);
        HooksRequest::TearDown();
    }

    struct sl_hooks_request other_ = {}, one_ = {};
};

TEST_F(HooksHold, AByteTooManyIsRefused)
{
    ASSERT_TRUE(sl_hooks_hold(hooks_, &other_, kMax / 2));
    EXPECT_FALSE(sl_hooks_hold(hooks_, &one_, kMax / 2 + 1));
    EXPECT_EQ(one_.err, SL_ERR_OVERLOADED);
    EXPECT_NE(one_.message, nullptr);
    EXPECT_EQ(one_.held_bytes, 0u);
    EXPECT_TRUE(sl_hooks_hold(hooks_, &one_, kMax / 2 - SL_HOOKS_SMALL_SIZE_MAX - 1));
    EXPECT_FALSE(sl_hooks_hold(hooks_, &one_, SL_HOOKS_SMALL_SIZE_MAX + 2));
    EXPECT_TRUE(sl_hooks_hold(hooks_, &one_, SL_HOOKS_SMALL_SIZE_MAX + 1));
    EXPECT_EQ(one_.held_bytes, kMax / 2);
    sl_hooks_let_go(hooks_, &other_);
    EXPECT_TRUE(sl_hooks_hold(hooks_, &other_, kMax / 2));
}

TEST_F(HooksHold, WhatIsSmallIsNeverRefused)
{
    ASSERT_TRUE(sl_hooks_hold(hooks_, &other_, kMax));
    EXPECT_FALSE(sl_hooks_hold(hooks_, &one_, SL_HOOKS_SMALL_SIZE_MAX + 1));
    EXPECT_TRUE(sl_hooks_hold(hooks_, &one_, SL_HOOKS_SMALL_SIZE_MAX));
    EXPECT_TRUE(sl_hooks_hold(hooks_, &one_, SL_HOOKS_SMALL_SIZE_MAX - 1));
    EXPECT_EQ(one_.held_bytes, 0u);
}

TEST_F(HooksHold, ARequestAloneMayHoldMore)
{
    EXPECT_TRUE(sl_hooks_hold(hooks_, &one_, kMax + 1));
    EXPECT_TRUE(sl_hooks_hold(hooks_, &one_, kMax)) << "it is alone still";
    EXPECT_FALSE(sl_hooks_hold(hooks_, &other_, SL_HOOKS_SMALL_SIZE_MAX + 1));
    sl_hooks_let_go(hooks_, &one_);
    EXPECT_TRUE(sl_hooks_hold(hooks_, &other_, SL_HOOKS_SMALL_SIZE_MAX + 1));
}

TEST_F(HooksHold, AnAnswerWithoutRoomIsRefusedAndChangesNothing)
{
    const std::string large = R"("streams":["jobs/1"],"description":")" +
                              std::string(SL_DESCRIPTION_SIZE_MAX, 'd') + "\"";
    ASSERT_EQ(Put("a", large).err, SL_OK);
    ASSERT_EQ(Put("small", R"("streams":["jobs/1"])").err, SL_OK);
    ASSERT_EQ(session_->Create("jobs/1", Plain().Data("x")).err, SL_OK);
    ASSERT_TRUE(sl_hooks_hold(hooks_, &other_, kMax));
    EXPECT_EQ(Ask(SL_HOOKS_GET, "a").err, SL_ERR_OVERLOADED);
    EXPECT_EQ(Put("a", large).err, SL_ERR_OVERLOADED);
    EXPECT_EQ(Ask(SL_HOOKS_GET, "small").err, SL_OK);
    EXPECT_EQ(Claim("small").err, SL_OK); /* knows of the append now, and so does the other one */
    Answer refused = Claim("a");
    EXPECT_EQ(refused.err, SL_ERR_OVERLOADED);
    EXPECT_EQ(refused.text, "");
    sl_hooks_let_go(hooks_, &other_);
    EXPECT_EQ(Ask(SL_HOOKS_GET, "a").err, SL_OK);
    EXPECT_EQ(Put("a", large).err, SL_OK);
    EXPECT_EQ(Claim("a").Member("generation"), "1");
}

} // namespace
