/*
 * protocol/authority.h - what a client calls a server: host and port
 *
 * What     Says whether a Host header, or the authority of an absolute request target, is one.
 * Why      RFC 9112, 3.2 wants a 400 for a Host with an invalid value: what one server takes for a
 *          part of the name ends it for the next one.
 * Thread   Any; pure.
 */
#ifndef SL_PROTOCOL_AUTHORITY_H
#define SL_PROTOCOL_AUTHORITY_H

#include "sluice/bytes.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * `uri-host [ ":" port ]` of RFC 9110, 7.2: a name as RFC 3986 spells it, which may be empty, or an
 * address in brackets, whose digits are not looked at any closer. No blanks around it, no user.
 */
bool sl_authority_is_valid(struct sl_bytes authority);

#ifdef __cplusplus
}
#endif
#endif
