/*
 * protocol/ascii.h - letters, digits and blanks of ASCII
 *
 * What     The few character questions that every parser of the room asks.
 * Why      <ctype.h> depends on the locale and is undefined for bytes above 127.
 * Thread   Any; pure.
 */
#ifndef SL_PROTOCOL_ASCII_H
#define SL_PROTOCOL_ASCII_H

#include "sluice/bytes.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Without the spaces and tabs at both ends (the optional whitespace of HTTP). */
struct sl_bytes sl_ascii_trim(struct sl_bytes text);

/* Cuts `rest` at the first `mark`: what is before it is returned, what is after it stays. */
struct sl_bytes sl_ascii_cut(struct sl_bytes *rest, uint8_t mark);

/* Equal but for the case of A to Z. */
bool sl_ascii_equal_ignore_case(struct sl_bytes a, struct sl_bytes b);

/* 0 to 15, or -1 when it is no hexadecimal digit. */
int sl_ascii_hex_value(uint8_t byte);

/* One or more token characters of RFC 9110, 5.6.2: a method, the name of a header. */
bool sl_ascii_is_token(struct sl_bytes text);

static inline bool sl_ascii_is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

static inline uint8_t sl_ascii_lower(uint8_t byte)
{
    return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte | 0x20) : byte;
}

static inline bool sl_ascii_is_alphanumeric(uint8_t byte)
{
    uint8_t lower = sl_ascii_lower(byte);
    return sl_ascii_is_digit(byte) || (lower >= 'a' && lower <= 'z');
}

#ifdef __cplusplus
}
#endif
#endif
