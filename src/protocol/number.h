/*
 * protocol/number.h - unsigned decimal numbers in text
 *
 * What     Digits only: no sign, no blank, no exponent; never past the given length.
 * Why      strtoull takes signs and blanks, wraps, and reads until a NUL that is not there.
 * Thread   Any; pure.
 */
#ifndef SL_PROTOCOL_NUMBER_H
#define SL_PROTOCOL_NUMBER_H

#include "sluice/bytes.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { SL_NUMBER_SIZE_MAX = 20 }; /* digits of 2^64 - 1 */

/* One digit or more, leading zeros accepted. False, and *value 0: malformed, or above `max`. */
bool sl_number_parse(struct sl_bytes text, uint64_t max, uint64_t *value);

/* The same, but "0" or without a leading zero. */
bool sl_number_parse_canonical(struct sl_bytes text, uint64_t max, uint64_t *value);

/* Writes at most SL_NUMBER_SIZE_MAX digits, no NUL. Returns how many. */
size_t sl_number_format(uint64_t value, char *out);

#ifdef __cplusplus
}
#endif
#endif
