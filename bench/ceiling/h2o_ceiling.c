/*
 * bench/ceiling/h2o_ceiling.c - what h2o alone can do
 *
 * What     h2o with the settings of our front and nothing behind it: POST and DELETE are answered
 *          204 and PUT 201 with no headers of ours, GET with 1 KiB and the headers that ours has, or
 *          304 if it has an If-None-Match.
 * Why      The HTTP library bounds every number that we measure; ours are compared with this one.
 */
#include "ceiling.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <h2o.h>

enum {
    THREADS_MAX = 32,
    BODY_SIZE = 1024,
    ACCEPT_BATCH_MAX = 32,
};

struct thread {
    pthread_t id;
    int listener; /* listens before the program says that it is ready */
    h2o_context_t context;
    h2o_accept_ctx_t accept;
};

/* What ours sends with a catch-up read besides what h2o adds by itself. */
static struct {
    h2o_iovec_t name;
    const char *value;
} headers[] = {
    { { H2O_STRLIT("X-Content-Type-Options") }, "nosniff" },
    { { H2O_STRLIT("Cross-Origin-Resource-Policy") }, "cross-origin" },
    { { H2O_STRLIT("Access-Control-Allow-Origin") }, "*" },
    { { H2O_STRLIT("Access-Control-Expose-Headers") }, "*" },
    { { H2O_STRLIT("Cache-Control") }, "public, max-age=60, stale-while-revalidate=300" },
    { { H2O_STRLIT("Content-Type") }, "application/octet-stream" },
    { { H2O_STRLIT("Stream-Next-Offset") }, "0000000000000000_0000000000001024" },
    { { H2O_STRLIT("Stream-Up-To-Date") }, "true" },
    { { H2O_STRLIT("ETag") }, "\"cf19c7cc3c42e934-100:-1:0000000000000000_0000000000001024\"" },
};

enum {
    HEADER_COUNT = sizeof headers / sizeof *headers,
};

static h2o_globalconf_t config;
static char body[BODY_SIZE];
static h2o_header_t ready_headers[HEADER_COUNT]; /* as h2o wants them */

static void answer(h2o_req_t *req, int status, const char *reason, size_t size)
{
    static h2o_generator_t generator;
    h2o_iovec_t buf = { body, size };

    req->res.status = status;
    req->res.reason = reason;
    req->res.content_length = status == 204 || status == 304 ? SIZE_MAX : size;
    h2o_start_response(req, &generator);
    h2o_send(req, &buf, size != 0, H2O_SEND_STATE_FINAL);
}

static int on_request(h2o_handler_t *handler, h2o_req_t *req)
{
    (void)handler;
    if (h2o_memis(req->method.base, req->method.len, H2O_STRLIT("GET"))) {
        h2o_vector_reserve(&req->pool, &req->res.headers, HEADER_COUNT);
        memcpy(req->res.headers.entries, ready_headers, sizeof ready_headers);
        req->res.headers.size = HEADER_COUNT;
        if (h2o_find_header(&req->headers, H2O_TOKEN_IF_NONE_MATCH, -1) >= 0)
            answer(req, 304, "Not Modified", 0);
        else
            answer(req, 200, "OK", sizeof body);
    } else if (h2o_memis(req->method.base, req->method.len, H2O_STRLIT("PUT"))) {
        answer(req, 201, "Created", 0);
    } else {
        answer(req, 204, "No Content", 0);
    }
    return 0;
}

static void on_accept(h2o_socket_t *listener, const char *err)
{
    struct thread *thread = (struct thread *)listener->data;

    for (int i = 0; err == NULL && i < ACCEPT_BATCH_MAX; i++) {
        h2o_socket_t *sock = h2o_evloop_socket_accept(listener);
        if (sock == NULL)
            return;
        h2o_accept(&thread->accept, sock);
    }
}

static void *run(void *argument)
{
    struct thread *thread = (struct thread *)argument;

    h2o_context_init(&thread->context, h2o_evloop_create(), &config);
    thread->accept = (h2o_accept_ctx_t){ .ctx = &thread->context, .hosts = config.hosts };
    h2o_socket_t *listener =
        h2o_evloop_socket_create(thread->context.loop, thread->listener, H2O_SOCKET_FLAG_DONT_READ);
    listener->data = thread;
    h2o_socket_read_start(listener, on_accept);
    for (;;)
        h2o_evloop_run(thread->context.loop, INT32_MAX);
    return NULL;
}

static void configure(void)
{
    h2o_config_init(&config);
    config.server_name = h2o_iovec_init(NULL, 0);
    config.http1.upgrade_to_http2 = 0;
    config.http1.req_timeout = 60000;
    h2o_hostconf_t *host =
        h2o_config_register_host(&config, h2o_iovec_init(H2O_STRLIT("default")), 65535);
    h2o_pathconf_t *path = h2o_config_register_path(host, "/", 0);
    h2o_create_handler(path, sizeof(h2o_handler_t))->on_req = on_request;
    for (size_t i = 0; i < HEADER_COUNT; i++)
        ready_headers[i] = (h2o_header_t){
            .name = &headers[i].name,
            .value = h2o_iovec_init(headers[i].value, strlen(headers[i].value)),
        };
}

int main(int argument_count, char **arguments)
{
    static struct thread threads[THREADS_MAX];
    struct ceiling_option options[] = { { "--port", "4438" }, { "--threads", "1" } };

    ceiling_parse(argument_count, arguments, options, 2);
    unsigned short port = (unsigned short)ceiling_number(&options[0], 1, UINT16_MAX);
    unsigned long count = ceiling_number(&options[1], 1, THREADS_MAX);
    ceiling_raise_files();
    memset(body, 'x', sizeof body);
    signal(SIGPIPE, SIG_IGN);
    configure();
    for (unsigned long i = 0; i < count; i++)
        threads[i].listener = ceiling_listen(port);
    for (unsigned long i = 0; i < count; i++)
        pthread_create(&threads[i].id, NULL, run, &threads[i]);
    printf("h2o_ceiling ready on http://127.0.0.1:%u\n", port);
    fflush(stdout);
    for (unsigned long i = 0; i < count; i++)
        pthread_join(threads[i].id, NULL);
    return 0;
}
