/*
 * protocol/utf8.h - is this UTF-8, and where may it be cut
 *
 * Thread   Any; pure functions.
 * Format   RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
 */
#ifndef SL_PROTOCOL_UTF8_H
#define SL_PROTOCOL_UTF8_H

#include "sluice/bytes.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Whether `text` is a whole number of well-formed characters; empty text is. */
bool sl_utf8_is_valid(struct sl_bytes text);

/*
 * The length of the longest prefix of `text` that does not end inside a character: 0 to 3 bytes
 * less than all of it. Where the last bytes are not the beginning of a character anyway, no cut
 * makes them better, and it is all of it.
 */
size_t sl_utf8_whole(struct sl_bytes text);

#ifdef __cplusplus
}
#endif
#endif
