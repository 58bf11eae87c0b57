/*
 * sluice/session.h - one thread's connection to an engine
 *
 * What     take an operation, fill in its arguments, submit it; poll gives it back with its
 *          results; put returns it to the session. Or `run`: submit and wait in one call.
 * Why      The same API serves a simple embedder (run) and an event loop (submit, poll, fd).
 * Thread   The one thread that opened the session; different sessions never share anything.
 *
 *     struct sl_operation *op = sl_session_take(session, SL_OPERATION_HEAD);
 *     op->u.head.name = sl_bytes_of("jobs/7");
 *     if (sl_session_run(session, op) == SL_OK)
 *         printf("%" PRIu64 "\n", op->stream.tail);
 *     sl_session_put(session, &op);
 *
 * Event loop: submit any number of operations, then
 *     for (;;) {
 *         while ((op = sl_session_poll(session)) != NULL)
 *             ...
 *         if (sl_session_sleep(session))              // nothing to poll: fd will become readable
 *             wait until sl_session_fd() is readable, or for other events of the loop
 *         sl_session_wake(session);
 *     }
 *
 * Invariants
 *   (1) Every submitted operation comes back from poll (or run) exactly once.
 *   (2) Changes of one stream take effect in the order in which one session submitted them, except
 *       those that end with OVERLOADED, which have no effect at all, and except forks. A read shows
 *       at least every change that was polled before the read was submitted.
 */
#ifndef SLUICE_SESSION_H
#define SLUICE_SESSION_H

#include "sluice/engine.h"
#include "sluice/operation.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sl_session;

/* Errors: OVERLOADED when SL_SESSIONS_MAX sessions are open. Sets *session, NULL on failure. */
SL_NODISCARD enum sl_err sl_session_open(struct sl_engine *engine, struct sl_session **session);

/*
 * Cancels waiting reads, waits for the rest, drops their results, frees everything, also operations
 * that were taken and not put. Takes the session and clears the caller's pointer.
 */
void sl_session_close(struct sl_session **session);

/* An operation of this kind with all arguments zero. Never NULL. The caller puts it back. */
struct sl_operation *sl_session_take(struct sl_session *session, enum sl_operation_kind kind);

/* Takes back an operation that is not under way and clears the caller's pointer. */
void sl_session_put(struct sl_session *session, struct sl_operation **op);

/*
 * Hands the operation to the engine; never blocks, never fails: a refusal comes back as its `err`.
 * What was submitted is on its way at the next poll, sleep or flush at the latest.
 */
void sl_session_submit(struct sl_session *session, struct sl_operation *op);

/* Makes a waiting read come back soon, with CANCELLED or with what it got meanwhile. */
void sl_session_cancel(struct sl_session *session, struct sl_operation *op);

/* Wakes the shards that were given something to do. */
void sl_session_flush(struct sl_session *session);

/* The next operation that is done, NULL when there is none. Flushes first when there is none. */
struct sl_operation *sl_session_poll(struct sl_session *session);

/* Readable when a sleeping session should poll. */
int sl_session_fd(const struct sl_session *session);

/* True: nothing to poll, and from now on the fd will tell. False: poll again, do not block. */
SL_NODISCARD bool sl_session_sleep(struct sl_session *session);

/* After sleep, when the loop goes on for whatever reason. Clears the fd. Cheap when awake. */
void sl_session_wake(struct sl_session *session);

/*
 * Submits, waits until it is done, returns its `err`. Other operations that end meanwhile stay for
 * poll.
 */
enum sl_err sl_session_run(struct sl_session *session, struct sl_operation *op);

/* Submitted and not yet polled. */
size_t sl_session_pending(const struct sl_session *session);

#ifdef __cplusplus
}
#endif
#endif
