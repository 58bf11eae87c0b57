#include "protocol/base64url.h"

enum {
    DIGIT_BITS = 6,
    BYTE_BITS = 8,
};

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void sl_base64url_encode(struct sl_bytes bytes, char *out)
{
    uint32_t word = 0;
    unsigned bits = 0; /* of the word that are not written yet; always fewer than a digit's after */
    for (size_t i = 0; i < bytes.size; i++) {
        word = word << BYTE_BITS | bytes.data[i];
        for (bits += BYTE_BITS; bits >= DIGIT_BITS; bits -= DIGIT_BITS)
            *out++ = digits[word >> (bits - DIGIT_BITS) & 63];
    }
    if (bits > 0)
        *out = digits[word << (DIGIT_BITS - bits) & 63];
}

bool sl_base64url_decode(struct sl_bytes text, void *out, size_t size)
{
    uint8_t *byte = out;
    uint32_t word = 0;
    unsigned bits = 0;
    if (text.size != SL_BASE64URL_SIZE(size))
        return false;
    for (size_t i = 0; i < text.size; i++) {
        const char *digit = memchr(digits, text.data[i], sizeof(digits) - 1);
        if (digit == NULL)
            return false;
        word = word << DIGIT_BITS | (uint32_t)(digit - digits);
        bits += DIGIT_BITS;
        if (bits >= BYTE_BITS) {
            bits -= BYTE_BITS;
            *byte++ = (uint8_t)(word >> bits);
        }
    }
    return (word & ((1u << bits) - 1)) == 0;
}
