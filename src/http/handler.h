/*
 * http/handler.h - what a request asks for
 *
 * What     h2o's handler: checks the framing, reads target and method, and hands the request to
 *          whoever answers it.
 * Why      One place decides where a request goes, from the raw target: h2o's normalised path
 *          decodes %2F and %00.
 * Thread   The acceptor's.
 *
 *          target                        answered by
 *          any, with OPTIONS             here: 204 with the CORS headers
 *          <stream root>/<name>          stream_request.h, catch_up.h, live.h
 *          <stream root>/__ds[/...]      control_request.h, whatever the method
 *          /subscriptions                control_request.h
 *          /healthz /readyz /metrics     admin.h
 *          anything else                 here: 404
 */
#ifndef SL_HTTP_HANDLER_H
#define SL_HTTP_HANDLER_H

#include <h2o.h>

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sl_acceptor;

/* The on_req of h2o. */
int sl_handler_on_request(h2o_handler_t *handler, h2o_req_t *req);

/*
 * Answers requests with large bodies, which take long to be looked at: a turn's share. True: there
 * are more.
 */
bool sl_handler_work(struct sl_acceptor *acceptor);

#ifdef __cplusplus
}
#endif
#endif
