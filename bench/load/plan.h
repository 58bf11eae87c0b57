/*
 * bench/load/plan.h - what a run of the generator does, as the command line says it
 *
 * What     `NAME=VALUE... ROLE NAME=VALUE... ROLE NAME=VALUE...`: first what counts for the run,
 *          then one or more roles. A role is a number of connections that all do the same thing;
 *          roles run at the same time.
 * Why      Every scenario is a few roles, so there is one program and no code per scenario.
 * Thread   Main makes it; afterwards it is constant.
 */
#ifndef LOAD_PLAN_H
#define LOAD_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    LOAD_ROLES_MAX = 8,
    LOAD_THREADS_MAX = 32,
    LOAD_DEPTH_MAX = 1024,
    LOAD_STREAMS_MAX = 100000000, /* streams have a name of 8 digits */
};

/*    kind       word         what each connection does, again and again */
#define LOAD_KIND_LIST(X)                                                                          \
    X(CREATE, "create", "PUT a stream, then the next")                                             \
    X(DELETE, "delete", "DELETE a stream, then the next")                                          \
    X(APPEND, "append", "POST to a stream")                                                        \
    X(READ, "read", "GET a stream from its start to its end, page by page")                        \
    X(LONG_POLL, "long-poll", "follow a stream from its end by long-poll")                         \
    X(SSE, "sse", "follow a stream from its end by server-sent events")

enum load_kind {
#define X(KIND, word, what) LOAD_##KIND,
    LOAD_KIND_LIST(X)
#undef X
};

/* Which stream a request is for. */
enum load_pick {
    LOAD_PICK_DEFAULT, /* append and read: random; with producers, live and etag: own; else: turn */
    LOAD_PICK_RANDOM,
    LOAD_PICK_TURN, /* one after the other */
    LOAD_PICK_OWN,  /* connection C always has stream C modulo their number */
};

struct load_role {
    enum load_kind kind;
    uint64_t connections; /* held open all the time */
    uint64_t depth;       /* requests on a connection without an answer */
    uint64_t rate;        /* requests per second, all connections; 0: as answers come */
    uint64_t count;       /* the role ends after so many requests; 0: with the run */
    uint64_t streams;     /* streams it knows */
    uint64_t size;        /* bytes of a body */
    uint64_t json;        /* messages in a body; 0: the body is no JSON */
    uint64_t producers;   /* 1: every connection is an idempotent producer */
    uint64_t lockstep;    /* 1: an append waits until all live readers have the one before */
    uint64_t etag;        /* 1: reads know the ETag and expect 304 */
    uint64_t pick;        /* enum load_pick */
    const char *set;      /* names its streams: PATH SET "/" 8 digits */
    const char *type;     /* Content-Type */
};

struct load_plan {
    const char *host;    /* IPv4 address */
    const char *path;    /* of all streams */
    uint64_t port;       /* of the server */
    uint64_t threads;    /* connections of every role are shared out among them */
    uint64_t warmup_ms;  /* under load, before the measurement */
    uint64_t measure_ms; /* 0: until every role with a count has ended */
    uint64_t drain_ms;   /* at most, for answers that are under way at the end */
    struct load_role roles[LOAD_ROLES_MAX];
    unsigned role_count;
};

/* Borrows the arguments. False: what is wrong was said, or the help was printed (*help). */
bool load_plan_parse(struct load_plan *plan, int count, char *const *arguments, bool *help);

/* Word of a kind, as on the command line. */
const char *load_kind_word(enum load_kind kind);

/* A kind that waits for data instead of asking for it. */
bool load_kind_is_live(enum load_kind kind);

#ifdef __cplusplus
}
#endif
#endif
