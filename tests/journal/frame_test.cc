#include "journal/frame.h"

#include "journal/vfs.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace
{

struct sl_frame Sample()
{
    struct sl_frame frame = {};
    frame.flags = SL_FRAME_WATERMARK;
    frame.body_size = 0x01020304;
    frame.record_count = 0x11121314;
    frame.body_crc = 0x21222324;
    frame.log_id = UINT64_C(0x3132333435363738);
    frame.epoch = UINT64_C(0x4142434445464748);
    frame.position = UINT64_C(0x5152535455565758);
    frame.first_lsn = UINT64_C(0x6162636465666768);
    frame.durable_lsn = UINT64_C(0x7172737475767778);
    frame.wall_ms = -2;
    frame.chain = 0x81828384;
    return frame;
}

std::vector<uint8_t> Encode(struct sl_frame *frame)
{
    std::vector<uint8_t> out(SL_FRAME_HEADER_BYTES, 0xaa);
    sl_frame_encode(frame, out.data());
    return out;
}

bool Decode(const std::vector<uint8_t> &bytes, struct sl_frame *frame)
{
    return sl_frame_decode(sl_bytes(bytes.data(), bytes.size()), frame);
}

} // namespace

TEST(Frame, ReadsBack)
{
    struct sl_frame written = Sample();
    std::vector<uint8_t> bytes = Encode(&written);
    struct sl_frame frame;
    ASSERT_TRUE(Decode(bytes, &frame));
    EXPECT_EQ(frame.flags, written.flags);
    EXPECT_EQ(frame.body_size, written.body_size);
    EXPECT_EQ(frame.record_count, written.record_count);
    EXPECT_EQ(frame.body_crc, written.body_crc);
    EXPECT_EQ(frame.log_id, written.log_id);
    EXPECT_EQ(frame.epoch, written.epoch);
    EXPECT_EQ(frame.position, written.position);
    EXPECT_EQ(frame.first_lsn, written.first_lsn);
    EXPECT_EQ(frame.durable_lsn, written.durable_lsn);
    EXPECT_EQ(frame.wall_ms, written.wall_ms);
    EXPECT_EQ(frame.chain, written.chain);
    EXPECT_EQ(frame.header_crc, written.header_crc);
    EXPECT_EQ(Encode(&frame), bytes);
}

/* The format is for ever. */
TEST(Frame, HasItsBytesInTheirPlaces)
{
    struct sl_frame frame = Sample();
    std::vector<uint8_t> bytes = Encode(&frame);
    EXPECT_EQ(memcmp(bytes.data(), "SLFR", 4), 0);
    const uint8_t expected[] = {
        1,    0,    4,    0,    0x04, 0x03, 0x02, 0x01, 0x14, 0x13, 0x12, 0x11, 0x24, 0x23, 0x22,
        0x21, 0x38, 0x37, 0x36, 0x35, 0x34, 0x33, 0x32, 0x31, 0x48, 0x47, 0x46, 0x45, 0x44, 0x43,
        0x42, 0x41, 0x58, 0x57, 0x56, 0x55, 0x54, 0x53, 0x52, 0x51, 0x68, 0x67, 0x66, 0x65, 0x64,
        0x63, 0x62, 0x61, 0x78, 0x77, 0x76, 0x75, 0x74, 0x73, 0x72, 0x71, 0xfe, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0x84, 0x83, 0x82, 0x81, 0,    0,    0,    0,    0,    0,    0,
        0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,
    };
    ASSERT_EQ(sizeof(expected), SL_FRAME_HEADER_BYTES - 8u);
    EXPECT_EQ(memcmp(bytes.data() + 8, expected, sizeof(expected)), 0);
}

TEST(Frame, RefusesEveryFlippedBit)
{
    struct sl_frame frame = Sample();
    std::vector<uint8_t> bytes = Encode(&frame);
    for (size_t bit = 0; bit < bytes.size() * 8; bit++) {
        bytes[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
        EXPECT_FALSE(Decode(bytes, &frame)) << bit;
        bytes[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    }
    EXPECT_TRUE(Decode(bytes, &frame));
    bytes.pop_back();
    EXPECT_FALSE(Decode(bytes, &frame));
}

TEST(Frame, TakesWholeBlocks)
{
    const size_t block = SL_DISK_BLOCK_BYTES;
    EXPECT_EQ(sl_frame_size(0), block);
    EXPECT_EQ(sl_frame_size(block - SL_FRAME_HEADER_BYTES), block);
    EXPECT_EQ(sl_frame_size(block - SL_FRAME_HEADER_BYTES + 1), 2 * block);
    EXPECT_EQ(sl_frame_size(2 * block - SL_FRAME_HEADER_BYTES), 2 * block);
}
