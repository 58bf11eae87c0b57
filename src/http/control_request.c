#include "http/control_request.h"

#include "base/assert.h"
#include "base/memory.h"
#include "hooks/hooks.h"
#include "http/base_url.h"
#include "http/connection.h"
#include "http/reply.h"
#include "protocol/ascii.h"
#include "protocol/json_value.h"
#include "protocol/number.h"
#include "protocol/problem.h"
#include "protocol/stream_name.h"

enum {
    ID_SIZE_MAX = 255, /* bytes of a subscription's id, percent-encoded. INVALID_REQUEST */
    RAW_COPIES = 2,    /* so many times its size h2o holds of a body at most, until the answer */
};

#define LIST_PATH "/subscriptions"

/* A request on its way to the hooks and back, and its answer until that was sent. */
struct control {
    struct sl_hooks_request request;
    struct sl_exchange *exchange;      /* held until it is back */
    struct sl_acceptor *acceptor;      /* borrowed: of the exchange */
    h2o_multithread_message_t message; /* brings it back */
    char id[SL_NAME_SIZE_MAX];         /* canonical */
    char stream[SL_NAME_SIZE_MAX];     /* canonical */
    struct sl_buffer root;             /* owned */
    struct sl_buffer token;            /* owned */
};

/* What a path and a method ask for. */
static const struct route {
    const char *path; /* behind the id; NULL: one of the streams */
    enum sl_method method;
    enum sl_hooks_action action;
    bool needs_token;
    enum sl_err (*parse)(struct sl_bytes json, struct sl_control_body *body, const char **what);
} routes[] = {
    { "", SL_METHOD_PUT, SL_HOOKS_PUT, false, sl_control_parse_subscription },
    { "", SL_METHOD_GET, SL_HOOKS_GET, false, NULL },
    { "", SL_METHOD_DELETE, SL_HOOKS_DELETE, false, NULL },
    { "streams", SL_METHOD_POST, SL_HOOKS_ADD, false, sl_control_parse_streams },
    { NULL, SL_METHOD_DELETE, SL_HOOKS_REMOVE, false, NULL },
    { "callback", SL_METHOD_POST, SL_HOOKS_CALLBACK, true, sl_control_parse_acks },
    { "claim", SL_METHOD_POST, SL_HOOKS_CLAIM, false, sl_control_parse_claim },
    { "ack", SL_METHOD_POST, SL_HOOKS_ACK, true, sl_control_parse_acks },
    { "release", SL_METHOD_POST, SL_HOOKS_RELEASE, true, sl_control_parse_acks },
};

/* ---- answers ---- */

/* `text` is JSON, or nothing; it lives until the exchange's request is gone. */
static void answer_json(struct sl_exchange *exchange, int status, const char *cache_control,
                        const char *type, struct sl_bytes text)
{
    sl_reply_begin(exchange, status, cache_control);
    if (text.size == 0) {
        sl_reply_finish(exchange, NULL, 0);
        return;
    }
    sl_reply_header(exchange, "Content-Type", sl_bytes_of(type));
    sl_reply_finish(exchange, &text, 1);
}

/* What to do, too, but of the server's own troubles: for those it speaks of streams alone. */
static void append_message(struct sl_buffer *text, enum sl_err err)
{
    struct sl_buffer message = { NULL, 0, 0 };
    const struct sl_problem *problem = sl_problem_of(err);

    sl_buffer_append_text(&message, sl_err_text(err));
    if (problem->status < 500)
        sl_buffer_printf(&message, ". %s", problem->detail);
    sl_json_append_string(text, sl_buffer_bytes(&message));
    sl_buffer_deinit(&message);
}

/* `message` may be NULL; `members` are more of the error object, or empty. */
static void answer_error(struct sl_exchange *exchange, enum sl_err err, const char *message,
                         struct sl_bytes members, const char *allow)
{
    struct sl_buffer text = { NULL, 0, 0 };

    sl_buffer_printf(&text, "{\"error\":{\"code\":\"%s\",\"message\":", sl_err_code(err));
    if (message == NULL)
        append_message(&text, err);
    else
        sl_json_append_string(&text, sl_bytes_of(message));
    sl_buffer_append_text(&text, members.size == 0 ? "" : ",");
    sl_buffer_append_bytes(&text, members);
    sl_buffer_append_text(&text, "}}");
    h2o_iovec_t copy = h2o_strdup(&exchange->req->pool, (const char *)text.data, text.size);
    struct sl_bytes body = sl_bytes(copy.base, copy.len);
    sl_buffer_deinit(&text);
    sl_reply_begin(exchange, sl_problem_control_status(err), "no-store");
    sl_reply_header(exchange, "Content-Type", sl_bytes_of("application/json"));
    if (allow != NULL)
        sl_reply_header(exchange, "Allow", sl_bytes_of(allow));
    if (sl_problem_of(err)->retry_after)
        sl_reply_header_number(exchange, "Retry-After", 1);
    sl_reply_count_refusal(exchange, err);
    sl_reply_finish(exchange, &body, 1);
}

static void answer_not_there(struct sl_exchange *exchange)
{
    answer_error(exchange, SL_ERR_NOT_FOUND, "there is no such endpoint", sl_bytes(NULL, 0), NULL);
}

/* ---- to the hooks and back ---- */

static void destroy(struct control *control)
{
    sl_hooks_let_go(control->acceptor->options->hooks, &control->request);
    sl_control_body_deinit(&control->request.body);
    sl_buffer_deinit(&control->request.text);
    sl_buffer_deinit(&control->root);
    sl_buffer_deinit(&control->token);
    sl_memory_free(control);
}

/* The answer was sent, or nobody wants it any more. */
static void on_gone(struct sl_exchange *exchange)
{
    destroy((struct control *)exchange->driver);
}

/* Takes the control. */
static void answer(struct control *control)
{
    const struct sl_hooks_request *request = &control->request;
    struct sl_exchange *exchange = control->exchange;
    struct sl_bytes text = sl_buffer_bytes(&request->text);

    if (exchange->req == NULL || exchange->ended) {
        destroy(control);
        return;
    }
    exchange->driver = control;
    exchange->on_gone = on_gone;
    if (request->err != SL_OK)
        answer_error(exchange, request->err, request->message, text, NULL);
    else if (request->action == SL_HOOKS_JWKS)
        answer_json(exchange, 200, "public, max-age=300", "application/jwk-set+json", text);
    else
        answer_json(exchange,
                    request->created ? 201
                    : text.size == 0 ? 204
                                     : 200,
                    "no-store", "application/json", text);
}

void sl_control_on_answered(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
    struct sl_acceptor *acceptor = SL_OBJECT(receiver, struct sl_acceptor, answered);

    sl_acceptor_enter(acceptor);
    while (!h2o_linklist_is_empty(messages)) {
        h2o_multithread_message_t *message =
            H2O_STRUCT_FROM_MEMBER(h2o_multithread_message_t, link, messages->next);
        struct control *control = SL_OBJECT(message, struct control, message);
        struct sl_exchange *exchange = control->exchange;
        h2o_linklist_unlink(messages->next);
        acceptor->control_count--;
        answer(control);
        sl_exchange_release(exchange);
    }
}

/* In the hooks' thread. */
static void on_done(struct sl_hooks_request *request)
{
    struct control *control = SL_OBJECT(request, struct control, request);

    h2o_multithread_send_message(&control->acceptor->answered, &control->message);
}

static struct control *create(struct sl_exchange *exchange, enum sl_hooks_action action)
{
    struct control *control = (struct control *)sl_memory_zalloc(sizeof *control);

    control->exchange = exchange;
    control->acceptor = exchange->acceptor;
    control->request.action = action;
    control->request.on_done = on_done;
    return control;
}

static void submit(struct control *control)
{
    struct sl_exchange *exchange = control->exchange;

    sl_connection_watch(exchange->connection);
    sl_exchange_hold(exchange);
    control->acceptor->control_count++;
    sl_hooks_submit(exchange->acceptor->options->hooks, &control->request);
}

/* ---- reading ---- */

/* The token of "Authorization: Bearer <token>"; false: there is none, or more than one. */
static bool read_token(struct control *control)
{
    static const char scheme[] = "Bearer ";
    const h2o_headers_t *headers = &control->exchange->req->headers;
    ssize_t at = h2o_find_header(headers, H2O_TOKEN_AUTHORIZATION, -1);

    if (at == -1 || h2o_find_header(headers, H2O_TOKEN_AUTHORIZATION, at) != -1)
        return false;
    struct sl_bytes value =
        sl_bytes(headers->entries[at].value.base, headers->entries[at].value.len);
    if (value.size <= sizeof scheme - 1 ||
        !sl_ascii_equal_ignore_case(sl_bytes(value.data, sizeof scheme - 1), sl_bytes_of(scheme)))
        return false;
    sl_buffer_append_bytes(&control->token, sl_ascii_trim(sl_bytes_from(value, sizeof scheme - 1)));
    control->request.token = sl_buffer_bytes(&control->token);
    return true;
}

/* A name in a path may hold slashes, escaped or not: %2F and / are the same here. */
static void read_stream(struct control *control, struct sl_bytes raw)
{
    struct sl_buffer decoded = { NULL, 0, 0 };
    size_t size = 0;

    while (raw.size > 0) {
        int high = raw.size > 2 && *raw.data == '%' ? sl_ascii_hex_value(raw.data[1]) : -1;
        int low = high < 0 ? -1 : sl_ascii_hex_value(raw.data[2]);
        uint8_t byte = *raw.data;
        if (low >= 0)
            byte = (uint8_t)(high << 4 | low);
        sl_buffer_append(&decoded, &byte, 1);
        raw = sl_bytes_from(raw, low < 0 ? 1 : 3);
    }
    while (decoded.size > 0 && decoded.data[decoded.size - 1] == '/')
        decoded.size--;
    struct sl_bytes path = sl_buffer_bytes(&decoded);
    while (path.size > 0 && *path.data == '/')
        path = sl_bytes_from(path, 1);
    if (sl_stream_name_parse(path, control->stream, &size) == SL_OK)
        control->request.stream = sl_bytes(control->stream, size);
    sl_buffer_deinit(&decoded);
}

/* What is wrong with the request, before anybody looks at its subscription. */
static enum sl_err read_request(struct control *control, const struct route *route,
                                struct sl_bytes raw_stream, const char **message)
{
    struct sl_exchange *exchange = control->exchange;
    struct sl_hooks_request *request = &control->request;

    *message = NULL;
    if (route->needs_token && !read_token(control)) {
        *message = sl_problem_of(SL_ERR_TOKEN_INVALID)->detail;
        return SL_ERR_TOKEN_INVALID;
    }
    if (route->action == SL_HOOKS_REMOVE)
        read_stream(control, raw_stream);
    sl_base_url_append(exchange, &control->root);
    sl_buffer_append_bytes(&control->root, exchange->acceptor->options->stream_root);
    request->root = sl_buffer_bytes(&control->root);
    if (route->parse == NULL)
        return SL_OK;
    enum sl_err err = route->parse(exchange->body, &request->body, message);
    if (err == SL_OK &&
        !sl_hooks_hold(exchange->acceptor->options->hooks, request,
                       RAW_COPIES * exchange->body.size + sl_control_body_size(&request->body))) {
        *message = request->message;
        err = request->err;
    }
    return err;
}

/* ---- routes ---- */

/* The segment that `path` begins with; the rest is what follows the slash. */
static struct sl_bytes take_segment(struct sl_bytes *path, bool *has_more)
{
    size_t size = path->size;
    struct sl_bytes segment = sl_ascii_cut(path, '/');

    *has_more = segment.size < size;
    return segment;
}

static bool is_at(const struct route *route, struct sl_bytes rest, struct sl_bytes *stream)
{
    static const char prefix[] = "streams/";

    if (route->path != NULL)
        return sl_bytes_equal(rest, sl_bytes_of(route->path));
    if (rest.size < sizeof prefix || memcmp(rest.data, prefix, sizeof prefix - 1) != 0)
        return false;
    *stream = sl_bytes_from(rest, sizeof prefix - 1);
    return true;
}

/* The route of what follows the id. NULL: *allow says which methods there would be, or NULL. */
static const struct route *find_route(struct sl_bytes rest, enum sl_method method,
                                      struct sl_bytes *stream, const char **allow)
{
    *allow = NULL;
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        if (!is_at(&routes[i], rest, stream))
            continue;
        if (routes[i].method == method)
            return &routes[i];
        *allow = rest.size == 0                       ? "GET, HEAD, PUT, DELETE, OPTIONS"
                 : routes[i].method == SL_METHOD_POST ? "POST, OPTIONS"
                                                      : "DELETE, OPTIONS";
    }
    return NULL;
}

static void start_subscription(struct sl_exchange *exchange, enum sl_method method,
                               struct sl_bytes raw_id, struct sl_bytes rest)
{
    struct sl_bytes stream = { NULL, 0 };
    const char *allow, *message = NULL;
    size_t id_size;
    const struct route *route = find_route(rest, method, &stream, &allow);

    if (route == NULL && allow == NULL) {
        answer_not_there(exchange);
        return;
    }
    if (route == NULL) {
        answer_error(exchange, SL_ERR_METHOD_NOT_ALLOWED, NULL, sl_bytes(NULL, 0), allow);
        return;
    }
    struct control *control = create(exchange, route->action);
    enum sl_err err = sl_stream_name_parse(raw_id, control->id, &id_size);
    if (err != SL_OK || id_size > ID_SIZE_MAX) {
        err = SL_ERR_INVALID_REQUEST;
        SL_STATIC_ASSERT(ID_SIZE_MAX == 255, "what is said to the client");
        message = "the id of the subscription is malformed, or has more than 255 bytes "
                  "percent-encoded";
    } else {
        control->request.id = sl_bytes(control->id, id_size);
        err = read_request(control, route, stream, &message);
    }
    if (err == SL_OK) {
        submit(control);
        return;
    }
    answer_error(exchange, err, message, sl_bytes(NULL, 0), NULL);
    destroy(control);
}

void sl_control_request_start(struct sl_exchange *exchange, enum sl_method method,
                              struct sl_bytes raw_path)
{
    bool has_more, is_get = method == SL_METHOD_GET || method == SL_METHOD_HEAD;
    struct sl_bytes no_members = { NULL, 0 };

    exchange->operation = SL_METRIC_OPERATION_SUBSCRIPTION;
    take_segment(&raw_path, &has_more);
    struct sl_bytes kind = take_segment(&raw_path, &has_more);
    if (exchange->acceptor->options->hooks == NULL) {
        answer_not_there(exchange);
    } else if (sl_bytes_equal(kind, sl_bytes_of("jwks.json")) && !has_more) {
        if (is_get)
            submit(create(exchange, SL_HOOKS_JWKS));
        else
            answer_error(exchange, SL_ERR_METHOD_NOT_ALLOWED, NULL, no_members,
                         "GET, HEAD, OPTIONS");
    } else if (sl_bytes_equal(kind, sl_bytes_of("subscriptions")) && raw_path.size > 0) {
        struct sl_bytes id = take_segment(&raw_path, &has_more);
        if (has_more && raw_path.size == 0)
            answer_not_there(exchange);
        else
            start_subscription(exchange, is_get ? SL_METHOD_GET : method, id, raw_path);
    } else {
        answer_not_there(exchange);
    }
}

bool sl_control_is_list(struct sl_bytes path)
{
    return sl_bytes_equal(path, sl_bytes_of(LIST_PATH));
}

void sl_control_request_list(struct sl_exchange *exchange, struct sl_bytes query)
{
    static const char parameter[] = "cursor=";
    uint64_t cursor = 0;
    bool has_cursor = query.size > sizeof parameter - 1 &&
                      memcmp(query.data, parameter, sizeof parameter - 1) == 0;

    exchange->operation = SL_METRIC_OPERATION_SUBSCRIPTION;
    if (exchange->acceptor->options->hooks == NULL) {
        answer_not_there(exchange);
        return;
    }
    if (has_cursor &&
        !sl_number_parse(sl_bytes_from(query, sizeof parameter - 1), UINT64_MAX, &cursor)) {
        answer_error(exchange, SL_ERR_INVALID_REQUEST,
                     "cursor must be next_cursor of the page before", sl_bytes(NULL, 0), NULL);
        return;
    }
    struct control *control = create(exchange, SL_HOOKS_LIST);
    control->request.cursor = cursor;
    submit(control);
}
