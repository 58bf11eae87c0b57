#include "http/reply.h"

#include <sys/socket.h>

#include "base/assert.h"
#include "http/connection.h"
#include "protocol/number.h"
#include "protocol/offset.h"
#include "protocol/problem.h"

enum {
    HEADERS_EXPECTED = 16, /* so that the list of headers never grows by copying */
    CHUNK_PARTS_MAX = SL_REPLY_PIECES_AT_ONCE_MAX + 2,
};

/* h2o takes names by a pointer that is not const; nobody writes to them. */
static h2o_iovec_t name_nosniff = { H2O_STRLIT("X-Content-Type-Options") };
static h2o_iovec_t name_resource_policy = { H2O_STRLIT("Cross-Origin-Resource-Policy") };
static h2o_iovec_t name_allow_origin = { H2O_STRLIT("Access-Control-Allow-Origin") };
static h2o_iovec_t name_expose_headers = { H2O_STRLIT("Access-Control-Expose-Headers") };
static h2o_iovec_t name_cache_control = { H2O_STRLIT("Cache-Control") };
static h2o_iovec_t name_next_offset = { H2O_STRLIT("Stream-Next-Offset") };

static const char *reason_of(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        { 204, "No Content" },
        { 200, "OK" },
        { 201, "Created" },
        { 304, "Not Modified" },
        { 400, "Bad Request" },
        { 401, "Unauthorized" },
        { 403, "Forbidden" },
        { 404, "Not Found" },
        { 405, "Method Not Allowed" },
        { 409, "Conflict" },
        { 410, "Gone" },
        { 413, "Content Too Large" },
        { 414, "URI Too Long" },
        { 429, "Too Many Requests" },
        { 500, "Internal Server Error" },
        { 503, "Service Unavailable" },
        { 507, "Insufficient Storage" },
    };
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Unknown";
}

static void put_header(h2o_req_t *req, h2o_iovec_t *name, const void *value, size_t size)
{
    h2o_headers_t *headers = &req->res.headers;

    h2o_vector_reserve(&req->pool, headers, headers->size + 1);
    headers->entries[headers->size++] = (h2o_header_t){
        .name = name,
        .value = h2o_iovec_init(value, size),
    };
}

void sl_reply_begin(struct sl_exchange *exchange, int status, const char *cache_control)
{
    h2o_req_t *req = exchange->req;

    SL_ASSERT(!exchange->started);
    SL_ASSERT(!exchange->ended);
    req->res.status = status;
    req->res.reason = reason_of(status);
    h2o_vector_reserve(&req->pool, &req->res.headers, HEADERS_EXPECTED);
    put_header(req, &name_nosniff, H2O_STRLIT("nosniff"));
    put_header(req, &name_resource_policy, H2O_STRLIT("cross-origin"));
    put_header(req, &name_allow_origin, H2O_STRLIT("*"));
    put_header(req, &name_expose_headers, H2O_STRLIT("*"));
    if (cache_control != NULL)
        put_header(req, &name_cache_control, cache_control, strlen(cache_control));
}

void sl_reply_header(struct sl_exchange *exchange, const char *name, struct sl_bytes value)
{
    h2o_req_t *req = exchange->req;
    h2o_iovec_t *pool_name =
        (h2o_iovec_t *)h2o_mem_alloc_pool(&req->pool, sizeof *pool_name + value.size);
    char *copy = (char *)(pool_name + 1);

    *pool_name = h2o_iovec_init(name, strlen(name));
    if (value.size != 0)
        memcpy(copy, value.data, value.size);
    put_header(req, pool_name, copy, value.size);
}

void sl_reply_header_number(struct sl_exchange *exchange, const char *name, uint64_t value)
{
    char text[SL_NUMBER_SIZE_MAX];

    sl_reply_header(exchange, name, sl_bytes(text, sl_number_format(value, text)));
}

void sl_reply_next_offset(struct sl_exchange *exchange, uint64_t offset)
{
    char *token = (char *)h2o_mem_alloc_pool(&exchange->req->pool, SL_OFFSET_TOKEN_SIZE);

    sl_offset_format(offset, token);
    put_header(exchange->req, &name_next_offset, token, SL_OFFSET_TOKEN_SIZE);
}

/* What was handed out is out. */
static void on_sent(struct sl_exchange *exchange)
{
    sl_exchange_set_sending(exchange, false);
    if (!exchange->ended)
        exchange->on_proceed(exchange);
    else if (!exchange->op_under_way)
        sl_reply_end_cut(exchange);
}

static void on_proceed(h2o_generator_t *generator, h2o_req_t *req)
{
    struct sl_exchange *exchange = SL_OBJECT(generator, struct sl_exchange, generator);

    SL_ASSERT(exchange->req == req);
    sl_acceptor_enter(exchange->acceptor);
    on_sent(exchange);
}

static void on_rest_written(h2o_socket_t *sock, const char *err)
{
    struct sl_connection *connection = (struct sl_connection *)sock->on_close.data;
    struct sl_exchange *exchange = connection->exchange;

    sl_acceptor_enter(connection->acceptor);
    if (err == NULL || exchange->ended) {
        on_sent(exchange);
    } else {
        sl_exchange_set_sending(exchange, false);
        sl_reply_abort(exchange);
    }
}

static void start(struct sl_exchange *exchange, size_t content_length)
{
    h2o_req_t *req = exchange->req;

    SL_ASSERT(!exchange->started);
    exchange->started = true;
    exchange->generator.proceed = on_proceed;
    req->res.content_length = content_length;
    if (exchange->acceptor->draining)
        req->http1_is_persistent = 0;
    sl_metrics_request(exchange->acceptor->metrics, exchange->operation, req->res.status);
    h2o_start_response(req, &exchange->generator);
}

static void send_pieces(struct sl_exchange *exchange, const struct sl_bytes *pieces, size_t count,
                        h2o_send_state_t state)
{
    h2o_iovec_t bufs[SL_REPLY_PIECES_MAX];
    size_t buf_count = 0;
    size_t size = 0;

    SL_ASSERT(count <= SL_REPLY_PIECES_MAX);
    SL_ASSERT(exchange->started);
    SL_ASSERT(!exchange->ended);
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].size == 0)
            continue;
        bufs[buf_count++] = h2o_iovec_init(pieces[i].data, pieces[i].size);
        size += pieces[i].size;
    }
    sl_metrics_add(exchange->acceptor->metrics, SL_METRIC_BYTES_OUT, size);
    sl_exchange_set_sending(exchange, true);
    if (state == H2O_SEND_STATE_FINAL) {
        exchange->ended = true;
        sl_connection_unwatch(exchange->connection);
    }
    h2o_send(exchange->req, bufs, buf_count, state);
}

void sl_reply_finish(struct sl_exchange *exchange, const struct sl_bytes *body, size_t count)
{
    int status = exchange->req->res.status;
    size_t size = 0;

    if (exchange->head_only || status == 204 || status == 304) {
        start(exchange, SIZE_MAX);
        send_pieces(exchange, NULL, 0, H2O_SEND_STATE_FINAL);
        return;
    }
    for (size_t i = 0; i < count; i++)
        size += body[i].size;
    start(exchange, size);
    send_pieces(exchange, body, count, H2O_SEND_STATE_FINAL);
}

void sl_reply_stream(struct sl_exchange *exchange, size_t content_length)
{
    SL_ASSERT(!exchange->head_only);
    SL_ASSERT(exchange->on_proceed != NULL);
    /* Without chunks only the end of the connection ends the body. */
    exchange->chunked = content_length == SIZE_MAX && exchange->req->version >= 0x101;
    if (content_length == SIZE_MAX && !exchange->chunked)
        exchange->req->http1_is_persistent = 0;
    start(exchange, content_length);
}

void sl_reply_send(struct sl_exchange *exchange, const struct sl_bytes *pieces, size_t count,
                   bool final)
{
    send_pieces(exchange, pieces, count, final ? H2O_SEND_STATE_FINAL : H2O_SEND_STATE_IN_PROGRESS);
}

/* The line that a chunk of that many bytes begins with, at the end of `space`. */
static struct iovec chunk_head(size_t size, char space[SL_CHUNK_HEAD_SIZE_MAX])
{
    char *at = space + SL_CHUNK_HEAD_SIZE_MAX;

    *--at = '\n';
    *--at = '\r';
    do {
        *--at = "0123456789abcdef"[size % 16];
        size /= 16;
    } while (size > 0);
    return (struct iovec){ at, (size_t)(space + SL_CHUNK_HEAD_SIZE_MAX - at) };
}

/* The socket took `sent` bytes of these parts, of which the first one is the chunk's head. */
static void write_rest(struct sl_exchange *exchange, struct iovec *parts, size_t count, size_t sent)
{
    h2o_iovec_t rest[CHUNK_PARTS_MAX];
    size_t rest_count = 0;

    memcpy(exchange->chunk_head, parts[0].iov_base, parts[0].iov_len);
    parts[0].iov_base = exchange->chunk_head;
    for (size_t i = 0; i < count; i++) {
        size_t skipped = sent < parts[i].iov_len ? sent : parts[i].iov_len;
        sent -= skipped;
        if (skipped < parts[i].iov_len)
            rest[rest_count++] =
                h2o_iovec_init((char *)parts[i].iov_base + skipped, parts[i].iov_len - skipped);
    }
    sl_exchange_set_sending(exchange, true);
    h2o_socket_write(exchange->connection->sock, rest, rest_count, on_rest_written);
}

bool sl_reply_send_at_once(struct sl_exchange *exchange, const struct sl_bytes *pieces,
                           size_t count)
{
    char head[SL_CHUNK_HEAD_SIZE_MAX];
    struct iovec parts[CHUNK_PARTS_MAX];
    struct msghdr message = { .msg_iov = parts };
    size_t size = 0;

    SL_ASSERT(exchange->started && !exchange->sending && !exchange->ended);
    SL_ASSERT(count > 0 && count <= SL_REPLY_PIECES_AT_ONCE_MAX);
    for (size_t i = 0; i < count; i++) {
        parts[1 + i] = (struct iovec){ (void *)(uintptr_t)pieces[i].data, pieces[i].size };
        size += pieces[i].size;
    }
    SL_ASSERT(size > 0); /* it would be the last chunk */
    parts[0] = chunk_head(size, head);
    parts[1 + count] = (struct iovec){ (void *)(uintptr_t) "\r\n", 2 };
    message.msg_iovlen = count + 2;
    ssize_t sent = -1;
    if (exchange->chunked)
        sent = sendmsg(h2o_socket_get_fd(exchange->connection->sock), &message,
                       MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent <= 0) {
        /* Full or broken: h2o waits until it is not, or finds the same. */
        sl_reply_send(exchange, pieces, count, false);
        return false;
    }
    sl_metrics_add(exchange->acceptor->metrics, SL_METRIC_BYTES_OUT, size);
    if ((size_t)sent == parts[0].iov_len + size + 2)
        return true;
    write_rest(exchange, parts, count + 2, (size_t)sent);
    return false;
}

void sl_reply_abort(struct sl_exchange *exchange)
{
    if (exchange->ended)
        return;
    exchange->ended = true;
    exchange->req->http1_is_persistent = 0;
    sl_connection_unwatch(exchange->connection);
    sl_connection_cut(exchange->connection);
    if (!exchange->op_under_way)
        sl_reply_end_cut(exchange);
}

void sl_reply_end_cut(struct sl_exchange *exchange)
{
    SL_ASSERT(exchange->ended);
    SL_ASSERT(!exchange->op_under_way);
    if (exchange->sending)
        return; /* the write fails, and h2o closes the connection */
    if (exchange->started)
        h2o_send(exchange->req, NULL, 0, H2O_SEND_STATE_ERROR);
    else
        h2o_send_error_generic(exchange->req, 500, reason_of(500), "",
                               H2O_SEND_ERROR_HTTP1_CLOSE_CONNECTION);
}

void sl_reply_count_refusal(struct sl_exchange *exchange, enum sl_err err)
{
    if (err == SL_ERR_OVERLOADED)
        sl_metrics_add(exchange->acceptor->metrics, SL_METRIC_OVERLOAD_REFUSALS, 1);
    else if (err == SL_ERR_MEMORY_LIMIT_EXCEEDED)
        sl_metrics_add(exchange->acceptor->metrics, SL_METRIC_MEMORY_REFUSALS, 1);
}

void sl_reply_problem_begin(struct sl_exchange *exchange, enum sl_err err)
{
    const struct sl_problem *problem = sl_problem_of(err);

    sl_reply_begin(exchange, problem->status, "no-store");
    sl_reply_header(exchange, "Content-Type", sl_bytes_of("application/problem+json"));
    /* Not all at the same second. */
    if (problem->retry_after)
        sl_reply_header_number(exchange, "Retry-After", 1 + exchange->acceptor->now_ms % 3);
    /* Whoever gets this must not go on as if the next request were an ordinary one. */
    if (err == SL_ERR_STORAGE_FAILED)
        exchange->req->http1_is_persistent = 0;
    sl_reply_count_refusal(exchange, err);
}

void sl_reply_problem_finish(struct sl_exchange *exchange, enum sl_err err)
{
    const struct sl_problem *problem = sl_problem_of(err);
    struct sl_bytes body = sl_bytes(problem->body, problem->body_size);

    sl_reply_finish(exchange, &body, 1);
}

void sl_reply_problem(struct sl_exchange *exchange, enum sl_err err)
{
    sl_reply_problem_begin(exchange, err);
    sl_reply_problem_finish(exchange, err);
}
