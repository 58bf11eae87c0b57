/* A file system that refuses direct writes: the log goes through a cache that may lie. */
#include "base/log.h"
#include "support/engine_fixture.h"

using namespace sluice_test;

namespace
{

constexpr unsigned kShards = 2;
constexpr int kStreams = 40; /* so many that every shard has one, wherever names are hashed to */

class BufferedTest : public testing::TestWithParam<DirectIo>
{
  protected:
    /* A server on such a disk made streams and was killed: they are in its log only. */
    void SetUp() override
    {
        disk_.MakeDirectory("/disk");
        disk_.SetDirectIo(GetParam());
        ASSERT_EQ(Open(disk_), SL_OK);
        Session session(engine_);
        for (int i = 0; i < kStreams; i++)
            ASSERT_EQ(session.Create(Name(i), Plain().Data("data of " + Name(i))).err, SL_OK);
        ASSERT_TRUE(Eventually([this] { return HasSpares(); }));
        disk_.Crash();
    }
    void TearDown() override
    {
        Close();
        sl_log_set_level(SL_LOG_INFO);
    }
    static std::string Name(int i)
    {
        return "stream " + std::to_string(i);
    }
    enum sl_err Open(SimDisk &disk)
    {
        Close();
        struct sl_engine_options options = {};
        options.shards = kShards;
        options.data_directory = "/disk/data";
        options.vfs = disk.VfsOfThisLife();
        options.wal_file_bytes = 64 << 10;
        options.free_bytes_min = 1;
        return sl_engine_open(&options, &engine_);
    }
    void Close()
    {
        if (engine_ != nullptr)
            sl_engine_close(&engine_);
    }
    void ExpectAll()
    {
        Session session(engine_);
        for (int i = 0; i < kStreams; i++)
            EXPECT_EQ(session.ReadAll(Name(i)), "data of " + Name(i));
    }
    /* What a cache showed and no disk ever had: the log that the last start read is gone. */
    static void LoseLog(SimDisk *disk)
    {
        for (unsigned i = 0; i < kShards; i++) {
            std::string path = Shard(i) + "wal-0000000000000000";
            if (disk->Exists(path))
                disk->Remove(path);
        }
    }
    /* Nothing of the log is half made, which a start would remove, and so find space. */
    bool HasSpares() const
    {
        for (unsigned i = 0; i < kShards; i++) {
            std::string last;
            for (const std::string &file : disk_.Files())
                if (file.find(Shard(i) + "wal-") == 0)
                    last = file;
            if (last.find("wal-tmp") != std::string::npos || !disk_.IsDurable(last) ||
                disk_.Bytes(last).find_first_not_of('\0') != std::string::npos)
                return false;
        }
        return true;
    }
    static std::string Shard(unsigned i)
    {
        return "/disk/data/shard-0" + std::to_string(i) + "/";
    }
    static unsigned ShardsWithSegments(const SimDisk &disk)
    {
        unsigned count = 0;
        for (unsigned i = 0; i < kShards; i++) {
            std::string path = Shard(i) + "seg-0000000000000001";
            count += disk.Exists(path) && disk.IsDurable(path);
        }
        return count;
    }

    SimDisk disk_{ 11 };
    struct sl_engine *engine_ = nullptr;
};

INSTANTIATE_TEST_SUITE_P(Engine, BufferedTest,
                         testing::Values(DirectIo::kRefusedAtOpen, DirectIo::kRefusedAtWrite),
                         [](const testing::TestParamInfo<DirectIo> &info) {
                             return info.param == DirectIo::kRefusedAtOpen ? "AtOpen" : "AtWrite";
                         });

} // namespace

TEST_P(BufferedTest, AStartPutsWhatTheLogSaidIntoSegmentsBeforeAnybodySeesIt)
{
    ASSERT_EQ(Open(disk_), SL_OK);
    EXPECT_EQ(ShardsWithSegments(disk_), kShards);
    ExpectAll();
    /* What was shown is there whatever became of the log that was read. */
    disk_.PowerCut();
    Close();
    LoseLog(&disk_);
    ASSERT_EQ(Open(disk_), SL_OK);
    ExpectAll();
}

TEST_P(BufferedTest, AStartThatCannotDoThatIsRefused)
{
    sl_log_set_level(static_cast<enum sl_log_level>(SL_LOG_ERROR + 1));
    const DiskCall kinds[] = { DiskCall::kOpen, DiskCall::kWrite, DiskCall::kSync,
                               DiskCall::kRename, DiskCall::kSyncDirectory };
    unsigned refused = 0, started = 0;
    for (DiskCall kind : kinds) {
        std::unique_ptr<SimDisk> whole = disk_.Clone(1);
        whole->SetDirectIo(GetParam());
        uint64_t before = whole->Count(kind);
        ASSERT_EQ(Open(*whole), SL_OK);
        uint64_t calls = whole->Count(kind) - before;
        Close();
        for (uint64_t nth = 1; nth <= calls; nth++) {
            std::unique_ptr<SimDisk> disk = disk_.Clone(nth);
            disk->SetDirectIo(GetParam());
            disk->FailNth(kind, nth, EIO);
            enum sl_err err = Open(*disk);
            unsigned done = err == SL_OK ? ShardsWithSegments(*disk) : kShards;
            Close(); /* before its disk goes */
            ASSERT_TRUE(err == SL_OK || err == SL_ERR_STORAGE_FAILED) << sl_err_code(err);
            ASSERT_EQ(done, kShards) << "call " << static_cast<int>(kind) << ", number " << nth;
            (err == SL_OK ? started : refused)++;
        }
    }
    printf("refused=%u started=%u\n", refused, started);
    EXPECT_GT(refused, 0u);
}

TEST_P(BufferedTest, ARefusedStartSaysWhyAndTheNextOneWorks)
{
    disk_.SetFreeSpace(0); /* the spare of the log is there, but no segment can be made */
    testing::internal::CaptureStderr();
    EXPECT_EQ(Open(disk_), SL_ERR_DISK_FULL);
    std::string said = testing::internal::GetCapturedStderr();
    EXPECT_NE(said.find("engine not_started code=DISK_FULL"), std::string::npos) << said;
    disk_.SetFreeSpace(UINT64_MAX);
    ASSERT_EQ(Open(disk_), SL_OK);
    ExpectAll();
}
