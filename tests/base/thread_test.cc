#include "base/thread.h"

#include <csignal>
#include <string>

#include <pthread.h>
#include <sys/resource.h>

#include <gtest/gtest.h>

namespace
{

/* Runs `body` in a thread of that name and waits. */
template <typename Body> void run_as(const char *name, Body body)
{
    sl_thread *thread = sl_thread_start(
        name, [](void *argument) { (*static_cast<Body *>(argument))(); }, &body);
    sl_thread_join(&thread);
    EXPECT_EQ(thread, nullptr);
}

} // namespace

TEST(Thread, IsNamedMainByDefault)
{
    EXPECT_STREQ(sl_thread_name(), "main");
}

TEST(Thread, HasItsNameWhileItRuns)
{
    std::string name, kernel_name;
    run_as("shard-3", [&] {
        char text[16];
        pthread_getname_np(pthread_self(), text, sizeof(text));
        name = sl_thread_name();
        kernel_name = text;
    });
    EXPECT_EQ(name, "shard-3");
    EXPECT_EQ(kernel_name, "shard-3");
    EXPECT_STREQ(sl_thread_name(), "main");
}

TEST(Thread, YieldsToOthersAlone)
{
    int before = getpriority(PRIO_PROCESS, 0), inside = 0;
    run_as("low", [&] {
        sl_thread_yield_to_others();
        inside = getpriority(PRIO_PROCESS, 0);
    });
    EXPECT_EQ(inside, 19);
    EXPECT_EQ(getpriority(PRIO_PROCESS, 0), before);
}

TEST(Thread, LongNamesAreCut)
{
    std::string name;
    run_as("123456789012345", [&] { name = sl_thread_name(); });
    EXPECT_EQ(name, "123456789012345");
    run_as("1234567890123456", [&] { name = sl_thread_name(); });
    EXPECT_EQ(name, "123456789012345");
}

TEST(Thread, BlocksSignalsAndLeavesThoseOfItsStarter)
{
    sigset_t before, mine, after, inside;
    sigemptyset(&mine);
    sigaddset(&mine, SIGUSR2);
    pthread_sigmask(SIG_SETMASK, &mine, &before);
    run_as("blocked", [&] { pthread_sigmask(SIG_SETMASK, nullptr, &inside); });
    pthread_sigmask(SIG_SETMASK, &before, &after);
    for (int signal : { SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE, SIGCHLD }) {
        EXPECT_EQ(sigismember(&inside, signal), 1) << signal;
        EXPECT_EQ(sigismember(&after, signal), sigismember(&mine, signal)) << signal;
    }
    EXPECT_EQ(sigismember(&inside, SIGSEGV), 0);
}

TEST(Thread, HasAStackOfTwoMebibytesAtLeast)
{
    size_t size = 0;
    run_as("stack", [&] {
        pthread_attr_t attributes;
        pthread_getattr_np(pthread_self(), &attributes);
        pthread_attr_getstacksize(&attributes, &size);
        pthread_attr_destroy(&attributes);
    });
    EXPECT_GE(size, 2u * 1024 * 1024);
}

TEST(Thread, IsTheShardThatItEntered)
{
    run_as("shard", [] {
        sl_thread_enter_shard(0);
        sl_thread_assert_shard(0);
    });
    run_as("shard", [] {
        sl_thread_enter_shard(31);
        sl_thread_assert_shard(31);
    });
}

TEST(ThreadDeathTest, RefusesTheWrongShard)
{
    auto wrong = [] {
        sl_thread_enter_shard(1);
        sl_thread_assert_shard(0);
    };
    EXPECT_DEATH(wrong(), "panic");
    EXPECT_DEATH(sl_thread_assert_shard(0), "panic") << "no shard at all";
}

TEST(ThreadDeathTest, EntersOneShardOnly)
{
    auto twice = [] {
        sl_thread_enter_shard(0);
        sl_thread_enter_shard(0);
    };
    EXPECT_DEATH(twice(), "panic");
}

TEST(Mutex, LetsOneInAtATime)
{
    struct {
        sl_mutex *mutex = sl_mutex_create();
        long count = 0;
    } shared;
    auto count = [](void *argument) {
        auto *all = static_cast<decltype(shared) *>(argument);
        for (int i = 0; i < 20000; i++) {
            sl_mutex_lock(all->mutex);
            all->count++;
            sl_mutex_unlock(all->mutex);
        }
    };
    sl_thread *threads[4];
    for (sl_thread *&thread : threads)
        thread = sl_thread_start("counter", count, &shared);
    for (sl_thread *&thread : threads)
        sl_thread_join(&thread);
    EXPECT_EQ(shared.count, 80000);
    sl_mutex_destroy(&shared.mutex);
    EXPECT_EQ(shared.mutex, nullptr);
}

namespace
{

/* Threads that wait until `open`, and say that they do. */
struct Gate {
    sl_mutex *mutex = sl_mutex_create();
    sl_condition *changed = sl_condition_create(); /* waiting or passed */
    sl_condition *opened = sl_condition_create();
    bool open = false;
    int waiting = 0;
    int passed = 0;

    ~Gate()
    {
        sl_condition_destroy(&changed);
        sl_condition_destroy(&opened);
        sl_mutex_destroy(&mutex);
        EXPECT_EQ(opened, nullptr);
    }

    static void Pass(void *argument)
    {
        auto *gate = static_cast<Gate *>(argument);
        sl_mutex_lock(gate->mutex);
        gate->waiting++;
        sl_condition_signal(gate->changed);
        while (!gate->open)
            sl_condition_wait(gate->opened, gate->mutex);
        gate->passed++;
        sl_mutex_unlock(gate->mutex);
    }
};

} // namespace

TEST(Condition, SignalWakesAWaiter)
{
    Gate gate;
    sl_thread *thread = sl_thread_start("waiter", Gate::Pass, &gate);
    sl_mutex_lock(gate.mutex);
    while (gate.waiting == 0)
        sl_condition_wait(gate.changed, gate.mutex);
    EXPECT_EQ(gate.passed, 0);
    gate.open = true;
    sl_condition_signal(gate.opened);
    sl_mutex_unlock(gate.mutex);
    sl_thread_join(&thread);
    EXPECT_EQ(gate.passed, 1);
}

TEST(Condition, SignalAllWakesEveryWaiter)
{
    Gate gate;
    sl_thread *threads[4];
    for (sl_thread *&thread : threads)
        thread = sl_thread_start("waiter", Gate::Pass, &gate);
    sl_mutex_lock(gate.mutex);
    while (gate.waiting < 4)
        sl_condition_wait(gate.changed, gate.mutex);
    gate.open = true;
    sl_condition_signal_all(gate.opened);
    sl_mutex_unlock(gate.mutex);
    for (sl_thread *&thread : threads)
        sl_thread_join(&thread);
    EXPECT_EQ(gate.passed, 4);
}

TEST(Condition, WaitsNoLongerThanItIsTold)
{
    Gate gate;
    sl_mutex_lock(gate.mutex);
    for (unsigned timeout_ms : { 0, 1, 20 })
        sl_condition_wait_for(gate.opened, gate.mutex, timeout_ms);
    sl_mutex_unlock(gate.mutex);
}

TEST(Condition, ASignalEndsALongWait)
{
    Gate gate;
    sl_thread *thread = sl_thread_start("waiter", Gate::Pass, &gate);
    sl_mutex_lock(gate.mutex);
    while (gate.waiting == 0)
        sl_condition_wait_for(gate.changed, gate.mutex, 1000000);
    gate.open = true;
    sl_condition_signal(gate.opened);
    sl_mutex_unlock(gate.mutex);
    sl_thread_join(&thread);
}
