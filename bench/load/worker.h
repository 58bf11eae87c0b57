/*
 * bench/load/worker.h - a thread of the generator: one epoll, a lane of every role
 *
 * What     Waits for sockets and for instants, and lets the lanes do the rest.
 * Thread   Its own; main starts and joins it.
 */
#ifndef LOAD_WORKER_H
#define LOAD_WORKER_H

#include "load/lane.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What all threads of a run look at. */
struct load_run {
    const struct load_plan *plan;                 /* borrowed: from main */
    struct load_request requests[LOAD_ROLES_MAX]; /* of each role */
    struct load_request looks[LOAD_ROLES_MAX];    /* of each live role */
    uint8_t *filling;                             /* owned: of the largest body */
    struct load_window window; /* written by main; begin_ns last, released to the workers */
    uint64_t stop;             /* 1: the workers end; relaxed */
};

struct load_worker {
    struct load_run *run;      /* borrowed: from main */
    unsigned index;            /* which thread it is */
    int epoll;                 /* owned */
    struct sl_thread *thread;  /* owned */
    struct load_window window; /* as of the last look */
    uint8_t *in;               /* owned: what is received, of one connection at a time */
    struct sl_buffer out;      /* requests of one send */
    struct load_lane lanes[LOAD_ROLES_MAX]; /* its share of each role */
};

/* Starts the thread, which connects. */
void load_worker_start(struct load_worker *worker, struct load_run *run, unsigned index);
/* Waits for its end, which run->stop brings about. */
void load_worker_join(struct load_worker *worker);
void load_worker_deinit(struct load_worker *worker);

#ifdef __cplusplus
}
#endif
#endif
