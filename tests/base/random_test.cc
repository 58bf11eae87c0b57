#include "base/random.h"

#include <algorithm>
#include <set>
#include <vector>

#include <gtest/gtest.h>

TEST(Random, NumbersDiffer)
{
    std::set<uint64_t> numbers;
    for (int i = 0; i < 1000; i++)
        numbers.insert(sl_random_u64());
    EXPECT_EQ(numbers.size(), 1000u);
}

TEST(Random, FillsExactlyWhatWasAskedFor)
{
    for (size_t size : { 0, 1, 7, 256, 257, 100000 }) {
        std::vector<uint8_t> bytes(size + 16, 0);
        sl_random_bytes(bytes.data(), size);
        EXPECT_TRUE(std::all_of(bytes.end() - 16, bytes.end(), [](uint8_t b) { return b == 0; }));
        /* 16 zeros in a row do not happen by chance. */
        std::vector<uint8_t> zeros(16, 0);
        auto end = bytes.end() - 16;
        EXPECT_EQ(std::search(bytes.begin(), end, zeros.begin(), zeros.end()), end);
    }
}
