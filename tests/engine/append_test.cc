#include "support/engine_fixture.h"

using namespace sluice_test;

SL_ENGINE_SUITE(AppendTest);
SL_ENGINE_SUITE(BatchTest);
SL_ENGINE_SUITE(CloseTest);

TEST_P(AppendTest, MovesTheTailByThePayload)
{
    uint64_t id = Make("a").stream.id;
    uint64_t tail = 0;
    std::string all;
    for (int i = 0; i < 100; i++) {
        std::string data(static_cast<size_t>(1 + i * 37 % 300), static_cast<char>('a' + i % 26));
        Reply reply = s().Append("a", Body(data));
        ASSERT_EQ(reply.err, SL_OK);
        EXPECT_EQ(reply.stream.id, id);
        EXPECT_GT(reply.stream.tail, tail);
        EXPECT_EQ(reply.stream.tail, tail + data.size());
        EXPECT_FALSE(reply.stream.closed);
        EXPECT_FALSE(reply.duplicate);
        tail = reply.stream.tail;
        all += data;
    }
    EXPECT_EQ(s().ReadAll("a"), all);
}

TEST_P(AppendTest, KeepsEveryByteValueAndLargePayloads)
{
    Make("a");
    std::string all;
    for (size_t size : { 1u, 255u, 4096u, 65535u, 65536u, 65537u, 262143u, 262145u, 3000001u }) {
        std::string data(size, 0);
        for (size_t i = 0; i < size; i++)
            data[i] = static_cast<char>(i * 31 + size);
        ASSERT_EQ(s().Append("a", Body(data)).err, SL_OK);
        all += data;
    }
    EXPECT_TRUE(s().ReadAll("a") == all);
    EXPECT_TRUE(s().ReadAll("a", 70001, 1009) == all);
}

TEST_P(AppendTest, NeedsTheStream)
{
    EXPECT_EQ(s().Append("a", Body("x")).err, SL_ERR_NOT_FOUND);
    EXPECT_EQ(s().Append("a", CloseOnly()).err, SL_ERR_NOT_FOUND);
    EXPECT_EQ(s().Head("a").err, SL_ERR_NOT_FOUND);
}

TEST_P(AppendTest, RefusesAnEmptyBody)
{
    Make("a");
    EXPECT_EQ(s().Append("a", AppendRequest()).err, SL_ERR_EMPTY_BODY);
    EXPECT_EQ(s().Append("a", Body("")).err, SL_ERR_EMPTY_BODY);
    EXPECT_EQ(s().Append("a", Body("").Part("")).err, SL_ERR_EMPTY_BODY);
    EXPECT_EQ(s().Head("a").stream.tail, 0u);
}

TEST_P(AppendTest, ComparesContentTypesByMediaType)
{
    Make("a", Plain().Type("text/plain; charset=utf-8"));
    EXPECT_EQ(s().Append("a", Body("1").Type("text/plain")).err, SL_OK);
    EXPECT_EQ(s().Append("a", Body("2").Type("TEXT/PLAIN ;charset=x")).err, SL_OK);
    EXPECT_EQ(s().Append("a", Body("3").Type("text/html")).err, SL_ERR_CONTENT_TYPE_MISMATCH);
    EXPECT_EQ(s().Append("a", Body("3").Type("text/plain2")).err, SL_ERR_CONTENT_TYPE_MISMATCH);
    EXPECT_EQ(s().ReadAll("a"), "12");
}

TEST_P(AppendTest, FlattensJsonByExactlyOneLevel)
{
    Make("a", Json());
    for (const char *text :
         { "1", "[2,3]", "[[4,5]]", "[[]]", "[[6],[7]]", "{}", "\"[8]\"", "null" })
        EXPECT_EQ(s().Append("a", JsonBody(text)).err, SL_OK) << text;
    EXPECT_EQ(s().ReadAll("a"), "1,2,3,[4,5],[],[6],[7],{},\"[8]\",null,");
}

TEST_P(AppendTest, StoresJsonTokensVerbatimWithoutBlanks)
{
    Make("a", Json());
    const char *text = " [ 1e400 ,\t12345678901234567890,\r\n-0, 1.0, { \"k\" : 1 , \"k\" : 2 }, "
                       "\"a  b\\u0041\\ud800\" ] ";
    Reply reply = s().Append("a", JsonBody(text));
    ASSERT_EQ(reply.err, SL_OK);
    std::string want = "1e400,12345678901234567890,-0,1.0,{\"k\":1,\"k\":2},"
                       "\"a  b\\u0041\\ud800\",";
    EXPECT_EQ(reply.stream.tail, want.size());
    EXPECT_EQ(s().ReadAll("a"), want);
}

TEST_P(AppendTest, RefusesInvalidJsonWhole)
{
    Make("a", Json().Data("[0]"));
    for (const char *text : { "{", "[1,2", "[1,2}", "[1,]", "[1,01]", "[1,NaN]", "1 2", " ", "[1]x",
                              "[1,\"\x02\"]", "[1,\"\xc3\"]", "tru", "'a'" })
        EXPECT_EQ(s().Append("a", JsonBody(text)).err, SL_ERR_INVALID_JSON) << text;
    EXPECT_EQ(s().ReadAll("a"), "0,");
}

TEST_P(AppendTest, RefusesAnEmptyArray)
{
    Make("a", Json());
    EXPECT_EQ(s().Append("a", JsonBody("[]")).err, SL_ERR_EMPTY_ARRAY);
    EXPECT_EQ(s().Append("a", JsonBody(" [ \n] ")).err, SL_ERR_EMPTY_ARRAY);
    EXPECT_EQ(s().Append("a", JsonBody("[]").Close()).err, SL_ERR_EMPTY_ARRAY);
    EXPECT_EQ(s().Head("a").stream.tail, 0u);
    EXPECT_FALSE(s().Head("a").stream.closed);
}

TEST_P(AppendTest, ByteStreamsTakeAnything)
{
    Make("a", Plain().Type("application/ndjson"));
    EXPECT_EQ(s().Append("a", Body("{").Type("application/ndjson")).err, SL_OK);
    EXPECT_EQ(s().Append("a", Body("[]").Type("application/ndjson")).err, SL_OK);
    EXPECT_EQ(s().ReadAll("a"), "{[]");
}

TEST_P(AppendTest, ComparesSeqBytewiseThenByLength)
{
    Make("a");
    for (const char *seq : { "09", "1", "10", "2", "A", "a", "aa", "b", "\x7f", "\x80", "\xff" })
        EXPECT_EQ(s().Append("a", Body("x").Seq(seq)).err, SL_OK) << seq;
    EXPECT_EQ(s().Head("a").stream.tail, 11u);
    for (const char *seq : { "\xff", "\xfe", "zzzz", "100", "\x7f" })
        EXPECT_EQ(s().Append("a", Body("x").Seq(seq)).err, SL_ERR_SEQ_ORDERING_VIOLATION) << seq;
    EXPECT_EQ(s().Append("a", Body("x").Seq(std::string("\xff\0", 2))).err, SL_OK);
    EXPECT_EQ(s().Head("a").stream.tail, 12u);
}

TEST_P(AppendTest, SeqIsOfOneStreamAndOptional)
{
    Make("a");
    Make("b");
    EXPECT_EQ(s().Append("a", Body("x").Seq("5")).err, SL_OK);
    EXPECT_EQ(s().Append("b", Body("x").Seq("1")).err, SL_OK);
    EXPECT_EQ(s().Append("a", Body("x")).err, SL_OK);
    EXPECT_EQ(s().Append("a", Body("x").Seq("5")).err, SL_ERR_SEQ_ORDERING_VIOLATION);
}

TEST_P(AppendTest, TakesSeqUpToTheLimit)
{
    Make("a");
    std::string seq(SL_SEQ_SIZE_MAX, 's');
    EXPECT_EQ(s().Append("a", Body("x").Seq(seq)).err, SL_OK);
    EXPECT_EQ(s().Append("a", Body("x").Seq(seq)).err, SL_ERR_SEQ_ORDERING_VIOLATION);
    EXPECT_NE(s().Append("a", Body("x").Seq(seq + "s")).err, SL_OK);
    EXPECT_EQ(s().Head("a").stream.tail, 1u);
}

TEST_P(AppendTest, AFailureLeavesTheSeqAlone)
{
    Make("a", Json());
    ASSERT_EQ(s().Append("a", JsonBody("1").Seq("1")).err, SL_OK);
    EXPECT_EQ(s().Append("a", JsonBody("{").Seq("9")).err, SL_ERR_INVALID_JSON);
    EXPECT_EQ(s().Append("a", JsonBody("[]").Seq("9")).err, SL_ERR_EMPTY_ARRAY);
    EXPECT_EQ(s().Append("a", Body("2").Seq("9")).err, SL_ERR_CONTENT_TYPE_MISMATCH);
    EXPECT_EQ(s().Append("a", JsonBody("2").Seq("9").Producer("p", 0, 3)).err, SL_ERR_SEQUENCE_GAP);
    EXPECT_EQ(s().Append("a", JsonBody("2").Seq("2")).err, SL_OK);
    EXPECT_EQ(s().ReadAll("a"), "1,2,");
}

TEST_P(AppendTest, ChecksSeqBeforeTheJsonBody)
{
    Make("a", Json());
    ASSERT_EQ(s().Append("a", JsonBody("1").Seq("5")).err, SL_OK);
    EXPECT_EQ(s().Append("a", JsonBody("{").Seq("5")).err, SL_ERR_SEQ_ORDERING_VIOLATION);
    EXPECT_EQ(s().Append("a", JsonBody("[]").Seq("5")).err, SL_ERR_SEQ_ORDERING_VIOLATION);
}

TEST_P(AppendTest, AnswersTheCallersErrorOnlyIfTheStreamIsThere)
{
    EXPECT_EQ(s().Append("a", Body("x").RequestError(SL_ERR_INVALID_PRODUCER)).err,
              SL_ERR_NOT_FOUND);
    Make("a");
    Make("fork", ForkOf("a"));
    EXPECT_EQ(s().Append("a", Body("x").RequestError(SL_ERR_INVALID_PRODUCER)).err,
              SL_ERR_INVALID_PRODUCER);
    EXPECT_EQ(s().Append("a", AppendRequest().RequestError(SL_ERR_CONTENT_TYPE_REQUIRED)).err,
              SL_ERR_CONTENT_TYPE_REQUIRED);
    ASSERT_EQ(s().Append("a", CloseOnly()).err, SL_OK);
    EXPECT_EQ(s().Append("a", Body("x").RequestError(SL_ERR_PAYLOAD_TOO_LARGE)).err,
              SL_ERR_PAYLOAD_TOO_LARGE);
    ASSERT_EQ(s().Delete("a"), SL_OK);
    EXPECT_EQ(s().Append("a", Body("x").RequestError(SL_ERR_PAYLOAD_TOO_LARGE)).err, SL_ERR_GONE);
}

TEST_P(BatchTest, JoinsThePartsOfAByteStream)
{
    Make("a");
    Reply reply = s().Append("a", Body("one").Part("").Part("two").Part("3"));
    EXPECT_EQ(reply.err, SL_OK);
    EXPECT_EQ(reply.stream.tail, 7u);
    EXPECT_EQ(s().ReadAll("a"), "onetwo3");
}

TEST_P(BatchTest, FlattensEveryPartOfAJsonStream)
{
    Make("a", Json());
    EXPECT_EQ(s().Append("a", JsonBody("1").Part("[2, [3]]").Part(" {} ")).err, SL_OK);
    EXPECT_EQ(s().ReadAll("a"), "1,2,[3],{},");
}

TEST_P(BatchTest, AddsAllPartsOrNone)
{
    Make("a", Json());
    EXPECT_EQ(s().Append("a", JsonBody("1").Part("2").Part("{").Part("4")).err,
              SL_ERR_INVALID_JSON);
    EXPECT_EQ(s().Append("a", JsonBody("1").Part("[2,3").Part("]")).err, SL_ERR_INVALID_JSON);
    EXPECT_EQ(s().Head("a").stream.tail, 0u);
}

TEST_P(BatchTest, IsOneAppendBoundary)
{
    Make("a");
    ASSERT_EQ(s().Append("a", Body("one").Part("two")).err, SL_OK);
    ASSERT_EQ(s().Append("a", Body("three")).err, SL_OK);
    EXPECT_EQ(s().Create("f6", ForkOf("a").At(0).Sub(6)).err, SL_OK);
    EXPECT_EQ(s().Create("f7", ForkOf("a").At(0).Sub(7)).err, SL_ERR_INVALID_FORK_OFFSET);
}

TEST_P(BatchTest, HoldsManyParts)
{
    Make("a");
    AppendRequest request;
    std::string all;
    for (int i = 0; i < 5000; i++) {
        request.Part(std::to_string(i) + ";");
        all += std::to_string(i) + ";";
    }
    EXPECT_EQ(s().Append("a", request).err, SL_OK);
    EXPECT_EQ(s().ReadAll("a"), all);
}

TEST_P(CloseTest, ClosesWithoutData)
{
    Make("a", Plain().Data("abc"));
    Reply closed = s().Append("a", CloseOnly());
    EXPECT_EQ(closed.err, SL_OK);
    EXPECT_TRUE(closed.stream.closed);
    EXPECT_EQ(closed.stream.tail, 3u);
    EXPECT_TRUE(s().Head("a").stream.closed);
}

TEST_P(CloseTest, MayBeRepeated)
{
    Make("a");
    for (int i = 0; i < 3; i++)
        EXPECT_EQ(s().Append("a", CloseOnly()).err, SL_OK);
    EXPECT_EQ(s().Append("a", Body("").Close()).err, SL_OK);
}

TEST_P(CloseTest, GoesWithTheLastDataInOneStep)
{
    Make("a");
    Reply reply = s().Append("a", Body("end").Close());
    EXPECT_EQ(reply.err, SL_OK);
    EXPECT_TRUE(reply.stream.closed);
    EXPECT_EQ(reply.stream.tail, 3u);
    EXPECT_EQ(s().ReadAll("a"), "end");
}

TEST_P(CloseTest, DoesNotLookAtContentTypeAndSeqWithoutData)
{
    Make("a", Plain().Type("text/plain"));
    ASSERT_EQ(s().Append("a", Body("x").Type("text/plain").Seq("5")).err, SL_OK);
    EXPECT_EQ(s().Append("a", CloseOnly().Type("image/png").Seq("1")).err, SL_OK);
    EXPECT_TRUE(s().Head("a").stream.closed);
}

TEST_P(CloseTest, RefusesAppendsAndTellsTheFinalOffset)
{
    Make("a", Plain().Data("abc").Closed());
    for (const AppendRequest &request :
         { Body("x"), Body("x").Close(), Body("x").Seq("1"), Body("x").Producer("p", 0, 0),
           CloseOnly().Producer("p", 0, 0), Body("x").Producer("p", 0, 7) }) {
        Reply reply = s().Append("a", request);
        EXPECT_EQ(reply.err, SL_ERR_STREAM_CLOSED);
        EXPECT_TRUE(reply.stream.closed);
        EXPECT_EQ(reply.stream.tail, 3u);
    }
    EXPECT_EQ(s().ReadAll("a"), "abc");
}

TEST_P(CloseTest, IsCheckedAfterTheEmptyBodyAndBeforeTheContentType)
{
    Make("a", Json().Closed());
    EXPECT_EQ(s().Append("a", AppendRequest()).err, SL_ERR_EMPTY_BODY);
    EXPECT_EQ(s().Append("a", Body("x")).err, SL_ERR_STREAM_CLOSED);
    EXPECT_EQ(s().Append("a", JsonBody("{")).err, SL_ERR_STREAM_CLOSED);
    EXPECT_EQ(s().Append("a", JsonBody("[]")).err, SL_ERR_STREAM_CLOSED);
}

TEST_P(CloseTest, AFailureLeavesTheStreamOpen)
{
    Make("a", Json());
    ASSERT_EQ(s().Append("a", JsonBody("1").Seq("5")).err, SL_OK);
    EXPECT_EQ(s().Append("a", JsonBody("{").Close()).err, SL_ERR_INVALID_JSON);
    EXPECT_EQ(s().Append("a", Body("x").Close()).err, SL_ERR_CONTENT_TYPE_MISMATCH);
    EXPECT_EQ(s().Append("a", JsonBody("2").Close().Seq("5")).err, SL_ERR_SEQ_ORDERING_VIOLATION);
    EXPECT_EQ(s().Append("a", CloseOnly().Producer("p", 0, 1)).err, SL_ERR_SEQUENCE_GAP);
    EXPECT_FALSE(s().Head("a").stream.closed);
    EXPECT_EQ(s().ReadAll("a"), "1,");
}
