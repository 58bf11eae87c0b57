#include "journal/record.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace
{

std::string Text(struct sl_bytes bytes)
{
    return std::string(reinterpret_cast<const char *>(bytes.data), bytes.size);
}

std::vector<uint8_t> Encode(const struct sl_record &record)
{
    std::vector<uint8_t> out(sl_record_size(&record));
    EXPECT_EQ(sl_record_encode(&record, out.data()), out.size());
    return out;
}

struct sl_record Sample()
{
    struct sl_record record = {};
    record.stream_id = UINT64_C(0x0102030405060708);
    record.stream_offset = UINT64_C(0xf1f2f3f4f5f6f7f8);
    record.kind = 9;
    record.head = sl_bytes_of("head");
    record.payload[0] = sl_bytes_of("pay");
    record.payload[1] = sl_bytes_of("load");
    return record;
}

} // namespace

TEST(Record, ReadsBackWithItsPayloadInOnePart)
{
    std::vector<uint8_t> bytes = Encode(Sample());
    EXPECT_EQ(bytes.size(), SL_RECORD_HEADER_BYTES + 11u);
    bytes.push_back('x'); /* of the next one */
    struct sl_record record;
    size_t size;
    ASSERT_TRUE(sl_record_decode(sl_bytes(bytes.data(), bytes.size()), &record, &size));
    EXPECT_EQ(size, bytes.size() - 1);
    EXPECT_EQ(record.stream_id, UINT64_C(0x0102030405060708));
    EXPECT_EQ(record.stream_offset, UINT64_C(0xf1f2f3f4f5f6f7f8));
    EXPECT_EQ(record.kind, 9);
    EXPECT_EQ(Text(record.head), "head");
    EXPECT_EQ(Text(record.payload[0]), "payload");
    EXPECT_EQ(record.payload[1].size, 0u);
}

TEST(Record, MayBeEmpty)
{
    struct sl_record record = {};
    std::vector<uint8_t> bytes = Encode(record);
    EXPECT_EQ(bytes.size(), static_cast<size_t>(SL_RECORD_HEADER_BYTES));
    size_t size;
    EXPECT_TRUE(sl_record_decode(sl_bytes(bytes.data(), bytes.size()), &record, &size));
    EXPECT_EQ(size, bytes.size());
    EXPECT_EQ(record.head.size + record.payload[0].size, 0u);
}

/* The format is for ever. */
TEST(Record, HasItsBytesInTheirPlaces)
{
    struct sl_record record = Sample();
    record.payload[1] = sl_bytes_of("");
    const uint8_t expected[] = {
        39,   0,    0,    0,    4, 0, 0, 0, 8, 7, 6, 5, 4,   3,   2,   1,   0xf8, 0xf7, 0xf6, 0xf5,
        0xf4, 0xf3, 0xf2, 0xf1, 9, 0, 0, 0, 0, 0, 0, 0, 'h', 'e', 'a', 'd', 'p',  'a',  'y'
    };
    EXPECT_EQ(Encode(record), std::vector<uint8_t>(expected, expected + sizeof(expected)));
}

TEST(Record, RefusesSizesThatDoNotFit)
{
    std::vector<uint8_t> good = Encode(Sample());
    struct sl_record record;
    size_t size;
    for (size_t cut = 0; cut < good.size(); cut++)
        EXPECT_FALSE(sl_record_decode(sl_bytes(good.data(), cut), &record, &size)) << cut;
    /* At 0 the size of all, at 4 that of the head. */
    struct {
        uint8_t at, value;
        bool good;
    } cases[] = {
        { 0, 31, false },  { 0, 35, false },  { 0, 36, true },   { 0, 43, true },
        { 0, 44, false },  { 4, 0, true },    { 4, 11, true },   { 4, 12, false },
        { 4, 255, false }, { 7, 255, false }, { 3, 255, false }, { 0, 0, false },
    };
    for (auto &test : cases) {
        std::vector<uint8_t> bytes = good;
        bytes[test.at] = test.value;
        EXPECT_EQ(sl_record_decode(sl_bytes(bytes.data(), bytes.size()), &record, &size), test.good)
            << int(test.at) << " " << int(test.value);
    }
}

TEST(Record, RefusesWhatIsNotZeroWhereZerosBelong)
{
    for (size_t at = 25; at < 32; at++) {
        std::vector<uint8_t> bytes = Encode(Sample());
        bytes[at] = 1;
        struct sl_record record;
        size_t size;
        EXPECT_FALSE(sl_record_decode(sl_bytes(bytes.data(), bytes.size()), &record, &size)) << at;
    }
}
