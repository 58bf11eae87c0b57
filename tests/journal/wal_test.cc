#include "journal/wal.h"

#include "journal/frame.h"

#include "support/sim_disk.h"
#include "support/vfs_files.h"
#include "support/wal_fixture.h"

#include <errno.h>

#include <algorithm>
#include <random>
#include <thread>

using namespace sluice_test;

namespace
{

std::vector<std::string> Numbered(size_t count)
{
    std::vector<std::string> texts;
    for (size_t i = 0; i < count; i++)
        texts.push_back("record " + std::to_string(i));
    return texts;
}

/* For what nobody is woken for; false: not within ten seconds. */
template <typename Done> bool WaitUntil(Done done)
{
    auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!done()) {
        if (std::chrono::steady_clock::now() > end)
            return false;
        std::this_thread::yield();
    }
    return true;
}

/* A payload so that its record takes `size` bytes in a frame. */
std::string Payload(size_t size)
{
    return std::string(size - kRecordHeader, 'p');
}

} // namespace

TEST(Wal, ReadsBackWhatWasAddedInOrder)
{
    SimDisk disk(1);
    TestLog log(&disk);
    ASSERT_EQ(log.Open(), SL_OK);
    std::vector<std::string> texts = Numbered(100);
    uint64_t lsn = 0;
    for (size_t i = 0; i < texts.size(); i++) {
        EXPECT_EQ(log.Add(texts[i]), lsn + 1);
        lsn++;
        if (i % 7 == 0)
            sl_wal_commit(log.get());
    }
    sl_wal_commit(log.get());
    ASSERT_TRUE(log.WaitDurable(lsn));
    log.Close();
    ScanResult result = ScanLog(disk);
    EXPECT_EQ(result.scan.result, SL_WAL_CLEAN);
    EXPECT_TRUE(result.scan.sealed);
    EXPECT_EQ(result.records, texts);
    EXPECT_EQ(result.lsns.front(), 1u);
    EXPECT_EQ(result.lsns.back(), 100u);
    EXPECT_EQ(result.scan.end.lsn, 101u);
}

TEST(Wal, CloseCommitsWhatWasAdded)
{
    SimDisk disk(1);
    TestLog log(&disk);
    ASSERT_EQ(log.Open(), SL_OK);
    log.Add("not committed");
    log.Close();
    EXPECT_EQ(ScanLog(disk).records, std::vector<std::string>{ "not committed" });
}

TEST(Wal, NothingIsDurableBeforeTheWriteReturns)
{
    SimDisk disk(1);
    TestLog log(&disk);
    ASSERT_EQ(log.Open(), SL_OK);
    ASSERT_TRUE(WaitUntil([&] { return disk.Exists(LogPath(1)); }));
    disk.Hold(true);
    uint64_t first = log.Add("first");
    sl_wal_commit(log.get());
    ASSERT_TRUE(disk.WaitForHeld(1));
    uint64_t second = log.Add("second");
    sl_wal_commit(log.get());
    EXPECT_EQ(sl_wal_durable_lsn(log.get()), 0u);
    EXPECT_EQ(sl_wal_durable_mark(log.get()).lsn, 1u);
    disk.Hold(false);
    EXPECT_TRUE(log.WaitDurable(second));
    EXPECT_EQ(first + 1, second);
}

/* What gathers while a write is under way is one frame. */
TEST(Wal, CommitsInGroups)
{
    SimDisk disk(1);
    TestLog log(&disk);
    ASSERT_EQ(log.Open(), SL_OK);
    ASSERT_TRUE(WaitUntil([&] { return disk.Exists(LogPath(1)); }));
    disk.Hold(true);
    log.Add("alone");
    sl_wal_commit(log.get());
    ASSERT_TRUE(disk.WaitForHeld(1));
    uint64_t lsn = 0;
    for (const std::string &text : Numbered(50)) {
        lsn = log.Add(text);
        sl_wal_commit(log.get());
    }
    disk.Hold(false);
    ASSERT_TRUE(log.WaitDurable(lsn));
    struct sl_wal_mark mark = sl_wal_durable_mark(log.get());
    /* OPEN, the first, the group, and perhaps one WATERMARK or two. */
    EXPECT_LE(mark.position, 5u * SL_DISK_BLOCK_BYTES + SL_DISK_BLOCK_BYTES);
    log.Close();
    EXPECT_EQ(ScanLog(disk).records.size(), 51u);
}

/* Commits one record after the other until one is durable on return: the caller wrote it. */
static bool CommitUntilCallerWrites(TestLog *log)
{
    return WaitUntil([&] {
        uint64_t lsn = log->Add("short");
        sl_wal_commit(log->get());
        bool by_caller = sl_wal_durable_lsn(log->get()) == lsn;
        EXPECT_TRUE(log->WaitDurable(lsn));
        return by_caller;
    });
}

/* The caller of a commit does not wait for a disk that is held. */
static void ExpectThreadWrites(SimDisk *disk, TestLog *log, const std::string &payload)
{
    disk->Hold(true);
    uint64_t lsn = log->Add(payload);
    sl_wal_commit(log->get());
    ASSERT_TRUE(disk->WaitForHeld(1));
    EXPECT_LT(sl_wal_durable_lsn(log->get()), lsn);
    disk->Hold(false);
    EXPECT_TRUE(log->WaitDurable(lsn));
}

TEST(Wal, AQuickDiskIsWrittenByTheCaller)
{
    SimDisk disk(1);
    TestLog log(&disk);
    ASSERT_EQ(log.Open(), SL_OK);
    EXPECT_TRUE(CommitUntilCallerWrites(&log));
    /* A frame of two blocks is left to the thread, so the caller does not wait for it. */
    ExpectThreadWrites(&disk, &log, Payload(SL_DISK_BLOCK_BYTES));
}

TEST(Wal, ADiskThatBecameSlowIsLeftToTheThread)
{
    SimDisk disk(1);
    TestLog log(&disk);
    ASSERT_EQ(log.Open(), SL_OK);
    ASSERT_TRUE(CommitUntilCallerWrites(&log));
    disk.SetDelay(20);
    log.Write("slow");
    disk.SetDelay(0);
    ExpectThreadWrites(&disk, &log, "after it");
}

TEST(Wal, MarkIsWhereAScanGoesOn)
{
    SimDisk disk(1);
    TestLog log(&disk);
    ASSERT_EQ(log.Open(), SL_OK);
    log.Write("before");
    struct sl_wal_mark mark = sl_wal_durable_mark(log.get());
    EXPECT_EQ(mark.lsn, 2u);
    log.Write("after");
    log.Close();
    ScanResult result = ScanLog(disk, mark);
    EXPECT_EQ(result.scan.result, SL_WAL_CLEAN);
    EXPECT_EQ(result.records, std::vector<std::string>{ "after" });
    EXPECT_EQ(result.lsns, std::vector<uint64_t>{ 2 });
}

TEST(Wal, HasRoomUpToTheSizeOfAFrame)
{
    SimDisk disk(1);
    TestLog log(&disk);
    ASSERT_EQ(log.Open(), SL_OK);
    ASSERT_TRUE(WaitUntil([&] { return disk.Exists(LogPath(1)); }));
    disk.Hold(true);
    log.Add("in flight");
    sl_wal_commit(log.get());
    ASSERT_TRUE(disk.WaitForHeld(1));
    /* An empty frame takes any record. */
    EXPECT_TRUE(sl_wal_has_room(log.get(), kFrameSizeMax + 1));
    log.Add(Payload(100));
    EXPECT_TRUE(sl_wal_has_room(log.get(), kFrameSizeMax - 101));
    EXPECT_TRUE(sl_wal_has_room(log.get(), kFrameSizeMax - 100));
    EXPECT_FALSE(sl_wal_has_room(log.get(), kFrameSizeMax - 99));
    sl_wal_commit(log.get());
    EXPECT_TRUE(sl_wal_has_room(log.get(), kFrameSizeMax - 100));
    EXPECT_FALSE(sl_wal_has_room(log.get(), kFrameSizeMax - 99));
    log.Add(Payload(kFrameSizeMax - 100));
    sl_wal_commit(log.get());
    EXPECT_FALSE(sl_wal_has_room(log.get(), kRecordHeader));
    /* Without payload there is always room. */
    uint64_t last = log.AddHead(std::string(5000, 'h'));
    sl_wal_commit(log.get());
    disk.Hold(false);
    EXPECT_TRUE(log.WaitFor([&] { return sl_wal_has_room(log.get(), kFrameSizeMax); }));
    EXPECT_TRUE(log.WaitDurable(last));
    log.Close();
    EXPECT_EQ(ScanLog(disk).records.size(), 4u);
}

TEST(Wal, OneRecordMayBeLargerThanAFrame)
{
    SimDisk disk(1);
    TestLog log(&disk);
    ASSERT_EQ(log.Open(), SL_OK);
    size_t largest = kFileSize / 2 - SL_FRAME_HEADER_BYTES;
    std::string large = Payload(largest);
    log.Write(large);
    log.Write("small");
    log.Close();
    ScanResult result = ScanLog(disk);
    EXPECT_EQ(result.scan.result, SL_WAL_CLEAN);
    EXPECT_EQ(result.records, (std::vector<std::string>{ large, "small" }));
}

TEST(WalDeath, ARecordOfMoreThanHalfAFileIsAMistake)
{
    SimDisk disk(1);
    TestLog log(&disk);
    ASSERT_EQ(log.Open(), SL_OK);
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_DEATH(log.Add(Payload(kFileSize / 2 - SL_FRAME_HEADER_BYTES + 1)), "needed <= largest");
}

TEST(Wal, GoesOnInTheNextFile)
{
    SimDisk disk(1);
    TestLog log(&disk);
    ASSERT_EQ(log.Open(), SL_OK);
    std::vector<std::string> texts;
    for (int i = 0; i < 40; i++) {
        texts.push_back(std::string(7000, static_cast<char>('a' + i % 26)));
        log.Write(texts.back());
    }
    EXPECT_GE(sl_wal_durable_mark(log.get()).position, 5 * kFileSize);
    log.Close();
    ScanResult result = ScanLog(disk);
    EXPECT_EQ(result.scan.result, SL_WAL_CLEAN);
    EXPECT_EQ(result.records, texts);
}

TEST(Wal, SaysAfterIdlenessThatTheLastFrameIsDurable)
{
    SimDisk disk(1);
    TestLog log(&disk);
    ASSERT_EQ(log.Open(), SL_OK);
    log.Write("data");
    /* OPEN, data, WATERMARK, and then nothing more. */
    uint64_t expected = 3 * SL_DISK_BLOCK_BYTES;
    ASSERT_TRUE(WaitUntil([&] { return sl_wal_durable_mark(log.get()).position >= expected; }));
    uint64_t writes = disk.Count(DiskCall::kWrite);
    log.Close();
    EXPECT_LE(disk.Count(DiskCall::kWrite), writes + 2); /* SEAL, and zeros of a spare */
    EXPECT_EQ(ScanLog(disk).scan.frames, 4u);
}

TEST(Wal, EveryStartIsANewEpochInAFreshFile)
{
    SimDisk disk(1);
    struct sl_wal_mark end = LogBegin();
    for (uint64_t life = 1; life <= 5; life++) {
        TestLog log(&disk);
        ASSERT_EQ(log.Open(end), SL_OK);
        struct sl_wal_mark mark = sl_wal_durable_mark(log.get());
        EXPECT_EQ(mark.epoch, life);
        EXPECT_EQ(mark.position, (life - 1) * kFileSize + SL_DISK_BLOCK_BYTES);
        log.Write("life " + std::to_string(life));
        log.Close();
        ScanResult result = ScanLog(disk);
        ASSERT_EQ(result.scan.result, SL_WAL_CLEAN);
        EXPECT_EQ(result.records.size(), life);
        end = result.scan.end;
    }
}

TEST(Wal, RecyclesWhatWasReleased)
{
    SimDisk disk(1);
    TestLog log(&disk);
    log.setup.size_max = 8 * kFileSize;
    ASSERT_EQ(log.Open(), SL_OK);
    struct sl_wal_mark mark = {};
    for (int i = 0; i < 400; i++) {
        log.Write(std::string(7000, 'x'));
        mark = sl_wal_durable_mark(log.get());
        sl_wal_release(log.get(), mark.position);
    }
    EXPECT_GE(mark.position, 40 * kFileSize);
    log.Write("last");
    log.Close();
    EXPECT_LE(disk.Files().size(), 10u);
    ScanResult result = ScanLog(disk, mark);
    EXPECT_EQ(result.scan.result, SL_WAL_CLEAN);
    EXPECT_EQ(result.records, std::vector<std::string>{ "last" });
    /* A scan from what is not there any more must not end cleanly. */
    EXPECT_EQ(ScanLog(disk).scan.result, SL_WAL_CORRUPT);
}

TEST(Wal, RecyclesNoFileOfAnotherSize)
{
    SimDisk disk(1);
    struct sl_wal_mark end = LogBegin();
    for (int writes : { 43, 11 }) { /* the second time the last files are not written to */
        TestLog log(&disk);
        log.setup.size_max = 8 * kFileSize;
        ASSERT_EQ(log.Open(end, end.position), SL_OK);
        for (int i = 0; i < writes; i++) {
            log.Write(std::string(7000, 'x'));
            sl_wal_release(log.get(), sl_wal_durable_mark(log.get()).position);
        }
        end = sl_wal_durable_mark(log.get());
        ASSERT_TRUE(WaitUntil([&] { return disk.Exists(LogPath(end.position / kFileSize + 1)); }));
        log.Close();
        for (const std::string &file : disk.Files())
            EXPECT_EQ(disk.Bytes(file).size(), kFileSize) << file;
        /* The log does not need these any more. */
        for (uint64_t number = 0; number < end.position / kFileSize; number++)
            if (disk.Exists(LogPath(number)))
                disk.SetBytes(LogPath(number), "damaged");
    }
}

/*
 * ---- failures ---------------------------------------------------------------------------------
 */

TEST(WalFailure, AFailedWriteEndsTheLog)
{
    for (int error : { EIO, ENOSPC, kShortWrite, EAGAIN }) {
        SimDisk disk(static_cast<uint64_t>(error) + 10);
        TestLog log(&disk);
        ASSERT_EQ(log.Open(), SL_OK);
        log.Write("before");
        ASSERT_TRUE(WaitUntil([&] { return disk.Exists(LogPath(1)); }));
        disk.FailNth(DiskCall::kWrite, 1, error, true);
        uint64_t lsn = log.Add("lost");
        sl_wal_commit(log.get());
        EXPECT_FALSE(log.WaitDurable(lsn));
        disk.FailNth(DiskCall::kWrite, 0, 0);
        uint64_t writes = disk.Count(DiskCall::kWrite);
        EXPECT_TRUE(sl_wal_failed(log.get()));
        /* Goes on taking records, which lead nowhere. */
        for (int i = 0; i < 1000; i++) {
            EXPECT_TRUE(sl_wal_has_room(log.get(), 5000));
            EXPECT_EQ(log.Add(std::string(4000, 'x')), ++lsn);
            sl_wal_commit(log.get());
        }
        EXPECT_EQ(sl_wal_durable_lsn(log.get()), 1u);
        EXPECT_EQ(sl_wal_durable_mark(log.get()).lsn, 2u);
        log.Close();
        EXPECT_EQ(disk.Count(DiskCall::kWrite), writes);
        disk.PowerCut();
        ScanResult result = ScanLog(disk);
        EXPECT_NE(result.scan.result, SL_WAL_CORRUPT);
        EXPECT_GE(result.records.size(), 1u);
        EXPECT_EQ(result.records[0], "before");
        EXPECT_FALSE(result.scan.sealed);
    }
}

TEST(WalFailure, AFailedWriteOfTheCallerEndsTheLog)
{
    SimDisk disk(1);
    TestLog log(&disk);
    ASSERT_EQ(log.Open(), SL_OK);
    ASSERT_TRUE(CommitUntilCallerWrites(&log));
    uint64_t durable = sl_wal_durable_lsn(log.get());
    disk.FailNth(DiskCall::kWrite, 1, EIO, true);
    uint64_t lsn = log.Add("lost");
    sl_wal_commit(log.get());
    EXPECT_FALSE(log.WaitDurable(lsn));
    EXPECT_TRUE(sl_wal_failed(log.get()));
    EXPECT_EQ(sl_wal_durable_lsn(log.get()), durable);
    disk.FailNth(DiskCall::kWrite, 0, 0);
    log.Add("never written");
    sl_wal_commit(log.get());
    log.Close();
    std::vector<std::string> records = ScanLog(disk).records;
    EXPECT_EQ(std::count(records.begin(), records.end(), "never written"), 0);
}

TEST(WalFailure, FallsBackToThePageCacheWhereDirectIsRefused)
{
    for (DirectIo mode :
         { DirectIo::kWorks, DirectIo::kRefusedAtOpen, DirectIo::kRefusedAtWrite }) {
        SimDisk disk(3);
        disk.SetDirectIo(mode);
        TestLog log(&disk);
        ASSERT_EQ(log.Open(), SL_OK);
        EXPECT_EQ(sl_wal_is_buffered(log.get()), mode != DirectIo::kWorks);
        for (int i = 0; i < 30; i++)
            log.Write(std::string(7000, 'x'));
        log.Close();
        disk.PowerCut();
        EXPECT_EQ(ScanLog(disk).records.size(), 30u);
    }
}

/*
 * ---- lives that end in the middle -------------------------------------------------------------
 */

namespace
{

enum class Death {
    kPowerCut,
    kKill,
    kFailedCalls, /* and then the power */
};

/* A log that lives often, and what must be true of it after every death. */
class Lives
{
  public:
    explicit Lives(uint64_t seed) : random_(seed), disk_(seed)
    {
        disk_.MakeDirectory("/log");
    }

    void Live()
    {
        ScanResult found = Recover();
        if (::testing::Test::HasFailure())
            return;
        TestLog log(&disk_);
        auto death = static_cast<Death>(random_() % 3);
        if (death == Death::kFailedCalls)
            disk_.FailNth(DiskCall::kAny, 1 + random_() % 60, EIO, true);
        else if (random_() % 4 == 0)
            disk_.SetFreeSpace(random_() % 4 * kFileSize + random_() % kFileSize);
        if (log.Open(found.scan.end, from_.position) == SL_OK) {
            durable_ = found.scan.end.lsn - 1;
            Work(&log);
            if (death != Death::kFailedCalls && random_() % 8 != 0)
                Hold(&log);
            durable_ = std::max(durable_, sl_wal_durable_lsn(log.get()));
        }
        Die(death);
        disk_.Hold(false);
        if (caller_.joinable())
            caller_.join();
        log.Close();
        disk_.FailNth(DiskCall::kAny, 0, 0);
        disk_.SetFreeSpace(UINT64_MAX);
        lives_++;
    }

  private:
    /* Reads the log and compares it with what was written. */
    ScanResult Recover()
    {
        ScanResult found = ScanLog(disk_, from_, durable_);
        EXPECT_TRUE(found.scan.result == SL_WAL_CLEAN || found.scan.result == SL_WAL_TORN)
            << "life " << lives_ << ": " << found.scan.what << " in " << found.scan.file_number
            << " at " << found.scan.file_offset;
        EXPECT_GE(found.scan.end.lsn, durable_ + 1) << "life " << lives_;
        EXPECT_LE(found.scan.end.lsn, written_.size() + 1) << "life " << lives_;
        for (size_t i = 0; i < found.records.size() && !::testing::Test::HasFailure(); i++) {
            EXPECT_EQ(found.lsns[i], from_.lsn + i);
            EXPECT_EQ(found.records[i], written_[from_.lsn - 1 + i]) << "life " << lives_;
        }
        return found;
    }

    void AddSome(TestLog *log)
    {
        /* What a scan did not find is gone for ever. */
        size_t size = random_() % 3 == 0 ? random_() % 7000 : random_() % 100;
        if (random_() % 50 == 0)
            size = random_() % (kFileSize / 2 - 200);
        std::string text =
            std::to_string(written_.size()) + std::string(size, static_cast<char>(random_()));
        if (sl_wal_space(log->get()) != SL_OK)
            text.resize(std::min<size_t>(text.size(), 10));
        if (!sl_wal_has_room(log->get(), text.size() + kRecordHeader))
            return;
        uint64_t lsn = log->Add(text);
        written_.resize(lsn - 1);
        written_.push_back(text);
    }

    void Work(TestLog *log)
    {
        written_.resize(sl_wal_durable_lsn(log->get()));
        uint64_t batches = random_() % 40;
        for (uint64_t i = 0; i < batches; i++) {
            for (uint64_t n = 1 + random_() % 5; n > 0; n--)
                AddSome(log);
            sl_wal_commit(log->get());
            if (random_() % 3 == 0)
                Settle(log);
            if (random_() % 16 == 0) {
                from_ = sl_wal_durable_mark(log->get());
                sl_wal_release(log->get(), from_.position);
            }
        }
    }

    /* Waits until all is durable; false: that cannot be. */
    bool Settle(TestLog *log)
    {
        struct sl_wal *wal = log->get();
        EXPECT_TRUE(log->WaitFor([&] {
            return sl_wal_durable_lsn(wal) >= written_.size() || sl_wal_failed(wal) ||
                   sl_wal_space(wal) != SL_OK;
        }));
        return sl_wal_durable_lsn(wal) >= written_.size();
    }

    /* Makes sure that a write is under way, for which the caller of the log may have to wait. */
    void Hold(TestLog *log)
    {
        if (!Settle(log))
            return;
        disk_.Hold(true);
        caller_ = std::thread([this, log] {
            AddSome(log);
            sl_wal_commit(log->get());
            for (int i = 0; i < 3; i++)
                AddSome(log);
            sl_wal_commit(log->get());
        });
        disk_.WaitForHeld(1);
    }

    void Die(Death death)
    {
        if (death == Death::kKill)
            disk_.Crash();
        else
            disk_.PowerCut();
    }

    std::mt19937_64 random_;
    SimDisk disk_;
    struct sl_wal_mark from_ = LogBegin();
    std::vector<std::string> written_; /* record n at n - 1 */
    std::thread caller_;               /* of a log whose disk is held */
    uint64_t durable_ = 0;             /* was said to be */
    unsigned lives_ = 0;
};

} // namespace

TEST(WalLives, NoDeathLosesWhatWasDurable)
{
    for (uint64_t seed = 1; seed <= 100 && !HasFailure(); seed++) {
        SCOPED_TRACE(seed);
        Lives lives(seed);
        for (int i = 0; i < 12 && !HasFailure(); i++)
            lives.Live();
    }
}

/*
 * ---- calls that fail, one after the other -----------------------------------------------------
 */

namespace
{

/* Writes until so many records are durable, the log has failed, or the disk is full. */
void WriteMany(TestLog *log, size_t count, std::vector<std::string> *durable)
{
    for (size_t i = 0; i < count && !sl_wal_failed(log->get()); i++) {
        std::string text = std::to_string(i) + std::string(7000, 'x');
        if (!log->WaitForRoom(text.size() + kRecordHeader))
            return;
        uint64_t lsn = log->Add(text);
        sl_wal_commit(log->get());
        if (log->WaitDurable(lsn))
            durable->push_back(text);
        sl_wal_release(log->get(), i > 20 ? 2 * kFileSize : 0);
    }
}

} // namespace

TEST(WalFailure, NoFailedCallIsTakenForASuccess)
{
    struct {
        DiskCall call;
        std::vector<int> errors;
    } cases[] = {
        { DiskCall::kOpen, { EIO, EMFILE } },  { DiskCall::kWrite, { EIO, ENOSPC, kShortWrite } },
        { DiskCall::kSync, { EIO, ENOSPC } },  { DiskCall::kRename, { EIO, ENOSPC } },
        { DiskCall::kSyncDirectory, { EIO } }, { DiskCall::kUnlink, { EIO } },
        { DiskCall::kList, { EIO } },          { DiskCall::kSize, { EIO } },
        { DiskCall::kSpace, { EIO } },
    };
    for (auto &test : cases) {
        for (int error : test.errors) {
            bool failed = true;
            for (uint64_t n = 1; failed && n < 30 && !HasFailure(); n++) {
                SCOPED_TRACE(::testing::Message() << "call " << static_cast<int>(test.call)
                                                  << " errno " << error << " n " << n);
                SimDisk disk(n);
                disk.MakeDirectory("/log");
                disk.SetBytes("/log/wal-tmp-7", "left over");
                TestLog log(&disk);
                log.setup.size_max = 8 * kFileSize;
                disk.FailNth(test.call, n, error);
                std::vector<std::string> durable;
                if (log.Open() == SL_OK)
                    WriteMany(&log, 40, &durable);
                log.Close();
                failed = disk.failures() > 0;
                disk.PowerCut();
                ScanResult result = ScanLog(disk);
                EXPECT_TRUE(result.scan.result == SL_WAL_CLEAN ||
                            result.scan.result == SL_WAL_TORN || durable.size() > 20)
                    << result.scan.what;
                if (durable.size() > 20)
                    continue; /* the first files are recycled */
                ASSERT_GE(result.records.size(), durable.size());
                result.records.resize(durable.size());
                EXPECT_EQ(result.records, durable);
            }
        }
    }
}

/* What goes wrong while a file is made is tried again with another one. */
TEST(WalFailure, AFileThatCannotBeMadeIsMadeAgain)
{
    for (DiskCall call : { DiskCall::kSync, DiskCall::kRename, DiskCall::kSyncDirectory }) {
        SimDisk disk(5);
        TestLog log(&disk);
        ASSERT_EQ(log.Open(), SL_OK);
        ASSERT_TRUE(WaitUntil([&] { return disk.Files().size() == 2; }));
        disk.FailNth(call, 1, EIO);
        std::vector<std::string> durable;
        WriteMany(&log, 20, &durable);
        EXPECT_EQ(disk.failures(), 1u);
        EXPECT_FALSE(sl_wal_failed(log.get()));
        log.Close();
        EXPECT_EQ(ScanLog(disk).records, durable);
    }
}

/*
 * ---- a full disk ------------------------------------------------------------------------------
 */

namespace
{

/* Adds data until there is no space for it. */
size_t FillUp(TestLog *log)
{
    size_t count = 0;
    while (log->WaitForRoom(4000) && count < 1000) {
        log->Write(std::string(3000, 'x'));
        count++;
    }
    EXPECT_EQ(sl_wal_space(log->get()), SL_ERR_DISK_FULL);
    return count;
}

} // namespace

TEST(WalSpace, KeepsAReserveWhenTheDiskIsFull)
{
    SimDisk disk(1);
    disk.SetFreeSpace(3 * kFileSize + 100);
    TestLog log(&disk);
    ASSERT_EQ(log.Open(), SL_OK);
    size_t count = FillUp(&log);
    EXPECT_GE(sl_wal_durable_mark(log.get()).position, 2 * kFileSize + kFileSize / 4);
    /* Removes still find room. */
    for (int i = 0; i < 6; i++)
        log.WriteHead("remove");
    EXPECT_FALSE(sl_wal_failed(log.get()));
    disk.SetFreeSpace(UINT64_MAX);
    EXPECT_TRUE(log.WaitFor([&] { return sl_wal_space(log.get()) == SL_OK; }));
    log.Write("again");
    log.Close();
    EXPECT_EQ(ScanLog(disk).records.size(), count + 7);
}

TEST(WalSpace, LeavesTheFileSystemItsMinimum)
{
    SimDisk disk(1);
    disk.SetFreeSpace(4 * kFileSize);
    TestLog log(&disk);
    log.setup.free_bytes_min = 2 * kFileSize;
    ASSERT_EQ(log.Open(), SL_OK);
    FillUp(&log);
    EXPECT_EQ(disk.Files().size(), 2u);
    /* The minimum alone does not end it: a quarter more does. */
    disk.SetFreeSpace(3 * kFileSize + kFileSize / 2 - 1);
    uint64_t looks = disk.Count(DiskCall::kSpace);
    ASSERT_TRUE(WaitUntil([&] { return disk.Count(DiskCall::kSpace) >= looks + 2; }));
    EXPECT_EQ(sl_wal_space(log.get()), SL_ERR_DISK_FULL);
    disk.SetFreeSpace(3 * kFileSize + kFileSize / 2);
    EXPECT_TRUE(log.WaitFor([&] { return sl_wal_space(log.get()) == SL_OK; }));
}

/* Appends wait for the flush that is under way; they are not told that the disk is full. */
TEST(WalSpace, ALogThatReachesItsSizeHasRoomSoon)
{
    SimDisk disk(1);
    TestLog log(&disk);
    log.setup.size_max = 4 * kFileSize;
    ASSERT_EQ(log.Open(), SL_OK);
    while (disk.Files().size() < 4 || sl_wal_has_room(log.get(), 4000)) {
        if (sl_wal_has_room(log.get(), 4000))
            log.Write(std::string(3000, 'x'));
    }
    EXPECT_EQ(sl_wal_space(log.get()), SL_OK);
    EXPECT_FALSE(sl_wal_has_room(log.get(), 0));
    sl_wal_release(log.get(), kFileSize);
    EXPECT_TRUE(log.WaitForRoom(4000));
}

TEST(WalSpace, ALogThatStaysAtItsSizeIsFullUntilARelease)
{
    SimDisk disk(1);
    TestLog log(&disk);
    log.setup.size_max = 4 * kFileSize;
    ASSERT_EQ(log.Open(), SL_OK);
    FillUp(&log);
    EXPECT_EQ(disk.Files().size(), 4u);
    /* Up to the last byte of the first file: nothing. */
    sl_wal_release(log.get(), kFileSize - 1);
    EXPECT_EQ(sl_wal_space(log.get()), SL_ERR_DISK_FULL);
    sl_wal_release(log.get(), kFileSize);
    EXPECT_TRUE(log.WaitFor([&] { return sl_wal_space(log.get()) == SL_OK; }));
    EXPECT_EQ(disk.Files().size(), 4u);
    EXPECT_FALSE(disk.Exists(LogPath(0)));
    EXPECT_TRUE(disk.Exists(LogPath(4)));
}

TEST(WalSpace, StartsThatComeToNothingTakeNoFilesWithoutEnd)
{
    SimDisk disk(1);
    uint64_t lsn = 0;
    for (int start = 0; start < 40; start++) {
        TestLog log(&disk);
        log.setup.size_max = 4 * kFileSize;
        ScanResult found = ScanLog(disk);
        ASSERT_EQ(found.scan.result, SL_WAL_CLEAN) << start;
        ASSERT_EQ(found.records.size(), lsn) << start;
        ASSERT_EQ(log.Open(found.scan.end), SL_OK) << start;
        if (!sl_wal_has_room(log.get(), 2 * kRecordHeader))
            continue; /* a shard would wait for a flush */
        lsn = log.WriteHead("remove");
    }
    EXPECT_GT(lsn, 10u);
    /* Each start writes an OPEN, the record and a SEAL, a block each, and has one spare. */
    size_t content = (40 * 3 * SL_DISK_BLOCK_BYTES + kFileSize - 1) / kFileSize;
    EXPECT_LE(disk.Files().size(), 4 + content + 1);
}

/* When the reserve is used up, commits wait; nothing fails. */
TEST(WalSpace, WaitsForAFileWhenTheReserveIsUsedUp)
{
    SimDisk disk(1);
    disk.SetFreeSpace(2 * kFileSize);
    TestLog log(&disk);
    ASSERT_EQ(log.Open(), SL_OK);
    FillUp(&log);
    uint64_t durable;
    uint64_t lsn;
    do {
        durable = sl_wal_durable_mark(log.get()).position;
        lsn = log.AddHead("remove");
        sl_wal_commit(log.get());
        if (2 * kFileSize - durable >= 3 * SL_DISK_BLOCK_BYTES) {
            ASSERT_TRUE(log.WaitDurable(lsn));
        }
    } while (2 * kFileSize - durable >= 3 * SL_DISK_BLOCK_BYTES);
    for (int i = 0; i < 20; i++)
        lsn = log.AddHead(std::string(1000, 'r'));
    sl_wal_commit(log.get());
    EXPECT_LT(sl_wal_durable_lsn(log.get()), lsn);
    disk.SetFreeSpace(UINT64_MAX);
    EXPECT_TRUE(log.WaitDurable(lsn));
    log.Close();
    EXPECT_EQ(ScanLog(disk).lsns.back(), lsn);
}

TEST(WalSpace, ClosesWhileItWaitsForAFile)
{
    SimDisk disk(1);
    disk.SetFreeSpace(2 * kFileSize);
    TestLog log(&disk);
    ASSERT_EQ(log.Open(), SL_OK);
    FillUp(&log);
    for (int i = 0; i < 20; i++)
        log.AddHead(std::string(1500, 'r'));
    sl_wal_commit(log.get());
    log.Close();
    EXPECT_NE(ScanLog(disk).scan.result, SL_WAL_CORRUPT);
}

/* A clean end on a full disk is one, also where nothing more can be written. */
TEST(WalSpace, EndsWithoutASealThatHasNoPlace)
{
    SimDisk disk(1);
    disk.SetFreeSpace(2 * kFileSize);
    TestLog log(&disk);
    ASSERT_EQ(log.Open(), SL_OK);
    FillUp(&log);
    uint64_t lsn = 0;
    while (sl_wal_durable_mark(log.get()).position % kFileSize != 0)
        lsn = log.WriteHead("remove");
    testing::internal::CaptureStderr();
    log.Close();
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "") << "nothing has failed";
    ScanResult result = ScanLog(disk);
    EXPECT_EQ(result.scan.result, SL_WAL_CLEAN);
    EXPECT_FALSE(result.scan.sealed);
    EXPECT_EQ(result.lsns.back(), lsn);
}

/* What a quota refuses counts as a full disk. */
TEST(WalSpace, OpensInTheLastFileWhenAQuotaIsUsedUp)
{
    SimDisk disk(1);
    {
        disk.SetFreeSpace(kFileSize);
        TestLog log(&disk);
        ASSERT_EQ(log.Open(), SL_OK);
        log.Write("x");
    }
    disk.SetFreeSpace(UINT64_MAX);
    disk.FailNth(DiskCall::kWrite, 1, EDQUOT);
    TestLog again(&disk);
    ASSERT_EQ(again.Open(ScanLog(disk).scan.end), SL_OK);
    again.Write("more");
    again.Close();
    EXPECT_EQ(ScanLog(disk).scan.result, SL_WAL_CLEAN);
    EXPECT_EQ(ScanLog(disk).scan.records, 2u);
}

TEST(WalSpace, OpensWithTheSpareOfAFullDiskAndThenInTheLastFile)
{
    SimDisk disk(1);
    {
        disk.SetFreeSpace(3 * kFileSize);
        TestLog log(&disk);
        ASSERT_EQ(log.Open(), SL_OK);
        log.Write("x");
        ASSERT_TRUE(WaitUntil([&] { return disk.Exists(LogPath(1)); }));
    }
    disk.SetFreeSpace(0);
    TestLog second(&disk);
    ASSERT_EQ(second.Open(ScanLog(disk).scan.end), SL_OK);
    second.Close();
    for (int starts = 0; starts < 3; starts++) {
        TestLog again(&disk);
        if (starts == 2) { /* enough for a file, which another shard may need to start at all */
            again.setup.free_bytes_min = 2 * kFileSize;
            disk.SetFreeSpace(3 * kFileSize - 1);
        }
        ASSERT_EQ(again.Open(ScanLog(disk).scan.end), SL_OK);
        EXPECT_FALSE(disk.Exists(LogPath(2)));
        again.Write("more");
        again.Close();
        EXPECT_EQ(ScanLog(disk).scan.result, SL_WAL_CLEAN);
        EXPECT_EQ(ScanLog(disk).scan.records, 2u + static_cast<unsigned>(starts));
    }
}

/*
 * ---- files ------------------------------------------------------------------------------------
 */

TEST(WalFiles, NamesAreSixteenHexDigits)
{
    char name[SL_WAL_FILE_NAME_SIZE];
    for (uint64_t number : { UINT64_C(0), UINT64_C(0xabc), UINT64_MAX }) {
        sl_wal_file_name(number, name);
        uint64_t back;
        EXPECT_TRUE(sl_wal_file_number(name, &back));
        EXPECT_EQ(back, number);
    }
    sl_wal_file_name(0xabc, name);
    EXPECT_STREQ(name, "wal-0000000000000abc");
    uint64_t number;
    for (const char *bad : { "", "wal-", "wal-0", "wal-0000000000000ABC", "wal-0000000000000abcd",
                             "wal-000000000000abc", "WAL-0000000000000abc", "wal-0000000000000abg",
                             "wal-tmp-00000000000a", "wal--000000000000abc" })
        EXPECT_FALSE(sl_wal_file_number(bad, &number)) << bad;
}

TEST(WalFiles, OpenRemovesWhatIsOfNoUse)
{
    SimDisk disk(1);
    TestLog log(&disk);
    disk.SetBytes("/log/wal-tmp-0", "left over");
    disk.SetBytes("/log/wal-tmp-22", "left over");
    disk.SetBytes(LogPath(1), "not whole");
    disk.SetBytes(LogPath(9), std::string(kFileSize, 'z'));
    disk.SetBytes("/log/MANIFEST", "not of the log");
    ASSERT_EQ(log.Open(), SL_OK);
    log.Close();
    EXPECT_FALSE(disk.Exists("/log/wal-tmp-0"));
    EXPECT_FALSE(disk.Exists("/log/wal-tmp-22"));
    EXPECT_FALSE(disk.Exists(LogPath(9)));
    EXPECT_TRUE(disk.Exists("/log/MANIFEST"));
    EXPECT_TRUE(!disk.Exists(LogPath(1)) || disk.Bytes(LogPath(1)).size() == kFileSize);
}

/* The blocks of a spare are written, and its name and bytes durable, before it is used. */
TEST(WalFiles, ASpareIsDurableBeforeItIsUsed)
{
    SimDisk disk(1);
    TestLog log(&disk);
    ASSERT_EQ(log.Open(), SL_OK);
    ASSERT_TRUE(WaitUntil([&] { return disk.Exists(LogPath(1)); }));
    EXPECT_TRUE(disk.IsDurable(LogPath(0)));
    EXPECT_EQ(disk.Bytes(LogPath(1)), std::string(kFileSize, '\0'));
}

/* What the operator cuts off never comes back, and the log goes on. */
TEST(WalFiles, CutsALogAtAPlace)
{
    SimDisk disk(1);
    struct sl_wal_mark cut = {};
    {
        TestLog log(&disk);
        ASSERT_EQ(log.Open(), SL_OK);
        log.Write("kept");
        cut = sl_wal_durable_mark(log.get());
        for (int i = 0; i < 20; i++)
            log.Write(std::string(7000, 'x'));
    }
    disk.Flip(LogPath(0), cut.position + 200, 1);
    ScanResult damaged = ScanLog(disk);
    ASSERT_EQ(damaged.scan.result, SL_WAL_CORRUPT);
    ASSERT_EQ(sl_wal_files_cut(disk.vfs(), "/log", kFileSize, damaged.scan.end.position), 0);
    disk.PowerCut();
    ScanResult result = ScanLog(disk);
    EXPECT_EQ(result.scan.result, SL_WAL_CLEAN);
    EXPECT_EQ(result.records, std::vector<std::string>{ "kept" });
    EXPECT_TRUE(SameMark(result.scan.end, damaged.scan.end));
    TestLog log(&disk);
    ASSERT_EQ(log.Open(result.scan.end), SL_OK);
    log.Write("new");
    log.Close();
    EXPECT_EQ(ScanLog(disk).records, (std::vector<std::string>{ "kept", "new" }));
}

/* The last process was killed between giving a spare its name and making that durable. */
TEST(WalFiles, ANameThatIsNotDurableIsNotTrusted)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        SimDisk disk(seed);
        TestLog log(&disk);
        VfsFile spare(disk.vfs(), LogPath(0), SL_VFS_WRITE | SL_VFS_CREATE);
        ASSERT_EQ(spare.Write(std::string(kFileSize, '\0'), 0), 0);
        ASSERT_EQ(spare.Sync(), 0);
        disk.SetFreeSpace(0); /* no other file is made, whose name would be made durable */
        ASSERT_EQ(log.Open(), SL_OK);
        log.Write("durable");
        disk.PowerCut();
        log.Close();
        EXPECT_EQ(ScanLog(disk).records, std::vector<std::string>{ "durable" });
    }
}

TEST(WalFiles, KeepsFilesThatAreNeeded)
{
    SimDisk disk(1);
    {
        TestLog log(&disk);
        ASSERT_EQ(log.Open(), SL_OK);
        for (int i = 0; i < 26; i++)
            log.Write(std::string(7000, 'x'));
        ASSERT_TRUE(WaitUntil([&] { return disk.Exists(LogPath(4)); }));
    }
    TestLog log(&disk);
    log.setup.size_max = 4 * kFileSize;
    ASSERT_EQ(log.Open(ScanLog(disk).scan.end, 3 * kFileSize - 1), SL_OK);
    /* One of two released files becomes the spare, and one is kept for the next. */
    ASSERT_TRUE(WaitUntil([&] { return disk.Exists(LogPath(5)); }));
    EXPECT_FALSE(disk.Exists(LogPath(0)));
    EXPECT_TRUE(disk.Exists(LogPath(1)));
    EXPECT_TRUE(disk.Exists(LogPath(2)));
    EXPECT_TRUE(disk.Exists(LogPath(3)));
    sl_wal_release(log.get(), 3 * kFileSize);
    ASSERT_TRUE(WaitUntil([&] { return !disk.Exists(LogPath(1)); }));
    EXPECT_TRUE(disk.Exists(LogPath(3)));
}
