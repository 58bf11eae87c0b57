/*
 * tests/journal/segment_fixture.h - streams in segments, as tests say and see them
 *
 * What     Fills batches from strings, reads segments back into maps, and plays the shard of a
 *          catalog: a store on a disk, a worker, and one wake-up at a time.
 * Thread   The test's.
 */
#ifndef SL_TESTS_SEGMENT_FIXTURE_H
#define SL_TESTS_SEGMENT_FIXTURE_H

#include "journal/flush.h"
#include "support/sim_disk.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace sluice_test
{

constexpr uint64_t kLogId = 0x1122334455667788;
constexpr char kStore[] = "/data";
constexpr char kShard[] = "/data/shard-00";

/* Some bytes that differ from place to place. */
inline std::string Text(size_t size, unsigned seed)
{
    std::string text(size, 0);
    for (size_t i = 0; i < size; i++)
        text[i] = static_cast<char>('a' + (i * 7 + seed + i / 26) % 26);
    return text;
}

/* One batch, filled from strings. */
class Batch
{
  public:
    Batch() : batch_(sl_segment_batch_create())
    {
    }
    ~Batch()
    {
        sl_segment_batch_destroy(&batch_);
    }
    Batch(const Batch &) = delete;

    /* A part of a stream, in chunks of `chunk_size`, an extent each. */
    Batch &Add(uint64_t id, uint64_t lsn, const std::string &state, uint64_t start = 0,
               const std::string &payload = "", bool complete = true, size_t chunk_size = 1000)
    {
        sl_batch_entry entry = {};
        entry.id = id;
        entry.lsn = lsn;
        entry.state_at = static_cast<uint32_t>(batch_->states.size);
        entry.state_size = static_cast<uint32_t>(state.size());
        entry.extent_at = static_cast<uint32_t>(batch_->extents.size / sizeof(sl_extent_on_disk));
        entry.complete = complete;
        sl_buffer_append(&batch_->states, state.data(), state.size());
        for (size_t at = 0; at < payload.size(); at += chunk_size) {
            AddChunk(id, start + at, payload.substr(at, chunk_size));
            entry.extent_count++;
        }
        sl_buffer_append(&batch_->entries, &entry, sizeof(entry));
        return *this;
    }
    Batch &AddTombstone(uint64_t id, uint64_t lsn)
    {
        sl_tombstone tombstone = { id, lsn };
        sl_buffer_append(&batch_->tombstones, &tombstone, sizeof(tombstone));
        return *this;
    }
    sl_segment_batch *get()
    {
        return batch_;
    }
    sl_segment_batch *Release()
    {
        sl_segment_batch *batch = batch_;
        batch_ = nullptr;
        return batch;
    }
    sl_extent_on_disk *extents()
    {
        return reinterpret_cast<sl_extent_on_disk *>(batch_->extents.data);
    }

  private:
    void AddChunk(uint64_t id, uint64_t start, const std::string &payload)
    {
        std::string boundaries = "@" + std::to_string(start);
        size_t at = sl_segment_batch_begin_chunk(batch_);
        sl_buffer_append(&batch_->chunks, payload.data(), payload.size());
        sl_buffer_append(&batch_->chunks, boundaries.data(), boundaries.size());
        sl_segment_batch_end_chunk(batch_, at, id, start, static_cast<uint32_t>(payload.size()));
        sl_extent_on_disk extent = {};
        extent.start = start;
        extent.size = static_cast<uint32_t>(payload.size());
        extent.disk_size = static_cast<uint32_t>(batch_->chunks.size - at);
        extent.position = at;
        extent.ends_message = start % 2 == 0;
        sl_buffer_append(&batch_->extents, &extent, sizeof(extent));
    }

    sl_segment_batch *batch_;
};

/* A stream as its entries say. */
struct Stream {
    uint64_t lsn = 0;
    std::string state;
    std::map<uint64_t, std::string> pieces; /* by start: what an extent holds */
    std::vector<sl_extent_on_disk> extents;

    /* All pieces in one; "?" where they do not join. */
    std::string Bytes() const
    {
        std::string bytes;
        uint64_t end = pieces.empty() ? 0 : pieces.begin()->first;
        for (const auto &[start, piece] : pieces) {
            bytes += start == end ? piece : "?";
            end = start + piece.size();
        }
        return bytes;
    }
};

/* What segments hold. */
struct Content {
    std::map<uint64_t, Stream> streams;
    std::map<uint64_t, uint64_t> tombstones; /* id -> LSN */
    sl_err err = SL_OK;                      /* the first one */

    /* "id:lsn:state:bytes" of every stream that no tombstone has removed. */
    std::vector<std::string> Live() const
    {
        std::vector<std::string> live;
        for (const auto &[id, stream] : streams)
            if (tombstones.count(id) == 0)
                live.push_back(std::to_string(id) + ":" + std::to_string(stream.lsn) + ":" +
                               stream.state + ":" + stream.Bytes());
        return live;
    }
};

inline void OnEntry(void *context, sl_segment *segment, const sl_entry *entry)
{
    Content *content = static_cast<Content *>(context);
    Stream &stream = content->streams[entry->id];
    if (entry->lsn >= stream.lsn) {
        stream.lsn = entry->lsn;
        stream.state.assign(reinterpret_cast<const char *>(entry->state.data), entry->state.size);
    }
    for (uint32_t i = 0; i < entry->extent_count; i++) {
        const sl_extent_on_disk &extent = entry->extents[i];
        sl_buffer buffer = {};
        std::string piece;
        sl_err err = sl_segment_read(
            segment, entry->id, &extent, &buffer,
            [](void *to, const sl_chunk *chunk) {
                std::string boundaries(reinterpret_cast<const char *>(chunk->boundaries.data),
                                       chunk->boundaries.size);
                EXPECT_EQ(boundaries, "@" + std::to_string(chunk->start));
                static_cast<std::string *>(to)->append(
                    reinterpret_cast<const char *>(chunk->payload.data), chunk->payload.size);
            },
            &piece);
        sl_buffer_deinit(&buffer);
        if (err != SL_OK && content->err == SL_OK)
            content->err = err;
        stream.pieces[extent.start] += piece;
        stream.extents.push_back(extent);
    }
}

inline void OnTombstone(void *context, sl_segment *, const sl_tombstone *tombstone)
{
    static_cast<Content *>(context)->tombstones[tombstone->id] = tombstone->lsn;
}

/* Adds what a segment holds. */
inline void ReadSegment(sl_segment *segment, Content *content)
{
    sl_segment_visitor visitor = { OnEntry, OnTombstone, content };
    uint64_t position;
    const char *what;
    sl_err err = sl_segment_visit(segment, &visitor, &position, &what);
    if (err != SL_OK && content->err == SL_OK)
        content->err = err;
    EXPECT_EQ(err == SL_OK, what == nullptr);
}

inline sl_segment *SegmentOf(sl_link *link)
{
    return reinterpret_cast<sl_segment *>(reinterpret_cast<char *>(link) -
                                          offsetof(sl_segment, link));
}

/* A store with one shard on a disk; it does not own the disk. */
class Shard
{
  public:
    explicit Shard(SimDisk *disk) : disk_(disk)
    {
        static char path[] = "/data";
        store_.vfs = disk->vfs();
        store_.path = path;
        store_.log_id = kLogId;
        store_.shards = 1;
        worker_ = sl_worker_create("test", 1);
    }
    ~Shard()
    {
        Close();
        sl_worker_destroy(&worker_);
    }
    Shard(const Shard &) = delete;

    static void MakeStore(SimDisk *disk)
    {
        disk->MakeDirectory("/data");
        disk->MakeDirectory("/data/lost+found");
        disk->MakeDirectory(kShard);
        sl_manifest first;
        bool unknown;
        sl_manifest_init(&first, kLogId);
        EXPECT_EQ(sl_manifest_store(disk->vfs(), kShard, &first, &unknown), SL_OK);
    }
    /* As after a restart: nothing is under way any more. */
    sl_err Open()
    {
        Close();
        sl_worker_destroy(&worker_);
        worker_ = sl_worker_create("test", 1);
        return sl_catalog_open(&store_, 0, &catalog_);
    }
    void Close()
    {
        sl_catalog_close(&catalog_);
    }
    sl_catalog *catalog()
    {
        return catalog_;
    }
    sl_worker *worker()
    {
        return worker_;
    }
    sl_flush_setup Setup(sl_wal *wal = nullptr)
    {
        sl_flush_setup setup = {};
        setup.catalog = catalog_;
        setup.worker = worker_;
        setup.wal = wal;
        setup.wake = Wake;
        setup.context = this;
        return setup;
    }
    /* Returns when `done` says so, looking again after every wake-up. */
    template <typename Done> void WaitUntil(Done done)
    {
        uint64_t seen = 0;
        while (!done()) {
            std::unique_lock<std::mutex> lock(mutex_);
            changed_.wait(lock, [&] { return wakes_ != seen; });
            seen = wakes_;
        }
    }
    /* A whole flush; the new segment joins the list. Takes the batches. */
    sl_err Flush(const std::vector<sl_segment_batch *> &batches, uint64_t mark_lsn,
                 uint64_t last_id = 0, sl_wal *wal = nullptr)
    {
        sl_flush_setup setup = Setup(wal);
        sl_flush *flush = sl_flush_begin(&setup);
        for (sl_segment_batch *batch : batches)
            sl_flush_add(flush, &batch);
        sl_wal_mark mark = {};
        mark.lsn = mark_lsn;
        mark.position = mark_lsn * 4096;
        sl_flush_end(flush, &mark, mark_lsn - 1, last_id);
        WaitUntil([&] { return sl_flush_state(flush) != SL_FLUSH_WRITING; });
        sl_err err = SL_OK;
        if (sl_flush_state(flush) == SL_FLUSH_FAILED)
            err = sl_flush_error(flush);
        else
            Append(sl_flush_take_segment(flush));
        sl_flush_destroy(&flush);
        return err;
    }
    void Append(sl_segment *segment)
    {
        if (segment != nullptr)
            sl_link_append(sl_catalog_segments(catalog_), &segment->link);
    }
    std::vector<sl_segment *> Segments()
    {
        std::vector<sl_segment *> segments;
        sl_link *head = sl_catalog_segments(catalog_);
        for (sl_link *link = head->next; link != head; link = link->next)
            segments.push_back(SegmentOf(link));
        return segments;
    }
    Content Read()
    {
        Content content;
        for (sl_segment *segment : Segments())
            ReadSegment(segment, &content);
        return content;
    }
    /* Names in the shard's directory. */
    std::vector<std::string> Files() const
    {
        std::vector<std::string> files;
        std::string directory = std::string(kShard) + "/";
        for (const std::string &path : disk_->Files())
            if (path.rfind(directory, 0) == 0)
                files.push_back(path.substr(directory.size()));
        return files;
    }

  private:
    static void Wake(void *context)
    {
        Shard *shard = static_cast<Shard *>(context);
        std::lock_guard<std::mutex> lock(shard->mutex_);
        shard->wakes_++;
        shard->changed_.notify_all();
    }

    SimDisk *disk_;
    sl_store store_ = {};
    sl_catalog *catalog_ = nullptr;
    sl_worker *worker_ = nullptr;
    std::mutex mutex_;
    std::condition_variable changed_;
    uint64_t wakes_ = 0;
};

} // namespace sluice_test

#endif
