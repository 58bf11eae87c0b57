/*
 * engine/session_internal.h - a session and the life of its operations
 *
 * What     session.c moves messages; operation.c decides where each goes next.
 * Thread   The session's.
 */
#ifndef SL_ENGINE_SESSION_INTERNAL_H
#define SL_ENGINE_SESSION_INTERNAL_H

#include "bus/messages.h"
#include "engine/engine_internal.h"
#include "sluice/session.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sl_session {
    struct sl_engine *engine; /* borrowed */
    struct sli_slot *slot;    /* borrowed: of the engine */
    uint32_t index;           /* of the slot */
    uint64_t signals;         /* shards that were given something since they were woken */
    unsigned unsignalled;     /* requests sent since then */
    uint64_t queues;          /* shards whose ring was full */
    size_t pending;           /* operations submitted and not polled */
    size_t in_flight;         /* messages that are at a shard or on their way */
    struct sl_link all;       /* every message */
    struct sl_link unused;    /* kept for the next operations */
    size_t unused_count;
    struct sl_link done;                  /* in the order in which they ended */
    struct sl_link queued[SL_SHARDS_MAX]; /* messages that found the ring full */
};

/* ---- session.c ---- */

/* Sends the message with this request; never fails. */
void sli_session_send(struct sl_session *session, struct sl_message *message,
                      enum sl_request request, uint32_t shard) SL_RUNS_ON(sl_role_session);
/* The operation is done: poll will return it. */
void sli_session_finish(struct sl_session *session, struct sl_message *message, enum sl_err err)
    SL_RUNS_ON(sl_role_session);
/* Blocks until a shard has something, and takes it. */
void sli_session_wait(struct sl_session *session) SL_RUNS_ON(sl_role_session);
/* Drops what the results of an operation own. */
void sli_message_clear(struct sl_message *message) SL_RUNS_ON(sl_role_session);
/* The shard's half of a message that no shard has seen yet. */
void sli_message_init_shard(struct sl_message *message);

/* ---- operation.c ---- */

/* A shard has answered: the operation goes on to its next step, or is done. */
void sli_session_on_answer(struct sl_session *session, struct sl_message *message)
    SL_RUNS_ON(sl_role_session);

#ifdef __cplusplus
}
#endif
#endif
