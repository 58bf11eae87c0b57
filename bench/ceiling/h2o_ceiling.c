/*
 * bench/ceiling/h2o_ceiling.c - what h2o alone can do
 *
 * What     h2o with the settings of our front and nothing behind it: POST is answered 204, GET with
 *          1 KiB.
 * Why      The HTTP library bounds every number that we measure; ours are compared with this one.
 * Use      h2o_ceiling THREADS PORT, then wrk against it and against sluice, taking turns.
 */
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <h2o.h>

enum {
    THREADS_MAX = 32,
    BODY_SIZE = 1024,
    ACCEPT_BATCH_MAX = 32,
    BACKLOG = 4096,
};

struct thread {
    pthread_t id;
    h2o_context_t context;
    h2o_accept_ctx_t accept;
};

static h2o_globalconf_t config;
static unsigned short port;
static char body[BODY_SIZE];

static int on_request(h2o_handler_t *handler, h2o_req_t *req)
{
    static h2o_generator_t generator;
    h2o_iovec_t buf = { body, sizeof body };
    size_t count = 0;

    (void)handler;
    req->res.status = 204;
    req->res.reason = "No Content";
    if (h2o_memis(req->method.base, req->method.len, H2O_STRLIT("GET"))) {
        req->res.status = 200;
        req->res.reason = "OK";
        req->res.content_length = sizeof body;
        count = 1;
    }
    h2o_start_response(req, &generator);
    h2o_send(req, &buf, count, H2O_SEND_STATE_FINAL);
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

static int listen_on_port(void)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr = { htonl(INADDR_LOOPBACK) },
    };
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, BACKLOG) != 0) {
        fprintf(stderr, "h2o_ceiling: port %u: %s\n", port, strerror(errno));
        exit(1);
    }
    return fd;
}

static void *run(void *argument)
{
    struct thread *thread = (struct thread *)argument;

    h2o_context_init(&thread->context, h2o_evloop_create(), &config);
    thread->accept = (h2o_accept_ctx_t){ .ctx = &thread->context, .hosts = config.hosts };
    h2o_socket_t *listener =
        h2o_evloop_socket_create(thread->context.loop, listen_on_port(), H2O_SOCKET_FLAG_DONT_READ);
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
}

int main(int argument_count, char **arguments)
{
    static struct thread threads[THREADS_MAX];
    int count = argument_count == 3 ? (int)strtol(arguments[1], NULL, 10) : 0;

    if (count < 1 || count > THREADS_MAX) {
        fprintf(stderr, "usage: h2o_ceiling THREADS PORT\n");
        return 1;
    }
    port = (unsigned short)strtoul(arguments[2], NULL, 10);
    memset(body, 'x', sizeof body);
    signal(SIGPIPE, SIG_IGN);
    configure();
    for (int i = 0; i < count; i++)
        pthread_create(&threads[i].id, NULL, run, &threads[i]);
    printf("h2o_ceiling ready on http://127.0.0.1:%u\n", port);
    fflush(stdout);
    for (int i = 0; i < count; i++)
        pthread_join(threads[i].id, NULL);
    return 0;
}
