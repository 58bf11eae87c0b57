/*
 * hooks/hooks_internal.h - what the files of the hooks' thread share
 *
 * What     hooks.c is the loop; hooks_follow.c hears of streams; hooks_request.c answers;
 *          hooks_wait.c says how long that may take; hooks_job.c does what takes several steps;
 *          hooks_store.c writes; hooks_wake.c wakes; hooks_load.c reads it all back.
 * Thread   That of the hooks.
 */
#ifndef SL_HOOKS_HOOKS_INTERNAL_H
#define SL_HOOKS_HOOKS_INTERNAL_H

#include "base/timer_wheel.h"
#include "bus/port.h"
#include "hooks/courier.h"
#include "hooks/hooks.h"
#include "hooks/keys.h"
#include "hooks/subscription_json.h"
#include "hooks/token.h"
#include "sluice/session.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Every stream of the hooks' own begins so. */
#define SLI_STATE_PREFIX "__ds/subscriptions/"

enum {
    SLI_STATE_NAME_SIZE_MAX = sizeof(SLI_STATE_PREFIX) + SL_SUBSCRIPTION_ID_SIZE_MAX + 1 + 20,
    /* Bytes of one record: far less than the smallest log file can take. */
    SLI_RECORD_SIZE_MAX = 64 * 1024,
    /* Names and patterns compared with each other in one turn, requests taken, links printed and
     * acks applied: more wait for the next one. */
    SLI_TURN_WORK_MAX = 1000,
};

/* In `context` of every operation: who is told when it is done, and puts it back. */
struct sli_completion {
    void (*on_done)(struct sl_hooks *hooks, struct sli_completion *completion,
                    struct sl_operation *op);
};

/* What a stream of state is being told. */
enum sli_store_step {
    SLI_STORE_NONE,     /* nothing is under way */
    SLI_STORE_CREATE,   /* a new stream begins with the first record */
    SLI_STORE_APPEND,   /* a record of what has changed */
    SLI_STORE_COMPLETE, /* everything is in the new stream */
    SLI_STORE_DROP,     /* the stream before is being removed */
    SLI_STORE_REMOVE,   /* the last one is being removed: the subscription ends */
};

/* The durable form of one subscription: one write at a time. */
struct sli_store {
    enum sli_store_step step;
    bool is_under_way;                  /* the operation of the step is at the engine */
    bool is_failing;                    /* the last one failed; tried again after a while */
    unsigned failures;                  /* in a row */
    bool is_new;                        /* the stream is not complete yet */
    uint64_t number;                    /* of the stream; 0: there is none yet */
    uint64_t old_number;                /* of the one before, which is to be removed; 0: none */
    uint64_t next_number;               /* of the last that was tried */
    uint64_t retry_ms;                  /* running clock: when to try again, while is_failing */
    uint64_t size;                      /* bytes written to it */
    uint64_t complete_size;             /* when it was complete */
    uint64_t wake_generation;           /* that the write under way says */
    struct sl_buffer text;              /* owned: of that write */
    struct sl_bytes part;               /* the same, as the operation wants it */
    char name[SLI_STATE_NAME_SIZE_MAX]; /* of the stream that it goes to */
    size_t name_size;
    struct sli_completion completion;
    struct sl_link waiting;   /* of struct sl_hooks_request: for all that is unwritten */
    struct sl_link answering; /* the same: for the write that is under way */
};

/* A subscription, and what is under way for it. */
struct sli_hook {
    struct sl_subscription subscription; /* first: the registry frees it */
    struct sl_link to_settle;            /* in the hooks' list: something has changed */
    struct sl_timer timer;               /* when time alone changes something */
    struct sli_store store;
    bool is_made;                  /* its creation is durable */
    bool is_ending;                /* it is being removed */
    struct sli_job *job;           /* owned: takes several steps; or NULL */
    struct sl_link parked;         /* of struct sl_hooks_request: for the end of that */
    uint64_t durable_generation;   /* wakes up to this one may be shown */
    uint64_t heard_generation;     /* of the last wake whose worker called back */
    struct sl_delivery delivery;   /* webhook */
    uint64_t delivery_generation;  /* what it says */
    struct sl_operation *event_op; /* pull-wake: of its event, under way; or NULL */
    struct sli_completion event_done;
    struct sl_buffer event;     /* owned: its text */
    struct sl_bytes event_part; /* the same, as the operation wants it */
    uint64_t event_generation;  /* what it says */
};

/* A CHANGES, and how far its answer was taken. */
struct sli_intake {
    struct sli_completion completion;
    struct sl_link link;     /* among those whose answers are being taken, in their order */
    struct sli_feed *feed;   /* borrowed: it is part of that */
    struct sl_operation *op; /* the answer */
    uint32_t next;           /* change in it */
    void (*on_taken)(struct sl_hooks *hooks, struct sli_feed *feed, struct sl_operation *op);
};

/* What one shard is asked for changes. */
struct sli_feed {
    uint32_t shard;
    bool is_open;                   /* it is asked: somebody follows */
    struct sli_intake waiting;      /* the one that waits */
    struct sli_intake polled;       /* another one, which does not */
    struct sl_buffer verdicts;      /* what is to be said about streams; see hooks_follow.c */
    struct sl_buffer names;         /* of those */
    struct sl_buffer sent;          /* struct sl_follow each: what was said */
    struct sl_buffer sent_verdicts; /* of which that was made */
    struct sl_buffer sent_names;    /* of those */
};

struct sl_hooks {
    struct sl_hooks_setup setup;
    struct sl_session *session; /* owned */
    struct sl_metrics *metrics; /* borrowed: of the thread */
    struct sl_keys *keys;       /* owned */
    struct sl_courier *courier; /* owned */
    struct sl_port *port;       /* owned: requests have come */
    struct sl_inbox inbox;      /* of struct sl_hooks_request */
    struct sl_link received;    /* the same, as they came: nobody has looked at them */
    struct sl_thread *thread;   /* owned; NULL: not started */
    uint64_t drain_end_ms;      /* running clock: the main thread's, until the port says so */
    struct sl_mutex *hold_lock; /* owned: of what follows */
    size_t held_bytes;          /* by all requests */
    struct sl_registry registry;
    struct sl_timer_wheel wheel; /* of struct sli_hook */
    struct sl_hooks_now now;
    struct sl_link to_settle; /* of struct sli_hook */
    struct {
        uint64_t next_ms; /* running clock: when there may be a line again */
        size_t left_out;  /* that had none since the last one */
    } failure_log;
    unsigned shards;
    uint32_t epoch; /* of the patterns; 0: nobody follows */
    struct sli_feed feeds[SL_SHARDS_MAX];
    struct sl_link intakes; /* of struct sli_intake: the first one is being taken */
    size_t turn_work;       /* in this turn: what SLI_TURN_WORK_MAX bounds */
    struct sli_scan *scan;  /* owned: see hooks_load.c; NULL: it has ended */
    struct {
        size_t under_way;    /* shards that are being asked */
        struct sl_link now;  /* of struct sl_hooks_request: go on when these have answered */
        struct sl_link next; /* come after they were asked: they are asked again */
    } poll;
    struct {
        struct sl_link unbegun; /* of struct sl_hooks_request, as they came: nothing was done yet */
        struct sl_link begun;   /* the same: what they ask for is under way */
        uint64_t end_ms;        /* running clock: the server ends, nobody waits any longer */
    } wait;
};

/* ---- hooks.c ---- */

static inline struct sli_hook *sli_hook_of(struct sl_subscription *subscription)
{
    return SL_OBJECT(subscription, struct sli_hook, subscription);
}

/* An operation whose completion is this. */
struct sl_operation *sli_hooks_take(struct sl_hooks *hooks, enum sl_operation_kind kind,
                                    struct sli_completion *completion);
/* Asks what the stream of this name is, and makes its shard follow it; borrows the name. */
void sli_hooks_submit_head(struct sl_hooks *hooks, struct sl_bytes name,
                           struct sli_completion *completion);
/* Something of it has changed: see settle(). */
void sli_hooks_touch(struct sl_hooks *hooks, struct sli_hook *hook);
/* A subscription that is in no registry, for the body of a PUT or its first record. */
struct sli_hook *sli_hook_create(void);
/* Completes it, once the subscription in it is initialised, and adds it to the registry. */
void sli_hooks_add(struct sl_hooks *hooks, struct sli_hook *hook);
/* Nothing is under way for it. Takes it out and frees it; parked requests are handled again. */
void sli_hooks_remove(struct sl_hooks *hooks, struct sli_hook **hook);

/* ---- hooks_follow.c ---- */

/* All streams are new again: before the first subscription, and when there is another pattern. */
void sli_hooks_begin_epoch(struct sl_hooks *hooks);
/*
 * The request goes on, by sli_hooks_handle(), when all that was answered to anybody before now is
 * known here.
 */
void sli_hooks_await_settled(struct sl_hooks *hooks, struct sl_hooks_request *request);
/* HEAD has said that this is its incarnation and its tail, and made its shard follow it. */
void sli_hooks_on_head(struct sl_hooks *hooks, struct sl_bytes name, uint64_t id, uint64_t tail);
/*
 * The same for one that was not asked for by name: patterns link it, as when a change is told.
 */
void sli_hooks_on_found(struct sl_hooks *hooks, const struct sl_changed *found);
/* Takes changes that shards have told, until there is none left or a turn may compare no more. */
void sli_hooks_take_changes(struct sl_hooks *hooks);
/* The stream is gone: nobody links it any more. */
void sli_hooks_on_gone(struct sl_hooks *hooks, struct sl_followed *stream);
/*
 * May its pattern link a stream of this name? Not its own wake stream, nor one of the hooks' own.
 */
bool sli_hook_may_link(const struct sli_hook *hook, struct sl_bytes name);

/* Nothing is asked any more. */
void sli_hooks_drop_feeds(struct sl_hooks *hooks);

/* ---- hooks_request.c ---- */

void sli_hooks_handle(struct sl_hooks *hooks, struct sl_hooks_request *request);
/* The answer leaves now. */
void sli_hooks_answer(struct sl_hooks_request *request, enum sl_err err);
/* The same for one that waits in a list, whatever its answer would have been. */
void sli_hooks_give_up(struct sl_hooks_request *request, enum sl_err err, const char *message);
/* The answer leaves now, and says of which memory there is not enough. */
void sli_hooks_refuse_room(struct sl_hooks_request *request, enum sl_err err);
/* The answer leaves when all that it shows is durable. */
void sli_hooks_answer_durable(struct sl_hooks *hooks, struct sli_hook *hook,
                              struct sl_hooks_request *request);
/* The job of the request has done what it was for. */
void sli_hooks_on_job_done(struct sl_hooks *hooks, struct sli_hook *hook,
                           struct sl_hooks_request *request);

/* ---- hooks_wait.c ---- */

/* It has come, and is to be handled. */
void sli_hooks_receive(struct sl_hooks *hooks, struct sl_hooks_request *request);
/* Handles one at least; what is more work waits for the next turn. */
void sli_hooks_handle_received(struct sl_hooks *hooks);
/* What it asks for begins: from here on it waits for as long as that takes. */
void sli_hooks_note_begun(struct sl_hooks *hooks, struct sl_hooks_request *request);
/* Refuses those that have waited for as long as they may. */
void sli_hooks_refuse_late(struct sl_hooks *hooks);
/* When that has something to do next, running clock; UINT64_MAX: nobody waits. */
uint64_t sli_hooks_wait_deadline(const struct sl_hooks *hooks);

/* ---- hooks_job.c ---- */

/* Links these streams, and those of the pattern if `list`, then answers the request. */
void sli_hooks_start_job(struct sl_hooks *hooks, struct sli_hook *hook,
                         struct sl_hooks_request *request, const struct sl_bytes *streams,
                         size_t stream_count, bool list);
/* The shards have begun the epoch that a job waited for. */
void sli_hooks_continue_job(struct sl_hooks *hooks, struct sli_hook *hook);
/*
 * It ends, OVERLOADED with this message: at once while it waits for the shards, else when what it
 * has asked them is answered.
 */
void sli_hooks_cancel_job(struct sl_hooks *hooks, struct sli_hook *hook, const char *message);

/* ---- hooks_store.c ---- */

/* Writes what is unwritten, unless a write is under way. */
void sli_store_write(struct sl_hooks *hooks, struct sli_hook *hook);
/*
 * The subscription ends: removes its streams, one step at a time. True: there are none any more,
 * and whoever waited was answered.
 */
bool sli_store_end(struct sl_hooks *hooks, struct sli_hook *hook);
/* Is there nothing that a crash could take back? */
bool sli_store_is_durable(const struct sli_hook *hook);
/* Writes the name of the stream of this number and returns its size. */
size_t sli_store_name(struct sl_bytes id, uint64_t number, char out[SLI_STATE_NAME_SIZE_MAX]);

/* ---- hooks_wake.c ---- */

/*
 * Brings a subscription whose state has changed on its way: wakes, writes, sends, sets its timer.
 */
void sli_hooks_settle(struct sl_hooks *hooks, struct sli_hook *hook);
/* The same for the state only: leases end, wakes begin and end. */
void sli_hook_advance(struct sl_hooks *hooks, struct sli_hook *hook);
/* Writes a token of its current wake: SL_TOKEN_SIZE characters. */
void sli_hook_make_token(struct sl_hooks *hooks, const struct sli_hook *hook, char *out);
/* Those of the courier; `context` is the hooks. */
void sli_hooks_on_delivery_start(void *context, struct sl_delivery *delivery,
                                 struct sl_buffer *body);
void sli_hooks_on_delivery_done(void *context, struct sl_delivery *delivery,
                                const struct sl_delivery_result *result);

/* ---- hooks_load.c ---- */

SL_NODISCARD enum sl_err sli_hooks_load(struct sl_hooks *hooks);
/*
 * Goes on with what the load has left, as far as a turn may. False: there is nothing that it could
 * go on with before an answer comes.
 */
bool sli_hooks_scan(struct sl_hooks *hooks);

#ifdef __cplusplus
}
#endif
#endif
