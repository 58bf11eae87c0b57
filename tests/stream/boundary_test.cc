#include "stream/boundary.h"

#include "stream/content.h"

#include <gtest/gtest.h>

namespace
{

/* Taken and compared: what walks and chunks do together is tested with the log. */
std::string Encode(const std::vector<sl_boundary_piece> &pieces)
{
    sl_buffer out{};
    for (const sl_boundary_piece &piece : pieces)
        sl_boundary_add(&out, &piece);
    std::string text = TextOf(sl_buffer_bytes(&out));
    sl_buffer_deinit(&out);
    return text;
}

TEST(Boundary, PiecesComeBackAsTheyWere)
{
    std::vector<sl_boundary_piece> pieces;
    for (uint32_t size : { 1u, 31u, 32u, 65536u, UINT32_MAX })
        for (auto [message, append] : { std::pair(false, false), { true, false }, { true, true } })
            pieces.push_back({ size, message, append });
    std::string text = Encode(pieces);
    struct sl_bytes rest = BytesOf(text);
    sl_boundary_piece piece;
    bool malformed = true;
    for (const sl_boundary_piece &expected : pieces) {
        ASSERT_TRUE(sl_boundary_take(&rest, &piece, &malformed));
        EXPECT_EQ(piece.size, expected.size);
        EXPECT_EQ(piece.ends_message, expected.ends_message);
        EXPECT_EQ(piece.ends_append, expected.ends_append);
    }
    EXPECT_FALSE(sl_boundary_take(&rest, &piece, &malformed));
    EXPECT_FALSE(malformed) << "that was all";
    EXPECT_EQ(Encode({ { 1, true, true } }).size(), 1u);
    EXPECT_EQ(Encode({ { 31, true, true } }).size(), 1u);
}

TEST(Boundary, RefusesWhatNobodyWrites)
{
    const std::string rows[] = {
        std::string(1, '\3'),       /* no bytes */
        std::string(1, '\5'),       /* an append that ends inside a message */
        "\x84",                     /* cut */
        std::string("\x87\0", 2),   /* a longer form */
        "\x83\x80\x80\x80\x80\x01", /* 2^33 */
        "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    };
    for (const std::string &row : rows) {
        std::string text = Encode({ { 2, true, true } }) + row;
        struct sl_bytes rest = BytesOf(text);
        sl_boundary_piece piece;
        bool malformed = false;
        EXPECT_TRUE(sl_boundary_take(&rest, &piece, &malformed));
        EXPECT_FALSE(sl_boundary_take(&rest, &piece, &malformed));
        EXPECT_TRUE(malformed);
        for (bool json : { false, true }) {
            sl_boundary_walk walk{};
            walk.offset = 2;
            walk.sub_offset = 1;
            walk.bound = 100;
            walk.json = json;
            sl_boundary_walk_chunk(&walk, 0, BytesOf(text), true);
            EXPECT_TRUE(walk.done);
            EXPECT_EQ(walk.err, SL_ERR_DATA_DAMAGED);
        }
    }
}

TEST(Boundary, KnowsWhereMessagesBegin)
{
    std::string text = Encode({ { 3, false, false }, { 2, true, false }, { 4, true, true } });
    for (bool starts : { false, true })
        for (uint32_t at = 0; at <= 11; at++)
            EXPECT_EQ(sl_boundary_is_start(BytesOf(text), starts, at),
                      at == 0 ? starts : at == 5 || at == 9)
                << at;
}

TEST(Boundary, AWalkGoesOnInsideAMessageThatSpansChunks)
{
    std::string chunks[] = { Encode({ { 5, true, true }, { 2, true, false }, { 8, false, false } }),
                             Encode({ { 15, false, false } }),
                             Encode({ { 1, true, false }, { 4, true, true } }) };
    struct {
        uint64_t offset, sub_offset, bound;
        bool ok;
        uint64_t position;
        int chunks;
    } const rows[] = {
        { 5, 1, 6, false, 5, 1 },   { 5, 0, 35, true, 5, 1 },    { 5, 1, 35, true, 7, 1 },
        { 5, 2, 35, true, 31, 3 },  { 5, 3, 35, true, 35, 3 },   { 5, 4, 35, false, 5, 3 },
        { 5, 2, 31, true, 31, 3 },  { 5, 3, 31, false, 5, 3 },   { 7, 1, 35, true, 31, 3 },
        { 8, 0, 35, false, 8, 1 },  { 15, 0, 35, false, 15, 2 }, { 16, 1, 35, false, 16, 2 },
        { 31, 1, 35, true, 35, 3 }, { 35, 0, 35, true, 35, 1 },  { 35, 1, 35, false, 35, 1 },
    };
    for (const auto &row : rows) {
        sl_boundary_walk walk{};
        walk.offset = row.offset;
        walk.sub_offset = row.sub_offset;
        walk.bound = row.bound;
        walk.json = true;
        const uint64_t starts[] = { 0, 15, 30 };
        int i = 0;
        for (; !walk.done; i++)
            sl_boundary_walk_chunk(&walk, starts[i], BytesOf(chunks[i]), i == 0);
        EXPECT_EQ(i, row.chunks) << row.offset << " + " << row.sub_offset;
        EXPECT_EQ(walk.err, row.ok ? SL_OK : SL_ERR_INVALID_FORK_OFFSET);
        EXPECT_EQ(walk.position, row.position) << row.offset << " + " << row.sub_offset;
    }
}

TEST(BoundaryDeathTest, RefusesToWriteNonsense)
{
    EXPECT_DEATH(Encode({ { 0, true, true } }), "panic");
    EXPECT_DEATH(Encode({ { 1, false, true } }), "panic");
}

} // namespace
