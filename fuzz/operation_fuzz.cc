/*
 * Any bytes as a sequence of operations on an engine, which must answer as the reference model of
 * the engine's tests does. The first byte says where the streams live, on how many shards, and how
 * many there are; on a simulated disk the engine is ended, killed, or its power cut between operations, and everything
 * that was answered is there again.
 */
#include "base/log.h"
#include "support/operation_model.h"
#include "support/sim_disk.h"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

using namespace sluice_test;

namespace
{

constexpr enum sl_log_level kNoLog = static_cast<enum sl_log_level>(SL_LOG_ERROR + 1);
constexpr unsigned kStepsMax = 300;
constexpr unsigned kShardsMax = 2;

/* An engine and its one session. */
class FuzzedEngine
{
  public:
    FuzzedEngine(unsigned shards, unsigned storage) : is_flushing_((storage & kFlushing) != 0)
    {
        options_.shards = shards;
        if (storage != kInMemory) {
            disk_ = std::make_unique<SimDisk>(1);
            disk_->MakeDirectory("/disk");
            options_.data_directory = "/disk/data";
            options_.wal_file_bytes = 256 << 10; /* every engine makes two of them per shard */
            options_.free_bytes_min = 1;
        }
        if (is_flushing_)
            options_.wal_budget_bytes = (8 << 10) * shards;
        Open();
    }
    ~FuzzedEngine()
    {
        Close();
    }
    FuzzedEngine(const FuzzedEngine &) = delete;
    FuzzedEngine &operator=(const FuzzedEngine &) = delete;

    bool IsDurable() const
    {
        return disk_ != nullptr;
    }
    bool IsFlushing() const
    {
        return is_flushing_;
    }
    struct sl_engine *get()
    {
        return engine_;
    }
    Session &session()
    {
        return *session_;
    }
    /* Ends the engine, its process or its machine, and starts it again. */
    void Restart(uint64_t how)
    {
        if (how == 0)
            disk_->Crash();
        else if (how == 1)
            disk_->PowerCut();
        Close();
        Open();
    }

  private:
    void Open()
    {
        if (IsDurable())
            options_.vfs = disk_->VfsOfThisLife();
        if (sl_engine_open(&options_, &engine_) != SL_OK)
            abort();
        session_ = std::make_unique<Session>(engine_);
    }
    void Close()
    {
        session_.reset();
        sl_engine_close(&engine_);
    }

    bool is_flushing_;
    struct sl_engine_options options_ = {};
    std::unique_ptr<SimDisk> disk_;
    struct sl_engine *engine_ = nullptr;
    std::unique_ptr<Session> session_;
};

class FuzzSteps : public ModelSteps
{
  public:
    FuzzSteps(FuzzedEngine *engine, int names, const uint8_t *data, size_t size)
        : engine_(engine), names_(names), data_(data), size_(size)
    {
    }
    void Run()
    {
        for (unsigned step = 0; step < kStepsMax && size_ > 0; step++) {
            if (engine_->IsDurable() && Any(16) == 0)
                engine_->Restart(Any(4));
            Step();
            CheckFailures();
        }
        CompareEverything();
        CheckFailures();
        DeleteEverything();
        CheckFailures();
    }

  protected:
    /* The next bytes; 0 when there are no more. */
    uint64_t Any(uint64_t below) override
    {
        uint64_t value = 0;
        for (uint64_t reach = 1; reach < below && size_ > 0; reach <<= 8, size_--)
            value = value << 8 | *data_++;
        return value % below;
    }
    /* Any append of such parts fits in a record. */
    uint64_t LargeSize() override
    {
        return 1000 + Any(4000);
    }
    struct sl_engine *Engine() override
    {
        return engine_->get();
    }
    Session &ModelSession() override
    {
        return engine_->session();
    }
    bool MayPageLate() override
    {
        return engine_->IsFlushing();
    }

    int Names() override
    {
        return names_;
    }

  private:
    static void CheckFailures()
    {
        if (testing::Test::HasFailure())
            abort();
    }

    FuzzedEngine *engine_;
    int names_;
    const uint8_t *data_;
    size_t size_;
};

} // namespace

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned storages[] = { kInMemory, kInMemory, kDurable, kFlushing };
    static const int names[] = { 10, 1, 2, 3 };
    static std::unique_ptr<FuzzedEngine> in_memory[kShardsMax]; /* as long as the process */
    if (size == 0)
        return 0;
    sl_log_set_level(kNoLog);
    unsigned shards = 1 + data[0] % kShardsMax;
    unsigned storage = storages[data[0] / kShardsMax % 4];
    std::unique_ptr<FuzzedEngine> durable;
    std::unique_ptr<FuzzedEngine> &engine = storage == kInMemory ? in_memory[shards - 1] : durable;
    if (engine == nullptr)
        engine = std::make_unique<FuzzedEngine>(shards, storage);
    int count = names[data[0] / kShardsMax / 4 % 4];
    FuzzSteps(engine.get(), count, data + 1, size - 1).Run();
    return 0;
}
