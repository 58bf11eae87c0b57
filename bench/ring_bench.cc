/*
 * The hand-over between a session's thread and a shard's: ring, ready bit, and a wake-up when the
 * other side sleeps. "sleeps": 1: a side that finds nothing sleeps, as they do; 0: it looks again at
 * once, which is what a hand-over costs between threads that are busy anyway.
 */
#include "bus/port.h"
#include "bus/ring.h"

#include <benchmark/benchmark.h>

#include <thread>

enum {
    RING_CAPACITY = 4096,
    PRODUCER = 0, /* number of the only producer that each port has */
    LOOKS = 1024, /* that a busy side has before it lets others run */
};

/* One direction: a ring, and the port of who reads it. */
class Way
{
  public:
    explicit Way(bool sleeps)
        : sleeps_(sleeps), ring_(sl_ring_create(RING_CAPACITY)), port_(sl_port_create())
    {
    }

    ~Way()
    {
        sl_ring_destroy(&ring_);
        sl_port_destroy(&port_);
    }

    void Push(void *message)
    {
        while (!sl_ring_push(ring_, message)) {
            Signal(); /* the reader may not know yet that there is something to make room of */
            std::this_thread::yield();
        }
    }

    void Signal()
    {
        sl_port_signal(port_, PRODUCER);
    }

    void Stop()
    {
        sl_port_signal(port_, SL_PORT_STOP);
    }

    /* Calls each(message) for all that is there, at least one; false: Stop() came and no more. */
    template <typename Each> bool Take(Each each)
    {
        for (unsigned looks = 1;; looks++) {
            uint64_t bits = sl_port_take(port_);
            stopped_ = stopped_ || (bits >> SL_PORT_STOP & 1) != 0;
            if ((bits >> PRODUCER & 1) != 0 && Drain(each))
                return true;
            if (stopped_)
                return false;
            if (sleeps_ && sl_port_sleep(port_))
                sl_port_wait(port_, -1);
            else if (looks % LOOKS == 0)
                std::this_thread::yield();
        }
    }

  private:
    template <typename Each> bool Drain(Each each)
    {
        bool any = false;

        for (void *message; (message = sl_ring_pop(ring_)) != nullptr; any = true)
            each(message);
        return any;
    }

    const bool sleeps_;
    bool stopped_ = false; /* the reader's */
    struct sl_ring *ring_;
    struct sl_port *port_;
};

/* There and back: a request and its answer. */
static void RingRoundTrip(benchmark::State &state)
{
    Way there(state.range(0) != 0), back(state.range(0) != 0);
    std::thread echo([&] {
        while (there.Take([&](void *message) { back.Push(message); }))
            back.Signal();
    });
    int message = 0;

    for (auto _ : state) {
        there.Push(&message);
        there.Signal();
        back.Take([](void *) {});
    }
    there.Stop();
    echo.join();
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(RingRoundTrip)->ArgName("sleeps")->Arg(0)->Arg(1)->UseRealTime();

/* One way, one signal for each batch; the time until the last message was taken. */
static void RingOneWay(benchmark::State &state)
{
    Way way(state.range(0) != 0);
    int64_t batch = state.range(1);
    std::thread reader([&] {
        while (way.Take([](void *message) { benchmark::DoNotOptimize(message); }))
            continue;
    });
    int message = 0;

    for (auto _ : state) {
        for (int64_t i = 0; i < batch; i++)
            way.Push(&message);
        way.Signal();
    }
    way.Stop();
    reader.join();
    state.SetItemsProcessed(state.iterations() * batch);
}
BENCHMARK(RingOneWay)
    ->ArgNames({ "sleeps", "batch" })
    ->ArgsProduct({ { 0, 1 }, { 1, 16, 256 } })
    ->UseRealTime();
