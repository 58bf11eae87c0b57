// A log whose front is on the disk, beside one that keeps everything in memory: both hold the same.
#include "stream/boundary.h"
#include "stream/content.h"
#include "stream/log.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <set>

namespace
{

using Read = struct sl_log_read;

/* What a segment keeps of one chunk. */
struct Chunk {
    uint64_t start;
    std::string payload, boundaries;
    bool starts_message, ends_message;

    uint64_t End() const
    {
        return start + payload.size();
    }
};

std::vector<sl_boundary_piece> PiecesOf(const std::string &boundaries)
{
    std::vector<sl_boundary_piece> pieces;
    struct sl_bytes rest = BytesOf(boundaries);
    sl_boundary_piece piece;
    bool malformed = false;
    while (sl_boundary_take(&rest, &piece, &malformed))
        pieces.push_back(piece);
    EXPECT_FALSE(malformed);
    return pieces;
}

std::string TextOf(const sl_pieces &pieces)
{
    std::string text;
    for (uint32_t i = 0; i < pieces.count; i++)
        text += TextOf(pieces.slices[i]);
    return text;
}

class Pair
{
  public:
    Pair(uint64_t base, bool json) : json_(json)
    {
        sl_slab_init(&slab_, 2048, &account_);
        sl_log_init(&log_, base);
        sl_log_init(&twin_, base);
        messages_.insert(base);
    }

    ~Pair()
    {
        EXPECT_EQ(sl_log_deinit(&log_), memory_);
        EXPECT_EQ(sl_log_memory(&log_), 0u);
        EXPECT_EQ(log_.cold, nullptr);
        EXPECT_EQ(log_.chunks, nullptr);
        sl_log_deinit(&twin_);
        sl_slab_deinit(&slab_);
        EXPECT_EQ(sl_account_bytes(&account_), 0u);
    }

    void Append(const Content &content)
    {
        sl_buffer lengths{};
        sl_buffer_append(&lengths, content.lengths.data(), content.lengths.size());
        if (content.sizes.size() > 1)
            sl_lengths_add_index(&lengths, static_cast<uint32_t>(content.sizes.size()));
        for (sl_log *log : { &log_, &twin_ }) {
            sl_payload payload = content.Payload();
            payload.lengths = sl_buffer_bytes(&lengths);
            size_t grown = sl_log_append(log, &slab_, &payload);
            memory_ += log == &log_ ? grown : 0;
        }
        sl_buffer_deinit(&lengths);
        uint64_t at = log_.base + bytes_.size();
        bytes_ += content.bytes;
        for (size_t size : content.sizes)
            messages_.insert(at += size);
        appends_.push_back(End());
        CheckMemory();
    }

    void AppendRandom(std::mt19937_64 &random)
    {
        size_t count = !json_ || random() % 3 > 0 ? 1 : 1 + random() % (random() % 9 ? 30 : 700);
        size_t size_max = random() % 20 == 0 ? 3000 : random() % 4 == 0 ? 300 : 20;
        Append(Content::Random(random, count, count > 1 ? 20 : size_max));
    }

    /* Moves [hot, up_to) to the disk, `chunks_max` chunks in an extent at most. */
    void MakeCold(std::mt19937_64 &random, uint64_t up_to, uint32_t payload_max,
                  uint32_t chunks_max)
    {
        std::vector<sl_cold> cold;
        uint32_t chunks_left = 0;
        for (uint64_t at = log_.hot; at < up_to; at = chunks_.back().End()) {
            EncodeChunk(at, up_to, payload_max);
            ASSERT_FALSE(::testing::Test::HasFatalFailure());
            const Chunk &chunk = chunks_.back();
            if (chunks_left == 0) {
                cold.push_back(sl_cold{});
                cold.back().start = chunk.start;
                cold.back().position = random() % 100000;
                chunks_left = static_cast<uint32_t>(1 + random() % chunks_max);
            }
            chunks_left--;
            cold.back().size += static_cast<uint32_t>(chunk.payload.size());
            cold.back().disk_size += 32;
            cold.back().ends_message = chunk.ends_message;
        }
        memory_ += sl_log_make_cold(&log_, cold.data(), static_cast<uint32_t>(cold.size()));
        extents_.insert(extents_.end(), cold.begin(), cold.end());
        ASSERT_EQ(log_.hot, std::max(up_to, log_.hot));
        CheckMemory();
        CheckExtents();
    }

    void MakeRandomCold(std::mt19937_64 &random)
    {
        auto next = std::upper_bound(appends_.begin(), appends_.end(), log_.hot);
        size_t count = random() % (appends_.end() - next + 1);
        uint64_t up_to = count == 0 ? log_.hot : next[count - 1];
        uint32_t payload_max = 1 + random() % (uint64_t{ 1 } << (3 + random() % 9));
        MakeCold(random, up_to, payload_max, 1 + random() % 4);
    }

    /* Joins a run of extents, or cuts it at every chunk where a message ends. */
    void MoveRandom(std::mt19937_64 &random)
    {
        if (extents_.empty())
            return;
        size_t from = random() % extents_.size();
        size_t to = std::min(extents_.size(), from + 1 + random() % 5);
        sl_cold joined = extents_[from];
        joined.position = random() % 100000;
        joined.size = static_cast<uint32_t>(ColdEnd(extents_[to - 1]) - joined.start);
        joined.ends_message = extents_[to - 1].ends_message;
        std::vector<sl_cold> cold{ joined };
        if (random() % 2 == 0) {
            cold.clear();
            for (const Chunk &chunk : chunks_) {
                if (chunk.start < joined.start || chunk.End() > ColdEnd(joined))
                    continue;
                cold.push_back(joined);
                cold.back().start = chunk.start;
                cold.back().size = static_cast<uint32_t>(chunk.payload.size());
                cold.back().ends_message = chunk.ends_message;
            }
        }
        memory_ += sl_log_move_cold(&log_, cold.data(), static_cast<uint32_t>(cold.size()));
        extents_.erase(extents_.begin() + from, extents_.begin() + to);
        extents_.insert(extents_.begin() + from, cold.begin(), cold.end());
        CheckMemory();
        CheckExtents();
    }

    /* Any read: what is on the disk by the rule of the header, what is in memory as the twin. */
    void CheckRead(const Read &arguments)
    {
        Read got = arguments;
        if (arguments.start >= log_.hot) {
            CheckHotRead(&got);
            return;
        }
        sl_cold cold[SL_COLD_EXTENTS_PER_READ_MAX];
        uint32_t count = sl_log_plan_cold(&log_, &got, cold);
        ASSERT_EQ(got.page_end, PageEnd(arguments));
        auto first = std::find_if(extents_.begin(), extents_.end(), [&](const sl_cold &extent) {
            return ColdEnd(extent) > arguments.start;
        });
        uint64_t next = std::min(got.page_end, arguments.start + arguments.piece_size);
        size_t there = std::min<size_t>(SL_COLD_EXTENTS_PER_READ_MAX, extents_.end() - first);
        next = std::min(next, ColdEnd(first[there - 1]));
        ASSERT_EQ(got.next, next);
        uint32_t needed = 0;
        while (needed < there && first[needed].start < next && next > arguments.start)
            needed++;
        ASSERT_EQ(count, needed);
        for (uint32_t i = 0; i < count; i++)
            ASSERT_EQ(memcmp(&cold[i], &first[i], sizeof(cold[i])), 0);
        ASSERT_EQ(DiskBytes(got.start, got.next), Bytes(got.start, got.next));
    }

    void CheckResolve(uint64_t offset, uint64_t sub_offset, uint64_t bound, std::mt19937_64 &random)
    {
        uint64_t expected = 0, position = 0;
        enum sl_err err = sl_log_resolve(&twin_, offset, sub_offset, bound, json_, &expected);
        if (offset >= log_.hot) {
            ASSERT_EQ(sl_log_resolve(&log_, offset, sub_offset, bound, json_, &position), err);
            ASSERT_TRUE(err != SL_OK || position == expected);
            return;
        }
        sl_boundary_walk walk{};
        walk.offset = offset;
        walk.sub_offset = sub_offset;
        walk.bound = bound;
        walk.json = json_;
        size_t i = ChunkOf(offset);
        i -= std::min<size_t>(i, random() % 3);
        for (; !walk.done && i < chunks_.size(); i++)
            sl_boundary_walk_chunk(&walk, chunks_[i].start, BytesOf(chunks_[i].boundaries),
                                   chunks_[i].starts_message);
        ASSERT_TRUE(walk.done);
        ASSERT_EQ(walk.err, err) << offset << " + " << sub_offset << " of " << bound;
        ASSERT_TRUE(err != SL_OK || walk.position == expected) << walk.position << " " << expected;
        ASSERT_TRUE(err == SL_OK || walk.position == offset);
    }

    /* The log after a restart: nothing is in memory. */
    void CheckRecovery()
    {
        sl_log log;
        sl_log_init(&log, log_.base);
        for (const sl_cold &extent : extents_) {
            sl_cold wrong = extent;
            for (int off : { -1, 1 }) {
                wrong.start = extent.start + off;
                ASSERT_FALSE(sl_log_add_cold(&log, &wrong));
            }
            ASSERT_TRUE(sl_log_add_cold(&log, &extent));
        }
        ASSERT_EQ(sl_log_end(&log), log_.hot);
        ASSERT_EQ(log.cold_count, log_.cold_count);
        size_t memory = sl_log_memory(&log);
        ASSERT_EQ(sl_log_deinit(&log), memory);
    }

    /* All of it, page by page, as the shard does it. */
    void CheckScan(uint32_t page_size, uint32_t piece_size)
    {
        uint64_t limit = 0;
        std::string text;
        for (Read read = Plain(log_.base); read.start < End(); read.start = read.next) {
            read.limit = limit;
            read.page_size = page_size;
            read.piece_size = piece_size;
            ASSERT_TRUE(!json_ || limit != 0 || IsMessage(read.start));
            sl_pieces pieces{};
            sl_cold cold[SL_COLD_EXTENTS_PER_READ_MAX];
            if (read.start < log_.hot) {
                ASSERT_GT(sl_log_plan_cold(&log_, &read, cold), 0u);
                text += DiskBytes(read.start, read.next);
            } else {
                ASSERT_EQ(sl_log_read(&log_, &read, &account_, &pieces), SL_OK);
                text += TextOf(pieces);
            }
            sl_pieces_clear(&pieces);
            ASSERT_GT(read.next, read.start);
            ASSERT_LE(read.next, read.page_end);
            ASSERT_TRUE(limit == 0 || read.page_end == limit);
            limit = read.next < read.page_end ? read.page_end : 0;
        }
        ASSERT_EQ(text, bytes_);
    }

    Read Plain(uint64_t start) const
    {
        Read read = {};
        read.start = start;
        read.bound = End();
        read.page_size = read.piece_size = UINT32_MAX;
        read.json = json_;
        return read;
    }

    Read RandomRead(std::mt19937_64 &random) const
    {
        uint64_t a = RandomPosition(random, json_), b = RandomPosition(random, json_);
        Read read = Plain(std::min(a, b));
        read.bound = random() % 3 == 0 ? End() : std::max(a, b);
        uint64_t size = read.bound - read.start;
        if (random() % 3 == 0) {
            read.limit = std::max<uint64_t>(1, read.start + random() % (size * 3 / 2 + 1));
            read.start += random() % (size + 1);
        }
        read.page_size = 1 + random() % (uint64_t{ 1 } << (random() % 15));
        read.piece_size = 1 + random() % (uint64_t{ 1 } << (random() % 15));
        read.may_be_empty = random() % 2 == 0;
        return read;
    }

    uint64_t RandomPosition(std::mt19937_64 &random, bool boundary) const
    {
        uint64_t position = log_.base + random() % (bytes_.size() + 1);
        return boundary ? *messages_.lower_bound(position) : position;
    }

    uint64_t End() const
    {
        return log_.base + bytes_.size();
    }

    uint64_t NextMessage(uint64_t position) const
    {
        return *messages_.lower_bound(position);
    }

    sl_log log_{};
    std::vector<sl_cold> extents_;
    std::vector<Chunk> chunks_;

  private:
    static uint64_t ColdEnd(const sl_cold &cold)
    {
        return cold.start + cold.size;
    }

    bool IsMessage(uint64_t position) const
    {
        return messages_.count(position) > 0;
    }

    std::string Bytes(uint64_t from, uint64_t to) const
    {
        return bytes_.substr(from - log_.base, to - from);
    }

    /* The chunk that holds `position`. */
    size_t ChunkOf(uint64_t position) const
    {
        return std::upper_bound(chunks_.begin(), chunks_.end(), position,
                                [](uint64_t at, const Chunk &chunk) { return at < chunk.End(); }) -
               chunks_.begin();
    }

    std::string DiskBytes(uint64_t from, uint64_t to) const
    {
        std::string text;
        for (size_t i = ChunkOf(from); i < chunks_.size() && chunks_[i].start < to; i++) {
            uint64_t start = std::max(from, chunks_[i].start), end = std::min(to, chunks_[i].End());
            text += chunks_[i].payload.substr(start - chunks_[i].start, end - start);
        }
        return text;
    }

    void EncodeChunk(uint64_t at, uint64_t up_to, uint32_t payload_max)
    {
        sl_buffer out{};
        sl_buffer_append_text(&out, "before");
        Chunk chunk{ at, "", "", chunks_.empty() || chunks_.back().ends_message, false };
        uint32_t size =
            sl_log_encode_chunk(&log_, at, up_to, payload_max, json_, &out, &chunk.ends_message);
        std::string text = TextOf(sl_buffer_bytes(&out));
        sl_buffer_deinit(&out);
        ASSERT_EQ(text.substr(0, 6), "before");
        chunk.payload = text.substr(6, size);
        chunk.boundaries = text.substr(6 + size);
        chunks_.push_back(chunk);
        CheckChunk(chunk, up_to, payload_max);
    }

    void CheckChunk(const Chunk &chunk, uint64_t up_to, uint32_t payload_max)
    {
        ASSERT_EQ(chunk.payload, Bytes(chunk.start, chunk.End()));
        ASSERT_LE(chunk.payload.size(), payload_max);
        uint64_t at = chunk.start;
        std::vector<sl_boundary_piece> pieces = PiecesOf(chunk.boundaries);
        for (const sl_boundary_piece &piece : pieces) {
            ASSERT_EQ(piece.size, std::min(NextMessage(at + 1), at + payload_max) - at);
            at += piece.size;
            ASSERT_EQ(piece.ends_message, IsMessage(at));
            ASSERT_EQ(piece.ends_append, std::binary_search(appends_.begin(), appends_.end(), at));
        }
        ASSERT_EQ(at, chunk.End());
        ASSERT_EQ(chunk.ends_message, IsMessage(at));
        if (!chunk.ends_message) { /* only a message that is too large is cut */
            ASSERT_EQ(pieces.size(), 1u);
            ASSERT_EQ(chunk.payload.size(), payload_max);
        } else if (at < up_to) { /* the next one does not fit */
            ASSERT_GT(NextMessage(at + 1) - chunk.start, payload_max);
        }
        for (size_t i = 0; i <= chunk.payload.size() + 1; i += 1 + chunk.payload.size() / 100)
            ASSERT_EQ(sl_boundary_is_start(BytesOf(chunk.boundaries), chunk.starts_message,
                                           static_cast<uint32_t>(i)),
                      i <= chunk.payload.size() && IsMessage(chunk.start + i))
                << i;
    }

    void CheckHotRead(Read *got)
    {
        Read expected = *got;
        sl_pieces pieces{}, twin{};
        ASSERT_EQ(sl_log_read(&log_, got, &account_, &pieces),
                  sl_log_read(&twin_, &expected, &account_, &twin));
        ASSERT_EQ(got->next, expected.next);
        ASSERT_EQ(got->page_end, expected.page_end);
        ASSERT_EQ(TextOf(pieces), TextOf(twin));
        sl_pieces_clear(&pieces);
        sl_pieces_clear(&twin);
    }

    uint64_t PageEnd(const Read &read) const
    {
        uint64_t wanted = read.start + read.page_size;
        if (read.limit != 0)
            return std::max(read.start, std::min(read.limit, read.bound));
        if (!json_ || wanted >= read.bound)
            return std::min(wanted, read.bound);
        if (wanted >= log_.hot)
            return *std::prev(messages_.upper_bound(wanted));
        uint64_t last = read.start, next = read.start;
        for (const sl_cold &extent : extents_) {
            uint64_t end = ColdEnd(extent);
            if (end <= read.start || !IsMessage(end))
                continue;
            if (end <= wanted)
                last = end;
            if (next == read.start)
                next = end;
        }
        if (last > read.start || read.may_be_empty)
            return last;
        return std::min(next, read.bound);
    }

    void CheckMemory()
    {
        ASSERT_EQ(sl_log_memory(&log_), memory_);
        ASSERT_EQ(sl_log_end(&log_), End());
    }

    void CheckExtents()
    {
        ASSERT_EQ(log_.cold_count, extents_.size());
        for (size_t i = 0; i < extents_.size(); i++)
            ASSERT_EQ(memcmp(&log_.cold[i], &extents_[i], sizeof(sl_cold)), 0);
    }

    bool json_;
    sl_account account_{};
    sl_slab slab_{};
    sl_log twin_{};
    std::string bytes_;
    std::vector<uint64_t> appends_; /* their ends */
    std::set<uint64_t> messages_;   /* their ends, and base */
    size_t memory_ = 0;
};

void CheckRandomly(Pair *pair, std::mt19937_64 &random, bool json, int times)
{
    for (int i = 0; i < times; i++) {
        Read read = pair->RandomRead(random);
        pair->CheckRead(read);
        ASSERT_FALSE(::testing::Test::HasFatalFailure())
            << "start " << read.start << " bound " << read.bound << " limit " << read.limit
            << " page " << read.page_size << " piece " << read.piece_size << " empty "
            << read.may_be_empty << " hot " << pair->log_.hot;
        uint64_t offset = pair->RandomPosition(random, json && random() % 4 > 0);
        uint64_t bound = random() % 3 == 0 ? pair->End() : pair->RandomPosition(random, json);
        bound = json ? pair->NextMessage(std::max(offset, bound)) : std::max(offset, bound);
        bound = random() % 16 == 0 ? offset : bound;
        uint64_t sub_offset = random() % 4 == 0 ? random() % 3 : random() % (1 << random() % 12);
        pair->CheckResolve(offset, sub_offset, bound, random);
        ASSERT_FALSE(::testing::Test::HasFatalFailure());
    }
}

TEST(LogCold, HoldsTheSameAsALogInMemory)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        SCOPED_TRACE(seed);
        std::mt19937_64 random(seed);
        bool json = seed % 2 == 0;
        Pair pair(seed % 3 * 12345, json);
        for (int round = 0; round < 10; round++) {
            for (size_t n = random() % (seed % 5 == 0 ? 250 : 40); n > 0; n--)
                pair.AppendRandom(random);
            pair.MakeRandomCold(random);
            if (round % 3 == 0)
                pair.MoveRandom(random);
            CheckRandomly(&pair, random, json, 60);
            ASSERT_FALSE(::testing::Test::HasFatalFailure()) << round;
        }
        pair.CheckRecovery();
        pair.CheckScan(1 + random() % 5000, 1 + random() % 3000);
        pair.CheckScan(UINT32_MAX, UINT32_MAX);
        ASSERT_FALSE(::testing::Test::HasFatalFailure());
    }
}

TEST(LogCold, EveryReadOfASmallLogWithEveryBorder)
{
    for (bool json : { false, true })
        for (size_t cold = 0; cold <= 4; cold++)
            for (uint32_t payload_max : { 1u, 2u, 4u, 7u, 100u }) {
                std::mt19937_64 random(cold);
                Pair pair(5, json);
                std::vector<size_t> sizes[] = { { 2 }, { 3, 1, 5 }, { 1 }, { 2, 2 } };
                uint64_t up_to = 5, at = 5;
                for (size_t i = 0; i < 4; i++) {
                    size_t total = 0;
                    for (size_t size : sizes[i])
                        total += size;
                    std::string text(total, static_cast<char>('a' + i));
                    pair.Append(json ? Content(text, sizes[i]) : Content(text));
                    at += total;
                    up_to = i < cold ? at : up_to;
                }
                pair.MakeCold(random, up_to, payload_max, 2);
                for (Read read = pair.Plain(5); read.start <= pair.End(); read.start++)
                    for (read.bound = read.start; read.bound <= pair.End(); read.bound++) {
                        for (read.limit = 0; read.limit <= pair.End() + 1; read.limit += 4)
                            for (uint32_t size = 0; size < 50; size++) {
                                if (json && read.bound != pair.NextMessage(read.bound))
                                    continue;
                                read.page_size = 1 + size % 5 * 3;
                                read.piece_size = 1 + size / 5 % 5 * 2;
                                read.may_be_empty = size / 25 == 1;
                                pair.CheckRead(read);
                            }
                        for (uint64_t sub_offset = 0; sub_offset < 20; sub_offset++)
                            if (!json || read.bound == pair.NextMessage(read.bound))
                                pair.CheckResolve(read.start, sub_offset, read.bound, random);
                        ASSERT_FALSE(::testing::Test::HasFatalFailure())
                            << read.start << " " << read.bound << " cold " << cold << " max "
                            << payload_max;
                    }
            }
}

TEST(LogCold, AroundEveryChunkOfExtents)
{
    for (uint32_t count : { 1u, 2u, 127u, 128u, 129u, 256u, 257u, 300u, 1025u })
        for (uint32_t cold :
             { 1u, 2u, 64u, 126u, 127u, 128u, 129u, 130u, 255u, 256u, 257u, 299u, 300u, 1024u }) {
            if (cold > count)
                continue;
            std::mt19937_64 random(count);
            Pair pair(0, false);
            for (uint32_t i = 0; i < count; i++)
                pair.Append(Content("xyz"));
            pair.MakeCold(random, 3 * cold, 64, 1);
            uint32_t left = count - cold;
            EXPECT_EQ(pair.log_.count, left);
            EXPECT_EQ(pair.log_.first, left == 0 || (cold & ~127u) + 128 >= count ? 0 : cold % 128);
            for (uint32_t i = 0; i < 300; i++) {
                pair.Append(Content("abcd"));
                pair.CheckRead(pair.Plain(3 * cold));
            }
            pair.MakeCold(random, 3 * count, 64, 1);
            pair.CheckRead(pair.Plain(3 * count));
            pair.MakeCold(random, pair.End(), 64, 1);
            EXPECT_EQ(pair.log_.chunks, nullptr) << "nothing is left in memory";
            ASSERT_FALSE(::testing::Test::HasFatalFailure()) << count << " " << cold;
        }
}

TEST(LogCold, ShortArraysHaveNoSpareRoom)
{
    std::mt19937_64 random(1);
    Pair pair(0, false);
    for (uint32_t i = 1; i <= 1000; i++) {
        pair.Append(Content("x"));
        pair.MakeCold(random, pair.End(), 1, 1);
        size_t memory = sl_log_memory(&pair.log_);
        EXPECT_GE(memory, i * sizeof(sl_cold));
        EXPECT_LE(memory, (i < 8 ? i : i + i / 4) * sizeof(sl_cold)) << i;
    }
}

TEST(LogCold, MovesRunsThatAreApart)
{
    std::mt19937_64 random(1);
    Pair pair(0, false);
    for (int i = 0; i < 10; i++)
        pair.Append(Content("ab"));
    pair.MakeCold(random, 20, 2, 1);
    std::vector<sl_cold> cold(pair.extents_);
    cold[1].size = 4; /* extents 1 and 2 in one */
    cold[7].position = 99;
    cold[8].position = 100;
    cold[9].position = 101;
    sl_cold moved[] = { cold[1], cold[7], cold[8] };
    sl_log_move_cold(&pair.log_, moved, 3);
    ASSERT_EQ(pair.log_.cold_count, 9u);
    EXPECT_EQ(pair.log_.cold[1].size, 4u);
    EXPECT_EQ(pair.log_.cold[2].start, 6u);
    EXPECT_EQ(pair.log_.cold[6].position, 99u);
    EXPECT_EQ(pair.log_.cold[7].position, 100u);
    EXPECT_NE(pair.log_.cold[8].position, 101u);
    sl_log_move_cold(&pair.log_, &pair.extents_[1], 2);
    EXPECT_EQ(pair.log_.cold_count, 10u) << "and back";
}

TEST(LogColdDeathTest, RefusesWhatDoesNotFit)
{
    std::mt19937_64 random(1);
    Pair pair(10, false);
    for (int i = 0; i < 4; i++)
        pair.Append(Content("abcd"));
    pair.MakeCold(random, 14, 100, 1);
    sl_cold cold = {};
    cold.ends_message = 1;
    cold.size = 3;
    cold.start = 14;
    EXPECT_DEATH(sl_log_make_cold(&pair.log_, &cold, 1), "panic") << "not the end of an append";
    cold.size = 4;
    cold.start = 15;
    EXPECT_DEATH(sl_log_make_cold(&pair.log_, &cold, 1), "panic") << "a gap";
    cold.start = 14;
    cold.size = 20;
    EXPECT_DEATH(sl_log_make_cold(&pair.log_, &cold, 1), "panic") << "beyond the end";
    cold.start = 10;
    cold.size = 3;
    EXPECT_DEATH(sl_log_move_cold(&pair.log_, &cold, 1), "panic") << "not whole extents";
    EXPECT_DEATH(sl_log_add_cold(&pair.log_, &cold), "panic") << "it has something in memory";
    Read read = pair.Plain(13);
    sl_pieces pieces{};
    auto refused = [&] { EXPECT_EQ(sl_log_read(&pair.log_, &read, nullptr, &pieces), SL_OK); };
    EXPECT_DEATH(refused(), "panic") << "that is on the disk";
    uint64_t position;
    auto unresolved = [&] {
        EXPECT_EQ(sl_log_resolve(&pair.log_, 13, 0, 20, false, &position), SL_OK);
    };
    EXPECT_DEATH(unresolved(), "panic");
    sl_cold room[SL_COLD_EXTENTS_PER_READ_MAX];
    read.start = 14;
    EXPECT_DEATH(sl_log_plan_cold(&pair.log_, &read, room), "panic") << "that is in memory";
}

} // namespace
