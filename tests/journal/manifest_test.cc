#include "journal/manifest.h"

#include "base/crc32c.h"
#include "support/sim_disk.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>
#include <vector>

namespace sluice_test
{
namespace
{

const char kPath[] = "/s/MANIFEST";

class Manifest : public ::testing::Test
{
  protected:
    Manifest() : disk_(std::make_unique<SimDisk>(1))
    {
        disk_->MakeDirectory("/s");
        written_ = Make(10, 3);
    }
    ~Manifest() override
    {
        sl_manifest_deinit(&written_);
        sl_manifest_deinit(&read_);
    }
    static sl_manifest Make(uint64_t sequence, unsigned segments)
    {
        sl_manifest manifest = {};
        manifest.log_id = 0xabcdef;
        manifest.sequence = sequence;
        manifest.mark.position = 4096 * sequence;
        manifest.mark.lsn = sequence;
        manifest.mark.epoch = 3;
        manifest.mark.chain = 0x99999999;
        manifest.last_id = 77;
        manifest.durable_lsn = 12;
        manifest.next_segment = 2 * segments + 1;
        for (unsigned i = 0; i < segments; i++) {
            sl_manifest_segment segment = {};
            segment.number = 2 * i + 1;
            segment.size = 100 + i;
            segment.footer_crc = 1000 + i;
            sl_buffer_append(&manifest.segments, &segment, sizeof(segment));
        }
        return manifest;
    }
    sl_err Store(const sl_manifest &manifest)
    {
        return sl_manifest_store(disk_->vfs(), "/s", &manifest, &unknown_);
    }
    sl_err Load()
    {
        sl_manifest_deinit(&read_);
        return sl_manifest_load(disk_->vfs(), "/s", &read_, &one_copy_);
    }
    static bool Same(const sl_manifest &a, const sl_manifest &b)
    {
        sl_buffer left = {}, right = {};
        sl_manifest_encode(&a, &left);
        sl_manifest_encode(&b, &right);
        bool same = sl_bytes_equal(sl_buffer_bytes(&left), sl_buffer_bytes(&right));
        sl_buffer_deinit(&left);
        sl_buffer_deinit(&right);
        return same;
    }
    /* Both copies with one integer replaced and the right checksum. */
    template <typename Integer> sl_err LoadWith(size_t at, Integer value)
    {
        EXPECT_EQ(Store(written_), SL_OK);
        std::string bytes = disk_->Bytes(kPath);
        for (size_t copy : { 0, 4096 }) {
            uint32_t size, crc;
            memcpy(&size, &bytes[copy + 8], 4);
            memcpy(&bytes[copy + at], &value, sizeof(value));
            crc = sl_crc32c(sl_crc32c(0, &bytes[copy], 12), &bytes[copy + 16], size - 16);
            memcpy(&bytes[copy + 12], &crc, 4);
        }
        disk_->SetBytes(kPath, bytes);
        return Load();
    }

    std::unique_ptr<SimDisk> disk_;
    sl_manifest written_ = {};
    sl_manifest read_ = {};
    bool unknown_ = false;
    bool one_copy_ = false;
};

TEST_F(Manifest, IsNotThereAtFirst)
{
    EXPECT_EQ(Load(), SL_ERR_NOT_FOUND);
    disk_->FailNth(DiskCall::kOpen, 1, EIO);
    EXPECT_EQ(Load(), SL_ERR_STORAGE_FAILED);
}

TEST_F(Manifest, GivesBackWhatWasWritten)
{
    for (unsigned segments : { 0, 1, 166, 167, 168, 1000 }) {
        sl_manifest manifest = Make(segments + 1, segments);
        manifest.no_log = segments % 2 == 1;
        ASSERT_EQ(Store(manifest), SL_OK);
        ASSERT_EQ(Load(), SL_OK);
        EXPECT_FALSE(one_copy_);
        EXPECT_TRUE(Same(manifest, read_));
        EXPECT_EQ(read_.no_log, manifest.no_log);
        EXPECT_EQ(read_.last_id, 77u);
        sl_manifest_deinit(&manifest);
    }
    EXPECT_EQ(disk_->Files(), std::vector<std::string>{ kPath });
}

TEST_F(Manifest, SurvivesEveryFlippedBit)
{
    ASSERT_EQ(Store(written_), SL_OK);
    size_t size = disk_->Bytes(kPath).size();
    ASSERT_EQ(size, 4096u + 96 + 3 * 24);
    for (size_t byte = 0; byte < size; byte++)
        for (unsigned bit = 0; bit < 8; bit++) {
            disk_->Flip(kPath, byte, bit);
            ASSERT_EQ(Load(), SL_OK) << byte;
            EXPECT_EQ(one_copy_, byte < 96 + 3 * 24 || byte >= 4096) << byte;
            EXPECT_TRUE(Same(written_, read_));
            disk_->Flip(kPath, byte, bit);
        }
}

TEST_F(Manifest, FindsTheSecondCopyOfALongOne)
{
    sl_manifest manifest = Make(5, 1000);
    ASSERT_EQ(Store(manifest), SL_OK);
    disk_->Flip(kPath, 9, 0); /* the size of the first copy */
    ASSERT_EQ(Load(), SL_OK);
    EXPECT_TRUE(one_copy_);
    EXPECT_TRUE(Same(manifest, read_));
    sl_manifest_deinit(&manifest);
}

TEST_F(Manifest, IsCorruptWhenBothCopiesAre)
{
    ASSERT_EQ(Store(written_), SL_OK);
    for (size_t byte = 0; byte < 96 + 3 * 24; byte++)
        for (size_t other : { 0, 4, 8, 12, 50, 96, 167 }) {
            disk_->Flip(kPath, byte, 1);
            disk_->Flip(kPath, 4096 + other, 1);
            EXPECT_EQ(Load(), SL_ERR_DATA_CORRUPT) << byte << " " << other;
            disk_->Flip(kPath, byte, 1);
            disk_->Flip(kPath, 4096 + other, 1);
        }
}

TEST_F(Manifest, IsReadFromTheFirstCopyWhenCutOff)
{
    ASSERT_EQ(Store(written_), SL_OK);
    std::string bytes = disk_->Bytes(kPath);
    size_t copy = 96 + 3 * 24;
    for (size_t size : { size_t{ 0 }, size_t{ 1 }, copy - 1, copy, size_t{ 4096 }, bytes.size() - 1,
                         bytes.size() }) {
        disk_->SetBytes(kPath, bytes.substr(0, size));
        EXPECT_EQ(Load(), size < copy ? SL_ERR_DATA_CORRUPT : SL_OK) << size;
        EXPECT_EQ(one_copy_, size >= copy && size < bytes.size()) << size;
    }
}

TEST_F(Manifest, RefusesWhatItDoesNotKnow)
{
    EXPECT_EQ(LoadWith<uint32_t>(4, 2), SL_ERR_DATA_VERSION);
    EXPECT_EQ(LoadWith<uint32_t>(4, 0), SL_ERR_DATA_VERSION);
    EXPECT_EQ(LoadWith<uint32_t>(60, 2), SL_ERR_DATA_VERSION);
    EXPECT_EQ(LoadWith<uint32_t>(60, 1), SL_OK);
    EXPECT_TRUE(read_.no_log);
}

TEST_F(Manifest, RefusesWhatMakesNoSense)
{
    EXPECT_EQ(LoadWith<uint32_t>(88, 2), SL_ERR_DATA_CORRUPT); /* segments */
    EXPECT_EQ(LoadWith<uint32_t>(88, 4), SL_ERR_DATA_CORRUPT);
    EXPECT_EQ(LoadWith<uint32_t>(88, 3), SL_OK);
    EXPECT_EQ(LoadWith<uint64_t>(32, SL_DISK_BLOCK_BYTES - 1), SL_ERR_DATA_CORRUPT); /* position */
    EXPECT_EQ(LoadWith<uint64_t>(32, SL_DISK_BLOCK_BYTES), SL_OK);
    EXPECT_EQ(LoadWith<uint64_t>(32, SL_DISK_BLOCK_BYTES + 1), SL_ERR_DATA_CORRUPT);
    EXPECT_EQ(LoadWith<uint64_t>(40, 0), SL_ERR_DATA_CORRUPT); /* LSN of the mark */
    /* What goes on counting from here must not begin again at 0. */
    constexpr uint64_t kMost = UINT64_MAX / 2;
    for (size_t at : { 24, 40, 48, 64, 80 }) { /* sequence, LSN, epoch, last_id, next_segment */
        EXPECT_EQ(LoadWith<uint64_t>(at, kMost), SL_OK) << at;
        EXPECT_EQ(LoadWith<uint64_t>(at, kMost + 1), SL_ERR_DATA_CORRUPT) << at;
    }
    constexpr uint64_t kLast = kMost / SL_DISK_BLOCK_BYTES * SL_DISK_BLOCK_BYTES;
    EXPECT_EQ(LoadWith<uint64_t>(32, kLast), SL_OK);
    EXPECT_EQ(LoadWith<uint64_t>(32, kLast + SL_DISK_BLOCK_BYTES), SL_ERR_DATA_CORRUPT);
    EXPECT_EQ(LoadWith<uint64_t>(80, 5), SL_ERR_DATA_CORRUPT); /* next_segment */
    EXPECT_EQ(LoadWith<uint64_t>(80, 6), SL_OK);
    EXPECT_EQ(LoadWith<uint64_t>(96, 3), SL_ERR_DATA_CORRUPT); /* number of the first one */
    EXPECT_EQ(LoadWith<uint64_t>(96, 2), SL_OK);
}

TEST_F(Manifest, IsTheOldOrTheNewOneAfterAPowerCut)
{
    sl_manifest next = Make(11, 5);
    bool seen_old = false, seen_new = false;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        sl_err err = SL_ERR_STORAGE_FAILED;
        for (uint64_t n = 1; err != SL_OK; n++) {
            disk_ = std::make_unique<SimDisk>(seed * 100 + n);
            disk_->MakeDirectory("/s");
            ASSERT_EQ(Store(written_), SL_OK);
            disk_->FailNth(DiskCall::kAny, n, EIO, true);
            err = Store(next);
            disk_->FailNth(DiskCall::kAny, 0, 0);
            disk_->PowerCut();
            ASSERT_EQ(Load(), SL_OK);
            EXPECT_FALSE(one_copy_);
            bool is_new = read_.sequence == 11;
            EXPECT_TRUE(Same(is_new ? next : written_, read_));
            EXPECT_TRUE(is_new || err != SL_OK);
            EXPECT_TRUE(!is_new || err == SL_OK || unknown_);
            seen_new |= is_new && err != SL_OK;
            seen_old |= !is_new && unknown_;
        }
    }
    EXPECT_TRUE(seen_old && seen_new);
    sl_manifest_deinit(&next);
}

TEST_F(Manifest, StaysWhenItsReplacementFails)
{
    sl_manifest next = Make(11, 5);
    for (int error : { EIO, ENOSPC, kShortWrite }) {
        ASSERT_EQ(Store(written_), SL_OK);
        sl_err err = SL_ERR_STORAGE_FAILED;
        for (uint64_t n = 1; err != SL_OK; n++) {
            disk_->FailNth(DiskCall::kAny, n, error);
            err = Store(next);
            if (err == SL_OK)
                break;
            EXPECT_EQ(err, error == ENOSPC ? SL_ERR_DISK_FULL : SL_ERR_STORAGE_FAILED);
            ASSERT_EQ(Load(), SL_OK);
            EXPECT_TRUE(unknown_ || Same(written_, read_));
            ASSERT_EQ(Store(written_), SL_OK);
        }
        disk_->FailNth(DiskCall::kAny, 0, 0);
        ASSERT_EQ(Load(), SL_OK);
        EXPECT_TRUE(Same(next, read_));
    }
    sl_manifest_deinit(&next);
}

} // namespace
} // namespace sluice_test
