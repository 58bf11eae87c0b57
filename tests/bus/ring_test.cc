#include "bus/ring.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <thread>
#include <utility>
#include <vector>

namespace
{

struct Message {
    uint64_t number;
    uint64_t payload[4];
};

/* Messages are only pointers here. */
void *Pointer(uint64_t number)
{
    return reinterpret_cast<void *>(static_cast<uintptr_t>(8 * (number + 1)));
}

Message *PopOrSpin(sl_ring *ring)
{
    for (;;) {
        if (void *message = sl_ring_pop(ring))
            return static_cast<Message *>(message);
        std::this_thread::yield();
    }
}

TEST(Ring, IsEmptyAtFirst)
{
    sl_ring *ring = sl_ring_create(4);
    EXPECT_EQ(sl_ring_pop(ring), nullptr);
    EXPECT_EQ(sl_ring_pop(ring), nullptr);
    sl_ring_destroy(&ring);
    EXPECT_EQ(ring, nullptr);
}

TEST(Ring, HoldsOneMessageLessThanItHasSlots)
{
    for (unsigned capacity : { 4, 8, 64, 4096 }) {
        sl_ring *ring = sl_ring_create(capacity);
        for (uint64_t round = 0; round < 3; round++) {
            for (uint64_t i = 0; i < capacity - 1; i++)
                ASSERT_TRUE(sl_ring_push(ring, Pointer(i))) << i << " of " << capacity;
            ASSERT_FALSE(sl_ring_push(ring, Pointer(capacity)));
            ASSERT_FALSE(sl_ring_push(ring, Pointer(capacity)));
            for (uint64_t i = 0; i < capacity - 1; i++)
                ASSERT_EQ(sl_ring_pop(ring), Pointer(i));
            ASSERT_EQ(sl_ring_pop(ring), nullptr);
        }
        sl_ring_destroy(&ring);
    }
}

TEST(Ring, APushThatWasRefusedDidNothing)
{
    sl_ring *ring = sl_ring_create(4);
    for (uint64_t i = 0; i < 3; i++)
        ASSERT_TRUE(sl_ring_push(ring, Pointer(i)));
    EXPECT_FALSE(sl_ring_push(ring, Pointer(99)));
    EXPECT_EQ(sl_ring_pop(ring), Pointer(0));
    EXPECT_TRUE(sl_ring_push(ring, Pointer(3))) << "one slot is free again";
    EXPECT_FALSE(sl_ring_push(ring, Pointer(99)));
    for (uint64_t i = 1; i <= 3; i++)
        EXPECT_EQ(sl_ring_pop(ring), Pointer(i));
    EXPECT_EQ(sl_ring_pop(ring), nullptr);
    sl_ring_destroy(&ring);
}

TEST(Ring, KeepsTheOrderWhereverItsSlotsWrap)
{
    constexpr uint64_t kCapacity = 16;
    std::mt19937_64 random(1);
    sl_ring *ring = sl_ring_create(kCapacity);
    uint64_t pushed = 0, popped = 0;
    for (int i = 0; i < 100000; i++) {
        if (random() % 2 == 0) {
            bool room = pushed - popped < kCapacity - 1;
            ASSERT_EQ(sl_ring_push(ring, Pointer(pushed)), room);
            pushed += room;
        } else {
            void *expected = popped < pushed ? Pointer(popped++) : nullptr;
            ASSERT_EQ(sl_ring_pop(ring), expected);
        }
    }
    while (popped < pushed)
        ASSERT_EQ(sl_ring_pop(ring), Pointer(popped++));
    sl_ring_destroy(&ring);
}

/*
 * Both invariants that need two threads: the order, and that the consumer sees what was written.
 * Messages come back by a second ring, as between sessions and shards, and are used again.
 */
TEST(Ring, AMillionMessagesThereAndBack)
{
    for (auto [capacity, count] : { std::pair(4u, 100000u), std::pair(1024u, 1000000u) }) {
        sl_ring *there = sl_ring_create(capacity), *back = sl_ring_create(capacity);
        std::vector<Message> messages(capacity - 1);
        for (Message &message : messages)
            ASSERT_TRUE(sl_ring_push(back, &message));
        std::thread producer([there, back, count = count] {
            for (uint64_t i = 0; i < count; i++) {
                Message *message = PopOrSpin(back);
                message->number = i;
                for (uint64_t &word : message->payload)
                    word = ~i;
                if (!sl_ring_push(there, message))
                    ADD_FAILURE() << "there are fewer messages than slots";
            }
        });
        bool intact = true;
        for (uint64_t i = 0; i < count; i++) {
            Message *message = PopOrSpin(there);
            intact = intact && message->number == i;
            for (uint64_t &word : message->payload) {
                intact = intact && word == ~i;
                word = 0;
            }
            intact = sl_ring_push(back, message) && intact;
        }
        producer.join();
        EXPECT_TRUE(intact) << capacity;
        EXPECT_EQ(sl_ring_pop(there), nullptr);
        for (size_t i = 0; i < messages.size(); i++)
            EXPECT_NE(sl_ring_pop(back), nullptr);
        sl_ring_destroy(&there);
        sl_ring_destroy(&back);
    }
}

/* The producer does not wait for answers here, so the ring is full at times. */
TEST(Ring, AFullRingLosesNothing)
{
    constexpr uint64_t kMessages = 1000000;
    for (unsigned capacity : { 4, 64 }) {
        uint64_t count = kMessages / (capacity == 4 ? 10 : 1), refused = 0;
        sl_ring *ring = sl_ring_create(capacity);
        std::thread producer([&] {
            for (uint64_t i = 0; i < count; i++)
                while (!sl_ring_push(ring, Pointer(i))) {
                    refused++;
                    std::this_thread::yield();
                }
        });
        bool in_order = true;
        for (uint64_t i = 0; i < count; i++)
            in_order = PopOrSpin(ring) == Pointer(i) && in_order;
        producer.join();
        EXPECT_TRUE(in_order);
        EXPECT_GT(refused, 0u);
        EXPECT_EQ(sl_ring_pop(ring), nullptr);
        sl_ring_destroy(&ring);
    }
}

TEST(RingDeathTest, CapacityIsAPowerOfTwoOfAtLeastFour)
{
    for (unsigned capacity : { 0, 1, 2, 3, 5, 12, 4095, 4097 })
        EXPECT_DEATH(sl_ring_create(capacity), "panic") << capacity;
}

TEST(RingDeathTest, IsEmptyWhenItIsDestroyed)
{
    sl_ring *ring = sl_ring_create(4), *copy = ring;
    ASSERT_TRUE(sl_ring_push(ring, Pointer(0)));
    EXPECT_DEATH(sl_ring_destroy(&copy), "panic");
    EXPECT_EQ(sl_ring_pop(ring), Pointer(0));
    sl_ring_destroy(&ring);
}

} // namespace
