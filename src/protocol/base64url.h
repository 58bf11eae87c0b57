/*
 * protocol/base64url.h - bytes as letters that a URL and a header may hold (RFC 4648, section 5)
 *
 * Why      One spelling for every run of bytes: no padding, and what is left over in the last digit
 *          is zero, so a text that decodes is the text that was encoded.
 * Thread   Any; pure.
 */
#ifndef SL_PROTOCOL_BASE64URL_H
#define SL_PROTOCOL_BASE64URL_H

#include "sluice/bytes.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Digits that say `size` bytes; a constant where `size` is one. */
#define SL_BASE64URL_SIZE(size) (((size)*4 + 2) / 3)

/* Writes SL_BASE64URL_SIZE(bytes.size) digits, no NUL. */
void sl_base64url_encode(struct sl_bytes bytes, char *out);

/* False: `text` is not what encodes `size` bytes; then `out`, of that size, is undefined. */
bool sl_base64url_decode(struct sl_bytes text, void *out, size_t size);

#ifdef __cplusplus
}
#endif
#endif
