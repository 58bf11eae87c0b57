/*
 * http/front.h - the HTTP server of an engine
 *
 * What     Opens the listening sockets, starts the acceptors, and ends them without losing an
 *          answer.
 * Thread   Main.
 *
 * States   running    sl_front_start
 *          draining   sl_front_drain     nothing is accepted, everything under way is answered
 *          ended      sl_front_destroy   waits for the acceptors
 */
#ifndef SL_HTTP_FRONT_H
#define SL_HTTP_FRONT_H

#include "base/metrics.h"
#include "http/options.h"
#include "sluice/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    SL_ACCEPTORS_MAX = 32,
    SL_FRONT_ADDRESSES_MAX = 16,
};

struct sl_front;

/*
 * Listens on every one of `addresses` ("127.0.0.1:4437", "[::1]:0"). The options are borrowed until
 * destroy. NULL: an address cannot be listened on, which was logged.
 */
struct sl_front *sl_front_start(struct sl_engine *engine, struct sl_metrics_registry *registry,
                                const struct sl_http_options *options, const char *const *addresses,
                                unsigned address_count);

/* "http://127.0.0.1:4437", with the port that was found, for the address of this index. */
const char *sl_front_url(const struct sl_front *front, unsigned index);

/* Once; returns at once. */
void sl_front_drain(struct sl_front *front);

/* Waits until the drain is done and frees everything. */
void sl_front_destroy(struct sl_front **front);

#ifdef __cplusplus
}
#endif
#endif
