#include "journal/small_file.h"

#include "support/sim_disk.h"

#include <gtest/gtest.h>

#include <cerrno>

using sluice_test::DiskCall;
using sluice_test::SimDisk;

static int replace(SimDisk *disk, const char *bytes, bool *unknown)
{
    return sl_small_file_replace(disk->vfs(), "/d", "NAME", sl_bytes_of(bytes), unknown);
}

TEST(SmallFile, IsReplacedDurably)
{
    SimDisk disk(1);
    bool unknown = true;
    disk.MakeDirectory("/d");
    disk.SetBytes("/d/NAME.tmp", "what a crash has left there");
    for (const char *bytes : { "first", "second, longer", "" }) {
        EXPECT_EQ(replace(&disk, bytes, &unknown), 0);
        EXPECT_FALSE(unknown);
        disk.PowerCut();
        EXPECT_EQ(disk.Bytes("/d/NAME"), bytes);
        EXPECT_EQ(disk.Files(), std::vector<std::string>{ "/d/NAME" });
    }
}

TEST(SmallFile, IsTheOldOneOrTheNewOneWheneverThePowerFails)
{
    for (uint64_t n = 1; n <= 6; n++) {
        for (uint64_t seed = 1; seed <= 8; seed++) {
            SimDisk disk(seed);
            bool unknown;
            disk.MakeDirectory("/d");
            ASSERT_EQ(replace(&disk, "old", &unknown), 0);
            disk.PowerCutNth(DiskCall::kAny, n);
            EXPECT_NE(replace(&disk, "new", &unknown), 0);
            const std::string now = disk.Bytes("/d/NAME");
            EXPECT_TRUE(now == "old" || now == "new") << now;
            if (!unknown) {
                EXPECT_EQ(now, "old") << n;
            }
        }
    }
}

/* Calls: unlink, open, write, sync, rename, sync of the directory. */
TEST(SmallFile, AFailureSaysWhetherTheOldOneIsCertain)
{
    for (uint64_t n = 1; n <= 6; n++) {
        SimDisk disk(1);
        bool unknown;
        disk.MakeDirectory("/d");
        ASSERT_EQ(replace(&disk, "old", &unknown), 0);
        disk.FailNth(DiskCall::kAny, n, EIO);
        EXPECT_EQ(replace(&disk, "new", &unknown), EIO) << n;
        EXPECT_EQ(unknown, n >= 5) << n;
    }
}

TEST(SmallFile, WhatACrashHasLeftIsRemoved)
{
    SimDisk disk(1);
    bool unknown;
    disk.MakeDirectory("/d");
    ASSERT_EQ(replace(&disk, "old", &unknown), 0);
    EXPECT_EQ(sl_small_file_remove_temporary(disk.vfs(), "/d", "NAME"), 0);
    disk.SetBytes("/d/NAME.tmp", "ne");
    EXPECT_EQ(sl_small_file_remove_temporary(disk.vfs(), "/d", "NAME"), 0);
    EXPECT_EQ(disk.Files(), std::vector<std::string>{ "/d/NAME" });
    disk.FailNth(DiskCall::kUnlink, 1, EIO);
    EXPECT_EQ(sl_small_file_remove_temporary(disk.vfs(), "/d", "NAME"), EIO);
}

TEST(SmallFile, RefusesAPathThatIsTooLong)
{
    SimDisk disk(1);
    bool unknown;
    const std::string directory = "/" + std::string(SL_PATH_SIZE_MAX - 6, 'd');
    EXPECT_EQ(
        sl_small_file_replace(disk.vfs(), directory.c_str(), "NAME", sl_bytes_of("x"), &unknown),
        ENAMETOOLONG);
    EXPECT_EQ(sl_small_file_remove_temporary(disk.vfs(), directory.c_str(), "NAME"), ENAMETOOLONG);
}
