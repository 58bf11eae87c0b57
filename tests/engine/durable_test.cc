/* What a restart brings back, and what nobody sees before it is durable. */
#include "engine/engine_internal.h"
#include "journal/frame.h"
#include "journal/segment.h"
#include "journal/store.h"
#include "stream/stream.h"
#include "support/engine_fixture.h"
#include "support/small_directory.h"
#include "support/wal_fixture.h"

#include <atomic>
#include <future>

namespace
{

using namespace sluice_test;

class DurableTest : public EngineTest
{
  protected:
    static constexpr int kFillers = 32; /* so many that every shard has one */

    static std::string Filler(int i)
    {
        return "filler" + std::to_string(i);
    }
    /* Runs a call of another session that is expected to wait for the disk. */
    template <typename Call> auto Start(Call call)
    {
        return std::async(std::launch::async, [this, call] {
            Session session(engine());
            return call(session);
        });
    }
    template <typename Reply> static bool IsPending(std::future<Reply> &reply)
    {
        return reply.wait_for(std::chrono::milliseconds(20)) == std::future_status::timeout;
    }
    /*
     * Writes until everything that came before lies in segments, on every shard: the first flush to
     * end may have begun before, the second one has not.
     */
    void Flush()
    {
        for (int i = 0; i < kFillers; i++)
            Make(Filler(i));
        AwaitFlush();
        AwaitFlush();
        for (int i = 0; i < kFillers; i++)
            ASSERT_EQ(s().Delete(Filler(i)), SL_OK);
    }
    void AwaitFlush()
    {
        std::vector<uint64_t> before = SegmentBytes();
        ASSERT_TRUE(Eventually([&] {
            for (int i = 0; i < kFillers; i++)
                EXPECT_EQ(s().Append(Filler(i), Body(std::string(30000, 'f'))).err, SL_OK);
            std::vector<uint64_t> now = SegmentBytes();
            for (size_t i = 0; i < now.size(); i++)
                if (now[i] == before[i])
                    return false;
            return true;
        }));
    }
    std::vector<uint64_t> SegmentBytes() const
    {
        struct sl_engine_status status = Status();
        std::vector<uint64_t> bytes;
        for (unsigned i = 0; i < status.shards; i++)
            bytes.push_back(status.shard[i].segment_bytes);
        return bytes;
    }
    uint64_t AppendedLsns() const
    {
        struct sl_engine_status status = Status();
        uint64_t sum = 0;
        for (unsigned i = 0; i < status.shards; i++)
            sum += status.shard[i].appended_lsn;
        return sum;
    }
    bool HasFailed() const
    {
        return Status().failed;
    }
};

INSTANTIATE_TEST_SUITE_P(Engine, DurableTest,
                         testing::Values(1u | kDurable, 4u | kDurable, 1u | kFlushing,
                                         4u | kFlushing),
                         ShardsOf);

} // namespace

TEST_P(DurableTest, AStartWithALowerLimitForgetsNoProducer)
{
    ASSERT_EQ(s().Create("s").err, SL_OK);
    for (int i = 0; i < 5; i++)
        ASSERT_EQ(s().Append("s", Body("x").Producer("p" + std::to_string(i), 0, 0)).err, SL_OK);
    for (int restart = 0; restart < 2; restart++) {
        Restart(2);
        for (int i = 0; i < 5; i++)
            EXPECT_TRUE(
                s().Append("s", Body("x").Producer("p" + std::to_string(i), 0, 0)).duplicate)
                << i;
        EXPECT_EQ(s().Append("s", Body("x").Producer("new", 0, 0)).err, SL_ERR_TOO_MANY_PRODUCERS);
    }
}

TEST_P(DurableTest, ARestartBringsBackDataStateAndConfiguration)
{
    Make("a", Json().Ttl(5000));
    Make("b", Plain().Type("text/plain").Data("first"));
    ASSERT_EQ(s().Append("a", JsonBody("[1,22]").Producer("p", 3, 0).Seq("7")).err, SL_OK);
    ASSERT_EQ(s().Append("b", Body("last").Type("text/plain").Close()).err, SL_OK);
    uint64_t id = s().Head("a").stream.id, history = sl_engine_history_id(engine());
    for (int restarts = 0; restarts < 3; restarts++) {
        Restart();
        EXPECT_EQ(sl_engine_history_id(engine()), history);
        Reply a = s().Head("a"), b = s().Head("b");
        EXPECT_EQ(a.stream.id, id);
        EXPECT_TRUE(a.stream.json && a.stream.has_ttl);
        EXPECT_EQ(a.stream.ttl_s, 5000u);
        EXPECT_TRUE(b.stream.closed);
        EXPECT_EQ(s().ReadAll("a"), "1,22,");
        EXPECT_EQ(s().ReadAll("b"), "firstlast");
        EXPECT_TRUE(s().Append("a", JsonBody("[1,22]").Producer("p", 3, 0)).duplicate);
        EXPECT_EQ(s().Append("a", JsonBody("3").Producer("p", 2, 0)).err, SL_ERR_EPOCH_FENCED);
        EXPECT_EQ(s().Append("a", JsonBody("3").Seq("7")).err, SL_ERR_SEQ_ORDERING_VIOLATION);
        EXPECT_EQ(s().Append("b", Body("x").Type("text/plain")).err, SL_ERR_STREAM_CLOSED);
    }
}

TEST_P(DurableTest, WhatWasRemovedStaysRemovedAndItsNameIsFree)
{
    Make("a", Plain().Data("old"));
    uint64_t id = s().Head("a").stream.id;
    ASSERT_EQ(s().Delete("a"), SL_OK);
    Restart();
    EXPECT_EQ(s().Head("a").err, SL_ERR_NOT_FOUND);
    Make("a", Plain().Data("new"));
    EXPECT_GT(s().Head("a").stream.id, id);
    Restart();
    EXPECT_EQ(s().ReadAll("a"), "new");
}

TEST_P(DurableTest, ASoftDeletedStreamStaysSoUntilItsLastForkIsGone)
{
    Make("source", Plain().Data("inherited"));
    Make("fork", ForkOf("source").At(9).Data(" own"));
    ASSERT_EQ(s().Delete("source"), SL_OK);
    if (HasLatePages())
        Flush();
    Restart();
    EXPECT_EQ(s().Head("source").err, SL_ERR_GONE);
    EXPECT_EQ(s().ReadAll("fork"), "inherited own");
    ASSERT_EQ(s().Delete("fork"), SL_OK);
    EXPECT_TRUE(Becomes("source", SL_ERR_NOT_FOUND));
    Restart();
    EXPECT_EQ(s().Head("source").err, SL_ERR_NOT_FOUND);
    EXPECT_EQ(Status().streams, 0u);
}

TEST_P(DurableTest, APageOfAForkReachesItsTailWhereverTheBytesLie)
{
    Make("source", Json().Data("[1]"));
    if (HasLatePages())
        Flush();
    ASSERT_EQ(s().Append("source", JsonBody("2")).err, SL_OK);
    Make("fork", ForkOf("source"));
    ASSERT_EQ(s().Append("fork", JsonBody("3")).err, SL_OK);
    for (uint64_t offset : { 0u, 2u, 4u })
        EXPECT_EQ(s().Read("fork", From(offset)).page_end, 6u) << offset;
    EXPECT_EQ(s().ReadAll("fork"), "1,2,3,");
    EXPECT_EQ(s().ReadAll("fork", 5), "1,2,3,");
}

TEST_P(DurableTest, FlushedJsonIsReadableFromEveryBoundaryAndFromNoOtherPlace)
{
    std::vector<uint64_t> ends = { 0 };
    std::string all;
    Make("a", Json());
    for (int round = 0; round < 12; round++) {
        for (size_t size : { size_t(1), size_t(300), size_t(70000) }) {
            std::string text = "\"" + std::string(size, 'j') + "\"";
            ASSERT_EQ(s().Append("a", JsonBody(text)).err, SL_OK);
            all += text + ",";
            ends.push_back(all.size());
        }
        if (HasLatePages() && round % 3 == 2)
            Flush();
    }
    for (int restarts = 0; restarts < 2; restarts++) {
        for (uint64_t end : ends) {
            EXPECT_EQ(s().Read("a", From(end)).err, SL_OK) << end;
            if (end > 0) {
                EXPECT_EQ(s().Read("a", From(end - 1)).err, SL_ERR_INVALID_OFFSET) << end;
            }
        }
        EXPECT_TRUE(s().ReadAll("a") == all);
        Restart();
    }
}

TEST_P(DurableTest, ASubOffsetOfFlushedDataIsResolved)
{
    Make("bytes");
    Make("json", Json());
    ASSERT_EQ(s().Append("bytes", Body("0123456789")).err, SL_OK);
    ASSERT_EQ(s().Append("bytes", Body("abc")).err, SL_OK);
    ASSERT_EQ(s().Append("json", JsonBody("[1,22,333]")).err, SL_OK);
    if (HasLatePages())
        Flush();
    Make("fork", ForkOf("bytes").At(10).Sub(2));
    EXPECT_EQ(s().ReadAll("fork"), "0123456789ab");
    Make("json fork", ForkOf("json").At(2).Sub(1));
    EXPECT_EQ(s().ReadAll("json fork"), "1,22,");
    EXPECT_EQ(s().Create("no", ForkOf("bytes").At(10).Sub(4)).err, SL_ERR_INVALID_FORK_OFFSET);
    EXPECT_EQ(s().Create("no", ForkOf("json").At(1)).err, SL_ERR_INVALID_FORK_OFFSET);
}

TEST_P(DurableTest, APieceFromTheDiskIsACopyAndSmallerThanOneInMemory)
{
    Make("a", Plain().Data(std::string(2 * SL_PIECE_SIZE_BYTES, 'x')));
    if (HasLatePages())
        Flush();
    uint64_t most = HasLatePages() ? SL_COPY_SIZE_BYTES : SL_PIECE_SIZE_BYTES;
    for (uint64_t wanted : { most - 1, most, most + 1 }) {
        ReadReply reply = s().Read("a", FromStart().Piece(static_cast<uint32_t>(wanted)));
        EXPECT_EQ(reply.next, HasLatePages() ? std::min(wanted, most) : wanted) << wanted;
        EXPECT_EQ(reply.page_end, 2 * SL_PIECE_SIZE_BYTES);
    }
}

TEST_P(DurableTest, NothingIsShownOrAnsweredBeforeItIsDurable)
{
    Make("a", Plain().Data("seen"));
    Make("gone");
    disk().Hold(true);
    auto append = Start([](Session &session) { return session.Append("a", Body(" unseen")).err; });
    auto create = Start([](Session &session) { return session.Create("new", Plain()).err; });
    auto remove = Start([](Session &session) { return session.Delete("gone"); });
    ASSERT_TRUE(disk().WaitForHeld(1));
    EXPECT_TRUE(IsPending(append) && IsPending(create) && IsPending(remove));
    EXPECT_EQ(s().Head("a").stream.tail, 4u);
    EXPECT_EQ(s().ReadAll("a"), "seen");
    Session::Waiting live(&s(), "a", From(4).Wait());
    auto head_of_new = Start([](Session &session) { return session.Head("new").err; });
    auto missing = Start([](Session &session) { return session.Head("gone").err; });
    EXPECT_TRUE(IsPending(head_of_new) && IsPending(missing));
    EXPECT_TRUE(live.StaysFor(20));
    disk().Hold(false);
    EXPECT_EQ(append.get(), SL_OK);
    EXPECT_EQ(create.get(), SL_OK);
    EXPECT_EQ(remove.get(), SL_OK);
    EXPECT_EQ(head_of_new.get(), SL_OK);
    EXPECT_EQ(missing.get(), SL_ERR_NOT_FOUND);
    EXPECT_EQ(live.Result().data, " unseen");
}

TEST_P(DurableTest, ADuplicateAndARefusalWaitForWhatTheyReveal)
{
    Make("a");
    uint64_t before = AppendedLsns();
    disk().Hold(true);
    auto first = Start(
        [](Session &session) { return session.Append("a", Body("x").Producer("p", 5, 0)).err; });
    ASSERT_TRUE(Eventually([&] { return AppendedLsns() > before; }));
    auto again =
        Start([](Session &session) { return session.Append("a", Body("x").Producer("p", 5, 0)); });
    auto fenced = Start(
        [](Session &session) { return session.Append("a", Body("y").Producer("p", 4, 0)).err; });
    EXPECT_TRUE(IsPending(first) && IsPending(again) && IsPending(fenced));
    disk().Hold(false);
    EXPECT_EQ(first.get(), SL_OK);
    EXPECT_TRUE(again.get().duplicate);
    EXPECT_EQ(fenced.get(), SL_ERR_EPOCH_FENCED);
}

TEST_P(DurableTest, AFailedLogTakesNoChangesAndShowsWhatIsDurable)
{
    for (int i = 0; i < 8; i++)
        Make("a" + std::to_string(i), Plain().Data("durable"));
    disk().FailNth(DiskCall::kWrite, 1, EIO, true);
    for (int i = 0; i < 8; i++)
        EXPECT_EQ(s().Append("a" + std::to_string(i), Body("?")).err, SL_ERR_STORAGE_FAILED);
    EXPECT_TRUE(HasFailed());
    disk().FailNth(DiskCall::kWrite, 0, 0);
    for (int i = 0; i < 8; i++) {
        std::string name = "a" + std::to_string(i);
        EXPECT_EQ(s().ReadAll(name), "durable");
        EXPECT_EQ(s().Append(name, Body("x")).err, SL_ERR_STORAGE_FAILED) << "nothing is retried";
        EXPECT_EQ(s().Delete(name), SL_ERR_STORAGE_FAILED);
        if (Shards() == 1) { /* else its shard may be another, that has not failed */
            EXPECT_EQ(s().Create("b", Plain()).err, SL_ERR_STORAGE_FAILED);
        }
    }
    Restart();
    EXPECT_FALSE(HasFailed());
    for (int i = 0; i < 8; i++) {
        std::string data = s().ReadAll("a" + std::to_string(i));
        EXPECT_TRUE(data == "durable" || data == "durable?") << data;
        EXPECT_EQ(s().Append("a" + std::to_string(i), Body("x")).err, SL_OK);
    }
}

TEST_P(DurableTest, AFullDiskRefusesDataAndTakesTheRest)
{
    Make("a", Plain().Data("kept"));
    Make("b");
    disk().SetFreeSpace(0);
    std::string block(1 << 20, 'x');
    enum sl_err err = SL_OK;
    ASSERT_TRUE(Eventually([&] {
        err = s().Append("b", Body(block)).err;
        return err != SL_OK;
    }));
    EXPECT_EQ(err, SL_ERR_DISK_FULL);
    EXPECT_EQ(s().ReadAll("a"), "kept");
    EXPECT_EQ(s().Append("b", CloseOnly()).err, SL_OK);
    EXPECT_EQ(s().Delete("b"), SL_OK);
    disk().SetFreeSpace(UINT64_MAX);
    EXPECT_TRUE(Eventually([&] { return s().Create("c", Plain()).err == SL_OK; }));
    Restart();
    EXPECT_EQ(s().Head("b").err, SL_ERR_NOT_FOUND);
    EXPECT_EQ(s().ReadAll("a"), "kept");
}

TEST_P(DurableTest, AChangeThatDoesNotFitIntoALogFileIsRefused)
{
    size_t most = SL_PAYLOAD_BYTES_MAX(kWalFileBytes);
    Make("a");
    EXPECT_EQ(s().Append("a", Body(std::string(most + 1, 'x'))).err, SL_ERR_PAYLOAD_TOO_LARGE);
    EXPECT_EQ(s().Append("a", Body(std::string(most, 'x'))).err, SL_OK);
    EXPECT_EQ(s().Append("a", Body(std::string(most - 1, 'x'))).err, SL_OK);
    Restart();
    EXPECT_EQ(s().Head("a").stream.tail, 2 * most - 1);
}

TEST_P(DurableTest, DamageCostsTheExtentThatItIsInAndNothingElse)
{
    std::string all;
    Make("a");
    for (int i = 0; i < 10; i++) {
        std::string part(SL_CHUNK_PAYLOAD_BYTES_MAX, static_cast<char>('0' + i));
        ASSERT_EQ(s().Append("a", Body(part)).err, SL_OK);
        all += part;
    }
    if (!HasLatePages())
        return; /* nothing is in a segment */
    Flush();
    disk().FlipWhere("/seg-", std::string(100, '5'), 3);
    uint64_t damaged = 5 * SL_CHUNK_PAYLOAD_BYTES_MAX, after = 6 * SL_CHUNK_PAYLOAD_BYTES_MAX;
    std::string got;
    ReadReply reply;
    for (uint64_t at = 0; (reply = s().Read("a", From(at))).err == SL_OK && at < damaged;
         at = reply.next) {
        EXPECT_GT(reply.next, at);
        got += reply.data;
    }
    EXPECT_EQ(reply.err, SL_ERR_DATA_DAMAGED);
    EXPECT_TRUE(got == all.substr(0, damaged)) << got.size();
    EXPECT_EQ(s().Read("a", From(damaged)).err, SL_ERR_DATA_DAMAGED);
    got.clear();
    for (uint64_t at = after; at < all.size(); at = reply.next) {
        reply = s().Read("a", From(at));
        ASSERT_EQ(reply.err, SL_OK);
        got += reply.data;
    }
    EXPECT_TRUE(got == all.substr(after));
}

TEST_P(DurableTest, DamageOfAForkCostsNothingOfWhatItInherits)
{
    const uint64_t point = 3 * SL_CHUNK_PAYLOAD_BYTES_MAX;
    const std::string inherited(point, 's'), own(SL_CHUNK_PAYLOAD_BYTES_MAX, 'x');
    Make("source", Plain().Data(inherited));
    Make("fork", ForkOf("source").Data(own));
    if (!HasLatePages())
        return; /* nothing is in a segment */
    Flush();
    auto first_piece = [&] { return s().Read("fork", FromStart().Piece(70000)); };
    EXPECT_EQ(first_piece().page_end, point + own.size());
    disk().FlipWhere("/seg-", std::string(100, 'x'), 3);
    EXPECT_EQ(s().Read("fork", From(point)).err, SL_ERR_DATA_DAMAGED);
    /* At the fork point, or with the piece if its segment has the damage too. */
    EXPECT_LE(first_piece().page_end, point) << "a page that nobody gets whole";
    ReadReply reply = s().Read("fork", From(point - 10));
    EXPECT_EQ(reply.err, SL_OK);
    EXPECT_EQ(reply.data, std::string(10, 's'));
    EXPECT_EQ(reply.page_end, point);
    EXPECT_EQ(reply.next, point);
    EXPECT_TRUE(s().Read("fork", FromStart()).data == inherited);
}

TEST(DurableStart, ALogThatIsGoneIsDamageFromTheFirstStartOn)
{
    SimDisk disk(1);
    disk.MakeDirectory("/disk");
    struct sl_engine *engine = nullptr;
    ASSERT_EQ(SmallDirectory::Open(&disk, &engine), SL_OK);
    EXPECT_EQ(Session(engine).Create("young").err, SL_OK);
    std::unique_ptr<SimDisk> killed = disk.Clone(1);
    sl_engine_close(&engine);
    killed->PowerCut();
    std::unique_ptr<SimDisk> gone = killed->Clone(1);
    for (const std::string &file : gone->Files())
        if (file.find("/wal-") != std::string::npos)
            gone->Remove(file);
    EXPECT_EQ(SmallDirectory::Open(gone.get(), &engine), SL_ERR_DATA_CORRUPT);
    ASSERT_EQ(SmallDirectory::Open(killed.get(), &engine), SL_OK);
    EXPECT_EQ(Session(engine).Head("young").err, SL_OK);
    sl_engine_close(&engine);
}

TEST(DurableStart, ADirectoryWhoseLogNobodyHasOpenedYetStarts)
{
    SimDisk disk(1);
    disk.MakeDirectory("/disk");
    struct sl_store_setup setup = {};
    struct sl_store *store = nullptr;
    setup.vfs = disk.VfsOfThisLife();
    setup.path = "/disk/data";
    setup.shards_of_new = 1;
    setup.wal_file_size = SmallDirectory::kWalFileBytes;
    ASSERT_EQ(sl_store_open(&setup, &store), SL_OK);
    sl_store_close(&store);
    disk.PowerCut();
    struct sl_engine *engine = nullptr;
    ASSERT_EQ(SmallDirectory::Open(&disk, &engine), SL_OK);
    sl_engine_close(&engine);
}

static struct sl_engine_options OneShardOn(SimDisk *disk, uint64_t wal_file_bytes)
{
    struct sl_engine_options options = {};
    disk->MakeDirectory("/disk");
    options.shards = 1;
    options.data_directory = "/disk/data";
    options.vfs = disk->vfs();
    options.wal_file_bytes = wal_file_bytes;
    options.free_bytes_min = 1;
    return options;
}

/* A log that nobody writes: what is said of it is what a start makes of records that disagree. */
TEST(DurableStart, TwoStreamsOfOneNameAreRefusedAndNothingIsWritten)
{
    SimDisk disk(1);
    struct sl_engine_options options = OneShardOn(&disk, 64 << 10);
    struct sl_engine *engine = nullptr;
    ASSERT_EQ(sl_engine_open(&options, &engine), SL_OK);
    ASSERT_EQ(Session(engine).Create("twice").err, SL_OK);
    sl_engine_close(&engine);

    /* The same CREATE again, of another stream. */
    const std::string directory = "/disk/data/shard-00";
    const std::string first = disk.Bytes(LogPath(0, directory));
    struct sl_frame frame;
    ASSERT_TRUE(sl_frame_decode(sl_bytes(first.data(), SL_DISK_BLOCK_BYTES), &frame));
    struct Found {
        struct sl_wal_scan scan;
        std::string head;
        uint8_t kind;
    } found = {};
    found.scan.vfs = disk.vfs();
    found.scan.directory = directory.c_str();
    found.scan.log_id = frame.log_id;
    found.scan.file_size = options.wal_file_bytes;
    found.scan.from = LogBegin();
    found.scan.context = &found;
    found.scan.on_record = [](void *context, uint64_t, int64_t, const struct sl_record *record,
                              const char **) {
        auto *found = static_cast<Found *>(context);
        found->head.assign(reinterpret_cast<const char *>(record->head.data), record->head.size);
        found->kind = record->kind;
        return true;
    };
    sl_wal_scan(&found.scan);
    ASSERT_EQ(found.scan.records, 1u);
    {
        TestLog log(&disk);
        log.setup.directory = directory.c_str();
        log.setup.log_id = frame.log_id;
        ASSERT_EQ(log.Open(found.scan.end), SL_OK);
        struct sl_record record = {};
        record.stream_id = 2 << SL_STREAM_ID_SHARD_BITS;
        record.kind = found.kind;
        record.head = sl_bytes(found.head.data(), found.head.size());
        uint64_t lsn = sl_wal_add(log.get(), &record, 1);
        sl_wal_commit(log.get());
        ASSERT_TRUE(log.WaitDurable(lsn));
    }

    uint64_t written = disk.written_bytes();
    EXPECT_EQ(sl_engine_open(&options, &engine), SL_ERR_DATA_CORRUPT);
    EXPECT_EQ(disk.written_bytes(), written);
}

/*
 * The removal of a source is a record, and the forks of many may be gone at once: after a backup,
 * which lets go of no source while it is made, and at a start.
 */
TEST(DurableForks, MoreSourcesAreRemovedThanFitIntoAFrame)
{
    constexpr int kForks = 1200; /* 34 bytes for each, and half a log file is 32 KiB */
    for (bool restarted : { false, true }) {
        SimDisk disk(1);
        struct sl_engine_options options = OneShardOn(&disk, 64 << 10);
        struct sl_engine *engine = nullptr;
        ASSERT_EQ(sl_engine_open(&options, &engine), SL_OK);
        auto session = std::make_unique<Session>(engine);
        auto source = [](int i) { return "source" + std::to_string(i); };
        auto fork = [](int i) { return "fork" + std::to_string(i); };
        for (int i = 0; i < kForks; i++) {
            ASSERT_EQ(session->Create(source(i)).err, SL_OK);
            ASSERT_EQ(session->Create(fork(i), ForkOf(source(i))).err, SL_OK);
            ASSERT_EQ(session->Delete(source(i)), SL_OK);
        }
        ASSERT_EQ(sli_engine_ask_all(engine, SL_SHARD_TASK_HOLD, nullptr), SL_OK);
        for (int i = 0; i < kForks; i++)
            ASSERT_EQ(session->Delete(fork(i)), SL_OK);
        EXPECT_EQ(session->Head(source(0)).err, SL_ERR_GONE);
        if (restarted) {
            disk.Crash();
            session.reset();
            sl_engine_close(&engine);
            options.vfs = disk.vfs();
            ASSERT_EQ(sl_engine_open(&options, &engine), SL_OK);
            session = std::make_unique<Session>(engine);
        } else {
            ASSERT_EQ(sli_engine_ask_all(engine, SL_SHARD_TASK_RELEASE, nullptr), SL_OK);
        }
        for (int i = 0; i < kForks; i++) {
            EXPECT_TRUE(Eventually([&] { return session->Head(source(i)).err != SL_ERR_GONE; }));
            EXPECT_EQ(session->Create(source(i)).err, SL_OK);
        }
        session.reset();
        sl_engine_close(&engine);
    }
}

/* That a stream has run out is a record, and with the reserve used up there is no place for it. */
TEST(DurableFull, AStreamThatHasRunOutIsAnsweredForAtOnce)
{
    constexpr int kDeleted = 400; /* more than the reserve has room for */
    SimDisk disk(1);
    struct sl_engine_options options = OneShardOn(&disk, 1 << 20);
    options.wal_budget_bytes = 1 << 30;
    struct sl_engine *engine = nullptr;
    ASSERT_EQ(sl_engine_open(&options, &engine), SL_OK);
    auto session = std::make_unique<Session>(engine);
    for (int i = 0; i < kDeleted; i++)
        ASSERT_EQ(session->Create("deleted" + std::to_string(i)).err, SL_OK);
    ASSERT_EQ(session->Create("short", Plain().Ttl(1).Data("x")).err, SL_OK);
    ASSERT_EQ(session->Create("other", Plain().Data("other")).err, SL_OK);
    disk.SetFreeSpace(0);
    auto append = [&](const char *name) {
        return session->Append(name, Body(std::string(30000, 'x'))).err;
    };
    ASSERT_TRUE(Eventually([&] { return append("other") == SL_ERR_DISK_FULL; }));
    enum sl_err err = SL_OK;
    for (int i = 0; i < kDeleted && err == SL_OK; i++)
        err = session->Delete("deleted" + std::to_string(i));
    ASSERT_EQ(err, SL_ERR_DISK_FULL);
    EXPECT_TRUE(Eventually([&] { return session->Head("short").err == SL_ERR_DISK_FULL; }));
    EXPECT_EQ(session->Read("short", FromStart()).err, SL_ERR_DISK_FULL);
    EXPECT_EQ(session->Create("short").err, SL_ERR_DISK_FULL);
    EXPECT_EQ(append("short"), SL_ERR_DISK_FULL);
    EXPECT_EQ(session->Create("fork", ForkOf("short")).err, SL_ERR_DISK_FULL);
    EXPECT_EQ(session->Head("other").err, SL_OK);
    disk.SetFreeSpace(UINT64_MAX);
    EXPECT_TRUE(Eventually([&] { return session->Head("short").err == SL_ERR_NOT_FOUND; }));
    session.reset();
    sl_engine_close(&engine);
}

/* One operation for each name, many of them under way together. */
static void RunAll(Session *session, enum sl_operation_kind kind,
                   const std::vector<std::string> &names)
{
    constexpr size_t kAtOnce = 1000; /* more might wait so long that they are refused */
    struct sl_session *all = session->get();
    size_t begun = 0, done = 0;
    while (done < names.size()) {
        for (; begun < names.size() && begun - done < kAtOnce; begun++) {
            struct sl_operation *op = sl_session_take(all, kind);
            (kind == SL_OPERATION_CREATE ? op->u.create.name : op->u.remove.name) =
                BytesOf(names[begun]);
            sl_session_submit(all, op);
        }
        sl_session_flush(all);
        struct sl_operation *op = sl_session_poll(all);
        if (op == nullptr)
            continue;
        ASSERT_EQ(op->err, SL_OK);
        sl_session_put(all, &op);
        done++;
    }
}

static struct sl_engine_status StatusOf(const struct sl_engine *engine)
{
    struct sl_engine_status status;
    sl_engine_status(engine, &status);
    return status;
}

/* What is kept of removed streams until the next flush is in no budget. */
TEST(DurableRemovals, ManyOfThemAskForAFlush)
{
    constexpr int kMost = 128 * 1024, kAtOnce = 1024;
    SimDisk disk(1);
    struct sl_engine_options options = OneShardOn(&disk, 8 << 20);
    options.wal_budget_bytes = 1 << 30;
    struct sl_engine *engine = nullptr;
    ASSERT_EQ(sl_engine_open(&options, &engine), SL_OK);
    std::vector<std::string> names;
    for (int i = 0; i < kAtOnce; i++)
        names.push_back(std::to_string(i));
    auto session = std::make_unique<Session>(engine);
    for (int removed = 0; removed < kMost - kAtOnce; removed += kAtOnce) {
        RunAll(session.get(), SL_OPERATION_CREATE, names);
        RunAll(session.get(), SL_OPERATION_DELETE, names);
    }
    RunAll(session.get(), SL_OPERATION_CREATE, names);
    std::string last = names.back();
    names.pop_back();
    RunAll(session.get(), SL_OPERATION_DELETE, names);
    EXPECT_EQ(StatusOf(engine).shard[0].segments, 0u);
    ASSERT_EQ(session->Delete(last), SL_OK);
    EXPECT_TRUE(Eventually([&] { return StatusOf(engine).shard[0].segments == 1; }));
    session.reset();
    sl_engine_close(&engine);
}

/* More tombstones than a flush takes in one turn, of streams that are in segments. */
TEST(DurableRemovals, ManyOfThemAreKeptByOneFlush)
{
    constexpr int kStreams = 40000; /* 16 bytes of each, and 256 KiB in a turn */
    SimDisk disk(1);
    struct sl_engine_options options = OneShardOn(&disk, 8 << 20);
    std::vector<std::string> names;
    for (int i = 0; i < kStreams; i++)
        names.push_back(std::to_string(i));
    struct sl_engine *engine = nullptr;
    for (enum sl_operation_kind kind : { SL_OPERATION_CREATE, SL_OPERATION_DELETE }) {
        options.wal_budget_bytes = 1 << 30;
        ASSERT_EQ(sl_engine_open(&options, &engine), SL_OK);
        {
            Session session(engine);
            RunAll(&session, kind, names);
            ASSERT_EQ(session.Create(kind == SL_OPERATION_CREATE ? "kept" : "new").err, SL_OK);
        }
        uint64_t bytes = StatusOf(engine).shard[0].segment_bytes;
        sl_engine_close(&engine);
        options.wal_budget_bytes = 4096; /* so the whole log is flushed */
        ASSERT_EQ(sl_engine_open(&options, &engine), SL_OK);
        ASSERT_TRUE(Eventually([&] { return StatusOf(engine).shard[0].segment_bytes != bytes; }));
        sl_engine_close(&engine);
    }
    ASSERT_EQ(sl_engine_open(&options, &engine), SL_OK);
    EXPECT_EQ(StatusOf(engine).streams, 2u);
    EXPECT_EQ(Session(engine).Head("kept").err, SL_OK);
    EXPECT_EQ(Session(engine).Head("new").err, SL_OK);
    sl_engine_close(&engine);
}

/* Neither the budget of the log nor segments with something dead ask for a flush. */
TEST(DurableFull, ALogMostlyOfStreamsThatAreGoneIsGivenBack)
{
    for (bool restarted : { false, true }) {
        SimDisk disk(1);
        struct sl_engine_options options = OneShardOn(&disk, 1 << 20);
        options.wal_budget_bytes = 1 << 30;
        disk.SetFreeSpace(4 * options.wal_file_bytes);
        struct sl_engine *engine = nullptr;
        ASSERT_EQ(sl_engine_open(&options, &engine), SL_OK);
        auto session = std::make_unique<Session>(engine);
        ASSERT_EQ(session->Create("kept").err, SL_OK);
        ASSERT_EQ(session->Append("kept", Body("kept")).err, SL_OK);
        ASSERT_EQ(session->Create("gone").err, SL_OK);
        auto append = [&] { return session->Append("gone", Body(std::string(30000, 'x'))).err; };
        ASSERT_TRUE(Eventually([&] { return append() == SL_ERR_DISK_FULL; }));
        ASSERT_EQ(session->Delete("gone"), SL_OK);
        if (restarted) {
            session.reset();
            sl_engine_close(&engine);
            ASSERT_EQ(sl_engine_open(&options, &engine), SL_OK);
            session = std::make_unique<Session>(engine);
        }
        EXPECT_TRUE(Eventually([&] { return session->Create("gone").err != SL_ERR_DISK_FULL; }));
        EXPECT_EQ(append(), SL_OK);
        EXPECT_EQ(session->ReadAll("kept"), "kept");
        session.reset();
        sl_engine_close(&engine);
    }
}

/* Data comes faster than segments are written. */
class DurableFlush : public testing::Test
{
  protected:
    static constexpr uint64_t kBudget = 16 << 20;
    static constexpr uint64_t kHotMax = kBudget / 4; /* then a flush begins */
    static constexpr size_t kData = 1 << 20;
    static constexpr size_t kLittle = kHotMax / 64;
    static constexpr int kLong_ms = SL_OVERLOAD_AGE_MS / 10 * 8;

    void SetUp() override
    {
        struct sl_engine_options options = OneShardOn(&disk_, 32 << 20);
        options.memory_budget_bytes = kBudget;
        options.wal_budget_bytes = 1 << 30;
        ASSERT_EQ(sl_engine_open(&options, &engine_), SL_OK);
        session_ = std::make_unique<Session>(engine_);
        /* Until the log has its files, which takes the disk a while. */
        uint64_t calls = 0;
        EXPECT_TRUE(Eventually([&] {
            uint64_t before = std::exchange(calls, disk_.Count(DiskCall::kAny));
            Sleep_ms(kLong_ms / 4);
            return before == calls;
        }));
    }
    void TearDown() override
    {
        disk_.HoldSyncs(false);
        disk_.HoldReadsOf("");
        session_.reset();
        sl_engine_close(&engine_);
    }
    enum sl_err Append(size_t size)
    {
        return session_->Append("a", Body(std::string(size, 'x'))).err;
    }
    /* Appends until one is not answered soon; the bytes before that. */
    uint64_t FillUntilOneWaits(std::future<enum sl_err> *waiting)
    {
        for (uint64_t bytes = 0; bytes < 2 * kBudget; bytes += kData) {
            *waiting = std::async(std::launch::async, [this] { return Append(kData); });
            if (waiting->wait_for(std::chrono::milliseconds(kLong_ms)) != std::future_status::ready)
                return bytes;
            EXPECT_EQ(waiting->get(), SL_OK);
        }
        return 2 * kBudget;
    }

    /* Streams take most of the budget, and "a" is there. */
    void FillWithStreams()
    {
        constexpr int kAtOnce = 100;
        ASSERT_EQ(session_->Create("a").err, SL_OK);
        for (int i = 0; StatusOf(engine_).memory_used_bytes <= kBudget / 8 * 7; i++) {
            std::vector<std::string> names;
            for (int k = 0; k < kAtOnce; k++)
                names.push_back(std::to_string(i) + "-" + std::to_string(k) +
                                std::string(900, 'n'));
            RunAll(session_.get(), SL_OPERATION_CREATE, names);
        }
    }
    uint64_t Segments()
    {
        return StatusOf(engine_).shard[0].segments;
    }

    SimDisk disk_{ 1 };
    struct sl_engine *engine_ = nullptr;
    std::unique_ptr<Session> session_;
};

TEST_F(DurableFlush, DataThatIsAheadOfItWaitsForItsEnd)
{
    ASSERT_EQ(session_->Create("a").err, SL_OK);
    ASSERT_EQ(session_->Create("b").err, SL_OK);
    disk_.HoldSyncs(true);
    std::future<enum sl_err> waiting;
    uint64_t bytes = FillUntilOneWaits(&waiting);
    EXPECT_GE(bytes, 2 * kHotMax);
    EXPECT_LE(bytes, 3 * kHotMax);
    Session other(engine_);
    EXPECT_EQ(other.Head("a").stream.tail, bytes);
    EXPECT_EQ(other.Read("a", FromStart()).err, SL_OK);
    disk_.HoldSyncs(false);
    EXPECT_EQ(waiting.get(), SL_OK);
    EXPECT_EQ(other.Head("a").stream.tail, bytes + kData);
    EXPECT_EQ(other.Append("b", Body("x")).err, SL_OK);
}

TEST_F(DurableFlush, StreamsExpireWhileDataWaits)
{
    ASSERT_EQ(session_->Create("a").err, SL_OK);
    ASSERT_EQ(session_->Create("short", Plain().Ttl(1)).err, SL_OK);
    disk_.HoldSyncs(true);
    std::future<enum sl_err> waiting;
    (void)FillUntilOneWaits(&waiting);
    /* Each waits for a second, and when one goes on another still waits. */
    std::atomic<bool> done{ false };
    auto append = [&](int delay_ms) {
        Sleep_ms(delay_ms);
        for (Session other(engine_); !done;)
            EXPECT_EQ(other.Append("a", Body("x")).err, SL_OK);
    };
    auto one = std::async(std::launch::async, append, 0);
    auto two = std::async(std::launch::async, append, kLong_ms / 2);
    EXPECT_TRUE(Eventually([&] { return StatusOf(engine_).streams == 1; }));
    done = true;
    one.get();
    two.get();
    EXPECT_EQ(waiting.get(), SL_OK);
}

/* Large bodies get their memory before the shard sees them. */
TEST_F(DurableFlush, MoreDataThanTheBudgetMayComeAtOnce)
{
    constexpr size_t kAtOnce = 4 * kBudget / kData;
    const int64_t began_ms = Steady_ms();
    uint64_t taken = 0;
    ASSERT_EQ(session_->Create("a").err, SL_OK);
    const std::string data(kData, 'x');
    const AppendRequest request = Body(data);
    std::vector<std::vector<struct sl_bytes>> parts(kAtOnce);
    for (auto &part : parts) {
        struct sl_operation *op = sl_session_take(session_->get(), SL_OPERATION_APPEND);
        Session::Fill(op, sl_bytes_of("a"), request, &part);
        sl_session_submit(session_->get(), op);
    }
    sl_session_flush(session_->get());
    for (size_t done = 0; done < kAtOnce;) {
        struct sl_operation *op = sl_session_poll(session_->get());
        if (op == nullptr)
            continue;
        taken += op->err == SL_OK ? kData : 0;
        bool has_waited = Steady_ms() - began_ms >= SL_OVERLOAD_AGE_MS;
        EXPECT_TRUE(op->err == SL_OK || has_waited) << done;
        sl_session_put(session_->get(), &op);
        done++;
    }
    EXPECT_EQ(session_->Head("a").stream.tail, taken);
}

TEST_F(DurableFlush, DataThatHasWaitedForASecondMayHaveTheRestOfTheBudget)
{
    ASSERT_EQ(session_->Create("a").err, SL_OK);
    disk_.HoldSyncs(true);
    std::future<enum sl_err> waiting;
    uint64_t bytes = FillUntilOneWaits(&waiting) + kData;
    EXPECT_EQ(waiting.get(), SL_OK);
    enum sl_err err = SL_OK;
    for (; err == SL_OK && bytes < 2 * kBudget; bytes += err == SL_OK ? 2 * kData : 0)
        err = Append(2 * kData);
    EXPECT_EQ(err, SL_ERR_MEMORY_LIMIT_EXCEEDED);
    EXPECT_GE(bytes, kBudget / 4 * 3);
    EXPECT_LE(bytes, kBudget);
    EXPECT_EQ(session_->Head("a").stream.tail, bytes);
    disk_.HoldSyncs(false);
    EXPECT_TRUE(Eventually([&] { return Append(kData) == SL_OK; }));
}

TEST_F(DurableFlush, LittleDataIsEnoughWhenMemoryIsScarce)
{
    FillWithStreams();
    EXPECT_EQ(Segments(), 0u) << "streams alone ask for none";
    for (uint64_t bytes = 0; bytes < kHotMax; bytes += kLittle)
        ASSERT_EQ(Append(kLittle), SL_OK) << bytes;
}

/* Compactions are behind, and each segment holds a descriptor. */
TEST_F(DurableFlush, LittleDataIsNotEnoughWhileThereAreManySegments)
{
    constexpr uint64_t kSegmentsMax = 48;
    FillWithStreams();
    disk_.HoldReadsOf("compact");
    auto has_many = [&] {
        EXPECT_EQ(Append(kLittle), SL_OK);
        return Segments() >= kSegmentsMax;
    };
    ASSERT_TRUE(Eventually(has_many, 6 * kPatience_ms)) << "a flush for each of them";
    std::future<enum sl_err> waiting;
    auto one_waits = [&] {
        waiting = std::async(std::launch::async, [this] { return Append(kLittle); });
        return waiting.wait_for(std::chrono::milliseconds(kLong_ms)) != std::future_status::ready;
    };
    for (uint64_t bytes = 0; !one_waits(); bytes += kLittle) {
        ASSERT_EQ(waiting.get(), SL_OK) << bytes;
        ASSERT_LT(bytes, kHotMax) << "none waited";
    }
    EXPECT_EQ(Segments(), kSegmentsMax);
    EXPECT_EQ(waiting.get(), SL_OK) << "it may have what is left of the budget";
    EXPECT_EQ(Segments(), kSegmentsMax);
    disk_.HoldReadsOf("");
    EXPECT_TRUE(Eventually([&] { return Segments() < kSegmentsMax / 2; }));
    for (uint64_t bytes = 0; bytes < kHotMax; bytes += kLittle)
        ASSERT_EQ(Append(kLittle), SL_OK) << bytes;
}

/* What is left is less than a sixteenth of what a flush wants, and less than a slab. */
TEST_F(DurableFlush, NearlyNothingIsEnoughWhenThatIsWhatIsLeft)
{
    constexpr uint64_t kLeft = 100 << 10;
    ASSERT_EQ(session_->Create("a").err, SL_OK);
    for (int i = 0; i < 150; i++)
        ASSERT_EQ(Append(1000), SL_OK) << "a part of the first slab";
    ASSERT_EQ(sli_engine_ask_all(engine_, SL_SHARD_TASK_FLUSH, nullptr), SL_OK);
    for (int i = 0; StatusOf(engine_).memory_used_bytes < kBudget - kLeft; i++)
        ASSERT_EQ(session_->Create(std::to_string(i) + std::string(900, 'n')).err, SL_OK);
    for (uint64_t bytes = 0; bytes < kData; bytes += 1000)
        ASSERT_EQ(Append(1000), SL_OK) << bytes;
}
