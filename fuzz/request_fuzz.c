/*
 * Any bytes as what a client sends: to a whole server, over a socket, several requests on one
 * connection, read by the server in pieces of any size. What it answers must be what a strict
 * stranger expects (support/http1.h): whole answers, in order, none without a request, none that
 * has failed; what must be refused is; and behind all of it a request of ours, which nobody else can
 * make, is answered as that or not at all.
 *
 * The first byte is flags, the second the length of all pieces but the first, the third and fourth
 * the length of the first (0: as much as there is); then comes what is sent.
 */
#include "base/assert.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/random.h"
#include "http/front.h"
#include "protocol/content_type.h"
#include "protocol/json.h"
#include "sluice/storage.h"
#include "support/http1.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    PLAN_SIZE = 4,
    REQUESTS_MAX = 1024,       /* that an input is cut into */
    PIECES_MAX = 256,          /* that an input is read in, about */
    BODY_SIZE_MAX = 16 * 1024, /* small, so that an input can go beyond it */
    TEXT_SIZE_MAX = 64,        /* of the names and contents of our request */
    TURNS_MAX = 100000,        /* of waiting for what other threads do */
    PATIENCE_S = 10,           /* without a byte of an answer */
    PATIENCE_TURNS = 6,        /* of that in a row: the process may have been stopped meanwhile */
    FOREVER_MS = 24 * 3600 * 1000,
};

/* What the fuzzer decides beside the bytes: the first byte of an input. */
enum {
    PLAN_POKE = 3,       /* something happens to stream "a" while the answers are made: */
    PLAN_POKE_WRITE = 1, /*   it is appended to and closed */
    PLAN_POKE_END = 2,   /*   it is deleted */
    PLAN_RESET = 3,      /*   nothing, but the connection is reset */
    PLAN_STAY = 4,       /* the client does not say that nothing more will come */
};

/* The server, which lives as long as the process. */
static struct {
    struct sl_metrics_registry *registry;
    struct sl_http_options options;
    struct sl_engine *engine;
    struct sl_session *session; /* ours, beside the acceptor's */
    struct sl_front *front;
    struct sockaddr_in address;
} server;

/* Bytes that the server's next read of a socket gives at most, and those after it; 0: any. */
static size_t piece_size, other_piece_size;

/* A stream of which no input can know. */
static struct {
    char name[TEXT_SIZE_MAX];
    char content[TEXT_SIZE_MAX];
} marker;

static const char *const poked = "a";

/* ---- pieces ---- */

/* Takes the place of the C library's: what comes from a socket comes in the pieces of the plan. */
ssize_t read(int fd, void *to, size_t size)
{
    size_t piece = __atomic_load_n(&piece_size, __ATOMIC_RELAXED);
    ssize_t got = recv(fd, to, piece != 0 && piece < size ? piece : size, 0);
    if (got == -1 && errno == ENOTSOCK)
        return syscall(SYS_read, fd, to, size);
    if (got > 0)
        __atomic_store_n(&piece_size, __atomic_load_n(&other_piece_size, __ATOMIC_RELAXED),
                         __ATOMIC_RELAXED);
    return got;
}

static void plan_pieces(const uint8_t *plan, size_t size)
{
    size_t other = plan[1], least = size / PIECES_MAX + 1;
    if (other != 0 && other < least)
        other = least;
    __atomic_store_n(&other_piece_size, other, __ATOMIC_RELAXED);
    __atomic_store_n(&piece_size, (size_t)(plan[2] | plan[3] << 8), __ATOMIC_RELAXED);
}

/* ---- the server ---- */

static void start_server(void)
{
    const char *listen_on = "127.0.0.1:0";
    unsigned port;
    if (server.front != NULL)
        return;
    sl_log_set_level(SL_LOG_ERROR);
    server.registry = sl_metrics_registry_create();
    server.options = (struct sl_http_options){
        .stream_root = sl_bytes_of("/v1/stream"),
        .body_size_max = BODY_SIZE_MAX,
        .upload_budget_bytes = 1 << 24,
        .long_poll_timeout_ms = 5,
        .sse_lifetime_ms = 10,
        .sse_heartbeat_ms = 4,
        .stall_timeout_ms = FOREVER_MS,
        .request_timeout_ms = FOREVER_MS,
        .drain_timeout_ms = FOREVER_MS,
        .connections_max = 100,
        .live_readers_max = 100,
        .acceptors = 1,
    };
    struct sl_engine_options options = { .shards = 2, .metrics = server.registry };
    enum sl_err err = sl_engine_open(&options, &server.engine);
    SL_ASSERT(err == SL_OK);
    err = sl_session_open(server.engine, &server.session);
    SL_ASSERT(err == SL_OK);
    server.front = sl_front_start(server.engine, server.registry, &server.options, &listen_on, 1);
    SL_ASSERT(server.front != NULL);
    int parsed = sscanf(sl_front_url(server.front, 0), "http://127.0.0.1:%u", &port);
    SL_ASSERT(parsed == 1);
    server.address = (struct sockaddr_in){ .sin_family = AF_INET,
                                           .sin_port = htons((uint16_t)port),
                                           .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static struct sl_engine_status status_now(void)
{
    struct sl_engine_status status;
    sl_engine_status(server.engine, &status);
    return status;
}

static void make_marker(struct sl_buffer *sent)
{
    struct sl_stream_config config = { .content_type = sl_bytes_of("text/x-marker") };
    uint64_t number;
    sl_random_bytes(&number, sizeof(number));
    snprintf(marker.name, sizeof(marker.name), "marker/%016" PRIx64, number);
    snprintf(marker.content, sizeof(marker.content), "content of %016" PRIx64, ~number);
    enum sl_err err = sl_storage_create_stream_with_data(
        server.session, sl_bytes_of(marker.name), &config, sl_bytes_of(marker.content), true, NULL);
    SL_ASSERT(err == SL_OK);
    sl_buffer_printf(sent,
                     "GET /v1/stream/%s HTTP/1.1\r\nHost: marker\r\nConnection: close\r\n\r\n",
                     marker.name);
}

static void delete_stream(void *context, struct sl_bytes name)
{
    (void)context;
    enum sl_err err = sl_storage_delete(server.session, name);
    SL_ASSERT(err == SL_OK || err == SL_ERR_NOT_FOUND || err == SL_ERR_GONE);
}

static void delete_all(void)
{
    uint64_t cursor = 0;
    do {
        enum sl_err err =
            sl_storage_list_streams(server.session, sl_bytes_of(""), &cursor, delete_stream, NULL);
        SL_ASSERT(err == SL_OK);
    } while (cursor != 0);
    sl_storage_cleanup_expired_streams(server.session);
}

/* No stream and no reader is left; the server may still be busy with what a client gave up. */
static void forget_everything(void)
{
    struct sl_engine_status status;
    unsigned turns = 0;
    do {
        SL_ASSERT(turns++ < TURNS_MAX);
        delete_all();
        sched_yield();
        status = status_now();
    } while (status.streams + status.waiting_reads > 0);
}

/* ---- a conversation ---- */

static int connect_to_server(void)
{
    /* Ends with a reset, which leaves no port in TIME_WAIT. */
    struct linger linger = { .l_onoff = 1, .l_linger = 0 };
    struct timeval patience = { .tv_sec = PATIENCE_S };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    SL_ASSERT(fd >= 0);
    int failed = setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    failed |= setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    failed |= connect(fd, (struct sockaddr *)&server.address, sizeof(server.address));
    SL_ASSERT(failed == 0);
    return fd;
}

/* The server may refuse before it has everything. */
static void send_all(int fd, struct sl_bytes bytes)
{
    while (bytes.size > 0) {
        ssize_t size = send(fd, bytes.data, bytes.size, MSG_NOSIGNAL);
        if (size < 0)
            return;
        bytes = sl_bytes_from(bytes, (size_t)size);
    }
}

/* Everything until the server closes the connection. */
static void receive_all(int fd, struct sl_buffer *received)
{
    enum { STEP = 16 * 1024 };
    unsigned waits = 0;
    for (;;) {
        ssize_t size = recv(fd, sl_buffer_reserve(received, STEP), STEP, 0);
        if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR))
            return;
        if (size > 0)
            received->size += (size_t)size;
        waits = size > 0 ? 0 : waits + 1;
        SL_ASSERT(waits < PATIENCE_TURNS); /* else it neither answers nor closes */
    }
}

static void poke(unsigned how)
{
    struct sl_bytes name = sl_bytes_of(poked);
    struct sl_stream_view view;
    for (unsigned turns = 0; turns < 100 && status_now().waiting_reads == 0; turns++)
        sched_yield();
    if (sl_storage_head(server.session, name, &view) != SL_OK)
        return;
    struct sl_bytes type = sl_bytes(view.content_type, view.content_type_size);
    enum sl_err err = SL_OK;
    if (how == PLAN_POKE_END)
        err = sl_storage_delete(server.session, name);
    else if (sl_storage_append(server.session, name, type, sl_bytes_of("[1,\"\"]"), NULL) == SL_OK)
        err = sl_storage_close_stream(server.session, name, NULL);
    SL_ASSERT(err == SL_OK || err == SL_ERR_NOT_FOUND || err == SL_ERR_GONE);
}

static void converse(uint8_t flags, bool stays, struct sl_bytes sent, struct sl_buffer *received)
{
    int fd = connect_to_server();
    send_all(fd, sent);
    if (!stays)
        shutdown(fd, SHUT_WR);
    unsigned how = flags & PLAN_POKE;
    if (how == PLAN_POKE_WRITE || how == PLAN_POKE_END)
        poke(how);
    if (how != PLAN_RESET)
        receive_all(fd, received);
    close(fd);
}

/* ---- what is expected ---- */

struct expectation {
    struct http1_request requests[REQUESTS_MAX];
    size_t count;
    size_t marker;  /* index of our request; SIZE_MAX: it is not one of them */
    bool is_smooth; /* all of them are good, and none ends the connection before the marker */
};

static void expect(struct sl_bytes sent, size_t marker_start, struct expectation *expected)
{
    size_t at = 0;
    expected->count = 0;
    expected->marker = SIZE_MAX;
    expected->is_smooth = true;
    while (at < sent.size && expected->count < REQUESTS_MAX) {
        struct http1_request *request = &expected->requests[expected->count];
        *request = http1_take_request(sent, &at, BODY_SIZE_MAX);
        bool is_marker = request->start == marker_start && request->verdict <= HTTP1_ODD;
        if (is_marker)
            expected->marker = expected->count;
        if (request->verdict != HTTP1_GOOD || (request->must_close && !is_marker))
            expected->is_smooth = false;
        expected->count++;
    }
}

static bool is_refusal(const struct http1_answer *answer)
{
    return answer->status >= 400 && answer->status < 500 && answer->closes;
}

/* What only the HTTP layer below us says. */
static bool is_plain_refusal(const struct http1_answer *answer)
{
    return answer->status >= 400 &&
           sl_bytes_equal(answer->content_type, sl_bytes_of("text/plain; charset=utf-8"));
}

static void check_status(int status)
{
    static const int known[] = { 200, 201, 204, 304, 400, 403, 404,
                                 405, 409, 410, 413, 414, 417, 429 };
    bool is_known = false;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        is_known = is_known || known[i] == status;
    SL_ASSERT(is_known);
}

static void check_body(const struct http1_request *request, const struct http1_answer *answer)
{
    struct sl_bytes body = sl_buffer_bytes(&answer->body);
    static const char problem[] = "{\"type\":\"urn:sluice:error:";
    if (request->is_head || answer->status == 204 || answer->status == 304)
        return;
    if (sl_bytes_equal(answer->content_type, sl_bytes_of("application/problem+json")))
        SL_ASSERT(body.size > sizeof(problem) &&
                  memcmp(body.data, problem, sizeof(problem) - 1) == 0);
    if (answer->status != 200 || body.size == 0 || !sl_content_type_is_json(answer->content_type))
        return;
    struct sl_json_split split = { 0 };
    enum sl_err err = sl_json_split(body, &split);
    SL_ASSERT(err == SL_OK || err == SL_ERR_EMPTY_ARRAY);
    sl_json_split_deinit(&split);
}

static void check_answer(const struct http1_request *request, const struct http1_answer *answer,
                         bool is_marker)
{
    struct sl_bytes body = sl_buffer_bytes(&answer->body);
    check_status(answer->status);
    if (is_marker && !(request->verdict == HTTP1_ODD && is_refusal(answer))) {
        SL_ASSERT(answer->status == 200 && answer->closes);
        SL_ASSERT(sl_bytes_equal(body, sl_bytes_of(marker.content)));
        return;
    }
    SL_ASSERT(body.size == 0 ||
              memmem(body.data, body.size, marker.content, strlen(marker.content)) == NULL);
    if (request->verdict == HTTP1_BAD || request->verdict == HTTP1_CUT)
        SL_ASSERT(is_refusal(answer));
    if (request->verdict != HTTP1_GOOD)
        return;
    SL_ASSERT(!is_plain_refusal(answer));
    SL_ASSERT(answer->closes || !request->must_close);
    check_body(request, answer);
}

/* Nothing more was received: is that all right for this request? */
static void check_silence(const struct expectation *expected, size_t index)
{
    if (index == expected->count)
        return;
    const struct http1_request *request = &expected->requests[index];
    for (size_t i = 0; i <= index; i++)
        if (expected->requests[i].is_live)
            return;
    SL_ASSERT(request->verdict != HTTP1_GOOD);
}

static void check_answers(const struct expectation *expected, struct sl_bytes received)
{
    size_t index = 0;
    while (received.size > 0) {
        struct http1_answer answer;
        SL_ASSERT(index < expected->count); /* no answer without a request */
        const struct http1_request *request = &expected->requests[index];
        http1_take_answer(&received, request, &answer);
        bool is_interim = answer.status == 100 && request->expects;
        SL_ASSERT(!answer.cut || request->is_live);
        if (!answer.cut && !is_interim)
            check_answer(request, &answer, index == expected->marker);
        bool is_last = answer.cut || (!is_interim && answer.closes);
        http1_answer_deinit(&answer);
        index += !is_interim;
        if (is_last) {
            /* Who does not know that it was HEAD sends a body. */
            SL_ASSERT(received.size == 0 || (request->is_head && request->verdict >= HTTP1_BAD));
            return;
        }
    }
    check_silence(expected, index);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct expectation expected;
    struct sl_buffer sent = { 0 }, received = { 0 };
    if (size < PLAN_SIZE)
        return 0;
    start_server();
    sl_buffer_append(&sent, data + PLAN_SIZE, size - PLAN_SIZE);
    make_marker(&sent);
    expect(sl_buffer_bytes(&sent), size - PLAN_SIZE, &expected);
    plan_pieces(data, sent.size);
    /* Only a connection on which our request is answered is sure to end by itself. */
    bool is_answered = expected.marker != SIZE_MAX && expected.is_smooth;
    bool stays = is_answered && (data[0] & PLAN_STAY) != 0;
    converse(data[0], stays, sl_buffer_bytes(&sent), &received);
    if ((data[0] & PLAN_POKE) != PLAN_RESET)
        check_answers(&expected, sl_buffer_bytes(&received));
    forget_everything();
    sl_buffer_deinit(&sent);
    sl_buffer_deinit(&received);
    return 0;
}
