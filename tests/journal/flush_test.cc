#include "journal/flush.h"

#include "journal/segment_fixture.h"

#include <atomic>
#include <cerrno>
#include <thread>

/* The two things that a flush asks of the log. */
struct sl_wal {
    std::atomic<uint64_t> durable_lsn{ 0 };
    std::atomic<bool> failed{ false };
    std::atomic<int> asked{ 0 };
};

uint64_t sl_wal_durable_lsn(const struct sl_wal *wal)
{
    const_cast<struct sl_wal *>(wal)->asked++;
    return wal->durable_lsn;
}

bool sl_wal_failed(const struct sl_wal *wal)
{
    return wal->failed;
}

namespace sluice_test
{
namespace
{

using Strings = std::vector<std::string>;

const char kFirst[] = "seg-0000000000000001";
const char kSecond[] = "seg-0000000000000002";

class Flush : public ::testing::Test
{
  protected:
    Flush() : disk_(std::make_unique<SimDisk>(1))
    {
        Shard::MakeStore(disk_.get());
        shard_ = std::make_unique<Shard>(disk_.get());
    }
    void Renew(uint64_t seed)
    {
        shard_.reset();
        disk_ = std::make_unique<SimDisk>(seed);
        Shard::MakeStore(disk_.get());
        shard_ = std::make_unique<Shard>(disk_.get());
    }
    static sl_segment_batch *Some(uint64_t id, uint64_t lsn)
    {
        Batch batch;
        batch.Add(id, lsn, "state" + std::to_string(id), 0, Text(2500, static_cast<unsigned>(id)));
        return batch.Release();
    }
    static std::string Told(uint64_t id, uint64_t lsn)
    {
        return std::to_string(id) + ":" + std::to_string(lsn) + ":state" + std::to_string(id) +
               ":" + Text(2500, static_cast<unsigned>(id));
    }

    std::unique_ptr<SimDisk> disk_;
    std::unique_ptr<Shard> shard_;
};

TEST_F(Flush, MakesASegmentThatTheManifestNames)
{
    ASSERT_EQ(shard_->Open(), SL_OK);
    ASSERT_EQ(shard_->Flush({ Some(1, 5), Some(2, 6) }, 7, 2), SL_OK);
    ASSERT_EQ(shard_->Flush({ Some(3, 8) }, 9, 3), SL_OK);
    Strings all = { Told(1, 5), Told(2, 6), Told(3, 8) };
    EXPECT_EQ(shard_->Read().Live(), all);
    EXPECT_EQ(shard_->Files(), (Strings{ "MANIFEST", kFirst, kSecond }));
    ASSERT_EQ(shard_->Open(), SL_OK);
    const sl_manifest *manifest = sl_catalog_manifest(shard_->catalog());
    EXPECT_EQ(manifest->mark.lsn, 9u);
    EXPECT_EQ(manifest->last_id, 3u);
    EXPECT_EQ(manifest->durable_lsn, 8u);
    EXPECT_EQ(shard_->Read().Live(), all);
}

TEST_F(Flush, OfNothingInstallsTheMark)
{
    ASSERT_EQ(shard_->Open(), SL_OK);
    ASSERT_EQ(shard_->Flush({}, 7, 2), SL_OK);
    ASSERT_EQ(shard_->Flush({ sl_segment_batch_create() }, 9, 2), SL_OK);
    EXPECT_EQ(shard_->Files(), Strings{ "MANIFEST" });
    ASSERT_EQ(shard_->Open(), SL_OK);
    EXPECT_EQ(sl_catalog_manifest(shard_->catalog())->mark.lsn, 9u);
}

TEST_F(Flush, GivesTheBatchesBackInOrderWithTheirPlaces)
{
    ASSERT_EQ(shard_->Open(), SL_OK);
    sl_flush_setup setup = shard_->Setup();
    sl_flush *flush = sl_flush_begin(&setup);
    for (uint64_t id = 1; id <= 5; id++) {
        sl_segment_batch *batch = Some(id, id);
        sl_flush_add(flush, &batch);
        EXPECT_EQ(batch, nullptr);
    }
    sl_wal_mark mark = {};
    mark.lsn = 6;
    sl_flush_end(flush, &mark, 5, 5);
    shard_->WaitUntil([&] { return sl_flush_state(flush) != SL_FLUSH_WRITING; });
    ASSERT_EQ(sl_flush_state(flush), SL_FLUSH_DONE);
    sl_segment *segment = sl_flush_take_segment(flush);
    EXPECT_EQ(sl_flush_take_segment(flush), nullptr);
    for (uint64_t id = 1; id <= 4; id++) {
        sl_segment_batch *batch = sl_flush_take_batch(flush);
        ASSERT_NE(batch, nullptr);
        const sl_extent_on_disk *extents =
            reinterpret_cast<const sl_extent_on_disk *>(batch->extents.data);
        sl_buffer buffer = {};
        for (size_t i = 0; i < 3; i++)
            EXPECT_EQ(
                sl_segment_read(
                    segment, id, &extents[i], &buffer, [](void *, const sl_chunk *) {}, nullptr),
                SL_OK);
        sl_buffer_deinit(&buffer);
        sl_segment_batch_destroy(&batch);
    }
    /* The fifth goes with the flush. */
    sl_flush_destroy(&flush);
    sl_segment_unref(&segment);
}

/* Fresh pages cost more than the bytes that are put there. */
TEST_F(Flush, HandsTheRoomOfItsBatchesOn)
{
    ASSERT_EQ(shard_->Open(), SL_OK);
    sl_flush_setup setup = shard_->Setup();
    sl_flush *flush = sl_flush_begin(&setup);
    sl_segment_batch *first = sl_flush_new_batch(flush);
    ASSERT_GE(first->chunks.capacity, SL_BUFFER_MAPPED_BYTES);
    const uint8_t *room = first->chunks.data;
    sl_segment_batch *other = sl_flush_new_batch(flush);
    EXPECT_NE(other->chunks.data, room);
    sl_buffer_append_text(&first->states, "of nobody");
    sl_flush_add(flush, &first);
    unsigned wakes = 0; /* the first one says that it is written */
    shard_->WaitUntil([&] { return wakes++ > 0; });
    sl_segment_batch *next = sl_flush_new_batch(flush);
    EXPECT_EQ(next->chunks.data, room);
    EXPECT_EQ(next->chunks.size, 0u);
    sl_flush_add(flush, &next);
    sl_flush_cancel(flush);
    shard_->WaitUntil([&] { return sl_flush_state(flush) != SL_FLUSH_WRITING; });
    sl_segment_batch_destroy(&other);
    sl_flush_destroy(&flush);
}

TEST_F(Flush, WaitsUntilTheLogIsDurable)
{
    sl_wal wal;
    ASSERT_EQ(shard_->Open(), SL_OK);
    sl_flush_setup setup = shard_->Setup(&wal);
    sl_flush *flush = sl_flush_begin(&setup);
    sl_segment_batch *batch = Some(1, 9);
    sl_flush_add(flush, &batch);
    sl_wal_mark mark = {};
    mark.lsn = 5;
    wal.durable_lsn = 8;
    sl_flush_end(flush, &mark, 9, 1);
    while (wal.asked < 3)
        std::this_thread::yield();
    EXPECT_EQ(sl_flush_state(flush), SL_FLUSH_WRITING);
    wal.durable_lsn = 11;
    shard_->WaitUntil([&] { return sl_flush_state(flush) != SL_FLUSH_WRITING; });
    EXPECT_EQ(sl_flush_state(flush), SL_FLUSH_DONE);
    sl_flush_destroy(&flush);
    ASSERT_EQ(shard_->Open(), SL_OK);
    EXPECT_EQ(sl_catalog_manifest(shard_->catalog())->durable_lsn, 11u);
}

TEST_F(Flush, FailsWithTheLog)
{
    for (uint64_t durable_lsn : { 8, 100 }) {
        sl_wal wal;
        wal.durable_lsn = durable_lsn;
        wal.failed = true;
        ASSERT_EQ(shard_->Open(), SL_OK);
        EXPECT_EQ(shard_->Flush({ Some(1, 9) }, 10, 1, &wal), SL_ERR_STORAGE_FAILED);
        EXPECT_EQ(shard_->Files(), Strings{ "MANIFEST" });
        ASSERT_EQ(shard_->Open(), SL_OK);
        EXPECT_EQ(sl_catalog_manifest(shard_->catalog())->mark.lsn, 1u);
    }
}

TEST_F(Flush, EndsWhenItIsCancelled)
{
    ASSERT_EQ(shard_->Open(), SL_OK);
    sl_flush_setup setup = shard_->Setup();
    sl_flush *flush = sl_flush_begin(&setup);
    sl_segment_batch *batch = Some(1, 9);
    sl_flush_add(flush, &batch);
    sl_flush_cancel(flush);
    shard_->WaitUntil([&] { return sl_flush_state(flush) != SL_FLUSH_WRITING; });
    EXPECT_EQ(sl_flush_error(flush), SL_ERR_CANCELLED);
    sl_flush_destroy(&flush);
    EXPECT_EQ(shard_->Files(), Strings{ "MANIFEST" });

    sl_wal wal;
    setup.wal = &wal;
    flush = sl_flush_begin(&setup);
    batch = Some(1, 9);
    sl_flush_add(flush, &batch);
    sl_wal_mark mark = {};
    mark.lsn = 10;
    sl_flush_end(flush, &mark, 9, 1);
    while (wal.asked == 0)
        std::this_thread::yield();
    sl_flush_cancel(flush);
    shard_->WaitUntil([&] { return sl_flush_state(flush) != SL_FLUSH_WRITING; });
    EXPECT_EQ(sl_flush_error(flush), SL_ERR_CANCELLED);
    sl_flush_destroy(&flush);
    EXPECT_EQ(shard_->Files(), Strings{ "MANIFEST" });
}

TEST_F(Flush, WantsNoMoreThanItsQueueHolds)
{
    ASSERT_EQ(shard_->Open(), SL_OK);
    disk_->FailNth(DiskCall::kAny, 1, EIO, true); /* what is queued then stays */
    sl_flush_setup setup = shard_->Setup();
    sl_flush *flush = sl_flush_begin(&setup);
    sl_segment_batch *batch = Some(1, 1);
    sl_flush_add(flush, &batch);
    shard_->WaitUntil([&] { return sl_flush_state(flush) == SL_FLUSH_FAILED; });
    EXPECT_TRUE(sl_flush_wants_more(flush));
    Batch almost;
    while (almost.get()->states.size < SL_FLUSH_QUEUED_BYTES_MAX - 1)
        sl_buffer_append(&almost.get()->states, "x", 1);
    batch = almost.Release();
    sl_flush_add(flush, &batch);
    EXPECT_TRUE(sl_flush_wants_more(flush));
    Batch one_byte;
    sl_buffer_append(&one_byte.get()->states, "x", 1);
    batch = one_byte.Release();
    sl_flush_add(flush, &batch);
    EXPECT_FALSE(sl_flush_wants_more(flush));
    EXPECT_EQ(sl_flush_error(flush), SL_ERR_STORAGE_FAILED);
    sl_flush_destroy(&flush);
}

TEST_F(Flush, IsAllOrNothingAfterAPowerCut)
{
    bool seen_old = false, seen_new = false;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        sl_err err = SL_ERR_STORAGE_FAILED;
        for (uint64_t n = 1; err != SL_OK; n++) {
            Renew(seed * 1000 + n);
            ASSERT_EQ(shard_->Open(), SL_OK);
            ASSERT_EQ(shard_->Flush({ Some(1, 5) }, 6, 1), SL_OK);
            disk_->FailNth(DiskCall::kAny, n, EIO, true);
            err = shard_->Flush({ Some(2, 7), Some(3, 8) }, 9, 3);
            disk_->PowerCut();
            disk_->FailNth(DiskCall::kAny, 0, 0);
            ASSERT_EQ(shard_->Open(), SL_OK) << n;
            bool is_new = sl_catalog_manifest(shard_->catalog())->mark.lsn == 9;
            EXPECT_TRUE(is_new || err != SL_OK);
            (is_new ? seen_new : seen_old) = true;
            Content content = shard_->Read();
            EXPECT_EQ(content.err, SL_OK);
            EXPECT_EQ(content.Live(), is_new ? (Strings{ Told(1, 5), Told(2, 7), Told(3, 8) })
                                             : Strings{ Told(1, 5) });
            /* Whatever is left of it does not stand in the way. */
            ASSERT_EQ(shard_->Flush({ Some(4, 9) }, 10, 4), SL_OK);
            ASSERT_EQ(shard_->Open(), SL_OK);
            EXPECT_EQ(shard_->Read().err, SL_OK);
            EXPECT_EQ(shard_->Files().size(), is_new ? 4u : 3u);
        }
    }
    EXPECT_TRUE(seen_old && seen_new);
}

TEST_F(Flush, LeavesTheOldStateWhenACallFails)
{
    for (int error : { EIO, ENOSPC, kShortWrite }) {
        sl_err err = SL_ERR_STORAGE_FAILED;
        for (uint64_t n = 1; err != SL_OK; n++) {
            Renew(n);
            ASSERT_EQ(shard_->Open(), SL_OK);
            ASSERT_EQ(shard_->Flush({ Some(1, 5) }, 6, 1), SL_OK);
            disk_->FailNth(DiskCall::kAny, n, error);
            err = shard_->Flush({ Some(2, 7) }, 9, 2);
            if (err == SL_OK)
                break;
            EXPECT_EQ(shard_->Read().Live(), Strings{ Told(1, 5) });
            ASSERT_EQ(shard_->Flush({ Some(2, 7) }, 9, 2), SL_OK);
            EXPECT_EQ(shard_->Files().size(), 3u) << n;
            disk_->PowerCut();
            ASSERT_EQ(shard_->Open(), SL_OK);
            Content content = shard_->Read();
            EXPECT_EQ(content.err, SL_OK);
            EXPECT_EQ(content.Live(), (Strings{ Told(1, 5), Told(2, 7) }));
        }
    }
}

TEST_F(Flush, SurvivesAFailedInstallAndThenAPowerCut)
{
    /*
     * The manifest of the failed flush may be the one on the disk: its segment must be there, too.
     */
    bool seen_new = false;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        Renew(seed);
        ASSERT_EQ(shard_->Open(), SL_OK);
        ASSERT_EQ(shard_->Flush({ Some(1, 5) }, 6, 1), SL_OK);
        disk_->FailNth(DiskCall::kSyncDirectory, 2, EIO, true);
        EXPECT_EQ(shard_->Flush({ Some(2, 7) }, 9, 2), SL_ERR_STORAGE_FAILED);
        disk_->FailNth(DiskCall::kSyncDirectory, 0, 0);
        disk_->FailNth(DiskCall::kWrite, 1, ENOSPC);
        EXPECT_EQ(shard_->Flush({ Some(2, 7) }, 9, 2), SL_ERR_DISK_FULL);
        disk_->PowerCut();
        ASSERT_EQ(shard_->Open(), SL_OK);
        Content content = shard_->Read();
        EXPECT_EQ(content.err, SL_OK);
        seen_new |= content.Live().size() == 2;
    }
    EXPECT_TRUE(seen_new);
}

} // namespace
} // namespace sluice_test
