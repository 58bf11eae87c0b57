/*
 * A commit of 1, 16 and 256 records of 256 bytes by the log's own thread, until its wake-up has
 * come: in a new folder of the current directory, so run it on the disk that is to be measured.
 */
#include "bus/port.h"
#include "journal/wal.h"

#include <benchmark/benchmark.h>

#include <cstdlib>
#include <filesystem>
#include <string>

enum { PAYLOAD_SIZE = 256 };

/* A folder that is removed at the end. */
class Folder
{
  public:
    Folder()
    {
        if (mkdtemp(path_.data()) == nullptr)
            std::abort();
    }

    ~Folder()
    {
        std::filesystem::remove_all(path_);
    }

    const char *path() const
    {
        return path_.c_str();
    }

  private:
    /* mkdtemp() puts a name there that is not taken. */
    std::string path_ = "wal_bench." + std::string(6, 'X');
};

/* A log with the files of a default server, and its shard's end. */
class Log
{
  public:
    Log() : port_(sl_port_create())
    {
        struct sl_wal_setup setup = {};
        struct sl_wal_mark begin = { 0, 1, 0, 0 };

        setup.vfs = sl_vfs_posix();
        setup.directory = folder_.path();
        setup.log_id = 1;
        setup.file_size = 64 << 20;
        setup.frame_size_max = 1 << 20;
        setup.size_max = 1 << 30;
        setup.free_bytes_min = 1;
        setup.wake = [](void *port) {
            sl_port_signal(static_cast<struct sl_port *>(port), SL_PORT_JOURNAL);
        };
        setup.context = port_;
        if (sl_wal_open(&setup, &begin, 0, &wal_) != SL_OK)
            std::abort();
    }

    ~Log()
    {
        sl_wal_close(&wal_);
        sl_port_destroy(&port_);
    }

    /* Adds so many records, commits them and waits until they are durable. */
    void Commit(int64_t count)
    {
        static const uint8_t kPayload[PAYLOAD_SIZE] = {};
        struct sl_record record = {};
        uint64_t lsn = 0;

        record.stream_id = 1;
        record.payload[0] = sl_bytes(kPayload, sizeof kPayload);
        while (!sl_wal_has_room(wal_, static_cast<size_t>(count) * sl_record_size(&record)))
            Wait();
        for (int64_t i = 0; i < count; i++)
            lsn = sl_wal_add(wal_, &record, 1);
        sl_wal_commit(wal_);
        while (sl_wal_durable_lsn(wal_) < lsn)
            Wait();
        sl_wal_release(wal_, sl_wal_durable_mark(wal_).position);
    }

    bool is_buffered() const
    {
        return sl_wal_is_buffered(wal_);
    }

  private:
    void Wait()
    {
        if (sl_port_take(port_) == 0 && sl_port_sleep(port_))
            sl_port_wait(port_, -1);
        if (sl_wal_failed(wal_) || sl_wal_space(wal_) != SL_OK)
            std::abort();
    }

    Folder folder_;
    struct sl_port *port_;
    struct sl_wal *wal_ = nullptr;
};

static void WalCommit(benchmark::State &state)
{
    Log log;

    for (auto _ : state)
        log.Commit(state.range(0));
    state.SetItemsProcessed(state.iterations() * state.range(0));
    state.SetBytesProcessed(state.iterations() * state.range(0) * PAYLOAD_SIZE);
    if (log.is_buffered())
        state.SetLabel("through the page cache: this file system takes no direct writes");
}
BENCHMARK(WalCommit)->ArgName("records")->Arg(1)->Arg(16)->Arg(256)->UseRealTime()->Unit(
    benchmark::kMicrosecond);
