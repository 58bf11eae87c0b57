#include "http/connection.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/memory.h"
#include "http/h2o_override.h"
#include "http/live.h"
#include "http/reply.h"

enum {
    CONNECTIONS_CAPACITY_MIN = 64,
    /* How often the kernel is asked about a connection within the stall timeout. */
    STALL_ASKS = 8,
    /* From one look at all to the next, if nothing else gives a reason... */
    LOOK_MS = 1000,
    /* ...or if somebody may be stalled: how late one is cut. */
    STALLED_LOOK_MS = 250,
    /* In one call: with each goes what the kernel has for it, 50 us that everybody else waits. */
    CUTS_MAX = 12,
    SIZE_BITS_MAX = 64,
    /* Bytes that nobody wants, thrown away in one call. */
    UNWANTED_SIZE_MAX = 4 * 1024 * 1024,
    /* Uploads are counted again when they have grown by such a part of the budget. */
    COUNTS_PER_BUDGET = 16,
};

static void linger(struct sl_connection *connection);

static void on_close(void *context)
{
    struct sl_connection *connection = (struct sl_connection *)context;
    struct sl_acceptor *acceptor = connection->acceptor;

    SL_ASSERT(connection->exchange == NULL);
    if (connection->linger_fd >= 0) {
        linger(connection);
        return;
    }
    struct sl_connection *last = acceptor->connections[--acceptor->connection_count];
    SL_ASSERT(acceptor->connections[connection->index] == connection);
    acceptor->connections[connection->index] = last;
    last->index = connection->index;
    sl_timer_clear(&connection->linger_alarm.timer);
    sl_memory_free(connection);
    sl_metrics_subtract(acceptor->metrics, SL_METRIC_CONNECTIONS_OPEN, 1);
    sl_acceptor_on_connection_closed(acceptor);
}

static void take_socket(struct sl_connection *connection, h2o_socket_t *sock)
{
    connection->sock = sock;
    sock->on_close.cb = on_close;
    sock->on_close.data = connection;
}

/* ---- lingering ---- */

void sl_connection_linger(struct sl_connection *connection)
{
    if (!connection->cut && !connection->acceptor->draining && connection->linger_fd < 0)
        connection->linger_fd = dup(h2o_socket_get_fd(connection->sock)); /* or none is left */
}

/*
 * As recv(): TCP throws away what is asked for with MSG_TRUNC, and writes nothing. The bare call,
 * since a sanitizer takes what recv() returns for written, to NULL.
 */
static ssize_t throw_away(h2o_socket_t *sock)
{
    return syscall(SYS_recvfrom, h2o_socket_get_fd(sock), NULL, (size_t)UNWANTED_SIZE_MAX,
                   MSG_TRUNC | MSG_DONTWAIT, NULL, NULL);
}

static void on_unwanted(h2o_socket_t *sock, const char *err)
{
    ssize_t size = throw_away(sock);

    (void)err;
    if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR))
        h2o_socket_close(sock);
}

static void on_linger_end(struct sl_alarm *alarm)
{
    h2o_socket_close(SL_OBJECT(alarm, struct sl_connection, linger_alarm)->sock);
}

static void linger(struct sl_connection *connection)
{
    struct sl_acceptor *acceptor = connection->acceptor;
    int fd = connection->linger_fd;

    connection->linger_fd = -1;
    shutdown(fd, connection->cut ? SHUT_RDWR : SHUT_WR);
    take_socket(connection,
                h2o_evloop_socket_create(acceptor->h2o.loop, fd, H2O_SOCKET_FLAG_DONT_READ));
    connection->linger_alarm.on_alarm = on_linger_end;
    sl_timer_set(&acceptor->wheel, &connection->linger_alarm.timer,
                 acceptor->now_ms + SL_LINGER_MS);
    h2o_socket_read_start(connection->sock, on_unwanted);
}

void sl_connection_on_refused(h2o_logger_t *logger, h2o_req_t *req)
{
    struct sl_connection *connection = sl_connection_of(req);

    (void)logger;
    sl_metrics_request(connection->acceptor->metrics, SL_METRIC_OPERATION_OTHER, req->res.status);
    if (req->res.status == 400) /* of lengths, codings and chunks h2o is the judge */
        sl_metrics_add(connection->acceptor->metrics, SL_METRIC_FRAMING_REJECTED, 1);
    sl_connection_linger(connection);
}

/* ---- the connection ---- */

void sl_connection_create(struct sl_acceptor *acceptor, h2o_socket_t *sock)
{
    struct sl_connection *connection = (struct sl_connection *)sl_memory_alloc(sizeof *connection);

    *connection = (struct sl_connection){
        .acceptor = acceptor,
        .index = acceptor->connection_count,
        .linger_fd = -1,
    };
    sl_timer_init(&connection->linger_alarm.timer);
    if (acceptor->connection_count == acceptor->connection_capacity) {
        acceptor->connection_capacity = acceptor->connection_capacity == 0
                                            ? CONNECTIONS_CAPACITY_MIN
                                            : 2 * acceptor->connection_capacity;
        acceptor->connections = (struct sl_connection **)sl_memory_grow(
            acceptor->connections, acceptor->connection_capacity * sizeof(struct sl_connection *));
    }
    acceptor->connections[acceptor->connection_count++] = connection;
    take_socket(connection, sock);
    sl_metrics_add(acceptor->metrics, SL_METRIC_CONNECTIONS_ACCEPTED, 1);
    sl_metrics_add(acceptor->metrics, SL_METRIC_CONNECTIONS_OPEN, 1);
}

struct sl_connection *sl_connection_of(h2o_req_t *req)
{
    return (struct sl_connection *)req->conn->callbacks->get_socket(req->conn)->on_close.data;
}

/* The client closed its side, or the connection is broken; false: there is a next request. */
static bool is_at_end(struct sl_connection *connection)
{
    char byte;
    ssize_t size = recv(h2o_socket_get_fd(connection->sock), &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    return size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR);
}

static void on_watch(h2o_socket_t *sock, const char *err)
{
    struct sl_connection *connection = (struct sl_connection *)sock->on_close.data;
    struct sl_exchange *exchange = connection->exchange;

    (void)err;
    sl_acceptor_enter(connection->acceptor);
    SL_ASSERT(connection->watched);
    SL_ASSERT(exchange != NULL);
    sl_connection_unwatch(connection); /* the poll would report the same again and again */
    connection->has_next = !is_at_end(connection);
    /* Who closes one side after an ordinary request may still wait for the answer. */
    if (connection->has_next || exchange->query.live == SL_LIVE_NONE)
        return;
    sl_exchange_hold(exchange);
    sl_live_gone(exchange->acceptor->live, exchange);
    sl_reply_abort(exchange);
    sl_exchange_release(exchange);
}

void sl_connection_watch(struct sl_connection *connection)
{
    SL_ASSERT(!connection->watched);
    SL_ASSERT(connection->exchange != NULL);
    /* h2o sets bytes_read when it reads, and to 0 when it only tells us that there is something. */
    if (connection->has_next && connection->sock->bytes_read == 0)
        return; /* the poll would report it for every request that comes before it */
    connection->watched = true;
    h2o_socket_dont_read(connection->sock, 1);
    h2o_socket_read_start(connection->sock, on_watch);
}

void sl_connection_unwatch(struct sl_connection *connection)
{
    if (!connection->watched)
        return;
    connection->watched = false;
    h2o_socket_read_stop(connection->sock);
    h2o_socket_dont_read(connection->sock, 0);
}

void sl_connection_cut(struct sl_connection *connection)
{
    connection->cut = true;
    shutdown(h2o_socket_get_fd(connection->sock), SHUT_RDWR);
}

/*
 * Cuts with a reset: what the client does not take goes now, and not when the kernel gives up; and
 * one that only sends is told, whose window is closed and would otherwise stay so.
 */
static void reset(struct sl_connection *connection)
{
    struct linger at_once = { .l_onoff = 1, .l_linger = 0 };

    setsockopt(h2o_socket_get_fd(connection->sock), SOL_SOCKET, SO_LINGER, &at_once,
               sizeof at_once);
    sl_connection_cut(connection);
}

/* Not only of exchanges: h2o waits without limit for a client to take what it answers itself. */
static bool is_writing(const struct sl_connection *connection)
{
    const struct sl_exchange *exchange = connection->exchange;

    return exchange != NULL ? exchange->sending : h2o_socket_is_writing(connection->sock);
}

void sl_connection_set_writing(struct sl_connection *connection, bool writing)
{
    uint64_t now_ms = connection->acceptor->now_ms;
    uint64_t between_ms = connection->acceptor->options->stall_timeout_ms / STALL_ASKS;

    connection->progress_ms = now_ms;
    connection->next_ask_ms = writing ? now_ms + between_ms : 0;
    connection->acked_bytes = 0;
}

/*
 * For how long its client has taken nothing, once it took something. As long as we write, more goes
 * out as soon as anything is taken, and what asks a closed window to open is no data. But while data
 * is under way it may be sent again and again to nobody.
 */
static uint64_t untaken_ms(const struct tcp_info *info)
{
    return info->tcpi_unacked > 0 ? info->tcpi_last_ack_recv : info->tcpi_last_data_sent;
}

/*
 * True: it was cut, since its client took nothing of an answer for the stall timeout. What the
 * kernel says of the time is exact, but for a client that acknowledges the same again and again:
 * that one gains what lies between two questions.
 */
static bool cut_if_stalled(struct sl_connection *connection)
{
    struct sl_acceptor *acceptor = connection->acceptor;
    uint64_t timeout_ms = acceptor->options->stall_timeout_ms;
    uint64_t between_ms = timeout_ms / STALL_ASKS;
    struct tcp_info info = { 0 };
    socklen_t size = sizeof info;

    if (acceptor->now_ms < connection->next_ask_ms || connection->cut)
        return false;
    bool writing = is_writing(connection);
    if (!writing || connection->next_ask_ms == 0) { /* h2o tells nobody of what it writes itself */
        sl_connection_set_writing(connection, writing);
        return false;
    }
    if (getsockopt(h2o_socket_get_fd(connection->sock), IPPROTO_TCP, TCP_INFO, &info, &size) != 0)
        return false; /* broken: h2o will see it */
    uint64_t acked_bytes = 1 + info.tcpi_bytes_acked;
    bool has_taken = acked_bytes != connection->acked_bytes; /* since the question before */
    uint64_t ago_ms = untaken_ms(&info) < between_ms ? untaken_ms(&info) : between_ms;
    if (has_taken && acceptor->now_ms - ago_ms > connection->progress_ms)
        connection->progress_ms = acceptor->now_ms - ago_ms;
    uint64_t end_ms = connection->progress_ms + timeout_ms;
    if (!has_taken && acceptor->now_ms >= end_ms) {
        sl_metrics_add(acceptor->metrics, SL_METRIC_READERS_STALLED, 1);
        reset(connection);
        return true;
    }
    connection->acked_bytes = acked_bytes;
    connection->next_ask_ms = acceptor->now_ms + between_ms;
    if (connection->next_ask_ms > end_ms)
        connection->next_ask_ms = end_ms;
    return false;
}

/* Bytes that the connection holds of an upload, received or not. */
static size_t upload_size(const struct sl_connection *connection)
{
    size_t size = connection->sock->input->capacity;

    return connection->cut || size <= SL_H2O_INPUT_SMALL ? 0 : size;
}

/* How many bits its size has: uploads with as many count as equally large. */
static unsigned upload_bits(const struct sl_connection *connection)
{
    uint64_t size = upload_size(connection);

    return size == 0 ? 0 : SIZE_BITS_MAX - (unsigned)__builtin_clzll(size);
}

/*
 * Is the body on its way through the engine, or will it be soon? Then it is as good as gone. Not so
 * one that is kept because the client does not take the answer, or that came with a request that
 * has no use for it.
 */
static bool is_body_needed(const struct sl_connection *connection)
{
    const struct sl_exchange *exchange = connection->exchange;

    if (exchange == NULL || exchange->started)
        return false;
    const h2o_iovec_t method = exchange->req->method;
    return h2o_memis(method.base, method.len, H2O_STRLIT("PUT")) ||
           h2o_memis(method.base, method.len, H2O_STRLIT("POST"));
}

/* Cuts uploads of such a size until `*total` fits in `budget`. */
static void cut_uploads(struct sl_acceptor *acceptor, unsigned bits, uint64_t *total,
                        uint64_t budget)
{
    for (unsigned i = 0; *total > budget && i < acceptor->connection_count; i++) {
        struct sl_connection *connection = acceptor->connections[i];
        if (is_body_needed(connection) || upload_bits(connection) != bits)
            continue;
        *total -= upload_size(connection);
        reset(connection);
        while (throw_away(connection->sock) > 0) /* h2o would read it before it sees the end */
            continue;
        sl_metrics_add(acceptor->metrics, SL_METRIC_UPLOADS_CUT, 1);
    }
}

/*
 * The largest first; cutting many costs no more than a few looks at everybody. Returns the bytes of
 * those that are left.
 */
static uint64_t keep_to_budget(struct sl_acceptor *acceptor, uint64_t budget)
{
    unsigned counts[SIZE_BITS_MAX + 1] = { 0 };
    uint64_t total = 0;

    for (unsigned i = 0; i < acceptor->connection_count; i++) {
        total += upload_size(acceptor->connections[i]);
        counts[upload_bits(acceptor->connections[i])]++;
    }
    for (unsigned bits = SIZE_BITS_MAX; bits > 0 && total > budget; bits--) {
        if (counts[bits] > 0)
            cut_uploads(acceptor, bits, &total, budget);
    }
    return total;
}

void sl_connections_keep_to_budget(struct sl_acceptor *acceptor)
{
    uint64_t budget = acceptor->options->upload_budget_bytes / acceptor->options->acceptors;
    uint64_t grown = sl_h2o_growth() - acceptor->growth_seen;

    if (grown < budget / COUNTS_PER_BUDGET || acceptor->uploads + grown <= budget)
        return;
    acceptor->uploads = keep_to_budget(acceptor, budget);
    acceptor->growth_seen += grown;
}

bool sl_connections_are_quiet(const struct sl_acceptor *acceptor)
{
    uint64_t rest_ms = acceptor->sending == 0 ? LOOK_MS : STALLED_LOOK_MS;

    return acceptor->look_left == 0 && acceptor->now_ms - acceptor->look_ms < rest_ms;
}

/*
 * Downwards: whoever takes the place of one that has closed comes from above and was looked at, so
 * nobody is left out.
 */
enum sl_look sl_connections_look(struct sl_acceptor *acceptor, unsigned parts)
{
    unsigned part = acceptor->connection_count / parts + 1, cuts = 0;

    if (acceptor->look_left == 0) {
        acceptor->look_left = acceptor->connection_count;
        acceptor->look_ms = acceptor->now_ms;
    }
    if (acceptor->look_left > acceptor->connection_count)
        acceptor->look_left = acceptor->connection_count;
    while (part-- > 0 && acceptor->look_left > 0 && cuts < CUTS_MAX)
        cuts += cut_if_stalled(acceptor->connections[--acceptor->look_left]);
    if (acceptor->look_left > 0)
        return cuts < CUTS_MAX ? SL_LOOK_PART : SL_LOOK_CUT;
    return SL_LOOK_ALL;
}

void sl_connections_close_idle(struct sl_acceptor *acceptor)
{
    for (unsigned i = 0; i < acceptor->connection_count; i++) {
        struct sl_connection *connection = acceptor->connections[i];
        /* What its kernel has received and h2o has not read yet is still read and answered. */
        if (connection->exchange == NULL && connection->sock->input->size == 0)
            shutdown(h2o_socket_get_fd(connection->sock), SHUT_RD);
    }
}

void sl_connections_cut_all(struct sl_acceptor *acceptor)
{
    for (unsigned i = 0; i < acceptor->connection_count; i++)
        sl_connection_cut(acceptor->connections[i]);
}
