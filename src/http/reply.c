#include "http/reply.h"

#include <sys/socket.h>

#include "base/assert.h"
#include "http/connection.h"
#include "protocol/number.h"
#include "protocol/offset.h"
#include "protocol/problem.h"

enum {
    SHORT_SIZE_MAX = 2048, /* a whole body of so many bytes is copied behind its head */
    FRAME_PARTS = 2,       /* around the pieces of a chunk */
    CHUNK_PARTS_MAX = SL_REPLY_PIECES_AT_ONCE_MAX + FRAME_PARTS,
};

/* What every answer says. */
#define HEADERS_OF_ALL                                                                             \
    "\r\nX-Content-Type-Options: nosniff\r\n"                                                      \
    "Cross-Origin-Resource-Policy: cross-origin\r\n"                                               \
    "Access-Control-Allow-Origin: *\r\n"                                                           \
    "Access-Control-Expose-Headers: *\r\n"

/*
 * The last of h2o's stages that an answer goes through, as it begins in lib/http1.c. It writes
 * h2o's own head before the first bytes, unless it believes to have done so.
 */
struct last_stage {
    h2o_ostream_t super;
    int sent_headers;
};
SL_STATIC_ASSERT(H2O_LIBRARY_VERSION_MAJOR == 0 && H2O_LIBRARY_VERSION_MINOR == 13 &&
                     H2O_LIBRARY_VERSION_PATCH == 5,
                 "another h2o: does this stage begin so there, too?");

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

/* ---- the head ---- */

/* It is made in one place: a second answer is begun only when the first one was handed out. */
static void put(struct sl_exchange *exchange, struct sl_bytes text)
{
    sl_buffer_append_bytes(&exchange->acceptor->head, text);
}

static void put_number(struct sl_exchange *exchange, uint64_t value)
{
    char text[SL_NUMBER_SIZE_MAX];

    put(exchange, sl_bytes(text, sl_number_format(value, text)));
}

/* What is left of the text lives as long as the request. */
static void keep_head(struct sl_exchange *exchange, size_t sent)
{
    struct sl_bytes left = sl_bytes_from(sl_buffer_bytes(&exchange->acceptor->head), sent);
    h2o_iovec_t copy = h2o_strdup(&exchange->req->pool, (const char *)left.data, left.size);

    exchange->head = sl_bytes(copy.base, copy.len);
}

void sl_reply_begin(struct sl_exchange *exchange, int status, const char *cache_control)
{
    h2o_req_t *req = exchange->req;
    h2o_timestamp_t now;

    SL_ASSERT(!exchange->started);
    SL_ASSERT(!exchange->ended);
    h2o_get_timestamp(req->conn->ctx, &req->pool, &now);
    req->res.status = status;
    sl_buffer_clear(&exchange->acceptor->head);
    put(exchange, sl_bytes_of("HTTP/1.1 "));
    put_number(exchange, (uint64_t)status);
    put(exchange, sl_bytes_of(" "));
    put(exchange, sl_bytes_of(reason_of(status)));
    put(exchange, sl_bytes_of("\r\nDate: "));
    put(exchange, sl_bytes(now.str->rfc1123, H2O_TIMESTR_RFC1123_LEN));
    put(exchange, sl_bytes_of(HEADERS_OF_ALL));
    if (cache_control != NULL)
        sl_reply_header(exchange, "Cache-Control", sl_bytes_of(cache_control));
}

void sl_reply_header(struct sl_exchange *exchange, const char *name, struct sl_bytes value)
{
    put(exchange, sl_bytes_of(name));
    put(exchange, sl_bytes_of(": "));
    put(exchange, value);
    put(exchange, sl_bytes_of("\r\n"));
}

void sl_reply_header_number(struct sl_exchange *exchange, const char *name, uint64_t value)
{
    char text[SL_NUMBER_SIZE_MAX];

    sl_reply_header(exchange, name, sl_bytes(text, sl_number_format(value, text)));
}

void sl_reply_next_offset(struct sl_exchange *exchange, uint64_t offset)
{
    char token[SL_OFFSET_TOKEN_SIZE];

    sl_offset_format(offset, token);
    sl_reply_header(exchange, "Stream-Next-Offset", sl_bytes(token, SL_OFFSET_TOKEN_SIZE));
}

/* ---- bytes ---- */

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

/* Ends the head. content_length: SIZE_MAX = none. */
static void start(struct sl_exchange *exchange, size_t content_length)
{
    h2o_req_t *req = exchange->req;

    SL_ASSERT(!exchange->started);
    exchange->started = true;
    exchange->generator.proceed = on_proceed;
    if (exchange->acceptor->draining)
        req->http1_is_persistent = 0;
    sl_reply_header(exchange, "Connection",
                    sl_bytes_of(req->http1_is_persistent ? "keep-alive" : "close"));
    if (exchange->chunked) {
        sl_reply_header(exchange, "Transfer-Encoding", sl_bytes_of("chunked"));
        /* Else h2o would make chunks, too. */
        h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_TRANSFER_ENCODING, NULL,
                       H2O_STRLIT("chunked"));
    } else if (content_length != SIZE_MAX) {
        sl_reply_header_number(exchange, "Content-Length", content_length);
    }
    put(exchange, sl_bytes_of("\r\n"));
    req->res.content_length = content_length;
    sl_metrics_request(exchange->acceptor->metrics, exchange->operation, req->res.status);
    struct last_stage *last = SL_OBJECT(req->_ostr_top, struct last_stage, super);
    SL_ASSERT(last->sent_headers == 0);
    last->sent_headers = 1;
    h2o_start_response(req, &exchange->generator);
}

static size_t size_of(const struct sl_bytes *pieces, size_t count)
{
    size_t size = 0;

    for (size_t i = 0; i < count; i++)
        size += pieces[i].size;
    return size;
}

/* The line that a chunk of that many bytes begins with. */
static h2o_iovec_t chunk_head(struct sl_exchange *exchange, size_t size)
{
    char *end = exchange->chunk_head + SL_CHUNK_HEAD_SIZE_MAX;
    char *at = end;

    *--at = '\n';
    *--at = '\r';
    do {
        *--at = "0123456789abcdef"[size % 16];
        size /= 16;
    } while (size > 0);
    return h2o_iovec_init(at, (size_t)(end - at));
}

/*
 * What is written for these pieces, FRAME_PARTS more than there are at most: the pieces, and if the
 * body is chunked a chunk of them, and what ends it. Returns how many.
 */
static size_t frame(struct sl_exchange *exchange, const struct sl_bytes *pieces, size_t count,
                    bool final, h2o_iovec_t *parts)
{
    size_t size = size_of(pieces, count), part_count = 0;

    if (exchange->chunked && size > 0)
        parts[part_count++] = chunk_head(exchange, size);
    for (size_t i = 0; i < count; i++)
        if (pieces[i].size > 0)
            parts[part_count++] = h2o_iovec_init(pieces[i].data, pieces[i].size);
    if (exchange->chunked && size > 0 && final)
        parts[part_count++] = h2o_iovec_init(H2O_STRLIT("\r\n0\r\n\r\n"));
    else if (exchange->chunked && size > 0)
        parts[part_count++] = h2o_iovec_init(H2O_STRLIT("\r\n"));
    else if (exchange->chunked && final)
        parts[part_count++] = h2o_iovec_init(H2O_STRLIT("0\r\n\r\n"));
    return part_count;
}

static void send_pieces(struct sl_exchange *exchange, const struct sl_bytes *pieces, size_t count,
                        bool final)
{
    h2o_iovec_t parts[1 + SL_REPLY_PIECES_MAX + FRAME_PARTS];
    size_t part_count = 0;

    SL_ASSERT(count <= SL_REPLY_PIECES_MAX);
    SL_ASSERT(exchange->started);
    SL_ASSERT(!exchange->ended);
    if (exchange->head.size > 0)
        parts[part_count++] = h2o_iovec_init(exchange->head.data, exchange->head.size);
    exchange->head.size = 0;
    part_count += frame(exchange, pieces, count, final, parts + part_count);
    SL_ASSERT(final || part_count > 0); /* of nothing h2o would make the end */
    sl_exchange_set_sending(exchange, true);
    if (final) {
        exchange->ended = true;
        sl_connection_unwatch(exchange->connection);
    }
    h2o_send(exchange->req, parts, part_count,
             final ? H2O_SEND_STATE_FINAL : H2O_SEND_STATE_IN_PROGRESS);
}

static void count_out(struct sl_exchange *exchange, size_t size)
{
    sl_metrics_add(exchange->acceptor->metrics, SL_METRIC_BYTES_OUT, size);
}

/* Hands the text to the client's kernel; returns how much that took. */
static size_t write_text(struct sl_exchange *exchange)
{
    struct sl_bytes text = sl_buffer_bytes(&exchange->acceptor->head);
    ssize_t sent = send(h2o_socket_get_fd(exchange->connection->sock), text.data, text.size,
                        MSG_DONTWAIT | MSG_NOSIGNAL);

    return sent < 0 ? 0 : (size_t)sent; /* full or broken: h2o waits until it is not, or finds it */
}

/*
 * Everything is out: h2o is told that there is nothing to write, and goes on with the next request
 * in this call. What it asks for then is not answered so: one call would be in the other, as many
 * as there are requests.
 */
static void end_at_once(struct sl_exchange *exchange)
{
    struct sl_acceptor *acceptor = exchange->acceptor;

    SL_ASSERT(!acceptor->finishing);
    acceptor->finishing = true;
    exchange->ended = true;
    sl_connection_unwatch(exchange->connection);
    h2o_send(exchange->req, NULL, 0, H2O_SEND_STATE_FINAL);
    acceptor->finishing = false;
}

void sl_reply_finish(struct sl_exchange *exchange, const struct sl_bytes *body, size_t count)
{
    const struct sl_buffer *text = &exchange->acceptor->head;
    int status = exchange->req->res.status;
    bool has_body = !exchange->head_only && status != 204 && status != 304;
    size_t size = has_body ? size_of(body, count) : 0;
    size_t sent = 0;

    start(exchange, has_body ? size : SIZE_MAX);
    count_out(exchange, size);
    if (size > SHORT_SIZE_MAX) {
        keep_head(exchange, 0);
        send_pieces(exchange, body, count, true);
        return;
    }
    for (size_t i = 0; has_body && i < count; i++)
        put(exchange, body[i]);
    if (exchange->came_back && exchange->on_gone == NULL)
        sent = write_text(exchange);
    if (sent == text->size) {
        end_at_once(exchange);
    } else {
        keep_head(exchange, sent);
        send_pieces(exchange, NULL, 0, true);
    }
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
    keep_head(exchange, 0);
}

void sl_reply_send(struct sl_exchange *exchange, const struct sl_bytes *pieces, size_t count,
                   bool final)
{
    count_out(exchange, size_of(pieces, count));
    send_pieces(exchange, pieces, count, final);
}

/* The socket took `sent` bytes of these parts. */
static void write_rest(struct sl_exchange *exchange, h2o_iovec_t *parts, size_t count, size_t sent)
{
    size_t rest_count = 0;

    for (size_t i = 0; i < count; i++) {
        size_t skipped = sent < parts[i].len ? sent : parts[i].len;
        sent -= skipped;
        if (skipped < parts[i].len)
            parts[rest_count++] = h2o_iovec_init(parts[i].base + skipped, parts[i].len - skipped);
    }
    sl_exchange_set_sending(exchange, true);
    h2o_socket_write(exchange->connection->sock, parts, rest_count, on_rest_written);
}

bool sl_reply_send_at_once(struct sl_exchange *exchange, const struct sl_bytes *pieces,
                           size_t count)
{
    h2o_iovec_t parts[CHUNK_PARTS_MAX];
    size_t size = 0;

    SL_ASSERT(exchange->started && !exchange->sending && !exchange->ended);
    SL_ASSERT(count > 0 && count <= SL_REPLY_PIECES_AT_ONCE_MAX);
    size_t part_count = frame(exchange, pieces, count, false, parts);
    for (size_t i = 0; i < part_count; i++)
        size += parts[i].len;
    SL_ASSERT(size > 0); /* it would be the last chunk */
    struct msghdr message = { .msg_iov = (struct iovec *)parts, .msg_iovlen = part_count };
    ssize_t sent = -1;
    if (exchange->chunked)
        sent = sendmsg(h2o_socket_get_fd(exchange->connection->sock), &message,
                       MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent <= 0) {
        /* Full or broken: h2o waits until it is not, or finds the same. */
        sl_reply_send(exchange, pieces, count, false);
        return false;
    }
    count_out(exchange, size_of(pieces, count));
    if ((size_t)sent == size)
        return true;
    write_rest(exchange, parts, part_count, (size_t)sent);
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
