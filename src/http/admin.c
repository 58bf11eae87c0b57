#include "http/admin.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/memory.h"
#include "http/reply.h"
#include "sluice/engine.h"

#define HEALTH_PATH "/healthz"
#define READY_PATH "/readyz"
#define METRICS_PATH "/metrics"

static bool is(struct sl_bytes path, const char *text)
{
    return sl_bytes_equal(path, sl_bytes_of(text));
}

bool sl_admin_is_path(struct sl_bytes path)
{
    return is(path, HEALTH_PATH) || is(path, READY_PATH) || is(path, METRICS_PATH);
}

static void answer_text(struct sl_exchange *exchange, int status, const char *text)
{
    struct sl_bytes body = sl_bytes_of(text);

    exchange->operation = SL_METRIC_OPERATION_HEALTH;
    sl_reply_begin(exchange, status, "no-store");
    sl_reply_header(exchange, "Content-Type", sl_bytes_of("text/plain"));
    sl_reply_finish(exchange, &body, 1);
}

/* What the engine tells of itself; everything else is counted where it happens. */
static void render_gauge(struct sl_buffer *out, const char *name, const char *help, uint64_t value)
{
    sl_metrics_render_head(out, name, "gauge", help);
    sl_buffer_printf(out, "%s %" PRIu64 "\n", name, value);
}

/* By the names that Prometheus has for every process. */
static void render_process(struct sl_buffer *out)
{
    static const char processor[] = "process_cpu_seconds_total";

    sl_metrics_render_head(out, processor, "counter", "Processor time of all threads.");
    sl_buffer_printf(out, "%s %.6f\n", processor, (double)sl_clock_processor_ns() / 1e9);
    render_gauge(out, "process_resident_memory_bytes", "Memory that the process has.",
                 sl_memory_resident_bytes());
}

/* NAME, type, member of status->shard[], help; a row per shard. */
#define SHARD_METRIC_LIST(X)                                                                       \
    X("sluice_shard_appended_lsn", "gauge", appended_lsn, "Position of the last accepted change.") \
    X("sluice_shard_durable_lsn", "gauge", durable_lsn,                                            \
      "Position up to which changes are durable.")                                                 \
    X("sluice_shard_failed", "gauge", failed,                                                      \
      "1: the log cannot be written; nothing is changed until the next start.")                    \
    X("sluice_shard_disk_full", "gauge", disk_full, "1: creates and appends are refused.")         \
    X("sluice_shard_wal_bytes", "gauge", wal_bytes, "Bytes of log that a start would read.")       \
    X("sluice_shard_segments", "gauge", segments, "Segments.")                                     \
    X("sluice_shard_segment_bytes", "gauge", segment_bytes, "Bytes of all segments.")              \
    X("sluice_shard_torn_bytes", "gauge", torn_bytes,                                              \
      "Bytes of an unfinished write that the last start cut off.")                                 \
    X("sluice_shard_checksum_errors_total", "counter", damaged,                                    \
      "Reads that met damaged bytes on the disk.")

static void render_shards(struct sl_buffer *out, const struct sl_engine_status *status)
{
#define X(name, type, member, help)                                                                \
    sl_metrics_render_head(out, name, type, help);                                                 \
    for (unsigned i = 0; i < status->shards; i++)                                                  \
        sl_buffer_printf(out, name "{shard=\"%u\"} %" PRIu64 "\n", i,                              \
                         (uint64_t)status->shard[i].member);
    SHARD_METRIC_LIST(X)
#undef X
}

static void render_commits(struct sl_buffer *out, const struct sl_engine_status *status)
{
    static const char name[] = "sluice_commit_duration_seconds";
    uint64_t count = 0;

    sl_metrics_render_head(out, name, "histogram",
                           "Time that a group of changes took to the disk.");
    for (unsigned i = 0; i < SL_COMMIT_BUCKETS; i++) {
        count += status->commits[i];
        sl_buffer_printf(out, "%s_bucket{le=\"%.6f\"} %" PRIu64 "\n", name,
                         (double)(UINT64_C(1) << i) / 1e6, count);
    }
    sl_buffer_printf(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, count);
    sl_buffer_printf(out, "%s_sum %.6f\n%s_count %" PRIu64 "\n", name,
                     (double)status->commit_sum_us / 1e6, name, count);
}

static void render(const struct sl_acceptor_shared *shared, struct sl_buffer *out)
{
    struct sl_engine_status status;

    sl_engine_status(shared->engine, &status);
    sl_buffer_append_bytes(out, shared->options->metrics);
    render_process(out);
    sl_metrics_render(shared->registry, out);
    render_gauge(out, "sluice_streams", "Streams that exist, soft-deleted ones too.",
                 status.streams);
    render_gauge(out, "sluice_memory_used_bytes", "Memory that stored bytes and stream state take.",
                 status.memory_used_bytes);
    render_gauge(out, "sluice_read_copies_bytes",
                 "Memory that readers hold because their bytes had to be copied.",
                 status.read_copies_bytes);
    render_gauge(out, "sluice_waiting_reads", "Reads that wait at the tail of a stream.",
                 status.waiting_reads);
    render_gauge(out, "sluice_durable", "1: streams are kept on the disk.", status.durable);
    render_gauge(out, "sluice_wal_buffered",
                 "1: the file system refuses direct writes, the log goes through its cache.",
                 status.buffered);
    render_shards(out, &status);
    render_commits(out, &status);
}

static void answer_metrics(struct sl_exchange *exchange)
{
    struct sl_buffer text = { NULL, 0, 0 };
    struct sl_bytes body;

    render(&exchange->acceptor->shared, &text);
    h2o_iovec_t copy = h2o_strdup(&exchange->req->pool, (const char *)text.data, text.size);
    sl_buffer_deinit(&text);
    body = sl_bytes(copy.base, copy.len);
    exchange->operation = SL_METRIC_OPERATION_METRICS;
    sl_reply_begin(exchange, 200, "no-store");
    sl_reply_header(exchange, "Content-Type",
                    sl_bytes_of("text/plain; version=0.0.4; charset=utf-8"));
    sl_reply_finish(exchange, &body, 1);
}

static bool has_failed(const struct sl_engine *engine)
{
    struct sl_engine_status status;

    sl_engine_status(engine, &status);
    return status.failed;
}

void sl_admin_answer(struct sl_exchange *exchange)
{
    if (is(exchange->path, METRICS_PATH))
        answer_metrics(exchange);
    else if (is(exchange->path, HEALTH_PATH))
        answer_text(exchange, 200, "ok\n");
    else if (exchange->acceptor->draining)
        answer_text(exchange, 503, "shutting down\n");
    else if (has_failed(exchange->acceptor->shared.engine))
        answer_text(exchange, 503, "the log cannot be written\n");
    else
        answer_text(exchange, 200, "ready\n");
}
