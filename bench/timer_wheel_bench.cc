/* Timers of a million streams: set, moved, fired. */
#include "base/timer_wheel.h"

#include <benchmark/benchmark.h>

#include <random>
#include <vector>

enum {
    TIMERS = 1 << 20,
    HORIZON_MS = 3600 * 1000, /* deadlines are spread over one hour */
};

/* A wheel with a million timers, and a million deadlines. */
class Timers
{
  public:
    Timers() : timers_(TIMERS), deadlines_ms_(TIMERS)
    {
        std::mt19937_64 random(1);

        sl_timer_wheel_init(&wheel_, 0);
        for (struct sl_timer &timer : timers_)
            sl_timer_init(&timer);
        for (uint64_t &deadline_ms : deadlines_ms_)
            deadline_ms = 1 + random() % HORIZON_MS;
    }

    ~Timers()
    {
        Clear();
    }

    /* Sets timer `index` to deadline number `deadline`, counted from the wheel's now. */
    void Set(size_t index, size_t deadline)
    {
        sl_timer_set(&wheel_, &timers_[index % TIMERS],
                     wheel_.now_ms + deadlines_ms_[deadline % TIMERS]);
    }

    void SetAll()
    {
        for (size_t i = 0; i < TIMERS; i++)
            Set(i, i);
    }

    void Clear()
    {
        for (struct sl_timer &timer : timers_)
            sl_timer_clear(&timer);
    }

    /* Returns how many fired. */
    size_t FireAll()
    {
        auto fire = [](void *, struct sl_timer *) {};
        size_t fired = 0;

        for (uint64_t at = sl_timer_wheel_next(&wheel_); at != UINT64_MAX;
             at = sl_timer_wheel_next(&wheel_))
            fired += sl_timer_wheel_advance(&wheel_, at, TIMERS, fire, nullptr);
        return fired;
    }

  private:
    struct sl_timer_wheel wheel_;
    std::vector<struct sl_timer> timers_;
    std::vector<uint64_t> deadlines_ms_;
};

static void TimerInsert(benchmark::State &state)
{
    Timers timers;

    for (auto _ : state) {
        timers.SetAll();
        state.PauseTiming();
        timers.Clear();
        state.ResumeTiming();
    }
    state.SetItemsProcessed(state.iterations() * TIMERS);
}
BENCHMARK(TimerInsert)->Unit(benchmark::kMillisecond);

static void TimerRearm(benchmark::State &state)
{
    Timers timers;
    size_t step = 0;

    timers.SetAll();
    for (auto _ : state) {
        timers.Set(step * 7919, step); /* not in the order of memory, as accesses come */
        step++;
    }
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(TimerRearm);

static void TimerExpire(benchmark::State &state)
{
    Timers timers;

    for (auto _ : state) {
        state.PauseTiming();
        timers.SetAll();
        state.ResumeTiming();
        if (timers.FireAll() != TIMERS)
            state.SkipWithError("timers were lost");
    }
    state.SetItemsProcessed(state.iterations() * TIMERS);
}
BENCHMARK(TimerExpire)->Unit(benchmark::kMillisecond);
