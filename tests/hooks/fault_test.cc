#include "hooks/hooks_fixture.h"

using namespace sluice_test;

namespace
{

constexpr char kAck[] =
    R"("acks":[{"stream":"jobs/1","offset":"0000000000000000_0000000000000001"}])";

class HooksFault : public HooksTest
{
  protected:
    /* A subscription with something to be done. */
    void MakePending(const std::string &id = "a")
    {
        ASSERT_EQ(Put(id, R"("pattern":"jobs/*")").err, SL_OK);
        ASSERT_EQ(session_->Create("jobs/1", Plain().Data("xy")).err, SL_OK);
    }
};

TEST_F(HooksFault, AFullDiskIsSaidAndRefusesWhatIsNew)
{
    MakePending();
    Answer claim = Claim("a");
    ASSERT_EQ(claim.err, SL_OK);
    FillDisk();
    EXPECT_EQ(Put("b", R"("pattern":"jobs/*")").err, SL_ERR_DISK_FULL);
    EXPECT_EQ(Ask(SL_HOOKS_GET, "b").err, SL_ERR_SUBSCRIPTION_NOT_FOUND);
    EXPECT_EQ(Ask(SL_HOOKS_GET, "a").err, SL_OK) << "all of it is durable";
    EXPECT_EQ(Report("a", claim, kAck).err, SL_ERR_DISK_FULL);
    EXPECT_EQ(Ask(SL_HOOKS_GET, "a").err, SL_ERR_DISK_FULL) << "a crash could take the ack back";
    EXPECT_EQ(Claim("a").err, SL_ERR_DISK_FULL);
    MakeSpace();
    Answer view = Ask(SL_HOOKS_GET, "a");
    EXPECT_EQ(view.err, SL_OK);
    EXPECT_NE(view.text.find("_0000000000000001"), std::string::npos) << view.text;
    EXPECT_EQ(Report("a", claim, kAck).err, SL_OK) << "the lease was not lost";
    EXPECT_EQ(Put("b", R"("pattern":"jobs/*")").err, SL_OK);
}

TEST_F(HooksFault, AClaimThatWasNotToldIsGivenBack)
{
    MakePending();
    FillDisk();
    EXPECT_EQ(Claim("a").err, SL_ERR_DISK_FULL);
    EXPECT_EQ(Claim("a").err, SL_ERR_DISK_FULL);
    MakeSpace();
    EXPECT_EQ(Claim("a").err, SL_OK) << "its lease of ten minutes is nobody's";
    EXPECT_EQ(Claim("a").err, SL_ERR_ALREADY_CLAIMED);
}

TEST_F(HooksFault, WhatBecamePendingOnAFullDiskWakesWhenThereIsSpace)
{
    const auto events = [&] { return session_->Head("w").stream.tail; };
    ASSERT_EQ(session_->Create("w", Json()).err, SL_OK);
    MakePending();
    ASSERT_TRUE(Eventually([&] { return events() > 0; }));
    Answer claim = Claim("a");
    ASSERT_EQ(claim.err, SL_OK);
    const uint64_t before = events();
    FillDisk();
    EXPECT_EQ(Report("a", claim, R"("done":true)").err, SL_ERR_DISK_FULL) << "the next wake begins";
    EXPECT_EQ(events(), before) << "and is not told before it is durable";
    MakeSpace();
    EXPECT_TRUE(Eventually([&] { return events() > before; })) << "nobody has to ask for it";
}

TEST_F(HooksFault, AFailedLogIsSaidAndARestartKnowsWhatWasAnswered)
{
    MakePending();
    ASSERT_EQ(Ask(SL_HOOKS_GET, "a").err, SL_OK);
    disk_.FailNth(DiskCall::kWrite, 1, EIO, true);
    EXPECT_EQ(Claim("a").err, SL_ERR_STORAGE_FAILED);
    EXPECT_EQ(Claim("a").err, SL_ERR_STORAGE_FAILED);
    EXPECT_EQ(Put("b", R"("pattern":"jobs/*")").err, SL_ERR_STORAGE_FAILED);
    EXPECT_EQ(Ask(SL_HOOKS_GET, "b").err, SL_ERR_SUBSCRIPTION_NOT_FOUND);
    EXPECT_EQ(Ask(SL_HOOKS_DELETE, "a").err, SL_ERR_STORAGE_FAILED);
    EXPECT_EQ(Ask(SL_HOOKS_GET, "a").err, SL_ERR_STORAGE_FAILED) << "it may be gone, or not";
    Close();
    disk_.FailNth(DiskCall::kWrite, 0, 0);
    Open();
    EXPECT_EQ(Ask(SL_HOOKS_GET, "b").err, SL_ERR_SUBSCRIPTION_NOT_FOUND);
    EXPECT_EQ(Claim("a").err, SL_OK);
}

/* Each write of a life fails once; what was answered with OK is there after a restart. */
TEST_F(HooksFault, WhicheverWriteFailsNothingThatWasAnsweredIsLost)
{
    for (unsigned n = 1; n <= 12; n++) {
        const std::string id = "s" + std::to_string(n), name = "jobs/" + std::to_string(n);
        disk_.FailNth(DiskCall::kWrite, n, EIO, true);
        bool is_put = Put(id, R"("pattern":")" + name + "\"").err == SL_OK;
        bool is_pending = session_->Create(name, Plain().Data("x")).err == SL_OK;
        Answer claim = is_put && is_pending ? Claim(id) : Answer{ SL_ERR_CANCELLED, "" };
        bool is_done = claim.err == SL_OK && Report(id, claim, R"("done":true)").err == SL_OK;
        Close();
        disk_.FailNth(DiskCall::kWrite, 0, 0);
        Open();
        if (is_put) {
            EXPECT_EQ(Ask(SL_HOOKS_GET, id).err, SL_OK) << n;
        }
        /* A claim that failed may have happened. */
        enum sl_err again = is_put && is_pending ? Claim(id).err : SL_OK;
        EXPECT_TRUE(again == SL_OK || (again == SL_ERR_ALREADY_CLAIMED && !is_done)) << n;
        (void)Ask(SL_HOOKS_DELETE, id);
    }
}

TEST_F(HooksFault, AStartReadsMoreLinksThanMayBeMadeNow)
{
    ASSERT_EQ(Put("a", R"("streams":["x","y","z"])").err, SL_OK);
    Close();
    links_max_ = 1;
    Open();
    EXPECT_NE(Ask(SL_HOOKS_GET, "a").text.find("\"path\":\"z\""), std::string::npos);
    EXPECT_EQ(Ask(SL_HOOKS_ADD, "a", R"({"streams":["v"]})").err, SL_ERR_TOO_MANY_LINKS);
}

} // namespace
