/*
 * hooks/subscription.h - one subscription: its cursors and the life of its wakes
 *
 * What     The state machine of protocol sections 6 and 7 for a single subscription. Decides and
 *          applies, in memory, without waiting for anything.
 * Why      Everything here is a function of the subscription, the arguments and the time that is
 *          passed in; what has to be sent or written follows from the state (see hooks.h).
 * Thread   That of the hooks.
 *
 * States   idle -> waking          sl_subscription_wake(): there are unread bytes, and nothing to
 *                                  wait for before the next attempt
 *          waking -> held          sl_subscription_claim(), pull-wake
 *          waking, held -> idle    sl_subscription_end_wake(): done, released, the lease ran out
 *
 * Issued      A wake is issued when its webhook or its event is on its way or out. One that fails
 *             is no longer, and is issued again at next_attempt_ms.
 * Not kept    Why the last one failed: after a restart, the next failure says it.
 *
 * Invariants  (1) pending_count is the number of cursors that are pending
 *             (2) a wake has an id exactly while the subscription is not idle
 *             (3) held implies pull-wake, a worker and a lease
 *             all checked by sl_subscription_check()
 */
#ifndef SL_HOOKS_SUBSCRIPTION_H
#define SL_HOOKS_SUBSCRIPTION_H

#include "base/buffer.h"
#include "base/link.h"
#include "base/table.h"
#include "protocol/control_body.h"
#include "protocol/glob.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    SL_WAKE_ID_SIZE = 26,              /* "w_" and 24 hexadecimal digits */
    SL_WAKE_RANDOM_SIZE = 12,          /* bytes that those digits say */
    SL_SUBSCRIPTION_ID_SIZE_MAX = 255, /* bytes of an id, percent-encoded */
    SL_RETRY_FIRST_MS = 1000,        /* after the first failure; doubled by each one after it ... */
    SL_RETRY_LONGEST_MS = 60 * 1000, /* ... up to here, */
    SL_RETRY_JITTER_PARTS = 5,       /* and one part in so many more or less. Protocol 7.1 */
};

enum sl_subscription_phase {
    SL_SUBSCRIPTION_IDLE,
    SL_SUBSCRIPTION_WAKING,
    SL_SUBSCRIPTION_HELD,
};

/* A stream that subscriptions link. */
struct sl_followed {
    struct sl_table_node node; /* by name, in the registry */
    struct sl_link cursors;    /* of struct sl_cursor */
    size_t cursor_count;
    uint64_t id;            /* incarnation; 0: there is no such stream */
    uint64_t tail;          /* the last that was told */
    uint32_t matched_epoch; /* when it was compared with all patterns; 0: never */
    bool is_followed;       /* its shard knows that it is wanted */
    uint16_t name_size;     /* bytes of name */
    char name[1];           /* canonical; allocated behind */
};

/* Where a subscription stands in a stream: a link of the protocol. */
struct sl_cursor {
    struct sl_link of_stream;             /* in stream->cursors */
    struct sl_link of_subscription;       /* in subscription->cursors */
    struct sl_link unwritten;             /* in subscription->unwritten, or in no list */
    struct sl_followed *stream;           /* borrowed: as long as it has cursors */
    struct sl_subscription *subscription; /* borrowed: it owns the cursor */
    int64_t acked;                        /* offset, inclusive; -1: before the first byte */
    uint64_t stream_id;                   /* incarnation that `acked` is of; 0: none was there */
    uint64_t snapshot;                    /* tail of the stream when the wake began */
    uint64_t renewed_in; /* wake of this generation: whoever works on it was told of
                                             a link to another incarnation; 0: none */
    bool is_placed;      /* `acked` counts; until then it is not pending */
    bool in_wake;        /* `snapshot` counts: it was linked before */
    bool is_explicit;    /* asked for by name */
    bool is_glob;        /* the pattern matches */
    bool is_pending;     /* the stream has more than was acked */
};

/* Why a wake did not reach anybody. */
struct sl_failure {
    const char *reason; /* static text; NULL: none is known */
    unsigned status;    /* of HTTP; 0: there was no answer */
};

struct sl_subscription {
    struct sl_table_node node;     /* by id, in the registry */
    struct sl_link of_index;       /* among the patterns of its prefix, or in no list */
    size_t counted_bytes;          /* of it, in the sum of the registry */
    struct sl_buffer id;           /* owned: percent-encoded, canonical */
    struct sl_control_body config; /* owned: as asked for */
    struct sl_glob *glob;          /* owned, or NULL: there is no pattern */
    struct sl_buffer root;         /* owned: URL of the stream root, as its maker called it */
    uint64_t incarnation;          /* random: another one when the id is used again */
    int64_t created_at_ms;         /* wall clock */
    /* cursors */
    struct sl_link cursors; /* of struct sl_cursor, in the order in which they were linked */
    size_t cursor_count;
    size_t names_size; /* bytes of the names of their streams */
    size_t pending_count;
    struct sl_link of_pending; /* in the list of those with unread bytes, oldest first */
    uint64_t pending_since_ms; /* running clock; while pending_count > 0 */
    /* the wake */
    enum sl_subscription_phase phase;
    bool issued; /* its request or event is on its way or out */
    uint64_t generation;
    char wake_id[SL_WAKE_ID_SIZE];
    struct sl_buffer worker;   /* owned: who holds the lease */
    uint64_t lease_until_ms;   /* running clock; 0: no lease runs */
    uint64_t next_attempt_ms;  /* running clock; 0: there was no failure */
    unsigned retry_count;      /* failures since the last success */
    struct sl_failure failure; /* the last one of these */
    unsigned leases_expired;   /* since the last report; not kept */
    /* what is to be written */
    bool wake_unwritten;       /* anything above that is kept has changed */
    struct sl_link unwritten;  /* of struct sl_cursor: changed */
    struct sl_buffer unlinked; /* names that are no longer linked, as JSON strings with commas */
    struct sl_buffer lost;     /* owned: hashes of names whose links ended during the wake; u64 */
};

/* A subscription without cursors, idle. Takes the body, which was checked. */
void sl_subscription_init(struct sl_subscription *subscription, struct sl_bytes id,
                          struct sl_control_body *config);
/* It has no cursors any more and is in no list. */
void sl_subscription_deinit(struct sl_subscription *subscription);

static inline struct sl_bytes sl_followed_name(const struct sl_followed *stream)
{
    return sl_bytes(stream->name, stream->name_size);
}

/* ---- cursors ---- */

/* The cursor of the subscription in this stream; NULL: there is none. */
struct sl_cursor *sl_subscription_find(const struct sl_subscription *subscription,
                                       const struct sl_followed *stream);
/*
 * A cursor that has no place yet, and is neither explicit nor of a pattern; there is none so far.
 */
struct sl_cursor *sl_cursor_create(struct sl_subscription *subscription,
                                   struct sl_followed *stream);
void sl_cursor_destroy(struct sl_cursor **cursor);
/* It begins at `acked` of the stream as it is now. */
void sl_cursor_place(struct sl_cursor *cursor, int64_t acked);
/* It is to be written. */
void sl_cursor_touch(struct sl_cursor *cursor);
/* The stream's tail, or the cursor itself has moved: is it pending? */
void sl_cursor_update(struct sl_cursor *cursor);
/* Moves it forward, never back. */
void sl_cursor_ack(struct sl_cursor *cursor, uint64_t offset);

static inline bool sl_subscription_is_pending(const struct sl_subscription *subscription)
{
    return subscription->pending_count > 0;
}

/* ---- the wake ---- */

/* Is there something to wake for, now? */
bool sl_subscription_may_wake(const struct sl_subscription *subscription, uint64_t now_ms);
/* The next wake begins, with all tails as they are. */
void sl_subscription_wake(struct sl_subscription *subscription,
                          const uint8_t random[SL_WAKE_RANDOM_SIZE]);
/* The wake says all tails as they are: it begins, or has begun before a restart. */
void sl_subscription_take_snapshot(struct sl_subscription *subscription);
/* There is nothing left to wake for, and nobody was told of it. */
bool sl_subscription_is_idle_wake(const struct sl_subscription *subscription);
/* The wake is over, whatever it was for; what was not acked is pending still. */
void sl_subscription_end_wake(struct sl_subscription *subscription);
/* Is there a wake that a worker can have? Errors: ALREADY_CLAIMED NO_PENDING_WORK */
SL_NODISCARD enum sl_err sl_subscription_may_claim(const struct sl_subscription *subscription);
/*
 * The worker gets the lease of the wake. Errors: those of sl_subscription_may_claim(), which leave
 * everything as it was.
 */
SL_NODISCARD enum sl_err sl_subscription_claim(struct sl_subscription *subscription,
                                               struct sl_bytes worker, uint64_t now_ms);
/* The lease begins, or begins anew. */
void sl_subscription_extend_lease(struct sl_subscription *subscription, uint64_t now_ms);
/* Is this the current wake? FENCED */
SL_NODISCARD enum sl_err sl_subscription_check_wake(const struct sl_subscription *subscription,
                                                    uint64_t token_generation,
                                                    const struct sl_control_body *body);
/* The worker has shown that it is alive: failures are forgotten, and nothing is sent again. */
void sl_subscription_on_callback(struct sl_subscription *subscription, uint64_t now_ms);

/* The lease has run out and nobody has reported in time: that counts, and the wake is over. */
void sl_subscription_on_lease_over(struct sl_subscription *subscription);

/* ---- what became of a webhook or an event ---- */

/* It was taken; `done`: and the receiver has done everything that the wake said. */
void sl_subscription_on_delivered(struct sl_subscription *subscription, bool done);
/* It was not: the same wake is issued again later. `random` decides about the jitter. */
void sl_subscription_on_failed(struct sl_subscription *subscription, struct sl_failure failure,
                               uint64_t now_ms, uint64_t random);
/* How long to wait after so many failures. */
uint64_t sl_retry_delay_ms(unsigned failures, uint64_t random);

/* ---- time ---- */

static inline bool sl_subscription_lease_is_over(const struct sl_subscription *subscription,
                                                 uint64_t now_ms)
{
    return subscription->lease_until_ms != 0 && now_ms >= subscription->lease_until_ms;
}
/* Is the wake to be issued now? */
bool sl_subscription_wants_issue(const struct sl_subscription *subscription, uint64_t now_ms);
/* When time alone changes something next; UINT64_MAX: never. */
uint64_t sl_subscription_deadline(const struct sl_subscription *subscription);

/* Aborts when an invariant does not hold. */
void sl_subscription_check(const struct sl_subscription *subscription);

#ifdef __cplusplus
}
#endif
#endif
