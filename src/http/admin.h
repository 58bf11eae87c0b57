/*
 * http/admin.h - health, readiness, metrics
 *
 * What     GET and HEAD of /healthz, /readyz and /metrics.
 * Thread   The acceptor's.
 */
#ifndef SL_HTTP_ADMIN_H
#define SL_HTTP_ADMIN_H

#include "http/exchange.h"

#ifdef __cplusplus
extern "C" {
#endif

bool sl_admin_is_path(struct sl_bytes path);

/* Answers the request of the exchange, whose path is one of these. */
void sl_admin_answer(struct sl_exchange *exchange);

#ifdef __cplusplus
}
#endif
#endif
