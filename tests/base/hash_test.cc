#include "base/hash.h"

#include <gtest/gtest.h>

namespace
{

/* The key and the messages of the published vectors: bytes 0, 1, 2, ... */
const sl_hash_key counting_key = { UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908) };

struct vector {
    size_t size;
    uint64_t sip_13; /* computed with OpenSSL's SIPHASH, c-rounds 1, d-rounds 3 */
    uint64_t sip_24; /* of the reference implementation; 15 bytes are in the paper, appendix A */
};

/* Written as the 8 bytes of output; the number is their little-endian reading. */
const vector vectors[] = {
    { 0, 0xdcc40f055801acab, 0x310e0edd47db6f72 },  { 1, 0x93ca577df39bf4c9, 0xfd67dc93c539f874 },
    { 7, 0x4011b19b987d92d3, 0x37d1018bf50002ab },  { 8, 0x8e9a298d11959036, 0x6224939a79f5f593 },
    { 9, 0xe43d066cb38ea425, 0xb0e4a90bdf82009e },  { 15, 0x5699512a6dd820d3, 0xe545be4961ca29a1 },
    { 16, 0x668b907d1add4fcc, 0xdb9bc2577fcc2a3f }, { 63, 0xa8b3bbb76290199d, 0x724506eb4c328a95 },
};

} // namespace

TEST(Hash, MatchesPublishedVectors)
{
    uint8_t message[64];
    for (size_t i = 0; i < sizeof(message); i++)
        message[i] = static_cast<uint8_t>(i);
    for (const vector &one : vectors) {
        struct sl_bytes bytes = sl_bytes(message, one.size);
        EXPECT_EQ(sl_hash(&counting_key, bytes), __builtin_bswap64(one.sip_13)) << one.size;
        EXPECT_EQ(sli_hash_with_rounds(&counting_key, bytes, 2, 4), __builtin_bswap64(one.sip_24))
            << one.size;
    }
}

TEST(Hash, EmptyBytesMayBeNull)
{
    EXPECT_EQ(sl_hash(&counting_key, sl_bytes(nullptr, 0)), __builtin_bswap64(vectors[0].sip_13));
}

TEST(Hash, DoesNotDependOnAlignment)
{
    uint8_t place[100] = {};
    uint64_t expected = 0;
    for (size_t shift = 0; shift < 16; shift++) {
        memcpy(place + shift, "the quick brown fox jumps", 25);
        uint64_t hash = sl_hash(&counting_key, sl_bytes(place + shift, 25));
        if (shift == 0)
            expected = hash;
        EXPECT_EQ(hash, expected);
    }
}

TEST(Hash, DependsOnBothHalvesOfTheKey)
{
    sl_hash_key low = { 1, 0 }, high = { 0, 1 }, none = { 0, 0 };
    struct sl_bytes name = sl_bytes_of("jobs/7");
    EXPECT_NE(sl_hash(&low, name), sl_hash(&none, name));
    EXPECT_NE(sl_hash(&high, name), sl_hash(&none, name));
    EXPECT_NE(sl_hash(&low, name), sl_hash(&high, name));
}
