#include "http/stream_request.h"

#include "http/base_url.h"
#include "http/reply.h"
#include "protocol/request_header.h"

static void collect_headers(h2o_req_t *req, struct sl_request_headers *headers)
{
    memset(headers, 0, sizeof *headers);
    for (size_t i = 0; i < req->headers.size; i++) {
        const h2o_header_t *header = &req->headers.entries[i];
        sl_request_headers_add(headers, sl_bytes(header->name->base, header->name->len),
                               sl_bytes(header->value.base, header->value.len));
    }
}

static void add_content_type(struct sl_exchange *exchange, const struct sl_stream_view *view)
{
    sl_reply_header(exchange, "Content-Type",
                    sl_bytes(view->content_type, view->content_type_size));
}

/* Where the stream is now, and whether that is its end. */
static void add_tail(struct sl_exchange *exchange, const struct sl_stream_view *view)
{
    sl_reply_next_offset(exchange, view->tail);
    if (view->closed)
        sl_reply_header(exchange, "Stream-Closed", sl_bytes_of("true"));
}

static void add_location(struct sl_exchange *exchange)
{
    struct sl_buffer url = { NULL, 0, 0 };

    sl_base_url_append(exchange, &url);
    sl_buffer_append_bytes(&url, exchange->path);
    sl_reply_header(exchange, "Location", sl_buffer_bytes(&url));
    sl_buffer_deinit(&url);
}

/* The operation is back and there is something to answer; an error was answered already. */
static bool succeeded(struct sl_exchange *exchange, const struct sl_operation *op)
{
    if (!sl_exchange_came_back(exchange))
        return false;
    if (op->err == SL_OK)
        return true;
    sl_reply_problem(exchange, op->err);
    return false;
}

static void on_created(struct sl_completion *completion, struct sl_operation *op)
{
    struct sl_exchange *exchange = SL_OBJECT(completion, struct sl_exchange, completion);

    if (!succeeded(exchange, op))
        return;
    sl_reply_begin(exchange, op->u.create.created ? 201 : 200, "no-store");
    add_content_type(exchange, &op->stream);
    add_tail(exchange, &op->stream);
    if (op->u.create.created)
        add_location(exchange);
    sl_reply_finish(exchange, NULL, 0);
}

void sl_stream_request_create(struct sl_exchange *exchange)
{
    struct sl_bytes root = exchange->acceptor->options->stream_root;
    struct sl_request_headers headers;
    char no_source[SL_NAME_SIZE_MAX];
    char *source = no_source;
    struct sl_operation *op = sl_exchange_take(exchange, SL_OPERATION_CREATE, on_created);

    collect_headers(exchange->req, &headers);
    if (headers.present[SL_HEADER_STREAM_FORKED_FROM])
        source = (char *)h2o_mem_alloc_pool(&exchange->req->pool, SL_NAME_SIZE_MAX);
    enum sl_err err = sl_request_parse_create(&headers, root, source, &op->u.create);
    if (err != SL_OK) {
        sl_reply_problem(exchange, err);
        return;
    }
    op->u.create.name = sl_exchange_name(exchange);
    op->u.create.data = exchange->body;
    sl_exchange_submit(exchange);
}

static void answer_append_problem(struct sl_exchange *exchange, const struct sl_operation *op)
{
    const struct sl_append *append = &op->u.append;

    sl_reply_problem_begin(exchange, op->err);
    if (op->err == SL_ERR_STREAM_CLOSED) {
        add_tail(exchange, &op->stream);
    } else if (op->err == SL_ERR_EPOCH_FENCED) {
        sl_reply_header_number(exchange, "Producer-Epoch", append->producer_epoch);
    } else if (op->err == SL_ERR_SEQUENCE_GAP) {
        sl_reply_header_number(exchange, "Producer-Expected-Seq", append->expected_sequence);
        sl_reply_header_number(exchange, "Producer-Received-Seq", append->producer.sequence);
    }
    sl_reply_problem_finish(exchange, op->err);
}

static void on_appended(struct sl_completion *completion, struct sl_operation *op)
{
    struct sl_exchange *exchange = SL_OBJECT(completion, struct sl_exchange, completion);
    const struct sl_append *append = &op->u.append;

    if (!sl_exchange_came_back(exchange))
        return;
    if (op->err != SL_OK) {
        answer_append_problem(exchange, op);
        return;
    }
    /*
     * Producers tell an accepted append (200) from a duplicate (204); closing alone is always 204.
     */
    bool is_new = append->has_producer && !append->duplicate && exchange->body.size != 0;
    sl_reply_begin(exchange, is_new ? 200 : 204, "no-store");
    add_tail(exchange, &op->stream);
    if (append->has_producer) {
        bool duplicate = append->duplicate;
        sl_reply_header_number(exchange, "Producer-Epoch",
                               duplicate ? append->producer_epoch : append->producer.epoch);
        sl_reply_header_number(exchange, "Producer-Seq",
                               duplicate ? append->producer_sequence : append->producer.sequence);
    }
    sl_reply_finish(exchange, NULL, 0);
}

void sl_stream_request_append(struct sl_exchange *exchange)
{
    struct sl_request_headers headers;
    struct sl_operation *op = sl_exchange_take(exchange, SL_OPERATION_APPEND, on_appended);

    collect_headers(exchange->req, &headers);
    sl_request_parse_append(&headers, exchange->body, &op->u.append);
    op->u.append.name = sl_exchange_name(exchange);
    op->u.append.parts = &exchange->body;
    op->u.append.part_count = exchange->body.size != 0;
    sl_exchange_submit(exchange);
}

static void on_head(struct sl_completion *completion, struct sl_operation *op)
{
    struct sl_exchange *exchange = SL_OBJECT(completion, struct sl_exchange, completion);
    const struct sl_stream_view *view = &op->stream;

    if (!succeeded(exchange, op))
        return;
    sl_reply_begin(exchange, 200, "no-store");
    add_content_type(exchange, view);
    add_tail(exchange, view);
    if (view->has_ttl)
        sl_reply_header_number(exchange, "Stream-TTL", view->ttl_s);
    if (view->has_expires_at)
        sl_reply_header(exchange, "Stream-Expires-At",
                        sl_bytes(view->expires_text, view->expires_text_size));
    sl_reply_finish(exchange, NULL, 0);
}

void sl_stream_request_head(struct sl_exchange *exchange)
{
    struct sl_operation *op = sl_exchange_take(exchange, SL_OPERATION_HEAD, on_head);

    op->u.head.name = sl_exchange_name(exchange);
    sl_exchange_submit(exchange);
}

static void on_deleted(struct sl_completion *completion, struct sl_operation *op)
{
    struct sl_exchange *exchange = SL_OBJECT(completion, struct sl_exchange, completion);

    if (!succeeded(exchange, op))
        return;
    sl_reply_begin(exchange, 204, "no-store");
    sl_reply_finish(exchange, NULL, 0);
}

void sl_stream_request_delete(struct sl_exchange *exchange)
{
    struct sl_operation *op = sl_exchange_take(exchange, SL_OPERATION_DELETE, on_deleted);

    op->u.remove.name = sl_exchange_name(exchange);
    sl_exchange_submit(exchange);
}
