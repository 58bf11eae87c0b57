#include "protocol/offset.h"

#include "base/assert.h"
#include "protocol/ascii.h"
#include "sluice/operation.h"

enum { PART_DIGITS = 16, HALF_DIGITS = 8, HALF = 100000000 };

/* 32 bits, because a division of that size by a constant is one cheap multiplication. */
static void format_half(uint32_t value, char *out)
{
    for (int i = HALF_DIGITS - 1; i >= 0; i--) {
        out[i] = (char)('0' + value % 10);
        value /= 10;
    }
}

static bool parse_part(const uint8_t *digits, uint64_t *value)
{
    *value = 0;
    for (int i = 0; i < PART_DIGITS; i++) {
        if (!sl_ascii_is_digit(digits[i]))
            return false;
        *value = *value * 10 + (uint64_t)(digits[i] - '0');
    }
    return true;
}

void sl_offset_format(uint64_t offset, char out[SL_OFFSET_TOKEN_SIZE])
{
    SL_ASSERT(offset <= SL_OFFSET_MAX);
    memset(out, '0', PART_DIGITS);
    out[PART_DIGITS] = '_';
    format_half((uint32_t)(offset / HALF), out + PART_DIGITS + 1);
    format_half((uint32_t)(offset % HALF), out + PART_DIGITS + 1 + HALF_DIGITS);
}

bool sl_offset_parse(struct sl_bytes token, uint64_t *offset)
{
    *offset = 0;
    if (token.size != SL_OFFSET_TOKEN_SIZE || token.data[PART_DIGITS] != '_')
        return false;
    uint64_t reserved, position;
    if (!parse_part(token.data, &reserved) || !parse_part(token.data + PART_DIGITS + 1, &position))
        return false;
    *offset = reserved == 0 ? position : SL_OFFSET_MAX;
    return true;
}
