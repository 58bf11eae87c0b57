#include "base/limits.h"
#include "support/engine_fixture.h"

using namespace sluice_test;

SL_ENGINE_SUITE(LimitTest);

TEST_P(LimitTest, NamesAreNotEmpty)
{
    EXPECT_EQ(s().Create("").err, SL_ERR_INVALID_STREAM_NAME);
    EXPECT_EQ(s().Append("", Body("x")).err, SL_ERR_INVALID_STREAM_NAME);
    EXPECT_EQ(s().Read("").err, SL_ERR_INVALID_STREAM_NAME);
    EXPECT_EQ(s().Head("").err, SL_ERR_INVALID_STREAM_NAME);
    EXPECT_EQ(s().Delete(""), SL_ERR_INVALID_STREAM_NAME);
    EXPECT_NE(s().Create("f", ForkOf("")).err, SL_OK);
    EXPECT_TRUE(s().List().empty());
}

TEST_P(LimitTest, NamesHaveASize)
{
    for (size_t size = SL_NAME_SIZE_MAX - 1; size <= SL_NAME_SIZE_MAX; size++) {
        std::string name(size, 'n');
        Make(name, Plain().Data("x"));
        EXPECT_EQ(s().ReadAll(name), "x");
        Make(name.substr(1) + "f", ForkOf(name));
        EXPECT_EQ(s().List(name), (std::vector<std::string>{ name }));
        ASSERT_EQ(s().Delete(name.substr(1) + "f"), SL_OK);
        ASSERT_EQ(s().Delete(name), SL_OK);
        ASSERT_TRUE(Becomes(name, SL_ERR_NOT_FOUND));
    }
    std::string name(SL_NAME_SIZE_MAX + 1, 'n');
    EXPECT_EQ(s().Create(name).err, SL_ERR_NAME_TOO_LONG);
    EXPECT_EQ(s().Append(name, Body("x")).err, SL_ERR_NAME_TOO_LONG);
    EXPECT_EQ(s().Read(name).err, SL_ERR_NAME_TOO_LONG);
    EXPECT_EQ(s().Head(name).err, SL_ERR_NAME_TOO_LONG);
    EXPECT_EQ(s().Delete(name), SL_ERR_NAME_TOO_LONG);
    EXPECT_NE(s().Create("f", ForkOf(name)).err, SL_OK);
    EXPECT_TRUE(s().List().empty());
}

TEST_P(LimitTest, StreamsAreCountedOverAllShards)
{
    constexpr uint64_t kStreams = 40;
    Open(kStreams);
    for (uint64_t i = 0; i < kStreams; i++)
        Make(std::to_string(i));
    EXPECT_EQ(s().Create("more").err, SL_ERR_TOO_MANY_STREAMS);
    EXPECT_EQ(s().Create("more", ForkOf("0")).err, SL_ERR_TOO_MANY_STREAMS);
    EXPECT_EQ(s().Head("more").err, SL_ERR_NOT_FOUND);
    EXPECT_EQ(s().Create("0").err, SL_OK) << "it is there";
    EXPECT_EQ(s().Append("0", Body("x")).err, SL_OK);
    ASSERT_EQ(s().Delete("0"), SL_OK) << "the refused fork holds nothing";
    ASSERT_TRUE(Becomes("0", SL_ERR_NOT_FOUND));
    EXPECT_TRUE(Eventually([&] { return s().Create("more").err == SL_OK; }));
    EXPECT_EQ(s().Create("0").err, SL_ERR_TOO_MANY_STREAMS);
}

TEST_P(LimitTest, SoftDeletedStreamsCountAndExpiredOnesMakeRoom)
{
    Open(4);
    Make("a");
    Make("f", ForkOf("a"));
    ASSERT_EQ(s().Delete("a"), SL_OK);
    Make("b");
    Make("c", Plain().Ttl(0));
    EXPECT_TRUE(Eventually([&] { return s().Create("d").err == SL_OK; }));
    EXPECT_EQ(s().Create("e").err, SL_ERR_TOO_MANY_STREAMS);
    ASSERT_EQ(s().Delete("f"), SL_OK);
    EXPECT_TRUE(Eventually([&] { return s().Create("e").err == SL_OK; }));
    EXPECT_TRUE(Eventually([&] { return s().Create("g").err == SL_OK; }));
}

TEST_P(LimitTest, ProducersAreCountedPerStream)
{
    constexpr unsigned kProducers = 5;
    Open(0, kProducers);
    Make("a", Json());
    Make("b");
    for (unsigned i = 0; i < kProducers; i++)
        ASSERT_EQ(s().Append("a", JsonBody("1").Producer(std::to_string(i), 0, 0)).err, SL_OK);
    uint64_t tail = s().Head("a").stream.tail;
    EXPECT_EQ(s().Append("a", JsonBody("1").Producer("more", 0, 0)).err, SL_ERR_TOO_MANY_PRODUCERS);
    EXPECT_EQ(s().Append("a", JsonBody("{").Producer("more", 0, 0)).err, SL_ERR_TOO_MANY_PRODUCERS)
        << "before the body is looked at";
    EXPECT_EQ(s().Append("a", JsonBody("1").Producer("more", 0, 1)).err, SL_ERR_SEQUENCE_GAP);
    EXPECT_EQ(s().Append("a", CloseOnly().Producer("more", 0, 0)).err, SL_ERR_TOO_MANY_PRODUCERS);
    EXPECT_EQ(s().Head("a").stream.tail, tail);
    EXPECT_FALSE(s().Head("a").stream.closed);
    EXPECT_TRUE(s().Append("a", JsonBody("1").Producer("0", 0, 0)).duplicate);
    EXPECT_EQ(s().Append("a", JsonBody("1").Producer("0", 0, 1)).err, SL_OK);
    EXPECT_EQ(s().Append("a", JsonBody("1").Producer("1", 1, 0)).err, SL_OK);
    EXPECT_EQ(s().Append("a", JsonBody("1")).err, SL_OK);
    EXPECT_EQ(s().Append("b", Body("1").Producer("more", 0, 0)).err, SL_OK);
}

TEST_P(LimitTest, RefusedProducersAreNotCounted)
{
    Open(0, 1);
    Make("a", Json());
    EXPECT_EQ(s().Append("a", JsonBody("{").Producer("p", 0, 0)).err, SL_ERR_INVALID_JSON);
    EXPECT_EQ(s().Append("a", JsonBody("1").Producer("q", 0, 1)).err, SL_ERR_SEQUENCE_GAP);
    EXPECT_EQ(s().Append("a", JsonBody("1").Producer("r", 0, 0)).err, SL_OK);
}

TEST_P(LimitTest, MessagesOfARequestAreCounted)
{
    auto array_of = [](size_t count) {
        std::string text = "[";
        for (size_t i = 0; i < count; i++)
            text += "1,";
        text.back() = ']';
        return text;
    };
    Make("a", Json());
    constexpr uint64_t kMax = SL_MESSAGES_PER_REQUEST_MAX;
    EXPECT_EQ(s().Append("a", JsonBody(array_of(kMax + 1))).err, SL_ERR_TOO_MANY_MESSAGES);
    EXPECT_EQ(s().Append("a", JsonBody(array_of(kMax)).Part("2")).err, SL_ERR_TOO_MANY_MESSAGES);
    EXPECT_EQ(s().Create("b", Json().Data(array_of(kMax + 1))).err, SL_ERR_TOO_MANY_MESSAGES);
    EXPECT_EQ(s().Head("a").stream.tail, 0u);
    EXPECT_EQ(s().Head("b").err, SL_ERR_NOT_FOUND);
    EXPECT_EQ(s().Append("a", JsonBody(array_of(kMax))).stream.tail, 2 * kMax);
    EXPECT_EQ(s().Append("a", JsonBody(array_of(kMax - 1)).Part("2")).err, SL_OK);
}

TEST_P(LimitTest, ReadsHaveAPageAndAPieceOfAtLeastOneByte)
{
    Make("a", Plain().Data("abc"));
    EXPECT_EQ(s().Read("a", FromStart().Page(1).Piece(1)).data, "a");
}

/* The budget holds for all shards together, so one stream may use only its shard's part. */
class BudgetTest : public EngineTest
{
  protected:
    static constexpr uint64_t kBudget = 32 << 20;
    const std::string block_ = std::string(100000, 'b');

    void SetUp() override
    {
        Open(0, 0, kBudget);
    }
    uint64_t Fill(const std::string &name)
    {
        Make(name);
        Reply reply;
        uint64_t appends = 0;
        for (; appends < 2 * kBudget / block_.size(); appends++)
            if ((reply = s().Append(name, Body(block_))).err != SL_OK)
                break;
        EXPECT_EQ(reply.err, SL_ERR_MEMORY_LIMIT_EXCEEDED);
        return appends;
    }
};
INSTANTIATE_TEST_SUITE_P(Engine, BudgetTest, testing::Values(1u, 4u), ShardsOf);

TEST_P(BudgetTest, IsUsedUpAndNotOverdrawn)
{
    uint64_t appends = Fill("a");
    EXPECT_GE(appends * block_.size(), kBudget / Shards() / 2);
    EXPECT_LE(appends * block_.size(), kBudget);
    EXPECT_LE(Status().memory_used_bytes, kBudget);
}

TEST_P(BudgetTest, ARefusedAppendLeavesEverythingUnchanged)
{
    uint64_t tail = Fill("a") * block_.size();
    EXPECT_EQ(s().Append("a", Body(block_).Close().Seq("9").Producer("p", 0, 0)).err,
              SL_ERR_MEMORY_LIMIT_EXCEEDED);
    Reply head = s().Head("a");
    EXPECT_EQ(head.stream.tail, tail);
    EXPECT_FALSE(head.stream.closed);
    EXPECT_EQ(s().ReadAll("a").size(), tail);
}

TEST_P(BudgetTest, ARefusedAppendLeavesSeqAndProducerUnchanged)
{
    Make("seq");
    ASSERT_EQ(s().Append("seq", Body("x").Seq("1").Producer("p", 0, 0)).err, SL_OK);
    Reply refused;
    for (uint64_t i = 0; i < 2 * kBudget / block_.size() && refused.err == SL_OK; i++)
        refused = s().Append("seq", Body(block_));
    ASSERT_EQ(refused.err, SL_ERR_MEMORY_LIMIT_EXCEEDED);
    const std::string large(2 * block_.size(), 'l');
    EXPECT_EQ(s().Append("seq", Body(large).Seq("5").Producer("p", 0, 1)).err,
              SL_ERR_MEMORY_LIMIT_EXCEEDED);
    EXPECT_EQ(s().Append("seq", CloseOnly().Producer("p", 0, 2)).err, SL_ERR_SEQUENCE_GAP)
        << "the refused sequence does not count";
    Reply duplicate = s().Append("seq", Body(large).Producer("p", 0, 0));
    EXPECT_TRUE(duplicate.duplicate);
    EXPECT_EQ(duplicate.producer_sequence, 0u);
    EXPECT_EQ(s().Append("seq", Body("y").Seq("1")).err, SL_ERR_SEQ_ORDERING_VIOLATION);
}

TEST_P(BudgetTest, ReadsAndDeletesGoOnAndMakeRoom)
{
    for (int round = 0; round < 3; round++) {
        std::string all;
        uint64_t appends = Fill("a");
        for (uint64_t i = 0; i < appends; i++)
            all += block_;
        EXPECT_TRUE(s().ReadAll("a") == all);
        EXPECT_EQ(s().Read("a", FromNow()).err, SL_OK);
        ASSERT_EQ(s().Delete("a"), SL_OK);
        EXPECT_TRUE(Eventually([&] { return Status().memory_used_bytes < kBudget / 4; }));
    }
}

TEST_P(BudgetTest, RefusesCreatesWithDataWhole)
{
    enum sl_err err = SL_OK;
    uint64_t made = 0;
    for (; err == SL_OK && made < 4 * kBudget / block_.size(); made++)
        err = s().Create("a" + std::to_string(made), Plain().Data(block_)).err;
    EXPECT_EQ(err, SL_ERR_MEMORY_LIMIT_EXCEEDED);
    EXPECT_EQ(s().Head("a" + std::to_string(made - 1)).err, SL_ERR_NOT_FOUND);
}

/* A shard keeps what it will need again: one open slab, the buckets of its tables. */
TEST_P(BudgetTest, EveryByteOfAStreamIsGivenBack)
{
    uint64_t after_one = 0;
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 50; i++) {
            std::string n = std::to_string(i);
            Make("a" + n, Json().Data("[1,2,3]").Ttl(1000));
            for (int j = 0; j < 20; j++) {
                AppendRequest request = JsonBody("[4,5]").Producer(n + std::to_string(j), 0, 0);
                request.Seq(std::string(1, static_cast<char>('a' + j)));
                ASSERT_EQ(s().Append("a" + n, request).err, SL_OK);
            }
            Make("f" + n, ForkOf("a" + n).Data("[6]"));
            ASSERT_EQ(s().Append("f" + n, JsonBody("7").Close()).err, SL_OK);
        }
        uint64_t full = Status().memory_used_bytes;
        for (int i = 0; i < 50; i++) {
            ASSERT_EQ(s().Delete("a" + std::to_string(i)), SL_OK);
            ASSERT_EQ(s().Delete("f" + std::to_string(i)), SL_OK);
        }
        EXPECT_TRUE(Eventually([&] { return Status().streams == 0; }));
        if (round == 0)
            after_one = Status().memory_used_bytes;
        EXPECT_LT(after_one, full);
        EXPECT_TRUE(Eventually([&] { return Status().memory_used_bytes <= after_one; }))
            << Status().memory_used_bytes << " of " << after_one;
    }
}
