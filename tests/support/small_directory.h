/*
 * tests/support/small_directory.h - a data directory that is small and has everything in it
 *
 * What     One shard on a SimDisk: two segments, a log with records, forks, producers, a removed
 *          stream; closed, and then the power was cut: nothing of it is a torn end.
 * Why      Who damages a data directory wants to know what was in it.
 */
#ifndef SL_TESTS_SMALL_DIRECTORY_H
#define SL_TESTS_SMALL_DIRECTORY_H

#include "support/engine_fixture.h"

#include <map>

namespace sluice_test
{

class SmallDirectory
{
  public:
    static constexpr size_t kWalFileBytes = 64 << 10;

    SmallDirectory()
    {
        disk_.MakeDirectory("/disk");
        for (int part = 0; part < 2; part++)
            Run(4 << 10, [&](Session *session) { Fill(session, part); });
        /* A log with records in it, and segments. */
        Run(1 << 20, [&](Session *session) {
            for (int i = 0; i < 4; i++)
                Append(session, "hot", "record " + std::to_string(i) + " of the log");
            Append(session, "cold", "the end");
            EXPECT_EQ(session->Delete("gone"), SL_OK);
            /* The spare behind the last file shows that this one was there. */
            EXPECT_TRUE(Eventually([this] {
                std::string last = disk_.Files().back();
                return last.find("/wal-tmp") == std::string::npos && disk_.IsDurable(last) &&
                       disk_.Bytes(last).find("record 3 of the log") == std::string::npos;
            }));
        });
        disk_.PowerCut();
    }

    const SimDisk &disk() const
    {
        return disk_;
    }
    /* Of the streams that are there; "gone" is not. */
    const std::map<std::string, std::string> &contents() const
    {
        return contents_;
    }
    /* Its one producer's next sequence. */
    uint64_t sequence(const std::string &name) const
    {
        return sequences_.at(name);
    }
    /* Files with something in them. */
    std::vector<std::string> Files() const
    {
        std::vector<std::string> files;
        for (const std::string &file : disk_.Files())
            if (!disk_.Bytes(file).empty())
                files.push_back(file);
        return files;
    }
    uint64_t SegmentFiles() const
    {
        uint64_t count = 0;
        for (const std::string &file : disk_.Files())
            count +=
                file.find("/seg-") != std::string::npos && file.find(".tmp") == std::string::npos;
        return count;
    }
    static enum sl_err Open(SimDisk *disk, struct sl_engine **engine,
                            uint64_t wal_budget_bytes = 4 << 10)
    {
        struct sl_engine_options options = {};
        options.shards = 1;
        options.data_directory = "/disk/data";
        options.vfs = disk->VfsOfThisLife();
        options.wal_file_bytes = kWalFileBytes;
        options.wal_budget_bytes = wal_budget_bytes;
        options.free_bytes_min = 1;
        return sl_engine_open(&options, engine);
    }

  private:
    template <typename Work> void Run(uint64_t wal_budget_bytes, const Work &work)
    {
        struct sl_engine *engine = nullptr;
        ASSERT_EQ(Open(&disk_, &engine, wal_budget_bytes), SL_OK);
        {
            Session session(engine);
            work(&session);
        }
        sl_engine_close(&engine);
    }
    void Append(Session *session, const std::string &name, const std::string &bytes)
    {
        AppendRequest request = Body(bytes);
        request.Producer("producer", 0, sequences_[name]++);
        ASSERT_EQ(session->Append(name, request).err, SL_OK);
        contents_[name] += bytes;
    }
    void Fill(Session *session, int part)
    {
        for (const char *name : { "cold", "hot", "gone" })
            if (part == 0) {
                ASSERT_EQ(session->Create(name).err, SL_OK);
            }
        Append(session, "cold", std::string(3000, static_cast<char>('a' + part)));
        Append(session, "cold", std::string(700, static_cast<char>('k' + part)));
        Append(session, "hot", "hot bytes");
        if (part == 0) {
            ASSERT_EQ(session->Create("fork", ForkOf("cold").At(3000)).err, SL_OK);
            contents_["fork"] = contents_["cold"].substr(0, 3000);
            Append(session, "fork", "of its own");
        }
        ASSERT_TRUE(Eventually([&] { return SegmentFiles() > static_cast<uint64_t>(part); }));
        Append(session, "hot", "more");
    }

    SimDisk disk_{ 7 };
    std::map<std::string, std::string> contents_;
    std::map<std::string, uint64_t> sequences_;
};

} // namespace sluice_test

#endif
