#include "bus/inbox.h"

#include "bus/port.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

namespace
{

struct Item {
    sl_inbox_item item; /* first: found again by a cast */
    unsigned thread;
    uint64_t number;
    std::atomic<bool> free{ true }; /* its thread may push it */
};

Item *ItemOf(sl_inbox_item *item)
{
    return reinterpret_cast<Item *>(item);
}

TEST(Inbox, IsEmptyAtFirst)
{
    sl_inbox inbox = {};
    EXPECT_EQ(sl_inbox_take(&inbox), nullptr);
    EXPECT_EQ(sl_inbox_take(&inbox), nullptr);
}

TEST(Inbox, GivesEverythingAtOnceTheNewestFirst)
{
    sl_inbox inbox = {};
    sl_inbox_item items[5];
    for (int round = 0; round < 3; round++) {
        for (sl_inbox_item &item : items)
            sl_inbox_push(&inbox, &item);
        sl_inbox_item *taken = sl_inbox_take(&inbox);
        for (int i = 4; i >= 0; i--) {
            ASSERT_EQ(taken, &items[i]);
            taken = taken->next;
        }
        EXPECT_EQ(taken, nullptr);
        EXPECT_EQ(sl_inbox_take(&inbox), nullptr);
    }
}

TEST(Inbox, TakesOneOnly)
{
    sl_inbox inbox = {};
    sl_inbox_item item;
    sl_inbox_push(&inbox, &item);
    EXPECT_EQ(sl_inbox_take(&inbox), &item);
    EXPECT_EQ(item.next, nullptr);
}

constexpr unsigned kThreads = 4;
constexpr uint64_t kPerThread = 250000;

/* What the consumer has seen: per thread the next number. */
class Seen
{
  public:
    /* Items of one take come in the opposite order. Gives them back when `recycle`. */
    void Take(sl_inbox *inbox, bool recycle)
    {
        std::vector<Item *> items;
        for (sl_inbox_item *item = sl_inbox_take(inbox); item != nullptr; item = item->next)
            items.push_back(ItemOf(item));
        for (auto item = items.rbegin(); item != items.rend(); ++item) {
            in_order_ = in_order_ && (*item)->number == next_[(*item)->thread]++;
            total_++;
            if (recycle)
                (*item)->free.store(true, std::memory_order_release);
        }
    }

    uint64_t Total() const
    {
        return total_;
    }

    bool InOrder() const
    {
        return in_order_;
    }

  private:
    uint64_t next_[kThreads] = {}, total_ = 0;
    bool in_order_ = true;
};

/* An item that is pushed again at once is at the same address: the stack must not mind. */
TEST(Inbox, LosesNothingOfManyThreadsThatUseTheirItemsAgain)
{
    sl_inbox inbox = {};
    auto items = std::make_unique<Item[]>(kThreads * 8);
    std::vector<std::thread> threads;
    for (unsigned thread = 0; thread < kThreads; thread++)
        threads.emplace_back([&inbox, mine = &items[thread * 8], thread] {
            for (uint64_t i = 0; i < kPerThread; i++) {
                Item *item = &mine[i % 8];
                while (!item->free.load(std::memory_order_acquire))
                    std::this_thread::yield();
                item->free.store(false, std::memory_order_relaxed);
                item->thread = thread;
                item->number = i;
                sl_inbox_push(&inbox, &item->item);
            }
        });
    Seen seen;
    while (seen.Total() < kThreads * kPerThread) {
        seen.Take(&inbox, true);
        std::this_thread::yield();
    }
    for (std::thread &thread : threads)
        thread.join();
    EXPECT_TRUE(seen.InOrder());
    EXPECT_EQ(sl_inbox_take(&inbox), nullptr);
}

/* Both run without a pause, so that pushes hit every moment of a take. */
TEST(Inbox, LosesNothingWhileItIsTakenAllTheTime)
{
    sl_inbox inbox = {};
    auto items = std::make_unique<Item[]>(kPerThread);
    std::atomic<bool> done{ false };
    std::thread producer([&] {
        for (uint64_t i = 0; i < kPerThread; i++) {
            items[i].thread = 0;
            items[i].number = i;
            sl_inbox_push(&inbox, &items[i].item);
        }
        done = true;
    });
    Seen seen;
    while (!done)
        seen.Take(&inbox, false);
    producer.join();
    seen.Take(&inbox, false);
    EXPECT_EQ(seen.Total(), kPerThread);
    EXPECT_TRUE(seen.InOrder());
}

TEST(Inbox, WakesAConsumerThatSleepsAtItsPort)
{
    sl_inbox inbox = {};
    sl_port *port = sl_port_create();
    auto items = std::make_unique<Item[]>(kThreads * kPerThread);
    std::vector<std::thread> threads;
    for (unsigned thread = 0; thread < kThreads; thread++)
        threads.emplace_back([&inbox, port, mine = &items[thread * kPerThread], thread] {
            for (uint64_t i = 0; i < kPerThread; i++) {
                mine[i].thread = thread;
                mine[i].number = i;
                sl_inbox_push(&inbox, &mine[i].item);
                sl_port_signal(port, SL_PORT_INBOX);
            }
        });
    Seen seen;
    uint64_t all_bits = 0;
    while (seen.Total() < kThreads * kPerThread) {
        if (sl_port_sleep(port))
            sl_port_wait(port, -1);
        uint64_t bits = sl_port_take(port);
        all_bits |= bits;
        if (bits != 0)
            seen.Take(&inbox, false);
    }
    for (std::thread &thread : threads)
        thread.join();
    EXPECT_TRUE(seen.InOrder());
    EXPECT_EQ(all_bits, uint64_t{ 1 } << SL_PORT_INBOX);
    sl_port_destroy(&port);
}

} // namespace
