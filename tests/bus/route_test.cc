#include "bus/route.h"

#include "base/random.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace
{

uint32_t ShardOf(uint32_t shards, uint64_t hash)
{
    sl_route route = {};
    route.shards = shards;
    return sl_route_shard(&route, hash);
}

TEST(Route, OneShardHasEverything)
{
    for (uint64_t hash : { uint64_t{ 0 }, uint64_t{ 1 }, uint64_t{ 1 } << 63, UINT64_MAX })
        EXPECT_EQ(ShardOf(1, hash), 0u);
}

TEST(Route, GoesFromTheFirstToTheLastShard)
{
    for (uint32_t shards : { 1u, 2u, 3u, 7u, 60u, 255u, UINT32_MAX }) {
        EXPECT_EQ(ShardOf(shards, 0), 0u);
        EXPECT_EQ(ShardOf(shards, UINT64_MAX), shards - 1);
    }
}

TEST(Route, ShardsHaveEqualSharesOfTheHashes)
{
    for (uint64_t shards = 1; shards <= 64; shards++)
        for (uint64_t shard = 1; shard < shards; shard++) {
            uint64_t first = ((shard << 32) + shards - 1) / shards; /* top half of its hashes */
            EXPECT_EQ(ShardOf(static_cast<uint32_t>(shards), first << 32), shard);
            EXPECT_EQ(ShardOf(static_cast<uint32_t>(shards), (first << 32) - 1), shard - 1);
        }
}

TEST(Route, DoesNotLookAtTheBitsThatTheTablesUse)
{
    for (uint32_t shards : { 2, 3, 60 })
        for (uint64_t top = 0; top < 1000; top++) {
            uint64_t hash = top * 4294967 << 32;
            for (uint64_t low : { uint64_t{ 1 }, uint64_t{ 0xffff }, uint64_t{ UINT32_MAX } })
                ASSERT_EQ(ShardOf(shards, hash | low), ShardOf(shards, hash));
        }
}

TEST(Route, SpreadsNamesThatLookAlike)
{
    constexpr uint32_t kShards = 7, kNames = 70000;
    sl_route route = {};
    sl_random_bytes(&route.key, sizeof(route.key));
    route.shards = kShards;
    std::vector<uint32_t> counts(kShards);
    for (uint32_t i = 0; i < kNames; i++) {
        std::string name = "stream/" + std::to_string(i);
        uint64_t hash = sl_hash(&route.key, sl_bytes(name.data(), name.size()));
        EXPECT_EQ(sl_route_shard(&route, hash), sl_route_shard(&route, hash));
        counts[sl_route_shard(&route, hash)]++;
    }
    for (uint32_t count : counts) {
        EXPECT_GT(count, kNames / kShards * 9 / 10); /* ten standard deviations */
        EXPECT_LT(count, kNames / kShards * 11 / 10);
    }
}

} // namespace
