#include "load/histogram.h"

#include <gtest/gtest.h>

#include <memory>

namespace
{

std::unique_ptr<load_histogram> histogram_of(std::initializer_list<uint64_t> values)
{
    auto histogram = std::make_unique<load_histogram>();
    for (uint64_t value : values)
        load_histogram_add(histogram.get(), value);
    return histogram;
}

TEST(LoadHistogram, AnEmptyOneIsZero)
{
    auto histogram = histogram_of({});
    EXPECT_EQ(load_histogram_percentile(histogram.get(), 0.99), 0u);
    EXPECT_EQ(histogram->max, 0u);
}

TEST(LoadHistogram, IsExactBelow256)
{
    for (uint64_t value = 0; value < 256; value++)
        EXPECT_EQ(load_histogram_percentile(histogram_of({ value, 1000 }).get(), 0.5), value);
}

TEST(LoadHistogram, IsNeverTooSmallAndAtMostOnePartOf128TooLarge)
{
    for (unsigned bits = 8; bits < LOAD_HISTOGRAM_VALUE_BITS; bits++) {
        for (uint64_t add : { -1, 0, 1, 77 }) {
            uint64_t value = (UINT64_C(1) << bits) + add;
            auto histogram = histogram_of({ value, LOAD_HISTOGRAM_VALUE_MAX });
            uint64_t got = load_histogram_percentile(histogram.get(), 0.5);
            EXPECT_GE(got, value);
            EXPECT_LE(got, value + value / 128);
        }
    }
}

TEST(LoadHistogram, PercentilesCountValues)
{
    auto histogram = std::make_unique<load_histogram>();
    for (uint64_t value = 1; value <= 100; value++)
        load_histogram_add(histogram.get(), value);
    EXPECT_EQ(load_histogram_percentile(histogram.get(), 0.5), 50u);
    EXPECT_EQ(load_histogram_percentile(histogram.get(), 0.99), 99u);
    EXPECT_EQ(load_histogram_percentile(histogram.get(), 1), 100u);
}

TEST(LoadHistogram, TheLargestValueIsExactAlsoBeyondTheBuckets)
{
    auto histogram = histogram_of({ LOAD_HISTOGRAM_VALUE_MAX * 3 });
    EXPECT_EQ(histogram->max, LOAD_HISTOGRAM_VALUE_MAX * 3);
    EXPECT_EQ(histogram->count, 1u);
}

TEST(LoadHistogram, MergingIsAddingBoth)
{
    auto sum = histogram_of({ 10, 20 });
    load_histogram_merge(sum.get(), histogram_of({ 30, 40000 }).get());
    EXPECT_EQ(sum->count, 4u);
    EXPECT_EQ(sum->sum, 40060u);
    EXPECT_EQ(sum->max, 40000u);
    EXPECT_EQ(load_histogram_percentile(sum.get(), 0.75), 30u);
}

} // namespace
