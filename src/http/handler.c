#include "http/handler.h"

#include "base/clock.h"
#include "base/limits.h"
#include "http/admin.h"
#include "http/catch_up.h"
#include "http/connection.h"
#include "http/control_request.h"
#include "http/live.h"
#include "http/reply.h"
#include "http/stream_request.h"
#include "http/strict_request.h"
#include "protocol/ascii.h"
#include "protocol/authority.h"
#include "protocol/stream_name.h"

SL_STATIC_ASSERT((int)SL_HEADERS_MAX == H2O_MAX_HEADERS, "h2o refuses more itself");

#define STREAM_METHODS "GET, HEAD, PUT, POST, DELETE, OPTIONS"
#define ADMIN_METHODS "GET, HEAD, OPTIONS"
#define ALLOW_HEADERS                                                                              \
    "content-type, authorization, if-none-match, stream-seq, stream-ttl, stream-expires-at, "      \
    "stream-closed, producer-id, producer-epoch, producer-seq, stream-forked-from, "               \
    "stream-fork-offset, stream-fork-sub-offset"

enum {
    LARGE_BODY_BYTES = 64 * 1024,
    LARGE_NS_MIN = 1000 * 1000, /* in a turn they take as long as all the rest, and so much more */
};

/* A request target, taken apart; borrowed from the request. */
struct target {
    struct sl_bytes authority; /* of absolute-form, else of Host; empty: there is none */
    struct sl_bytes path;      /* raw, without the query */
    struct sl_bytes query;     /* after the '?' */
    struct sl_bytes raw_name;  /* of path: what is below the stream root */
};

static enum sl_err parse_target(h2o_req_t *req, bool has_host, struct target *target)
{
    h2o_iovec_t path = req->path;
    h2o_url_t url;

    *target = (struct target){ .path = { NULL, 0 } };
    if (has_host)
        target->authority = sl_ascii_trim(sl_bytes(req->authority.base, req->authority.len));
    if (path.len == 1 && *path.base == '*') {
        target->path = sl_bytes(path.base, path.len);
        return SL_OK;
    }
    if (path.len > SL_TARGET_SIZE_MAX)
        return SL_ERR_NAME_TOO_LONG;
    if (memchr(path.base, '#', path.len) != NULL)
        return SL_ERR_BAD_REQUEST; /* others would end the target there */
    if (path.len == 0 || *path.base != '/') {
        if (h2o_url_parse(path.base, path.len, &url) != 0)
            return SL_ERR_BAD_REQUEST;
        target->authority = sl_bytes(url.authority.base, url.authority.len);
        if (!sl_authority_is_valid(target->authority))
            return SL_ERR_BAD_REQUEST;
        path = url.path;
    }
    const char *mark = (const char *)memchr(path.base, '?', path.len);
    if (mark == NULL) {
        target->path = sl_bytes(path.base, path.len);
    } else {
        target->path = sl_bytes(path.base, (size_t)(mark - path.base));
        target->query = sl_bytes(mark + 1, path.len - target->path.size - 1);
    }
    return SL_OK;
}

static bool has_strict_head(struct sl_connection *connection, h2o_req_t *req, bool *has_host)
{
    h2o_buffer_t *input = connection->sock->input;

    /* Without a target is also what could not be parsed. */
    return req->path.len > 0 && req->headers.size <= SL_HEADERS_MAX &&
           sl_strict_request_check(sl_bytes(input->bytes, input->size), req->version < 0x101,
                                   has_host);
}

/*
 * Whoever says close in one of its Connection fields means it, whatever the others say; h2o looks
 * at the last one, and there keep-alive wins (RFC 9112, 9.3).
 */
static bool wants_close(const h2o_req_t *req)
{
    ssize_t i = -1;

    while ((i = h2o_find_header(&req->headers, H2O_TOKEN_CONNECTION, i)) != -1) {
        h2o_iovec_t value = req->headers.entries[i].value;
        if (h2o_contains_token(value.base, value.len, H2O_STRLIT("close"), ','))
            return true;
    }
    return false;
}

/* The path below the stream root; false: it is not below. */
static bool below_root(struct sl_bytes root, struct sl_bytes path, struct sl_bytes *raw_name)
{
    if (path.size <= root.size || path.data[root.size] != '/' ||
        memcmp(path.data, root.data, root.size) != 0)
        return false;
    *raw_name = sl_bytes_from(path, root.size + 1);
    return true;
}

static void answer_options(struct sl_exchange *exchange)
{
    exchange->operation = SL_METRIC_OPERATION_OPTIONS;
    sl_reply_begin(exchange, 204, NULL);
    sl_reply_header(exchange, "Access-Control-Allow-Methods", sl_bytes_of(STREAM_METHODS));
    sl_reply_header(exchange, "Access-Control-Allow-Headers", sl_bytes_of(ALLOW_HEADERS));
    sl_reply_header(exchange, "Access-Control-Max-Age", sl_bytes_of("86400"));
    sl_reply_finish(exchange, NULL, 0);
}

static void answer_method_not_allowed(struct sl_exchange *exchange, const char *allow)
{
    sl_reply_problem_begin(exchange, SL_ERR_METHOD_NOT_ALLOWED);
    sl_reply_header(exchange, "Allow", sl_bytes_of(allow));
    sl_reply_problem_finish(exchange, SL_ERR_METHOD_NOT_ALLOWED);
}

static void answer_get(struct sl_exchange *exchange, struct sl_bytes query)
{
    sl_query_parse(query, &exchange->query);
    switch (exchange->query.live) {
    case SL_LIVE_NONE:
        exchange->operation = SL_METRIC_OPERATION_READ;
        sl_catch_up_start(exchange);
        return;
    case SL_LIVE_LONG_POLL:
        exchange->operation = SL_METRIC_OPERATION_LONG_POLL;
        break;
    case SL_LIVE_SSE:
        exchange->operation = SL_METRIC_OPERATION_SSE;
        break;
    }
    sl_live_start(exchange->acceptor->live, exchange);
}

static void answer_stream(struct sl_exchange *exchange, enum sl_method method,
                          struct sl_bytes query)
{
    sl_connection_watch(exchange->connection);
    switch (method) {
    case SL_METHOD_GET:
        answer_get(exchange, query);
        return;
    case SL_METHOD_HEAD:
        exchange->operation = SL_METRIC_OPERATION_HEAD;
        sl_stream_request_head(exchange);
        return;
    case SL_METHOD_PUT:
        exchange->operation = SL_METRIC_OPERATION_CREATE;
        sl_stream_request_create(exchange);
        return;
    case SL_METHOD_POST:
        exchange->operation = SL_METRIC_OPERATION_APPEND;
        sl_stream_request_append(exchange);
        return;
    case SL_METHOD_DELETE:
        exchange->operation = SL_METRIC_OPERATION_DELETE;
        sl_stream_request_delete(exchange);
        return;
    case SL_METHOD_OPTIONS:
    case SL_METHOD_OTHER:
        answer_method_not_allowed(exchange, STREAM_METHODS);
        return;
    }
}

static void answer(struct sl_exchange *exchange, enum sl_method method, const struct target *target,
                   enum sl_err err)
{
    bool is_get = method == SL_METHOD_GET || method == SL_METHOD_HEAD;

    if (err == SL_ERR_RESERVED_NAME)
        sl_control_request_start(exchange, method, target->raw_name);
    else if (exchange->name_size != 0)
        answer_stream(exchange, method, target->query);
    else if (err != SL_OK && method == SL_METHOD_OTHER)
        answer_method_not_allowed(exchange, STREAM_METHODS);
    else if (err != SL_OK)
        sl_reply_problem(exchange, err);
    else if (!is_get && (sl_admin_is_path(exchange->path) || sl_control_is_list(exchange->path)))
        answer_method_not_allowed(exchange, ADMIN_METHODS);
    else if (sl_admin_is_path(exchange->path))
        sl_admin_answer(exchange);
    else if (sl_control_is_list(exchange->path))
        sl_control_request_list(exchange, target->query);
    else
        sl_reply_problem(exchange, SL_ERR_UNKNOWN_PATH);
}

static enum sl_err read_target(h2o_req_t *req, bool has_host, struct target *target,
                               char name[SL_NAME_SIZE_MAX], size_t *name_size)
{
    struct sl_bytes root = sl_connection_of(req)->acceptor->options->stream_root;
    enum sl_err err = parse_target(req, has_host, target);

    *name_size = 0;
    if (err == SL_OK && below_root(root, target->path, &target->raw_name))
        err = sl_stream_name_parse(target->raw_name, name, name_size);
    return err;
}

/* ---- large bodies ---- */

/*
 * What waits takes from the budget of uploads, and others are cut for it: so these take as much of
 * a turn as what reads them.
 */
static bool has_time_for_large(const struct sl_acceptor *acceptor)
{
    uint64_t turn_ns = sl_clock_running_ns() - acceptor->turn_begun_ns;

    return acceptor->large_ns < LARGE_NS_MIN + turn_ns / 2;
}

static void answer_large(struct sl_exchange *exchange, enum sl_method method,
                         const struct target *target, enum sl_err err)
{
    struct sl_acceptor *acceptor = exchange->acceptor;
    uint64_t begun_ns = sl_clock_running_ns();

    answer(exchange, method, target, err);
    acceptor->large_ns += sl_clock_running_ns() - begun_ns;
}

static void leave_large(struct sl_exchange *exchange)
{
    sl_link_remove(&exchange->link);
}

static void wait_for_turn(struct sl_exchange *exchange)
{
    exchange->on_gone = leave_large;
    sl_link_append(&exchange->acceptor->large_requests, &exchange->link);
}

bool sl_handler_work(struct sl_acceptor *acceptor)
{
    struct sl_link *link;

    while (has_time_for_large(acceptor) &&
           (link = sl_link_first(&acceptor->large_requests)) != NULL) {
        struct sl_exchange *exchange = SL_OBJECT(link, struct sl_exchange, link);
        const h2o_iovec_t method = exchange->req->method;
        struct target target;
        char name[SL_NAME_SIZE_MAX];
        size_t name_size;
        enum sl_err err = read_target(exchange->req, false, &target, name, &name_size);

        sl_link_remove(link);
        exchange->on_gone = NULL;
        answer_large(exchange, sl_method_parse(sl_bytes(method.base, method.len)), &target, err);
    }
    return !sl_link_is_empty(&acceptor->large_requests);
}

/* ---- requests ---- */

int sl_handler_on_request(h2o_handler_t *handler, h2o_req_t *req)
{
    struct sl_connection *connection = sl_connection_of(req);
    const struct sl_http_options *options = connection->acceptor->options;
    enum sl_method method = sl_method_parse(sl_bytes(req->method.base, req->method.len));
    enum sl_err err = SL_OK;
    struct target target = { .path = { NULL, 0 } };
    char name[SL_NAME_SIZE_MAX];
    size_t name_size = 0;
    bool has_host;
    bool strict = has_strict_head(connection, req, &has_host);

    (void)handler;
    sl_acceptor_enter(connection->acceptor);
    if (!strict || wants_close(req))
        req->http1_is_persistent = 0;
    if (strict)
        err = read_target(req, has_host, &target, name, &name_size);

    struct sl_exchange *exchange = sl_exchange_create(connection, req, sl_bytes(name, name_size));
    exchange->head_only = method == SL_METHOD_HEAD;
    exchange->path = target.path;
    exchange->authority = target.authority;
    exchange->body = sl_bytes(req->entity.base, req->entity.len);
    if (!strict) {
        sl_metrics_add(connection->acceptor->metrics, SL_METRIC_FRAMING_REJECTED, 1);
        sl_reply_problem(exchange, SL_ERR_BAD_REQUEST);
    } else if (exchange->body.size > options->body_size_max) {
        sl_reply_problem(exchange, SL_ERR_PAYLOAD_TOO_LARGE);
    } else if (method == SL_METHOD_OPTIONS) {
        answer_options(exchange);
    } else if (exchange->body.size < LARGE_BODY_BYTES) {
        answer(exchange, method, &target, err);
    } else if (sl_link_is_empty(&exchange->acceptor->large_requests) &&
               has_time_for_large(exchange->acceptor)) {
        answer_large(exchange, method, &target, err);
    } else {
        wait_for_turn(exchange);
    }
    return 0;
}
