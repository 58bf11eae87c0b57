#include "journal/wal_scan.h"

#include "base/crc32c.h"
#include "journal/frame.h"

#include "support/sim_disk.h"
#include "support/wal_fixture.h"

#include <errno.h>

using namespace sluice_test;

namespace
{

constexpr uint64_t kBlock = SL_DISK_BLOCK_BYTES;

/* Writes frames one by one, right or wrong. */
class WalScan : public ::testing::Test
{
  protected:
    /* Where a frame was put. */
    struct Place {
        uint64_t position;
        size_t size; /* whole blocks */
        size_t used; /* bytes that are checked */
        struct sl_wal_mark before;
    };

    WalScan() : disk_(1)
    {
        disk_.MakeDirectory("/log");
    }

    static std::string Body(const std::vector<std::string> &payloads)
    {
        std::string body;
        for (const std::string &payload : payloads) {
            struct sl_record record = {};
            record.payload[0] = sl_bytes(payload.data(), payload.size());
            std::string bytes(sl_record_size(&record), '\0');
            sl_record_encode(&record, reinterpret_cast<uint8_t *>(bytes.data()));
            body += bytes;
        }
        return body;
    }

    /* Bytes on the disk, which grows by files of zeros. */
    void Put(uint64_t position, const std::string &bytes)
    {
        std::string path = LogPath(position / kFileSize);
        std::string content(kFileSize, '\0');
        if (disk_.Exists(path))
            content = disk_.Bytes(path);
        content.replace(position % kFileSize, bytes.size(), bytes);
        disk_.SetBytes(path, content);
    }

    std::string Take(const Place &place)
    {
        return disk_.Bytes(LogPath(place.position / kFileSize))
            .substr(place.position % kFileSize, place.size);
    }

    void Flip(uint64_t position, unsigned bit = 0)
    {
        disk_.Flip(LogPath(position / kFileSize), position % kFileSize, bit);
    }

    /* The frame's bytes, as it would be next in the log. */
    struct sl_frame Next(const std::string &body, size_t count, unsigned flags = 0)
    {
        struct sl_frame frame = {};
        frame.flags = static_cast<uint16_t>(flags);
        frame.body_size = static_cast<uint32_t>(body.size());
        frame.record_count = static_cast<uint32_t>(count);
        frame.body_crc = sl_crc32c(0, body.data(), body.size());
        frame.log_id = kLogId;
        frame.epoch = mark_.epoch + ((flags & SL_FRAME_OPEN) != 0 ? 1 : 0);
        frame.position = mark_.position;
        frame.first_lsn = mark_.lsn;
        frame.durable_lsn = mark_.lsn - 1;
        frame.wall_ms = 1000 + static_cast<int64_t>(mark_.lsn);
        frame.chain = mark_.chain;
        return frame;
    }

    static std::string Bytes(struct sl_frame *frame, const std::string &body)
    {
        std::string bytes(sl_frame_size(body.size()), '\0');
        sl_frame_encode(frame, reinterpret_cast<uint8_t *>(bytes.data()));
        bytes.replace(SL_FRAME_HEADER_BYTES, body.size(), body);
        return bytes;
    }

    Place PutFrame(struct sl_frame frame, const std::string &body)
    {
        Place place = { frame.position, sl_frame_size(body.size()),
                        SL_FRAME_HEADER_BYTES + body.size(), mark_ };
        Put(frame.position, Bytes(&frame, body));
        mark_ = { frame.position + place.size, frame.first_lsn + frame.record_count, frame.epoch,
                  frame.header_crc };
        /* Encoded again: the copy in Bytes() has the checksum. */
        sl_frame_encode(&frame, header_);
        mark_.chain = frame.header_crc;
        return place;
    }

    Place Add(const std::vector<std::string> &payloads, unsigned flags = 0)
    {
        std::string body = Body(payloads);
        return PutFrame(Next(body, payloads.size(), flags), body);
    }

    /* The next frame begins the next file. */
    void NextFile()
    {
        mark_.position = (mark_.position + kFileSize - 1) / kFileSize * kFileSize;
    }

    /* OPEN and three frames: "a" and "b", a large one, "c". */
    void AddUsual()
    {
        open_ = Add({}, SL_FRAME_OPEN);
        first_ = Add({ "a", "b" });
        large_ = Add({ std::string(9000, 'l') });
        last_ = Add({ "c" });
    }

    void ExpectCorruptAt(uint64_t position)
    {
        ScanResult result = ScanLog(disk_);
        EXPECT_EQ(result.scan.result, SL_WAL_CORRUPT);
        EXPECT_NE(result.scan.what, nullptr);
        EXPECT_EQ(result.scan.file_number, position / kFileSize);
        EXPECT_EQ(result.scan.file_offset, position % kFileSize);
    }

    SimDisk disk_;
    struct sl_wal_mark mark_ = LogBegin();
    Place open_, first_, large_, last_;
    uint8_t header_[SL_FRAME_HEADER_BYTES];
};

} // namespace

TEST_F(WalScan, ADirectoryWithoutFilesIsANewLog)
{
    ScanResult result = ScanLog(disk_);
    EXPECT_EQ(result.scan.result, SL_WAL_CLEAN);
    EXPECT_TRUE(SameMark(result.scan.end, LogBegin()));
    EXPECT_EQ(result.scan.wall_ms, 0);
    EXPECT_FALSE(result.scan.sealed);
    /* And so is one with a spare, and with files of others. */
    Put(0, std::string(kFileSize, '\0'));
    disk_.SetBytes("/log/MANIFEST", "x");
    disk_.SetBytes("/log/wal-tmp-0", "x");
    disk_.SetBytes("/log/wal-ffffffffffffffff", "x");
    EXPECT_EQ(ScanLog(disk_).scan.result, SL_WAL_CLEAN);
    EXPECT_EQ(ScanLog(disk_, LogBegin(), 0).scan.result, SL_WAL_CLEAN);
    EXPECT_EQ(ScanLog(disk_, LogBegin(), 1).scan.result, SL_WAL_CORRUPT);
}

TEST_F(WalScan, GivesEveryRecordInOrder)
{
    AddUsual();
    ScanResult result = ScanLog(disk_);
    EXPECT_EQ(result.scan.result, SL_WAL_CLEAN);
    EXPECT_EQ(result.records, (std::vector<std::string>{ "a", "b", std::string(9000, 'l'), "c" }));
    EXPECT_EQ(result.lsns, (std::vector<uint64_t>{ 1, 2, 3, 4 }));
    EXPECT_EQ(result.walls, (std::vector<int64_t>{ 1001, 1001, 1003, 1004 }));
    EXPECT_TRUE(SameMark(result.scan.end, mark_));
    EXPECT_EQ(result.scan.frames, 4u);
    EXPECT_EQ(result.scan.records, 4u);
    EXPECT_EQ(result.scan.wall_ms, 1004);
    EXPECT_FALSE(result.scan.sealed);
    Add({}, SL_FRAME_SEAL);
    EXPECT_TRUE(ScanLog(disk_).scan.sealed);
}

TEST_F(WalScan, AnnouncesEveryRecordBeforeItComes)
{
    size_t count = 0;
    for (int size : { 0, 1, int{ SL_WAL_SCAN_AHEAD }, SL_WAL_SCAN_AHEAD + 1, 100 }) {
        Add(std::vector<std::string>(static_cast<size_t>(size), "x"));
        count += static_cast<size_t>(size);
    }
    ScanResult result = ScanLog(disk_);
    EXPECT_EQ(result.records.size(), count);
    EXPECT_EQ(result.announced, count);
}

TEST_F(WalScan, BeginsAtAnyMark)
{
    AddUsual();
    for (const Place &place : { open_, first_, large_, last_ })
        EXPECT_TRUE(SameMark(ScanLog(disk_, place.before).scan.end, mark_));
    EXPECT_TRUE(SameMark(ScanLog(disk_, mark_).scan.end, mark_));
    /* But not with another chain. */
    struct sl_wal_mark wrong = large_.before;
    wrong.chain++;
    EXPECT_EQ(ScanLog(disk_, wrong).scan.result, SL_WAL_CORRUPT);
    wrong = large_.before;
    wrong.lsn--;
    EXPECT_EQ(ScanLog(disk_, wrong).scan.result, SL_WAL_CORRUPT);
    wrong = last_.before;
    wrong.epoch++;
    EXPECT_EQ(ScanLog(disk_, wrong).scan.frames, 0u);
}

TEST_F(WalScan, GoesOnInTheNextFile)
{
    AddUsual();
    NextFile();
    Add({ "d" });
    NextFile();
    Add({}, SL_FRAME_OPEN);
    Add({ "e" });
    ScanResult result = ScanLog(disk_);
    EXPECT_EQ(result.scan.result, SL_WAL_CLEAN);
    EXPECT_EQ(result.records.size(), 6u);
    EXPECT_EQ(result.scan.end.epoch, 2u);
}

TEST_F(WalScan, AFrameMayEndWithItsFile)
{
    Add({}, SL_FRAME_OPEN);
    for (int i = 0; i < 5; i++)
        Add({ std::string(3 * kBlock - SL_FRAME_HEADER_BYTES - kRecordHeader, 'x') });
    EXPECT_EQ(mark_.position, kFileSize);
    EXPECT_EQ(ScanLog(disk_).scan.result, SL_WAL_CLEAN);
    EXPECT_EQ(ScanLog(disk_).scan.end.position, kFileSize);
    Add({ "next" });
    EXPECT_EQ(ScanLog(disk_).records.back(), "next");
}

TEST_F(WalScan, AFrameNeverCrossesTheEndOfItsFile)
{
    Add({}, SL_FRAME_OPEN);
    while (mark_.position < kFileSize - kBlock)
        Add({ "x" });
    struct sl_wal_mark end = mark_;
    std::string body = Body({ std::string(kBlock, 'x') });
    struct sl_frame crossing = Next(body, 1);
    std::string bytes = Bytes(&crossing, body);
    Put(end.position, bytes.substr(0, kBlock));
    Put(end.position + kBlock, bytes.substr(kBlock));
    ScanResult result = ScanLog(disk_);
    EXPECT_EQ(result.scan.result, SL_WAL_TORN);
    EXPECT_TRUE(SameMark(result.scan.end, end));
    EXPECT_EQ(result.scan.torn_bytes, kBlock);
}

/*
 * ---- the torn end -----------------------------------------------------------------------------
 */

TEST_F(WalScan, ACutBodyIsATornEnd)
{
    AddUsual();
    Place cut = Add({ std::string(9000, 'z') });
    Put(cut.position + kBlock, std::string(kBlock, '\0'));
    ScanResult result = ScanLog(disk_, LogBegin(), 4);
    EXPECT_EQ(result.scan.result, SL_WAL_TORN);
    EXPECT_TRUE(SameMark(result.scan.end, cut.before));
    EXPECT_EQ(result.records.size(), 4u);
    EXPECT_EQ(result.scan.torn_bytes, cut.size);
    EXPECT_EQ(result.scan.file_number, 0u);
    EXPECT_EQ(result.scan.file_offset, cut.position);
    /* Somebody was told that it had been durable. */
    EXPECT_EQ(ScanLog(disk_, LogBegin(), 5).scan.result, SL_WAL_CORRUPT);
}

TEST_F(WalScan, ATornEndMayBeInTheNextFile)
{
    AddUsual();
    struct sl_wal_mark end = mark_;
    NextFile();
    Place cut = Add({ std::string(kFileSize / 2, 'z') });
    Put(cut.position + kBlock, std::string(kBlock, '\0'));
    ScanResult result = ScanLog(disk_);
    EXPECT_EQ(result.scan.result, SL_WAL_TORN);
    EXPECT_TRUE(SameMark(result.scan.end, end));
    EXPECT_EQ(result.scan.file_number, 1u);
    EXPECT_EQ(result.scan.file_offset, 0u);
    EXPECT_EQ(result.scan.torn_bytes, cut.size);
}

TEST_F(WalScan, AStartGoesOnBehindATornEnd)
{
    AddUsual();
    struct sl_wal_mark end = mark_;
    Place cut = Add({ std::string(9000, 'z') });
    Put(cut.position + kBlock, std::string(kBlock, '\0'));
    mark_ = end;
    NextFile();
    Add({}, SL_FRAME_OPEN);
    Add({ "d" });
    ScanResult result = ScanLog(disk_);
    EXPECT_EQ(result.scan.result, SL_WAL_CLEAN);
    EXPECT_EQ(result.records.back(), "d");
    EXPECT_EQ(result.scan.end.epoch, 2u);
}

TEST_F(WalScan, ACutFirstBlockLeavesNothing)
{
    AddUsual();
    Place cut = Add({ std::string(9000, 'z') });
    Put(cut.position, std::string(512, '\0'));
    ScanResult result = ScanLog(disk_);
    EXPECT_EQ(result.scan.result, SL_WAL_CLEAN);
    EXPECT_TRUE(SameMark(result.scan.end, cut.before));
}

/*
 * ---- corruption -------------------------------------------------------------------------------
 */

TEST_F(WalScan, EveryFlippedBitIsSeen)
{
    AddUsual();
    NextFile();
    Place end = Add({ "in the next file" });
    for (const Place &place : { open_, first_, large_, last_, end }) {
        bool is_last = place.position == end.position;
        for (uint64_t at = 0; at < place.size; at++) {
            bool checked = at < place.used;
            bool header = at < SL_FRAME_HEADER_BYTES + kRecordHeader;
            /* All bits of headers, then one of every few bytes. */
            unsigned bits = header ? 8 : at % 61 == 0;
            for (unsigned bit = 0; bit < bits; bit++) {
                Flip(place.position + at, header ? bit : at % 7);
                ScanResult result = ScanLog(disk_);
                Flip(place.position + at, header ? bit : at % 7);
                if (!checked) {
                    ASSERT_EQ(result.scan.result, SL_WAL_CLEAN) << place.position + at;
                    ASSERT_EQ(result.records.size(), 5u);
                    continue;
                }
                ASSERT_EQ(result.scan.end.lsn, place.before.lsn) << place.position + at;
                ASSERT_EQ(result.scan.end.chain, place.before.chain);
                if (!is_last)
                    ASSERT_EQ(result.scan.result, SL_WAL_CORRUPT) << place.position + at;
                else
                    ASSERT_EQ(result.scan.result,
                              at < SL_FRAME_HEADER_BYTES ? SL_WAL_CLEAN : SL_WAL_TORN);
            }
        }
    }
    EXPECT_EQ(ScanLog(disk_).records.size(), 5u);
}

TEST_F(WalScan, AWatermarkShowsRotInTheLastData)
{
    AddUsual();
    Flip(last_.position + SL_FRAME_HEADER_BYTES);
    EXPECT_EQ(ScanLog(disk_).scan.result, SL_WAL_TORN);
    Add({}, SL_FRAME_WATERMARK);
    ExpectCorruptAt(last_.position);
}

TEST_F(WalScan, ALostFrameIsCorruption)
{
    AddUsual();
    Put(large_.position, std::string(large_.size, '\0'));
    ExpectCorruptAt(large_.position);
}

TEST_F(WalScan, SwappedFramesAreCorruption)
{
    AddUsual();
    Place other = Add({ "d", "e" });
    std::string first = Take(first_), second = Take(other);
    Put(first_.position, second);
    Put(other.position, first);
    ExpectCorruptAt(first_.position);
}

TEST_F(WalScan, AMisplacedFrameIsCorruption)
{
    AddUsual();
    std::string last = Take(last_);
    Put(last_.position, std::string(kBlock, '\0'));
    Put(last_.position + 3 * kBlock, last);
    ScanResult result = ScanLog(disk_);
    /* It was written, but not where it belongs. */
    EXPECT_EQ(result.scan.result, SL_WAL_CORRUPT);
    EXPECT_EQ(result.scan.end.lsn, 4u);
}

TEST_F(WalScan, ALaterFrameAnywhereIsCorruption)
{
    for (uint64_t at : { kFileSize - kBlock, kFileSize, 2 * kFileSize - kBlock, 2 * kFileSize }) {
        SCOPED_TRACE(at);
        mark_ = LogBegin();
        AddUsual();
        struct sl_wal_mark end = mark_;
        mark_.position = at;
        mark_.chain++;
        Add({ "later" });
        ExpectCorruptAt(end.position);
        Put(at, std::string(kBlock, '\0'));
        EXPECT_EQ(ScanLog(disk_).scan.result, SL_WAL_CLEAN);
    }
}

TEST_F(WalScan, AMissingFileBeforeASpareIsCorruption)
{
    AddUsual();
    NextFile();
    Add({ "in file 1" });
    std::string spare(kFileSize, '\0');
    disk_.SetBytes(LogPath(2), spare);
    EXPECT_EQ(ScanLog(disk_).scan.result, SL_WAL_CLEAN);
    disk_.Remove(LogPath(1));
    EXPECT_EQ(ScanLog(disk_).scan.result, SL_WAL_CORRUPT);
    disk_.SetBytes(LogPath(1), spare);
    EXPECT_EQ(ScanLog(disk_).scan.result, SL_WAL_CLEAN);
}

TEST_F(WalScan, AFileOfAnotherSizeIsCorruption)
{
    AddUsual();
    NextFile();
    Add({ "in file 1" });
    std::string bytes = disk_.Bytes(LogPath(1));
    disk_.SetBytes(LogPath(1), bytes + std::string(kFileSize - bytes.size(), '\0'));
    EXPECT_EQ(ScanLog(disk_).scan.result, SL_WAL_CLEAN);
    for (uint64_t size : { uint64_t(0), uint64_t(kBlock), kFileSize - 1, kFileSize + 1 }) {
        std::string other = bytes;
        other.resize(size);
        disk_.SetBytes(LogPath(1), other);
        EXPECT_EQ(ScanLog(disk_).scan.result, SL_WAL_CORRUPT) << size;
    }
}

TEST_F(WalScan, AMissingFileIsCorruptionOnlyWhenSomethingWasInIt)
{
    AddUsual();
    NextFile();
    Add({ "in file 1" });
    NextFile();
    Add({ "in file 2" });
    NextFile();
    Add({ "in file 3" });
    std::string one = disk_.Bytes(LogPath(1)), three = disk_.Bytes(LogPath(3));
    disk_.Remove(LogPath(1));
    EXPECT_EQ(ScanLog(disk_).scan.result, SL_WAL_CORRUPT);
    disk_.SetBytes(LogPath(1), one);
    disk_.Remove(LogPath(3));
    EXPECT_EQ(ScanLog(disk_).scan.result, SL_WAL_CLEAN);
    EXPECT_EQ(ScanLog(disk_, mark_).scan.result, SL_WAL_CORRUPT); /* the mark is in it */
    disk_.SetBytes(LogPath(4), std::string(one.size(), '\0'));
    EXPECT_EQ(ScanLog(disk_).scan.result, SL_WAL_CORRUPT) << "a spare was made after it";
    disk_.Remove(LogPath(4));
    disk_.SetBytes(LogPath(3), three);
    disk_.Remove(LogPath(0));
    ExpectCorruptAt(0);
    EXPECT_EQ(ScanLog(disk_, first_.before).scan.result, SL_WAL_CORRUPT);
}

/* A frame that could go on at the right place, but says something else about itself. */
TEST_F(WalScan, RefusesWhatDoesNotFollow)
{
    struct {
        const char *what;
        void (*change)(struct sl_frame *frame);
        enum sl_wal_end result;
    } cases[] = {
        { "another log", [](struct sl_frame *frame) { frame->log_id++; }, SL_WAL_CLEAN },
        { "an epoch before", [](struct sl_frame *frame) { frame->epoch--; }, SL_WAL_CLEAN },
        { "an epoch behind", [](struct sl_frame *frame) { frame->epoch++; }, SL_WAL_CORRUPT },
        { "a start in the same epoch", [](struct sl_frame *frame) { frame->flags = SL_FRAME_OPEN; },
          SL_WAL_CORRUPT },
        { "a place before", [](struct sl_frame *frame) { frame->position -= kBlock; },
          SL_WAL_CLEAN },
        { "a place behind", [](struct sl_frame *frame) { frame->position += kBlock; },
          SL_WAL_CORRUPT },
        { "a record again", [](struct sl_frame *frame) { frame->first_lsn--; }, SL_WAL_CLEAN },
        { "a record skipped", [](struct sl_frame *frame) { frame->first_lsn++; }, SL_WAL_CORRUPT },
        { "another chain", [](struct sl_frame *frame) { frame->chain ^= 1; }, SL_WAL_CORRUPT },
        { "durable before written", [](struct sl_frame *frame) { frame->durable_lsn++; },
          SL_WAL_CORRUPT },
        { "a record less", [](struct sl_frame *frame) { frame->record_count--; }, SL_WAL_CORRUPT },
        { "a record more", [](struct sl_frame *frame) { frame->record_count++; }, SL_WAL_CORRUPT },
    };
    for (auto &test : cases) {
        SCOPED_TRACE(test.what);
        mark_ = LogBegin();
        AddUsual();
        struct sl_wal_mark end = mark_;
        std::string body = Body({ "d", "e" });
        struct sl_frame frame = Next(body, 2);
        test.change(&frame);
        Put(end.position, Bytes(&frame, body));
        ScanResult result = ScanLog(disk_);
        EXPECT_EQ(result.scan.result, test.result);
        EXPECT_TRUE(SameMark(result.scan.end, end));
    }
}

TEST_F(WalScan, StaleFramesOfARecycledFileMeanNothing)
{
    AddUsual();
    for (int i = 0; i < 6; i++)
        Add({ "more" });
    struct sl_wal_mark mark = mark_;
    std::string old = disk_.Bytes(LogPath(0));
    disk_.SetBytes(LogPath(1), old);
    disk_.SetBytes(LogPath(2), old);
    EXPECT_EQ(ScanLog(disk_).scan.result, SL_WAL_CLEAN);
    NextFile();
    Add({}, SL_FRAME_OPEN);
    Add({ "new" });
    disk_.Remove(LogPath(0));
    mark.position = kFileSize;
    ScanResult result = ScanLog(disk_, mark);
    EXPECT_EQ(result.scan.result, SL_WAL_CLEAN);
    EXPECT_EQ(result.records, std::vector<std::string>{ "new" });
}

TEST_F(WalScan, ARecordThatIsRefusedIsCorruption)
{
    AddUsual();
    Place refused = Add({ "d", "refuse me" });
    Add({ "e" });
    ScanResult result = ScanLog(disk_);
    EXPECT_EQ(result.scan.result, SL_WAL_CORRUPT);
    EXPECT_STREQ(result.scan.what, "refused by the test");
    EXPECT_EQ(result.scan.file_offset, refused.position);
}

TEST_F(WalScan, ALogOfAnotherIdIsEmpty)
{
    AddUsual();
    ScanResult result = ScanLog(disk_, LogBegin(), 0, kLogId + 1);
    EXPECT_EQ(result.scan.result, SL_WAL_CLEAN);
    EXPECT_EQ(result.scan.frames, 0u);
}

TEST_F(WalScan, AShortFileEndsWhereItEnds)
{
    AddUsual();
    std::string all = disk_.Bytes(LogPath(0));
    for (size_t size : { size_t(0), size_t(100), size_t(kBlock), size_t(5 * kBlock + 100) }) {
        disk_.SetBytes(LogPath(0), all.substr(0, size));
        ScanResult result = ScanLog(disk_);
        EXPECT_NE(result.scan.result, SL_WAL_IO);
        EXPECT_LE(result.scan.end.position, (size + kBlock - 1) / kBlock * kBlock);
    }
}

TEST_F(WalScan, SaysWhenTheDiskDoesNotAnswer)
{
    AddUsual();
    NextFile();
    Add({ "d" });
    uint64_t before = disk_.Count(DiskCall::kAny);
    ScanLog(disk_);
    uint64_t calls = disk_.Count(DiskCall::kAny) - before;
    for (uint64_t n = 1; n <= calls; n++) {
        disk_.FailNth(DiskCall::kAny, n, EIO);
        ScanResult result = ScanLog(disk_);
        EXPECT_EQ(result.scan.result, SL_WAL_IO) << n;
        EXPECT_EQ(result.scan.error_number, EIO);
    }
    EXPECT_EQ(ScanLog(disk_).scan.result, SL_WAL_CLEAN);
}

TEST_F(WalScan, ReadsWithoutDirectWhereThatIsRefused)
{
    AddUsual();
    disk_.SetDirectIo(DirectIo::kRefusedAtOpen);
    EXPECT_EQ(ScanLog(disk_).records.size(), 4u);
}

TEST_F(WalScan, ChangesNothing)
{
    AddUsual();
    Flip(last_.position + SL_FRAME_HEADER_BYTES);
    std::string before = disk_.Bytes(LogPath(0));
    uint64_t writes = disk_.Count(DiskCall::kWrite);
    ScanLog(disk_);
    EXPECT_EQ(disk_.Count(DiskCall::kWrite), writes);
    EXPECT_EQ(disk_.Bytes(LogPath(0)), before);
}
