#include "support/operation_model.h"

#include <cstdlib>
#include <random>

using namespace sluice_test;

/* Random operations; SLUICE_SEED repeats a run. */
namespace
{

class ModelTest : public EngineTest, public ModelSteps
{
  protected:
    uint64_t Any(uint64_t below) override
    {
        return std::uniform_int_distribution<uint64_t>(0, below - 1)(random_);
    }
    uint64_t LargeSize() override
    {
        return 30000 + Any(50000);
    }
    struct sl_engine *Engine() override
    {
        return engine();
    }
    Session &ModelSession() override
    {
        return s();
    }
    bool MayPageLate() override
    {
        return HasLatePages();
    }

    std::mt19937_64 random_;
};

SL_ENGINE_STORAGES(ModelTest);

} // namespace

TEST_P(ModelTest, EngineAndModelAgree)
{
    constexpr int kRuns = 4, kSteps = 5000;
    const char *given = getenv("SLUICE_SEED");
    uint64_t seed = given != nullptr ? strtoull(given, nullptr, 10) : std::random_device()();
    for (int run = 0; run < (given != nullptr ? 1 : kRuns); run++, seed++) {
        printf("SLUICE_SEED=%llu\n", static_cast<unsigned long long>(seed));
        random_.seed(seed);
        for (int step = 0; step < kSteps; step++) {
            Step();
            if (step % 1000 == 999 && !HasFailure())
                CompareEverything();
            ASSERT_FALSE(HasFailure()) << "SLUICE_SEED=" << seed << " at step " << step;
        }
        DeleteEverything();
        ASSERT_FALSE(HasFailure()) << "SLUICE_SEED=" << seed << " at the end";
    }
}
