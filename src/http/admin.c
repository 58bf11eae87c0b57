#include "http/admin.h"

#include <inttypes.h>

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
    sl_buffer_printf(out, "# HELP %s %s\n# TYPE %s gauge\n%s %" PRIu64 "\n", name, help, name, name,
                     value);
}

static void render_lsn(struct sl_buffer *out, const char *name, const char *help,
                       const struct sl_engine_status *status, bool durable)
{
    sl_buffer_printf(out, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name);
    for (unsigned i = 0; i < status->shards; i++)
        sl_buffer_printf(out, "%s{shard=\"%u\"} %" PRIu64 "\n", name, i,
                         durable ? status->shard[i].durable_lsn : status->shard[i].appended_lsn);
}

static void render(const struct sl_acceptor_shared *shared, struct sl_buffer *out)
{
    struct sl_engine_status status;

    sl_engine_status(shared->engine, &status);
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
    render_lsn(out, "sluice_shard_appended_lsn", "Position of the last accepted change.", &status,
               false);
    render_lsn(out, "sluice_shard_durable_lsn", "Position up to which changes are durable.",
               &status, true);
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

void sl_admin_answer(struct sl_exchange *exchange)
{
    if (is(exchange->path, METRICS_PATH))
        answer_metrics(exchange);
    else if (is(exchange->path, HEALTH_PATH))
        answer_text(exchange, 200, "ok\n");
    else if (exchange->acceptor->draining)
        answer_text(exchange, 503, "shutting down\n");
    else
        answer_text(exchange, 200, "ready\n");
}
