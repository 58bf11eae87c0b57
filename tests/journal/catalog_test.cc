#include "journal/catalog.h"

#include "journal/drop_internal.h"
#include "journal/segment_fixture.h"

#include <cerrno>

namespace sluice_test
{
namespace
{

using Strings = std::vector<std::string>;

const char kFirst[] = "seg-0000000000000001";
const char kSecond[] = "seg-0000000000000002";

class Catalog : public ::testing::Test
{
  protected:
    Catalog()
    {
        Renew(1);
    }
    void Renew(uint64_t seed)
    {
        shard_.reset();
        disk_ = std::make_unique<SimDisk>(seed);
        Shard::MakeStore(disk_.get());
        shard_ = std::make_unique<Shard>(disk_.get());
    }
    /* A segment that is in no manifest. */
    sl_segment *Make(uint64_t id, size_t size = 100)
    {
        sl_segment_writer *writer;
        sl_segment *segment;
        Batch batch;
        batch.Add(id, id, "s", 0, Text(size, static_cast<unsigned>(id)), true, 60000);
        EXPECT_EQ(sl_segment_writer_open(disk_->vfs(), kShard,
                                         sl_catalog_new_number(shard_->catalog()), kLogId, &writer),
                  SL_OK);
        EXPECT_EQ(sl_segment_writer_add(writer, batch.get()), SL_OK);
        EXPECT_EQ(sl_segment_writer_finish(&writer, &segment), SL_OK);
        return segment;
    }
    sl_err Install(sl_segment *added, const std::vector<sl_segment *> &removed = {})
    {
        sl_catalog_edit edit = {};
        edit.added = added;
        edit.removed = removed.data();
        edit.removed_count = static_cast<unsigned>(removed.size());
        return sl_catalog_install(shard_->catalog(), &edit);
    }
    void Add(uint64_t id, size_t size = 100)
    {
        sl_segment *segment = Make(id, size);
        ASSERT_EQ(Install(segment), SL_OK);
        shard_->Append(segment);
    }
    void Drop(sl_segment *segment)
    {
        sl_link_remove(&segment->link);
        sl_catalog_drop(shard_->catalog(), &segment, shard_->worker());
    }
    Strings Lost() const
    {
        Strings lost;
        for (const std::string &path : disk_->Files())
            if (path.rfind("/data/lost+found/", 0) == 0)
                lost.push_back(path.substr(strlen("/data/lost+found/")));
        return lost;
    }
    std::string PathOf(const std::string &name) const
    {
        return std::string(kShard) + "/" + name;
    }

    std::unique_ptr<SimDisk> disk_;
    std::unique_ptr<Shard> shard_;
};

TEST_F(Catalog, BeginsWithAManifestAndTheFirstRecord)
{
    for (int round = 0; round < 2; round++) {
        ASSERT_EQ(shard_->Open(), SL_OK);
        const sl_manifest *manifest = sl_catalog_manifest(shard_->catalog());
        EXPECT_EQ(manifest->mark.lsn, 1u);
        EXPECT_EQ(manifest->mark.position, 0u);
        EXPECT_EQ(manifest->log_id, kLogId);
        EXPECT_EQ(shard_->Segments().size(), 0u);
        EXPECT_EQ(shard_->Files(), Strings{ "MANIFEST" });
        disk_->PowerCut();
    }
}

TEST_F(Catalog, RemovesWhatWasHalfWritten)
{
    disk_->SetBytes(PathOf("seg-0000000000000001.tmp"), "half");
    disk_->SetBytes(PathOf("MANIFEST.tmp"), "half");
    EXPECT_EQ(shard_->Open(), SL_OK);
    EXPECT_EQ(shard_->Files(), Strings{ "MANIFEST" });
}

TEST_F(Catalog, IsCorruptWithoutAManifestWhateverElseIsThere)
{
    for (const char *name : { "MANIFEST.tmp", kFirst, "wal-0000000000000000", "" }) {
        Renew(1);
        disk_->Remove(PathOf("MANIFEST"));
        if (*name != '\0')
            disk_->SetBytes(PathOf(name), "x");
        const Strings before = shard_->Files();
        testing::internal::CaptureStderr();
        EXPECT_EQ(shard_->Open(), SL_ERR_DATA_CORRUPT) << name;
        EXPECT_NE(testing::internal::GetCapturedStderr().find("restore a backup"),
                  std::string::npos);
        EXPECT_EQ(shard_->Files(), before);
    }
}

TEST_F(Catalog, OpensWhatWasInstalledOldestFirst)
{
    ASSERT_EQ(shard_->Open(), SL_OK);
    for (uint64_t id = 1; id <= 4; id++)
        Add(id);
    std::vector<sl_segment *> segments = shard_->Segments();
    sl_segment *merged = Make(9);
    ASSERT_EQ(Install(merged, { segments[1], segments[2] }), SL_OK);
    sl_segment_unref(&merged);
    ASSERT_EQ(shard_->Open(), SL_OK);
    std::vector<uint64_t> numbers;
    for (sl_segment *segment : shard_->Segments())
        numbers.push_back(segment->number);
    EXPECT_EQ(numbers, (std::vector<uint64_t>{ 1, 4, 5 }));
    EXPECT_EQ(Lost(),
              (Strings{ "shard-00.seg-0000000000000002", "shard-00.seg-0000000000000003" }));
    EXPECT_EQ(sl_catalog_new_number(shard_->catalog()), 6u);
}

TEST_F(Catalog, KeepsTheListSortedWhenNumbersComeLate)
{
    ASSERT_EQ(shard_->Open(), SL_OK);
    sl_segment *first = Make(1);
    sl_segment *second = Make(2);
    ASSERT_EQ(Install(second), SL_OK);
    ASSERT_EQ(Install(first), SL_OK);
    sl_segment_unref(&first);
    sl_segment_unref(&second);
    ASSERT_EQ(shard_->Open(), SL_OK);
    EXPECT_EQ(shard_->Segments()[0]->number, 1u);
    EXPECT_EQ(shard_->Segments()[1]->number, 2u);
}

TEST_F(Catalog, PutsAwayWhatItDoesNotKnow)
{
    ASSERT_EQ(shard_->Open(), SL_OK);
    Add(1);
    disk_->SetBytes(PathOf("seg-0000000000000009"), "unknown");
    disk_->SetBytes(PathOf("seg-0000000000000007.tmp"), "half");
    disk_->SetBytes(PathOf("seg-what"), "odd");
    disk_->SetBytes(PathOf("MANIFEST.tmp"), "half");
    disk_->SetBytes(PathOf("wal-0000000000000000"), "log");
    ASSERT_EQ(shard_->Open(), SL_OK);
    EXPECT_EQ(shard_->Files(), (Strings{ "MANIFEST", kFirst, "wal-0000000000000000" }));
    EXPECT_EQ(Lost(), (Strings{ "shard-00.seg-0000000000000009", "shard-00.seg-what" }));
    EXPECT_EQ(sl_catalog_new_number(shard_->catalog()), 10u);
}

TEST_F(Catalog, IsCorruptWhenASegmentIsNotTheNamedOne)
{
    ASSERT_EQ(shard_->Open(), SL_OK);
    Add(1);
    Add(2);
    std::string second = disk_->Bytes(PathOf(kSecond));
    shard_->Close();

    disk_->Remove(PathOf(kSecond));
    EXPECT_EQ(shard_->Open(), SL_ERR_DATA_CORRUPT);
    disk_->SetBytes(PathOf(kSecond), second.substr(1));
    EXPECT_EQ(shard_->Open(), SL_ERR_DATA_CORRUPT);
    /* Good in itself, of the right log and number, but another one. */
    {
        SimDisk other(2);
        Shard::MakeStore(&other);
        Shard shard(&other);
        ASSERT_EQ(shard.Open(), SL_OK);
        ASSERT_EQ(shard.Flush({ Batch().Add(1, 1, "a").Release() }, 2), SL_OK);
        ASSERT_EQ(shard.Flush({ Batch().Add(2, 7, "s", 0, Text(100, 2)).Release() }, 3), SL_OK);
        std::string stranger = other.Bytes(PathOf(kSecond));
        EXPECT_EQ(stranger.size(), second.size());
        disk_->SetBytes(PathOf(kSecond), stranger);
    }
    EXPECT_EQ(shard_->Open(), SL_ERR_DATA_CORRUPT);
    EXPECT_EQ(Lost(), Strings{});
    disk_->SetBytes(PathOf(kSecond), second);
    EXPECT_EQ(shard_->Open(), SL_OK);
}

TEST_F(Catalog, IsCorruptWhenItIsOfAnotherLog)
{
    ASSERT_EQ(shard_->Open(), SL_OK);
    std::string manifest = disk_->Bytes(PathOf("MANIFEST"));
    disk_->MakeDirectory("/data/shard-01");
    disk_->SetBytes("/data/shard-01/MANIFEST", manifest);
    sl_store store = {};
    char path[] = "/data";
    store.vfs = disk_->vfs();
    store.path = path;
    store.log_id = kLogId;
    store.shards = 2;
    sl_catalog *catalog;
    EXPECT_EQ(sl_catalog_open(&store, 1, &catalog), SL_ERR_DATA_CORRUPT);
    EXPECT_EQ(catalog, nullptr);
}

TEST_F(Catalog, KeepsASegmentThatAManifestInDoubtNames)
{
    ASSERT_EQ(shard_->Open(), SL_OK);
    Add(1);
    sl_segment *second = Make(2);
    disk_->FailNth(DiskCall::kSyncDirectory, 1, EIO);
    EXPECT_EQ(Install(second), SL_ERR_STORAGE_FAILED);
    sl_segment_unref(&second);
    EXPECT_TRUE(disk_->Exists(PathOf(kSecond)));
    /* Failed without a doubt: goes at once. */
    sl_segment *third = Make(3);
    disk_->FailNth(DiskCall::kWrite, 1, EIO);
    EXPECT_EQ(Install(third), SL_ERR_STORAGE_FAILED);
    sl_segment_unref(&third);
    EXPECT_FALSE(disk_->Exists(PathOf("seg-0000000000000003")));
    EXPECT_TRUE(disk_->Exists(PathOf(kSecond)));
    /* The next manifest ends the doubt. */
    ASSERT_EQ(Install(nullptr), SL_OK);
    EXPECT_FALSE(disk_->Exists(PathOf(kSecond)));
    ASSERT_EQ(shard_->Open(), SL_OK);
    EXPECT_EQ(shard_->Segments().size(), 1u);
}

TEST_F(Catalog, RemovesADroppedSegmentInSteps)
{
    ASSERT_EQ(shard_->Open(), SL_OK);
    Add(1, 3 * SLI_DROP_STEP_BYTES);
    Add(2);
    sl_segment *first = shard_->Segments()[0];
    ASSERT_EQ(Install(nullptr, { first }), SL_OK);
    uint64_t truncates = disk_->Count(DiskCall::kTruncate);
    Drop(first);
    shard_.reset(); /* ends the worker when it has done everything */
    EXPECT_EQ(disk_->Count(DiskCall::kTruncate) - truncates, 3u);
    EXPECT_FALSE(disk_->Exists(PathOf(kFirst)));
    EXPECT_FALSE(disk_->Exists(PathOf("seg-0000000000000001.tmp")));
    EXPECT_TRUE(disk_->Exists(PathOf(kSecond)));
}

TEST_F(Catalog, WaitsForTheLastReaderOfADroppedSegment)
{
    ASSERT_EQ(shard_->Open(), SL_OK);
    Add(1);
    sl_segment *first = shard_->Segments()[0];
    sl_segment *reader = sl_segment_ref(first);
    ASSERT_EQ(Install(nullptr, { first }), SL_OK);
    Drop(first);
    Content content;
    ReadSegment(reader, &content);
    EXPECT_EQ(content.err, SL_OK);
    EXPECT_TRUE(disk_->Exists(PathOf(kFirst)));
    sl_segment_unref(&reader);
    shard_.reset();
    EXPECT_FALSE(disk_->Exists(PathOf(kFirst)));
}

TEST_F(Catalog, OpensAfterAPowerCutWhileItDrops)
{
    for (uint64_t seed = 1; seed <= 20; seed++)
        for (uint64_t n = 1; n <= 8; n++) {
            Renew(seed * 100 + n);
            ASSERT_EQ(shard_->Open(), SL_OK);
            Add(1, SLI_DROP_STEP_BYTES + 1000);
            Add(2);
            sl_segment *first = shard_->Segments()[0];
            ASSERT_EQ(Install(nullptr, { first }), SL_OK);
            disk_->FailNth(DiskCall::kAny, n, EIO, n % 2 == 0);
            Drop(first);
            shard_.reset();
            disk_->FailNth(DiskCall::kAny, 0, 0);
            disk_->PowerCut();
            shard_ = std::make_unique<Shard>(disk_.get());
            ASSERT_EQ(shard_->Open(), SL_OK);
            EXPECT_EQ(shard_->Files(), (Strings{ "MANIFEST", kSecond }));
            EXPECT_EQ(shard_->Read().err, SL_OK);
            /* What lies there for somebody to look at is not a part of what was meant to go. */
            for (const std::string &lost : Lost())
                EXPECT_GT(disk_->Bytes("/data/lost+found/" + lost).size(),
                          static_cast<size_t>(SLI_DROP_STEP_BYTES + 1000));
        }
}

} // namespace
} // namespace sluice_test
