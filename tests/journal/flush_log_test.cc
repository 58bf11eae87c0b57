#include "journal/flush.h"

#include "journal/segment_fixture.h"
#include "journal/wal.h"

#include <cerrno>
#include <thread>

namespace sluice_test
{
namespace
{

using Strings = std::vector<std::string>;

const char kSegment[] = "/data/shard-00/seg-0000000000000001";

/* A flush that waits for a real log on the same disk. */
class FlushLog : public ::testing::Test
{
  protected:
    FlushLog() : disk_(1)
    {
        Shard::MakeStore(&disk_);
        shard_ = std::make_unique<Shard>(&disk_);
        EXPECT_EQ(shard_->Open(), SL_OK);
        sl_wal_setup setup = {};
        setup.vfs = disk_.vfs();
        setup.directory = kShard;
        setup.log_id = kLogId;
        setup.file_size = 1024 * 1024;
        setup.frame_size_max = 64 * 1024;
        setup.size_max = UINT64_MAX;
        setup.wake = [](void *) {};
        sl_wal_mark begin = {};
        begin.lsn = 1;
        EXPECT_EQ(sl_wal_open(&setup, &begin, 0, &wal_), SL_OK);
        /* From here on only the log writes, so that a test can say which write fails. */
        while (!disk_.Exists(std::string(kShard) + "/wal-0000000000000001"))
            std::this_thread::yield();
    }
    ~FlushLog() override
    {
        sl_wal_close(&wal_);
    }
    /* A record that is not committed yet, and a flush that is done but for that. */
    void Begin()
    {
        sl_record record = {};
        record.stream_id = 1;
        ASSERT_EQ(sl_wal_add(wal_, &record, 0), 1u);
        sl_flush_setup setup = shard_->Setup(wal_);
        flush_ = sl_flush_begin(&setup);
        Batch batch;
        batch.Add(1, 1, "one", 0, "abc");
        sl_segment_batch *handed = batch.Release();
        sl_flush_add(flush_, &handed);
        sl_wal_mark mark = {};
        mark.lsn = 1;
        sl_flush_end(flush_, &mark, 1, 1);
        while (!disk_.Exists(kSegment) || !disk_.IsDurable(kSegment))
            std::this_thread::yield();
        EXPECT_EQ(sl_flush_state(flush_), SL_FLUSH_WRITING);
    }
    enum sl_flush_state End()
    {
        shard_->WaitUntil([&] { return sl_flush_state(flush_) != SL_FLUSH_WRITING; });
        enum sl_flush_state state = sl_flush_state(flush_);
        sl_flush_destroy(&flush_);
        return state;
    }

    SimDisk disk_;
    std::unique_ptr<Shard> shard_;
    sl_wal *wal_ = nullptr;
    sl_flush *flush_ = nullptr;
};

TEST_F(FlushLog, IsDoneWhenTheLogIsDurable)
{
    Begin();
    sl_wal_commit(wal_);
    EXPECT_EQ(End(), SL_FLUSH_DONE);
    ASSERT_EQ(shard_->Open(), SL_OK);
    EXPECT_EQ(sl_catalog_manifest(shard_->catalog())->durable_lsn, 1u);
    EXPECT_EQ(shard_->Read().Live(), Strings{ "1:1:one:abc" });
}

TEST_F(FlushLog, FailsWhenTheLogDoes)
{
    Begin();
    disk_.FailNth(DiskCall::kWrite, 1, EIO);
    sl_wal_commit(wal_);
    EXPECT_EQ(End(), SL_FLUSH_FAILED);
    EXPECT_TRUE(sl_wal_failed(wal_));
    EXPECT_FALSE(disk_.Exists(kSegment));
    ASSERT_EQ(shard_->Open(), SL_OK);
    EXPECT_EQ(shard_->Read().Live(), Strings{});
}

} // namespace
} // namespace sluice_test
