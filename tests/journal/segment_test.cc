#include "journal/segment_internal.h"

#include "base/crc32c.h"
#include "journal/inspect.h"
#include "journal/segment_fixture.h"

namespace sluice_test
{
namespace
{

using Strings = std::vector<std::string>;

class Segment : public ::testing::Test
{
  protected:
    Segment() : disk_(1)
    {
        disk_.MakeDirectory("/s");
    }
    ~Segment() override
    {
        sl_segment_unref(&segment_);
    }
    sl_err Open(uint64_t number = 1, uint64_t log_id = kLogId)
    {
        sl_segment_unref(&segment_);
        what_ = nullptr;
        return sl_segment_open(disk_.vfs(), "/s", number, log_id, &segment_, &what_);
    }
    sl_err Write(const std::vector<Batch *> &batches, uint64_t number = 1)
    {
        sl_segment_writer *writer;
        sl_segment_unref(&segment_);
        sl_err err = sl_segment_writer_open(disk_.vfs(), "/s", number, kLogId, &writer);
        if (err != SL_OK)
            return err;
        for (Batch *batch : batches) {
            err = sl_segment_writer_add(writer, batch->get());
            if (err != SL_OK) {
                sl_segment_writer_abort(&writer);
                return err;
            }
        }
        return sl_segment_writer_finish(&writer, &segment_);
    }
    Content Read()
    {
        Content content;
        ReadSegment(segment_, &content);
        return content;
    }
    /* How much damage an inspection of the entries finds. */
    int Inspect()
    {
        int damages = 0;
        sl_inspect_visitor visitor = {};
        visitor.entries.context = &damages;
        visitor.entries.on_entry = [](void *, sl_segment *, const sl_entry *) {};
        visitor.entries.on_tombstone = [](void *, sl_segment *, const sl_tombstone *) {};
        visitor.on_damage = [](void *context, uint64_t, uint64_t, const char *) {
            ++*static_cast<int *>(context);
        };
        EXPECT_EQ(sl_inspect_entries(segment_, &visitor), SL_OK);
        return damages;
    }
    static void Ignore(void *, const sl_chunk *)
    {
    }
    sl_err ReadExtent(uint64_t id, const sl_extent_on_disk &extent)
    {
        sl_buffer buffer = {};
        sl_err err = sl_segment_read(segment_, id, &extent, &buffer, Ignore, nullptr);
        sl_buffer_deinit(&buffer);
        return err;
    }

    SimDisk disk_;
    sl_segment *segment_ = nullptr;
    const char *what_ = nullptr;
};

const char kPath[] = "/s/seg-0000000000000001";

TEST_F(Segment, HasANameOfItsNumber)
{
    char name[SL_SEGMENT_NAME_SIZE];
    uint64_t number;
    sl_segment_name(0x0123456789abcdef, name);
    EXPECT_STREQ(name, "seg-0123456789abcdef");
    EXPECT_TRUE(sl_segment_number(name, &number));
    EXPECT_EQ(number, 0x0123456789abcdefu);
    EXPECT_FALSE(sl_segment_number("seg-0123456789abcde", &number));
    EXPECT_FALSE(sl_segment_number("seg-0123456789abcdef0", &number));
    EXPECT_FALSE(sl_segment_number("seg-0123456789abcdeF", &number));
    EXPECT_FALSE(sl_segment_number("sag-0123456789abcdef", &number));
    EXPECT_FALSE(sl_segment_number("seg-0123456789abcdef.tmp", &number));
}

TEST_F(Segment, GivesBackWhatWasWritten)
{
    Batch one, two;
    one.Add(7, 70, "seven", 100, Text(2500, 1)).Add(8, 60, "", 0, "").AddTombstone(3, 55);
    two.Add(9, 80, Text(5000, 2), 0, Text(1, 3)).AddTombstone(4, 90).AddTombstone(5, 91);
    ASSERT_EQ(Write({ &one, &two }), SL_OK);
    for (int round = 0; round < 2; round++) {
        EXPECT_EQ(segment_->entries, 3u);
        EXPECT_EQ(segment_->tombstones, 3u);
        EXPECT_EQ(segment_->first_lsn, 55u);
        EXPECT_EQ(segment_->size, disk_.Bytes(kPath).size());
        Content content = Read();
        EXPECT_EQ(content.err, SL_OK);
        EXPECT_EQ(content.Live(), (Strings{ "7:70:seven:" + Text(2500, 1), "8:60::",
                                            "9:80:" + Text(5000, 2) + ":" + Text(1, 3) }));
        EXPECT_EQ(content.tombstones,
                  (std::map<uint64_t, uint64_t>{ { 3, 55 }, { 4, 90 }, { 5, 91 } }));
        EXPECT_EQ(content.streams[7].extents.size(), 3u);
        EXPECT_TRUE(content.streams[7].extents[0].ends_message);
        ASSERT_EQ(Open(), SL_OK) << what_;
    }
    EXPECT_EQ(disk_.Files(), Strings{ kPath });
    EXPECT_TRUE(disk_.IsDurable(kPath));
}

TEST_F(Segment, MayEndAtAnyPlaceOfABlockAndOfAWrite)
{
    auto write = [&](size_t state_size) {
        Batch batch;
        batch.Add(7, 70, Text(state_size, 1), 0, Text(100, 2));
        return Write({ &batch });
    };
    ASSERT_EQ(write(0), SL_OK);
    const size_t rest = segment_->size;
    for (size_t end : { 4096, 2 * 4096, 1024 * 1024, 2048 * 1024 })
        for (size_t size = end - 1; size <= end + 1; size++) {
            ASSERT_EQ(write(size - rest), SL_OK) << size;
            EXPECT_EQ(segment_->size, size);
            EXPECT_EQ(disk_.Bytes(kPath).size(), size);
            EXPECT_TRUE(disk_.IsDurable(kPath)) << size;
            EXPECT_TRUE(Read().Live() ==
                        Strings{ "7:70:" + Text(size - rest, 1) + ":" + Text(100, 2) })
                << size;
        }
}

TEST_F(Segment, IsWrittenThroughThePageCacheWhereItCannotBeDirect)
{
    for (DirectIo mode : { DirectIo::kRefusedAtOpen, DirectIo::kRefusedAtWrite })
        for (size_t size : { 5000, 3000000 }) {
            Batch batch;
            batch.Add(7, 70, "seven", 0, Text(size, 1));
            disk_.SetDirectIo(mode);
            ASSERT_EQ(Write({ &batch }), SL_OK);
            EXPECT_TRUE(Read().Live() == Strings{ "7:70:seven:" + Text(size, 1) });
            EXPECT_EQ(disk_.Files(), Strings{ kPath });
            EXPECT_TRUE(disk_.IsDurable(kPath));
        }
}

TEST_F(Segment, PlacesTheExtentsOfABatch)
{
    Batch one, two;
    one.Add(1, 1, "a", 0, Text(100, 1));
    two.Add(2, 2, "b", 0, Text(3000, 2));
    ASSERT_EQ(Write({ &one, &two }), SL_OK);
    for (int i = 0; i < 3; i++)
        EXPECT_EQ(ReadExtent(2, two.extents()[i]), SL_OK);
    EXPECT_EQ(ReadExtent(1, one.extents()[0]), SL_OK);
    EXPECT_EQ(one.extents()[0].position, 0u);
    EXPECT_GT(two.extents()[0].position, 100u);
}

TEST_F(Segment, JoinsThePartsOfAStream)
{
    Batch one, two, three;
    one.Add(1, 1, "one", 0, "x").Add(2, 0, "", 0, Text(1500, 1), false);
    two.Add(2, 0, "", 1500, Text(500, 2), false).Add(2, 0, "", 2000, Text(10, 3), false);
    three.Add(2, 9, "two", 2010, Text(20, 4)).Add(3, 3, "three");
    ASSERT_EQ(Write({ &one, &two, &three }), SL_OK);
    Content content = Read();
    EXPECT_EQ(content.Live(),
              (Strings{ "1:1:one:x",
                        "2:9:two:" + Text(1500, 1) + Text(500, 2) + Text(10, 3) + Text(20, 4),
                        "3:3:three:" }));
    EXPECT_EQ(segment_->entries, 3u);
}

TEST_F(Segment, DropsPartsThatNeverBecomeComplete)
{
    Batch one, two;
    one.Add(2, 0, "", 0, Text(1500, 1), false);
    two.Add(3, 3, "three", 0, "y").Add(4, 0, "", 0, "z", false);
    ASSERT_EQ(Write({ &one, &two }), SL_OK);
    EXPECT_EQ(Read().Live(), Strings{ "3:3:three:y" });
    EXPECT_EQ(segment_->entries, 1u);
    EXPECT_EQ(segment_->first_lsn, 3u);
}

TEST_F(Segment, HoldsOnlyChunksOrNothingAtAll)
{
    Batch parts;
    parts.Add(2, 0, "", 0, "abc", false);
    ASSERT_EQ(Write({ &parts }), SL_OK);
    EXPECT_EQ(segment_->first_lsn, UINT64_MAX);
    EXPECT_EQ(Read().streams.size(), 0u);
    ASSERT_EQ(Write({}, 2), SL_OK);
    EXPECT_EQ(Read().streams.size(), 0u);
    EXPECT_EQ(segment_->size, static_cast<uint64_t>(SLI_FOOTER_BYTES));
}

TEST_F(Segment, ReadsAnExtentOfSeveralChunks)
{
    Batch batch;
    batch.Add(5, 1, "s", 10, Text(3 * SL_CHUNK_PAYLOAD_BYTES_MAX, 1), true,
              SL_CHUNK_PAYLOAD_BYTES_MAX);
    ASSERT_EQ(Write({ &batch }), SL_OK);
    sl_extent_on_disk all = batch.extents()[0];
    all.size = 3 * SL_CHUNK_PAYLOAD_BYTES_MAX;
    all.disk_size += batch.extents()[1].disk_size + batch.extents()[2].disk_size;
    std::vector<uint64_t> starts;
    sl_buffer buffer = {};
    auto each = [](void *context, const sl_chunk *chunk) {
        static_cast<std::vector<uint64_t> *>(context)->push_back(chunk->start);
    };
    EXPECT_EQ(sl_segment_read(segment_, 5, &all, &buffer, each, &starts), SL_OK);
    EXPECT_EQ(starts, (std::vector<uint64_t>{ 10, 65546, 131082 }));
    sl_buffer_deinit(&buffer);
}

TEST_F(Segment, RefusesAWrongExtent)
{
    Batch batch;
    batch.Add(5, 1, "s", 10, Text(3000, 1));
    ASSERT_EQ(Write({ &batch }), SL_OK);
    const sl_extent_on_disk good = batch.extents()[1];
    EXPECT_EQ(ReadExtent(5, good), SL_OK);
    EXPECT_FALSE(sl_segment_is_damaged(segment_));
    EXPECT_EQ(ReadExtent(6, good), SL_ERR_DATA_DAMAGED);
    EXPECT_TRUE(sl_segment_is_damaged(segment_));
    for (int delta : { -1, 1, -33, 33, -1000, 1000 }) {
        sl_extent_on_disk wrong = good;
        wrong.start += static_cast<uint64_t>(static_cast<int64_t>(delta));
        EXPECT_EQ(ReadExtent(5, wrong), SL_ERR_DATA_DAMAGED) << "start " << delta;
        wrong = good;
        wrong.size += static_cast<uint32_t>(delta);
        EXPECT_EQ(ReadExtent(5, wrong), SL_ERR_DATA_DAMAGED) << "size " << delta;
        wrong = good;
        wrong.disk_size += static_cast<uint32_t>(delta);
        EXPECT_EQ(ReadExtent(5, wrong), SL_ERR_DATA_DAMAGED) << "disk_size " << delta;
        wrong = good;
        wrong.position += static_cast<uint64_t>(static_cast<int64_t>(delta));
        EXPECT_EQ(ReadExtent(5, wrong), SL_ERR_DATA_DAMAGED) << "position " << delta;
    }
    for (uint64_t position : { segment_->data_size, segment_->data_size - 1, segment_->size,
                               UINT64_MAX, UINT64_MAX - good.disk_size + 1 }) {
        sl_extent_on_disk wrong = good;
        wrong.position = position;
        EXPECT_EQ(ReadExtent(5, wrong), SL_ERR_DATA_DAMAGED);
    }
}

TEST_F(Segment, GivesNothingOfAnExtentWithADamagedChunk)
{
    Batch batch;
    batch.Add(5, 1, "s", 0, Text(3000, 1));
    ASSERT_EQ(Write({ &batch }), SL_OK);
    sl_extent_on_disk all = batch.extents()[0];
    all.size = 3000;
    all.disk_size = static_cast<uint32_t>(batch.get()->chunks.size);
    disk_.Flip(kPath, batch.extents()[2].position + 500, 3);
    int calls = 0;
    sl_buffer buffer = {};
    auto each = [](void *context, const sl_chunk *) { ++*static_cast<int *>(context); };
    EXPECT_EQ(sl_segment_read(segment_, 5, &all, &buffer, each, &calls), SL_ERR_DATA_DAMAGED);
    EXPECT_EQ(calls, 0);
    sl_buffer_deinit(&buffer);
}

TEST_F(Segment, NoticesEveryFlippedBit)
{
    Batch one, two;
    one.Add(7, 70, "seven", 100, Text(40, 1), true, 25).AddTombstone(3, 55);
    two.Add(9, 80, "n", 0, Text(30, 3));
    ASSERT_EQ(Write({ &one, &two }), SL_OK);
    size_t size = disk_.Bytes(kPath).size();
    std::vector<bool> is_chunk(size);
    for (const auto &[id, stream] : Read().streams)
        for (const sl_extent_on_disk &extent : stream.extents)
            for (uint64_t i = 0; i < extent.disk_size; i++)
                is_chunk[extent.position + i] = true;
    for (size_t byte = 0; byte < size; byte++)
        for (unsigned bit = 0; bit < 8; bit++) {
            disk_.Flip(kPath, byte, bit);
            sl_err err = Open();
            if (err == SL_OK) {
                err = Read().err;
                EXPECT_EQ(sl_segment_is_damaged(segment_), is_chunk[byte]) << byte;
            }
            EXPECT_EQ(err, is_chunk[byte] ? SL_ERR_DATA_DAMAGED : SL_ERR_DATA_CORRUPT) << byte;
            disk_.Flip(kPath, byte, bit);
        }
    ASSERT_EQ(Open(), SL_OK);
    EXPECT_EQ(Read().err, SL_OK);
}

TEST_F(Segment, NoticesEveryOtherSize)
{
    Batch one;
    one.Add(7, 70, "seven", 100, Text(40, 1)).AddTombstone(3, 55);
    ASSERT_EQ(Write({ &one }), SL_OK);
    std::string bytes = disk_.Bytes(kPath);
    sl_segment_unref(&segment_);
    for (size_t size = 0; size < bytes.size(); size++) {
        disk_.SetBytes(kPath, bytes.substr(0, size));
        EXPECT_EQ(Open(), SL_ERR_DATA_CORRUPT) << size;
        EXPECT_NE(what_, nullptr);
    }
    for (size_t more = 1; more < 70; more++) {
        disk_.SetBytes(kPath, bytes + std::string(more, '\0'));
        EXPECT_EQ(Open(), SL_ERR_DATA_CORRUPT) << more;
        disk_.SetBytes(kPath, std::string(more, '\0') + bytes);
        EXPECT_EQ(Open(), SL_ERR_DATA_CORRUPT) << more;
    }
}

TEST_F(Segment, IsNotTakenForAnother)
{
    Batch one;
    one.Add(7, 70, "seven");
    ASSERT_EQ(Write({ &one }), SL_OK);
    EXPECT_EQ(Open(1, kLogId + 1), SL_ERR_DATA_CORRUPT);
    EXPECT_EQ(Open(2), SL_ERR_DATA_CORRUPT);
    EXPECT_STREQ(what_, "the file is missing");
    disk_.SetBytes("/s/seg-0000000000000002", disk_.Bytes(kPath));
    EXPECT_EQ(Open(2), SL_ERR_DATA_CORRUPT);
    disk_.FailNth(DiskCall::kRead, 1, EIO);
    EXPECT_EQ(Open(1), SL_ERR_STORAGE_FAILED);
    EXPECT_EQ(Open(1), SL_OK);
}

TEST_F(Segment, NoticesAGoodBlockOfAnotherSegment)
{
    Batch one, two;
    one.Add(7, 70, "seven", 0, "abc");
    two.Add(8, 80, "eight", 0, "abc");
    ASSERT_EQ(Write({ &one }, 1), SL_OK);
    ASSERT_EQ(Write({ &two }, 2), SL_OK);
    std::string bytes = disk_.Bytes(kPath);
    size_t at = one.get()->chunks.size;
    size_t size = segment_->entry_bytes;
    bytes.replace(at, size, disk_.Bytes("/s/seg-0000000000000002"), at, size);
    disk_.SetBytes(kPath, bytes);
    ASSERT_EQ(Open(), SL_OK);
    EXPECT_EQ(Read().err, SL_ERR_DATA_CORRUPT);
}

TEST_F(Segment, IsNotFoundWellWhenItsFooterCountsOtherEntries)
{
    Batch one;
    one.Add(7, 70, "seven", 0, "abc").Add(8, 71, "eight").AddTombstone(3, 55);
    ASSERT_EQ(Write({ &one }), SL_OK);
    std::string bytes = disk_.Bytes(kPath);
    size_t at = bytes.size() - SLI_FOOTER_BYTES;
    sli_footer right;
    ASSERT_EQ(sli_footer_decode(sl_bytes(bytes.data() + at, SLI_FOOTER_BYTES), &right), nullptr);
    for (int entries = -1; entries <= 1; entries++)
        for (int tombstones = -1; tombstones <= 1; tombstones++) {
            sli_footer footer = right;
            footer.entries += static_cast<uint32_t>(entries);
            footer.tombstones += static_cast<uint32_t>(tombstones);
            uint8_t encoded[SLI_FOOTER_BYTES];
            sli_footer_encode(&footer, encoded);
            disk_.SetBytes(kPath, bytes.substr(0, at).append(encoded, encoded + sizeof(encoded)));
            ASSERT_EQ(Open(), SL_OK) << what_;
            bool is_right = entries == 0 && tombstones == 0;
            EXPECT_EQ(Inspect(), is_right ? 0 : 1) << entries << " " << tombstones;
            EXPECT_EQ(Read().err, is_right ? SL_OK : SL_ERR_DATA_CORRUPT); /* as a start does */
        }
}

TEST_F(Segment, TellsAFailingDiskFromDamage)
{
    Batch one;
    one.Add(7, 70, "seven", 0, "abc");
    ASSERT_EQ(Write({ &one }), SL_OK);
    disk_.FailNth(DiskCall::kRead, 1, EIO);
    EXPECT_EQ(ReadExtent(7, one.extents()[0]), SL_ERR_STORAGE_FAILED);
    EXPECT_FALSE(sl_segment_is_damaged(segment_));
    EXPECT_EQ(ReadExtent(7, one.extents()[0]), SL_OK);
}

TEST_F(Segment, LeavesNothingBehindWhenACallFails)
{
    for (int error : { EIO, ENOSPC, kShortWrite }) {
        uint64_t n = 1;
        for (;; n++) {
            Batch one, two;
            one.Add(7, 70, "seven", 0, Text(3000, 1));
            two.Add(8, 70, "eight", 0, Text(3000, 1));
            disk_.FailNth(DiskCall::kAny, n, error);
            sl_err err = Write({ &one, &two }, 5);
            if (err == SL_OK)
                break;
            EXPECT_EQ(err == SL_ERR_DISK_FULL, error == ENOSPC && n < 8) << n;
            EXPECT_EQ(disk_.Files(), Strings{}) << n;
        }
        EXPECT_GT(n, 8u);
        disk_.FailNth(DiskCall::kAny, 0, 0);
        sl_segment_unref(&segment_);
        disk_.Remove("/s/seg-0000000000000005");
    }
}

/* ---- blocks whose checksums are right and whose content is not ---- */

class Block
{
  public:
    Block(uint32_t entries, uint32_t tombstones)
    {
        U32(0).U32(0).U32(entries).U32(tombstones);
    }
    Block &U32(uint32_t value)
    {
        bytes_.append(reinterpret_cast<const char *>(&value), 4);
        return *this;
    }
    Block &U64(uint64_t value)
    {
        bytes_.append(reinterpret_cast<const char *>(&value), 8);
        return *this;
    }
    Block &Append(const std::string &text)
    {
        bytes_ += text;
        return *this;
    }
    const char *Visit(uint64_t data_size = 1000)
    {
        uint32_t size = static_cast<uint32_t>(bytes_.size());
        memcpy(&bytes_[4], &size, 4);
        uint32_t crc = sl_crc32c(0, bytes_.data() + 4, size - 4);
        memcpy(&bytes_[0], &crc, 4);
        sl_segment_visitor visitor = {};
        sl_buffer scratch = {};
        const char *what = sli_entry_block_visit(sl_bytes(bytes_.data(), size), 0, data_size,
                                                 nullptr, &visitor, &scratch);
        sl_buffer_deinit(&scratch);
        return what;
    }

  private:
    std::string bytes_;
};

TEST(EntryBlock, IsCheckedBesidesItsChecksum)
{
    EXPECT_EQ(Block(0, 0).Visit(), nullptr);
    EXPECT_EQ(Block(0, 1).U64(1).U64(2).Visit(), nullptr);
    EXPECT_NE(Block(0, 1).U64(1).Visit(), nullptr);
    EXPECT_NE(Block(0, 0).U64(1).U64(2).Visit(), nullptr);
    EXPECT_NE(Block(0, UINT32_MAX).U64(1).U64(2).Visit(), nullptr);
    EXPECT_EQ(Block(1, 0).U64(1).U64(2).U32(3).U32(0).Append("abc").Visit(), nullptr);
    EXPECT_NE(Block(1, 0).U64(1).U64(2).U32(3).U32(0).Append("ab").Visit(), nullptr);
    EXPECT_NE(Block(1, 0).U64(1).U64(2).U32(3).U32(0).Append("abcd").Visit(), nullptr);
    EXPECT_NE(Block(2, 0).U64(1).U64(2).U32(3).U32(0).Append("abc").Visit(), nullptr);
    EXPECT_NE(Block(1, 0).U64(1).U64(2).U32(UINT32_MAX).U32(UINT32_MAX).Visit(), nullptr);
    auto with_extent = [](uint64_t start, uint32_t size, uint32_t disk_size, uint64_t position) {
        return Block(1, 0).U64(1).U64(2).U32(0).U32(1).U64(start).U32(size).U32(disk_size).U64(
            position);
    };
    EXPECT_EQ(with_extent(5, 10, 100, 900).Visit(), nullptr);
    EXPECT_EQ(with_extent(5, 1, 100, 900).Visit(), nullptr);
    EXPECT_NE(with_extent(5, 0, 100, 900).Visit(), nullptr);
    EXPECT_NE(with_extent(5, 10, 100, 901).Visit(), nullptr);
    EXPECT_NE(with_extent(5, 10, 100, 1001).Visit(), nullptr);
    EXPECT_NE(with_extent(5, 10, 100, UINT64_MAX).Visit(), nullptr);
    EXPECT_EQ(with_extent(5, 10, 100, UINT64_C(1) << 63).Visit(), nullptr);
    EXPECT_EQ(with_extent(UINT64_MAX - 10, 10, 100, 0).Visit(), nullptr);
    EXPECT_NE(with_extent(UINT64_MAX - 9, 10, 100, 0).Visit(), nullptr);
}

} // namespace
} // namespace sluice_test
