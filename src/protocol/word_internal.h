/*
 * protocol/word_internal.h - eight bytes at a time
 *
 * What     Loads eight bytes as a number and marks the bytes of it that are looked for.
 * Why      Skipping eight ordinary bytes in a few instructions, on any processor.
 * Thread   Any; pure functions.
 * Invariants   (1) The byte at the lowest address is the lowest one of the word. (2) A mark is the
 *              high bit of its byte. The lowest mark is exact; those above it may be wrong,
 *              because subtractions borrow from the byte above.
 */
#ifndef SL_PROTOCOL_WORD_INTERNAL_H
#define SL_PROTOCOL_WORD_INTERNAL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SLI_WORD_HIGH_BITS UINT64_C(0x8080808080808080)

enum { SLI_WORD_SIZE = 8 };

/* Loads SLI_WORD_SIZE bytes. */
static inline uint64_t sli_word_load(const uint8_t *data)
{
    uint64_t word;
    memcpy(&word, data, sizeof(word));
    return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? __builtin_bswap64(word) : word;
}

/* A word of eight times the same byte. */
static inline uint64_t sli_word_of(uint8_t byte)
{
    return UINT64_C(0x0101010101010101) * byte;
}

/* Marks the bytes that are less than `limit`, which is at most 0x80. */
static inline uint64_t sli_word_below(uint64_t word, uint8_t limit)
{
    return (word - sli_word_of(limit)) & ~word & SLI_WORD_HIGH_BITS;
}

/* Marks the bytes that are `byte`. */
static inline uint64_t sli_word_equal(uint64_t word, uint8_t byte)
{
    return sli_word_below(word ^ sli_word_of(byte), 1);
}

/* The place of the lowest mark, 0 to 7; there is one. */
static inline size_t sli_word_first(uint64_t marks)
{
    return (size_t)__builtin_ctzll(marks) / 8;
}

#ifdef __cplusplus
}
#endif
#endif
