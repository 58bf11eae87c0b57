// Large JSON batches, reads without copies, and compaction: what protects the shard from its clients.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "protocol/varint.h"
#include "stream/log.h"

namespace
{

class LogBatch : public ::testing::Test
{
  protected:
    void SetUp() override
    {
        sl_slab_init(&slab_, 64 * 1024, &account_);
        sl_log_init(&log_, 0);
    }

    void TearDown() override
    {
        sl_log_deinit(&log_);
        sl_slab_deinit(&slab_);
        EXPECT_EQ(sl_account_bytes(&account_), 0u);
    }

    /* One batch of `count` messages whose lengths differ; returns the boundaries. */
    std::vector<uint64_t> AppendBatch(uint32_t count)
    {
        std::string bytes;
        std::vector<uint64_t> boundaries{ sl_log_end(&log_) };
        sl_buffer lengths{};
        for (uint32_t i = 0; i < count; i++) {
            std::string message = std::string(1 + i * 7 % 300, 'a') + ',';
            uint8_t varint[SL_VARINT_SIZE_MAX];
            sl_buffer_append(&lengths, varint, sl_varint_write(message.size(), varint));
            bytes += message;
            boundaries.push_back(boundaries.back() + message.size());
        }
        sl_payload payload{};
        payload.bytes = sl_bytes(bytes.data(), bytes.size());
        payload.count = count;
        if (count > 1) {
            sl_lengths_add_index(&lengths, count);
            payload.lengths = sl_buffer_bytes(&lengths);
        }
        sl_log_append(&log_, &slab_, &payload);
        sl_buffer_deinit(&lengths);
        return boundaries;
    }

    sl_err Read(struct sl_log_read *read, std::string *data)
    {
        sl_pieces pieces{};
        sl_err err = sl_log_read(&log_, read, &account_, &pieces);
        for (uint32_t i = 0; i < pieces.count; i++)
            data->append(reinterpret_cast<const char *>(pieces.slices[i].data),
                         pieces.slices[i].size);
        slices_ = pieces.count;
        sl_pieces_clear(&pieces);
        return err;
    }

    sl_account account_{};
    sl_slab slab_{};
    sl_log log_{};
    uint32_t slices_ = 0;
};

TEST_F(LogBatch, FindsEveryBoundaryAndRefusesWhatIsBetween)
{
    for (uint32_t count : { 1u, 2u, 255u, 256u, 257u, 512u, 513u, 1000u }) {
        std::vector<uint64_t> boundaries = AppendBatch(count);
        for (size_t i = 0; i + 1 < boundaries.size(); i++) {
            struct sl_log_read read = {};
            read.start = boundaries[i];
            read.bound = boundaries.back();
            read.page_size = read.piece_size = 1;
            read.json = true;
            std::string data;
            ASSERT_EQ(Read(&read, &data), SL_OK) << count << " " << i;
            ASSERT_EQ(read.page_end, boundaries[i + 1]) << count << " " << i;
            if (boundaries[i + 1] - boundaries[i] < 2)
                continue;
            read = {};
            read.start = boundaries[i] + 1;
            read.bound = boundaries.back();
            read.page_size = read.piece_size = 1;
            read.json = true;
            ASSERT_EQ(Read(&read, &data), SL_ERR_INVALID_OFFSET) << count << " " << i;
        }
    }
}

TEST_F(LogBatch, ResolvesEverySubOffset)
{
    for (uint32_t count : { 255u, 256u, 257u, 513u }) {
        std::vector<uint64_t> boundaries = AppendBatch(count);
        for (size_t from : { size_t{ 0 }, size_t{ 1 }, size_t{ 254 } })
            for (size_t k = 0; from + k <= count + 1; k++) {
                uint64_t position = 0;
                sl_err err =
                    sl_log_resolve(&log_, boundaries[from], k, boundaries.back(), true, &position);
                if (from + k > count) {
                    ASSERT_EQ(err, SL_ERR_INVALID_FORK_OFFSET) << count << " " << from << " " << k;
                } else {
                    ASSERT_EQ(err, SL_OK) << count << " " << from << " " << k;
                    ASSERT_EQ(position, boundaries[from + k]) << count << " " << from << " " << k;
                }
            }
    }
}

class LogRuns : public LogBatch
{
  protected:
    /* Appends that are apart from each other in the slab, so each is a run of its own. */
    void AppendApart(int count)
    {
        sl_log_init(&other_, 0);
        for (int i = 0; i < count; i++) {
            std::string bytes(100, static_cast<char>('a' + i % 26));
            for (sl_log *log : { &log_, &other_ }) {
                sl_payload payload{};
                payload.bytes = sl_bytes(bytes.data(), bytes.size());
                payload.count = 1;
                sl_log_append(log, &slab_, &payload);
            }
            whole_ += bytes;
        }
    }

    void DropOther()
    {
        sl_log_deinit(&other_);
    }

    sl_log other_{};
    std::string whole_;
};

TEST_F(LogRuns, GivesLessAtATimeWhenACopyIsNotWanted)
{
    AppendApart(50);
    uint64_t before = sl_account_bytes(&account_);
    std::string data;
    for (uint64_t at = 0; at < whole_.size();) {
        struct sl_log_read read = {};
        read.start = at;
        read.bound = whole_.size();
        read.page_size = read.piece_size = 1 << 20;
        read.by_reference = true;
        ASSERT_EQ(Read(&read, &data), SL_OK);
        EXPECT_EQ(read.page_end, whole_.size()) << "the page does not shrink";
        EXPECT_LE(slices_, static_cast<uint32_t>(SL_READ_SLICES_MAX));
        ASSERT_GT(read.next, at) << "there is always progress";
        EXPECT_EQ(sl_account_bytes(&account_), before);
        at = read.next;
    }
    EXPECT_EQ(data, whole_);
    DropOther();
}

TEST_F(LogRuns, CompactionFreesMostlyDeadSlabsAndKeepsEveryByte)
{
    AppendApart(3000);
    uint64_t full = sl_account_bytes(&account_);
    sl_log_compact(&log_, &slab_);
    EXPECT_EQ(sl_account_bytes(&account_), full) << "half of every slab is not sparse";
    DropOther();
    for (int i = 0; i < 10; i++) {
        std::string tail(100, 'z');
        sl_payload payload{};
        payload.bytes = sl_bytes(tail.data(), tail.size());
        payload.count = 1;
        sl_log_append(&log_, &slab_, &payload);
        whole_ += tail;
    }
    sl_log sparse{};
    sl_log_init(&sparse, 0);
    std::swap(sparse, log_);
    for (int i = 0; i < 9; i++) { /* one byte that stays in every slab, beside much that goes */
        std::string bytes(15000, 'x');
        sl_payload payload{};
        payload.bytes = sl_bytes(bytes.data(), bytes.size());
        payload.count = 1;
        sl_log passing{};
        sl_log_init(&passing, 0);
        for (int k = 0; k < 4; k++)
            sl_log_append(&passing, &slab_, &payload);
        payload.bytes.size = 1;
        sl_log_append(&log_, &slab_, &payload);
        sl_log_deinit(&passing);
    }
    uint64_t pinned = sl_account_bytes(&account_);
    sl_log_compact(&log_, &slab_);
    EXPECT_LT(sl_account_bytes(&account_) + 6 * 64 * 1024, pinned);
    struct sl_log_read read = {};
    read.bound = 9;
    read.page_size = read.piece_size = 100;
    std::string data;
    ASSERT_EQ(Read(&read, &data), SL_OK);
    EXPECT_EQ(data, std::string(9, 'x'));
    sl_log_deinit(&sparse);
}

} // namespace
