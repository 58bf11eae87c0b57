/*
 * base/metrics.h - every counter there is
 *
 * What     One list of counters and gauges, a block of them per thread, and the text of /metrics.
 * Why      A thread writes only its own block, so counting is a plain load and store: no locked
 *          instruction, no shared cache line. Reading sums up all blocks.
 * Thread   sl_metrics_*(): the thread that joined. Registry: any.
 * Owns     The registry owns all blocks until it is destroyed, also those of threads that are gone,
 *          so that counters never go back.
 */
#ifndef SL_BASE_METRICS_H
#define SL_BASE_METRICS_H

#include "base/buffer.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * NAME, counter or gauge, name and labels for Prometheus, help. Entries of one name stand together
 * and differ in their labels; the help of the first one counts.
 */
#define SL_METRIC_LIST(X)                                                                          \
    X(BYTES_IN, counter, "sluice_appended_bytes_total", "", "Payload bytes that were appended.")   \
    X(BYTES_OUT, counter, "sluice_sent_bytes_total", "", "Payload bytes that were sent.")          \
    X(CONNECTIONS_OPEN, gauge, "sluice_connections_open", "", "Connections that are open.")        \
    X(CONNECTIONS_ACCEPTED, counter, "sluice_connections_accepted_total", "",                      \
      "Connections that were accepted.")                                                           \
    X(ACCEPTS_FAILED, counter, "sluice_accepts_failed_total", "",                                  \
      "Times that no connection could be accepted: no descriptor or no memory was left.")          \
    X(READERS_LONG_POLL, gauge, "sluice_live_readers", "kind=\"long_poll\"",                       \
      "Readers that wait for more.")                                                               \
    X(READERS_SSE, gauge, "sluice_live_readers", "kind=\"sse\"", "Readers that wait for more.")    \
    X(FRAMING_REJECTED, counter, "sluice_framing_rejected_total", "",                              \
      "Requests that were refused because their framing is malformed.")                            \
    X(READERS_STALLED, counter, "sluice_stalled_readers_cut_total", "",                            \
      "Connections that were cut because their client did not read.")                              \
    X(UPLOADS_CUT, counter, "sluice_uploads_cut_total", "",                                        \
      "Uploads that were cut because the budget for bodies was used up.")                          \
    X(LONG_POLL_TIMEOUTS, counter, "sluice_long_poll_timeouts_total", "",                          \
      "Long-polls that ended without data.")                                                       \
    X(STREAMS_CREATED, counter, "sluice_streams_created_total", "", "Streams that were created.")  \
    X(STREAMS_DELETED, counter, "sluice_streams_deleted_total", "",                                \
      "Streams that were deleted by a client.")                                                    \
    X(STREAMS_EXPIRED, counter, "sluice_streams_expired_total", "",                                \
      "Streams that were removed because their time had come.")                                    \
    X(MESSAGES_APPENDED, counter, "sluice_appended_messages_total", "",                            \
      "Messages that were appended.")                                                              \
    X(DUPLICATES, counter, "sluice_duplicate_appends_total", "",                                   \
      "Appends that their producer had made before.")                                              \
    X(MEMORY_REFUSALS, counter, "sluice_refusals_total", "reason=\"memory\"",                      \
      "Requests that were refused to protect the server.")                                         \
    X(OVERLOAD_REFUSALS, counter, "sluice_refusals_total", "reason=\"overload\"",                  \
      "Requests that were refused to protect the server.")                                         \
    X(SUBSCRIPTIONS, gauge, "sluice_subscriptions", "", "Subscriptions.")                          \
    X(SUBSCRIPTIONS_DAMAGED, gauge, "sluice_subscriptions_damaged", "",                            \
      "Subscriptions that the start has left out because what was stored of them is damaged.")     \
    X(SUBSCRIPTIONS_PENDING, gauge, "sluice_subscriptions_pending", "",                            \
      "Subscriptions with bytes that were not acknowledged.")                                      \
    X(SUBSCRIPTION_LAG, gauge, "sluice_subscription_lag_milliseconds", "",                         \
      "How long the subscription that waits longest has such bytes.")                              \
    X(SUBSCRIPTION_LINKS, gauge, "sluice_subscription_links", "",                                  \
      "Streams that subscriptions link, each counted per subscription.")                           \
    X(SUBSCRIPTION_BYTES, gauge, "sluice_subscription_bytes", "",                                  \
      "Memory that subscriptions and their links take.")                                           \
    X(LINKS_REFUSED, counter, "sluice_subscription_links_refused_total", "",                       \
      "Appends to streams for which there was no link left.")                                      \
    X(WAKES, counter, "sluice_subscription_wakes_total", "", "Wakes that began.")                  \
    X(DELIVERED, counter, "sluice_webhook_deliveries_total", "result=\"delivered\"",               \
      "Webhooks that were sent.")                                                                  \
    X(DELIVERY_FAILED, counter, "sluice_webhook_deliveries_total", "result=\"failed\"",            \
      "Webhooks that were sent.")                                                                  \
    X(DELIVERY_RETRIES, counter, "sluice_webhook_retries_total", "",                               \
      "Webhooks that were sent again after a failure.")                                            \
    X(WAKE_EVENTS, counter, "sluice_wake_events_total", "result=\"written\"",                      \
      "Events for wake streams.")                                                                  \
    X(WAKE_EVENTS_FAILED, counter, "sluice_wake_events_total", "result=\"failed\"",                \
      "Events for wake streams.")                                                                  \
    X(LEASES_EXPIRED, counter, "sluice_subscription_leases_expired_total", "",                     \
      "Leases that ran out.")                                                                      \
    X(SCRUBBED_BYTES, counter, "sluice_scrub_read_bytes_total", "",                                \
      "Bytes of segments that were read again to check them.")                                     \
    X(SCRUB_PASSES, counter, "sluice_scrub_passes_total", "",                                      \
      "Times that all segments were read and checked.")                                            \
    X(SCRUB_DAMAGED, counter, "sluice_scrub_damaged_total", "",                                    \
      "Damaged pieces of segments that were found by that, again in every pass.")                  \
    X(SCRUB_LAST_PASS, gauge, "sluice_scrub_last_pass_timestamp_seconds", "",                      \
      "When all segments had last been read and checked; 0: not since the start.")

enum sl_metric {
#define X(NAME, type, name, labels, help) SL_METRIC_##NAME,
    SL_METRIC_LIST(X)
#undef X
};

enum {
    SL_METRIC_COUNT = 0
#define X(NAME, type, name, labels, help) +1
    SL_METRIC_LIST(X)
#undef X
};

/* What a request asked for: the label `operation` of sluice_requests_total. */
#define SL_METRIC_OPERATION_LIST(X)                                                                \
    X(CREATE, "create")                                                                            \
    X(APPEND, "append")                                                                            \
    X(READ, "read")                                                                                \
    X(LONG_POLL, "long_poll")                                                                      \
    X(SSE, "sse")                                                                                  \
    X(HEAD, "head")                                                                                \
    X(DELETE, "delete")                                                                            \
    X(OPTIONS, "options")                                                                          \
    X(SUBSCRIPTION, "subscription")                                                                \
    X(HEALTH, "health")                                                                            \
    X(METRICS, "metrics")                                                                          \
    X(OTHER, "other")

enum sl_metric_operation {
#define X(NAME, label) SL_METRIC_OPERATION_##NAME,
    SL_METRIC_OPERATION_LIST(X)
#undef X
};

enum {
    SL_METRIC_OPERATIONS = 0
#define X(NAME, label) +1
    SL_METRIC_OPERATION_LIST(X)
#undef X
};

/* How it was answered: the label `status`; one more row counts all others. */
#define SL_METRIC_STATUS_LIST(X)                                                                   \
    X(200)                                                                                         \
    X(201)                                                                                         \
    X(204)                                                                                         \
    X(304)                                                                                         \
    X(400)                                                                                         \
    X(401)                                                                                         \
    X(403)                                                                                         \
    X(404)                                                                                         \
    X(405)                                                                                         \
    X(409)                                                                                         \
    X(410)                                                                                         \
    X(413)                                                                                         \
    X(414)                                                                                         \
    X(429)                                                                                         \
    X(500)                                                                                         \
    X(501)                                                                                         \
    X(503)                                                                                         \
    X(507)

enum {
    SL_METRIC_STATUSES = 1
#define X(STATUS) +1
    SL_METRIC_STATUS_LIST(X)
#undef X
};

/* One thread's share. Written by its thread with atomic stores, read by any with atomic loads. */
struct sl_metrics {
    uint64_t value[SL_METRIC_COUNT];
    uint64_t requests[SL_METRIC_OPERATIONS][SL_METRIC_STATUSES];
};

struct sl_metrics_registry;

/* Never NULL. The caller destroys it, after all threads that joined. */
struct sl_metrics_registry *sl_metrics_registry_create(void) __attribute__((returns_nonnull));

/* Takes the registry with all its blocks and clears the caller's pointer. */
void sl_metrics_registry_destroy(struct sl_metrics_registry **registry);

/* A block of zeros for the calling thread; borrowed from the registry until that is destroyed. */
struct sl_metrics *sl_metrics_registry_join(struct sl_metrics_registry *registry)
    __attribute__((returns_nonnull));

/* Appends the sums in the text format of Prometheus. Requests that never came have no row. */
void sl_metrics_render(struct sl_metrics_registry *registry, struct sl_buffer *out);

/* Appends what stands before the values of one name; `type` is counter, gauge or histogram. */
void sl_metrics_render_head(struct sl_buffer *out, const char *name, const char *type,
                            const char *help);

/* Counts one request that was answered with `status`. */
void sl_metrics_request(struct sl_metrics *metrics, enum sl_metric_operation operation, int status);

/* Writes a number of this thread's that others may read. */
static inline void sl_metrics_publish(uint64_t *number, uint64_t value)
{
    __atomic_store_n(number, value, __ATOMIC_RELAXED);
}

/* Reads such a number, of some recent moment; any thread. */
static inline uint64_t sl_metrics_read(const uint64_t *number)
{
    return __atomic_load_n(number, __ATOMIC_RELAXED);
}

/* Raises a counter or a gauge. */
static inline void sl_metrics_add(struct sl_metrics *metrics, enum sl_metric metric, uint64_t n)
{
    sl_metrics_publish(&metrics->value[metric], sl_metrics_read(&metrics->value[metric]) + n);
}

/* Lowers a gauge; another thread may have raised it, since only the sum of all threads counts. */
static inline void sl_metrics_subtract(struct sl_metrics *metrics, enum sl_metric metric,
                                       uint64_t n)
{
    sl_metrics_add(metrics, metric, 0 - n);
}

/* This thread's share, of some recent moment; any thread. */
static inline uint64_t sl_metrics_get(const struct sl_metrics *metrics, enum sl_metric metric)
{
    return sl_metrics_read(&metrics->value[metric]);
}

/* Sets this thread's share of a gauge. */
static inline void sl_metrics_set(struct sl_metrics *metrics, enum sl_metric metric, uint64_t n)
{
    sl_metrics_publish(&metrics->value[metric], n);
}

#ifdef __cplusplus
}
#endif
#endif
