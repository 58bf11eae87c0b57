#include "base/crc32c.h"

#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace
{

/* One bit at a time: as the definition says. */
uint32_t by_definition(const uint8_t *data, size_t size)
{
    uint32_t crc = ~0u;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ ((crc & 1) != 0 ? 0x82f63b78 : 0);
    }
    return ~crc;
}

std::vector<uint8_t> noise(size_t size)
{
    std::mt19937 random(1);
    std::vector<uint8_t> bytes(size);
    for (uint8_t &byte : bytes)
        byte = static_cast<uint8_t>(random());
    return bytes;
}

struct vector {
    const char *name;
    std::vector<uint8_t> bytes;
    uint32_t crc;
};

std::vector<uint8_t> counting(int from, int step)
{
    std::vector<uint8_t> bytes;
    for (int i = 0; i < 32; i++)
        bytes.push_back(static_cast<uint8_t>(from + step * i));
    return bytes;
}

/* RFC 3720, appendix B.4; the RFC prints the bytes of the result, lowest first. */
std::vector<vector> published()
{
    std::vector<uint8_t> read_command = {
        0x01, 0xc0, 0, 0,    0, 0, 0, 0,    0,    0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0, 0, 0, 0, 0x04, 0,
        0,    0,    0, 0x14, 0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0, 0, 0, 0,    0,
    };
    std::string digits = "123456789";
    return {
        { "zeros", std::vector<uint8_t>(32, 0x00), 0x8a9136aa },
        { "ones", std::vector<uint8_t>(32, 0xff), 0x62a8ab43 },
        { "up", counting(0, 1), 0x46dd794e },
        { "down", counting(31, -1), 0x113fdb5c },
        { "an iSCSI read", read_command, 0xd9963a56 },
        { "the check of every CRC", { digits.begin(), digits.end() }, 0xe3069283 },
    };
}

} // namespace

TEST(Crc32c, MatchesPublishedVectors)
{
    for (const vector &one : published()) {
        EXPECT_EQ(sl_crc32c(0, one.bytes.data(), one.bytes.size()), one.crc) << one.name;
        EXPECT_EQ(sli_crc32c_software(0, one.bytes.data(), one.bytes.size()), one.crc) << one.name;
    }
}

TEST(Crc32c, OfNothingIsWhatWasBefore)
{
    EXPECT_EQ(sl_crc32c(0, nullptr, 0), 0u);
    EXPECT_EQ(sl_crc32c(0x12345678, nullptr, 0), 0x12345678u);
    EXPECT_EQ(sli_crc32c_software(0x12345678, nullptr, 0), 0x12345678u);
}

TEST(Crc32c, EveryShortSizeAtEveryAlignment)
{
    std::vector<uint8_t> bytes = noise(1700);
    for (size_t start = 0; start < 16; start++) {
        for (size_t size = 0; size <= 1600; size++) {
            uint32_t crc = by_definition(bytes.data() + start, size);
            ASSERT_EQ(sl_crc32c(0, bytes.data() + start, size), crc) << start << " " << size;
            ASSERT_EQ(sli_crc32c_software(0, bytes.data() + start, size), crc) << size;
        }
    }
}

TEST(Crc32c, LargeSizesAroundTheirSteps)
{
    const size_t lanes = 3 * 4096;
    std::vector<uint8_t> bytes = noise(3 * lanes + 64);
    for (size_t whole = lanes; whole <= 3 * lanes; whole += lanes) {
        for (size_t size = whole - 9; size <= whole + 9; size++) {
            uint32_t crc = by_definition(bytes.data() + 3, size);
            ASSERT_EQ(sl_crc32c(0, bytes.data() + 3, size), crc) << size;
            ASSERT_EQ(sli_crc32c_software(0, bytes.data() + 3, size), crc) << size;
        }
    }
}

TEST(Crc32c, GoesOnWhereItWas)
{
    std::vector<uint8_t> bytes = noise(40000);
    uint32_t whole = sl_crc32c(0, bytes.data(), bytes.size());
    for (size_t cut : { 0, 1, 7, 8, 767, 768, 12287, 12288, 20001, 39999, 40000 }) {
        uint32_t head = sl_crc32c(0, bytes.data(), cut);
        EXPECT_EQ(sl_crc32c(head, bytes.data() + cut, bytes.size() - cut), whole) << cut;
        EXPECT_EQ(sli_crc32c_software(head, bytes.data() + cut, bytes.size() - cut), whole) << cut;
    }
}

TEST(Crc32c, SeesEveryFlippedBit)
{
    std::vector<uint8_t> bytes = noise(1000);
    uint32_t crc = sl_crc32c(0, bytes.data(), bytes.size());
    for (size_t bit = 0; bit < bytes.size() * 8; bit++) {
        bytes[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
        ASSERT_NE(sl_crc32c(0, bytes.data(), bytes.size()), crc) << bit;
        bytes[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    }
}
