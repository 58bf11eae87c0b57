#include "journal/compaction.h"

#include "journal/segment_fixture.h"

#include <cerrno>
#include <set>

namespace sluice_test
{
namespace
{

using Strings = std::vector<std::string>;
using Ids = std::set<uint64_t>;

class Compaction : public ::testing::Test
{
  protected:
    Compaction()
    {
        Renew(1);
    }
    void Renew(uint64_t seed)
    {
        shard_.reset();
        disk_ = std::make_unique<SimDisk>(seed);
        Shard::MakeStore(disk_.get());
        shard_ = std::make_unique<Shard>(disk_.get());
        ASSERT_EQ(shard_->Open(), SL_OK);
        next_lsn_ = 2;
    }
    void Flush(Batch &batch)
    {
        next_lsn_ += 100;
        ASSERT_EQ(shard_->Flush({ batch.Release() }, next_lsn_), SL_OK);
    }
    /* Runs to its end; streams in `dead` are no more. Batches go to extents_ and asked_. */
    sl_err Compact(const std::vector<sl_segment *> &inputs, const Ids &dead = {},
                   uint64_t others_first_lsn = UINT64_MAX, uint64_t mark_lsn = 1000000)
    {
        sl_flush_setup setup = shard_->Setup();
        sl_compaction *compaction =
            sl_compaction_begin(&setup, inputs.data(), static_cast<unsigned>(inputs.size()),
                                others_first_lsn, mark_lsn);
        asked_.clear();
        shard_->WaitUntil([&] {
            Answer(compaction, dead);
            return sl_compaction_state(compaction) != SL_FLUSH_WRITING;
        });
        sl_err err = SL_OK;
        if (sl_compaction_state(compaction) == SL_FLUSH_FAILED)
            err = sl_compaction_error(compaction);
        else
            Install(compaction, inputs);
        sl_compaction_destroy(&compaction);
        return err;
    }
    void Answer(sl_compaction *compaction, const Ids &dead)
    {
        unsigned count;
        uint64_t *ids = sl_compaction_question(compaction, &count);
        if (ids == nullptr)
            return;
        EXPECT_LE(count, static_cast<unsigned>(SL_COMPACTION_IDS_MAX));
        for (unsigned i = 0; i < count; i++) {
            asked_.push_back(ids[i]);
            if (dead.count(ids[i]) != 0)
                ids[i] = 0;
        }
        sl_compaction_answer(compaction);
    }
    /* What the shard does with the result. */
    void Install(sl_compaction *compaction, const std::vector<sl_segment *> &inputs)
    {
        output_ = sl_compaction_take_segment(compaction);
        given_.clear();
        while (sl_segment_batch *batch = sl_compaction_take_batch(compaction)) {
            const sl_batch_entry *entries =
                reinterpret_cast<const sl_batch_entry *>(batch->entries.data);
            const sl_extent_on_disk *extents =
                reinterpret_cast<const sl_extent_on_disk *>(batch->extents.data);
            for (size_t i = 0; i < batch->entries.size / sizeof(*entries); i++)
                for (uint32_t j = 0; j < entries[i].extent_count; j++)
                    given_[entries[i].id].push_back(extents[entries[i].extent_at + j]);
            sl_segment_batch_destroy(&batch);
        }
        shard_->Append(output_);
        for (sl_segment *input : inputs) {
            sl_link_remove(&input->link);
            sl_catalog_drop(shard_->catalog(), &input, shard_->worker());
        }
    }
    /* The extents that were given back are those in the segment. */
    void CheckGiven()
    {
        Content content;
        if (output_ != nullptr)
            ReadSegment(output_, &content);
        EXPECT_EQ(content.err, SL_OK);
        for (const auto &[id, stream] : content.streams) {
            ASSERT_EQ(given_[id].size(), stream.extents.size());
            for (size_t i = 0; i < stream.extents.size(); i++) {
                EXPECT_EQ(given_[id][i].start, stream.extents[i].start);
                EXPECT_EQ(given_[id][i].size, stream.extents[i].size);
                EXPECT_EQ(given_[id][i].disk_size, stream.extents[i].disk_size);
                EXPECT_EQ(given_[id][i].position, stream.extents[i].position);
                EXPECT_EQ(given_[id][i].ends_message, stream.extents[i].ends_message);
            }
        }
    }
    /* Two segments: stream 1 in both, 2 only in the first, 3 only in the second. */
    void MakeTwo()
    {
        Batch one, two;
        one.Add(1, 10, "old", 0, Text(2500, 1)).Add(2, 11, "two", 0, Text(100, 2));
        two.Add(3, 113, "three", 0, Text(10, 3)).Add(1, 114, "new", 2500, Text(700, 4));
        Flush(one);
        Flush(two);
    }

    std::unique_ptr<SimDisk> disk_;
    std::unique_ptr<Shard> shard_;
    uint64_t next_lsn_ = 2;
    sl_segment *output_ = nullptr;
    std::vector<uint64_t> asked_;
    std::map<uint64_t, std::vector<sl_extent_on_disk>> given_;
};

TEST_F(Compaction, JoinsTheStreamsOfItsInputs)
{
    MakeTwo();
    Strings before = shard_->Read().Live();
    ASSERT_EQ(Compact(shard_->Segments()), SL_OK);
    EXPECT_EQ(asked_, (std::vector<uint64_t>{ 1, 2, 3 }));
    EXPECT_EQ(shard_->Segments().size(), 1u);
    EXPECT_EQ(shard_->Read().Live(), before);
    EXPECT_EQ(before[0], "1:114:new:" + Text(2500, 1) + Text(700, 4));
    EXPECT_TRUE(output_->compacted);
    CheckGiven();
    EXPECT_EQ(given_[1].size(), 1u);
    EXPECT_TRUE(given_[1][0].ends_message); /* as the last one of those that were joined */
    ASSERT_EQ(shard_->Open(), SL_OK);
    EXPECT_EQ(shard_->Read().Live(), before);
    EXPECT_TRUE(shard_->Segments()[0]->compacted);
    EXPECT_FALSE(shard_->Segments()[0]->stubborn);
}

TEST_F(Compaction, TakesTheNewestStateInWhateverOrder)
{
    MakeTwo();
    Strings before = shard_->Read().Live();
    std::vector<sl_segment *> segments = shard_->Segments();
    ASSERT_EQ(Compact({ segments[1], segments[0] }), SL_OK);
    EXPECT_EQ(shard_->Read().Live(), before);
    CheckGiven();
}

TEST_F(Compaction, LeavesOutStreamsThatAreNoMore)
{
    MakeTwo();
    ASSERT_EQ(Compact(shard_->Segments(), { 1, 3 }), SL_OK);
    EXPECT_EQ(shard_->Read().Live(), Strings{ "2:11:two:" + Text(100, 2) });
    EXPECT_FALSE(output_->stubborn);
    ASSERT_EQ(Compact(shard_->Segments()), SL_OK);
    EXPECT_TRUE(output_->stubborn);
}

TEST_F(Compaction, OfNothingLivingOnlyRemovesTheInputs)
{
    MakeTwo();
    ASSERT_EQ(Compact(shard_->Segments(), { 1, 2, 3 }), SL_OK);
    EXPECT_EQ(output_, nullptr);
    ASSERT_EQ(shard_->Open(), SL_OK);
    EXPECT_EQ(shard_->Segments().size(), 0u);
}

TEST_F(Compaction, LeavesTheOtherSegmentsAlone)
{
    MakeTwo();
    Batch three;
    three.Add(4, 215, "four", 0, "4").Add(1, 216, "newest", 3200, "x");
    Flush(three);
    std::vector<sl_segment *> segments = shard_->Segments();
    ASSERT_EQ(Compact({ segments[0], segments[1] }), SL_OK);
    ASSERT_EQ(shard_->Open(), SL_OK);
    EXPECT_EQ(shard_->Read().Live(), (Strings{ "1:216:newest:" + Text(2500, 1) + Text(700, 4) + "x",
                                               "2:11:two:" + Text(100, 2),
                                               "3:113:three:" + Text(10, 3), "4:215:four:4" }));
}

TEST_F(Compaction, AsksForEveryStreamOnceInGroups)
{
    for (uint64_t count : { 255, 256, 257, 600 }) {
        Renew(1);
        Batch one, two;
        Ids dead;
        Strings left;
        for (uint64_t id = 1; id <= count; id++) {
            one.Add(id, 10 + id, "one");
            two.Add(count + 1 - id, 2000 + id, "two");
            if (id % 3 == 0)
                dead.insert(id);
        }
        Flush(one);
        next_lsn_ = 3000;
        Flush(two);
        ASSERT_EQ(Compact(shard_->Segments(), dead), SL_OK);
        ASSERT_EQ(asked_.size(), count);
        for (uint64_t id = 1; id <= count; id++)
            EXPECT_EQ(asked_[id - 1], id);
        Content content = shard_->Read();
        EXPECT_EQ(content.streams.size(), count - dead.size());
        for (const auto &[id, stream] : content.streams) {
            EXPECT_EQ(dead.count(id), 0u);
            EXPECT_EQ(stream.state, "two");
        }
    }
}

TEST_F(Compaction, JoinsSmallExtentsUpToALimit)
{
    /* Eight chunks of 8 KiB on the disk, the last one a little smaller or larger; and a ninth. */
    for (int more : { -1, 0, 1 }) {
        Renew(1);
        Batch batch;
        std::string all;
        for (int i = 0; i < 9; i++) {
            size_t boundaries = 1 + std::to_string(all.size()).size();
            size_t size = 8192 - SL_CHUNK_HEADER_BYTES - boundaries;
            std::string text = Text(size + static_cast<size_t>(i == 7 ? more : 0), 1);
            batch.Add(1, 10, i == 8 ? "s" : "", all.size(), text, i == 8, 10000);
            all += text;
        }
        Flush(batch);
        ASSERT_EQ(Compact(shard_->Segments()), SL_OK);
        CheckGiven();
        EXPECT_EQ(shard_->Read().streams[1].Bytes(), all);
        ASSERT_EQ(given_[1].size(), 2u);
        EXPECT_EQ(given_[1][0].disk_size, more == 1 ? 7 * 8192u : 8 * 8192u + more);
    }
}

TEST_F(Compaction, DoesNotJoinAcrossAGap)
{
    Batch batch;
    batch.Add(1, 10, "", 0, "abc", false).Add(1, 10, "s", 4, "def");
    Flush(batch);
    ASSERT_EQ(Compact(shard_->Segments()), SL_OK);
    EXPECT_EQ(given_[1].size(), 2u);
    CheckGiven();
}

TEST_F(Compaction, CutsALargeStreamIntoParts)
{
    std::vector<sl_segment_batch *> batches;
    std::string all;
    for (uint64_t i = 0; i < 9; i++) {
        Batch batch;
        std::string text = Text(1000000, static_cast<unsigned>(i));
        batch.Add(7, 20, i == 8 ? "large" : "", all.size(), text, i == 8, 60000);
        all += text;
        batches.push_back(batch.Release());
    }
    Batch small;
    small.Add(8, 21, "small", 0, "s");
    batches.push_back(small.Release());
    ASSERT_EQ(shard_->Flush(batches, 30), SL_OK);
    ASSERT_EQ(Compact(shard_->Segments()), SL_OK);
    EXPECT_EQ(output_->entries, 2u);
    CheckGiven();
    ASSERT_EQ(shard_->Open(), SL_OK);
    EXPECT_EQ(shard_->Read().Live(), (Strings{ "7:20:large:" + all, "8:21:small:s" }));
}

TEST_F(Compaction, DropsATombstoneOnlyWhenNothingCanComeBack)
{
    struct {
        uint64_t others_first_lsn, mark_lsn;
        bool kept;
    } cases[] = {
        { UINT64_MAX, 121, false },                     /* removed by LSN 120, below the mark */
        { UINT64_MAX, 120, true },                      /* the log would still make the stream */
        { UINT64_MAX, 122, false }, { 119, 121, true }, /* another segment may have it */
        { 120, 121, false },        { 121, 121, false }, { 121, 120, true },
    };
    for (const auto &one_case : cases) {
        Renew(1);
        Batch one, two;
        one.Add(1, 10, "one", 0, "abc").Add(2, 11, "two");
        two.AddTombstone(1, 120);
        Flush(one);
        Flush(two);
        ASSERT_EQ(Compact(shard_->Segments(), { 1 }, one_case.others_first_lsn, one_case.mark_lsn),
                  SL_OK);
        Content content = shard_->Read();
        EXPECT_EQ(content.tombstones.count(1) == 1, one_case.kept)
            << one_case.others_first_lsn << " " << one_case.mark_lsn;
        if (one_case.kept) {
            EXPECT_EQ(content.tombstones[1], 120u);
        }
        EXPECT_EQ(content.Live(), Strings{ "2:11:two:" });
        EXPECT_EQ(asked_, (std::vector<uint64_t>{ 1, 2 }));
    }
}

TEST_F(Compaction, KeepsATombstoneWhoseStreamIsNotAmongTheInputs)
{
    Batch one, two;
    one.Add(1, 10, "one", 0, "abc");
    two.AddTombstone(1, 120);
    Flush(one);
    Flush(two);
    ASSERT_EQ(Compact({ shard_->Segments()[1] }, {}, 10), SL_OK);
    EXPECT_EQ(asked_.size(), 0u);
    ASSERT_EQ(shard_->Open(), SL_OK);
    EXPECT_EQ(shard_->Read().Live(), Strings{});
}

TEST_F(Compaction, FailsOnADamagedChunkAndMarksItsSegment)
{
    MakeTwo();
    std::vector<sl_segment *> inputs = shard_->Segments();
    std::string path = std::string(kShard) + "/seg-0000000000000002";
    disk_->Flip(path, 40, 1);
    EXPECT_EQ(Compact(inputs), SL_ERR_DATA_DAMAGED);
    EXPECT_FALSE(sl_segment_is_damaged(inputs[0]));
    EXPECT_TRUE(sl_segment_is_damaged(inputs[1]));
    EXPECT_EQ(shard_->Files(),
              (Strings{ "MANIFEST", "seg-0000000000000001", "seg-0000000000000002" }));
    disk_->Flip(path, 40, 1);
    EXPECT_EQ(shard_->Read().err, SL_OK);
    /* In an entry. */
    disk_->Flip(path, 900, 1);
    EXPECT_EQ(Compact({ inputs[1] }), SL_ERR_DATA_DAMAGED);
}

TEST_F(Compaction, EndsWhenItIsCancelled)
{
    MakeTwo();
    sl_flush_setup setup = shard_->Setup();
    std::vector<sl_segment *> inputs = shard_->Segments();
    sl_compaction *compaction = sl_compaction_begin(&setup, inputs.data(), 2, UINT64_MAX, 1000);
    unsigned count;
    shard_->WaitUntil([&] { return sl_compaction_question(compaction, &count) != nullptr; });
    sl_compaction_cancel(compaction);
    shard_->WaitUntil([&] { return sl_compaction_state(compaction) == SL_FLUSH_FAILED; });
    EXPECT_EQ(sl_compaction_error(compaction), SL_ERR_CANCELLED);
    EXPECT_EQ(sl_compaction_question(compaction, &count), nullptr);
    sl_compaction_destroy(&compaction);
    EXPECT_EQ(shard_->Files().size(), 3u);
}

TEST_F(Compaction, IsAllOrNothingAfterAPowerCut)
{
    Strings seen;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        sl_err err = SL_ERR_STORAGE_FAILED;
        for (uint64_t n = 1; err != SL_OK; n++) {
            Renew(seed * 1000 + n);
            MakeTwo();
            Strings before = shard_->Read().Live();
            disk_->FailNth(DiskCall::kAny, n, EIO, true);
            err = Compact(shard_->Segments(), { 2 });
            disk_->PowerCut();
            disk_->FailNth(DiskCall::kAny, 0, 0);
            ASSERT_EQ(shard_->Open(), SL_OK) << n;
            Content content = shard_->Read();
            EXPECT_EQ(content.err, SL_OK);
            Strings now = content.Live();
            if (shard_->Segments().size() == 1) {
                EXPECT_EQ(now, (Strings{ before[0], before[2] }));
            } else {
                EXPECT_NE(err, SL_OK);
                EXPECT_EQ(now, before);
            }
            ASSERT_EQ(Compact(shard_->Segments(), { 2 }), SL_OK);
            ASSERT_EQ(shard_->Open(), SL_OK);
            EXPECT_EQ(shard_->Read().Live(), (Strings{ before[0], before[2] }));
        }
    }
}

TEST_F(Compaction, LeavesTheOldStateWhenACallFails)
{
    for (int error : { EIO, ENOSPC, kShortWrite }) {
        sl_err err = SL_ERR_STORAGE_FAILED;
        for (uint64_t n = 1; err != SL_OK; n++) {
            Renew(n);
            MakeTwo();
            Strings before = shard_->Read().Live();
            disk_->FailNth(DiskCall::kAny, n, error);
            err = Compact(shard_->Segments());
            if (err == SL_OK)
                break;
            EXPECT_EQ(shard_->Read().Live(), before);
            ASSERT_EQ(Compact(shard_->Segments()), SL_OK);
            disk_->PowerCut();
            ASSERT_EQ(shard_->Open(), SL_OK);
            EXPECT_EQ(shard_->Segments().size(), 1u);
            EXPECT_EQ(shard_->Read().Live(), before);
        }
    }
}

/* ---- what is picked ---- */

class Pick : public ::testing::Test
{
  protected:
    Pick()
    {
        sl_link_init(&head_);
    }
    /* Ten entries of 100 bytes, and chunks; all of it alive. */
    sl_segment *Add(uint64_t chunk_bytes)
    {
        segments_.push_back(std::make_unique<sl_segment>());
        sl_segment *segment = segments_.back().get();
        *segment = {};
        sl_link_init(&segment->link);
        segment->number = segments_.size();
        segment->entries = 10;
        segment->entry_bytes = 1000;
        segment->data_size = chunk_bytes + segment->entry_bytes;
        segment->size = segment->data_size + 100;
        segment->live_bytes = chunk_bytes;
        segment->live_entries = 10;
        sl_link_append(&head_, &segment->link);
        return segment;
    }
    std::vector<uint64_t> Numbers()
    {
        sl_segment *inputs[SL_COMPACTION_INPUTS_MAX];
        unsigned count = sl_compaction_pick(&head_, inputs);
        std::vector<uint64_t> numbers;
        for (unsigned i = 0; i < count; i++)
            numbers.push_back(inputs[i]->number);
        return numbers;
    }
    using Picked = std::vector<uint64_t>;

    sl_link head_;
    std::vector<std::unique_ptr<sl_segment>> segments_;
};

TEST_F(Pick, NothingOfNothingAndOfWhatIsAlive)
{
    EXPECT_EQ(Numbers(), Picked{});
    Add(1000);
    Add(100000);
    EXPECT_EQ(Numbers(), Picked{});
}

TEST_F(Pick, WhatIsMoreThanHalfDead)
{
    sl_segment *segment = Add(10000);
    segment->live_bytes = 5000;
    EXPECT_EQ(Numbers(), Picked{});
    segment->live_bytes = 4999;
    EXPECT_EQ(Numbers(), Picked{ 1 });
    segment->damaged = true;
    EXPECT_EQ(Numbers(), Picked{});
    segment->damaged = false;
    segment->compacted = true;
    EXPECT_EQ(Numbers(), Picked{ 1 });
    segment->live_bytes = 10000;
    segment->live_entries = 0;
    EXPECT_EQ(Numbers(), Picked{});
}

TEST_F(Pick, DeadEntriesOfAFlushedSegmentOnly)
{
    sl_segment *segment = Add(100);
    segment->live_entries = 5;
    EXPECT_EQ(Numbers(), Picked{});
    segment->live_entries = 3;
    EXPECT_EQ(Numbers(), Picked{ 1 });
    segment->compacted = true; /* its states may have to stay: it would come out the same again */
    EXPECT_EQ(Numbers(), Picked{});
}

TEST_F(Pick, WhatIsWhollyDeadFirst)
{
    Add(10000)->live_bytes = 100;
    sl_segment *dead = Add(10000);
    dead->live_bytes = 0;
    dead->live_entries = 0;
    EXPECT_EQ(Numbers(), (Picked{ 2, 1 }));
    dead->stubborn = dead->compacted = true;
    dead->entry_bytes = dead->data_size;
    EXPECT_EQ(Numbers(), Picked{ 1 });
}

TEST_F(Pick, TombstonesAreNotDead)
{
    sl_segment *segment = Add(0);
    segment->entries = 0;
    segment->live_entries = 0;
    segment->tombstones = 1;
    segment->entry_bytes = segment->data_size = 32;
    segment->size = 32 + 16 + 64;
    EXPECT_EQ(Numbers(), Picked{});
}

TEST_F(Pick, EightNeighboursOfAboutTheSameSize)
{
    Add(10000000);
    for (int i = 0; i < 7; i++)
        Add(i == 3 ? 4 * 100000 + 3 * 1100 : 100000);
    EXPECT_EQ(Numbers(), Picked{});
    sl_segment *eighth = Add(100000);
    EXPECT_EQ(Numbers(), (Picked{ 2, 3, 4, 5, 6, 7, 8, 9 }));
    segments_[4]->size += 4;
    EXPECT_EQ(Numbers(), Picked{});
    segments_[4]->size -= 4;
    eighth->damaged = true;
    EXPECT_EQ(Numbers(), Picked{});
}

TEST_F(Pick, SmallOnesAreAllOfOneSize)
{
    for (int i = 0; i < 8; i++)
        Add(i % 2 == 0 ? 100 : 50000);
    EXPECT_EQ(Numbers(), (Picked{ 1, 2, 3, 4, 5, 6, 7, 8 }));
}

/* Seven small ones between two large ones are no tier, but each holds a descriptor. */
TEST_F(Pick, TheCheapestNeighboursOfTooMany)
{
    for (int i = 0; i < SL_COMPACTION_SEGMENTS_MAX; i++)
        Add(i % 8 == 0 ? 10000000 : 100000 + 1000 * i);
    EXPECT_EQ(Numbers(), Picked{});
    Add(10000000);
    EXPECT_EQ(Numbers(), (Picked{ 2, 3, 4, 5, 6, 7, 8 }));
    segments_[2]->damaged = true;
    EXPECT_EQ(Numbers(), (Picked{ 10, 11, 12, 13, 14, 15, 16 }));
    for (int i : { 12, 20, 28 })
        segments_[i]->entries = SL_COMPACTION_ENTRIES_MAX;
    EXPECT_EQ(Numbers(), (Picked{ 4, 5, 6, 7, 8 }));
    for (auto &segment : segments_)
        segment->damaged = true;
    EXPECT_EQ(Numbers(), Picked{});
}

/* A tombstone stays as long as something older: one small stream would keep all of them. */
TEST_F(Pick, TheOldestOthersThatAreSmallBesideTheTombstones)
{
    sl_segment *dead = Add(10000), *oldest = Add(180), *older = Add(2000), *young = Add(180);
    dead->live_bytes = 0;
    dead->first_lsn = 30;
    oldest->first_lsn = 10;
    older->first_lsn = 20;
    young->first_lsn = 40;
    ASSERT_EQ(oldest->size, 1280u);
    dead->tombstones = 19; /* of 16 bytes; 4 times that much may be taken */
    EXPECT_EQ(Numbers(), Picked{ 1 });
    dead->tombstones = 20;
    EXPECT_EQ(Numbers(), (Picked{ 1, 2 }));
    /* The older one has 3100 bytes; without it the young one would not help. */
    dead->tombstones = 20 + 48;
    EXPECT_EQ(Numbers(), (Picked{ 1, 2 }));
    dead->tombstones = 20 + 49;
    EXPECT_EQ(Numbers(), (Picked{ 1, 2, 3 }));
    dead->tombstones = 20 + 49 + 20;
    EXPECT_EQ(Numbers(), (Picked{ 1, 2, 3, 4 }));
    older->damaged = true;
    EXPECT_EQ(Numbers(), (Picked{ 1, 2 }));
    older->damaged = false;
    dead->live_bytes = 10000;
    EXPECT_EQ(Numbers(), Picked{});
}

TEST_F(Pick, NoMoreThanFitsIntoMemory)
{
    for (int i = 0; i < 20; i++)
        Add(10000);
    EXPECT_EQ(Numbers().size(), static_cast<size_t>(SL_COMPACTION_INPUTS_MAX));
    segments_[8]->entries = SL_COMPACTION_ENTRIES_MAX - 80;
    EXPECT_EQ(Numbers().size(), 9u);
    segments_[8]->entries++;
    EXPECT_EQ(Numbers().size(), 8u);
    for (auto &segment : segments_) {
        segment->live_bytes = 0;
        segment->live_entries = 0;
        segment->entries = SL_COMPACTION_ENTRIES_MAX + 1;
    }
    EXPECT_EQ(Numbers(), Picked{ 1 });
}

} // namespace
} // namespace sluice_test
