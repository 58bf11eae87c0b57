/* Segments are read again while the engine runs. */
#include "base/log.h"
#include "base/metrics.h"
#include "support/engine_fixture.h"

using namespace sluice_test;

namespace
{

constexpr int kAppends = 20, kAppendBytes = 20000;

class ScrubTest : public testing::Test
{
  protected:
    void SetUp() override
    {
        sl_log_set_level(static_cast<enum sl_log_level>(SL_LOG_ERROR + 1));
        disk_.MakeDirectory("/disk");
        Open(0);
        Fill();
        ASSERT_EQ(sl_engine_backup(engine_, "/disk/backup"), SL_OK) << "it flushes";
        Close();
    }
    void TearDown() override
    {
        Close();
        sl_log_set_level(SL_LOG_INFO);
    }
    /* More than a scrub reads at a time. */
    void Fill()
    {
        Session session(engine_);
        ASSERT_EQ(session.Create("cold", Plain()).err, SL_OK);
        for (int i = 0; i < kAppends; i++)
            ASSERT_EQ(session.Append("cold", Body(std::string(kAppendBytes, 'c'))).err, SL_OK);
    }
    static std::string Cold()
    {
        return std::string(kAppends * kAppendBytes, 'c');
    }
    void Open(unsigned days, uint64_t bytes_per_second = 0)
    {
        struct sl_engine_options options = {};
        registry_ = sl_metrics_registry_create();
        options.shards = 2;
        options.metrics = registry_;
        options.data_directory = "/disk/data";
        options.vfs = disk_.vfs();
        options.wal_file_bytes = 64 << 10;
        options.free_bytes_min = 1;
        options.scrub_days = days;
        options.scrub_bytes_per_second = bytes_per_second;
        ASSERT_EQ(sl_engine_open(&options, &engine_), SL_OK);
    }
    void Close()
    {
        if (engine_ != nullptr)
            sl_engine_close(&engine_);
        if (registry_ != nullptr)
            sl_metrics_registry_destroy(&registry_);
    }
    uint64_t Metric(const std::string &name)
    {
        struct sl_buffer text = {};
        sl_metrics_render(registry_, &text);
        std::string all(reinterpret_cast<const char *>(text.data), text.size);
        sl_buffer_deinit(&text);
        size_t at = all.find("\n" + name + " ");
        EXPECT_NE(at, std::string::npos) << name;
        return strtoull(all.c_str() + at + name.size() + 2, nullptr, 10);
    }
    bool HasPassed()
    {
        return Eventually([&] { return Metric("sluice_scrub_passes_total") == 1; });
    }
    void FlipColdBit()
    {
        for (const std::string &path : disk_.Files()) {
            size_t at = path.find("/seg-") == std::string::npos
                            ? std::string::npos
                            : disk_.Bytes(path).find(Cold().substr(0, 100));
            if (at != std::string::npos && path.find("backup") == std::string::npos)
                disk_.Flip(path, at + 50, 3);
        }
    }

    SimDisk disk_{ 5 };
    struct sl_metrics_registry *registry_ = nullptr;
    struct sl_engine *engine_ = nullptr;
};

} // namespace

TEST_F(ScrubTest, APassReadsEverySegmentAndSaysWhenItWas)
{
    Open(7);
    ASSERT_TRUE(HasPassed());
    EXPECT_GE(Metric("sluice_scrub_read_bytes_total"), Cold().size());
    EXPECT_EQ(Metric("sluice_scrub_damaged_total"), 0u);
    EXPECT_NEAR(static_cast<double>(Metric("sluice_scrub_last_pass_timestamp_seconds")),
                static_cast<double>(WallClock_ms()) / 1000, 3600);
}

TEST_F(ScrubTest, FindsAFlippedBitBeforeAnyReaderDoes)
{
    FlipColdBit();
    Open(7);
    ASSERT_TRUE(HasPassed());
    EXPECT_EQ(Metric("sluice_scrub_damaged_total"), 1u);
    struct sl_engine_status status;
    sl_engine_status(engine_, &status);
    EXPECT_EQ(status.shard[0].damaged + status.shard[1].damaged, 0u) << "no reader was there";
    Session session(engine_);
    EXPECT_EQ(session.Read("cold", FromStart()).err, SL_ERR_DATA_DAMAGED);
    EXPECT_EQ(session.Append("cold", Body("more")).err, SL_OK) << "nothing stops";
}

TEST_F(ScrubTest, ReadsNothingWhenItIsOff)
{
    Open(0);
    Session session(engine_);
    EXPECT_TRUE(session.ReadAll("cold") == Cold());
    EXPECT_EQ(Metric("sluice_scrub_read_bytes_total"), 0u);
    EXPECT_EQ(Metric("sluice_scrub_passes_total"), 0u);
}

TEST_F(ScrubTest, TheEngineClosesInTheMiddleOfAPass)
{
    Open(7, 1); /* the second read may come in days */
    ASSERT_TRUE(Eventually([&] { return Metric("sluice_scrub_read_bytes_total") > 0; }));
    EXPECT_EQ(Metric("sluice_scrub_passes_total"), 0u);
    Close();
}
