#include "base/log.h"
#include "journal/segment_internal.h"
#include "support/seal.h"
#include "support/small_directory.h"

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <unistd.h>

using namespace sluice_test;

/*
 * A data directory is damaged in one place after the other. SLUICE_DAMAGE_STRIDE=1 flips every bit;
 * SLUICE_DAMAGE_CASE="/disk/data/SLUICE 17 3" (file, byte, bit) only one.
 */
namespace
{

constexpr size_t kSector = 512;

char current_case[300];

void OnAlarm(int)
{
    (void)!write(STDERR_FILENO, "hangs at ", 9);
    (void)!write(STDERR_FILENO, current_case, strlen(current_case));
    abort();
}

/* What a run over many damages met. */
struct Outcomes {
    uint64_t cases = 0, refused = 0, whole = 0, damaged = 0;
};

class DamageTest : public testing::Test
{
  protected:
    static void SetUpTestSuite()
    {
        signal(SIGALRM, OnAlarm);
        if (getenv("SLUICE_DAMAGE_LOG") == nullptr)
            sl_log_set_level(static_cast<enum sl_log_level>(SL_LOG_ERROR + 1));
        made_ = std::make_unique<SmallDirectory>();
    }
    static void TearDownTestSuite()
    {
        made_.reset();
    }
    static const SimDisk &Disk()
    {
        return made_->disk();
    }

    /* A stream reads back exactly, or says that it is damaged; what it shows is right. */
    void CheckStream(Session *session, const std::string &name, const std::string &content)
    {
        std::string bytes;
        ReadReply reply = session->Read(name, FromStart());
        while (reply.err == SL_OK) {
            bytes += reply.data;
            if (reply.next >= reply.stream.tail || reply.data.empty())
                break;
            uint64_t limit = reply.next < reply.page_end ? reply.page_end : 0;
            reply = session->Read(name, From(reply.next).Limit(limit));
        }
        ASSERT_EQ(bytes, content.substr(0, bytes.size())) << name << ": wrong bytes";
        if (reply.err != SL_OK) {
            ASSERT_EQ(reply.err, SL_ERR_DATA_DAMAGED) << name;
            is_damaged_ = true;
            return;
        }
        ASSERT_EQ(bytes.size(), content.size()) << name << ": shorter";
        AppendRequest again = Body("again").Producer("producer", 0, made_->sequence(name) - 1);
        Reply repeat = session->Append(name, again);
        ASSERT_TRUE(repeat.err == SL_OK && repeat.duplicate)
            << name << ": " << sl_err_code(repeat.err) << ", the producer is forgotten";
    }

    /* The log, and what says where it begins and ends. */
    static std::map<std::string, std::string> Logs(const SimDisk &disk)
    {
        std::map<std::string, std::string> logs;
        for (const std::string &file : disk.Files())
            if (file.find("/wal-") != std::string::npos ||
                file.find("/MANIFEST") != std::string::npos)
                logs[file] = disk.Bytes(file);
        return logs;
    }
    /* A start that is refused leaves them: fsck finds what it would have found before. */
    static enum sl_err Open(SimDisk *disk, struct sl_engine **engine)
    {
        const std::map<std::string, std::string> before = Logs(*disk);
        enum sl_err err = SmallDirectory::Open(disk, engine);
        if (err != SL_OK) {
            EXPECT_TRUE(Logs(*disk) == before);
        }
        return err;
    }

    /* Opens the damaged disk: refused, or right, or loud. */
    void CheckDisk(SimDisk &disk, Outcomes *outcomes)
    {
        struct sl_engine *engine = nullptr;
        outcomes->cases++;
        alarm(60);
        enum sl_err err = Open(&disk, &engine);
        if (err != SL_OK) {
            outcomes->refused++;
            ASSERT_TRUE(err == SL_ERR_DATA_CORRUPT || err == SL_ERR_DATA_VERSION ||
                        err == SL_ERR_STORAGE_FAILED)
                << sl_err_code(err);
            alarm(0);
            return;
        }
        is_damaged_ = false;
        {
            Session session(engine);
            for (const auto &[name, content] : made_->contents())
                if (!HasFatalFailure())
                    CheckStream(&session, name, content);
            EXPECT_EQ(session.Head("gone").err, SL_ERR_NOT_FOUND);
        }
        sl_engine_close(&engine);
        outcomes->damaged += is_damaged_;
        outcomes->whole += !is_damaged_;
        alarm(0);
    }

    /* Opens the disk: refused, or all that is there can be read, whatever it is. */
    void CheckReads(SimDisk &disk)
    {
        struct sl_engine *engine = nullptr;
        outcomes_.cases++;
        alarm(60);
        if (Open(&disk, &engine) != SL_OK) {
            outcomes_.refused++;
            alarm(0);
            return;
        }
        {
            Session session(engine);
            for (const std::string &name : session.List()) {
                ReadReply reply = session.Read(name, FromStart());
                EXPECT_EQ(reply.err, SL_OK) << name << ": " << sl_err_code(reply.err);
            }
        }
        sl_engine_close(&engine);
        outcomes_.whole++;
        alarm(0);
    }

    /* One bit of one file; false: the rule is broken. */
    bool Flip(const std::string &file, uint64_t byte, unsigned bit, Outcomes *outcomes)
    {
        snprintf(current_case, sizeof(current_case), "SLUICE_DAMAGE_CASE=\"%s %llu %u\"",
                 file.c_str(), static_cast<unsigned long long>(byte), bit);
        std::unique_ptr<SimDisk> disk = Disk().Clone(byte);
        disk->Flip(file, byte, bit);
        CheckDisk(*disk, outcomes);
        if (HasFailure())
            ADD_FAILURE() << current_case;
        return !HasFailure();
    }
    static void Print(const char *what, const Outcomes &outcomes)
    {
        printf("%s: cases=%llu refused=%llu whole=%llu damaged=%llu\n", what,
               static_cast<unsigned long long>(outcomes.cases),
               static_cast<unsigned long long>(outcomes.refused),
               static_cast<unsigned long long>(outcomes.whole),
               static_cast<unsigned long long>(outcomes.damaged));
    }
    /* A sector with something in it is live; the others are padding, or free. */
    static bool IsLive(const std::string &bytes, uint64_t sector)
    {
        return bytes.substr(sector * kSector, kSector).find_first_not_of('\0') != std::string::npos;
    }
    template <typename Change> void Damage(const std::string &what, const Change &change)
    {
        snprintf(current_case, sizeof(current_case), "%s", what.c_str());
        std::unique_ptr<SimDisk> disk = Disk().Clone(1);
        change(*disk);
        CheckDisk(*disk, &outcomes_);
        if (HasFailure())
            FAIL() << what;
    }

    static std::vector<std::string> Segments()
    {
        std::vector<std::string> segments;
        for (const std::string &file : made_->Files())
            if (file.find("/seg-") != std::string::npos)
                segments.push_back(file);
        return segments;
    }
    /* Where a segment has the entries of streams, and how large the state in each is. */
    static std::map<size_t, size_t> Entries(const std::string &bytes)
    {
        std::map<size_t, size_t> entries;
        const uint8_t *data = reinterpret_cast<const uint8_t *>(bytes.data());
        struct sl_buffer scratch = {};
        struct sli_footer footer;
        EXPECT_EQ(sli_footer_decode(
                      sl_bytes(data + bytes.size() - SLI_FOOTER_BYTES, SLI_FOOTER_BYTES), &footer),
                  nullptr);
        struct sl_bytes directory =
            sl_bytes(data + footer.directory_position, footer.directory_size);
        for (size_t i = 0; i < directory.size / SLI_DIRECTORY_ENTRY_BYTES; i++) {
            struct sli_directory_entry place = sli_directory_get(directory, i);
            struct sl_bytes block = sl_bytes(data + place.position, place.size);
            struct sl_bytes left = sl_bytes_from(block, SLI_BLOCK_HEADER_BYTES);
            for (uint32_t j = 0; j < sli_entry_block_entries(block); j++) {
                struct sl_entry entry;
                EXPECT_EQ(sli_entry_decode(left, bytes.size(), &entry, &scratch), nullptr);
                entries[static_cast<size_t>(left.data - data)] = entry.state.size;
                left = sl_bytes_from(left, entry.raw.size);
            }
        }
        sl_buffer_deinit(&scratch);
        return entries;
    }
    /* Other bytes in the place of a segment, and every checksum put right. */
    static void SetSealed(SimDisk &disk, const std::string &file, std::string bytes)
    {
        const std::string manifest_path = "/disk/data/shard-00/MANIFEST";
        std::string manifest = disk.Bytes(manifest_path);
        uint8_t *data = reinterpret_cast<uint8_t *>(&bytes[0]);
        uint8_t *manifest_data = reinterpret_cast<uint8_t *>(&manifest[0]);
        uint64_t number = strtoull(file.c_str() + file.find("/seg-") + 5, nullptr, 16);
        seal_segment(data, bytes.size());
        seal_manifest_segment(manifest_data, manifest.size(), number, data, bytes.size());
        seal_manifest(manifest_data, manifest.size());
        disk.SetBytes(file, bytes);
        disk.SetBytes(manifest_path, manifest);
    }

    static std::unique_ptr<SmallDirectory> made_;
    bool is_damaged_ = false;
    Outcomes outcomes_;
};

std::unique_ptr<SmallDirectory> DamageTest::made_;

} // namespace

/* A lambda with commas in it is one argument of this, too. */
#define DAMAGE(...) ASSERT_NO_FATAL_FAILURE(Damage(__VA_ARGS__))

TEST_F(DamageTest, TheDirectoryIsWholeWithoutDamage)
{
    for (const std::string &file : made_->Files())
        printf("%s %zu bytes\n", file.c_str(), Disk().Bytes(file).size());
    std::unique_ptr<SimDisk> disk = Disk().Clone(1);
    CheckDisk(*disk, &outcomes_);
    EXPECT_EQ(outcomes_.whole, 1u);
    EXPECT_GE(made_->SegmentFiles(), 2u);
}

TEST_F(DamageTest, OneCase)
{
    const char *given = getenv("SLUICE_DAMAGE_CASE");
    const char *text = given == nullptr ? "/disk/data/SLUICE 17 3" : given;
    char file[200];
    unsigned long long byte = 0;
    unsigned bit = 0;
    ASSERT_EQ(sscanf(text, "%199s %llu %u", file, &byte, &bit), 3) << text;
    EXPECT_TRUE(Flip(file, byte, bit, &outcomes_));
    Print(file, outcomes_);
}

TEST_F(DamageTest, NoFlippedBitIsServedOrShortensAStream)
{
    const char *text = getenv("SLUICE_DAMAGE_STRIDE");
    uint64_t stride = text == nullptr ? 97 : strtoull(text, nullptr, 10);
    for (const std::string &file : made_->Files()) {
        std::string bytes = Disk().Bytes(file);
        Outcomes outcomes;
        uint64_t next = 0;
        for (uint64_t sector = 0; sector * kSector < bytes.size(); sector++) {
            uint64_t begin = sector * kSector * 8;
            uint64_t end = std::min<uint64_t>(begin + kSector * 8, bytes.size() * 8);
            if (!IsLive(bytes, sector)) {
                if (stride == 1 || sector % 16 == 0) {
                    ASSERT_TRUE(Flip(file, begin / 8, 0, &outcomes));
                }
                continue;
            }
            for (next = std::max(next, begin); next < end; next += stride)
                ASSERT_TRUE(Flip(file, next / 8, next % 8, &outcomes));
        }
        Print(file.c_str(), outcomes);
    }
}

TEST_F(DamageTest, NoMissingShortOrEmptiedFileShortensAStream)
{
    for (const std::string &file : made_->Files()) {
        std::string bytes = Disk().Bytes(file);
        DAMAGE("missing " + file, [&](SimDisk &disk) { disk.Remove(file); });
        for (uint64_t size = 0; size < bytes.size(); size += 1 + bytes.size() / 9)
            DAMAGE("cut to " + std::to_string(size) + " " + file,
                   [&](SimDisk &disk) { disk.SetBytes(file, bytes.substr(0, size)); });
        DAMAGE("longer " + file,
               [&](SimDisk &disk) { disk.SetBytes(file, bytes + std::string(100, 'x')); });
        for (uint64_t at = 0; at < bytes.size(); at += 4096) {
            std::string zeroed = bytes;
            zeroed.replace(at, std::min<size_t>(4096, bytes.size() - at),
                           std::min<size_t>(4096, bytes.size() - at), '\0');
            if (zeroed == bytes)
                continue;
            DAMAGE("zeroed at " + std::to_string(at) + " " + file,
                   [&](SimDisk &disk) { disk.SetBytes(file, zeroed); });
        }
    }
    Print("files", outcomes_);
}

TEST_F(DamageTest, AShardThatIsEmptiedOrGoneIsRefused)
{
    const std::string shard = "/disk/data/shard-00";
    for (bool gone : { false, true })
        DAMAGE(gone ? "gone" : "emptied", [&](SimDisk &disk) {
            for (const std::string &file : disk.Files())
                if (file.compare(0, shard.size() + 1, shard + "/") == 0)
                    disk.Remove(file);
            if (gone)
                disk.Remove(shard);
        });
    EXPECT_EQ(outcomes_.refused, 2u);
}

/* Such a stream would wait for its last change for ever, and miss what the log says of it later. */
TEST_F(DamageTest, ASegmentWithAnEntryThatIsAheadOfTheLogIsRefused)
{
    constexpr size_t kLsnAt = sizeof(uint64_t); /* behind the id */
    uint64_t segments = 0;
    for (const std::string &file : Segments()) {
        std::string bytes = Disk().Bytes(file);
        std::map<size_t, size_t> entries = Entries(bytes);
        if (entries.empty())
            continue;
        uint64_t lsn = UINT64_C(1) << 40;
        memcpy(&bytes[entries.begin()->first + kLsnAt], &lsn, sizeof(lsn));
        segments++;
        DAMAGE("ahead in " + file, [&](SimDisk &disk) { SetSealed(disk, file, bytes); });
    }
    EXPECT_GE(segments, 2u);
    EXPECT_EQ(outcomes_.refused, segments);
}

/*
 * Its ancestors may be there, but nobody would keep them for it. In all segments at once: if it was
 * flushed twice, its older entry counts for nothing.
 */
TEST_F(DamageTest, AForkWithoutItsSourceIsRefused)
{
    /* Its shard, its id, the fork offset and the sub-offset, as varints. */
    const std::string origin("\0\x80\x02\xb8\x17\0\4cold", 11);
    uint64_t forks = 0;
    DAMAGE("source", [&](SimDisk &disk) {
        for (const std::string &file : Segments()) {
            std::string bytes = Disk().Bytes(file);
            size_t at = bytes.find(origin);
            if (at == std::string::npos)
                continue;
            forks++;
            bytes[at] = 1;
            SetSealed(disk, file, bytes);
        }
    });
    EXPECT_GE(forks, 1u);
    EXPECT_EQ(outcomes_.refused, 1u);
}

/* Of a fork above all: where its source is, and what of its ancestors it inherited. */
TEST_F(DamageTest, AStateThatIsWrongIsRefusedAndFoundByNoRead)
{
    for (const std::string &file : Segments()) {
        const std::string good = Disk().Bytes(file);
        for (auto [entry, size] : Entries(good))
            for (size_t i = 0; i < size * 2; i++) {
                size_t at = entry + SLI_ENTRY_HEADER_BYTES + i / 2;
                std::string bytes = good;
                bytes[at] = static_cast<char>(bytes[at] + (i % 2 == 0 ? 1 : 0x3b));
                snprintf(current_case, sizeof(current_case), "%s %zu", file.c_str(), at);
                std::unique_ptr<SimDisk> disk = Disk().Clone(1);
                SetSealed(*disk, file, bytes);
                ASSERT_NO_FATAL_FAILURE(CheckReads(*disk)) << current_case;
            }
    }
    Print("states", outcomes_);
    EXPECT_GT(outcomes_.refused, 0u);
    EXPECT_GT(outcomes_.whole, 0u);
}

TEST_F(DamageTest, NoSwappedOrDoubledFileIsTakenForAnother)
{
    std::vector<std::string> files = made_->Files();
    for (const std::string &one : files)
        for (const std::string &other : files) {
            std::string from = Disk().Bytes(one), to = Disk().Bytes(other);
            if (from == to)
                continue;
            DAMAGE(one + " in the place of " + other,
                   [&](SimDisk &disk) { disk.SetBytes(other, from); });
            if (one < other) {
                DAMAGE(one + " swapped with " + other, [&](SimDisk &disk) {
                    disk.SetBytes(other, from);
                    disk.SetBytes(one, to);
                });
            }
        }
    Print("places", outcomes_);
}
