/*
 * protocol/expiry.h - Stream-TTL and Stream-Expires-At
 *
 * What     Parse a number of seconds, and an RFC 3339 instant.
 * Thread   Any; pure: no time zone, no clock.
 */
#ifndef SL_PROTOCOL_EXPIRY_H
#define SL_PROTOCOL_EXPIRY_H

#include "sluice/bytes.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Larger ones lose digits in clients that keep numbers as doubles. */
#define SL_TTL_S_MAX UINT64_C(9007199254740991)

/* "0" or digits without a leading zero, at most SL_TTL_S_MAX. False, and *ttl_s 0: malformed. */
bool sl_ttl_parse(struct sl_bytes text, uint64_t *ttl_s);

/*
 * RFC 3339 date-time: 'T' and 'Z' in either case or a numeric offset, a day that the calendar has,
 * a fraction of any length cut to milliseconds. 23:59:60 UTC is the first second of the next day.
 * *ms since 1970, negative before. False, and *ms 0: malformed.
 */
bool sl_expires_at_parse(struct sl_bytes text, int64_t *ms);

#ifdef __cplusplus
}
#endif
#endif
