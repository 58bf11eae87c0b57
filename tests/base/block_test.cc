#include "base/block.h"

#include <cstring>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

TEST(Block, HasRoomForItsSize)
{
    for (size_t size : { 0, 1, 100, 65536, 1 << 20 }) {
        sl_block *block = sl_block_create(size, nullptr);
        EXPECT_EQ(block->size, size);
        memset(sl_block_data(block), 0xab, size);
        sl_block_unref(&block);
        EXPECT_EQ(block, nullptr);
    }
}

TEST(Block, LastReferenceFreesAndCreditsTheAccount)
{
    sl_account account = {};
    sl_block *first = sl_block_create(1000, &account);
    uint64_t one = sl_account_bytes(&account);
    EXPECT_GE(one, 1000u);
    sl_block *second = sl_block_create(5000, &account);
    EXPECT_GE(sl_account_bytes(&account), one + 5000);

    sl_block *again = sl_block_ref(first);
    EXPECT_EQ(again, first);
    sl_block_unref(&second);
    EXPECT_EQ(sl_account_bytes(&account), one);
    sl_block_unref(&first);
    EXPECT_EQ(first, nullptr);
    EXPECT_EQ(sl_account_bytes(&account), one);
    memset(sl_block_data(again), 1, 1000);
    sl_block_unref(&again);
    EXPECT_EQ(sl_account_bytes(&account), 0u);
}

TEST(Block, UnrefOfNullDoesNothing)
{
    sl_block *block = nullptr;
    sl_block_unref(&block);
    EXPECT_EQ(block, nullptr);
}

TEST(Block, ThreadsShareTheCount)
{
    sl_account account = {};
    sl_block *block = sl_block_create(64, &account);
    memset(sl_block_data(block), 0x5a, 64);
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++) {
        sl_block *mine = sl_block_ref(block);
        threads.emplace_back([mine]() mutable {
            for (int round = 0; round < 20000; round++) {
                sl_block *copy = sl_block_ref(mine);
                EXPECT_EQ(sl_block_data(copy)[round % 64], 0x5a);
                sl_block_unref(&copy);
            }
            sl_block_unref(&mine);
        });
    }
    sl_block_unref(&block);
    for (std::thread &thread : threads)
        thread.join();
    EXPECT_EQ(sl_account_bytes(&account), 0u);
}

TEST(Account, AddsAndSubtracts)
{
    sl_account account = {};
    sl_account_add(&account, 10);
    sl_account_subtract(&account, 4);
    EXPECT_EQ(sl_account_bytes(&account), 6u);
    sl_account_subtract(&account, 6);
    EXPECT_EQ(sl_account_bytes(&account), 0u);
}

TEST(AccountDeathTest, RefusesToGoBelowZero)
{
    sl_account account = {};
    sl_account_add(&account, 10);
    EXPECT_DEATH(sl_account_subtract(&account, 11), "panic");
}
