/*
 * http/options.h - what the HTTP front is told at start
 *
 * Thread   Written by main before the acceptors start; read-only afterwards.
 */
#ifndef SL_HTTP_OPTIONS_H
#define SL_HTTP_OPTIONS_H

#include <stdint.h>

#include "sluice/bytes.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sl_hooks;

struct sl_http_options {
    struct sl_bytes stream_root;   /* "/v1/stream", no slash at the end */
    struct sl_bytes public_url;    /* "https://host" for Location; empty: the request's Host */
    uint64_t body_size_max;        /* bytes of a request body */
    uint64_t upload_budget_bytes;  /* all bodies that are being received, over all acceptors */
    uint64_t long_poll_timeout_ms; /* a waiting long-poll is answered 204 */
    uint64_t sse_lifetime_ms;      /* an SSE response is ended; 0: never */
    uint64_t sse_heartbeat_ms;     /* a comment when nothing else was sent for so long */
    uint64_t stall_timeout_ms;     /* a reader that takes nothing for so long is cut */
    uint64_t request_timeout_ms;   /* idle keep-alive, request head and body together */
    uint64_t drain_timeout_ms;     /* after SIGTERM: what is not done by then is cut */
    unsigned connections_max;      /* over all acceptors */
    uint64_t descriptors_max;      /* of the process that connections leave; 0: no limit */
    unsigned live_readers_max;     /* long-polls and SSE responses, over all acceptors */
    unsigned acceptors;            /* threads */
    struct sl_hooks *hooks;        /* borrowed: subscriptions; NULL: there are none */
    struct sl_bytes metrics;       /* what /metrics says as long as the process lives */
};

#ifdef __cplusplus
}
#endif
#endif
