/*
 * protocol/control_body.h - bodies of requests at and below __ds
 *
 * What     JSON objects become what they ask for: a subscription, streams, a claim, acks.
 * Why      Whoever parses needs no lock and no state, so the HTTP threads do it, and what is
 *          malformed never gets any further.
 * Thread   Any; pure.
 * Owns     A body owns its text and its lists, until sl_control_body_deinit().
 * Format   Protocol sections 6.2, 6.4, 7.1, 7.2. An empty body is {}. A member that is null is not
 *          there. Names of streams are relative to the stream root, slashes at both ends are cut,
 *          and they become canonical (see protocol/stream_name.h).
 * Limits   SL_CONTROL_BODY_SIZE_MAX
 */
#ifndef SL_PROTOCOL_CONTROL_BODY_H
#define SL_PROTOCOL_CONTROL_BODY_H

#include "base/buffer.h"
#include "sluice/error.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    SL_CONTROL_BODY_SIZE_MAX = 4 * 1024 * 1024, /* bytes: acks of some 40,000 streams */
    SL_LEASE_MS_MIN = 1000,
    SL_LEASE_MS_MAX = 600 * 1000,
    SL_LEASE_MS_DEFAULT = 30 * 1000,
    SL_WORKER_SIZE_MAX = 1024,      /* bytes of a worker's name */
    SL_DESCRIPTION_SIZE_MAX = 4096, /* bytes */
};

struct sl_ack {
    struct sl_bytes stream; /* canonical; empty: no stream can have this name */
    bool has_offset;        /* it is an offset that can be acked: not "-1" */
    uint64_t offset;
};

struct sl_control_body {
    struct sl_buffer text; /* owned: what the texts point into, and nothing more */
    /* a subscription */
    bool is_webhook;             /* else pull-wake */
    struct sl_bytes pattern;     /* without slashes at its ends; empty: none */
    struct sl_bytes url;         /* webhook: a NUL follows */
    struct sl_bytes wake_stream; /* canonical; empty: none */
    struct sl_bytes description; /* counts if has_description */
    bool has_description;
    uint32_t lease_ms;
    /* a subscription, streams to be added */
    struct sl_bytes *streams; /* owned; canonical, sorted, each once */
    size_t stream_count;
    /* a claim */
    struct sl_bytes worker;
    /* callback, ack, release */
    struct sl_bytes wake_id; /* empty: none that could match */
    bool has_generation;
    uint64_t generation;
    struct sl_ack *acks; /* owned */
    size_t ack_count;
    bool done;
};

/*
 * Each fills a body that is all zero, and which is to be deinitialised in any case.
 * Errors: INVALID_REQUEST, PAYLOAD_TOO_LARGE; *what says in static text what is wrong.
 */
SL_NODISCARD enum sl_err sl_control_parse_subscription(struct sl_bytes json,
                                                       struct sl_control_body *body,
                                                       const char **what);
/*
 * The same of a normalised one that was kept, whatever its size: names grow when they become
 * canonical.
 */
SL_NODISCARD enum sl_err
sl_control_read_subscription(struct sl_bytes json, struct sl_control_body *body, const char **what);
SL_NODISCARD enum sl_err sl_control_parse_streams(struct sl_bytes json,
                                                  struct sl_control_body *body, const char **what);
SL_NODISCARD enum sl_err sl_control_parse_claim(struct sl_bytes json, struct sl_control_body *body,
                                                const char **what);
SL_NODISCARD enum sl_err sl_control_parse_acks(struct sl_bytes json, struct sl_control_body *body,
                                               const char **what);

/* Bytes of memory that it owns. */
size_t sl_control_body_size(const struct sl_control_body *body);

void sl_control_body_deinit(struct sl_control_body *body);

/* Does a webhook's answer say {"done":true}? Any bytes. */
bool sl_control_says_done(struct sl_bytes json);

#ifdef __cplusplus
}
#endif
#endif
