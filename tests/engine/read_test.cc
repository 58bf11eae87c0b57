#include "support/engine_fixture.h"

using namespace sluice_test;

SL_ENGINE_SUITE(ReadTest);

TEST_P(ReadTest, GivesDataTailAndClosedFlagTogether)
{
    Make("a", Plain().Data("hello"));
    ReadReply reply = s().Read("a");
    EXPECT_EQ(reply.err, SL_OK);
    EXPECT_EQ(reply.data, "hello");
    EXPECT_EQ(reply.start, 0u);
    EXPECT_EQ(reply.next, 5u);
    EXPECT_EQ(reply.page_end, 5u);
    EXPECT_EQ(reply.stream.tail, 5u);
    EXPECT_FALSE(reply.stream.closed);
    ASSERT_EQ(s().Append("a", CloseOnly()).err, SL_OK);
    EXPECT_TRUE(s().Read("a").stream.closed);
}

TEST_P(ReadTest, NeedsTheStream)
{
    EXPECT_EQ(s().Read("a").err, SL_ERR_NOT_FOUND);
    EXPECT_EQ(s().Read("a", From(3).Wait()).err, SL_ERR_NOT_FOUND);
}

TEST_P(ReadTest, StartsAtAnyByteOfAByteStream)
{
    Make("a", Plain().Data("012"));
    ASSERT_EQ(s().Append("a", Body("345")).err, SL_OK);
    ASSERT_EQ(s().Append("a", Body("678")).err, SL_OK);
    for (uint64_t offset = 0; offset <= 9; offset++) {
        ReadReply reply = s().Read("a", From(offset));
        EXPECT_EQ(reply.err, SL_OK);
        EXPECT_EQ(reply.start, offset);
        EXPECT_EQ(reply.data, std::string("012345678").substr(offset));
    }
}

TEST_P(ReadTest, GivesNothingAtTheTailAndBeyond)
{
    for (const char *type : { kBytes, kJson }) {
        uint64_t tail = Make(type, Plain().Type(type).Data("12345")).stream.tail;
        for (uint64_t offset : { tail, tail + 1, tail + 1000, SL_OFFSET_MAX }) {
            ReadReply reply = s().Read(type, From(offset));
            EXPECT_EQ(reply.err, SL_OK);
            EXPECT_EQ(reply.data, "");
            EXPECT_EQ(reply.next, tail);
            EXPECT_EQ(reply.page_end, tail);
            EXPECT_EQ(reply.stream.tail, tail);
        }
    }
}

TEST_P(ReadTest, NowIsTheTail)
{
    Make("a", Plain().Data("hello"));
    ReadReply reply = s().Read("a", FromNow());
    EXPECT_EQ(reply.err, SL_OK);
    EXPECT_EQ(reply.data, "");
    EXPECT_EQ(reply.start, 5u);
    EXPECT_EQ(reply.next, 5u);
    Make("empty", Plain().Closed());
    EXPECT_TRUE(s().Read("empty", FromNow()).stream.closed);
}

TEST_P(ReadTest, PagesAByteStreamInPieces)
{
    std::string all;
    Make("a");
    for (int i = 0; i < 40; i++) {
        std::string data(static_cast<size_t>(1 + i * i % 97), static_cast<char>('a' + i % 26));
        ASSERT_EQ(s().Append("a", Body(data)).err, SL_OK);
        all += data;
    }
    for (uint32_t page : { 1u, 2u, 7u, 100u, 999u })
        for (uint32_t piece : { 1u, 3u, 100u, 5000u })
            EXPECT_EQ(s().ReadAll("a", page, piece), all) << page << "/" << piece;
}

TEST_P(ReadTest, KeepsPageAndPieceSizes)
{
    Make("a", Plain().Data(std::string(1000, 'x')));
    ReadReply reply = s().Read("a", From(10).Page(100).Piece(30));
    EXPECT_EQ(reply.err, SL_OK);
    EXPECT_EQ(reply.start, 10u);
    EXPECT_EQ(reply.next, 40u);
    EXPECT_EQ(reply.page_end, 110u);
    EXPECT_EQ(reply.stream.tail, 1000u);
    reply = s().Read("a", From(40).Limit(110).Page(100).Piece(1000));
    EXPECT_EQ(reply.next, 110u);
    EXPECT_EQ(reply.page_end, 110u);
    reply = s().Read("a", From(950).Page(100).Piece(1000));
    EXPECT_EQ(reply.next, 1000u);
    EXPECT_EQ(reply.page_end, 1000u);
}

TEST_P(ReadTest, GivesASmallStreamInOnePage)
{
    Make("a");
    std::string all;
    for (int i = 0; i < 1000; i++, all += "0123456789")
        ASSERT_EQ(s().Append("a", Body("0123456789")).err, SL_OK);
    ReadReply reply = s().Read("a");
    EXPECT_EQ(reply.page_end, all.size());
    EXPECT_EQ(s().ReadAll("a"), all);
}

TEST_P(ReadTest, SizesOfZeroAreTheDefaults)
{
    constexpr uint64_t kPage = 4 << 20, kPiece = 512 << 10;
    Make("a", Plain().Data(std::string(kPage / 4 + 1000, 'x')));
    for (int i = 0; i < 3; i++)
        ASSERT_EQ(s().Append("a", Body(std::string(kPage / 4, 'y'))).err, SL_OK);
    ReadReply reply = s().Read("a", FromStart().Page(0).Piece(0));
    EXPECT_EQ(reply.err, SL_OK);
    EXPECT_EQ(reply.page_end, kPage);
    EXPECT_GT(reply.next, 0u);
    EXPECT_LE(reply.next, kPiece);
    EXPECT_EQ(s().ReadAll("a", 0, 0).size(), kPage + 1000);
}

TEST_P(ReadTest, EndsJsonPagesAtMessageBoundaries)
{
    Make("a", Json());
    ASSERT_EQ(s().Append("a", JsonBody("[1,22,333]")).err, SL_OK); /* 0 2 5 9 */
    ASSERT_EQ(s().Append("a", JsonBody("4444")).err, SL_OK);       /* 14 */
    struct {
        uint64_t from;
        uint32_t page;
        uint64_t end;
    } const cases[] = { { 0, 1, 2 },  { 0, 2, 2 },  { 0, 4, 2 },  { 0, 5, 5 },   { 0, 8, 5 },
                        { 0, 9, 9 },  { 2, 1, 5 },  { 2, 6, 5 },  { 2, 7, 9 },   { 5, 1, 9 },
                        { 5, 8, 9 },  { 5, 9, 14 }, { 0, 13, 9 }, { 0, 14, 14 }, { 9, 1, 14 },
                        { 9, 4, 14 }, { 9, 5, 14 }, { 0, 99, 14 } };
    for (const auto &one : cases) {
        ReadReply reply = s().Read("a", From(one.from).Page(one.page));
        EXPECT_EQ(reply.err, SL_OK);
        if (HasLatePages())
            EXPECT_GE(reply.page_end, one.end) << one.from << " page " << one.page;
        else
            EXPECT_EQ(reply.page_end, one.end) << one.from << " page " << one.page;
        EXPECT_EQ(reply.next, reply.page_end);
        EXPECT_EQ(reply.data.back(), ',');
    }
}

TEST_P(ReadTest, GivesAJsonMessageAboveThePageSizeWhole)
{
    std::string giant = "\"" + std::string(500000, 'g') + "\"";
    Make("a", Json().Data("[1," + giant + ",2]"));
    ReadReply reply = s().Read("a", From(2).Page(1000).Piece(1000));
    EXPECT_EQ(reply.err, SL_OK);
    bool is_late = HasLatePages() && reply.page_end == 2 + giant.size() + 1 + 2;
    EXPECT_EQ(reply.page_end, 2 + giant.size() + 1 + (is_late ? 2 : 0));
    EXPECT_EQ(reply.next, 1002u);
    std::string data = reply.data;
    while (reply.next < reply.page_end) {
        ReadReply more = s().Read("a", From(reply.next).Limit(reply.page_end).Piece(100000));
        ASSERT_EQ(more.err, SL_OK);
        ASSERT_GT(more.next, reply.next);
        ASSERT_EQ(more.page_end, reply.page_end);
        data += more.data;
        reply = more;
    }
    EXPECT_TRUE(data == giant + (is_late ? ",2," : ","));
    EXPECT_TRUE(s().ReadAll("a", 1000, 77777) == "1," + giant + ",2,");
}

TEST_P(ReadTest, PagesAJsonStreamInPieces)
{
    std::string all;
    Make("a", Json());
    for (int i = 0; i < 60; i++) {
        std::string message(static_cast<size_t>(1 + i * i % 83), '7');
        ASSERT_EQ(s().Append("a", JsonBody("[" + message + ",\"" + message + "\"]")).err, SL_OK);
        all += message + ",\"" + message + "\",";
    }
    for (uint32_t page : { 1u, 50u, 100u, 999u })
        for (uint32_t piece : { 1u, 13u, 100u, 9999u })
            EXPECT_EQ(s().ReadAll("a", page, piece), all) << page << "/" << piece;
}

TEST_P(ReadTest, RefusesAnOffsetInsideAJsonMessage)
{
    Make("a", Json().Data("[11,22]"));
    ASSERT_EQ(s().Append("a", JsonBody("33")).err, SL_OK);
    for (uint64_t offset = 0; offset < 9; offset++)
        EXPECT_EQ(s().Read("a", From(offset)).err, offset % 3 == 0 ? SL_OK : SL_ERR_INVALID_OFFSET)
            << offset;
    EXPECT_EQ(s().Read("a", From(1).Wait()).err, SL_ERR_INVALID_OFFSET);
}

TEST_P(ReadTest, TheEndOfAPageHoldsWhileTheStreamGrows)
{
    Make("a", Json().Data("[1,2,3]"));
    ReadReply reply = s().Read("a", FromStart().Page(4).Piece(1));
    EXPECT_EQ(reply.page_end, 4u);
    ASSERT_EQ(s().Append("a", JsonBody("4").Close()).err, SL_OK);
    reply = s().Read("a", From(1).Limit(4));
    EXPECT_EQ(reply.data, ",2,");
    EXPECT_EQ(reply.page_end, 4u);
    EXPECT_EQ(reply.stream.tail, 8u);
}

TEST_P(ReadTest, ReadsOneIncarnation)
{
    uint64_t old_id = Make("a", Plain().Data("old")).stream.id;
    EXPECT_EQ(s().Read("a", FromStart().Id(old_id)).data, "old");
    ASSERT_EQ(s().Delete("a"), SL_OK);
    EXPECT_EQ(s().Read("a", FromStart().Id(old_id)).err, SL_ERR_NOT_FOUND);
    uint64_t new_id = Make("a", Plain().Data("new data")).stream.id;
    EXPECT_NE(new_id, old_id);
    EXPECT_EQ(s().Read("a", FromStart().Id(old_id)).err, SL_ERR_NOT_FOUND);
    EXPECT_EQ(s().Read("a", From(2).Limit(3).Id(old_id)).err, SL_ERR_NOT_FOUND);
    EXPECT_EQ(s().Read("a", FromNow().Wait().Id(old_id)).err, SL_ERR_NOT_FOUND);
    EXPECT_EQ(s().Read("a", FromStart().Id(new_id)).data, "new data");
}

TEST_P(ReadTest, AnswersTheCallersErrorOnlyIfTheStreamIsThere)
{
    ReadRequest bad = From(3).RequestError(SL_ERR_INVALID_OFFSET);
    EXPECT_EQ(s().Read("a", bad).err, SL_ERR_NOT_FOUND);
    Make("a");
    EXPECT_EQ(s().Read("a", bad).err, SL_ERR_INVALID_OFFSET);
    EXPECT_EQ(s().Read("a", FromNow().Wait().RequestError(SL_ERR_BAD_REQUEST)).err,
              SL_ERR_BAD_REQUEST);
    Make("fork", ForkOf("a"));
    ASSERT_EQ(s().Delete("a"), SL_OK);
    EXPECT_EQ(s().Read("a", bad).err, SL_ERR_GONE);
}

TEST_P(ReadTest, ResultsOutliveTheStream)
{
    const std::string data(200000, 'r');
    Make("a", Plain().Data(data));
    struct sl_operation *op = sl_session_take(s().get(), SL_OPERATION_READ);
    Session::Fill(op, sl_bytes_of("a"), FromStart());
    ASSERT_EQ(sl_session_run(s().get(), op), SL_OK);
    ASSERT_EQ(s().Delete("a"), SL_OK);
    Make("a", Plain().Data(std::string(200000, 'n')));
    std::string got;
    for (uint32_t i = 0; i < op->u.read.slice_count; i++)
        got.append(reinterpret_cast<const char *>(op->u.read.slices[i].data),
                   op->u.read.slices[i].size);
    EXPECT_FALSE(got.empty());
    EXPECT_TRUE(got == data.substr(0, got.size()));
    sl_session_put(s().get(), &op);
}

TEST_P(ReadTest, SeesOwnWritesOfOneSessionInOrder)
{
    Make("a");
    constexpr int kAppends = 3000;
    std::vector<std::string> bodies;
    for (int i = 0; i < kAppends; i++)
        bodies.push_back(std::to_string(i) + ";");
    std::vector<struct sl_bytes> parts;
    for (const std::string &body : bodies)
        parts.push_back(BytesOf(body));
    for (int i = 0; i < kAppends; i++) {
        struct sl_operation *op = sl_session_take(s().get(), SL_OPERATION_APPEND);
        op->u.append.name = sl_bytes_of("a");
        op->u.append.content_type = sl_bytes_of(kBytes);
        op->u.append.parts = &parts[static_cast<size_t>(i)];
        op->u.append.part_count = 1;
        op->context = &bodies[static_cast<size_t>(i)];
        sl_session_submit(s().get(), op);
    }
    EXPECT_EQ(sl_session_pending(s().get()), static_cast<size_t>(kAppends));
    std::string want;
    for (int64_t end_ms = Steady_ms() + kPatience_ms;
         sl_session_pending(s().get()) > 0 && Steady_ms() < end_ms;) {
        struct sl_operation *op = sl_session_poll(s().get());
        if (op == nullptr)
            continue;
        if (op->err == SL_OK)
            want += *static_cast<std::string *>(op->context);
        else
            EXPECT_EQ(op->err, SL_ERR_OVERLOADED);
        sl_session_put(s().get(), &op);
    }
    EXPECT_EQ(sl_session_pending(s().get()), 0u);
    EXPECT_TRUE(s().ReadAll("a") == want);
}
