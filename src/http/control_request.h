/*
 * http/control_request.h - requests at and below __ds, and the list of subscriptions
 *
 * What     Reads path, token and body, hands the request to the thread of the hooks, and answers
 *          when it comes back (protocol 6 and 7). Errors are {"error":{"code","message"}}.
 * Why      Nothing of a subscription is decided here: what comes back is what is to be said.
 * Thread   The acceptor's, except the way back, which h2o takes to it.
 */
#ifndef SL_HTTP_CONTROL_REQUEST_H
#define SL_HTTP_CONTROL_REQUEST_H

#include "http/exchange.h"
#include "http/method.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Answers sooner or later; `raw_path` is what follows the stream root, and is reserved. */
void sl_control_request_start(struct sl_exchange *exchange, enum sl_method method,
                              struct sl_bytes raw_path);

/* Is this the path of the list for the operator? */
bool sl_control_is_list(struct sl_bytes path);
void sl_control_request_list(struct sl_exchange *exchange, struct sl_bytes query);

/* Requests have come back: the receiver of the acceptor. */
void sl_control_on_answered(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages);

#ifdef __cplusplus
}
#endif
#endif
