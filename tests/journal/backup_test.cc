#include "journal/backup.h"

#include "journal/segment_fixture.h"
#include "support/vfs_files.h"

#include <cerrno>

namespace sluice_test
{
namespace
{

const char kBackup[] = "/backup";
const char kRestored[] = "/restored";
const char kKeys[] = "what others may not see";
constexpr uint64_t kFileSize = 1 << 20;

/* A store with some segments, whose shard is this test. */
class Backup : public ::testing::Test
{
  protected:
    Backup()
    {
        Renew(1);
    }
    void Renew(uint64_t seed)
    {
        shard_.reset();
        disk_ = std::make_unique<SimDisk>(seed);
        Shard::MakeStore(disk_.get());
        shard_ = std::make_unique<Shard>(disk_.get());
        static char path[] = "/data";
        store_ = sl_store{};
        store_.vfs = disk_->vfs();
        store_.path = path;
        store_.log_id = kLogId;
        store_.history_id = 77;
        store_.shards = 1;
        store_.wal_file_size = kFileSize;
        disk_->SetBytes("/data/KEYS", kKeys);
        ASSERT_EQ(shard_->Open(), SL_OK);
        Flush(1, 3000);
        Flush(2, 2000 * 1000);
    }
    void Flush(uint64_t id, size_t size)
    {
        Batch batch;
        batch.Add(id, id, "s", 0, Text(size, static_cast<unsigned>(id)), true, 60000);
        ASSERT_EQ(shard_->Flush({ batch.Release() }, id + 1, id), SL_OK);
    }
    sl_err Run(const char *destination = kBackup)
    {
        sl_cut cut = {};
        cut.mark.lsn = 3;
        cut.mark.position = 4 * kFileSize;
        cut.last_id = 2;
        std::vector<sl_segment *> segments = shard_->Segments();
        for (auto at = segments.rbegin(); at != segments.rend(); ++at)
            sl_cut_add(&cut, *at);
        sl_err err = sl_backup_begin(&store_, destination);
        bool begun = err == SL_OK;
        if (err == SL_OK)
            err = sl_backup_add(&store_, destination, 0, &cut);
        if (err == SL_OK)
            err = sl_backup_finish(&store_, destination);
        if (err != SL_OK && begun)
            sl_backup_abandon(&store_, destination, err);
        sl_cut_deinit(&cut);
        return err;
    }
    sl_err Open(const char *path, bool backup, sl_store **store)
    {
        sl_store_setup setup = {};
        setup.vfs = disk_->vfs();
        setup.path = path;
        setup.must_exist = true;
        setup.backup = backup;
        return sl_store_open(&setup, store);
    }
    sl_err Restore()
    {
        sl_store *backup;
        sl_err err = Open(kBackup, true, &backup);
        if (err == SL_OK)
            err = sl_backup_restore(backup, kRestored, [](const char *, uint64_t) {});
        sl_store_close(&backup);
        return err;
    }
    std::vector<std::string> FilesOf(const std::string &directory)
    {
        std::vector<std::string> found;
        for (const std::string &path : disk_->Files())
            if (path.rfind(directory, 0) == 0)
                found.push_back(path);
        return found;
    }
    /* What a shard finds in a restored directory. */
    std::vector<std::string> Restored()
    {
        Content content;
        sl_store *store;
        sl_catalog *catalog;
        EXPECT_EQ(Open(kRestored, false, &store), SL_OK);
        EXPECT_NE(store->history_id, store_.history_id);
        EXPECT_EQ(store->log_id, store_.log_id);
        EXPECT_EQ(sl_catalog_open(store, 0, &catalog), SL_OK);
        const sl_manifest *manifest = sl_catalog_manifest(catalog);
        EXPECT_TRUE(manifest->no_log);
        EXPECT_EQ(manifest->mark.lsn, 3u);
        EXPECT_EQ(manifest->mark.position, 4 * kFileSize);
        EXPECT_EQ(manifest->durable_lsn, 2u);
        EXPECT_EQ(manifest->last_id, 2u);
        const sl_link *head = sl_catalog_segments(catalog);
        for (sl_link *link = head->next; link != head; link = link->next)
            ReadSegment(SegmentOf(link), &content);
        EXPECT_EQ(content.err, SL_OK);
        sl_catalog_close(&catalog);
        sl_store_close(&store);
        return content.Live();
    }

    std::unique_ptr<SimDisk> disk_;
    std::unique_ptr<Shard> shard_;
    sl_store store_;
};

TEST_F(Backup, HasEverySegmentAndSurvivesAPowerCut)
{
    std::vector<std::string> live = shard_->Read().Live();
    ASSERT_EQ(Run(), SL_OK);
    disk_->PowerCut();
    ASSERT_EQ(Restore(), SL_OK);
    disk_->PowerCut();
    EXPECT_EQ(Restored(), live);
    EXPECT_EQ(disk_->Bytes("/backup/KEYS"), kKeys);
    EXPECT_EQ(disk_->Bytes("/restored/KEYS"), kKeys);
}

TEST_F(Backup, HasItsKeysForItself)
{
    ASSERT_EQ(Run(), SL_OK);
    ASSERT_EQ(Restore(), SL_OK);
    for (const char *path : { "/data/KEYS", "/backup/KEYS", "/restored/KEYS" }) {
        VfsFile file(disk_->vfs(), path, 0);
        uint64_t links;
        ASSERT_EQ(file.get()->vfs->links(file.get(), &links), 0);
        EXPECT_EQ(links, 1u) << path;
    }
}

TEST_F(Backup, OfAStoreWithoutKeysHasNone)
{
    ASSERT_EQ(disk_->vfs()->unlink(disk_->vfs(), "/data/KEYS"), 0);
    ASSERT_EQ(Run(), SL_OK);
    ASSERT_EQ(Restore(), SL_OK);
    for (const std::string &path : disk_->Files())
        EXPECT_EQ(path.find("KEYS"), std::string::npos) << path;
    EXPECT_EQ(Restored().size(), 2u);
}

TEST_F(Backup, IsNoDataDirectoryAndADataDirectoryIsNoBackup)
{
    sl_store *store;
    ASSERT_EQ(Run(), SL_OK);
    EXPECT_EQ(Open(kBackup, false, &store), SL_ERR_DATA_KIND);
    ASSERT_EQ(Restore(), SL_OK);
    EXPECT_EQ(Open(kRestored, true, &store), SL_ERR_DATA_KIND);
}

TEST_F(Backup, IsLinkedAndNotCopied)
{
    uint64_t before = disk_->written_bytes();
    ASSERT_EQ(Run(), SL_OK);
    EXPECT_LT(disk_->written_bytes() - before, 64u * 1024);
}

TEST_F(Backup, IsCopiedToAnotherFileSystem)
{
    std::vector<std::string> live = shard_->Read().Live();
    disk_->FailNth(DiskCall::kLink, 1, EXDEV, true);
    ASSERT_EQ(Run(), SL_OK);
    disk_->PowerCut();
    ASSERT_EQ(Restore(), SL_OK);
    EXPECT_EQ(Restored(), live);
}

TEST_F(Backup, StaysWholeWhenTheStoreDropsItsSegments)
{
    std::vector<std::string> live = shard_->Read().Live();
    ASSERT_EQ(Run(), SL_OK);
    for (sl_segment *segment : shard_->Segments()) {
        sl_link_remove(&segment->link);
        sl_catalog_drop(shard_->catalog(), &segment, shard_->worker());
    }
    ASSERT_EQ(shard_->Open(), SL_ERR_DATA_CORRUPT) << "they are gone there";
    ASSERT_EQ(Restore(), SL_OK);
    EXPECT_EQ(Restored(), live);
}

TEST_F(Backup, TakesOnlyAnEmptyDirectory)
{
    disk_->MakeDirectory(kBackup);
    ASSERT_EQ(Run(), SL_OK);
    std::vector<std::string> before = disk_->Paths();
    EXPECT_EQ(Run(), SL_ERR_DESTINATION_IN_USE);
    EXPECT_EQ(Run(kStore), SL_ERR_DESTINATION_IN_USE);
    EXPECT_EQ(disk_->Paths(), before);
}

TEST_F(Backup, ToAWrongPlaceIsAMistakeAndNoFailureOfTheDisk)
{
    disk_->SetBytes("/file", "x");
    std::vector<std::string> before = disk_->Paths();
    for (const std::string &path : { std::string("/no/parent"), std::string("/file"),
                                     "/" + std::string(SL_PATH_SIZE_MAX, 'p') })
        EXPECT_EQ(Run(path.c_str()), SL_ERR_DESTINATION_UNUSABLE) << path;
    EXPECT_EQ(disk_->Paths(), before);
    disk_->FailNth(DiskCall::kAny, 1, EIO);
    EXPECT_EQ(Run(), SL_ERR_STORAGE_FAILED);
}

/* Every call fails once, and the power fails after that. */
TEST_F(Backup, IsThereAsAWholeOrNotAtAll)
{
    sl_err err = SL_ERR_STORAGE_FAILED;
    for (uint64_t n = 1; err != SL_OK; n++) {
        Renew(n);
        disk_->FailNth(DiskCall::kAny, n, EIO, true);
        err = Run();
        disk_->FailNth(DiskCall::kAny, 0, 0);
        disk_->PowerCut();
        sl_err restored = Restore();
        if (err == SL_OK) {
            EXPECT_EQ(restored, SL_OK) << n;
        }
        if (restored == SL_OK) {
            EXPECT_EQ(Restored().size(), 2u) << n;
            EXPECT_EQ(disk_->Bytes("/restored/KEYS"), kKeys) << n;
        }
    }
}

TEST_F(Backup, IsRestoredAsAWholeOrNotAtAll)
{
    sl_err err = SL_ERR_STORAGE_FAILED;
    for (uint64_t n = 1; err != SL_OK; n++) {
        Renew(n);
        ASSERT_EQ(Run(), SL_OK);
        disk_->FailNth(DiskCall::kAny, n, EIO, true);
        err = Restore();
        disk_->FailNth(DiskCall::kAny, 0, 0);
        disk_->PowerCut();
        sl_store *store;
        sl_err opened = Open(kRestored, false, &store);
        if (err == SL_OK) {
            EXPECT_EQ(opened, SL_OK) << n;
        }
        if (opened == SL_OK) {
            sl_store_close(&store);
            EXPECT_EQ(Restored().size(), 2u) << n;
            EXPECT_EQ(disk_->Bytes("/restored/KEYS"), kKeys) << n;
        }
    }
}

TEST_F(Backup, ThatFailedGivesItsSpaceBackAndSaysWhy)
{
    disk_->FailNth(DiskCall::kRename, 1, ENOSPC);
    EXPECT_EQ(Run(), SL_ERR_DISK_FULL);
    std::vector<std::string> left = FilesOf(kBackup);
    ASSERT_EQ(left, std::vector<std::string>{ "/backup/INCOMPLETE" });
    EXPECT_NE(disk_->Bytes(left[0]).find("DISK_FULL"), std::string::npos);
    EXPECT_EQ(Restore(), SL_ERR_DATA_KIND);
}

/* The second rename is the last step. */
TEST_F(Backup, ThatFailedLateLeavesNoKeysBehind)
{
    disk_->FailNth(DiskCall::kRename, 2, ENOSPC);
    EXPECT_EQ(Run(), SL_ERR_DISK_FULL);
    for (const std::string &path : FilesOf(kBackup))
        EXPECT_EQ(disk_->Bytes(path).find(kKeys), std::string::npos) << path;
    EXPECT_EQ(Restore(), SL_ERR_DATA_KIND);
}

} // namespace
} // namespace sluice_test
