/*
 * http/catch_up.h - GET of a stream without `live`
 *
 * What     One page from an offset on, with validators and cache headers (protocol 1.3, 9).
 * Why      The length of the page is known from the first piece, so the answer can say it; the
 *          other pieces are read when the client has taken those before, so no answer holds more
 *          than one piece in memory.
 * Thread   The acceptor's.
 */
#ifndef SL_HTTP_CATCH_UP_H
#define SL_HTTP_CATCH_UP_H

#include "http/exchange.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Answers the request of the exchange, whose query is filled, sooner or later. */
void sl_catch_up_start(struct sl_exchange *exchange);
/*
 * The reply has begun, and exchange->op has read the first piece of a page: sends that, then reads
 * and sends the rest. Nobody else drives the exchange any more.
 */
void sl_catch_up_send(struct sl_exchange *exchange, uint64_t page_end);

#ifdef __cplusplus
}
#endif
#endif
