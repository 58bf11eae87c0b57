#include "base/crc32c.h"

#include <endian.h>
#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#define WITH_INSTRUCTION __attribute__((target("sse4.2")))
#elif defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#define WITH_INSTRUCTION
#endif

enum {
    TABLES = 8,       /* bytes that one step of the software reads */
    LANES = 3,        /* the instruction takes three cycles, and one can begin in each */
    LONG_LANE = 4096, /* bytes of a lane, a multiple of 8 */
    SHORT_LANE = 256,
};

#define POLYNOMIAL UINT32_C(0x82f63b78) /* reflected */

/* What a checksum becomes when zeros follow: for each of its bytes, the part of the result. */
struct zeros {
    uint32_t part[4][256];
};

static uint32_t tables[TABLES][256]; /* [k][b]: the byte b with k zeros behind it */

static inline uint64_t word_at(const uint8_t *data)
{
    uint64_t word;
    memcpy(&word, data, sizeof(word));
    return le64toh(word);
}

static void make_tables(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ ((crc & 1) != 0 ? POLYNOMIAL : 0);
        tables[0][byte] = crc;
    }
    for (unsigned k = 1; k < TABLES; k++)
        for (uint32_t byte = 0; byte < 256; byte++)
            tables[k][byte] = tables[k - 1][byte] >> 8 ^ tables[0][tables[k - 1][byte] & 0xff];
}

uint32_t sli_crc32c_software(uint32_t crc, const void *data, size_t size)
{
    const uint8_t *at = data;
    crc = ~crc;
    for (; size >= TABLES; size -= TABLES, at += TABLES) {
        uint64_t word = word_at(at) ^ crc;
        crc = 0;
        for (unsigned k = 0; k < TABLES; k++)
            crc ^= tables[TABLES - 1 - k][word >> 8 * k & 0xff];
    }
    for (; size > 0; size--, at++)
        crc = crc >> 8 ^ tables[0][(crc ^ *at) & 0xff];
    return ~crc;
}

#if defined(WITH_INSTRUCTION)

static bool has_instruction;
static struct zeros long_zeros;  /* LONG_LANE of them */
static struct zeros short_zeros; /* SHORT_LANE of them */

WITH_INSTRUCTION static inline uint32_t step_word(uint32_t crc, uint64_t word)
{
#if defined(__x86_64__)
    return (uint32_t)_mm_crc32_u64(crc, word);
#else
    return __crc32cd(crc, word);
#endif
}

WITH_INSTRUCTION static inline uint32_t step_byte(uint32_t crc, uint8_t byte)
{
#if defined(__x86_64__)
    return _mm_crc32_u8(crc, byte);
#else
    return __crc32cb(crc, byte);
#endif
}

static inline uint32_t followed_by(const struct zeros *zeros, uint32_t crc)
{
    return zeros->part[0][crc & 0xff] ^ zeros->part[1][crc >> 8 & 0xff] ^
           zeros->part[2][crc >> 16 & 0xff] ^ zeros->part[3][crc >> 24];
}

/* The checksum is linear: what a byte becomes is the sum of what its bits become. */
WITH_INSTRUCTION static void make_zeros(struct zeros *zeros, unsigned size)
{
    for (unsigned bit = 0; bit < 32; bit++) {
        uint32_t crc = UINT32_C(1) << bit;
        for (unsigned done = 0; done < size; done += 8)
            crc = step_word(crc, 0);
        zeros->part[bit / 8][1u << bit % 8] = crc;
    }
    for (unsigned k = 0; k < 4; k++)
        for (unsigned byte = 1; byte < 256; byte++)
            zeros->part[k][byte] = zeros->part[k][byte & (byte - 1)] ^ zeros->part[k][byte & -byte];
}

/* Goes on with `crc` over LANES lanes of `lane` bytes each. */
WITH_INSTRUCTION static inline uint32_t three_lanes(uint32_t crc, const uint8_t *at, unsigned lane,
                                                    const struct zeros *zeros)
{
    uint32_t second = 0;
    uint32_t third = 0;
    for (const uint8_t *end = at + lane; at < end; at += 8) {
        crc = step_word(crc, word_at(at));
        second = step_word(second, word_at(at + lane));
        third = step_word(third, word_at(at + 2 * lane));
    }
    crc = followed_by(zeros, crc) ^ second;
    return followed_by(zeros, crc) ^ third;
}

WITH_INSTRUCTION static uint32_t by_instruction(uint32_t crc, const void *data, size_t size)
{
    const uint8_t *at = data;
    crc = ~crc;
    for (; size >= LANES * LONG_LANE; size -= LANES * LONG_LANE, at += LANES * LONG_LANE)
        crc = three_lanes(crc, at, LONG_LANE, &long_zeros);
    for (; size >= LANES * SHORT_LANE; size -= LANES * SHORT_LANE, at += LANES * SHORT_LANE)
        crc = three_lanes(crc, at, SHORT_LANE, &short_zeros);
    for (; size >= 8; size -= 8, at += 8)
        crc = step_word(crc, word_at(at));
    for (; size > 0; size--, at++)
        crc = step_byte(crc, *at);
    return ~crc;
}

static void choose(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    has_instruction = __builtin_cpu_supports("sse4.2") != 0;
#else
    has_instruction = true;
#endif
    if (!has_instruction)
        return;
    make_zeros(&long_zeros, LONG_LANE);
    make_zeros(&short_zeros, SHORT_LANE);
}

#endif

/* Before main: everything that is made here is only read later. */
__attribute__((constructor)) static void prepare(void)
{
    make_tables();
#if defined(WITH_INSTRUCTION)
    choose();
#endif
}

uint32_t sl_crc32c(uint32_t crc, const void *data, size_t size)
{
#if defined(WITH_INSTRUCTION)
    if (has_instruction)
        return by_instruction(crc, data, size);
#endif
    return sli_crc32c_software(crc, data, size);
}
