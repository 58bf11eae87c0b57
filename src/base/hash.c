#include "base/hash.h"

#include <endian.h>

struct state {
    uint64_t v0, v1, v2, v3; /* named as in the paper */
};

static inline uint64_t rotate_left(uint64_t value, unsigned bits)
{
    return value << bits | value >> (64 - bits);
}

static inline void sip_rounds(struct state *s, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        s->v0 += s->v1;
        s->v2 += s->v3;
        s->v1 = rotate_left(s->v1, 13) ^ s->v0;
        s->v3 = rotate_left(s->v3, 16) ^ s->v2;
        s->v0 = rotate_left(s->v0, 32);
        s->v2 += s->v1;
        s->v0 += s->v3;
        s->v1 = rotate_left(s->v1, 17) ^ s->v2;
        s->v3 = rotate_left(s->v3, 21) ^ s->v0;
        s->v2 = rotate_left(s->v2, 32);
    }
}

static inline void compress(struct state *s, uint64_t word, unsigned c)
{
    s->v3 ^= word;
    sip_rounds(s, c);
    s->v0 ^= word;
}

/* Inlined with constant rounds into sl_hash(), which is hot. */
__attribute__((always_inline)) static inline uint64_t
sip_hash(const struct sl_hash_key *key, struct sl_bytes bytes, unsigned c, unsigned d)
{
    /* The constants spell "somepseudorandomlygeneratedbytes". */
    struct state s = {
        .v0 = key->k0 ^ UINT64_C(0x736f6d6570736575),
        .v1 = key->k1 ^ UINT64_C(0x646f72616e646f6d),
        .v2 = key->k0 ^ UINT64_C(0x6c7967656e657261),
        .v3 = key->k1 ^ UINT64_C(0x7465646279746573),
    };
    size_t position = 0;
    for (; bytes.size - position >= 8; position += 8) {
        uint64_t word;
        memcpy(&word, bytes.data + position, sizeof(word));
        compress(&s, le64toh(word), c);
    }
    /* The last word: what is left, and the size modulo 256 in its highest byte. */
    uint64_t last = (uint64_t)bytes.size << 56;
    for (unsigned shift = 0; position < bytes.size; position++, shift += 8)
        last |= (uint64_t)bytes.data[position] << shift;
    compress(&s, last, c);

    s.v2 ^= 0xff;
    sip_rounds(&s, d);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

uint64_t sl_hash(const struct sl_hash_key *key, struct sl_bytes bytes)
{
    return sip_hash(key, bytes, 1, 3);
}

uint64_t sli_hash_with_rounds(const struct sl_hash_key *key, struct sl_bytes bytes, unsigned c,
                              unsigned d)
{
    return sip_hash(key, bytes, c, d);
}
