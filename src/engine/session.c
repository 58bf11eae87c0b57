#include "sluice/session.h"

#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/thread.h"
#include "bus/messages.h"
#include "engine/engine_internal.h"
#include "engine/session_internal.h"

enum {
    KEPT_BUFFER_SIZE_MAX = 16 * 1024, /* a message that held more gives its memory back */
    UNUSED_MAX = 256,                 /* messages kept for the next operations */
    /*
     * Requests that wait for the end of a batch until their shards are woken. Where everybody
     * waits for the same commit, the next batch is as large as all of them: a shard that begins
     * before its end has its commit under way meanwhile.
     */
    UNSIGNALLED_MAX = 32,
};

/* ---- open and close ---- */

static void prepare_slot(struct sl_engine *engine, uint32_t index)
{
    struct sli_slot *slot = &engine->slots[index];
    if (slot->port != NULL)
        return;
    slot->port = sl_port_create();
    for (unsigned i = 0; i < engine->route.shards; i++) {
        slot->requests[i] = sl_ring_create(SL_RING_CAPACITY);
        slot->replies[i] = sl_ring_create(SL_RING_CAPACITY);
        sl_shard_connect(engine->shards[i], index, slot->requests[i], slot->replies[i], slot->port);
    }
}

static bool open_slot(struct sl_engine *engine, uint32_t *index)
{
    bool found = false;
    sl_mutex_lock(engine->mutex);
    for (uint32_t i = 0; i < SL_SESSIONS_MAX && !found; i++) {
        if (engine->slots[i].open)
            continue;
        prepare_slot(engine, i);
        engine->slots[i].open = true;
        *index = i;
        found = true;
    }
    sl_mutex_unlock(engine->mutex);
    return found;
}

enum sl_err sl_session_open(struct sl_engine *engine, struct sl_session **session)
{
    uint32_t index = 0;
    *session = NULL;
    if (!open_slot(engine, &index))
        return SL_ERR_OVERLOADED;
    struct sl_session *made = sl_memory_zalloc(sizeof(*made));
    made->engine = engine;
    made->index = index;
    made->slot = &engine->slots[index];
    sl_link_init(&made->all);
    sl_link_init(&made->unused);
    sl_link_init(&made->done);
    for (unsigned i = 0; i < SL_SHARDS_MAX; i++)
        sl_link_init(&made->queued[i]);
    *session = made;
    return SL_OK;
}

static void cancel_all(struct sl_session *session)
{
    sl_thread_enter_session();
    for (struct sl_link *link = session->all.next; link != &session->all; link = link->next) {
        struct sl_message *message = SL_OBJECT(link, struct sl_message, session.all);
        if (message->session.under_way && !message->session.done)
            sl_session_cancel(session, &message->op);
    }
}

static void free_message(struct sl_message *message) SL_RUNS_ON(sl_role_session)
{
    sl_link_remove(&message->session.all);
    sl_link_remove(&message->session.link);
    sli_message_clear(message);
    sl_json_split_deinit(&message->session.split);
    sl_buffer_deinit(&message->session.joined);
    sl_memory_free(message);
}

void sl_session_close(struct sl_session **session)
{
    struct sl_session *last = *session;
    *session = NULL;
    sl_thread_enter_session();
    cancel_all(last);
    while (last->in_flight > 0)
        sli_session_wait(last);
    for (struct sl_link *link; (link = sl_link_first(&last->all)) != NULL;)
        free_message(SL_OBJECT(link, struct sl_message, session.all));
    sl_mutex_lock(last->engine->mutex);
    last->slot->open = false;
    sl_mutex_unlock(last->engine->mutex);
    sl_memory_free(last);
}

/* ---- messages ---- */

void sli_message_clear(struct sl_message *message)
{
    sl_pieces_clear(&message->read.pieces);
    sl_block_unref(&message->payload.block);
    sl_memory_free(message->fork.lineage);
    sl_memory_free(message->names);
    message->fork.lineage = NULL;
    message->names = NULL;
    if (message->session.split.messages.capacity > KEPT_BUFFER_SIZE_MAX ||
        message->session.split.lengths.capacity > KEPT_BUFFER_SIZE_MAX)
        sl_json_split_deinit(&message->session.split);
    if (message->session.joined.capacity > KEPT_BUFFER_SIZE_MAX)
        sl_buffer_deinit(&message->session.joined);
}

static struct sl_message *new_message(struct sl_session *session) SL_RUNS_ON(sl_role_session)
{
    struct sl_link *link = sl_link_first(&session->unused);
    if (link != NULL) {
        session->unused_count--;
        sl_link_remove(link);
        return SL_OBJECT(link, struct sl_message, session.link);
    }
    struct sl_message *message = sl_memory_zalloc(sizeof(*message));
    message->session_index = session->index;
    sl_link_init(&message->session.link);
    sl_link_init(&message->session.all);
    sli_message_init_shard(message);
    sl_link_append(&session->all, &message->session.all);
    return message;
}

struct sl_operation *sl_session_take(struct sl_session *session, enum sl_operation_kind kind)
{
    sl_thread_enter_session();
    struct sl_message *message = new_message(session);
    struct sl_operation *op = &message->op;
    op->kind = kind;
    op->err = SL_OK;
    op->context = NULL;
    op->stream.id = 0;
    op->stream.content_type_size = op->stream.expires_text_size = 0;
    memset(&op->u, 0, sizeof(op->u));
    message->session.cancelled = false;
    message->session.put = false;
    return op;
}

static void put_message(struct sl_session *session, struct sl_message *message)
    SL_RUNS_ON(sl_role_session)
{
    sli_message_clear(message);
    if (session->unused_count == UNUSED_MAX) {
        free_message(message);
        return;
    }
    session->unused_count++;
    sl_link_prepend(&session->unused, &message->session.link);
}

void sl_session_put(struct sl_session *session, struct sl_operation **op)
{
    struct sl_message *message = sl_message_of(*op);
    *op = NULL;
    sl_thread_enter_session();
    SL_ASSERT(!message->session.under_way);
    if (message->session.cancels > 0)
        message->session.put = true; /* a shard may still look at it */
    else
        put_message(session, message);
}

/* ---- sending ---- */

static void signal_shards(struct sl_session *session) SL_RUNS_ON(sl_role_session)
{
    for (uint64_t signals = session->signals; signals != 0; signals &= signals - 1)
        sl_port_signal(sl_shard_port(session->engine->shards[__builtin_ctzll(signals)]),
                       session->index);
    session->signals = 0;
    session->unsignalled = 0;
}

static void push_or_queue(struct sl_session *session, struct sl_message *message)
    SL_RUNS_ON(sl_role_session)
{
    uint32_t shard = message->session.shard;
    session->signals |= UINT64_C(1) << shard;
    if (sl_link_is_empty(&session->queued[shard]) &&
        sl_ring_push(session->slot->requests[shard], message))
        return;
    message->session.queued_ms = sl_clock_running_ms();
    sl_link_append(&session->queued[shard], &message->session.link);
    session->queues |= UINT64_C(1) << shard;
}

void sli_session_send(struct sl_session *session, struct sl_message *message,
                      enum sl_request request, uint32_t shard)
{
    message->request = request;
    message->session.shard = shard;
    session->in_flight++;
    push_or_queue(session, message);
    if (++session->unsignalled == UNSIGNALLED_MAX)
        signal_shards(session);
}

/* Only a request that has done nothing yet may be refused. */
static bool may_be_refused(const struct sl_message *message)
{
    switch (message->request) {
    case SL_REQUEST_CREATE:
        return !message->fork.pinned;
    case SL_REQUEST_READ:
        return !message->read.started;
    case SL_REQUEST_APPEND:
    case SL_REQUEST_HEAD:
    case SL_REQUEST_DELETE:
        return true;
    case SL_REQUEST_LIST:
    case SL_REQUEST_CLEANUP:
    case SL_REQUEST_CHANGES:
    case SL_REQUEST_PIN:
    case SL_REQUEST_UNPIN:
    case SL_REQUEST_RESOLVE:
    case SL_REQUEST_INHERITED:
    case SL_REQUEST_CANCEL:
        return false;
    }
    return false;
}

static void push_queued(struct sl_session *session, uint32_t shard, uint64_t now_ms)
    SL_RUNS_ON(sl_role_session)
{
    struct sl_link *queue = &session->queued[shard];
    for (struct sl_link *link; (link = sl_link_first(queue)) != NULL;) {
        struct sl_message *message = SL_OBJECT(link, struct sl_message, session.link);
        sl_link_remove(link);
        if (may_be_refused(message) && now_ms - message->session.queued_ms > SL_OVERLOAD_AGE_MS) {
            session->in_flight--;
            sli_session_finish(session, message, SL_ERR_OVERLOADED);
        } else if (sl_ring_push(session->slot->requests[shard], message)) {
            session->signals |= UINT64_C(1) << shard;
        } else {
            sl_link_prepend(queue, link);
            return;
        }
    }
    session->queues &= ~(UINT64_C(1) << shard);
}

void sl_session_flush(struct sl_session *session)
{
    sl_thread_enter_session();
    if (session->queues != 0) {
        uint64_t now_ms = sl_clock_running_ms();
        for (uint64_t queues = session->queues; queues != 0; queues &= queues - 1)
            push_queued(session, (uint32_t)__builtin_ctzll(queues), now_ms);
    }
    signal_shards(session);
}

void sl_session_cancel(struct sl_session *session, struct sl_operation *op)
{
    struct sl_message *target = sl_message_of(op);
    sl_thread_enter_session();
    if (!target->session.under_way || target->session.done || target->session.cancelled)
        return;
    struct sl_message *message = new_message(session);
    target->session.cancelled = true;
    target->session.cancels++;
    message->target = target;
    sli_session_send(session, message, SL_REQUEST_CANCEL, target->session.shard);
}

/* ---- receiving ---- */

void sli_session_finish(struct sl_session *session, struct sl_message *message, enum sl_err err)
{
    message->op.err = err;
    message->session.done = true;
    sl_link_append(&session->done, &message->session.link);
}

static void on_cancelled(struct sl_session *session, struct sl_message *message)
    SL_RUNS_ON(sl_role_session)
{
    struct sl_message *target = message->target;
    message->target = NULL;
    put_message(session, message);
    if (--target->session.cancels == 0 && target->session.put)
        put_message(session, target);
}

static void receive(struct sl_session *session) SL_RUNS_ON(sl_role_session)
{
    uint64_t shards = sl_port_take(session->slot->port);
    for (; shards != 0; shards &= shards - 1) {
        struct sl_ring *replies = session->slot->replies[__builtin_ctzll(shards)];
        for (struct sl_message *message; (message = sl_ring_pop(replies)) != NULL;) {
            session->in_flight--;
            if (message->request == SL_REQUEST_CANCEL)
                on_cancelled(session, message);
            else
                sli_session_on_answer(session, message);
        }
    }
}

struct sl_operation *sl_session_poll(struct sl_session *session)
{
    sl_thread_enter_session();
    if (sl_link_is_empty(&session->done)) {
        receive(session);
        sl_session_flush(session);
    }
    struct sl_link *link = sl_link_first(&session->done);
    if (link == NULL)
        return NULL;
    struct sl_message *message = SL_OBJECT(link, struct sl_message, session.link);
    sl_link_remove(link);
    message->session.done = message->session.under_way = false;
    session->pending--;
    return &message->op;
}

int sl_session_fd(const struct sl_session *session)
{
    return sl_port_fd(session->slot->port);
}

bool sl_session_sleep(struct sl_session *session)
{
    sl_session_flush(session);
    return sl_link_is_empty(&session->done) && sl_port_sleep(session->slot->port);
}

void sl_session_wake(struct sl_session *session)
{
    sl_thread_enter_session();
    receive(session);
}

void sli_session_wait(struct sl_session *session)
{
    sl_session_flush(session);
    if (sl_port_sleep(session->slot->port))
        sl_port_wait(session->slot->port, session->queues == 0 ? -1 : SL_OVERLOAD_AGE_MS);
    receive(session);
}

enum sl_err sl_session_run(struct sl_session *session, struct sl_operation *op)
{
    struct sl_message *message = sl_message_of(op);
    sl_thread_enter_session();
    sl_session_submit(session, op);
    while (!message->session.done)
        sli_session_wait(session);
    sl_link_remove(&message->session.link);
    message->session.done = message->session.under_way = false;
    session->pending--;
    return op->err;
}

size_t sl_session_pending(const struct sl_session *session)
{
    return session->pending;
}
