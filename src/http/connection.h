/*
 * http/connection.h - one client connection
 *
 * What     Counts connections, finds their exchange, notices clients that went away or do not read,
 *          cuts those that take too much, and lets those that were refused see why.
 * Why      h2o stops reading a socket while a request is being answered, so it sees neither the end
 *          of a connection nor a stall; it buffers whole bodies without a common budget; and it
 *          closes a connection whose client is still sending, which is answered with a reset that
 *          may overtake the answer (RFC 9112, 9.6).
 * Thread   The acceptor's.
 *
 * States   open      h2o has the socket
 *          lingers   h2o has closed its descriptor, and we have another one of the same socket: the
 *                    client hears the end of what we send, and what it sends goes nowhere, until it
 *                    ends, too, or the time is over
 *
 * Invariants
 *   (1) acceptor->connections[connection->index] == connection.
 *   (2) exchange is not NULL exactly from on_req until h2o ends the request.
 *   (3) linger_fd is not -1 only from the end of a refused request until h2o closes the socket.
 */
#ifndef SL_HTTP_CONNECTION_H
#define SL_HTTP_CONNECTION_H

#include "http/exchange.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sl_connection {
    struct sl_acceptor *acceptor; /* borrowed */
    h2o_socket_t *sock;           /* borrowed: who closes it frees the connection, or it lingers */
    struct sl_exchange *exchange; /* borrowed: the request that is being answered, or NULL */
    unsigned index;               /* in acceptor->connections */
    bool watched;                 /* in the poll, not read from */
    bool has_next;                /* until h2o reads: the poll has shown bytes of a next request */
    bool cut;                     /* shut down by us; h2o will close it soon */
    int linger_fd;                /* owned: the same socket, for the time after h2o; or -1 */
    struct sl_alarm linger_alarm; /* ends the lingering */
    /* The stall check, of what is being written, by us or by h2o itself. */
    uint64_t progress_ms; /* running clock: when the client last took something, or it began */
    uint64_t next_ask_ms; /* running clock: when the kernel is asked next; 0: nothing is written */
    uint64_t acked_bytes; /* 1 + those that the client had taken when it was asked last, or 0 */
};

/* A connection for this accepted socket; it frees itself when h2o closes the socket. */
void sl_connection_create(struct sl_acceptor *acceptor, h2o_socket_t *sock);

/* Of a request of one of our acceptors. */
struct sl_connection *sl_connection_of(h2o_req_t *req);

/* A request was refused, and h2o is about to close the connection: let it linger. */
void sl_connection_linger(struct sl_connection *connection);

/* The log_access of what h2o refuses before anybody is asked: too large a body, and such. */
void sl_connection_on_refused(h2o_logger_t *logger, h2o_req_t *req);

/*
 * Its exchange waits for the engine now. The socket stays in the poll, which h2o would leave and
 * enter again at two system calls per request, and the end of a live reader is noticed.
 */
void sl_connection_watch(struct sl_connection *connection);
/*
 * Before the last byte of an answer: h2o will read the next request. Nothing happens if unwatched.
 */
void sl_connection_unwatch(struct sl_connection *connection);

/* The client has bytes to take from now on, or no more; the stall check begins anew. */
void sl_connection_set_writing(struct sl_connection *connection, bool writing);

/* No more reading and writing; h2o closes the connection as soon as it looks at it. */
void sl_connection_cut(struct sl_connection *connection);

enum sl_look {
    SL_LOOK_PART, /* this part is done, there is a next one */
    SL_LOOK_CUT,  /* not done: as many were cut as one call may cut */
    SL_LOOK_ALL,  /* this was the last part, and the next call begins again */
};

/*
 * Looks at the next one of so many parts of all connections. Cuts those whose client took nothing
 * of an answer for the stall timeout, a few in one call.
 */
enum sl_look sl_connections_look(struct sl_acceptor *acceptor, unsigned parts);

/*
 * No look is under way, and one would find nothing but answers of h2o's own that are not taken, for
 * which there is a look every second: no client has bytes of an exchange to take.
 */
bool sl_connections_are_quiet(const struct sl_acceptor *acceptor);

/*
 * Once in a turn: cuts the largest uploads, by powers of two, until those that are left fit in the
 * acceptor's share of the budget. A body counts as long as it is kept, which is until the answer
 * was sent. They are counted when they may be too much, and again when they have grown by a
 * sixteenth of the budget.
 */
void sl_connections_keep_to_budget(struct sl_acceptor *acceptor);

/* Ends connections that wait for a next request; of those with a request nothing is lost. */
void sl_connections_close_idle(struct sl_acceptor *acceptor);

/* Cuts every connection. */
void sl_connections_cut_all(struct sl_acceptor *acceptor);

#ifdef __cplusplus
}
#endif
#endif
