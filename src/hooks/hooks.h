/*
 * hooks/hooks.h - subscriptions: who is woken when streams grow
 *
 * What     One thread with a session of its own. It follows the engine's streams, keeps the cursors
 *          of all subscriptions, sends webhooks and wake events, and answers the requests at __ds
 *          that the HTTP threads hand to it.
 * Why      Everything about subscriptions is decided in one place, in one order, and far from the
 *          appends: a shard does no more than note that a stream has grown (see CHANGES in
 *          sluice/operation.h).
 * Thread   open, start, drain, stop: main. submit, hold, let_go: any.
 * Owns     The subscriptions, their keys, the courier.
 *
 * Durable  What a subscription is lies in a stream of its own, __ds/subscriptions/<id>/<number>, as
 *          records (hooks/subscription_json.h). State changes at once; what shows it, an answer, a
 *          webhook, a wake event, waits until its record is durable.
 */
#ifndef SL_HOOKS_HOOKS_H
#define SL_HOOKS_HOOKS_H

#include "base/link.h"
#include "base/metrics.h"
#include "bus/inbox.h"
#include "protocol/control_body.h"
#include "sluice/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sl_hooks;
struct sli_hook;

enum {
    /* Bytes that a request may hold, before and after, within what each connection may take. */
    SL_HOOKS_SMALL_SIZE_MAX = 8 * 1024,
};

struct sl_hooks_setup {
    struct sl_engine *engine;             /* borrowed for the life of the hooks */
    struct sl_metrics_registry *registry; /* borrowed for the life of the hooks */
    const char *data_directory;           /* for the key file; NULL: keys live in memory */
    const struct sl_vfs *vfs;             /* borrowed; NULL: the operating system's */
    const char *ca_file;          /* borrowed: who is trusted; NULL: whom the system trusts */
    struct sl_bytes public_root;  /* borrowed: URL of the stream root; empty: as asked */
    bool allow_local_webhooks;    /* http to this machine, for development */
    unsigned subscriptions_max;   /* more are refused */
    unsigned links_max;           /* streams that they link, over all of them */
    size_t bytes_max;             /* of memory, for all of that; as much for requests */
    unsigned deliveries_max;      /* webhooks under way at the same time */
    unsigned delivery_timeout_ms; /* until a receiver has answered */
};

/*    action          what is asked */
#define SL_HOOKS_ACTION_LIST(X)                                                                    \
    X(PUT, "create a subscription, or say that it is there")                                       \
    X(GET, "what it is")                                                                           \
    X(DELETE, "remove it")                                                                         \
    X(ADD, "link streams by name")                                                                 \
    X(REMOVE, "link a stream by name no longer")                                                   \
    X(CALLBACK, "a webhook's worker reports")                                                      \
    X(CLAIM, "a worker wants the lease")                                                           \
    X(ACK, "a worker reports")                                                                     \
    X(RELEASE, "a worker gives the lease back")                                                    \
    X(JWKS, "the public keys")                                                                     \
    X(LIST, "all subscriptions, a page at a time, for the operator")                               \
    X(ROTATE, "another key to sign with, for the operator")

enum sl_hooks_action {
#define X(ACTION, what) SL_HOOKS_##ACTION,
    SL_HOOKS_ACTION_LIST(X)
#undef X
};

/* A request; it belongs to the hooks from submit until on_done. */
struct sl_hooks_request {
    struct sl_inbox_item item;   /* on its way */
    enum sl_hooks_action action; /* what is asked */
    struct sl_bytes id;          /* of the subscription, canonical; borrowed, as the others */
    struct sl_bytes root;        /* URL of the stream root, as the client calls it */
    struct sl_bytes token;       /* CALLBACK, ACK, RELEASE */
    struct sl_bytes stream;      /* REMOVE: canonical name; empty: there can be none */
    uint64_t cursor;             /* LIST: 0 starts; afterwards as the answer before said */
    struct sl_control_body body; /* owned by the asker; PUT may take it */
    size_t held_bytes;           /* see sl_hooks_hold(); 0 at first */
    /* Called by the hooks' thread: the request is its asker's again. */
    void (*on_done)(struct sl_hooks_request *request);
    /* the answer */
    enum sl_err err;     /* SL_OK, or what is wrong */
    const char *message; /* what is wrong, static text; NULL: as `err` says */
    bool created;        /* PUT: it was not there */
    /* owned by the asker: JSON; ROTATE: the id of the new key; an error: more members of it */
    struct sl_buffer text;
    /* the hooks' own */
    struct sl_link link;   /* in one of their lists: what it waits for */
    struct sl_link of_all; /* in another one: may it be refused? See hooks_wait.c */
    uint64_t came_ms;      /* running clock: when it was submitted */
    struct sli_hook *hook; /* borrowed: for which a job is under way */
    bool is_settled;       /* all that was appended before it came is known */
};

/*
 * Reads all subscriptions back, and compares their cursors with the streams. Sets *hooks, NULL on
 * failure; what is wrong is logged.
 * Errors: OVERLOADED (no session is left) DATA_CORRUPT, those of sl_keys_open() and of reading
 */
SL_NODISCARD enum sl_err sl_hooks_open(const struct sl_hooks_setup *setup, struct sl_hooks **hooks);
/* Begins to wake and to answer. */
void sl_hooks_start(struct sl_hooks *hooks);
/*
 * The server ends: who has no answer when this time is over is refused, also if what was asked is
 * under way. After start, once.
 */
void sl_hooks_drain(struct sl_hooks *hooks, uint64_t timeout_ms);
/*
 * Nobody submits any more. Ends the thread, if it runs; what was under way goes on at the next
 * start.
 */
void sl_hooks_stop(struct sl_hooks **hooks);

/*
 * The request holds so many more bytes of memory: what was asked, or what is answered. All
 * requests together hold at most bytes_max, but for one that nobody else is beside, and for
 * SL_HOOKS_SMALL_SIZE_MAX, which is as good as nothing. False: they would hold more, and the
 * request says what is wrong. Its asker, or the hooks while they have it.
 */
SL_NODISCARD bool sl_hooks_hold(struct sl_hooks *hooks, struct sl_hooks_request *request,
                                size_t size);
/* It holds nothing any more. Its asker; the request needs not be there beyond that. */
void sl_hooks_let_go(struct sl_hooks *hooks, struct sl_hooks_request *request);

/* The texts and the body live until on_done; all members of the answer are zero. */
void sl_hooks_submit(struct sl_hooks *hooks, struct sl_hooks_request *request);

#ifdef __cplusplus
}
#endif
#endif
