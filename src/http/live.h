/*
 * http/live.h - long-polls and SSE responses of one acceptor
 *
 * What     Owns every GET with `live=`. Per watched stream one waiting read at the engine, shared
 *          by all connections at the tail; what it brings is encoded once and sent to all of them.
 * Why      A subscriber is a cursor over the log, never a queue: who falls behind reads on from its
 *          own offset, page by page, and joins the others when it has caught up.
 * Thread   The acceptor's.
 */
#ifndef SL_HTTP_LIVE_H
#define SL_HTTP_LIVE_H

#include "http/exchange.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sl_live;

struct sl_live *sl_live_create(struct sl_acceptor *acceptor);
/* Nobody is connected any more. */
void sl_live_destroy(struct sl_live **live);

/* Takes over a GET whose query says long-poll or SSE; answers it, also with errors. */
void sl_live_start(struct sl_live *live, struct sl_exchange *exchange);

/*
 * The client of this exchange is gone, as the acceptor noticed: nothing is sent to it any more. The
 * acceptor ends the request. Nothing happens if live does not drive the exchange.
 */
void sl_live_gone(struct sl_live *live, struct sl_exchange *exchange);

/*
 * One turn's share of fan-out work, once per turn of the loop; false: there is more, do not sleep.
 */
bool sl_live_work(struct sl_live *live);

/* Shutdown: answers every waiting long-poll with 204, ends every SSE response cleanly. */
void sl_live_drain(struct sl_live *live);

#ifdef __cplusplus
}
#endif
#endif
