#include "base/table.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>
#include <vector>

namespace
{

struct item {
    sl_table_node node;
    uint64_t key;
};

class Table : public ::testing::Test
{
  protected:
    void TearDown() override
    {
        for (auto &item : items_)
            sl_table_remove(&table_, &item.second->node);
        sl_table_deinit(&table_);
    }

    item *add(uint64_t key, uint64_t hash)
    {
        auto made = std::make_unique<item>();
        made->key = key;
        sl_table_insert(&table_, &made->node, hash);
        return (items_[key] = std::move(made)).get();
    }

    void remove(uint64_t key)
    {
        sl_table_remove(&table_, &items_[key]->node);
        items_.erase(key);
    }

    bool contains(uint64_t key, uint64_t hash)
    {
        for (auto *node = sl_table_bucket(&table_, hash); node != nullptr; node = node->next)
            if (node->hash == hash && reinterpret_cast<item *>(node)->key == key)
                return true;
        return false;
    }

    sl_table table_{};
    std::map<uint64_t, std::unique_ptr<item>> items_;
    std::mt19937_64 random_{ 7 };
};

TEST_F(Table, EmptyHasNothing)
{
    EXPECT_EQ(sl_table_bucket(&table_, 1), nullptr);
    uint64_t cursor = 0;
    EXPECT_EQ(sl_table_walk(&table_, &cursor), nullptr);
    EXPECT_EQ(cursor, 0u);
}

TEST_F(Table, FindsEverythingWhileGrowingAndAfterRemovals)
{
    std::vector<uint64_t> hashes;
    for (uint64_t key = 0; key < 3000; key++) {
        hashes.push_back(random_());
        add(key, hashes.back());
        for (uint64_t seen = 0; key % 97 == 0 && seen <= key; seen++)
            ASSERT_TRUE(contains(seen, hashes[seen])) << seen << " of " << key;
    }
    for (uint64_t key = 0; key < 3000; key += 2)
        remove(key);
    for (uint64_t key = 0; key < 3000; key++)
        EXPECT_EQ(contains(key, hashes[key]), key % 2 == 1);
    EXPECT_EQ(table_.count, 1500u);
}

TEST_F(Table, SaysHowMuchMemoryItsBucketsTake)
{
    EXPECT_EQ(sl_table_memory(&table_), 0u);
    for (uint64_t key = 0; key < 100; key++) {
        size_t room = 8; /* buckets; twice as many when one more item comes than there are */
        while (room <= key)
            room *= 2;
        add(key, key);
        ASSERT_EQ(sl_table_memory(&table_), room * sizeof(void *)) << key + 1 << " items";
    }
}

TEST_F(Table, AReservedTableIsLikeAGrownOne)
{
    for (size_t room : { 0, 1, 8, 9, 1000 }) {
        sl_table_reserve(&table_, room);
        EXPECT_EQ(table_.buckets, std::max<size_t>(room, 8));
        size_t memory = sl_table_memory(&table_);
        EXPECT_GE(memory, room * sizeof(void *));
        for (uint64_t key = 0; key < room; key++)
            add(key, key * UINT64_C(0x9e3779b97f4a7c15));
        EXPECT_EQ(sl_table_memory(&table_), memory) << "grows only beyond what was reserved";
        for (uint64_t key = room; key < 2000; key++)
            add(key, key * UINT64_C(0x9e3779b97f4a7c15));
        for (uint64_t key = 0; key < 2000; key++)
            ASSERT_TRUE(contains(key, key * UINT64_C(0x9e3779b97f4a7c15))) << key;
        size_t seen = 0;
        for (size_t i = 0; i < table_.buckets; i++)
            for (auto *node = sl_table_at(&table_, i); node != nullptr; node = node->next)
                seen++;
        EXPECT_EQ(seen, 2000u);
        for (uint64_t key = 0; key < 2000; key++)
            remove(key);
        sl_table_deinit(&table_);
    }
}

TEST_F(Table, MayBeAskedToPrefetchAnything)
{
    for (uint64_t hash : { uint64_t{ 0 }, UINT64_MAX }) {
        sl_table_prefetch_slot(&table_, hash);
        sl_table_prefetch_node(&table_, hash);
    }
    add(1, 1);
    for (uint64_t hash : { uint64_t{ 0 }, uint64_t{ 1 }, UINT64_MAX }) {
        sl_table_prefetch_slot(&table_, hash);
        sl_table_prefetch_node(&table_, hash);
    }
    EXPECT_TRUE(contains(1, 1));
}

TEST_F(Table, KeepsApartWhatSharesAHash)
{
    for (uint64_t key = 0; key < 50; key++)
        add(key, 42);
    remove(7);
    for (uint64_t key = 0; key < 50; key++)
        EXPECT_EQ(contains(key, 42), key != 7);
}

TEST_F(Table, WalkSeesExactlyOnceWhatStaysWhileOthersComeAndGo)
{
    for (uint64_t size : { 1, 7, 8, 9, 100, 1000 }) {
        uint64_t first = size * 100000;
        for (uint64_t key = first; key < first + size; key++)
            add(key, random_());
        std::map<uint64_t, int> seen;
        uint64_t cursor = 0, next = first + size;
        do {
            for (auto *node = sl_table_walk(&table_, &cursor); node != nullptr; node = node->next)
                seen[reinterpret_cast<item *>(node)->key]++;
            add(next++, random_());
            add(next++, random_());
            remove(next - 1 - random_() % 2);
        } while (cursor != 0);
        for (uint64_t key = first; key < first + size; key++)
            ASSERT_EQ(seen[key], 1) << key << " of " << size;
    }
}

} // namespace
