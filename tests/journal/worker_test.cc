#include "journal/worker.h"

#include "base/thread.h"

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace
{

/* A job that runs a function and frees itself. */
struct Job : sl_job {
    std::function<void()> body;
};

void push(sl_worker *worker, std::function<void()> body)
{
    Job *job = new Job();
    job->body = std::move(body);
    job->run = [](sl_job *run) {
        Job *mine = static_cast<Job *>(run);
        mine->body();
        delete mine;
    };
    sl_worker_push(worker, job);
}

/* Lets a number of threads meet. */
class Meeting
{
  public:
    explicit Meeting(unsigned expected) : missing_(expected)
    {
    }

    void Arrive()
    {
        std::unique_lock<std::mutex> lock(mutex_);
        missing_--;
        changed_.notify_all();
        changed_.wait(lock, [&] { return missing_ == 0; });
    }

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    unsigned missing_;
};

} // namespace

TEST(Worker, OneThreadRunsJobsInTheirOrder)
{
    sl_worker *worker = sl_worker_create("flush", 1);
    std::vector<int> order;
    for (int i = 0; i < 1000; i++)
        push(worker, [&, i] { order.push_back(i); });
    sl_worker_destroy(&worker);
    EXPECT_EQ(worker, nullptr);
    ASSERT_EQ(order.size(), 1000u) << "what is queued runs before the end";
    for (int i = 0; i < 1000; i++)
        EXPECT_EQ(order[i], i);
}

TEST(Worker, ItsThreadsRunAtTheSameTime)
{
    sl_worker *worker = sl_worker_create("read", 3);
    Meeting meeting(3);
    for (int i = 0; i < 3; i++)
        push(worker, [&] { meeting.Arrive(); });
    sl_worker_destroy(&worker);
}

TEST(Worker, NamesItsThreads)
{
    sl_worker *worker = sl_worker_create("read", 2);
    std::mutex mutex;
    std::set<std::string> names;
    for (int i = 0; i < 20; i++)
        push(worker, [&] {
            std::lock_guard<std::mutex> lock(mutex);
            names.insert(sl_thread_name());
        });
    sl_worker_destroy(&worker);
    EXPECT_EQ(names, std::set<std::string>{ "read" });
}

TEST(Worker, TakesJobsFromEveryThread)
{
    sl_worker *worker = sl_worker_create("read", 2);
    std::atomic<int> count{ 0 };
    std::vector<std::thread> pushers;
    for (int i = 0; i < 4; i++)
        pushers.emplace_back([&] {
            for (int k = 0; k < 500; k++)
                push(worker, [&] { count++; });
        });
    for (std::thread &pusher : pushers)
        pusher.join();
    sl_worker_destroy(&worker);
    EXPECT_EQ(count, 2000);
}

TEST(Worker, AJobMayPushTheNext)
{
    sl_worker *worker = sl_worker_create("read", 2);
    std::atomic<int> left{ 100 };
    sl_worker *same = worker; /* the other pointer is cleared at once */
    std::function<void()> step = [&] {
        if (--left > 0)
            push(same, step);
    };
    push(worker, step);
    sl_worker_destroy(&worker);
    EXPECT_EQ(left, 0) << "also while it is being destroyed";
}

TEST(Worker, EndsWithoutAJob)
{
    sl_worker *worker = sl_worker_create("read", 4);
    sl_worker_destroy(&worker);
    sl_worker_destroy(&worker);
}
