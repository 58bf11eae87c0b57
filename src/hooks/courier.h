/*
 * hooks/courier.h - carries webhooks to their receivers
 *
 * What     Signs and POSTs bodies with libcurl, a bounded number of them at once; the others wait,
 *          those to the same receiver in the order in which they came, and receivers take turns.
 * Why      A receiver may be slow, endless, hostile, or somewhere it must not be. So everything has
 *          a bound in bytes and in time; the URL is judged again when its turn comes, and every
 *          address by the call that is about to connect to it, so what a name means in between does
 *          not matter; nothing is redirected, and no proxy is asked. A connection that is kept
 *          alive is used again for the same host only, whose URL allows the same addresses.
 * Share    A receiver, which is a host whatever its port, gets one more delivery only while it has
 *          fewer than there are places free: one that hangs holds half of them, a second one half of
 *          the rest, and so on, and something is left for those that answer. It is not left to
 *          CURLMOPT_MAX_HOST_CONNECTIONS: what waits inside of libcurl holds a place, its body was
 *          signed, and its timeouts run.
 * Names    libcurl resolves them in threads of its own, which nothing can end. A delivery does not
 *          wait longer for that than for anything else, but its place stays taken, in its
 *          receiver's share, until the name is resolved: there are no more threads than places.
 * Thread   hooks. It never blocks but in sl_courier_wait().
 * Owns     Its connections. Deliveries lie in their owner's objects.
 * States   of a delivery
 *            idle     -> waiting  sl_courier_send()
 *            waiting  -> sent     sl_courier_run(): on_start() gives the body
 *            sent     -> idle     sl_courier_run(): on_done() says how it ended
 *            waiting  -> idle     the same, when the URL is refused: on_done() without on_start()
 *            any      -> idle     sl_courier_cancel(), sl_courier_destroy(): no on_done()
 * Limits   those of the setup; SL_COURIER_HEAD_SIZE_MAX
 */
#ifndef SL_HOOKS_COURIER_H
#define SL_HOOKS_COURIER_H

#include "base/buffer.h"
#include "base/link.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sl_courier;
struct sl_courier_receiver;
struct sl_courier_slot;
struct sl_keys;

enum {
    SL_COURIER_HEAD_SIZE_MAX = 16 * 1024, /* bytes of status lines and headers of one answer */
    SL_COURIER_FDS_MAX = 4,               /* descriptors of others that may be waited for */
};

struct sl_delivery {
    struct sl_link link;                  /* while it waits */
    struct sl_courier_receiver *receiver; /* unless it is idle; borrowed from the courier */
    struct sl_courier_slot *slot;         /* while it is sent; borrowed from the courier */
    const char *url;                      /* borrowed until it is idle again */
    bool is_repeated;                     /* goes by a connection of its own: when one that was kept
                                             is lost libcurl sends it by the next one, and so on */
};

struct sl_delivery_result {
    unsigned status;      /* of HTTP; 0: there was no answer */
    const char *error;    /* why there was none, static text; else NULL */
    struct sl_bytes body; /* of a 2xx, borrowed for the call; empty when it is over the limit */
};

struct sl_courier_setup {
    const struct sl_keys *keys;  /* borrowed for the courier's life */
    const char *ca_file;         /* borrowed; who is trusted; NULL: whom the system trusts */
    bool allow_local;            /* the exception for development, see hooks/webhook_url.h */
    unsigned in_flight_max;      /* places: deliveries sent at the same time; at least 1 */
    unsigned connect_timeout_ms; /* to resolve, connect and shake hands; at least 1 */
    unsigned total_timeout_ms;   /* until the answer is there; at least 1 */
    size_t answer_size_max;      /* bytes of the body of an answer */
    void *context;               /* of the functions below */
    /* Its turn has come: appends the body, which is signed right after. */
    void (*on_start)(void *context, struct sl_delivery *delivery, struct sl_buffer *body);
    /* It has ended and is idle. */
    void (*on_done)(void *context, struct sl_delivery *delivery,
                    const struct sl_delivery_result *result);
};

/* Never NULL. The caller destroys it. */
struct sl_courier *sl_courier_create(const struct sl_courier_setup *setup);
void sl_courier_destroy(struct sl_courier **courier);

/* The delivery is idle. */
void sl_courier_send(struct sl_courier *courier, struct sl_delivery *delivery);

/* Idle already: nothing happens. A receiver may have got it anyway. */
void sl_courier_cancel(struct sl_courier *courier, struct sl_delivery *delivery);

/*
 * Does what can be done now, by the running clock and the wall clock. Only in here on_start() and
 * on_done() are called; on_done() may send and cancel.
 */
void sl_courier_run(struct sl_courier *courier, uint64_t running_ms, int64_t wall_ms);

/*
 * Returns when there is something to run, or one of the fds is readable, at the latest after
 * `timeout_ms`.
 */
void sl_courier_wait(struct sl_courier *courier, const int *fds, unsigned fd_count,
                     unsigned timeout_ms);

/* Idle, with this URL. Once, before anything else; the URL may be set anew while it is idle. */
static inline void sl_delivery_init(struct sl_delivery *delivery, const char *url)
{
    sl_link_init(&delivery->link);
    delivery->receiver = NULL;
    delivery->slot = NULL;
    delivery->url = url;
    delivery->is_repeated = false;
}

static inline bool sl_delivery_is_idle(const struct sl_delivery *delivery)
{
    return delivery->receiver == NULL;
}

#ifdef __cplusplus
}
#endif
#endif
