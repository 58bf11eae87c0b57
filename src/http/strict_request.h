/*
 * http/strict_request.h - what h2o lets pass and we do not
 *
 * What     Looks at the raw head of a request for what two servers could read differently.
 * Why      h2o takes the first of two Content-Length, lets Transfer-Encoding win over it, takes the
 *          last of two Host and anything in it, lines that end with a bare LF, folded lines, and
 *          whatever stands before the first blank as a method: behind a proxy each of these can
 *          smuggle a request.
 * Thread   Any; pure.
 */
#ifndef SL_HTTP_STRICT_REQUEST_H
#define SL_HTTP_STRICT_REQUEST_H

#include "sluice/bytes.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * `input` starts with the request line of a request that h2o has parsed, so that its lines are in
 * order and its header names in lower case; what follows the head is not looked at. True when its
 * method is a token, every line ends with CR LF, it has one Host (at most one before HTTP/1.1) with
 * a valid value, at most one of Content-Length and Transfer-Encoding, the latter not before
 * HTTP/1.1, and no folded line. `has_host`: there was one.
 */
bool sl_strict_request_check(struct sl_bytes input, bool before_http_1_1, bool *has_host);

#ifdef __cplusplus
}
#endif
#endif
