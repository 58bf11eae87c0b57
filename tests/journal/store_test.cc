#include "journal/manifest.h"
#include "journal/store.h"

#include "support/sim_disk.h"
#include "support/vfs_files.h"

#include "base/crc32c.h"

#include <errno.h>

#include <functional>
#include <set>

using namespace sluice_test;

namespace
{

const char kPath[] = "/srv/data";

/* What a call printed, and gave back. */
struct Answer {
    enum sl_err err;
    std::string log;
};

/* An open store that closes itself. */
class Store
{
  public:
    explicit Store(const sl_vfs *vfs, const char *path = kPath) : setup_{}
    {
        setup_.vfs = vfs;
        setup_.path = path;
        setup_.shards = 2;
    }

    ~Store()
    {
        Close();
    }

    sl_store_setup &setup()
    {
        return setup_;
    }

    Answer Open()
    {
        testing::internal::CaptureStderr();
        enum sl_err err = sl_store_open(&setup_, &store_);
        EXPECT_EQ(err == SL_OK, store_ != nullptr);
        return { err, testing::internal::GetCapturedStderr() };
    }

    void Close()
    {
        sl_store_close(&store_);
    }

    const sl_store *operator->() const
    {
        return store_;
    }

    const sl_store *get() const
    {
        return store_;
    }

  private:
    sl_store_setup setup_;
    sl_store *store_ = nullptr;
};

class StoreTest : public ::testing::Test
{
  protected:
    StoreTest() : sim_(3), vfs_(sim_.vfs())
    {
        sim_.MakeDirectory("/srv");
    }

    /* Makes the store and closes it. */
    void Make()
    {
        Store store(vfs_);
        ASSERT_EQ(store.Open().err, SL_OK);
    }

    Answer OpenAgain()
    {
        return Store(vfs_).Open();
    }

    /* Changes a field of both copies and makes their checksums right. */
    void Patch(size_t at, uint8_t byte)
    {
        std::string bytes = sim_.Bytes("/srv/data/SLUICE");
        for (size_t copy : { 0, 4096 }) {
            bytes[copy + at] = static_cast<char>(byte);
            uint32_t crc = sl_crc32c(0, bytes.data() + copy, 68);
            for (int i = 0; i < 4; i++)
                bytes[copy + 68 + i] = static_cast<char>(crc >> 8 * i);
        }
        sim_.SetBytes("/srv/data/SLUICE", bytes);
    }

    SimDisk sim_;
    const sl_vfs *vfs_;
};

bool same_identity(const sl_store *a, const sl_store *b)
{
    return a->log_id == b->log_id && a->history_id == b->history_id &&
           a->route_key.k0 == b->route_key.k0 && a->route_key.k1 == b->route_key.k1 &&
           a->shards == b->shards && a->wal_file_size == b->wal_file_size;
}

sl_store copy_of(const sl_store *store)
{
    return *store;
}

std::string shard_path(const sl_store *store, unsigned index)
{
    char out[SL_PATH_SIZE_MAX];
    sl_store_shard_path(store, index, out);
    return out;
}

/* Every shard begins with one of its own log. */
bool has_manifests(const sl_store *store)
{
    bool all = true;
    for (unsigned index = 0; index < store->shards; index++) {
        sl_manifest manifest;
        bool one_copy;
        enum sl_err err =
            sl_manifest_load(store->vfs, shard_path(store, index).c_str(), &manifest, &one_copy);
        all = all && err == SL_OK && manifest.log_id == store->log_id + index;
        sl_manifest_deinit(&manifest);
    }
    return all;
}

} // namespace

TEST_F(StoreTest, MakesADirectoryThatSurvivesAPowerCut)
{
    Store store(vfs_);
    ASSERT_EQ(store.Open().err, SL_OK);
    EXPECT_NE(store->log_id, 0u);
    EXPECT_EQ(store->shards, 2u);
    EXPECT_EQ(store->wal_file_size, 64u * 1024 * 1024);
    EXPECT_EQ(shard_path(store.get(), 1), "/srv/data/shard-01");
    sl_store before = copy_of(store.get());
    sim_.PowerCut();
    Store again(vfs_);
    ASSERT_EQ(again.Open().err, SL_OK);
    EXPECT_TRUE(same_identity(&before, again.get()));
    EXPECT_EQ(sim_.Paths(),
              (std::vector<std::string>{ "/srv/", "/srv/data/", "/srv/data/LOCK",
                                         "/srv/data/SLUICE", "/srv/data/lost+found/",
                                         "/srv/data/shard-00/", "/srv/data/shard-00/MANIFEST",
                                         "/srv/data/shard-01/", "/srv/data/shard-01/MANIFEST" }));
    EXPECT_TRUE(has_manifests(again.get()));
}

TEST_F(StoreTest, TheFormatIsWhatItsHeaderSays)
{
    Store store(vfs_);
    store.setup().shards = 3;
    store.setup().wal_file_size = 1 << 20;
    ASSERT_EQ(store.Open().err, SL_OK);
    std::string bytes = sim_.Bytes("/srv/data/SLUICE");
    ASSERT_EQ(bytes.size(), 8192u);
    EXPECT_EQ(bytes.substr(0, 24), std::string("SLUICE\n\0\1\0\0\0\x48\0\0\0\0\0\0\0\0\0\0\0", 24));
    EXPECT_EQ(memcmp(bytes.data() + 24, &store->log_id, 8), 0);
    EXPECT_EQ(memcmp(bytes.data() + 32, &store->history_id, 8), 0);
    EXPECT_EQ(memcmp(bytes.data() + 40, &store->route_key, 16), 0);
    EXPECT_EQ(bytes.substr(56, 12), std::string("\3\0\0\0\0\0\x10\0\0\0\0\0", 12));
    uint32_t crc = sl_crc32c(0, bytes.data(), 68);
    EXPECT_EQ(memcmp(bytes.data() + 68, &crc, 4), 0);
    EXPECT_EQ(bytes.substr(0, 72), bytes.substr(4096, 72));
}

TEST_F(StoreTest, EveryStoreIsAnother)
{
    Store first(vfs_);
    Store second(vfs_, "/srv/other");
    ASSERT_EQ(first.Open().err, SL_OK);
    ASSERT_EQ(second.Open().err, SL_OK);
    EXPECT_NE(first->log_id, second->log_id);
    EXPECT_EQ(first->log_id % 1024, 0u) << "room for the shards' logs";
    EXPECT_NE(first->history_id, second->history_id);
    EXPECT_NE(first->route_key.k0, second->route_key.k0);
}

TEST_F(StoreTest, OneProcessAtATime)
{
    Store first(vfs_);
    ASSERT_EQ(first.Open().err, SL_OK);
    Answer answer = OpenAgain();
    EXPECT_EQ(answer.err, SL_ERR_DATA_LOCKED);
    EXPECT_NE(answer.log.find("path=/srv/data code=DATA_LOCKED"), std::string::npos) << answer.log;
    first.Close();
    EXPECT_EQ(OpenAgain().err, SL_OK);
}

TEST_F(StoreTest, WhoOnlyReadsOpensWhatCannotBeWritten)
{
    Make();
    for (bool has_lock : { true, false }) {
        for (int error : { EROFS, EACCES, EIO }) {
            if (!has_lock && sim_.Exists("/srv/data/LOCK"))
                sim_.Remove("/srv/data/LOCK");
            Store reader(vfs_), writer(vfs_);
            reader.setup().must_exist = reader.setup().read_only = true;
            /* With LOCK missing its first open says so, and the second one would make it. */
            sim_.FailNth(DiskCall::kOpen, has_lock ? 1 : 2, error);
            EXPECT_EQ(reader.Open().err, error == EIO ? SL_ERR_STORAGE_FAILED : SL_OK);
            EXPECT_EQ(reader.get() != nullptr && reader->lock != nullptr, has_lock && error != EIO);
            EXPECT_EQ(sim_.Exists("/srv/data/LOCK"), has_lock);
            if (has_lock && error != EIO) {
                EXPECT_EQ(writer.Open().err, SL_ERR_DATA_LOCKED);
            }
        }
    }
}

TEST_F(StoreTest, WhoOnlyReadsWritesNothingButTheLock)
{
    Make();
    sim_.Remove("/srv/data/LOCK");
    Store reader(vfs_);
    reader.setup().must_exist = reader.setup().read_only = true;
    DiskCall calls[] = { DiskCall::kWrite,         DiskCall::kSync,   DiskCall::kMakeDirectory,
                         DiskCall::kSyncDirectory, DiskCall::kRename, DiskCall::kUnlink };
    uint64_t before = 0, after = 0;
    for (DiskCall call : calls)
        before += sim_.Count(call);
    EXPECT_EQ(reader.Open().err, SL_OK);
    for (DiskCall call : calls)
        after += sim_.Count(call);
    EXPECT_EQ(after, before);
    EXPECT_TRUE(sim_.Exists("/srv/data/LOCK"));
}

TEST_F(StoreTest, WhoWritesOpensNothingThatCannotBeWritten)
{
    Make();
    sim_.FailNth(DiskCall::kOpen, 1, EROFS);
    EXPECT_EQ(OpenAgain().err, SL_ERR_DATA_DIRECTORY);
}

TEST_F(StoreTest, FilesOfAnotherUserAreNoFailureOfTheDisk)
{
    Make();
    for (bool read_only : { false, true }) {
        for (uint64_t shard : { 0, 1 }) {
            Store store(vfs_);
            store.setup().must_exist = store.setup().read_only = read_only;
            sim_.FailNth(DiskCall::kOpen, 3 + shard, EACCES); /* after LOCK and SLUICE */
            Answer answer = store.Open();
            EXPECT_EQ(answer.err, SL_ERR_DATA_DIRECTORY);
            std::string path = "path=/srv/data/shard-0" + std::to_string(shard) + "/MANIFEST ";
            EXPECT_NE(answer.log.find(path), std::string::npos) << answer.log;
        }
    }
}

TEST_F(StoreTest, OpensThroughEverySpellingOfThePath)
{
    Make();
    EXPECT_EQ(Store(vfs_, "/srv/data///").Open().err, SL_OK);
    EXPECT_EQ(Store(vfs_, "/top/").Open().err, SL_OK);
    sim_.PowerCut();
    EXPECT_TRUE(sim_.Exists("/top/SLUICE"));
}

TEST_F(StoreTest, RefusesAnotherNumberOfShards)
{
    Make();
    Store store(vfs_);
    store.setup().shards = 3;
    Answer answer = store.Open();
    EXPECT_EQ(answer.err, SL_ERR_DATA_SHARDS);
    EXPECT_NE(answer.log.find("todo="), std::string::npos);
    store.setup().shards = 0;
    ASSERT_EQ(store.Open().err, SL_OK);
    EXPECT_EQ(store->shards, 2u);
}

TEST_F(StoreTest, LeavesForeignFilesAlone)
{
    sim_.MakeDirectory("/srv/data");
    sim_.SetBytes("/srv/data/letter.txt", "dear");
    auto before = sim_.Paths();
    Answer answer = OpenAgain();
    EXPECT_EQ(answer.err, SL_ERR_DATA_DIRECTORY);
    EXPECT_NE(answer.log.find("todo=\"name an empty directory"), std::string::npos) << answer.log;
    EXPECT_EQ(sim_.Paths(), before);
}

TEST_F(StoreTest, RefusesShardsWithoutIdentity)
{
    const char manifest[] = "/srv/data/shard-01/MANIFEST";
    Make();
    sim_.Remove("/srv/data/SLUICE");
    const std::string first = sim_.Bytes(manifest), half = first.substr(0, 50);
    sl_manifest next = {};
    bool flag;
    ASSERT_EQ(sl_manifest_load(vfs_, "/srv/data/shard-01", &next, &flag), SL_OK);
    next.sequence++;
    ASSERT_EQ(sl_manifest_store(vfs_, "/srv/data/shard-01", &next, &flag), SL_OK);
    const std::string second = sim_.Bytes(manifest);
    sim_.SetBytes(manifest, first);
    const std::pair<std::string, std::string> files[] = {
        { "/srv/data/shard-01/wal-0000000000000000", "x" }, { manifest, second }, { manifest, half }
    };
    for (const auto &[file, bytes] : files) {
        sim_.SetBytes(file, bytes);
        auto before = sim_.Paths();
        EXPECT_EQ(OpenAgain().err, SL_ERR_DATA_CORRUPT) << file;
        EXPECT_EQ(sim_.Paths(), before);
        sim_.Remove(file);
    }
    sim_.SetBytes(manifest, first);
    EXPECT_EQ(OpenAgain().err, SL_OK);
}

TEST_F(StoreTest, RefusesAMissingShard)
{
    Make();
    sim_.Remove("/srv/data/shard-01");
    Answer answer = OpenAgain();
    EXPECT_EQ(answer.err, SL_ERR_DATA_CORRUPT);
    EXPECT_NE(answer.log.find("path=/srv/data/shard-01 "), std::string::npos) << answer.log;
    EXPECT_FALSE(sim_.Exists("/srv/data/shard-01"));
}

TEST_F(StoreTest, FinishesWhatWasBegun)
{
    Store store(vfs_);
    Make();
    sim_.Remove("/srv/data/SLUICE");
    sim_.Remove("/srv/data/shard-01/MANIFEST");
    sim_.MakeDirectory("/srv/data/shard-07");
    for (const char *name : { "LOCK", "SLUICE.tmp", "shard-01/MANIFEST.tmp" })
        sim_.SetBytes(std::string("/srv/data/") + name, "half");
    ASSERT_EQ(store.Open().err, SL_OK);
    EXPECT_EQ(sim_.Bytes("/srv/data/SLUICE").size(), 8192u);
    EXPECT_FALSE(sim_.Exists("/srv/data/SLUICE.tmp"));
    EXPECT_TRUE(has_manifests(store.get()));
}

TEST_F(StoreTest, MakesNothingWhereItMustExist)
{
    Store store(vfs_);
    store.setup().must_exist = true;
    EXPECT_EQ(store.Open().err, SL_ERR_DATA_DIRECTORY);
    EXPECT_FALSE(sim_.Exists(kPath));
    sim_.MakeDirectory(kPath);
    EXPECT_EQ(store.Open().err, SL_ERR_DATA_DIRECTORY);
    EXPECT_EQ(sim_.Files().size(), 0u);
    Make();
    EXPECT_EQ(store.Open().err, SL_OK);
}

TEST_F(StoreTest, RefusesAPlaceThatForgets)
{
    sim_.SetVolatile(true);
    Store store(vfs_);
    std::vector<std::string> before = sim_.Paths();
    EXPECT_EQ(store.Open().err, SL_ERR_DATA_VOLATILE);
    EXPECT_EQ(sim_.Paths(), before);
    store.setup().allow_volatile = true;
    EXPECT_EQ(store.Open().err, SL_OK);
}

TEST_F(StoreTest, RefusesPathsThatCannotBe)
{
    EXPECT_EQ(Store(vfs_, "").Open().err, SL_ERR_DATA_DIRECTORY);
    EXPECT_EQ(Store(vfs_, "/no/such/parent").Open().err, SL_ERR_DATA_DIRECTORY);
    std::string longest = "/" + std::string(SL_PATH_SIZE_MAX, 'p');
    EXPECT_EQ(Store(vfs_, longest.c_str()).Open().err, SL_ERR_DATA_DIRECTORY);
    sim_.SetBytes("/srv/file", "x");
    EXPECT_EQ(Store(vfs_, "/srv/file").Open().err, SL_ERR_DATA_DIRECTORY);
    sim_.MakeDirectory("/srv/a b");
    sim_.SetBytes("/srv/a b/c", "");
    Answer answer = Store(vfs_, "/srv/a b").Open();
    EXPECT_NE(answer.log.find("path=/srv/a\\x20b code="), std::string::npos) << answer.log;
}

TEST_F(StoreTest, OneGoodCopyIsEnough)
{
    Make();
    Store good(vfs_);
    ASSERT_EQ(good.Open().err, SL_OK);
    sl_store before = copy_of(good.get());
    good.Close();
    std::string bytes = sim_.Bytes("/srv/data/SLUICE");
    for (size_t copy : { 0, 4096 }) {
        for (size_t byte = 0; byte < 72; byte++) {
            sim_.SetBytes("/srv/data/SLUICE", bytes);
            sim_.Flip("/srv/data/SLUICE", copy + byte, byte % 8);
            Store store(vfs_);
            Answer answer = store.Open();
            ASSERT_EQ(answer.err, SL_OK) << copy << " " << byte;
            EXPECT_NE(answer.log.find(copy == 0 ? "copy=1" : "copy=2"), std::string::npos);
            EXPECT_TRUE(same_identity(&before, store.get()));
        }
    }
    sim_.SetBytes("/srv/data/SLUICE", bytes.substr(0, 100));
    EXPECT_EQ(OpenAgain().err, SL_OK) << "the second copy was cut off";
}

TEST_F(StoreTest, RefusesWhenBothCopiesAreBad)
{
    Make();
    sim_.Flip("/srv/data/SLUICE", 30, 1);
    sim_.Flip("/srv/data/SLUICE", 4096 + 60, 1);
    Answer answer = OpenAgain();
    EXPECT_EQ(answer.err, SL_ERR_DATA_CORRUPT);
    EXPECT_NE(answer.log.find("code=DATA_CORRUPT"), std::string::npos);
    for (const char *bytes : { "", "SLUICE\n", "garbage" }) {
        sim_.SetBytes("/srv/data/SLUICE", bytes);
        EXPECT_EQ(OpenAgain().err, SL_ERR_DATA_CORRUPT);
    }
}

TEST_F(StoreTest, RefusesCopiesThatDisagree)
{
    Make();
    std::string first = sim_.Bytes("/srv/data/SLUICE");
    Patch(32, 0x5a);
    std::string second = sim_.Bytes("/srv/data/SLUICE");
    if (first == second)
        return;
    sim_.SetBytes("/srv/data/SLUICE", first.substr(0, 4096) + second.substr(4096));
    EXPECT_EQ(OpenAgain().err, SL_ERR_DATA_CORRUPT);
}

TEST_F(StoreTest, RefusesOtherVersions)
{
    struct {
        const char *what;
        size_t at;
        uint8_t byte;
        enum sl_err err;
    } cases[] = {
        { "version", 8, 2, SL_ERR_DATA_VERSION },
        { "incompatible feature", 20, 1, SL_ERR_DATA_VERSION },
        { "incompatible feature", 23, 0x80, SL_ERR_DATA_VERSION },
        { "compatible feature", 16, 1, SL_OK },
        { "no shards", 56, 0, SL_ERR_DATA_CORRUPT },
        { "too many shards", 56, 101, SL_ERR_DATA_CORRUPT },
        { "odd file size", 60, 1, SL_ERR_DATA_CORRUPT },
        { "no file size", 63, 0, SL_ERR_DATA_CORRUPT },
    };
    Make();
    std::string bytes = sim_.Bytes("/srv/data/SLUICE");
    for (auto &one : cases) {
        sim_.SetBytes("/srv/data/SLUICE", bytes);
        Patch(one.at, one.byte);
        EXPECT_EQ(OpenAgain().err, one.err) << one.what;
    }
}

TEST_F(StoreTest, AnyFailureLeavesSomethingThatOpens)
{
    for (uint64_t n = 1;; n++) {
        SimDisk sim(n);
        sim.MakeDirectory("/srv");
        sim.FailNth(DiskCall::kAny, n, n % 2 == 0 ? EIO : ENOSPC);
        enum sl_err err = Store(sim.vfs()).Open().err;
        if (sim.failures() == 0)
            break;
        EXPECT_TRUE(err == SL_OK || err == (n % 2 == 0 ? SL_ERR_STORAGE_FAILED : SL_ERR_DISK_FULL))
            << n;
        sim.PowerCut();
        Store again(sim.vfs());
        Answer answer = again.Open();
        EXPECT_EQ(answer.err, SL_OK) << n << " " << answer.log;
        ASSERT_LT(n, 100u);
    }
}

TEST_F(StoreTest, KilledAnywhereItIsMadeByTheNextStart)
{
    const uint64_t seeds = 20;
    for (uint64_t n = 1; n < 40; n++) {
        for (uint64_t seed = 0; seed < seeds; seed++) {
            SimDisk sim(seed);
            sim.MakeDirectory("/srv");
            Store killed(sim.vfs());
            sim.FailNth(DiskCall::kAny, n, EIO, true);
            (void)killed.Open();
            sim.FailNth(DiskCall::kAny, 0, 0);
            seed % 2 == 0 ? sim.PowerCut() : sim.Crash();
            Store next(sim.vfs());
            Answer answer = next.Open();
            ASSERT_EQ(answer.err, SL_OK) << n << " " << seed << " " << answer.log;
            sl_store before = copy_of(next.get());
            sim.PowerCut();
            Store last(sim.vfs());
            answer = last.Open();
            ASSERT_EQ(answer.err, SL_OK) << n << " " << seed << " " << answer.log;
            ASSERT_TRUE(same_identity(&before, last.get())) << n << " " << seed;
            ASSERT_TRUE(has_manifests(last.get())) << n << " " << seed;
        }
    }
}

TEST_F(StoreTest, MovesLostFiles)
{
    Store store(vfs_);
    ASSERT_EQ(store.Open().err, SL_OK);
    for (const char *bytes : { "first", "second" }) {
        sim_.SetBytes("/srv/data/shard-01/seg-7", bytes);
        EXPECT_EQ(sl_store_keep_lost(store.get(), 1, "seg-7", 0, 0), SL_OK);
        EXPECT_FALSE(sim_.Exists("/srv/data/shard-01/seg-7"));
    }
    sim_.PowerCut();
    EXPECT_EQ(sim_.Bytes("/srv/data/lost+found/shard-01.seg-7"), "first");
    EXPECT_EQ(sim_.Bytes("/srv/data/lost+found/shard-01.seg-7.1"), "second");
    EXPECT_FALSE(sim_.Exists("/srv/data/shard-01/seg-7"));
}

TEST_F(StoreTest, CopiesLostBytes)
{
    Store store(vfs_);
    ASSERT_EQ(store.Open().err, SL_OK);
    std::string bytes;
    for (int i = 0; i < 700000; i++)
        bytes += static_cast<char>(i * 7 / 3);
    sim_.SetBytes("/srv/data/shard-00/wal-1", bytes);
    EXPECT_EQ(sl_store_keep_lost(store.get(), 0, "wal-1", 4096, 600000), SL_OK);
    EXPECT_EQ(sl_store_keep_lost(store.get(), 0, "wal-1", 699999, 4096), SL_OK);
    sim_.PowerCut();
    EXPECT_EQ(sim_.Bytes("/srv/data/lost+found/shard-00.wal-1"), bytes.substr(4096, 600000));
    EXPECT_EQ(sim_.Bytes("/srv/data/lost+found/shard-00.wal-1.1"), bytes.substr(699999));
    EXPECT_EQ(sim_.Bytes("/srv/data/shard-00/wal-1"), bytes);
}

TEST_F(StoreTest, ALostFileIsNeverInNeitherPlace)
{
    for (bool move : { true, false }) {
        for (uint64_t n = 1; n < 12; n++) {
            for (uint64_t seed = 0; seed < 20; seed++) {
                SimDisk sim(seed);
                sim.MakeDirectory("/srv");
                Store store(sim.vfs());
                ASSERT_EQ(store.Open().err, SL_OK);
                sim.SetBytes("/srv/data/shard-00/seg-7", "bytes");
                sim.FailNth(DiskCall::kAny, n, EIO, true);
                testing::internal::CaptureStderr();
                enum sl_err err = sl_store_keep_lost(store.get(), 0, "seg-7", 0, move ? 0 : 5);
                testing::internal::GetCapturedStderr();
                sim.PowerCut();
                bool kept = sim.Exists("/srv/data/lost+found/shard-00.seg-7");
                EXPECT_TRUE(kept || sim.Exists("/srv/data/shard-00/seg-7"));
                if (err == SL_OK) {
                    EXPECT_TRUE(kept);
                    EXPECT_EQ(sim.Bytes("/srv/data/lost+found/shard-00.seg-7"), "bytes");
                }
                EXPECT_EQ(sim.Exists("/srv/data/shard-00/seg-7"), !move || !kept);
            }
        }
    }
}

TEST(StorePosix, OpensOnTheRealDisk)
{
    TemporaryDirectory root;
    std::string path = root.path() + "/data";
    Store store(sl_vfs_posix(), path.c_str());
    store.setup().allow_volatile = true;
    ASSERT_EQ(store.Open().err, SL_OK);
    sl_store before = copy_of(store.get());
    Store second(sl_vfs_posix(), path.c_str());
    second.setup().allow_volatile = true;
    EXPECT_EQ(second.Open().err, SL_ERR_DATA_LOCKED);
    store.Close();
    ASSERT_EQ(second.Open().err, SL_OK);
    EXPECT_TRUE(same_identity(&before, second.get()));
    VfsFile(sl_vfs_posix(), path + "/shard-00/seg-1", SL_VFS_WRITE | SL_VFS_CREATE).Write("abc", 0);
    EXPECT_EQ(sl_store_keep_lost(second.get(), 0, "seg-1", 1, 2), SL_OK);
    EXPECT_EQ(sl_store_keep_lost(second.get(), 0, "seg-1", 0, 0), SL_OK);
    VfsFile copied(sl_vfs_posix(), path + "/lost+found/shard-00.seg-1", 0);
    VfsFile moved(sl_vfs_posix(), path + "/lost+found/shard-00.seg-1.1", 0);
    EXPECT_EQ(copied.Read(10, 0), "bc");
    EXPECT_EQ(moved.Read(10, 0), "abc");
}
