#include "protocol/number.h"

#include "protocol/ascii.h"

bool sl_number_parse(struct sl_bytes text, uint64_t max, uint64_t *value)
{
    *value = 0;
    uint64_t number = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (!sl_ascii_is_digit(text.data[i]))
            return false;
        if (__builtin_mul_overflow(number, (uint64_t)10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(text.data[i] - '0'), &number))
            return false;
    }
    if (text.size == 0 || number > max)
        return false;
    *value = number;
    return true;
}

bool sl_number_parse_canonical(struct sl_bytes text, uint64_t max, uint64_t *value)
{
    *value = 0;
    if (text.size > 1 && text.data[0] == '0')
        return false;
    return sl_number_parse(text, max, value);
}

size_t sl_number_format(uint64_t value, char *out)
{
    char digits[SL_NUMBER_SIZE_MAX];
    size_t start = sizeof(digits);
    do {
        digits[--start] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    memcpy(out, digits + start, sizeof(digits) - start);
    return sizeof(digits) - start;
}
