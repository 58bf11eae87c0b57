#include "journal/scrub.h"

#include "base/log.h"
#include "journal/segment_fixture.h"

#include <cerrno>
#include <functional>

namespace sluice_test
{
namespace
{

constexpr uint64_t kSecond_ns = 1000000000;

class Scrub : public ::testing::Test
{
  protected:
    Scrub() : disk_(3)
    {
        sl_log_set_level(static_cast<enum sl_log_level>(SL_LOG_ERROR + 1));
        Shard::MakeStore(&disk_);
        shard_ = std::make_unique<Shard>(&disk_);
        EXPECT_EQ(shard_->Open(), SL_OK);
    }
    ~Scrub() override
    {
        sl_log_set_level(SL_LOG_INFO);
    }
    /* A segment with streams of several chunks; two batches, so two entry blocks. */
    sl_segment *Make(size_t size = 3000)
    {
        Batch one, two;
        one.Add(1, 10, "state one", 0, Text(size, 1)).Add(2, 11, "state two", 0, Text(size, 2));
        two.Add(3, 12, "state three", 0, Text(size, 3)).AddTombstone(4, 13);
        EXPECT_EQ(shard_->Flush({ one.Release(), two.Release() }, 20), SL_OK);
        return shard_->Segments().back();
    }
    /* True: it was read to its end. */
    bool Run(sl_segment *segment)
    {
        scrub_ = {};
        scrub_.vfs = disk_.vfs();
        scrub_.directory = kShard;
        scrub_.log_id = kLogId;
        scrub_.pace = [](void *context, size_t bytes) {
            Scrub *test = static_cast<Scrub *>(context);
            test->pieces_.push_back(bytes);
            return test->on_piece_ == nullptr || test->on_piece_();
        };
        scrub_.context = this;
        pieces_.clear();
        return sl_scrub_segment(&scrub_, segment);
    }
    uint64_t Total() const
    {
        uint64_t total = 0;
        for (size_t piece : pieces_)
            total += piece;
        return total;
    }

    SimDisk disk_;
    std::unique_ptr<Shard> shard_;
    sl_scrub scrub_ = {};
    std::vector<size_t> pieces_; /* bytes of every read */
    std::function<bool()> on_piece_;
};

TEST_F(Scrub, FindsNothingInAGoodSegment)
{
    sl_segment *segment = Make();
    EXPECT_TRUE(Run(segment));
    EXPECT_EQ(scrub_.damaged, 0u);
    EXPECT_FALSE(sl_segment_is_damaged(segment));
}

TEST_F(Scrub, ReadsEverythingInBoundedPieces)
{
    sl_segment *segment = Make(SL_SCRUB_PIECE_BYTES);
    EXPECT_TRUE(Run(segment));
    EXPECT_EQ(scrub_.damaged, 0u);
    EXPECT_GE(Total(), segment->size);
    EXPECT_LE(Total(), 3 * segment->size) << "an entry block comes before its chunks";
    for (size_t piece : pieces_)
        EXPECT_LE(piece, static_cast<size_t>(SL_SCRUB_PIECE_BYTES));
}

TEST_F(Scrub, FindsEveryFlippedBit)
{
    sl_segment *segment = Make();
    std::string path = segment->path;
    uint64_t size = segment->size;
    for (uint64_t byte = 0; byte < size; byte++) {
        unsigned bit = static_cast<unsigned>(byte % 8);
        disk_.Flip(path, byte, bit);
        EXPECT_TRUE(Run(segment));
        ASSERT_GT(scrub_.damaged, 0u) << byte;
        disk_.Flip(path, byte, bit);
    }
    EXPECT_TRUE(sl_segment_is_damaged(segment));
    EXPECT_TRUE(Run(segment));
    EXPECT_EQ(scrub_.damaged, 0u);
}

TEST_F(Scrub, CountsEveryDamagedChunkAndLogsTheFirst)
{
    sl_segment *segment = Make();
    std::string bytes = disk_.Bytes(segment->path);
    for (size_t at :
         { bytes.find("@1000"), bytes.rfind("@1000") }) /* of the first and last stream */
        disk_.Flip(segment->path, at, 2);
    sl_log_set_level(SL_LOG_INFO);
    testing::internal::CaptureStderr();
    EXPECT_TRUE(Run(segment));
    std::string said = testing::internal::GetCapturedStderr();
    EXPECT_EQ(scrub_.damaged, 2u);
    EXPECT_NE(said.find("error journal damaged file=" + std::string(segment->path) + " position="),
              std::string::npos)
        << said;
    EXPECT_EQ(said.find("damaged", said.find("damaged") + 1), std::string::npos) << said;
}

TEST_F(Scrub, WhatTheDiskDoesNotGiveNowIsNotDamaged)
{
    sl_segment *segment = Make(SL_SCRUB_PIECE_BYTES);
    uint64_t reads = disk_.Count(DiskCall::kRead);
    EXPECT_TRUE(Run(segment));
    reads = disk_.Count(DiskCall::kRead) - reads;
    for (uint64_t nth = 1; nth <= reads; nth++) {
        disk_.FailNth(DiskCall::kRead, nth, EIO);
        uint64_t failures = disk_.failures();
        EXPECT_TRUE(Run(segment));
        EXPECT_EQ(disk_.failures(), failures + 1) << nth;
        EXPECT_EQ(scrub_.damaged, 0u) << nth;
        EXPECT_FALSE(sl_segment_is_damaged(segment)) << nth;
    }
    disk_.Flip(segment->path, disk_.Bytes(segment->path).rfind("@1000"), 2);
    disk_.FailNth(DiskCall::kRead, 1, EIO);
    EXPECT_TRUE(Run(segment));
    EXPECT_TRUE(Run(segment));
    EXPECT_EQ(scrub_.damaged, 1u) << "the next pass finds it";
}

TEST_F(Scrub, SaysThatTheFileIsMissingOrAnother)
{
    sl_segment *first = Make();
    std::string good = disk_.Bytes(first->path);
    disk_.SetBytes(first->path, "");
    EXPECT_TRUE(Run(first));
    EXPECT_EQ(scrub_.damaged, 1u);
    disk_.Remove(first->path);
    EXPECT_TRUE(Run(first));
    EXPECT_EQ(scrub_.damaged, 1u);
    sl_segment *second = Make(3001);
    disk_.SetBytes(second->path, good);
    EXPECT_TRUE(Run(second));
    EXPECT_EQ(scrub_.damaged, 1u);
}

TEST_F(Scrub, SeesTheDiskAndNotTheCache)
{
    sl_segment *segment = Make();
    struct sl_file *file;
    ASSERT_EQ(disk_.vfs()->open(disk_.vfs(), segment->path, SL_VFS_WRITE, &file), 0);
    std::string good = disk_.Bytes(segment->path);
    disk_.SetBytes(segment->path, std::string(good.size(), 'x'));
    ASSERT_EQ(file->vfs->write(file, good.data(), good.size(), 0), 0);
    disk_.FailNth(DiskCall::kSync, 1, EIO);
    ASSERT_EQ(file->vfs->sync(file), EIO) << "some of it is in the cache only from now on";
    file->vfs->close(file);
    Content content;
    ReadSegment(segment, &content);
    EXPECT_EQ(content.err, SL_OK);
    EXPECT_TRUE(Run(segment));
    EXPECT_GT(scrub_.damaged, 0u);
}

TEST_F(Scrub, WorksWhereDirectReadsAreRefused)
{
    sl_segment *segment = Make();
    disk_.SetDirectIo(DirectIo::kRefusedAtOpen);
    EXPECT_TRUE(Run(segment));
    EXPECT_EQ(scrub_.damaged, 0u);
    disk_.SetDirectIo(DirectIo::kWorks);
    disk_.FailNth(DiskCall::kRead, 1, EINVAL);
    EXPECT_TRUE(Run(segment));
    EXPECT_EQ(scrub_.damaged, 0u);
}

TEST_F(Scrub, EndsAtOnceWhenItIsGivenUp)
{
    sl_segment *segment = Make(SL_SCRUB_PIECE_BYTES);
    EXPECT_TRUE(Run(segment));
    size_t whole = pieces_.size();
    for (size_t n = 1; n <= whole; n++) {
        on_piece_ = [&] { return pieces_.size() < n; };
        EXPECT_FALSE(Run(segment));
        EXPECT_EQ(pieces_.size(), n);
        EXPECT_EQ(scrub_.damaged, 0u);
    }
}

TEST_F(Scrub, ASegmentThatIsRemovedMeanwhileIsReadToItsEnd)
{
    sl_segment *segment = Make(SL_SCRUB_PIECE_BYTES);
    std::string path = segment->path;
    sl_segment *held = sl_segment_ref(segment);
    on_piece_ = [&] {
        if (pieces_.size() == 2) {
            sl_link_remove(&segment->link);
            sl_catalog_drop(shard_->catalog(), &segment, shard_->worker());
        }
        return true;
    };
    EXPECT_TRUE(Run(held));
    EXPECT_EQ(scrub_.damaged, 0u);
    EXPECT_TRUE(disk_.Exists(path));
    sl_segment_unref(&held);
    shard_.reset(); /* its worker ends what it has to do */
    EXPECT_FALSE(disk_.Exists(path));
}

/* Waits as it is told, on a clock of its own; returns bytes taken until `end_ns`. */
uint64_t TakeUntil(sl_pace *pace, uint64_t *now_ns, uint64_t end_ns, size_t bytes)
{
    uint64_t taken = 0;
    for (;;) {
        *now_ns += sl_pace_take(pace, bytes, *now_ns);
        if (*now_ns >= end_ns)
            return taken;
        taken += bytes;
    }
}

TEST(Pace, GivesNoMoreThanTheRateAndOnePiece)
{
    for (size_t bytes : { size_t(1000), size_t(SL_SCRUB_PIECE_BYTES) }) {
        sl_pace pace = { 16 << 20, 0 };
        uint64_t now_ns = 5 * kSecond_ns;
        uint64_t taken = TakeUntil(&pace, &now_ns, 15 * kSecond_ns, bytes);
        EXPECT_LE(taken, 10u * (16 << 20) + bytes);
        EXPECT_GE(taken, 9u * (16 << 20));
    }
}

TEST(Pace, SavesNothingUpWhileNothingIsRead)
{
    sl_pace pace = { 1 << 20, 0 };
    uint64_t now_ns = 1;
    EXPECT_EQ(sl_pace_take(&pace, 1 << 20, now_ns), 0u);
    now_ns += 1000 * kSecond_ns;
    EXPECT_EQ(sl_pace_take(&pace, 1 << 20, now_ns), 0u);
    EXPECT_EQ(sl_pace_take(&pace, 1 << 20, now_ns), kSecond_ns);
    EXPECT_EQ(sl_pace_take(&pace, 1, now_ns), 2 * kSecond_ns);
}

} // namespace
} // namespace sluice_test
