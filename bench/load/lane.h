/*
 * bench/load/lane.h - one thread's share of one role
 *
 * What     Connections that all do what the role says, when the next request is due, and what was
 *          measured.
 * Why      A lane belongs to one thread and shares nothing that is written, so measuring costs no
 *          locks; the lanes of a role are summed when the run is over.
 * Thread   Its worker, but for what `progress` holds.
 *
 * Time     A closed loop (rate 0) asks when an answer is there, and its latency counts from then.
 *          An open loop has an instant for every request, which does not depend on answers: when no
 *          connection is free the request goes out late, and its latency counts from that instant
 *          all the same. So a server that stalls is charged for every request that it delayed.
 */
#ifndef LOAD_LANE_H
#define LOAD_LANE_H

#include "load/histogram.h"
#include "load/request.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    LOAD_STATUS_MAX = 600,
};

/* The instants of a run; 0: not known yet. Written by main before the workers look at it. */
struct load_window {
    uint64_t begin_ns; /* requests start */
    uint64_t start_ns; /* the measurement starts */
    uint64_t end_ns;   /* the measurement ends, and new requests do */
};

/* What main reads while the workers run; relaxed, each value on its own. */
struct load_progress {
    uint64_t answered;    /* good answers so far */
    uint64_t delivered;   /* messages that live readers got so far */
    uint64_t ready;       /* connections that stand, or never will */
    uint64_t in_flight;   /* requests without an answer; of a live role none */
    uint64_t finished_ns; /* when the count was reached and everything answered; 0: not yet */
};

/* What happened within the window. */
struct load_result {
    uint64_t status[LOAD_STATUS_MAX]; /* answers by status */
    uint64_t retry_after;             /* of them with Retry-After */
    uint64_t operations;              /* good ones: a read is one whatever its pages */
    uint64_t bytes_received;
    uint64_t deliveries;            /* messages that a live reader got */
    uint64_t refused;               /* connections that could not be made */
    uint64_t lost;                  /* requests whose connection ended before the answer */
    uint64_t bad;                   /* answers that are no HTTP/1.1 */
    uint64_t unfinished;            /* requests without an answer when the drain was over */
    struct load_histogram latency;  /* of good answers, from the instant of the request */
    struct load_histogram service;  /* the same, from when it was sent */
    struct load_histogram delivery; /* from the instant of the append to the reader */
    uint64_t connection_least;      /* good answers of the connection that got fewest */
    uint64_t connection_most;
};

struct load_worker;
struct load_connection;

struct load_lane {
    struct load_worker *worker;          /* borrowed: the thread's */
    const struct load_role *role;        /* borrowed: from the plan */
    const struct load_request *request;  /* borrowed: from the run */
    const struct load_request *look;     /* borrowed: from the run; for live roles */
    struct load_connection *connections; /* owned */
    uint64_t connection_count;
    uint64_t connection_first;     /* number of its first connection in the role */
    uint64_t connected;            /* connections begun */
    uint64_t connecting;           /* of them not answered by the server yet */
    uint64_t turn;                 /* next stream of LOAD_PICK_TURN */
    uint64_t left;                 /* requests of the count still to be begun */
    uint64_t deliveries_wanted;    /* before the next request, in lockstep */
    uint64_t random;               /* state of the generator of stream numbers */
    double due_ns;                 /* instant of the next request of an open loop */
    double interval_ns;            /* between two of them; 0: closed loop */
    struct load_connection **free; /* owned: ring of connections with room, open loop only */
    uint64_t free_head;            /* the longest free one */
    uint64_t free_count;
    struct load_progress progress;
    struct load_result result;
};

/* The share of the worker in role `role` of the plan. */
void load_lane_init(struct load_lane *lane, struct load_worker *worker, unsigned role);
void load_lane_deinit(struct load_lane *lane);

/* Begins connections, as many as may be waiting for the server at a time. */
void load_lane_connect(struct load_lane *lane);

/* The run begins: a closed loop sends its first requests. */
void load_lane_begin(struct load_lane *lane, uint64_t now_ns);

/* Sends what is due. */
void load_lane_pace(struct load_lane *lane, uint64_t now_ns);

/* Nanoseconds until something is due; UINT64_MAX: nothing before an answer. */
uint64_t load_lane_wait_ns(const struct load_lane *lane, uint64_t now_ns);

/* The connection can be read, written, or is at its end. */
void load_lane_on_event(struct load_lane *lane, struct load_connection *connection,
                        uint32_t events);

/* Counts what never got an answer, and the least and the most of a connection. */
void load_lane_end(struct load_lane *lane, uint64_t now_ns);

#ifdef __cplusplus
}
#endif
#endif
