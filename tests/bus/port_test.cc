#include "bus/port.h"

#include "bus/ring.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <poll.h>
#include <random>
#include <sched.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace
{

using Clock = std::chrono::steady_clock;

/* Far longer than any scheduling delay: a consumer that sleeps so long was forgotten. */
constexpr int kForgottenMs = 10000;

uint64_t Bit(unsigned producer)
{
    return uint64_t{ 1 } << producer;
}

class Port : public ::testing::Test
{
  protected:
    ~Port() override
    {
        sl_port_destroy(&port_);
        EXPECT_EQ(port_, nullptr);
    }

    bool IsReadable(int timeout_ms = 0) const
    {
        pollfd wanted = { sl_port_fd(port_), POLLIN, 0 };
        return poll(&wanted, 1, timeout_ms) == 1;
    }

    /*
     * Sleeps until a signal. False: there was none for so long that it must have been lost. One
     * that blocks gives its processor away; one that does not runs beside its producers.
     */
    bool SleepAndWait(bool block = true)
    {
        if (!sl_port_sleep(port_))
            return true;
        auto end = Clock::now() + std::chrono::milliseconds(kForgottenMs);
        if (block)
            sl_port_wait(port_, kForgottenMs);
        for (unsigned spins = 1; !block && !IsReadable() && Clock::now() < end; spins++)
            if (spins % 64 == 0)
                std::this_thread::yield();
        return Clock::now() < end;
    }

    sl_port *port_ = sl_port_create();
};

/* ---- one thread ---- */

TEST_F(Port, BeginsAwakeWithNothing)
{
    EXPECT_GE(sl_port_fd(port_), 0);
    EXPECT_FALSE(IsReadable());
    EXPECT_EQ(sl_port_take(port_), 0u);
}

TEST_F(Port, TakeGivesTheBitsOnce)
{
    sl_port_signal(port_, 0);
    sl_port_signal(port_, 5);
    sl_port_signal(port_, 5);
    EXPECT_EQ(sl_port_take(port_), Bit(0) | Bit(5));
    EXPECT_EQ(sl_port_take(port_), 0u);
    sl_port_signal(port_, 5);
    EXPECT_EQ(sl_port_take(port_), Bit(5));
}

TEST_F(Port, EveryProducerInboxAndStopHaveTheirBit)
{
    uint64_t all = 0;
    for (unsigned producer = 0; producer <= SL_PORT_STOP; producer++) {
        for (bool asleep : { false, true }) {
            EXPECT_TRUE(!asleep || sl_port_sleep(port_));
            sl_port_signal(port_, producer);
            EXPECT_EQ(IsReadable(), asleep) << producer;
            EXPECT_EQ(sl_port_take(port_), Bit(producer));
            EXPECT_FALSE(IsReadable());
        }
        all |= Bit(producer);
    }
    for (unsigned producer = 0; producer <= SL_PORT_STOP; producer++)
        sl_port_signal(port_, producer);
    EXPECT_EQ(sl_port_take(port_), all);
    EXPECT_EQ(all & Bit(63), 0u) << "the sleep flag is never shown";
}

TEST_F(Port, AnAwakeConsumerCostsNoSystemCall)
{
    for (unsigned i = 0; i < 100; i++)
        sl_port_signal(port_, i % SL_PORT_PRODUCERS_MAX);
    EXPECT_FALSE(IsReadable());
}

TEST_F(Port, RefusesToSleepOnAnythingThatIsSet)
{
    for (int number : { 0, SL_PORT_PRODUCERS_MAX - 1, +SL_PORT_INBOX, +SL_PORT_STOP }) {
        auto producer = static_cast<unsigned>(number);
        sl_port_signal(port_, producer);
        EXPECT_FALSE(sl_port_sleep(port_));
        EXPECT_EQ(sl_port_take(port_), Bit(producer)) << "still there";
        EXPECT_TRUE(sl_port_sleep(port_));
        EXPECT_FALSE(sl_port_sleep(port_)) << "asleep already: take first";
        EXPECT_EQ(sl_port_take(port_), 0u);
    }
}

TEST_F(Port, OnlyTheFirstOfManySignalsWakesASleeper)
{
    ASSERT_TRUE(sl_port_sleep(port_));
    EXPECT_FALSE(IsReadable());
    for (unsigned producer = 0; producer < 10; producer++) {
        sl_port_signal(port_, producer);
        sl_port_signal(port_, producer);
    }
    uint64_t count = 0;
    ASSERT_EQ(read(sl_port_fd(port_), &count, sizeof(count)), ssize_t{ sizeof(count) });
    EXPECT_EQ(count, 1u);
    EXPECT_EQ(sl_port_take(port_), Bit(10) - 1);
}

TEST_F(Port, TheFdIsQuietAfterTake)
{
    for (int round = 0; round < 1000; round++) {
        ASSERT_TRUE(sl_port_sleep(port_));
        sl_port_signal(port_, 1);
        sl_port_signal(port_, 2);
        ASSERT_TRUE(IsReadable());
        ASSERT_EQ(sl_port_take(port_), Bit(1) | Bit(2));
        ASSERT_FALSE(IsReadable());
        sl_port_signal(port_, 3);
        ASSERT_FALSE(IsReadable()) << "awake again";
        ASSERT_EQ(sl_port_take(port_), Bit(3));
    }
}

TEST_F(Port, ATakeWithoutASignalEndsTheSleep)
{
    ASSERT_TRUE(sl_port_sleep(port_));
    EXPECT_EQ(sl_port_take(port_), 0u);
    sl_port_signal(port_, 1);
    EXPECT_FALSE(IsReadable());
    EXPECT_EQ(sl_port_take(port_), Bit(1));
}

TEST_F(Port, WaitEndsAtItsTimeoutOrASignal)
{
    for (int timeout_ms : { 0, 1, 30 }) {
        ASSERT_TRUE(sl_port_sleep(port_));
        auto start = Clock::now();
        sl_port_wait(port_, timeout_ms);
        EXPECT_GE(Clock::now() - start, std::chrono::milliseconds(timeout_ms));
        EXPECT_EQ(sl_port_take(port_), 0u);
    }
    ASSERT_TRUE(sl_port_sleep(port_));
    sl_port_signal(port_, 7);
    sl_port_wait(port_, -1);
    EXPECT_EQ(sl_port_take(port_), Bit(7));
}

TEST_F(Port, WakesAThreadThatBlocksWithoutALimit)
{
    std::thread producer([this] {
        std::this_thread::sleep_for(std::chrono::milliseconds(30));
        sl_port_signal(port_, SL_PORT_STOP);
    });
    EXPECT_TRUE(sl_port_sleep(port_));
    sl_port_wait(port_, -1);
    EXPECT_EQ(sl_port_take(port_), Bit(SL_PORT_STOP));
    producer.join();
}

/* As if the producer had set its bit and its write were still to come: the test holds it back. */
TEST_F(Port, AWriteThatComesAfterTheTakeIsReadLater)
{
    uint64_t count = 0, one = 1;
    for (int held = 1; held <= 2; held++) {
        ASSERT_TRUE(sl_port_sleep(port_));
        sl_port_signal(port_, 1);
        ASSERT_EQ(read(sl_port_fd(port_), &count, sizeof(count)), ssize_t{ sizeof(count) });
        ASSERT_EQ(count, 1u);
        ASSERT_EQ(sl_port_take(port_), Bit(1));
    }
    for (int held = 1; held <= 2; held++) {
        ASSERT_EQ(write(sl_port_fd(port_), &one, sizeof(one)), ssize_t{ sizeof(one) });
        EXPECT_TRUE(IsReadable());
        EXPECT_EQ(sl_port_take(port_), 0u) << "awake for nothing, once";
        EXPECT_FALSE(IsReadable());
    }
    ASSERT_TRUE(sl_port_sleep(port_));
    EXPECT_FALSE(IsReadable());
    sl_port_signal(port_, 2);
    EXPECT_TRUE(IsReadable());
    EXPECT_EQ(sl_port_take(port_), Bit(2));
    EXPECT_FALSE(IsReadable());
}

using PortDeathTest = Port;

TEST_F(PortDeathTest, RefusesTheSleepFlagAsAProducer)
{
    EXPECT_DEATH(sl_port_signal(port_, SL_PORT_STOP + 1), "panic");
}

TEST_F(PortDeathTest, FindsAWriteThatNobodyOwes)
{
    uint64_t one = 1;
    ASSERT_TRUE(sl_port_sleep(port_));
    ASSERT_EQ(sl_port_take(port_), 0u) << "a sleep that nobody ended owes nothing";
    ASSERT_TRUE(sl_port_sleep(port_));
    sl_port_signal(port_, 0);
    ASSERT_EQ(write(sl_port_fd(port_), &one, sizeof(one)), ssize_t{ sizeof(one) });
    EXPECT_DEATH(sl_port_take(port_), "panic");
}

/* ---- many threads ---- */

/* A short pause of random length, so that signals hit every moment of the consumer's loop. */
void Spin(std::mt19937_64 &random, unsigned max)
{
    for (uint64_t i = random() % max; i > 0; i--)
        std::atomic_signal_fence(std::memory_order_seq_cst);
}

/* While it exists the calling thread has a processor of its own, if there is one for everybody. */
class Pinned
{
  public:
    Pinned(unsigned number, const cpu_set_t &all) : all_(all)
    {
        std::vector<int> processors;
        for (int i = 0; i < CPU_SETSIZE; i++)
            if (CPU_ISSET(i, &all))
                processors.push_back(i);
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(processors[number % processors.size()], &one);
        sched_setaffinity(0, sizeof(one), &one);
    }

    ~Pinned()
    {
        sched_setaffinity(0, sizeof(all_), &all_);
    }

  private:
    cpu_set_t all_;
};

/* A producer that waits for its answer before it goes on: a wake-up that is lost stops it. */
class Asking
{
  public:
    Asking(sl_port *port, unsigned number, const cpu_set_t &processors)
        : port_(port), number_(number), processors_(processors), thread_([this] { Run(); })
    {
    }

    void Answer(uint64_t bits)
    {
        if ((bits & Bit(number_)) != 0)
            answered_.store(asked_, std::memory_order_release);
    }

    /* Returns the rounds. */
    uint64_t Stop()
    {
        stop_ = true;
        thread_.join();
        return asked_;
    }

  private:
    void Run()
    {
        Pinned pinned(number_ + 1, processors_);
        std::mt19937_64 random(number_);
        for (uint64_t round = 1; !stop_.load(std::memory_order_relaxed); round++) {
            Spin(random, 64);
            asked_ = round;
            sl_port_signal(port_, number_);
            unsigned spins = 0;
            while (answered_.load(std::memory_order_acquire) != round &&
                   !stop_.load(std::memory_order_relaxed))
                if (++spins % 1024 == 0)
                    std::this_thread::yield();
        }
    }

    sl_port *port_;
    unsigned number_;
    cpu_set_t processors_;
    uint64_t asked_ = 0; /* plain: the port orders what was written before a signal */
    std::atomic<uint64_t> answered_{ 0 };
    std::atomic<bool> stop_{ false };
    std::thread thread_; /* last: it uses the others */
};

TEST_F(Port, LosesNoWakeUpBetweenThreadsThatWaitForEachOther)
{
    cpu_set_t processors;
    ASSERT_EQ(sched_getaffinity(0, sizeof(processors), &processors), 0);
    Pinned pinned(0, processors);
    for (int variant = 0; variant < 3; variant++) {
        unsigned count = variant == 2 ? 3 : 1;
        bool block = variant > 0;
        std::vector<std::unique_ptr<Asking>> producers;
        for (unsigned i = 0; i < count; i++)
            producers.push_back(std::make_unique<Asking>(port_, i, processors));
        std::mt19937_64 random(count);
        bool lost = false;
        auto end = Clock::now() + std::chrono::milliseconds(500);
        while (Clock::now() < end && !lost)
            for (int i = 0; i < 100 && !lost; i++) {
                uint64_t bits = sl_port_take(port_);
                for (auto &producer : producers)
                    producer->Answer(bits);
                Spin(random, 4096);
                lost = !SleepAndWait(block);
            }
        uint64_t rounds = 0;
        for (auto &producer : producers)
            rounds += producer->Stop();
        EXPECT_FALSE(lost) << count << " producers, " << rounds << " rounds";
        sl_port_take(port_);
        EXPECT_FALSE(IsReadable()) << "every write that was made was owed, and was read";
    }
}

/* Producers never wait; the consumer sleeps whenever the rings are empty, as shards do. */
TEST_F(Port, LosesNothingOfWhatManyThreadsPush)
{
    constexpr unsigned kProducers = 4;
    constexpr uint64_t kMessages = 100000;
    sl_ring *rings[kProducers];
    std::atomic<bool> lost{ false };
    std::vector<std::thread> producers;
    for (sl_ring *&ring : rings)
        ring = sl_ring_create(64);
    for (unsigned i = 0; i < kProducers; i++)
        producers.emplace_back([&, i] {
            std::mt19937_64 random(i);
            for (uint64_t message = 1; message <= kMessages && !lost; message++) {
                while (!sl_ring_push(rings[i], reinterpret_cast<void *>(message)) && !lost)
                    std::this_thread::yield();
                sl_port_signal(port_, i);
                if (message % 8 == 0)
                    Spin(random, 256);
            }
        });
    uint64_t seen[kProducers] = {}, total = 0, slept = 0;
    bool in_order = true;
    while (total < kProducers * kMessages && !lost) {
        uint64_t bits = sl_port_take(port_);
        for (unsigned i = 0; i < kProducers; i++) {
            void *message;
            while ((bits & Bit(i)) != 0 && (message = sl_ring_pop(rings[i])) != nullptr) {
                in_order = in_order && reinterpret_cast<uint64_t>(message) == ++seen[i];
                total++;
            }
        }
        if (bits == 0) {
            slept++;
            lost = !SleepAndWait();
        }
    }
    for (std::thread &producer : producers)
        producer.join();
    ASSERT_FALSE(lost) << "after " << total;
    EXPECT_TRUE(in_order);
    EXPECT_GT(slept, 0u);
    sl_port_take(port_);
    EXPECT_FALSE(IsReadable());
    for (sl_ring *&ring : rings)
        sl_ring_destroy(&ring);
}

/* All start at once, each round; when all are done, exactly one has written. */
TEST_F(Port, ExactlyOneOfManyThreadsWritesTheFd)
{
    constexpr unsigned kProducers = 3;
    constexpr unsigned kRounds = 5000;
    std::atomic<unsigned> round{ 0 }, done{ 0 };
    std::vector<std::thread> producers;
    for (unsigned i = 0; i < kProducers; i++)
        producers.emplace_back([&, i] {
            for (unsigned mine = 1; mine <= kRounds; mine++) {
                while (round.load() < mine)
                    std::this_thread::yield();
                sl_port_signal(port_, i);
                done++;
            }
        });
    bool right = true;
    for (unsigned now = 1; now <= kRounds; now++) {
        right = sl_port_sleep(port_) && right;
        done = 0;
        round = now;
        sl_port_wait(port_, kForgottenMs);
        while (done.load() < kProducers)
            std::this_thread::yield();
        right = IsReadable() && right;
        right = sl_port_take(port_) == Bit(kProducers) - 1 && right; /* aborts on two writes */
        right = !IsReadable() && right;
    }
    for (std::thread &producer : producers)
        producer.join();
    EXPECT_TRUE(right);
}

/* A consumer that does not wait for the fd takes while the write is still to come. */
TEST_F(Port, WritesThatComeAfterTheTakeAreReadLater)
{
    constexpr unsigned kProducers = 3;
    std::atomic<bool> stop{ false };
    std::vector<std::thread> producers;
    for (unsigned i = 0; i < kProducers; i++)
        producers.emplace_back([&, i] {
            std::mt19937_64 random(i);
            while (!stop.load(std::memory_order_relaxed)) {
                sl_port_signal(port_, i);
                Spin(random, 256);
            }
        });
    auto end = Clock::now() + std::chrono::milliseconds(500);
    uint64_t slept = 0;
    while (Clock::now() < end)
        for (int i = 0; i < 1000; i++) {
            slept += sl_port_sleep(port_);
            sl_port_take(port_);
        }
    stop = true;
    for (std::thread &producer : producers)
        producer.join();
    EXPECT_GT(slept, 0u);
    sl_port_take(port_);
    EXPECT_FALSE(IsReadable());
    ASSERT_TRUE(sl_port_sleep(port_));
    EXPECT_FALSE(IsReadable());
    sl_port_signal(port_, 0);
    EXPECT_TRUE(IsReadable());
    EXPECT_EQ(sl_port_take(port_), Bit(0));
    EXPECT_FALSE(IsReadable());
}

} // namespace
