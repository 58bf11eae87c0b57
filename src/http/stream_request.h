/*
 * http/stream_request.h - PUT, POST, HEAD and DELETE of a stream
 *
 * What     Turns headers and body into an operation, and its result into the answer (protocol 1.1,
 *          1.2, 1.6, 1.7).
 * Thread   The acceptor's.
 */
#ifndef SL_HTTP_STREAM_REQUEST_H
#define SL_HTTP_STREAM_REQUEST_H

#include "http/exchange.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Each answers the request of the exchange, sooner or later. */
void sl_stream_request_create(struct sl_exchange *exchange);
void sl_stream_request_append(struct sl_exchange *exchange);
void sl_stream_request_head(struct sl_exchange *exchange);
void sl_stream_request_delete(struct sl_exchange *exchange);

#ifdef __cplusplus
}
#endif
#endif
