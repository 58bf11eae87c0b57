/*
 * tests/support/wal_fixture.h - a small log on a simulated disk
 *
 * What     TestLog writes texts as records and says which are durable; ScanLog reads them back.
 * Thread   The test's.
 */
#ifndef SL_TESTS_WAL_FIXTURE_H
#define SL_TESTS_WAL_FIXTURE_H

#include "journal/wal.h"
#include "journal/wal_files.h"
#include "journal/wal_scan.h"

#include "support/sim_disk.h"

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <vector>

namespace sluice_test
{

constexpr uint64_t kLogId = 0x1122334455667788;
constexpr uint64_t kFileSize = 64 * 1024;
constexpr uint64_t kFrameSizeMax = 8 * 1024;
constexpr size_t kRecordHeader = SL_RECORD_HEADER_BYTES;

inline struct sl_wal_mark LogBegin()
{
    return { 0, 1, 0, 0 };
}

inline bool SameMark(const struct sl_wal_mark &a, const struct sl_wal_mark &b)
{
    return a.position == b.position && a.lsn == b.lsn && a.epoch == b.epoch && a.chain == b.chain;
}

inline std::string LogPath(uint64_t number, const std::string &directory = "/log")
{
    char name[SL_WAL_FILE_NAME_SIZE];
    sl_wal_file_name(number, name);
    return directory + "/" + name;
}

/* What a scan found; the records are their payloads, or their heads when they have none. */
struct ScanResult {
    struct sl_wal_scan scan = {};
    std::vector<std::string> records;
    size_t announced = 0;
    std::vector<uint64_t> lsns;
    std::vector<int64_t> walls;
};

inline bool KeepRecord(void *context, uint64_t lsn, int64_t wall_ms, const struct sl_record *record,
                       const char **what)
{
    auto *result = static_cast<ScanResult *>(context);
    struct sl_bytes bytes = record->payload[0].size > 0 ? record->payload[0] : record->head;
    result->records.emplace_back(reinterpret_cast<const char *>(bytes.data), bytes.size);
    result->lsns.push_back(lsn);
    result->walls.push_back(wall_ms);
    *what = "refused by the test";
    return result->records.back() != "refuse me";
}

/* Once for every record, in order, before it is given, and not too early. */
inline void ExpectComing(void *context, const struct sl_record *record)
{
    auto *result = static_cast<ScanResult *>(context);
    EXPECT_GE(result->announced, result->records.size());
    EXPECT_LE(result->announced, result->records.size() + SL_WAL_SCAN_AHEAD);
    EXPECT_LE(record->payload[0].size, kFileSize);
    result->announced++;
}

inline ScanResult ScanLog(const SimDisk &disk, struct sl_wal_mark from = LogBegin(),
                          uint64_t durable_lsn_at_least = 0, uint64_t log_id = kLogId)
{
    ScanResult result;
    result.scan.vfs = disk.vfs();
    result.scan.directory = "/log";
    result.scan.log_id = log_id;
    result.scan.file_size = kFileSize;
    result.scan.from = from;
    result.scan.durable_lsn_at_least = durable_lsn_at_least;
    result.scan.on_record = KeepRecord;
    result.scan.on_coming = ExpectComing;
    result.scan.context = &result;
    sl_wal_scan(&result.scan);
    return result;
}

/* One life of a log. */
class TestLog
{
  public:
    explicit TestLog(SimDisk *disk) : disk_(disk)
    {
        setup = {};
        setup.vfs = disk->vfs();
        setup.directory = "/log";
        setup.log_id = kLogId;
        setup.file_size = kFileSize;
        setup.frame_size_max = kFrameSizeMax;
        setup.size_max = 1024 * kFileSize;
        setup.wake = OnWake;
        setup.context = this;
        if (!disk->Exists("/log"))
            disk->MakeDirectory("/log");
    }

    ~TestLog()
    {
        Close();
    }

    TestLog(const TestLog &) = delete;
    TestLog &operator=(const TestLog &) = delete;

    enum sl_err Open(struct sl_wal_mark end = LogBegin(), uint64_t keep_from = 0)
    {
        return sl_wal_open(&setup, &end, keep_from, &wal_);
    }

    void Close()
    {
        if (wal_ != nullptr)
            sl_wal_close(&wal_);
    }

    struct sl_wal *get() const
    {
        return wal_;
    }

    /* Adds a record with this payload. */
    uint64_t Add(const std::string &payload, int64_t wall_ms = 1)
    {
        struct sl_record record = {};
        record.stream_id = 5;
        record.kind = 2;
        size_t half = payload.size() / 2;
        record.payload[0] = sl_bytes(payload.data(), half);
        record.payload[1] = sl_bytes(payload.data() + half, payload.size() - half);
        return sl_wal_add(wal_, &record, wall_ms);
    }

    /* A record without payload. */
    uint64_t AddHead(const std::string &head)
    {
        struct sl_record record = {};
        record.head = sl_bytes(head.data(), head.size());
        return sl_wal_add(wal_, &record, 1);
    }

    /* The same as a batch of its own, durable on return. */
    uint64_t WriteHead(const std::string &head)
    {
        uint64_t lsn = AddHead(head);
        sl_wal_commit(wal_);
        EXPECT_TRUE(WaitDurable(lsn));
        return lsn;
    }

    /* One record as a batch of its own, durable on return. */
    void Write(const std::string &payload)
    {
        uint64_t lsn = Add(payload);
        sl_wal_commit(wal_);
        EXPECT_TRUE(WaitDurable(lsn));
    }

    /* Returns when wake() has come and `done` is true; false: not within ten seconds. */
    template <typename Done> bool WaitFor(Done done)
    {
        std::unique_lock<std::mutex> lock(mutex_);
        return woken_.wait_for(lock, std::chrono::seconds(10), done);
    }

    /* False: the disk is full. */
    bool WaitForRoom(size_t size)
    {
        EXPECT_TRUE(
            WaitFor([&] { return sl_wal_space(wal_) != SL_OK || sl_wal_has_room(wal_, size); }));
        return sl_wal_space(wal_) == SL_OK;
    }

    /* False: the log has failed. */
    bool WaitDurable(uint64_t lsn)
    {
        EXPECT_TRUE(
            WaitFor([&] { return sl_wal_durable_lsn(wal_) >= lsn || sl_wal_failed(wal_); }));
        return sl_wal_durable_lsn(wal_) >= lsn;
    }

    struct sl_wal_setup setup;

  private:
    static void OnWake(void *context)
    {
        auto *log = static_cast<TestLog *>(context);
        std::lock_guard<std::mutex> lock(log->mutex_);
        log->woken_.notify_all();
    }

    SimDisk *disk_;
    struct sl_wal *wal_ = nullptr;
    std::mutex mutex_;
    std::condition_variable woken_;
};

} // namespace sluice_test

#endif
