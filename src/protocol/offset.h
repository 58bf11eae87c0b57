/*
 * protocol/offset.h - the token that says a position of a stream
 *
 * What     Format and parse the offsets of Stream-Next-Offset, ?offset= and Stream-Fork-Offset.
 * Why      Fixed width, so that tokens sort as strings the way that positions sort as numbers.
 * Thread   Any; pure.
 * Format   16 digits of the part that is reserved and 0, '_', 16 digits of the position.
 */
#ifndef SL_PROTOCOL_OFFSET_H
#define SL_PROTOCOL_OFFSET_H

#include "sluice/bytes.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { SL_OFFSET_TOKEN_SIZE = 33 };

/* Writes SL_OFFSET_TOKEN_SIZE bytes, no NUL. `offset` is at most SL_OFFSET_MAX. */
void sl_offset_format(uint64_t offset, char out[SL_OFFSET_TOKEN_SIZE]);

/*
 * Exactly the format above. A first part other than 0 was never handed out but is well-formed and
 * sorts after everything: it gives SL_OFFSET_MAX. False, and *offset 0: malformed; "-1" and "now"
 * are no tokens.
 */
bool sl_offset_parse(struct sl_bytes token, uint64_t *offset);

#ifdef __cplusplus
}
#endif
#endif
