#include "protocol/varint.h"

#include "base/assert.h"

size_t sl_varint_write(uint64_t value, uint8_t *out)
{
    size_t size = 0;
    while (value >= 0x80) {
        out[size++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    out[size++] = (uint8_t)value;
    SL_ASSERT(size <= SL_VARINT_SIZE_MAX);
    return size;
}

size_t sl_varint_read(const uint8_t *data, size_t size, uint64_t *value)
{
    uint64_t sum = 0;
    *value = 0;
    for (size_t i = 0; i < size && i < SL_VARINT_SIZE_MAX; i++) {
        /* The tenth byte holds bit 63 and nothing else. */
        if (i == SL_VARINT_SIZE_MAX - 1 && data[i] > 1)
            return 0;
        sum |= (uint64_t)(data[i] & 0x7f) << (7 * i);
        if (data[i] < 0x80) {
            if (i > 0 && data[i] == 0)
                return 0;
            *value = sum;
            return i + 1;
        }
    }
    return 0;
}
