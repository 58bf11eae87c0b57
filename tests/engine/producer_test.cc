#include "support/engine_fixture.h"

using namespace sluice_test;

SL_ENGINE_SUITE(ProducerTest);

TEST_P(ProducerTest, AcceptsSequencesInOrder)
{
    Make("a");
    for (uint64_t q = 0; q < 50; q++) {
        Reply reply = s().Append("a", Body("x").Producer("p", 0, q));
        EXPECT_EQ(reply.err, SL_OK);
        EXPECT_FALSE(reply.duplicate);
        EXPECT_EQ(reply.stream.tail, q + 1);
    }
}

TEST_P(ProducerTest, StartsAtSequenceZeroWithAnyEpoch)
{
    Make("a");
    Reply gap = s().Append("a", Body("x").Producer("p", 3, 2));
    EXPECT_EQ(gap.err, SL_ERR_SEQUENCE_GAP);
    EXPECT_EQ(gap.expected_sequence, 0u);
    EXPECT_EQ(s().Append("a", Body("x").Producer("p", 7, 0)).err, SL_OK);
    EXPECT_EQ(s().Append("a", Body("x").Producer("q", SL_PRODUCER_NUMBER_MAX, 0)).err, SL_OK);
    EXPECT_EQ(s().Head("a").stream.tail, 2u);
}

TEST_P(ProducerTest, AnswersADuplicateWithTheHighestSequence)
{
    Make("a");
    for (uint64_t q = 0; q < 5; q++)
        ASSERT_EQ(s().Append("a", Body("x").Producer("p", 2, q)).err, SL_OK);
    for (uint64_t q = 0; q < 5; q++) {
        Reply reply = s().Append("a", Body("other body").Producer("p", 2, q));
        EXPECT_EQ(reply.err, SL_OK);
        EXPECT_TRUE(reply.duplicate);
        EXPECT_EQ(reply.producer_epoch, 2u);
        EXPECT_EQ(reply.producer_sequence, 4u);
        EXPECT_EQ(reply.stream.tail, 5u);
    }
    EXPECT_EQ(s().ReadAll("a"), "xxxxx");
}

TEST_P(ProducerTest, TellsWhatItExpectsAfterAGap)
{
    Make("a");
    ASSERT_EQ(s().Append("a", Body("x").Producer("p", 0, 0)).err, SL_OK);
    for (uint64_t q : { UINT64_C(2), UINT64_C(3), SL_PRODUCER_NUMBER_MAX }) {
        Reply reply = s().Append("a", Body("x").Producer("p", 0, q));
        EXPECT_EQ(reply.err, SL_ERR_SEQUENCE_GAP);
        EXPECT_EQ(reply.expected_sequence, 1u);
    }
    EXPECT_EQ(s().Append("a", Body("x").Producer("p", 0, 1)).err, SL_OK);
}

TEST_P(ProducerTest, FencesOldEpochs)
{
    Make("a");
    ASSERT_EQ(s().Append("a", Body("x").Producer("p", 1, 0)).err, SL_OK);
    ASSERT_EQ(s().Append("a", Body("x").Producer("p", 4, 0)).err, SL_OK);
    for (uint64_t q : { 0u, 1u, 9u }) {
        Reply reply = s().Append("a", Body("x").Producer("p", 3, q));
        EXPECT_EQ(reply.err, SL_ERR_EPOCH_FENCED);
        EXPECT_EQ(reply.producer_epoch, 4u);
    }
    EXPECT_EQ(s().Append("a", Body("x").Producer("p", 4, 1)).err, SL_OK);
    EXPECT_EQ(s().Head("a").stream.tail, 3u);
}

TEST_P(ProducerTest, StartsANewEpochAtSequenceZero)
{
    Make("a");
    ASSERT_EQ(s().Append("a", Body("x").Producer("p", 0, 0)).err, SL_OK);
    EXPECT_EQ(s().Append("a", Body("x").Producer("p", 1, 1)).err, SL_ERR_INVALID_PRODUCER_STATE);
    EXPECT_EQ(s().Append("a", Body("x").Producer("p", 0, 1)).err, SL_OK);
    EXPECT_EQ(s().Append("a", Body("x").Producer("p", 1, 0)).err, SL_OK);
    EXPECT_EQ(s().Append("a", Body("x").Producer("p", 1, 1)).err, SL_OK);
}

TEST_P(ProducerTest, IdsAreIndependentAndComparedAsBytes)
{
    Make("a");
    std::string with_nul("p\0q", 3);
    for (const std::string &id :
         { std::string("p"), std::string("P"), std::string("pp"), with_nul })
        EXPECT_FALSE(s().Append("a", Body("x").Producer(id, 0, 0)).duplicate);
    EXPECT_EQ(s().Head("a").stream.tail, 4u);
}

TEST_P(ProducerTest, StateIsOfOneStream)
{
    Make("a");
    Make("b");
    ASSERT_EQ(s().Append("a", Body("x").Producer("p", 0, 0)).err, SL_OK);
    EXPECT_FALSE(s().Append("b", Body("x").Producer("p", 0, 0)).duplicate);
    EXPECT_EQ(s().Append("b", Body("x").Producer("p", 0, 2)).err, SL_ERR_SEQUENCE_GAP);
}

TEST_P(ProducerTest, OneRequestIsOneSequenceHoweverManyMessages)
{
    Make("a", Json());
    EXPECT_EQ(s().Append("a", JsonBody("[1,2,3]").Producer("p", 0, 0)).err, SL_OK);
    EXPECT_EQ(s().Append("a", JsonBody("4").Part("5").Producer("p", 0, 1)).err, SL_OK);
    EXPECT_EQ(s().ReadAll("a"), "1,2,3,4,5,");
}

TEST_P(ProducerTest, ADuplicateIsDecidedBeforeSeqAndJson)
{
    Make("a", Json());
    ASSERT_EQ(s().Append("a", JsonBody("1").Producer("p", 0, 0).Seq("5")).err, SL_OK);
    EXPECT_TRUE(s().Append("a", JsonBody("1").Producer("p", 0, 0).Seq("5")).duplicate);
    EXPECT_TRUE(s().Append("a", JsonBody("1").Producer("p", 0, 0).Seq("1")).duplicate);
    EXPECT_TRUE(s().Append("a", JsonBody("{").Producer("p", 0, 0)).duplicate);
    EXPECT_TRUE(s().Append("a", JsonBody("[]").Producer("p", 0, 0)).duplicate);
    EXPECT_EQ(s().ReadAll("a"), "1,");
}

TEST_P(ProducerTest, ADuplicateIsDecidedAfterEmptyBodyAndContentType)
{
    Make("a", Json());
    ASSERT_EQ(s().Append("a", JsonBody("1").Producer("p", 0, 0)).err, SL_OK);
    EXPECT_EQ(s().Append("a", Body("1").Producer("p", 0, 0)).err, SL_ERR_CONTENT_TYPE_MISMATCH);
    EXPECT_EQ(s().Append("a", AppendRequest().Producer("p", 0, 0)).err, SL_ERR_EMPTY_BODY);
    EXPECT_EQ(s().Append("a", Body("1").Producer("p", 0, 9)).err, SL_ERR_CONTENT_TYPE_MISMATCH);
}

TEST_P(ProducerTest, AFailureLeavesTheStateAlone)
{
    Make("a", Json());
    ASSERT_EQ(s().Append("a", JsonBody("1").Producer("p", 0, 0).Seq("5")).err, SL_OK);
    EXPECT_EQ(s().Append("a", JsonBody("{").Producer("p", 0, 1)).err, SL_ERR_INVALID_JSON);
    EXPECT_EQ(s().Append("a", JsonBody("[]").Producer("p", 0, 1)).err, SL_ERR_EMPTY_ARRAY);
    EXPECT_EQ(s().Append("a", JsonBody("2").Producer("p", 0, 1).Seq("5")).err,
              SL_ERR_SEQ_ORDERING_VIOLATION);
    EXPECT_EQ(s().Append("a", JsonBody("{").Producer("p", 1, 0)).err, SL_ERR_INVALID_JSON);
    EXPECT_EQ(s().Append("a", JsonBody("{").Producer("new", 9, 0)).err, SL_ERR_INVALID_JSON);
    EXPECT_EQ(s().Append("a", JsonBody("3").Producer("new", 8, 0)).err, SL_OK);
    Reply reply = s().Append("a", JsonBody("2").Producer("p", 0, 1));
    EXPECT_EQ(reply.err, SL_OK);
    EXPECT_FALSE(reply.duplicate);
    EXPECT_EQ(s().ReadAll("a"), "1,3,2,");
}

TEST_P(ProducerTest, CloseOnlyTakesASequence)
{
    Make("a");
    ASSERT_EQ(s().Append("a", Body("x").Producer("p", 0, 0)).err, SL_OK);
    EXPECT_EQ(s().Append("a", CloseOnly().Producer("p", 0, 2)).err, SL_ERR_SEQUENCE_GAP);
    Reply closed = s().Append("a", CloseOnly().Producer("p", 0, 1));
    EXPECT_EQ(closed.err, SL_OK);
    EXPECT_FALSE(closed.duplicate);
    EXPECT_TRUE(closed.stream.closed);
}

TEST_P(ProducerTest, TheClosingTupleMayBeRepeatedWithAnyBody)
{
    for (bool with_data : { false, true }) {
        std::string name = with_data ? "data" : "empty";
        Make(name);
        ASSERT_EQ(s().Append(name, Body("x").Producer("p", 3, 0)).err, SL_OK);
        AppendRequest closing = with_data ? Body("end").Close() : CloseOnly();
        ASSERT_EQ(s().Append(name, closing.Producer("p", 3, 1)).err, SL_OK);
        uint64_t tail = s().Head(name).stream.tail;
        for (const AppendRequest &repeat :
             { closing, CloseOnly().Producer("p", 3, 1), Body("other").Producer("p", 3, 1),
               Body("other").Close().Type("image/png").Producer("p", 3, 1).Seq("1") }) {
            Reply reply = s().Append(name, repeat);
            EXPECT_EQ(reply.err, SL_OK);
            EXPECT_TRUE(reply.duplicate);
            EXPECT_EQ(reply.producer_epoch, 3u);
            EXPECT_EQ(reply.producer_sequence, 1u);
            EXPECT_TRUE(reply.stream.closed);
            EXPECT_EQ(reply.stream.tail, tail);
        }
    }
}

TEST_P(ProducerTest, ClosedBeatsEveryOtherProducerAnswer)
{
    Make("a");
    ASSERT_EQ(s().Append("a", Body("x").Producer("p", 3, 0)).err, SL_OK);
    ASSERT_EQ(s().Append("a", Body("y").Close().Producer("p", 3, 1)).err, SL_OK);
    struct {
        const char *id;
        uint64_t epoch, sequence;
    } const others[] = { { "p", 3, 0 }, { "p", 3, 2 }, { "p", 3, 9 }, { "p", 2, 1 },
                         { "p", 4, 0 }, { "p", 4, 1 }, { "q", 3, 1 }, { "q", 0, 0 } };
    for (const auto &other : others) {
        AppendRequest close = CloseOnly().Producer(other.id, other.epoch, other.sequence);
        AppendRequest body = Body("z").Producer(other.id, other.epoch, other.sequence);
        EXPECT_EQ(s().Append("a", close).err, SL_ERR_STREAM_CLOSED);
        EXPECT_EQ(s().Append("a", body).err, SL_ERR_STREAM_CLOSED);
    }
    EXPECT_EQ(s().Append("a", CloseOnly()).err, SL_OK);
    EXPECT_EQ(s().ReadAll("a"), "xy");
}

TEST_P(ProducerTest, APlainCloseHasNoTuple)
{
    Make("a");
    ASSERT_EQ(s().Append("a", Body("x").Producer("p", 0, 0)).err, SL_OK);
    ASSERT_EQ(s().Append("a", CloseOnly()).err, SL_OK);
    EXPECT_EQ(s().Append("a", Body("x").Producer("p", 0, 0)).err, SL_ERR_STREAM_CLOSED);
    EXPECT_EQ(s().Append("a", CloseOnly().Producer("p", 0, 1)).err, SL_ERR_STREAM_CLOSED);
}

TEST_P(ProducerTest, ADuplicateThatWantsToCloseLeavesTheStreamOpen)
{
    Make("a");
    ASSERT_EQ(s().Append("a", Body("x").Producer("p", 0, 0)).err, SL_OK);
    for (const AppendRequest &request :
         { Body("x").Close().Producer("p", 0, 0), CloseOnly().Producer("p", 0, 0) }) {
        Reply reply = s().Append("a", request);
        EXPECT_EQ(reply.err, SL_OK);
        EXPECT_TRUE(reply.duplicate);
        EXPECT_FALSE(reply.stream.closed);
    }
    EXPECT_EQ(s().Append("a", Body("y").Producer("p", 0, 1)).err, SL_OK);
}

TEST_P(ProducerTest, AFailedCloseIsNotAClosingTuple)
{
    Make("a", Json());
    EXPECT_EQ(s().Append("a", JsonBody("{").Close().Producer("p", 0, 0)).err, SL_ERR_INVALID_JSON);
    ASSERT_EQ(s().Append("a", CloseOnly()).err, SL_OK);
    EXPECT_EQ(s().Append("a", JsonBody("1").Close().Producer("p", 0, 0)).err, SL_ERR_STREAM_CLOSED);
}

TEST_P(ProducerTest, IsForgottenWithTheStream)
{
    Make("a");
    ASSERT_EQ(s().Append("a", Body("x").Producer("p", 5, 0).Seq("9")).err, SL_OK);
    ASSERT_EQ(s().Delete("a"), SL_OK);
    Make("a");
    Reply reply = s().Append("a", Body("x").Producer("p", 0, 0).Seq("1"));
    EXPECT_EQ(reply.err, SL_OK);
    EXPECT_FALSE(reply.duplicate);
}

TEST_P(ProducerTest, RefusesWhatIsOutOfRange)
{
    Make("a");
    std::string longest(SL_PRODUCER_ID_SIZE_MAX, 'p');
    EXPECT_EQ(s().Append("a", Body("x").Producer(longest, 0, 0)).err, SL_OK);
    EXPECT_NE(s().Append("a", Body("x").Producer(longest + "p", 0, 0)).err, SL_OK);
    EXPECT_NE(s().Append("a", Body("x").Producer("", 0, 0)).err, SL_OK);
    EXPECT_NE(s().Append("a", Body("x").Producer("q", SL_PRODUCER_NUMBER_MAX + 1, 0)).err, SL_OK);
    EXPECT_NE(s().Append("a", Body("x").Producer("q", 0, SL_PRODUCER_NUMBER_MAX + 1)).err, SL_OK);
    EXPECT_EQ(s().Head("a").stream.tail, 1u);
}

TEST_P(ProducerTest, RetriesOfSeveralThreadsLandOnce)
{
    Make("a");
    constexpr int kThreads = 4;
    constexpr uint64_t kAppends = 100;
    std::vector<std::thread> threads;
    std::vector<uint64_t> accepted(kThreads);
    for (int t = 0; t < kThreads; t++)
        threads.emplace_back([&, t] {
            Session session(engine());
            for (uint64_t q = 0; q < kAppends; q++) {
                Reply reply = session.Append("a", Body("x").Producer("p", 0, q));
                ASSERT_EQ(reply.err, SL_OK) << q;
                accepted[static_cast<size_t>(t)] += reply.duplicate ? 0 : 1;
            }
        });
    for (std::thread &thread : threads)
        thread.join();
    uint64_t sum = 0;
    for (uint64_t count : accepted)
        sum += count;
    EXPECT_EQ(sum, kAppends);
    EXPECT_EQ(s().Head("a").stream.tail, kAppends);
}
