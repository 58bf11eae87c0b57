#include "journal/wal_reader.h"

#include "journal/wal_files.h"

#include "support/sim_disk.h"
#include "support/wal_fixture.h"

#include <errno.h>

using namespace sluice_test;

namespace
{

constexpr uint64_t kBlock = SL_DISK_BLOCK_BYTES;
constexpr uint64_t kWindow = SL_WAL_READER_WINDOW_BYTES;
constexpr uint64_t kLarge = 2 * kWindow + 3 * kBlock; /* of a file: three windows */

/* Two files whose blocks say where they are. */
class WalReader : public ::testing::Test
{
  protected:
    WalReader() : disk_(1)
    {
        disk_.MakeDirectory("/log");
        for (uint64_t number = 0; number < 2; number++)
            disk_.SetBytes(LogPath(number), Content(number * kLarge, kLarge));
        reader_ = sl_wal_reader_open(disk_.vfs(), "/log", kLarge);
    }

    ~WalReader() override
    {
        sl_wal_reader_close(&reader_);
    }

    static std::string Content(uint64_t position, uint64_t size)
    {
        std::string bytes;
        bytes.reserve(size);
        for (uint64_t at = position; at < position + size; at += kBlock) {
            std::string block = "block " + std::to_string(at);
            block.resize(kBlock, static_cast<char>('a' + at / kBlock % 26));
            bytes += block;
        }
        return bytes;
    }

    /* What is there, or "error <errno>", "no file", "wrong size". */
    std::string View(uint64_t position, uint64_t size)
    {
        const uint8_t *bytes;
        bool wrong_size;
        int error = sl_wal_reader_view(reader_, position, size, &bytes, &wrong_size);
        if (error != 0)
            return "error " + std::to_string(error);
        if (wrong_size)
            return "wrong size";
        if (bytes == nullptr)
            return "no file";
        return std::string(reinterpret_cast<const char *>(bytes), size);
    }

    /* Both files, in steps of so many blocks. */
    void ExpectAll(uint64_t blocks)
    {
        for (uint64_t number = 0; number < 2; number++)
            for (uint64_t at = 0; at < kLarge; at += blocks * kBlock) {
                uint64_t size = std::min(blocks * kBlock, kLarge - at);
                ASSERT_EQ(View(number * kLarge + at, size), Content(number * kLarge + at, size))
                    << blocks << " blocks at " << at << " of file " << number;
            }
    }

    SimDisk disk_;
    struct sl_wal_reader *reader_ = nullptr;
};

TEST_F(WalReader, GivesEveryByteWhateverTheSteps)
{
    for (uint64_t blocks : { uint64_t{ 1 }, uint64_t{ 3 }, kWindow / kBlock - 1, kWindow / kBlock,
                             kWindow / kBlock + 1, kLarge / kBlock })
        ExpectAll(blocks);
}

TEST_F(WalReader, GoesBackAndAcrossFiles)
{
    for (uint64_t position : { kLarge + kWindow, uint64_t{ 0 }, kLarge, kWindow - kBlock })
        EXPECT_EQ(View(position, 2 * kBlock), Content(position, 2 * kBlock)) << position;
}

TEST_F(WalReader, ReadsTheNextWindowBeforeItIsAskedFor)
{
    EXPECT_EQ(View(0, kBlock), Content(0, kBlock));
    EXPECT_EQ(View(kWindow, kBlock), Content(kWindow, kBlock));
    sl_wal_reader_close(&reader_);
    EXPECT_EQ(disk_.Count(DiskCall::kRead), 3u); /* two, and the one after them; none twice */
    reader_ = sl_wal_reader_open(disk_.vfs(), "/log", kLarge);
}

TEST_F(WalReader, WhatFailsAheadIsReadAgainWhenItIsNeeded)
{
    disk_.FailNth(DiskCall::kRead, 2, EIO);
    EXPECT_EQ(View(0, kBlock), Content(0, kBlock));
    EXPECT_EQ(View(kWindow, kBlock), Content(kWindow, kBlock));
    EXPECT_EQ(disk_.failures(), 1u);
}

TEST_F(WalReader, FailsOnlyWhenTheBytesAreNeeded)
{
    disk_.FailNth(DiskCall::kRead, 2, EIO, true);
    EXPECT_EQ(View(0, kBlock), Content(0, kBlock));
    EXPECT_EQ(View(kWindow - kBlock, kBlock), Content(kWindow - kBlock, kBlock));
    EXPECT_EQ(View(kWindow, kBlock), "error " + std::to_string(EIO));
}

TEST_F(WalReader, AShortReadIsNoEndOfTheFile)
{
    disk_.FailNth(DiskCall::kRead, 1, kShortRead);
    EXPECT_EQ(View(0, 2 * kBlock), "error " + std::to_string(EIO));
    EXPECT_EQ(View(0, 2 * kBlock), Content(0, 2 * kBlock));
}

TEST_F(WalReader, ReadsWithoutDirectIoWhereItIsRefused)
{
    EXPECT_FALSE(sl_wal_reader_is_buffered(reader_));
    disk_.FailNth(DiskCall::kRead, 1, EINVAL);
    ExpectAll(1);
    EXPECT_TRUE(sl_wal_reader_is_buffered(reader_));
    disk_.SetDirectIo(DirectIo::kRefusedAtOpen);
    EXPECT_EQ(View(0, kBlock), Content(0, kBlock));
}

TEST_F(WalReader, SaysWhenThereIsNoFileOrNotAWholeOne)
{
    EXPECT_EQ(View(2 * kLarge, kBlock), "no file");
    disk_.SetBytes(LogPath(2), Content(0, kLarge - kBlock));
    EXPECT_EQ(View(kLarge, kBlock), Content(kLarge, kBlock)); /* another file in between */
    EXPECT_EQ(View(2 * kLarge, kBlock), "wrong size");
}

} // namespace
