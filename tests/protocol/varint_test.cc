#include "protocol/varint.h"

#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace
{

std::vector<uint8_t> write(uint64_t value)
{
    uint8_t out[SL_VARINT_SIZE_MAX];
    size_t size = sl_varint_write(value, out);
    return std::vector<uint8_t>(out, out + size);
}

TEST(Varint, WritesSevenBitsAByteTheLowestFirst)
{
    EXPECT_EQ(write(0), (std::vector<uint8_t>{ 0x00 }));
    EXPECT_EQ(write(1), (std::vector<uint8_t>{ 0x01 }));
    EXPECT_EQ(write(127), (std::vector<uint8_t>{ 0x7f }));
    EXPECT_EQ(write(128), (std::vector<uint8_t>{ 0x80, 0x01 }));
    EXPECT_EQ(write(300), (std::vector<uint8_t>{ 0xac, 0x02 }));
    EXPECT_EQ(write(16383), (std::vector<uint8_t>{ 0xff, 0x7f }));
    EXPECT_EQ(write(16384), (std::vector<uint8_t>{ 0x80, 0x80, 0x01 }));
    EXPECT_EQ(write(UINT64_MAX),
              (std::vector<uint8_t>{ 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01 }));
}

TEST(Varint, ReadsWhatItWroteAndStopsThere)
{
    std::mt19937_64 random(1);
    for (int i = 0; i < 100000; i++) {
        uint64_t value = random() >> (random() % 64);
        std::vector<uint8_t> bytes = write(value);
        size_t size = bytes.size();
        bytes.push_back(static_cast<uint8_t>(random()));
        uint64_t read = 0;
        ASSERT_EQ(sl_varint_read(bytes.data(), bytes.size(), &read), size) << value;
        ASSERT_EQ(read, value);
    }
}

TEST(Varint, GrowsAtEveryPowerOf128)
{
    for (unsigned size = 1; size < SL_VARINT_SIZE_MAX; size++) {
        uint64_t limit = UINT64_C(1) << (7 * size);
        EXPECT_EQ(write(limit - 1).size(), size);
        EXPECT_EQ(write(limit).size(), size + 1);
    }
}

TEST(Varint, RefusesNumbersCutShort)
{
    std::vector<uint8_t> bytes = write(UINT64_MAX);
    for (size_t size = 0; size < bytes.size(); size++) {
        uint64_t value = 7;
        EXPECT_EQ(sl_varint_read(bytes.data(), size, &value), 0u) << size;
        EXPECT_EQ(value, 0u);
    }
}

TEST(Varint, RefusesMoreThan64Bits)
{
    const std::vector<std::vector<uint8_t>> bad = {
        { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02 },
        { 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01 },
        { 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x81 },
    };
    for (const std::vector<uint8_t> &bytes : bad) {
        uint64_t value = 7;
        EXPECT_EQ(sl_varint_read(bytes.data(), bytes.size(), &value), 0u);
        EXPECT_EQ(value, 0u);
    }
}

TEST(Varint, RefusesNeedlessZeros)
{
    const uint8_t zero[] = { 0x80, 0x00 };
    const uint8_t one[] = { 0x81, 0x80, 0x00 };
    uint64_t value = 7;
    EXPECT_EQ(sl_varint_read(zero, sizeof(zero), &value), 0u);
    EXPECT_EQ(sl_varint_read(one, sizeof(one), &value), 0u);
}

} // namespace
