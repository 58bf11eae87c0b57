/*
 * http/acceptor.h - one HTTP thread: listeners, connections, one h2o loop, one engine session
 *
 * What     Runs an h2o event loop and a session in one thread; hands requests to the handler and
 *          finished operations to whoever submitted them.
 * Why      Acceptors share nothing: a connection, its requests and its live readers stay with the
 *          acceptor that accepted it.
 * Thread   The acceptor's own, except create, drain and destroy (main).
 *
 * A turn   clocks; operations that are done; timers; live readers; sleep flag; h2o: sockets and its
 *          timers. Every step but the last is bounded, and none blocks.
 */
#ifndef SL_HTTP_ACCEPTOR_H
#define SL_HTTP_ACCEPTOR_H

#include <stdbool.h>
#include <stdint.h>

#include <h2o.h>

#include "base/link.h"
#include "base/metrics.h"
#include "base/timer_wheel.h"
#include "http/options.h"
#include "sluice/session.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Put into `context` of every operation: who is told when it is done. Embedded in its owner, which
 * finds itself by SL_OBJECT(). The owner puts the operation back when it needs its results no more.
 */
struct sl_completion {
    void (*on_done)(struct sl_completion *completion, struct sl_operation *op);
};

/*
 * A timer of an acceptor's wheel: set by sl_timer_set(&acceptor->wheel, &alarm->timer, ...), called
 * by the loop when its time has come. Every timer in that wheel is one of these.
 */
struct sl_alarm {
    struct sl_timer timer;
    void (*on_alarm)(struct sl_alarm *alarm);
};

enum {
    SL_LISTEN_ADDRESSES_MAX = 16,
};

struct sl_connection;
struct sl_live;
struct sl_thread;

/* What all acceptors have in common; written before they start. */
struct sl_acceptor_shared {
    struct sl_engine *engine;              /* borrowed */
    struct sl_metrics_registry *registry;  /* borrowed */
    const struct sl_http_options *options; /* borrowed */
    h2o_globalconf_t *config;              /* borrowed: read-only once the acceptors run */
    h2o_barrier_t *started;                /* borrowed: every acceptor and main */
};

struct sl_acceptor {
    struct sl_session *session;            /* owned */
    struct sl_metrics *metrics;            /* borrowed: from the registry, for the process's life */
    const struct sl_http_options *options; /* borrowed: for the acceptor's life */
    struct sl_live *live;                  /* owned: long-polls and SSE responses */
    struct sl_timer_wheel wheel; /* of struct sl_alarm: everything that waits for a time */
    uint64_t now_ms;             /* running clock, read at least once per turn */
    int64_t wall_ms;             /* wall clock of the start, gone on with it: it never jumps */
    uint64_t history_id;         /* of the engine, part of every ETag */
    int64_t wall_offset_ms;      /* between these two */
    bool draining;               /* no new requests; live ones are being ended */
    /* the acceptor's own */
    struct sl_acceptor_shared shared;
    struct sl_thread *thread; /* owned: by main */
    h2o_context_t h2o;        /* the handler finds the acceptor by it */
    h2o_accept_ctx_t accept_context;
    h2o_socket_t *session_sock; /* owned: readable when the session has something */
    h2o_socket_t *listeners[SL_LISTEN_ADDRESSES_MAX]; /* owned: until the drain */
    int listener_fds[SL_LISTEN_ADDRESSES_MAX]; /* handed to `listeners` when the thread starts */
    unsigned listener_count;                   /* of both */
    bool accepting;                            /* the listeners are being read */
    bool asleep;                               /* h2o may wait: the clocks stand still */
    h2o_multithread_receiver_t control;        /* how main talks to this thread */
    h2o_multithread_message_t drain_message;   /* the one thing it has to say */
    h2o_multithread_receiver_t answered;       /* how the hooks give requests back */
    unsigned control_count;                    /* requests that the hooks have */
    struct sl_alarm accept_alarm;              /* tries again when descriptors ran out */
    struct sl_alarm housekeeping_alarm;        /* at least every 100 ms with connections */
    uint64_t accept_failed_ms;                 /* running clock: when a failure was last logged */
    uint64_t look_ms;                          /* running clock: when the last look at all began */
    unsigned look_left;             /* connections below are still to be looked at, or 0 */
    uint64_t uploads;               /* bytes of uploads when they were last counted */
    uint64_t growth_seen;           /* sl_h2o_growth() then */
    unsigned sending;               /* exchanges whose client has bytes to take */
    struct sl_buffer head;          /* owned: of the answer that is being made: see reply.c */
    bool finishing;                 /* h2o is told that an answer is out: see reply.c */
    uint64_t drain_deadline_ms;     /* running clock: then everything is cut */
    uint64_t turn_begun_ns;         /* running clock; h2o reads, then comes work() */
    uint64_t large_ns;              /* of this turn: what requests with large bodies took */
    struct sl_link large_requests;  /* of struct sl_exchange: nobody has looked at their bodies */
    struct sl_link spare_exchanges; /* owned: of struct sl_exchange, to be used again */
    unsigned spare_exchange_count;  /* of `spare_exchanges` */
    struct sl_connection **connections; /* owned: all of them, in no order */
    unsigned connection_count;          /* of `connections` */
    unsigned connection_capacity;       /* entries of `connections` */
    unsigned connections_max;           /* this acceptor's share */
};

/*
 * Starts the thread. Takes the descriptors, which listen; they are closed by the drain. Returns
 * before the thread is ready: main waits at the barrier.
 */
struct sl_acceptor *sl_acceptor_create(const struct sl_acceptor_shared *shared,
                                       const int *listener_fds, unsigned listener_count);

/*
 * Lets the thread end: when everything is answered, or after the drain timeout. Any thread; once.
 */
void sl_acceptor_drain(struct sl_acceptor *acceptor);

/* Waits for the thread, which was told to drain, and frees everything. */
void sl_acceptor_destroy(struct sl_acceptor **acceptor);

/* After sleep: reads the clocks, tells the shards that nobody needs to wake us. */
void sl_acceptor_wake(struct sl_acceptor *acceptor);

/* First thing in every callback of h2o that looks at the time. */
static inline void sl_acceptor_enter(struct sl_acceptor *acceptor)
{
    if (acceptor->asleep)
        sl_acceptor_wake(acceptor);
}

/* A connection has been closed: there is room for another one. */
void sl_acceptor_on_connection_closed(struct sl_acceptor *acceptor);

#ifdef __cplusplus
}
#endif
#endif
