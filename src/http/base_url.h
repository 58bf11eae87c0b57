/*
 * http/base_url.h - how the client calls this server
 *
 * What     "http://host:port" for absolute URLs: the option, else what the request says, else the
 *          address that it came to.
 * Thread   The acceptor's.
 */
#ifndef SL_HTTP_BASE_URL_H
#define SL_HTTP_BASE_URL_H

#include "base/buffer.h"
#include "http/exchange.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Appends it, without a slash at its end. */
void sl_base_url_append(struct sl_exchange *exchange, struct sl_buffer *url);

#ifdef __cplusplus
}
#endif
#endif
