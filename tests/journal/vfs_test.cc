#include "journal/vfs.h"

#include "support/sim_disk.h"
#include "support/vfs_files.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <thread>

using namespace sluice_test;

namespace
{

const unsigned kNew = SL_VFS_WRITE | SL_VFS_CREATE;

/* What is true of every disk, on the real one and on the simulated one. */
class Vfs : public ::testing::TestWithParam<const char *>
{
  protected:
    Vfs() : sim_(7)
    {
        bool real = std::string(GetParam()) == "posix";
        vfs_ = real ? sl_vfs_posix() : sim_.vfs();
        root_ = real ? temporary_.path() : "/data";
        if (!real)
            sim_.MakeDirectory("/data");
    }

    std::string At(const std::string &name) const
    {
        return root_ + "/" + name;
    }

    void Fill(const std::string &name, const std::string &bytes)
    {
        VfsFile file(vfs_, At(name), kNew);
        ASSERT_EQ(file.Write(bytes, 0), 0);
    }

    std::string Content(const std::string &name)
    {
        return VfsFile(vfs_, At(name), 0).Read(100000, 0);
    }

    SimDisk sim_;
    TemporaryDirectory temporary_;
    const struct sl_vfs *vfs_;
    std::string root_;
};

} // namespace

INSTANTIATE_TEST_SUITE_P(Disks, Vfs, ::testing::Values("posix", "sim"),
                         [](const auto &info) { return std::string(info.param); });

TEST_P(Vfs, ReadsWhatWasWritten)
{
    VfsFile file(vfs_, At("a"), kNew);
    ASSERT_EQ(file.error(), 0);
    EXPECT_EQ(file.Read(10, 0), "");
    EXPECT_EQ(file.Write("hello", 0), 0);
    EXPECT_EQ(file.Write("LO w", 3), 0);
    EXPECT_EQ(file.Read(100, 0), "helLO w");
    EXPECT_EQ(file.Read(7, 0), "helLO w");
    EXPECT_EQ(file.Read(2, 3), "LO");
    EXPECT_EQ(file.Read(2, 6), "w");
    EXPECT_EQ(file.Read(2, 7), "");
    EXPECT_EQ(file.Read(2, 8), "");
    EXPECT_EQ(file.Sync(), 0);
    EXPECT_EQ(file.Size(), 7u);
}

TEST_P(Vfs, GapsAreZeros)
{
    VfsFile file(vfs_, At("a"), kNew);
    EXPECT_EQ(file.Write("x", 3000), 0);
    EXPECT_EQ(file.Read(5000, 0), std::string(3000, '\0') + "x");
}

TEST_P(Vfs, TruncatesAndGrows)
{
    VfsFile file(vfs_, At("a"), kNew);
    EXPECT_EQ(file.Write(std::string(2000, 'x'), 0), 0);
    EXPECT_EQ(file.Truncate(700), 0);
    EXPECT_EQ(file.Size(), 700u);
    EXPECT_EQ(file.Truncate(1500), 0);
    EXPECT_EQ(file.Read(5000, 0), std::string(700, 'x') + std::string(800, '\0'));
}

TEST_P(Vfs, OpensOnlyWhatIsThere)
{
    EXPECT_EQ(VfsFile(vfs_, At("a"), 0).error(), ENOENT);
    EXPECT_EQ(VfsFile(vfs_, At("a"), SL_VFS_WRITE).error(), ENOENT);
    EXPECT_EQ(VfsFile(vfs_, At("no/a"), kNew).error(), ENOENT);
    EXPECT_EQ(VfsFile(vfs_, At("a"), kNew).error(), 0);
    EXPECT_EQ(VfsFile(vfs_, At("a/b"), kNew).error(), ENOTDIR);
    EXPECT_EQ(VfsFile(vfs_, At("a"), 0).error(), 0);
}

TEST_P(Vfs, MakesOnlyWhatIsNotThere)
{
    Fill("a", "old");
    EXPECT_EQ(VfsFile(vfs_, At("a"), kNew).error(), EEXIST);
    EXPECT_EQ(vfs_->make_directory(vfs_, At("d").c_str()), 0);
    EXPECT_EQ(vfs_->make_directory(vfs_, At("d").c_str()), EEXIST);
    EXPECT_EQ(vfs_->make_directory(vfs_, At("a").c_str()), EEXIST);
    EXPECT_EQ(vfs_->make_directory(vfs_, At("x/y").c_str()), ENOENT);
    EXPECT_EQ(VfsFile(vfs_, At("d"), SL_VFS_WRITE).error(), EISDIR);
    EXPECT_EQ(VfsFile(vfs_, At("d"), 0).error(), EISDIR);
    EXPECT_EQ(Content("a"), "old");
}

TEST_P(Vfs, RenameReplaces)
{
    Fill("a", "new");
    Fill("b", "old");
    EXPECT_EQ(vfs_->rename(vfs_, At("a").c_str(), At("b").c_str()), 0);
    EXPECT_EQ(Content("b"), "new");
    EXPECT_EQ(VfsFile(vfs_, At("a"), 0).error(), ENOENT);
    EXPECT_EQ(vfs_->rename(vfs_, At("a").c_str(), At("b").c_str()), ENOENT);
    EXPECT_EQ(vfs_->rename(vfs_, At("b").c_str(), At("x/b").c_str()), ENOENT);
}

TEST_P(Vfs, LinkIsTheSameFile)
{
    Fill("a", "one");
    EXPECT_EQ(vfs_->link(vfs_, At("a").c_str(), At("b").c_str()), 0);
    EXPECT_EQ(vfs_->link(vfs_, At("a").c_str(), At("b").c_str()), EEXIST);
    EXPECT_EQ(vfs_->link(vfs_, At("x").c_str(), At("c").c_str()), ENOENT);
    EXPECT_EQ(VfsFile(vfs_, At("a"), SL_VFS_WRITE).Write("ON", 0), 0);
    EXPECT_EQ(vfs_->unlink(vfs_, At("a").c_str()), 0);
    EXPECT_EQ(Content("b"), "ONe");
}

TEST_P(Vfs, AnUnlinkedFileLivesWhileItIsOpen)
{
    Fill("a", "here");
    VfsFile file(vfs_, At("a"), 0);
    EXPECT_EQ(vfs_->unlink(vfs_, At("a").c_str()), 0);
    EXPECT_EQ(vfs_->unlink(vfs_, At("a").c_str()), ENOENT);
    EXPECT_EQ(file.Read(10, 0), "here");
}

TEST_P(Vfs, ListsEveryName)
{
    std::vector<std::string> names;
    EXPECT_EQ(ListNames(vfs_, root_, &names), 0);
    EXPECT_TRUE(names.empty());
    Fill("a", "");
    Fill("b", "");
    ASSERT_EQ(vfs_->make_directory(vfs_, At("d").c_str()), 0);
    Fill("d/inner", "");
    EXPECT_EQ(ListNames(vfs_, root_, &names), 0);
    std::sort(names.begin(), names.end());
    EXPECT_EQ(names, (std::vector<std::string>{ "a", "b", "d" }));
    EXPECT_EQ(ListNames(vfs_, At("no"), &names), ENOENT);
    EXPECT_EQ(ListNames(vfs_, At("a"), &names), ENOTDIR);
}

TEST_P(Vfs, SyncsDirectories)
{
    Fill("a", "");
    EXPECT_EQ(vfs_->sync_directory(vfs_, root_.c_str()), 0);
    EXPECT_EQ(vfs_->sync_directory(vfs_, At("no").c_str()), ENOENT);
    EXPECT_EQ(vfs_->sync_directory(vfs_, At("a").c_str()), ENOTDIR);
}

TEST_P(Vfs, LocksOutASecondOpener)
{
    VfsFile first(vfs_, At("a"), kNew);
    EXPECT_EQ(first.Lock(), 0);
    EXPECT_EQ(first.Lock(), 0);
    VfsFile second(vfs_, At("a"), SL_VFS_WRITE);
    EXPECT_EQ(second.Lock(), EWOULDBLOCK);
    first.Close();
    EXPECT_EQ(second.Lock(), 0);
}

TEST_P(Vfs, DirectWritesAreWholeBlocks)
{
    VfsFile file(vfs_, At("a"), kNew | SL_VFS_DIRECT | SL_VFS_SYNC);
    if (file.error() == EINVAL) { /* a file system may refuse, and then leaves nothing behind */
        EXPECT_EQ(VfsFile(vfs_, At("a"), kNew | SL_VFS_SYNC).error(), 0);
        return;
    }
    ASSERT_EQ(file.error(), 0);
    AlignedBytes block(2 * SL_DISK_BLOCK_BYTES, 'x');
    EXPECT_EQ(file.Write(block, 0), 0);
    EXPECT_EQ(file.Write(block, SL_DISK_BLOCK_BYTES), 0);
    EXPECT_EQ(file.Read(4 * SL_DISK_BLOCK_BYTES, 0), std::string(3 * SL_DISK_BLOCK_BYTES, 'x'));
    ASSERT_EQ(file.Truncate(SL_DISK_BLOCK_BYTES + 100), 0);
    EXPECT_EQ(file.Read(4 * SL_DISK_BLOCK_BYTES, 0), std::string(SL_DISK_BLOCK_BYTES + 100, 'x'))
        << "stops at an end that is not one of a block";
    EXPECT_EQ(file.Read(SL_DISK_BLOCK_BYTES, 4 * SL_DISK_BLOCK_BYTES), "");
    EXPECT_DEATH(file.Write(std::string("odd"), 0), "panic");
    EXPECT_DEATH(file.Write(block, 512), "panic");
    EXPECT_DEATH(file.get()->vfs->write(file.get(), block.data() + 512, SL_DISK_BLOCK_BYTES, 0),
                 "panic");
    EXPECT_DEATH(file.Read(100, 0), "panic");
}

TEST_P(Vfs, RefusesToWriteWhatWasOpenedToRead)
{
    Fill("a", "x");
    VfsFile file(vfs_, At("a"), 0);
    EXPECT_DEATH(file.Write(std::string("y"), 0), "panic");
}

TEST_P(Vfs, KnowsTheFreeSpace)
{
    uint64_t space = 0;
    EXPECT_EQ(vfs_->space(vfs_, root_.c_str(), &space), 0);
    EXPECT_GT(space, 0u);
    EXPECT_EQ(vfs_->space(vfs_, At("no").c_str(), &space), ENOENT);
    EXPECT_EQ(space, 0u);
}

TEST(VfsPosix, OnlyTheOwnerReadsFilesAndDirectories)
{
    TemporaryDirectory root;
    const struct sl_vfs *vfs = sl_vfs_posix();
    mode_t before = umask(0);
    VfsFile(vfs, root.path() + "/a", kNew);
    EXPECT_EQ(vfs->make_directory(vfs, (root.path() + "/d").c_str()), 0);
    umask(before);
    unsigned bits = 0;
    VfsFile file(vfs, root.path() + "/a", 0);
    EXPECT_EQ(vfs->mode(file.get(), &bits), 0);
    EXPECT_EQ(bits, 0600u);
    ASSERT_EQ(chmod((root.path() + "/a").c_str(), 04640), 0);
    EXPECT_EQ(vfs->mode(file.get(), &bits), 0);
    EXPECT_EQ(bits, 04640u);
    ASSERT_EQ(chmod((root.path() + "/a").c_str(), 0600), 0);
    struct stat about;
    ASSERT_EQ(stat((root.path() + "/a").c_str(), &about), 0);
    EXPECT_EQ(about.st_mode & 07777, 0600u);
    ASSERT_EQ(stat((root.path() + "/d").c_str(), &about), 0);
    EXPECT_EQ(about.st_mode & 07777, 0700u);
}

TEST(VfsPosix, DoesNotFollowLinks)
{
    TemporaryDirectory root;
    const struct sl_vfs *vfs = sl_vfs_posix();
    VfsFile(vfs, root.path() + "/a", kNew);
    ASSERT_EQ(symlink("a", (root.path() + "/s").c_str()), 0);
    EXPECT_EQ(VfsFile(vfs, root.path() + "/s", SL_VFS_WRITE).error(), ELOOP);
}

/* The open of a FIFO would wait for somebody at its other end. */
TEST(VfsPosix, OpensNoFifo)
{
    TemporaryDirectory root;
    ASSERT_EQ(mkfifo((root.path() + "/f").c_str(), 0600), 0);
    for (unsigned flags : { 0u, unsigned(SL_VFS_WRITE) })
        EXPECT_EQ(VfsFile(sl_vfs_posix(), root.path() + "/f", flags).error(), ESPIPE);
}

TEST(VfsPosix, ProgramsThatAreStartedInheritNothing)
{
    TemporaryDirectory root;
    VfsFile file(sl_vfs_posix(), root.path() + "/a", kNew);
    for (const auto &entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        std::error_code gone;
        if (std::filesystem::read_symlink(entry, gone) != root.path() + "/a")
            continue;
        int descriptor = std::stoi(entry.path().filename().string());
        EXPECT_NE(fcntl(descriptor, F_GETFD) & FD_CLOEXEC, 0);
        return;
    }
    ADD_FAILURE() << "no descriptor found";
}

TEST(VfsPosix, KnowsWhatForgets)
{
    bool result = false;
    const struct sl_vfs *vfs = sl_vfs_posix();
    EXPECT_EQ(vfs->is_volatile(vfs, "/proc", &result), 0);
    EXPECT_FALSE(result);
    struct statfs about;
    if (statfs("/dev/shm", &about) == 0 && about.f_type == 0x01021994) {
        EXPECT_EQ(vfs->is_volatile(vfs, "/dev/shm", &result), 0);
        EXPECT_TRUE(result);
    }
    EXPECT_EQ(vfs->is_volatile(vfs, "/no/such/place", &result), ENOENT);
    EXPECT_FALSE(result);
}

TEST(VfsPosix, AFullDiskIsAnError)
{
    VfsFile file(sl_vfs_posix(), "/dev/full", SL_VFS_WRITE);
    ASSERT_EQ(file.error(), 0);
    EXPECT_EQ(file.Write("x", 0), ENOSPC);
}

TEST(VfsPosix, AShortWriteEndsWithTheReasonOfTheRest)
{
    TemporaryDirectory root;
    rlimit before;
    ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
    rlimit small = { 1000, before.rlim_max };
    VfsFile file(sl_vfs_posix(), root.path() + "/a", kNew);
    auto handler = signal(SIGXFSZ, SIG_IGN);
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
    int error = file.Write(std::string(2000, 'x'), 0);
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, handler);
    EXPECT_EQ(error, EFBIG) << "as a full disk says ENOSPC";
    EXPECT_EQ(file.Size(), 1000u);
}

TEST(Path, JoinsWhatFits)
{
    char out[SL_PATH_SIZE_MAX];
    EXPECT_TRUE(sl_path_join(out, "/a/b", "c"));
    EXPECT_STREQ(out, "/a/b/c");
    std::string name(SL_PATH_SIZE_MAX - 4, 'n');
    EXPECT_TRUE(sl_path_join(out, "/d", name.c_str()));
    EXPECT_EQ(strlen(out), static_cast<size_t>(SL_PATH_SIZE_MAX - 1));
    EXPECT_FALSE(sl_path_join(out, "/d", (name + "n").c_str()));
}

/*
 * ---- the simulated disk -----------------------------------------------------------------------
 */

namespace
{

constexpr int kSeeds = 200;

/* A disk with /data/a, "old" in four sectors, all of it durable. */
struct Disk {
    explicit Disk(uint64_t seed) : sim(seed), vfs(sim.vfs())
    {
        sim.MakeDirectory("/data");
        sim.SetBytes("/data/a", std::string(2048, 'o'));
    }

    SimDisk sim;
    const struct sl_vfs *vfs;
};

/* Every sector is of one kind of byte: 'o', 'n' and so on; the rest is "?". */
std::string SectorsOf(const std::string &bytes)
{
    std::string kinds;
    for (size_t at = 0; at < bytes.size(); at += 512) {
        std::string sector = bytes.substr(at, 512);
        bool same = sector == std::string(sector.size(), sector[0]);
        kinds += !same ? '?' : sector[0] == '\0' ? '0' : sector[0];
    }
    return kinds;
}

/* All that `run` returns, over the seeds. */
template <typename Run> std::set<std::string> Outcomes(Run run)
{
    std::set<std::string> outcomes;
    for (uint64_t seed = 0; seed < kSeeds; seed++) {
        Disk disk(seed);
        outcomes.insert(run(disk));
    }
    return outcomes;
}

using Set = std::set<std::string>;

} // namespace

TEST(SimDisk, APowerCutTearsWhatWasNotSynced)
{
    Set outcomes = Outcomes([](Disk &disk) {
        VfsFile file(disk.vfs, "/data/a", SL_VFS_WRITE);
        EXPECT_EQ(file.Write(std::string(1024, 'n'), 512), 0);
        EXPECT_FALSE(disk.sim.IsDurable("/data/a"));
        disk.sim.PowerCut();
        EXPECT_TRUE(disk.sim.IsDurable("/data/a"));
        return SectorsOf(disk.sim.Bytes("/data/a"));
    });
    EXPECT_EQ(outcomes, (Set{ "oooo", "onoo", "oono", "onno" }));
}

TEST(SimDisk, APowerCutKeepsWhatWasSynced)
{
    Set outcomes = Outcomes([](Disk &disk) {
        VfsFile file(disk.vfs, "/data/a", SL_VFS_WRITE);
        EXPECT_EQ(file.Write(std::string(1024, 'n'), 512), 0);
        EXPECT_EQ(file.Write(std::string(512, 'm'), 4096), 0);
        EXPECT_EQ(file.Sync(), 0);
        EXPECT_TRUE(disk.sim.IsDurable("/data/a"));
        disk.sim.PowerCut();
        return SectorsOf(disk.sim.Bytes("/data/a"));
    });
    EXPECT_EQ(outcomes, (Set{ "onno0000m" }));
}

TEST(SimDisk, ASyncedWriteIsDurableAlone)
{
    Set outcomes = Outcomes([](Disk &disk) {
        VfsFile file(disk.vfs, "/data/a", SL_VFS_WRITE);
        VfsFile synced(disk.vfs, "/data/a", SL_VFS_WRITE | SL_VFS_SYNC);
        EXPECT_EQ(file.Write(std::string(512, 'n'), 0), 0);
        EXPECT_EQ(synced.Write(std::string(512, 's'), 512), 0);
        EXPECT_EQ(synced.Write(std::string(512, 's'), 2048), 0);
        disk.sim.PowerCut();
        return SectorsOf(disk.sim.Bytes("/data/a"));
    });
    EXPECT_EQ(outcomes, (Set{ "osoos", "nsoos" }));
}

TEST(SimDisk, WhatWasOverwrittenMayBeOnThePlatter)
{
    Set outcomes = Outcomes([](Disk &disk) {
        VfsFile file(disk.vfs, "/data/a", SL_VFS_WRITE);
        EXPECT_EQ(file.Write(std::string(512, 'm'), 0), 0);
        EXPECT_EQ(file.Write(std::string(512, 'n'), 0), 0);
        disk.sim.PowerCut();
        return SectorsOf(disk.sim.Bytes("/data/a"));
    });
    EXPECT_EQ(outcomes, (Set{ "oooo", "mooo", "nooo" }));
}

TEST(SimDisk, ASizeThatWasNotSyncedIsTheOldOrTheNewOne)
{
    Set grown = Outcomes([](Disk &disk) {
        VfsFile file(disk.vfs, "/data/a", SL_VFS_WRITE);
        EXPECT_EQ(file.Write(std::string(512, 'n'), 2048), 0);
        disk.sim.PowerCut();
        return SectorsOf(disk.sim.Bytes("/data/a"));
    });
    EXPECT_EQ(grown, (Set{ "oooo", "oooo0", "oooo?", "oooon" }));
    Set cut = Outcomes([](Disk &disk) {
        VfsFile file(disk.vfs, "/data/a", SL_VFS_WRITE);
        EXPECT_EQ(file.Truncate(1024), 0);
        disk.sim.PowerCut();
        return SectorsOf(disk.sim.Bytes("/data/a"));
    });
    EXPECT_EQ(cut, (Set{ "oo", "oooo" }));
    Set regrown = Outcomes([](Disk &disk) {
        VfsFile file(disk.vfs, "/data/a", SL_VFS_WRITE);
        EXPECT_EQ(file.Truncate(1024), 0);
        EXPECT_EQ(file.Truncate(2048), 0);
        EXPECT_EQ(SectorsOf(file.Read(4096, 0)), "oo00");
        EXPECT_EQ(file.Sync(), 0);
        disk.sim.PowerCut();
        return SectorsOf(disk.sim.Bytes("/data/a"));
    });
    EXPECT_EQ(regrown, (Set{ "oo00" }));
}

TEST(SimDisk, ACrashLosesNothing)
{
    Set outcomes = Outcomes([](Disk &disk) {
        VfsFile file(disk.vfs, "/data/a", SL_VFS_WRITE);
        VfsFile fresh(disk.vfs, "/data/b", kNew);
        EXPECT_EQ(file.Write(std::string(4096, 'n'), 0), 0);
        disk.sim.Crash();
        EXPECT_TRUE(disk.sim.Exists("/data/b"));
        EXPECT_FALSE(disk.sim.IsDurable("/data/a")) << "a later power cut may still tear it";
        return SectorsOf(disk.sim.Bytes("/data/a"));
    });
    EXPECT_EQ(outcomes, (Set{ "nnnnnnnn" }));
}

TEST(SimDisk, HandlesDoNotOutliveTheirProcess)
{
    for (bool power : { false, true }) {
        Disk disk(1);
        VfsFile file(disk.vfs, "/data/a", SL_VFS_WRITE);
        ASSERT_EQ(file.Lock(), 0);
        power ? disk.sim.PowerCut() : disk.sim.Crash();
        uint64_t size;
        EXPECT_EQ(file.Write("x", 0), EIO);
        EXPECT_EQ(file.Read(1, 0), "error " + std::to_string(EIO));
        EXPECT_EQ(file.Sync(), EIO);
        EXPECT_EQ(file.Truncate(0), EIO);
        EXPECT_EQ(file.get()->vfs->size(file.get(), &size), EIO);
        EXPECT_EQ(file.Lock(), EIO);
        VfsFile next(disk.vfs, "/data/a", SL_VFS_WRITE);
        EXPECT_EQ(next.Lock(), 0) << "the lock is gone with its process";
        file.Close();
        EXPECT_EQ(VfsFile(disk.vfs, "/data/a", 0).Lock(), EWOULDBLOCK);
        EXPECT_EQ(SectorsOf(disk.sim.Bytes("/data/a")), "oooo");
    }
}

TEST(SimDisk, NamesAreDurableWithTheirDirectory)
{
    auto paths = [](Disk &disk) {
        std::string text;
        for (const std::string &path : disk.sim.Files())
            text += path.substr(6) + "=" + disk.sim.Bytes(path).substr(0, 1) + " ";
        return text;
    };
    auto change = [](Disk &disk) {
        VfsFile file(disk.vfs, "/data/t", kNew);
        EXPECT_EQ(file.Write("n", 0), 0);
        EXPECT_EQ(file.Sync(), 0);
        EXPECT_EQ(disk.vfs->rename(disk.vfs, "/data/t", "/data/a"), 0);
    };
    Set synced = Outcomes([&](Disk &disk) {
        change(disk);
        EXPECT_EQ(disk.vfs->sync_directory(disk.vfs, "/data"), 0);
        disk.sim.PowerCut();
        return paths(disk);
    });
    EXPECT_EQ(synced, (Set{ "a=n " }));
    Set unsynced = Outcomes([&](Disk &disk) {
        change(disk);
        disk.sim.PowerCut();
        return paths(disk);
    });
    EXPECT_EQ(unsynced, (Set{ "a=n ", "a=o ", "a=o t=n " }));
    Set removed = Outcomes([&](Disk &disk) {
        EXPECT_EQ(disk.vfs->link(disk.vfs, "/data/a", "/data/b"), 0);
        EXPECT_EQ(disk.vfs->unlink(disk.vfs, "/data/a"), 0);
        disk.sim.PowerCut();
        return paths(disk);
    });
    EXPECT_EQ(removed, (Set{ "", "a=o ", "a=o b=o ", "b=o " }));
}

TEST(SimDisk, ADirectoryTakesItsFilesWithIt)
{
    Set outcomes = Outcomes([](Disk &disk) {
        EXPECT_EQ(disk.vfs->make_directory(disk.vfs, "/data/d"), 0);
        VfsFile(disk.vfs, "/data/d/f", kNew);
        EXPECT_EQ(disk.vfs->sync_directory(disk.vfs, "/data/d"), 0);
        disk.sim.PowerCut();
        std::string text;
        for (const std::string &path : disk.sim.Paths())
            text += path + " ";
        return text;
    });
    EXPECT_EQ(outcomes, (Set{ "/data/ /data/a ", "/data/ /data/a /data/d/ /data/d/f " }));
}

TEST(SimDisk, AFailedSyncIsSaidOnceAndLosesData)
{
    Set outcomes = Outcomes([](Disk &disk) {
        VfsFile file(disk.vfs, "/data/a", SL_VFS_WRITE);
        EXPECT_EQ(file.Write(std::string(512, 'n'), 0), 0);
        disk.sim.FailNth(DiskCall::kSync, 1, EIO);
        EXPECT_EQ(file.Sync(), EIO);
        EXPECT_EQ(file.Sync(), 0) << "the second sync has nothing to write";
        EXPECT_EQ(SectorsOf(file.Read(2048, 0)), "nooo") << "the cache shows the new bytes";
        VfsFile direct(disk.vfs, "/data/a", SL_VFS_DIRECT);
        std::string platter = SectorsOf(direct.Read(4096, 0));
        EXPECT_EQ(disk.sim.IsDurable("/data/a"), platter == "nooo");
        auto dropped = disk.sim.Clone(1);
        dropped->DropCaches();
        EXPECT_EQ(SectorsOf(dropped->Bytes("/data/a")), platter);
        disk.sim.PowerCut();
        EXPECT_EQ(SectorsOf(disk.sim.Bytes("/data/a")), platter);
        return platter;
    });
    EXPECT_EQ(outcomes, (Set{ "oooo", "nooo" }));
}

TEST(SimDisk, WhatIsWrittenAgainAfterAFailedSyncCanBeSynced)
{
    Set outcomes = Outcomes([](Disk &disk) {
        VfsFile file(disk.vfs, "/data/a", SL_VFS_WRITE);
        EXPECT_EQ(file.Write(std::string(1024, 'n'), 0), 0);
        disk.sim.FailNth(DiskCall::kSync, 1, EIO);
        EXPECT_EQ(file.Sync(), EIO);
        EXPECT_EQ(file.Write(std::string(512, 'n'), 0), 0);
        EXPECT_EQ(file.Sync(), 0);
        disk.sim.PowerCut();
        return SectorsOf(disk.sim.Bytes("/data/a"));
    });
    EXPECT_EQ(outcomes, (Set{ "nooo", "nnoo" }));
}

TEST(SimDisk, AFailedWriteLandsInPart)
{
    auto write = [](Disk &disk, int error) {
        VfsFile file(disk.vfs, "/data/a", SL_VFS_WRITE | SL_VFS_SYNC);
        disk.sim.FailNth(DiskCall::kWrite, 1, error);
        EXPECT_EQ(file.Write(std::string(1024, 'n'), 512), error == kShortWrite ? EIO : error);
        return SectorsOf(disk.sim.Bytes("/data/a"));
    };
    Set failed = Outcomes([&](Disk &disk) { return write(disk, EIO); });
    EXPECT_EQ(failed, (Set{ "oooo", "onoo", "oono", "onno" }));
    Set cut = Outcomes([&](Disk &disk) { return write(disk, kShortWrite); });
    EXPECT_EQ(cut, (Set{ "oooo", "o?oo", "onoo", "on?o" }));
}

TEST(SimDisk, FailsTheNthCall)
{
    Disk disk(1);
    VfsFile file(disk.vfs, "/data/a", SL_VFS_WRITE);
    disk.sim.FailNth(DiskCall::kRead, 2, EIO);
    EXPECT_EQ(file.Read(1, 0), "o");
    EXPECT_EQ(file.Read(1, 0), "error " + std::to_string(EIO));
    EXPECT_EQ(file.Read(1, 0), "o");
    disk.sim.FailNth(DiskCall::kRead, 1, EIO, true);
    EXPECT_EQ(file.Read(1, 0), "error " + std::to_string(EIO));
    EXPECT_EQ(file.Read(1, 0), "error " + std::to_string(EIO));
    disk.sim.FailNth(DiskCall::kRead, 0, 0);
    EXPECT_EQ(file.Read(1, 0), "o");
    EXPECT_EQ(disk.sim.failures(), 3u);
    EXPECT_EQ(disk.sim.Count(DiskCall::kRead), 6u);
}

TEST(SimDisk, FailsEveryKindOfCall)
{
    Disk disk(1);
    const struct sl_vfs *vfs = disk.vfs;
    VfsFile file(vfs, "/data/a", SL_VFS_WRITE);
    disk.sim.FailNth(DiskCall::kAny, 1, EIO, true);
    std::vector<std::string> names;
    uint64_t number;
    EXPECT_EQ(VfsFile(vfs, "/data/b", kNew).error(), EIO);
    EXPECT_EQ(file.Sync(), EIO);
    EXPECT_EQ(file.Truncate(0), EIO);
    EXPECT_EQ(file.Lock(), EIO);
    EXPECT_EQ(vfs->size(file.get(), &number), EIO);
    EXPECT_EQ(vfs->make_directory(vfs, "/data/d"), EIO);
    EXPECT_EQ(vfs->sync_directory(vfs, "/data"), EIO);
    EXPECT_EQ(ListNames(vfs, "/data", &names), EIO);
    EXPECT_EQ(vfs->rename(vfs, "/data/a", "/data/b"), EIO);
    EXPECT_EQ(vfs->link(vfs, "/data/a", "/data/b"), EIO);
    EXPECT_EQ(vfs->unlink(vfs, "/data/a"), EIO);
    EXPECT_EQ(vfs->space(vfs, "/data", &number), EIO);
    EXPECT_EQ(disk.sim.failures(), 12u);
    EXPECT_EQ(disk.sim.Paths(), (std::vector<std::string>{ "/data/", "/data/a" }));
    EXPECT_EQ(SectorsOf(disk.sim.Bytes("/data/a")), "oooo");
}

TEST(SimDisk, RunsFull)
{
    Disk disk(1);
    VfsFile file(disk.vfs, "/data/a", SL_VFS_WRITE);
    disk.sim.SetFreeSpace(512);
    uint64_t space = 0;
    EXPECT_EQ(file.Write(std::string(2048, 'n'), 512), 0);
    EXPECT_EQ(disk.vfs->space(disk.vfs, "/data", &space), 0);
    EXPECT_EQ(space, 0u);
    EXPECT_EQ(file.Write("x", 2560), ENOSPC);
    EXPECT_EQ(file.Truncate(2561), ENOSPC);
    EXPECT_EQ(file.Write(std::string(2560, 'm'), 0), 0) << "what is there can be overwritten";
    EXPECT_EQ(file.Truncate(1000), 0);
    EXPECT_EQ(disk.vfs->space(disk.vfs, "/data", &space), 0);
    EXPECT_EQ(space, 1560u);
    EXPECT_EQ(file.Write("x", 1000), 0);
    disk.sim.SetFreeSpace(UINT64_MAX);
    EXPECT_EQ(file.Write("x", 1000000), 0);
}

TEST(SimDisk, RefusesDirectFiles)
{
    Disk disk(1);
    disk.sim.SetDirectIo(DirectIo::kRefusedAtOpen);
    EXPECT_EQ(VfsFile(disk.vfs, "/data/b", kNew | SL_VFS_DIRECT).error(), EINVAL);
    EXPECT_FALSE(disk.sim.Exists("/data/b"));
    disk.sim.SetDirectIo(DirectIo::kRefusedAtWrite);
    VfsFile file(disk.vfs, "/data/b", kNew | SL_VFS_DIRECT);
    ASSERT_EQ(file.error(), 0);
    EXPECT_EQ(file.Write(AlignedBytes(4096), 0), EINVAL);
    EXPECT_EQ(file.Size(), 0u);
    EXPECT_EQ(VfsFile(disk.vfs, "/data/a", SL_VFS_WRITE).Write("x", 0), 0);
}

TEST(SimDisk, RotsOnDemand)
{
    Disk disk(1);
    disk.sim.Flip("/data/a", 100, 3);
    EXPECT_EQ(disk.sim.Bytes("/data/a")[100], 'o' ^ 8);
    disk.sim.PowerCut();
    EXPECT_EQ(disk.sim.Bytes("/data/a")[100], 'o' ^ 8);
}

TEST(SimDisk, ACloneIsAnotherDisk)
{
    Disk disk(1);
    VfsFile file(disk.vfs, "/data/a", SL_VFS_WRITE);
    ASSERT_EQ(disk.vfs->link(disk.vfs, "/data/a", "/data/b"), 0);
    ASSERT_EQ(file.Write(std::string(512, 'n'), 0), 0);
    auto clone = disk.sim.Clone(2);
    ASSERT_EQ(file.Write(std::string(512, 'm'), 0), 0);
    EXPECT_EQ(SectorsOf(clone->Bytes("/data/a")), "nooo");
    EXPECT_FALSE(clone->IsDurable("/data/a"));
    clone->Flip("/data/a", 0, 0);
    EXPECT_EQ(clone->Bytes("/data/b")[0], 'n' ^ 1) << "two names of one file still";
    EXPECT_EQ(SectorsOf(disk.sim.Bytes("/data/b")), "mooo");
}

TEST(SimDisk, TheSeedDecides)
{
    auto run = [](uint64_t seed) {
        Disk disk(seed);
        VfsFile file(disk.vfs, "/data/a", SL_VFS_WRITE);
        EXPECT_EQ(file.Write(std::string(20000, 'n'), 0), 0);
        disk.sim.PowerCut();
        return SectorsOf(disk.sim.Bytes("/data/a"));
    };
    EXPECT_EQ(run(5), run(5));
    EXPECT_NE(run(5), run(6));
}

TEST(SimDisk, AWriteUnderWayIsTornLostOrComplete)
{
    Set outcomes = Outcomes([](Disk &disk) {
        VfsFile file(disk.vfs, "/data/a", SL_VFS_WRITE | SL_VFS_SYNC);
        disk.sim.Hold(true);
        int error = 0;
        std::thread writer([&] { error = file.Write(std::string(1024, 'n'), 0); });
        EXPECT_TRUE(disk.sim.WaitForHeld(1));
        EXPECT_EQ(SectorsOf(disk.sim.Bytes("/data/a")), "oooo");
        disk.sim.PowerCut();
        writer.join();
        EXPECT_EQ(error, EIO);
        return SectorsOf(disk.sim.Bytes("/data/a"));
    });
    EXPECT_EQ(outcomes, (Set{ "oooo", "nooo", "onoo", "nnoo" }));
}

TEST(SimDisk, HeldAndDelayedCallsEndWell)
{
    Disk disk(1);
    VfsFile file(disk.vfs, "/data/a", SL_VFS_WRITE | SL_VFS_SYNC);
    disk.sim.Hold(true);
    int written = -1;
    int synced = -1;
    std::thread writer([&] { written = file.Write(std::string(1024, 'n'), 0); });
    std::thread syncer([&] { synced = file.Sync(); });
    EXPECT_TRUE(disk.sim.WaitForHeld(2));
    disk.sim.Hold(false);
    writer.join();
    syncer.join();
    EXPECT_EQ(written, 0);
    EXPECT_EQ(synced, 0);
    disk.sim.SetDelay(1);
    EXPECT_EQ(file.Write(std::string(1024, 'm'), 0), 0);
    EXPECT_EQ(SectorsOf(disk.sim.Bytes("/data/a")), "mmoo");
}
