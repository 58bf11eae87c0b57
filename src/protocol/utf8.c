#include "protocol/utf8.h"

#include "protocol/word_internal.h"

/*
 * The states of a walk through UTF-8: what the next byte has to be. A state is also the place of
 * its row in the words of the table below, so that a step is one load and one shift, without a
 * branch, whatever the text is.
 */
enum {
    REFUSED = 0,
    START = 6,   /* the first byte of a character */
    MORE_1 = 12, /* 1 byte of 80..BF, and so on */
    MORE_2 = 18,
    MORE_3 = 24,
    AFTER_E0 = 30, /* A0..BF and one more: no overlong form */
    AFTER_ED = 36, /* 80..9F and one more: no surrogate */
    AFTER_F0 = 42, /* 90..BF and two more: no overlong form */
    AFTER_F4 = 48, /* 80..8F and two more: nothing above U+10FFFF */
    STATE_MASK = 63,
};

/* In state `from` a byte leads to state `to`; where nothing is said it leads to REFUSED. */
#define STEP(from, to) ((uint64_t)(to) << (from))

#define MIDDLE (STEP(MORE_1, START) | STEP(MORE_2, MORE_1) | STEP(MORE_3, MORE_2))
#define BYTE_00_7F STEP(START, START)
#define BYTE_80_8F (MIDDLE | STEP(AFTER_ED, MORE_1) | STEP(AFTER_F4, MORE_2))
#define BYTE_90_9F (MIDDLE | STEP(AFTER_ED, MORE_1) | STEP(AFTER_F0, MORE_2))
#define BYTE_A0_BF (MIDDLE | STEP(AFTER_E0, MORE_1) | STEP(AFTER_F0, MORE_2))
#define BYTE_C2_DF STEP(START, MORE_1)
#define BYTE_E1_EF STEP(START, MORE_2)
#define BYTE_F1_F3 STEP(START, MORE_3)

#define TWICE(x) x, x
#define TIMES_4(x) TWICE(x), TWICE(x)
#define TIMES_8(x) TIMES_4(x), TIMES_4(x)
#define TIMES_16(x) TIMES_8(x), TIMES_8(x)
#define TIMES_32(x) TIMES_16(x), TIMES_16(x)

static const uint64_t steps[256] = {
    TIMES_32(BYTE_00_7F),
    TIMES_32(BYTE_00_7F),
    TIMES_32(BYTE_00_7F),
    TIMES_32(BYTE_00_7F),
    TIMES_16(BYTE_80_8F),
    TIMES_16(BYTE_90_9F),
    TIMES_32(BYTE_A0_BF),
    /* C0 */ TWICE(0),
    TWICE(BYTE_C2_DF),
    TIMES_4(BYTE_C2_DF),
    TIMES_8(BYTE_C2_DF),
    /* D0 */ TIMES_16(BYTE_C2_DF),
    /* E0 */ STEP(START, AFTER_E0),
    TIMES_4(BYTE_E1_EF),
    TIMES_8(BYTE_E1_EF),
    /* ED */ STEP(START, AFTER_ED),
    TWICE(BYTE_E1_EF),
    /* F0 */ STEP(START, AFTER_F0),
    BYTE_F1_F3,
    TWICE(BYTE_F1_F3),
    /* F4 */ STEP(START, AFTER_F4),
    0,
    TWICE(0),
    TIMES_8(0),
};

/* Walks through the bytes from `start` to `end`. Bits of a state above STATE_MASK mean nothing. */
static uint64_t walk(uint64_t state, const uint8_t *data, size_t start, size_t end)
{
    for (size_t i = start; i < end; i++)
        state = steps[data[i]] >> (state & STATE_MASK);
    return state;
}

bool sl_utf8_is_valid(struct sl_bytes text)
{
    enum { STRIDE = 2 * SLI_WORD_SIZE };
    uint64_t state = START;
    size_t at = 0;
    for (; text.size - at >= STRIDE; at += STRIDE) {
        const uint8_t *data = text.data + at;
        uint64_t both = sli_word_load(data) | sli_word_load(data + SLI_WORD_SIZE);
        if ((both & SLI_WORD_HIGH_BITS) == 0 && (state & STATE_MASK) == START)
            continue;
        state = walk(state, data, 0, STRIDE);
        if ((state & STATE_MASK) == REFUSED)
            return false;
    }
    state = walk(state, text.data, at, text.size);
    return (state & STATE_MASK) == START;
}

size_t sl_utf8_whole(struct sl_bytes text)
{
    for (size_t tail = 1; tail <= 3 && tail <= text.size; tail++) {
        size_t start = text.size - tail;
        if (text.data[start] >= 0x80 && text.data[start] <= 0xbf)
            continue;
        uint64_t state = walk(START, text.data, start, text.size) & STATE_MASK;
        return state == REFUSED || state == START ? text.size : start;
    }
    return text.size;
}
