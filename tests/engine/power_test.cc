#include "base/log.h"
#include "support/history.h"

#include <atomic>
#include <cstdlib>

using namespace sluice_test;

/*
 * SLUICE_POWER_SEED repeats one history (so many times as SLUICE_POWER_HISTORIES says); without it
 * so many are run, within SLUICE_POWER_SECONDS.
 */
namespace
{

constexpr enum sl_log_level kNoLog = static_cast<enum sl_log_level>(SL_LOG_ERROR + 1);

uint64_t Given(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text == nullptr ? otherwise : strtoull(text, nullptr, 10);
}

void Print(const HistoryTotals &totals, uint64_t histories, int64_t ms)
{
    auto number = [](uint64_t value) { return static_cast<unsigned long long>(value); };
    printf("histories=%llu seconds=%.1f lives=%llu cuts=%llu clean=%llu cut_recoveries=%llu "
           "torn=%llu segments=%llu\n",
           number(histories), static_cast<double>(ms) / 1000, number(totals.lives),
           number(totals.cuts), number(totals.clean), number(totals.cut_recoveries),
           number(totals.torn), number(totals.segments));
    printf("answered=%llu reads=%llu forks=%llu unknown=%llu kept=%llu refused=%llu probes=%llu\n",
           number(totals.answered), number(totals.reads), number(totals.forks),
           number(totals.unknown), number(totals.kept), number(totals.refused),
           number(totals.probes));
    fflush(stdout);
}

/* An engine with one shard on a disk. */
class PowerTest : public testing::Test
{
  protected:
    void SetUp() override
    {
        sl_log_set_level(kNoLog);
        disk_.MakeDirectory("/disk");
        Open();
    }
    void TearDown() override
    {
        disk_.Hold(false);
        Close();
    }
    void Open()
    {
        struct sl_engine_options options = {};
        options.shards = 1;
        options.data_directory = "/disk/data";
        options.vfs = disk_.VfsOfThisLife();
        options.wal_file_bytes = 1 << 20;
        options.free_bytes_min = 1;
        ASSERT_EQ(sl_engine_open(&options, &engine_), SL_OK);
        ASSERT_EQ(sl_session_open(engine_, &session_), SL_OK);
    }
    void Close()
    {
        if (session_ != nullptr)
            sl_session_close(&session_);
        if (engine_ != nullptr)
            sl_engine_close(&engine_);
    }
    enum sl_err Create(const char *name)
    {
        struct sl_stream_config config = {};
        return sl_storage_create_stream(session_, sl_bytes_of(name), &config, nullptr);
    }
    /* Everything that was submitted before has been looked at by the shard. */
    void PassThrough()
    {
        EXPECT_FALSE(sl_storage_exists(session_, sl_bytes_of("not there")));
    }
    struct sl_operation *SubmitCreate(const char *name, const char *source)
    {
        struct sl_operation *op = sl_session_take(session_, SL_OPERATION_CREATE);
        op->u.create.name = sl_bytes_of(name);
        op->u.create.fork = source != nullptr;
        if (source != nullptr)
            op->u.create.fork_source = sl_bytes_of(source);
        sl_session_submit(session_, op);
        sl_session_flush(session_);
        return op;
    }
    bool ComesBack(struct sl_operation *op)
    {
        return Eventually([&] { return sl_session_poll(session_) == op; });
    }

    SimDisk disk_{ 1 };
    struct sl_engine *engine_ = nullptr;
    struct sl_session *session_ = nullptr;
};

} // namespace

TEST_F(PowerTest, ACancelledReadOfAStreamThatIsBeingMadeComesBack)
{
    disk_.Hold(true);
    struct sl_operation *create = SubmitCreate("s", nullptr);
    ASSERT_TRUE(disk_.WaitForHeld(1));
    struct sl_operation *read = sl_session_take(session_, SL_OPERATION_READ);
    read->u.read.name = sl_bytes_of("s");
    read->u.read.wait = true;
    sl_session_submit(session_, read);
    PassThrough();
    sl_session_cancel(session_, read);
    PassThrough();
    disk_.Hold(false);
    ASSERT_TRUE(ComesBack(create));
    ASSERT_TRUE(ComesBack(read));
    EXPECT_EQ(read->err, SL_ERR_CANCELLED);
}

TEST_F(PowerTest, AForkWhoseRecordWasLostIsNotAnsweredOk)
{
    ASSERT_EQ(Create("source"), SL_OK);
    disk_.Hold(true);
    struct sl_operation *fork = SubmitCreate("fork", "source");
    for (int step = 0; step < 3; step++) /* is the name free; the reference; the stream */
        PassThrough();
    ASSERT_TRUE(disk_.WaitForHeld(1));
    disk_.PowerCut();
    ASSERT_TRUE(ComesBack(fork));
    EXPECT_EQ(fork->err, SL_ERR_STORAGE_FAILED);
    disk_.Hold(false);
    Close();
    Open();
    EXPECT_TRUE(sl_storage_exists(session_, sl_bytes_of("source")));
}

TEST(PowerHistoryTest, NothingAnsweredOrShownIsEverTakenBack)
{
    const char *seed_text = getenv("SLUICE_POWER_SEED");
    uint64_t histories = Given("SLUICE_POWER_HISTORIES", seed_text != nullptr ? 100 : 2000);
    int64_t most_ms = static_cast<int64_t>(Given("SLUICE_POWER_SECONDS", 60)) * 1000;
    uint64_t seed = seed_text != nullptr ? Given("SLUICE_POWER_SEED", 0) : std::random_device()();
    const char *level = getenv("SLUICE_POWER_LOG");
    sl_log_set_level(level != nullptr ? SL_LOG_INFO : kNoLog);
    HistoryTotals totals;
    int64_t begin_ms = Steady_ms();
    uint64_t done = 0, broken = 0;
    for (; done < histories && Steady_ms() - begin_ms < most_ms && broken < 5; done++) {
        std::string what = History(seed, &totals).Run();
        if (!what.empty()) {
            broken++;
            ADD_FAILURE() << what << "\nSLUICE_POWER_SEED=" << seed;
        }
        if (done % 5000 == 4999)
            Print(totals, done + 1, Steady_ms() - begin_ms);
        seed += seed_text == nullptr;
    }
    Print(totals, done, Steady_ms() - begin_ms);
    EXPECT_GT(done, 0u);
}
