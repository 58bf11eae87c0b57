#include "http/front.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/memory.h"
#include "http/acceptor.h"
#include "http/connection.h"
#include "http/exchange.h"
#include "http/h2o_override.h"
#include "http/handler.h"
#include "http/listener.h"

SL_STATIC_ASSERT((int)SL_ACCEPTORS_MAX <= (int)SL_SESSIONS_MAX, "every acceptor has a session");
SL_STATIC_ASSERT((int)SL_FRONT_ADDRESSES_MAX == (int)SL_LISTEN_ADDRESSES_MAX, "one limit, twice");

struct sl_front {
    h2o_globalconf_t config;                         /* of all acceptors */
    h2o_barrier_t started;                           /* all acceptors run */
    struct sl_acceptor *acceptors[SL_ACCEPTORS_MAX]; /* owned */
    unsigned acceptor_count;
    unsigned address_count;
    char urls[SL_FRONT_ADDRESSES_MAX][SL_LISTENER_URL_SIZE_MAX];
};

/* The sockets of one front: one per address and acceptor. */
struct sockets {
    int fds[SL_FRONT_ADDRESSES_MAX][SL_ACCEPTORS_MAX];
};

static bool listen_all(struct sl_front *front, const char *const *addresses,
                       struct sockets *sockets)
{
    unsigned opened = 0;

    while (opened < front->address_count &&
           sl_listener_open(addresses[opened], front->acceptor_count, sockets->fds[opened],
                            front->urls[opened]))
        opened++;
    if (opened == front->address_count)
        return true;
    while (opened > 0) {
        opened--;
        for (unsigned i = 0; i < front->acceptor_count; i++)
            close(sockets->fds[opened][i]);
    }
    return false;
}

static void configure(h2o_globalconf_t *config, const struct sl_http_options *options)
{
    sl_h2o_override();
    h2o_config_init(config);
    config->server_name = h2o_iovec_init(NULL, 0);
    config->http1.upgrade_to_http2 = 0; /* a few frames can end the process: docs say more */
    config->http1.req_timeout = options->request_timeout_ms;
    /*
     * One more than allowed, so that h2o counts chunked bodies as we do; the handler looks again.
     */
    config->max_request_entity_size = options->body_size_max + 1;
    /* No body goes to a file in /tmp. */
    h2o_socket_buffer_mmap_settings.threshold = SIZE_MAX;

    h2o_hostconf_t *host =
        h2o_config_register_host(config, h2o_iovec_init(H2O_STRLIT("default")), 65535);
    h2o_pathconf_t *path = h2o_config_register_path(host, "/", 0);
    h2o_create_handler(path, sizeof(h2o_handler_t))->on_req = sl_handler_on_request;
    h2o_create_logger(path, sizeof(h2o_logger_t))->log_access = sl_exchange_on_request_end;
    h2o_create_logger(&host->fallback_path, sizeof(h2o_logger_t))->log_access =
        sl_connection_on_refused;
}

struct sl_front *sl_front_start(struct sl_engine *engine, struct sl_metrics_registry *registry,
                                const struct sl_http_options *options, const char *const *addresses,
                                unsigned address_count)
{
    struct sl_front *front = (struct sl_front *)sl_memory_zalloc(sizeof *front);
    struct sockets sockets;

    SL_ASSERT(options->acceptors >= 1 && options->acceptors <= SL_ACCEPTORS_MAX);
    SL_ASSERT(address_count >= 1 && address_count <= SL_FRONT_ADDRESSES_MAX);
    front->acceptor_count = options->acceptors;
    front->address_count = address_count;
    if (!listen_all(front, addresses, &sockets)) {
        sl_memory_free(front);
        return NULL;
    }
    /* A client that is gone is an error of the write, not a signal. */
    signal(SIGPIPE, SIG_IGN);
    configure(&front->config, options);
    h2o_barrier_init(&front->started, front->acceptor_count + 1);
    struct sl_acceptor_shared shared = {
        .engine = engine,
        .registry = registry,
        .options = options,
        .config = &front->config,
        .started = &front->started,
    };
    for (unsigned i = 0; i < front->acceptor_count; i++) {
        int fds[SL_LISTEN_ADDRESSES_MAX];
        for (unsigned a = 0; a < address_count; a++)
            fds[a] = sockets.fds[a][i];
        front->acceptors[i] = sl_acceptor_create(&shared, fds, address_count);
    }
    h2o_barrier_wait(&front->started);
    return front;
}

const char *sl_front_url(const struct sl_front *front, unsigned index)
{
    SL_ASSERT(index < front->address_count);
    return front->urls[index];
}

void sl_front_drain(struct sl_front *front)
{
    for (unsigned i = 0; i < front->acceptor_count; i++)
        sl_acceptor_drain(front->acceptors[i]);
}

void sl_front_destroy(struct sl_front **front)
{
    struct sl_front *old = *front;

    *front = NULL;
    for (unsigned i = 0; i < old->acceptor_count; i++)
        sl_acceptor_destroy(&old->acceptors[i]);
    h2o_config_dispose(&old->config);
    sl_memory_free(old);
}
