#include "stream/log.h"

#include "stream/content.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <optional>
#include <set>

namespace
{

/* The function of this name hides the struct. */
using Read = struct sl_log_read;

/* Small, so that a log of a few thousand bytes has many blocks. */
constexpr size_t kSlabSize = 2048;

/* Extents that are in one chunk: growth happens around its multiples. */
constexpr uint32_t kChunk = 128;

/* A log and what it must hold. */
class Model
{
  public:
    explicit Model(uint64_t base) : base_(base)
    {
        sl_slab_init(&slab_, kSlabSize, &account_);
        sl_log_init(&log_, base);
        boundaries_.insert(base);
    }

    ~Model()
    {
        Drop();
        EXPECT_EQ(sl_account_bytes(&account_), 0u);
    }

    void Append(const Content &content, bool in_block = false)
    {
        sl_payload payload = in_block ? content.PayloadInBlock(&account_) : content.Payload();
        starts_.push_back(End());
        memory_ += sl_log_append(&log_, &slab_, &payload);
        EXPECT_EQ(payload.block, nullptr);
        bytes_ += content.bytes;
        uint64_t at = starts_.back();
        for (size_t size : content.sizes)
            boundaries_.insert(at += size);
        EXPECT_EQ(sl_log_end(&log_), End());
        EXPECT_EQ(sl_log_memory(&log_), memory_);
        NotePlace();
    }

    void AppendRandom(std::mt19937_64 &random, bool json)
    {
        size_t count = json && random() % 3 == 0 ? 1 + random() % 200 : 1;
        size_t size_max = random() % 20 == 0 ? 2 * kSlabSize : random() % 4 == 0 ? 300 : 20;
        Append(Content::Random(random, count, count > 1 ? 20 : size_max), random() % 10 == 0);
    }

    /* Frees the log, the slab too; blocks live on in what was read. */
    void Drop()
    {
        EXPECT_EQ(sl_log_deinit(&log_), memory_);
        EXPECT_EQ(sl_log_memory(&log_), 0u);
        EXPECT_EQ(log_.chunks, nullptr);
        sl_slab_deinit(&slab_);
        memory_ = 0;
    }

    uint64_t End() const
    {
        return base_ + bytes_.size();
    }

    std::string Bytes(uint64_t from, uint64_t to) const
    {
        return bytes_.substr(from - base_, to - from);
    }

    bool IsBoundary(uint64_t position) const
    {
        return boundaries_.count(position) > 0;
    }

    uint64_t RandomPosition(std::mt19937_64 &random, bool boundary) const
    {
        uint64_t position = base_ + random() % (bytes_.size() + 1);
        return boundary ? *boundaries_.lower_bound(position) : position;
    }

    uint64_t LastBoundary(uint64_t position) const
    {
        return *std::prev(boundaries_.upper_bound(position));
    }

    uint64_t NextBoundary(uint64_t position) const
    {
        return *boundaries_.upper_bound(position);
    }

    /* End of the append that holds `position`. */
    uint64_t AppendEnd(uint64_t position) const
    {
        auto next = std::upper_bound(starts_.begin(), starts_.end(), position);
        return next == starts_.end() ? End() : *next;
    }

    /* Runs of memory that [from, to) takes, given where each append was stored. */
    std::vector<struct sl_bytes> Runs(uint64_t from, uint64_t to) const
    {
        std::vector<struct sl_bytes> runs;
        size_t i = std::upper_bound(starts_.begin(), starts_.end(), from) - starts_.begin() - 1;
        for (; i < starts_.size() && starts_[i] < to; i++) {
            uint64_t start = std::max(starts_[i], from);
            const uint8_t *data = places_[i] + (start - starts_[i]);
            size_t size = std::min(AppendEnd(starts_[i]), to) - start;
            if (!runs.empty() && runs.back().data + runs.back().size == data)
                runs.back().size += size;
            else
                runs.push_back(sl_bytes(data, size));
        }
        return runs;
    }

    /* What the header says about a read. */
    enum sl_err Expect(Read *read) const
    {
        uint64_t bound = read->limit == 0 ? read->bound : std::min(read->limit, read->bound);
        read->next = read->page_end = read->start;
        if (read->start >= bound)
            return SL_OK;
        if (read->limit != 0) {
            read->page_end = bound;
        } else if (read->json) {
            if (!IsBoundary(read->start))
                return SL_ERR_INVALID_OFFSET;
            read->page_end = LastBoundary(std::min(bound, read->start + read->page_size));
            if (read->page_end == read->start && !read->may_be_empty)
                read->page_end = NextBoundary(read->start);
        } else {
            read->page_end = std::min(bound, read->start + read->page_size);
        }
        read->next = std::min(read->page_end, read->start + read->piece_size);
        return SL_OK;
    }

    std::optional<uint64_t> Resolve(uint64_t offset, uint64_t sub_offset, uint64_t bound,
                                    bool json) const
    {
        if (offset == bound)
            return sub_offset == 0 ? std::optional<uint64_t>(offset) : std::nullopt;
        uint64_t end = std::min(AppendEnd(offset), bound);
        if (!json)
            return sub_offset <= end - offset ? std::optional<uint64_t>(offset + sub_offset)
                                              : std::nullopt;
        auto at = boundaries_.find(offset);
        if (at == boundaries_.end())
            return std::nullopt;
        for (; sub_offset > 0; sub_offset--)
            if (++at == boundaries_.end() || *at > end)
                return std::nullopt;
        return *at;
    }

    sl_log log_{};
    sl_slab slab_{};
    sl_account account_{};

  private:
    /* Where the last append is: its first byte, as a reader gets it. */
    void NotePlace()
    {
        Read read = {};
        read.start = starts_.back();
        read.bound = End();
        read.page_size = read.piece_size = UINT32_MAX;
        sl_pieces pieces = {};
        ASSERT_EQ(sl_log_read(&log_, &read, &account_, &pieces), SL_OK);
        ASSERT_EQ(pieces.count, 1u);
        places_.push_back(pieces.slices[0].data);
        sl_pieces_clear(&pieces);
    }

    uint64_t base_;
    std::string bytes_;
    std::vector<uint64_t> starts_; /* of the appends */
    std::vector<const uint8_t *> places_;
    std::set<uint64_t> boundaries_;
    size_t memory_ = 0;
};

std::string TextOf(const sl_pieces &pieces)
{
    std::string text;
    for (uint32_t i = 0; i < pieces.count; i++) {
        const uint8_t *data = sl_block_data(pieces.blocks[i]);
        EXPECT_GE(pieces.slices[i].data, data);
        EXPECT_LE(pieces.slices[i].data + pieces.slices[i].size, data + pieces.blocks[i]->size);
        text += TextOf(pieces.slices[i]);
    }
    return text;
}

/* `count` slices that have nothing to do with any log. */
sl_pieces SomePieces(uint32_t count, sl_account *account)
{
    sl_pieces pieces = {};
    for (; pieces.count < count; pieces.count++) {
        sl_block *block = sl_block_create(3, account);
        memcpy(sl_block_data(block), "old", 3);
        pieces.blocks[pieces.count] = block;
        pieces.slices[pieces.count] = sl_bytes(sl_block_data(block), 3);
    }
    return pieces;
}

/* Makes one read with `before` slices there already, and compares everything with the model. */
void CheckRead(Model *model, const Read &arguments, uint32_t before)
{
    Read got = arguments, expected = arguments;
    sl_pieces pieces = SomePieces(before, &model->account_);
    std::string old = TextOf(pieces);
    enum sl_err err = model->Expect(&expected);
    std::vector<struct sl_bytes> runs;
    if (expected.next > expected.start)
        runs = model->Runs(expected.start, expected.next);
    bool copied = runs.size() > SL_READ_SLICES_MAX - before;
    if (copied)
        expected.next = std::min<uint64_t>(expected.next, expected.start + SL_COPY_SIZE_BYTES);
    uint64_t account = sl_account_bytes(&model->account_);
    ASSERT_EQ(sl_log_read(&model->log_, &got, &model->account_, &pieces), err);
    ASSERT_EQ(got.next, expected.next);
    ASSERT_EQ(got.page_end, expected.page_end);
    ASSERT_EQ(TextOf(pieces), old + model->Bytes(got.start, got.next));
    if (!copied) {
        ASSERT_EQ(pieces.count, before + runs.size());
        ASSERT_EQ(sl_account_bytes(&model->account_), account) << "by reference";
        for (size_t i = 0; i < runs.size(); i++)
            ASSERT_EQ(pieces.slices[before + i].data, runs[i].data);
    } else {
        ASSERT_EQ(pieces.count, before + 1) << "copied";
        ASSERT_GE(sl_account_bytes(&model->account_), account + got.next - got.start);
    }
    sl_pieces_clear(&pieces);
    ASSERT_EQ(pieces.count, 0u);
}

uint32_t RandomSize(std::mt19937_64 &random, uint64_t total)
{
    switch (random() % 8) {
    case 0:
        return 1;
    case 1:
        return UINT32_MAX;
    case 2:
        return static_cast<uint32_t>(1 + random() % (2 * total));
    default:
        return static_cast<uint32_t>(1 + random() % (uint64_t{ 1 } << (random() % 14)));
    }
}

Read RandomRead(const Model &model, std::mt19937_64 &random, bool json)
{
    Read read = {};
    read.json = json;
    read.may_be_empty = random() % 2 == 0;
    uint64_t a = model.RandomPosition(random, json), b = model.RandomPosition(random, json);
    read.start = std::min(a, b);
    read.bound = random() % 3 == 0 ? model.End() : std::max(a, b);
    uint64_t size = read.bound - read.start;
    if (json && random() % 8 == 0)
        read.start += random() % (size + 1);
    if (random() % 3 == 0)
        read.limit = std::max<uint64_t>(1, read.start + random() % (size * 3 / 2 + 1));
    if (random() % 3 == 0 && read.limit != 0)
        read.start += random() % (read.bound - read.start + 1);
    read.page_size = RandomSize(random, size + 1);
    read.piece_size = RandomSize(random, size + 1);
    return read;
}

/* A read without a limit to the end of the log. */
Read Plain(const Model &model, uint64_t start, uint32_t page_size = UINT32_MAX,
           uint32_t piece_size = UINT32_MAX)
{
    Read read = {};
    read.start = start;
    read.bound = model.End();
    read.page_size = page_size;
    read.piece_size = piece_size;
    return read;
}

/* ---- appending ---- */

TEST(Log, BeginsEmptyAtItsBaseAndWithoutMemory)
{
    for (uint64_t base : { uint64_t{ 0 }, uint64_t{ 1000 }, SL_OFFSET_MAX }) {
        sl_log log;
        sl_log_init(&log, base);
        EXPECT_EQ(sl_log_end(&log), base);
        EXPECT_EQ(sl_log_memory(&log), 0u);
        EXPECT_EQ(sl_log_deinit(&log), 0u);
    }
}

TEST(Log, GrowsByPowersOfTwoAndThenByChunks)
{
    struct {
        uint32_t extents;
        size_t room, slots;
    } const rows[] = {
        { 1, 1, 1 },     { 2, 2, 1 },     { 3, 4, 1 },     { 127, 128, 1 }, { 128, 128, 1 },
        { 129, 256, 2 }, { 256, 256, 2 }, { 257, 384, 4 }, { 512, 512, 4 }, { 513, 640, 8 },
    };
    for (auto row : rows) {
        Model model(0);
        for (uint32_t i = 0; i < row.extents; i++)
            model.Append(Content(std::string(1 + i % 3, static_cast<char>('a' + i % 26))));
        EXPECT_EQ(sl_log_memory(&model.log_),
                  row.room * sizeof(sl_extent) + row.slots * sizeof(sl_extent *))
            << row.extents;
        for (uint64_t start = 0; start <= model.End(); start++)
            CheckRead(&model, Plain(model, start), 0);
    }
}

TEST(Log, FullChunksNeverMove)
{
    Model model(0);
    std::vector<sl_extent *> chunks;
    for (uint32_t i = 0; i < 40 * kChunk; i++) {
        if (i % kChunk == 0 && i > 0)
            chunks.push_back(model.log_.chunks[i / kChunk - 1]);
        model.Append(Content("x"));
        ASSERT_TRUE(std::equal(chunks.begin(), chunks.end(), model.log_.chunks)) << i;
    }
}

TEST(Log, ExtentsFollowEachOtherWithoutGaps)
{
    Model model(77);
    std::mt19937_64 random(1);
    uint64_t at = 77;
    for (uint32_t i = 0; i < 3 * kChunk; i++) {
        model.AppendRandom(random, true);
        const sl_extent *extent = &model.log_.chunks[i / kChunk][i % kChunk];
        ASSERT_EQ(extent->start, at);
        ASSERT_GT(extent->size, 0u);
        at += extent->size;
    }
    EXPECT_EQ(sl_log_end(&model.log_), at);
}

TEST(Log, FreesTheBlocksOfPayloadsThatItTookOver)
{
    Model model(0);
    for (int i = 0; i < 300; i++)
        model.Append(Content("1,2,", { 2, 2 }), true);
    CheckRead(&model, Plain(model, 0), 0);
}

TEST(LogDeathTest, RefusesAnAppendOfNothing)
{
    Model model(0);
    EXPECT_DEATH(model.Append(Content("")), "panic");
    Content content("x");
    sl_payload payload = content.Payload();
    payload.count = 0;
    EXPECT_DEATH(sl_log_append(&model.log_, &model.slab_, &payload), "panic");
}

/* ---- reading ---- */

TEST(LogRead, FindsNothingInAnEmptyLog)
{
    for (uint64_t base : { 0, 500 }) {
        Model model(base);
        for (bool json : { false, true }) {
            Read read = Plain(model, base);
            read.json = json;
            CheckRead(&model, read, 0);
        }
    }
}

TEST(LogRead, EveryByteOfASmallLogInAllCombinations)
{
    for (bool json : { false, true }) {
        Model model(5);
        for (size_t count : { 1, 3, 1, 2, 1, 4 }) {
            std::vector<size_t> sizes(json ? count : 1);
            for (size_t i = 0; i < sizes.size(); i++)
                sizes[i] = 1 + (i + count) % 3;
            size_t total = 0;
            for (size_t size : sizes)
                total += size;
            model.Append(Content(std::string(total, static_cast<char>('a' + count)), sizes));
        }
        for (Read read = Plain(model, 5); read.start <= model.End(); read.start++)
            for (read.bound = read.start; read.bound <= model.End(); read.bound++) {
                if (json && !model.IsBoundary(read.bound))
                    continue;
                read.json = json;
                for (read.limit = 0; read.limit <= model.End() + 1; read.limit += 4)
                    for (uint32_t size = 0; size < 5 * 5 * 2; size++) {
                        read.page_size = 1 + size % 5 * 2;
                        read.piece_size = 1 + size / 5 % 5 * 2;
                        read.may_be_empty = size / 25 == 1;
                        CheckRead(&model, read, 0);
                        if (::testing::Test::HasFatalFailure())
                            return;
                    }
            }
    }
}

TEST(LogRead, ThousandsOfExtentsAgreeWithTheModel)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        std::mt19937_64 random(seed);
        bool json = seed % 2 == 0;
        Model model(seed % 3 * 12345);
        for (int i = 0; i < 3000; i++)
            model.AppendRandom(random, json);
        for (int i = 0; i < 3000; i++) {
            Read read = RandomRead(model, random, json);
            uint32_t before = static_cast<uint32_t>(random() % SL_READ_SLICES_MAX);
            CheckRead(&model, read, before);
            ASSERT_FALSE(::testing::Test::HasFatalFailure())
                << "seed " << seed << " start " << read.start << " bound " << read.bound
                << " limit " << read.limit << " page " << read.page_size << " piece "
                << read.piece_size << " empty " << read.may_be_empty << " before " << before;
        }
    }
}

TEST(LogRead, WhileItGrowsAroundEveryChunkBoundary)
{
    std::mt19937_64 random(9);
    for (bool json : { false, true }) {
        Model model(3);
        for (uint32_t count = 1; count <= 2 * kChunk + 2; count++) {
            model.AppendRandom(random, json);
            for (int i = 0; i < (count % kChunk <= 3 || count % kChunk == 127 ? 200 : 5); i++) {
                CheckRead(&model, RandomRead(model, random, json), 0);
                ASSERT_FALSE(::testing::Test::HasFatalFailure()) << count;
            }
        }
    }
}

TEST(LogRead, PiecesOfPagesAddUpToTheWholeLog)
{
    std::mt19937_64 random(10);
    for (bool json : { false, true }) {
        Model model(100);
        for (int i = 0; i < 500; i++)
            model.AppendRandom(random, json);
        for (uint32_t page_size : { 7, 1000, 100000 }) {
            uint64_t at = 100, limit = 0;
            while (at < model.End()) {
                Read read = Plain(model, at, page_size, 333);
                read.json = json;
                read.limit = limit;
                sl_pieces pieces = {};
                ASSERT_EQ(sl_log_read(&model.log_, &read, &model.account_, &pieces), SL_OK);
                ASSERT_GT(read.next, at);
                ASSERT_LE(read.next - at, 333u);
                ASSERT_EQ(TextOf(pieces), model.Bytes(at, read.next));
                ASSERT_TRUE(limit == 0 || read.page_end == limit) << "as it was said before";
                sl_pieces_clear(&pieces);
                at = read.next;
                limit = at < read.page_end ? read.page_end : 0;
                ASSERT_TRUE(!json || limit != 0 || model.IsBoundary(at));
            }
        }
    }
}

TEST(LogRead, AMessageLargerThanThePageComesWhole)
{
    Model model(0);
    model.Append(Content("1,", { 2 }));
    model.Append(Content(std::string(99, 'x') + ",2,", { 100, 2 }));
    for (uint32_t page_size : { 1, 99, 100, 101, 102, 103 }) {
        Read read = Plain(model, 2, page_size);
        read.json = true;
        CheckRead(&model, read, 0);
        ASSERT_EQ(model.Expect(&read), SL_OK);
        EXPECT_EQ(read.page_end, page_size < 102 ? 102u : 104u);
        read.may_be_empty = true;
        CheckRead(&model, read, 0);
        ASSERT_EQ(model.Expect(&read), SL_OK);
        EXPECT_EQ(read.page_end, page_size < 100 ? 2u : page_size < 102 ? 102u : 104u);
    }
}

TEST(LogRead, OffsetsInsideAJsonMessageNeedALimit)
{
    Model model(0);
    model.Append(Content("11,22,33,", { 3, 3, 3 }));
    model.Append(Content("4444,"));
    for (uint64_t start = 0; start <= model.End(); start++) {
        Read read = Plain(model, start);
        read.json = true;
        sl_pieces pieces = {};
        bool boundary = start % 3 == 0 ? start <= 9 : start == model.End();
        EXPECT_EQ(sl_log_read(&model.log_, &read, &model.account_, &pieces),
                  boundary ? SL_OK : SL_ERR_INVALID_OFFSET)
            << start;
        EXPECT_EQ(pieces.count == 0, !boundary || start == model.End());
        sl_pieces_clear(&pieces);
        read.limit = model.End();
        EXPECT_EQ(sl_log_read(&model.log_, &read, &model.account_, &pieces), SL_OK);
        EXPECT_EQ(TextOf(pieces), model.Bytes(start, model.End()));
        sl_pieces_clear(&pieces);
    }
}

TEST(LogRead, RunsBeyondTheRoomThatIsLeftAreCopied)
{
    for (uint32_t before = 0; before < SL_READ_SLICES_MAX; before++) {
        uint32_t room = SL_READ_SLICES_MAX - before;
        for (uint32_t runs : { room - 1, room, room + 1, 3 * room }) {
            Model model(0);
            for (uint32_t i = 0; i < runs; i++)
                model.Append(Content("0123456789"), true);
            sl_pieces pieces = SomePieces(before, &model.account_);
            Read read = Plain(model, 0);
            uint64_t account = sl_account_bytes(&model.account_);
            ASSERT_EQ(sl_log_read(&model.log_, &read, &model.account_, &pieces), SL_OK);
            EXPECT_EQ(pieces.count, runs <= room ? before + runs : before + 1);
            EXPECT_EQ(sl_account_bytes(&model.account_) == account, runs <= room);
            EXPECT_EQ(TextOf(pieces).substr(3 * before), model.Bytes(0, model.End()));
            sl_pieces_clear(&pieces);
        }
    }
}

TEST(LogRead, APieceHasBytesOfSoManyAppendsAndNotOfMore)
{
    const uint32_t most = SL_EXTENTS_PER_PIECE_MAX;
    Model model(0);
    for (uint32_t i = 0; i < 2 * most + 1; i++)
        model.Append(Content("0123456789"), i % 1000 == 0);
    for (uint64_t start : { 0u, 5u, 10 * most, 10 * (most + 1), 20 * most }) {
        sl_pieces pieces = SomePieces(0, &model.account_);
        Read read = Plain(model, start);
        read.page_size = read.piece_size = 1 << 20;
        ASSERT_EQ(sl_log_read(&model.log_, &read, &model.account_, &pieces), SL_OK);
        EXPECT_EQ(read.next, std::min<uint64_t>(start / 10 * 10 + 10 * most, model.End()));
        EXPECT_EQ(read.page_end, model.End());
        EXPECT_EQ(TextOf(pieces), model.Bytes(start, read.next));
        sl_pieces_clear(&pieces);
    }
}

TEST(LogRead, ACopyHasSoManyBytesAndNotMore)
{
    for (uint64_t size :
         { SL_COPY_SIZE_BYTES - 1, SL_COPY_SIZE_BYTES + 0, SL_COPY_SIZE_BYTES + 1 }) {
        Model model(0);
        for (uint32_t i = 0; i < SL_READ_SLICES_MAX; i++)
            model.Append(Content("x"), true);
        model.Append(Content(std::string(size - SL_READ_SLICES_MAX, 'y')), true);
        sl_pieces pieces = SomePieces(0, &model.account_);
        Read read = Plain(model, 0);
        ASSERT_EQ(sl_log_read(&model.log_, &read, &model.account_, &pieces), SL_OK);
        EXPECT_EQ(read.next, std::min<uint64_t>(size, SL_COPY_SIZE_BYTES));
        EXPECT_EQ(read.page_end, size);
        EXPECT_EQ(pieces.count, 1u);
        EXPECT_EQ(TextOf(pieces), model.Bytes(0, read.next));
        sl_pieces_clear(&pieces);
    }
}

TEST(LogRead, WhatLiesSideBySideIsOneSlice)
{
    Model model(0);
    for (int i = 0; i < 100; i++)
        model.Append(Content("0123456789"));
    sl_pieces pieces = SomePieces(SL_READ_SLICES_MAX - 2, &model.account_);
    for (uint64_t start : { 0, 333, 500 }) {
        Read read = Plain(model, start);
        read.bound = start == 0 ? 333 : start == 333 ? 500 : 1000;
        ASSERT_EQ(sl_log_read(&model.log_, &read, &model.account_, &pieces), SL_OK);
        EXPECT_EQ(read.next, read.bound);
        EXPECT_EQ(pieces.count, SL_READ_SLICES_MAX - 1u);
    }
    EXPECT_EQ(TextOf(pieces.slices[pieces.count - 1]), model.Bytes(0, 1000));
    sl_pieces_clear(&pieces);
}

TEST(LogRead, AReaderKeepsItsBytesWhenTheLogIsGone)
{
    sl_pieces by_reference = {}, copied = {};
    std::string few, many;
    sl_account account = {};
    {
        sl_slab slab;
        sl_log log;
        sl_slab_init(&slab, kSlabSize, &account);
        sl_log_init(&log, 0);
        std::mt19937_64 random(3);
        for (int i = 0; i < 50; i++) {
            Content content = Content::Random(random, 1, 600);
            sl_payload payload = content.Payload();
            sl_log_append(&log, &slab, &payload);
            few += i < 3 ? content.bytes : "";
            many += content.bytes;
        }
        Read read = {};
        read.page_size = read.piece_size = UINT32_MAX;
        read.bound = few.size();
        ASSERT_EQ(sl_log_read(&log, &read, &account, &by_reference), SL_OK);
        read.bound = many.size();
        ASSERT_EQ(sl_log_read(&log, &read, &account, &copied), SL_OK);
        sl_log_deinit(&log);
        sl_slab_deinit(&slab);
    }
    EXPECT_EQ(TextOf(by_reference), few);
    EXPECT_EQ(TextOf(copied), many);
    EXPECT_EQ(copied.count, 1u);
    EXPECT_GE(sl_account_bytes(&account), many.size() + few.size());
    sl_pieces_clear(&copied);
    EXPECT_LT(sl_account_bytes(&account), many.size());
    EXPECT_EQ(TextOf(by_reference), few);
    sl_pieces_clear(&by_reference);
    EXPECT_EQ(sl_account_bytes(&account), 0u);
}

TEST(LogReadDeathTest, RefusesWhatIsNotInTheLog)
{
    Model model(10);
    model.Append(Content("abcdef"));
    sl_pieces pieces = {};
    Read read = Plain(model, 9);
    auto refused = [&] {
        EXPECT_EQ(sl_log_read(&model.log_, &read, &model.account_, &pieces), SL_OK);
    };
    EXPECT_DEATH(refused(), "panic");
    read.start = 13;
    read.bound = 12;
    EXPECT_DEATH(refused(), "panic");
    read.bound = 17;
    EXPECT_DEATH(refused(), "panic");
    read.bound = 16;
    pieces = SomePieces(SL_READ_SLICES_MAX, &model.account_);
    EXPECT_DEATH(refused(), "panic");
    sl_pieces_clear(&pieces);
}

/* ---- pieces ---- */

TEST(LogPieces, JoinMakesOneSliceOfAnyNumber)
{
    for (uint32_t count = 1; count <= SL_READ_SLICES_MAX; count++) {
        sl_account account = {};
        sl_pieces pieces = SomePieces(count, &account);
        std::string text = TextOf(pieces);
        sl_pieces_join(&pieces, &account);
        EXPECT_EQ(pieces.count, 1u);
        EXPECT_EQ(TextOf(pieces), text);
        EXPECT_EQ(pieces.blocks[0]->references, 1u);
        EXPECT_EQ(pieces.blocks[0]->size, text.size());
        sl_pieces_clear(&pieces);
        EXPECT_EQ(sl_account_bytes(&account), 0u);
    }
}

TEST(LogPieces, ClearOfNothingDoesNothing)
{
    sl_pieces pieces = {};
    sl_pieces_clear(&pieces);
    EXPECT_EQ(pieces.count, 0u);
}

/* ---- sub-offsets ---- */

/* At every position of a small log, with every sub-offset and every bound. */
void CheckEveryResolve(Model *model, bool json)
{
    for (uint64_t bound = model->log_.base; bound <= model->End(); bound++) {
        if (json && !model->IsBoundary(bound))
            continue;
        for (uint64_t offset = model->log_.base; offset <= bound; offset++)
            for (uint64_t sub_offset = 0; sub_offset <= model->End() + 1; sub_offset++) {
                uint64_t position = 0;
                auto expected = model->Resolve(offset, sub_offset, bound, json);
                enum sl_err err =
                    sl_log_resolve(&model->log_, offset, sub_offset, bound, json, &position);
                ASSERT_EQ(err, expected ? SL_OK : SL_ERR_INVALID_FORK_OFFSET)
                    << offset << " + " << sub_offset << " of " << bound;
                ASSERT_TRUE(!expected || position == *expected) << position;
            }
    }
}

TEST(LogResolve, CountsBytesInsideOneAppend)
{
    Model model(4);
    for (const char *text : { "a", "bcd", "ef", "ghijk" })
        model.Append(Content(text));
    CheckEveryResolve(&model, false);
}

TEST(LogResolve, CountsMessagesInsideOneAppend)
{
    Model model(4);
    model.Append(Content("1,"));
    model.Append(Content("22,3,444,", { 3, 2, 4 }));
    model.Append(Content("5,6,", { 2, 2 }));
    model.Append(Content("77777,"));
    CheckEveryResolve(&model, true);
}

TEST(LogResolve, AnEmptyLogHasOnlyItsBase)
{
    for (bool json : { false, true }) {
        Model model(9);
        uint64_t position = 0;
        EXPECT_EQ(sl_log_resolve(&model.log_, 9, 0, 9, json, &position), SL_OK);
        EXPECT_EQ(position, 9u);
        for (uint64_t sub_offset : { uint64_t{ 1 }, UINT64_MAX })
            EXPECT_EQ(sl_log_resolve(&model.log_, 9, sub_offset, 9, json, &position),
                      SL_ERR_INVALID_FORK_OFFSET);
    }
}

TEST(LogResolve, RefusesTheLargestNumbers)
{
    for (bool json : { false, true }) {
        Model model(9);
        model.Append(Content("1,2,", { 2, 2 }));
        for (uint64_t sub_offset : { UINT64_MAX, UINT64_MAX - 8, uint64_t{ 1 } << 63 }) {
            uint64_t position = 0;
            EXPECT_EQ(sl_log_resolve(&model.log_, 9, sub_offset, 13, json, &position),
                      SL_ERR_INVALID_FORK_OFFSET);
            EXPECT_EQ(sl_log_resolve(&model.log_, 11, sub_offset, 13, json, &position),
                      SL_ERR_INVALID_FORK_OFFSET);
        }
    }
}

TEST(LogResolve, ThousandsOfExtentsAgreeWithTheModel)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        std::mt19937_64 random(seed);
        bool json = seed % 2 == 0;
        Model model(seed * 1000);
        for (int i = 0; i < 2000; i++)
            model.AppendRandom(random, json);
        for (int i = 0; i < 20000; i++) {
            uint64_t offset = model.RandomPosition(random, json && random() % 8 > 0);
            uint64_t bound = std::max(offset, model.RandomPosition(random, json));
            if (json)
                bound = model.LastBoundary(bound) >= offset ? model.LastBoundary(bound)
                                                            : model.NextBoundary(bound);
            uint64_t sub_offset = random() % (uint64_t{ 1 } << (random() % 13)), position = 0;
            auto expected = model.Resolve(offset, sub_offset, bound, json);
            enum sl_err err =
                sl_log_resolve(&model.log_, offset, sub_offset, bound, json, &position);
            ASSERT_EQ(err, expected ? SL_OK : SL_ERR_INVALID_FORK_OFFSET)
                << "seed " << seed << ": " << offset << " + " << sub_offset << " of " << bound;
            ASSERT_TRUE(!expected || position == *expected) << position;
        }
    }
}

} // namespace
