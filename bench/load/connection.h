/*
 * bench/load/connection.h - a socket, what is still to be sent, what is waited for
 *
 * What     Non-blocking connect, send and receive; the requests under way in their order.
 * Why      One send for a batch of requests and one receive for a batch of answers: the system
 *          calls are what a generator spends its time with.
 * Thread   Its worker.
 *
 * States   closed (fd < 0) -> load_connection_open() -> connecting -> load_connection_connected()
 *          -> open -> load_connection_close() -> closed
 */
#ifndef LOAD_CONNECTION_H
#define LOAD_CONNECTION_H

#include "base/buffer.h"
#include "load/plan.h"
#include "load/response.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    LOAD_RECEIVE_SIZE = 256 * 1024, /* bytes taken at a time */
    /* Connections from one source address; the kernel has 28,000 ports for each by default. */
    LOAD_SOURCE_CONNECTIONS_MAX = 20000,
};

/* A request without an answer. */
struct load_flight {
    uint64_t due_ns;  /* when it had to be sent */
    uint64_t sent_ns; /* when it was */
};

struct load_lane;

struct load_connection {
    struct load_lane *lane;  /* borrowed: that it belongs to */
    int fd;                  /* < 0: closed */
    bool connecting;         /* the server has not answered yet */
    bool wants_write;        /* epoll tells when it can be written */
    bool is_ready;           /* was counted as ready */
    bool is_free;            /* is in its lane's ring of free ones */
    bool is_retired;         /* does nothing any more */
    uint8_t mark_digits;     /* digits of a time that were read, counted from 1; 0: in none */
    uint64_t mark;           /* of the time that is being read */
    uint64_t number;         /* in its role */
    uint64_t stream;         /* of the request under way; for a reader */
    uint64_t sequence;       /* of its producer: next one */
    uint64_t answered;       /* good answers within the window */
    struct load_word offset; /* a reader's position */
    struct load_word etag;   /* a reader's condition */
    struct load_response response;
    struct sl_buffer carry;      /* start of a line whose end is still to come */
    struct sl_buffer pending;    /* what the socket did not take */
    size_t pending_at;           /* bytes of it that it took since */
    size_t filling_left;         /* bytes of the filling behind that */
    struct load_flight *flights; /* owned: ring of `depth` requests */
    uint64_t flight_head;        /* the oldest */
    uint64_t in_flight;
};

/* Begins to connect, within epoll `epoll`. False: no. */
bool load_connection_open(struct load_connection *connection, const struct load_plan *plan,
                          int epoll);
/* The socket is writable for the first time: true when the connection stands. */
bool load_connection_connected(struct load_connection *connection, int epoll);
/* Forgets what was under way. */
void load_connection_close(struct load_connection *connection);

/* Sends `text` and `filling` bytes behind it; what the socket does not take is kept for flush. */
bool load_connection_send(struct load_connection *connection, int epoll, struct sl_bytes text,
                          const uint8_t *filling, size_t filling_size);
/* Goes on with what was kept. False: the connection is broken. */
bool load_connection_flush(struct load_connection *connection, int epoll, const uint8_t *filling);

/* Whether something was kept: nothing can be sent now. */
static inline bool load_connection_is_stuck(const struct load_connection *connection)
{
    return connection->pending.size > 0 || connection->filling_left > 0;
}

/*
 * Receives behind what was carried into `buffer` of 2 * LOAD_RECEIVE_SIZE. Returns how many bytes
 * of the server came; 0: its end; < 0: nothing now, or an error (*broken).
 */
int64_t load_connection_receive(struct load_connection *connection, uint8_t *buffer,
                                struct sl_bytes *input, bool *broken);

#ifdef __cplusplus
}
#endif
#endif
