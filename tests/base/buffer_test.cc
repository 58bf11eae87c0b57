#include "base/buffer.h"

#include <string>

#include <gtest/gtest.h>

namespace
{

class Buffer : public ::testing::Test
{
  protected:
    void TearDown() override
    {
        sl_buffer_deinit(&buffer);
    }

    std::string text() const
    {
        struct sl_bytes bytes = sl_buffer_bytes(&buffer);
        return std::string(reinterpret_cast<const char *>(bytes.data), bytes.size);
    }

    sl_buffer buffer = {};
};

} // namespace

TEST_F(Buffer, ZeroIsEmpty)
{
    EXPECT_EQ(sl_buffer_bytes(&buffer).size, 0u);
    sl_buffer_clear(&buffer);
    sl_buffer_append(&buffer, nullptr, 0);
    sl_buffer_append_text(&buffer, "");
    sl_buffer_append_bytes(&buffer, sl_bytes(nullptr, 0));
    EXPECT_EQ(buffer.capacity, 0u);
}

TEST_F(Buffer, AppendsInOrder)
{
    sl_buffer_append(&buffer, "ab\0c", 4);
    sl_buffer_append_text(&buffer, "de");
    sl_buffer_append_bytes(&buffer, sl_bytes_of("fg"));
    EXPECT_EQ(text(), std::string("ab\0cdefg", 8));
}

TEST_F(Buffer, ReserveGivesThePlaceAndLeavesTheSize)
{
    sl_buffer_append_text(&buffer, "ab");
    uint8_t *place = sl_buffer_reserve(&buffer, 1000);
    EXPECT_EQ(place, buffer.data + 2);
    EXPECT_EQ(buffer.size, 2u);
    EXPECT_GE(buffer.capacity, 1002u);
    memset(place, 'x', 1000);
    buffer.size += 1000;
    EXPECT_EQ(text(), "ab" + std::string(1000, 'x'));
}

TEST_F(Buffer, ReserveOfNothingIsAPlaceToo)
{
    EXPECT_NE(sl_buffer_reserve(&buffer, 0), nullptr);
}

TEST_F(Buffer, ReserveWithinTheCapacityDoesNotMove)
{
    uint8_t *place = sl_buffer_reserve(&buffer, 100);
    size_t capacity = buffer.capacity;
    EXPECT_EQ(sl_buffer_reserve(&buffer, capacity - 1), place);
    EXPECT_EQ(sl_buffer_reserve(&buffer, capacity), place);
    EXPECT_EQ(buffer.capacity, capacity);
    sl_buffer_reserve(&buffer, capacity + 1);
    EXPECT_EQ(buffer.capacity, 2 * capacity);
}

TEST_F(Buffer, GrowthDoubles)
{
    int growths = 0;
    std::string expected;
    for (int i = 0; i < 1 << 20; i++) {
        size_t before = buffer.capacity;
        char byte = static_cast<char>(i * 7);
        sl_buffer_append(&buffer, &byte, 1);
        expected += byte;
        if (buffer.capacity != before)
            growths++;
    }
    EXPECT_LE(growths, 20);
    EXPECT_EQ(text(), expected);
}

TEST_F(Buffer, ClearKeepsTheMemory)
{
    sl_buffer_append_text(&buffer, "some text");
    uint8_t *data = buffer.data;
    size_t capacity = buffer.capacity;
    sl_buffer_clear(&buffer);
    EXPECT_EQ(buffer.size, 0u);
    EXPECT_EQ(buffer.data, data);
    EXPECT_EQ(buffer.capacity, capacity);
}

TEST_F(Buffer, CanBeUsedAfterDeinit)
{
    sl_buffer_append_text(&buffer, "ab");
    sl_buffer_deinit(&buffer);
    EXPECT_EQ(buffer.data, nullptr);
    EXPECT_EQ(buffer.capacity, 0u);
    sl_buffer_append_text(&buffer, "cd");
    EXPECT_EQ(text(), "cd");
}

TEST_F(Buffer, PrintfAppendsWithoutNul)
{
    sl_buffer_append_text(&buffer, "a");
    sl_buffer_printf(&buffer, "%d-%s", 12, "x");
    sl_buffer_printf(&buffer, "!");
    EXPECT_EQ(text(), "a12-x!");
}

TEST_F(Buffer, PrintfGrowsAtEveryFillLevel)
{
    for (size_t filled = 0; filled < 130; filled++) {
        for (size_t size : { 0u, 1u, 62u, 63u, 64u, 65u, 127u, 128u, 129u }) {
            std::string expected = std::string(filled, 'f') + std::string(size, 'p');
            sl_buffer_deinit(&buffer);
            sl_buffer_append(&buffer, expected.data(), filled);
            sl_buffer_printf(&buffer, "%s", expected.c_str() + filled);
            ASSERT_EQ(text(), expected);
            ASSERT_LE(buffer.size, buffer.capacity);
        }
    }
}

using BufferDeathTest = Buffer;

TEST_F(BufferDeathTest, RefusesSizesThatOverflow)
{
    sl_buffer_append_text(&buffer, "a");
    EXPECT_DEATH(sl_buffer_reserve(&buffer, SIZE_MAX), "panic");
}

TEST_F(Buffer, KeepsItsBytesWhenItGetsPagesOfItsOwn)
{
    const size_t sizes[] = { SL_BUFFER_MAPPED_BYTES - 1, SL_BUFFER_MAPPED_BYTES,
                             SL_BUFFER_MAPPED_BYTES + 1, 3 * SL_BUFFER_MAPPED_BYTES };
    std::string wanted = "first";
    sl_buffer_append_text(&buffer, "first");
    for (size_t size : sizes) {
        sl_buffer_reserve(&buffer, size - buffer.size);
        EXPECT_GE(buffer.capacity, size);
        memset(buffer.data + buffer.size, 'a', size - buffer.size);
        wanted.resize(size, 'a');
        buffer.size = size;
        EXPECT_TRUE(text() == wanted) << size;
    }
}

TEST_F(Buffer, MayBeginWithPagesOfItsOwn)
{
    for (size_t size : { SL_BUFFER_MAPPED_BYTES - 1, SL_BUFFER_MAPPED_BYTES + 0 }) {
        uint8_t *place = sl_buffer_reserve(&buffer, size);
        EXPECT_EQ(buffer.capacity, size);
        place[0] = place[size - 1] = 'x';
        sl_buffer_deinit(&buffer);
        EXPECT_EQ(buffer.data, nullptr);
    }
}
