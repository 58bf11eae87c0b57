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
