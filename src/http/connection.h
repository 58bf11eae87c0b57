/*
 * http/connection.h - one client connection
 *
 * What     Counts connections, finds their exchange, notices clients that went away or do not read,
 *          and cuts those that take too much.
 * Why      h2o stops reading a socket while a request is being answered, so it sees neither the end
 *          of a connection nor a stall; and it buffers whole bodies without a common budget.
 * Thread   The acceptor's.
 *
 * Invariants
 *   (1) acceptor->connections[connection->index] == connection.
 *   (2) exchange is not NULL exactly from on_req until h2o ends the request.
 */
#ifndef SL_HTTP_CONNECTION_H
#define SL_HTTP_CONNECTION_H

#include "http/exchange.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sl_connection {
    struct sl_acceptor *acceptor; /* borrowed */
    h2o_socket_t *sock;           /* borrowed: h2o closes it, which frees the connection */
    struct sl_exchange *exchange; /* borrowed: the request that is being answered, or NULL */
    unsigned index;               /* in acceptor->connections */
    bool watched;                 /* in the poll, not read from */
    bool cut;                     /* shut down by us; h2o will close it soon */
};

/* A connection for this accepted socket; it frees itself when h2o closes the socket. */
void sl_connection_create(struct sl_acceptor *acceptor, h2o_socket_t *sock);

/* Of a request of one of our acceptors. */
struct sl_connection *sl_connection_of(h2o_req_t *req);

/*
 * Its exchange waits for the engine now. The socket stays in the poll, which h2o would leave and
 * enter again at two system calls per request, and the end of a live reader is noticed.
 */
void sl_connection_watch(struct sl_connection *connection);
/*
 * Before the last byte of an answer: h2o will read the next request. Nothing happens if unwatched.
 */
void sl_connection_unwatch(struct sl_connection *connection);

/* No more reading and writing; h2o closes the connection as soon as it looks at it. */
void sl_connection_cut(struct sl_connection *connection);

/* Cuts the connections whose client took nothing of an answer for the stall timeout. */
void sl_connections_check_stalls(struct sl_acceptor *acceptor);

/* Cuts the largest uploads until those that are left fit in the acceptor's share of the budget. */
void sl_connections_check_uploads(struct sl_acceptor *acceptor);

/* Ends connections that wait for a next request; of those with a request nothing is lost. */
void sl_connections_close_idle(struct sl_acceptor *acceptor);

/* Cuts every connection. */
void sl_connections_cut_all(struct sl_acceptor *acceptor);

#ifdef __cplusplus
}
#endif
#endif
