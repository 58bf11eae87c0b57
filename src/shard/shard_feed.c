/*
 * What the follower of the engine's streams is told: which have more bytes, which are gone. A
 * stream stands in the list once, however often it changes, and what is removed stays until it was
 * told.
 */
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/thread.h"
#include "shard/shard_internal.h"

/* Streams that are given in one answer, by next_told. */
struct given {
    struct sl_stream *first; /* or NULL */
    uint32_t count;
    size_t names_size; /* bytes of all names */
};

static void push(struct sl_shard *shard, struct sl_stream *stream) SL_RUNS_ON(sl_role_shard)
{
    stream->next_told = NULL;
    if (shard->feed.last == NULL)
        shard->feed.first = stream;
    else
        shard->feed.last->next_told = stream;
    shard->feed.last = stream;
}

static struct sl_stream *pop(struct sl_shard *shard) SL_RUNS_ON(sl_role_shard)
{
    struct sl_stream *stream = shard->feed.first;
    shard->feed.first = stream->next_told;
    if (shard->feed.first == NULL)
        shard->feed.last = NULL;
    return stream;
}

static void add(struct sl_shard *shard, struct sl_stream *stream) SL_RUNS_ON(sl_role_shard)
{
    if (stream->in_feed)
        return;
    stream->in_feed = true;
    stream->unsettled++;
    push(shard, stream);
}

/* The stream is in no list any more; frees it if it was kept only for this. */
static void let_go(struct sl_shard *shard, struct sl_stream *stream) SL_RUNS_ON(sl_role_shard)
{
    stream->in_feed = false;
    SL_ASSERT(stream->unsettled > 0);
    stream->unsettled--;
    if (stream->removed)
        sli_shard_free_settled(shard, stream);
}

void sli_shard_tell_bytes(struct sl_shard *shard, struct sl_stream *stream)
{
    if (stream->followed || stream->feed_epoch != shard->feed.epoch)
        add(shard, stream);
}

void sli_shard_tell_removal(struct sl_shard *shard, struct sl_stream *stream)
{
    if (stream->followed)
        add(shard, stream);
}

void sli_shard_drop_feed(struct sl_shard *shard)
{
    while (shard->feed.first != NULL)
        let_go(shard, pop(shard));
}

static bool is_gone(const struct sl_stream *stream)
{
    return stream->removed || stream->soft_deleted;
}

/* Takes what may be told off the list. A removal that is not durable yet goes to its end. */
static struct given take(struct sl_shard *shard, bool *more) SL_RUNS_ON(sl_role_shard)
{
    struct given given = { .first = NULL };
    struct sl_stream **end = &given.first;
    struct sl_stream *last = shard->feed.last;
    unsigned looked_at = 0;
    for (bool done = last == NULL; !done && looked_at < SL_CHANGES_MAX; looked_at++) {
        struct sl_stream *stream = pop(shard);
        done = stream == last;
        if (is_gone(stream) && stream->last_lsn > shard->durable_lsn) {
            push(shard, stream);
            continue;
        }
        stream->next_told = NULL;
        *end = stream;
        end = &stream->next_told;
        given.names_size += stream->name_size;
        given.count++;
    }
    *more = looked_at == SL_CHANGES_MAX && shard->feed.first != NULL;
    return given;
}

/* Moves what is given into one piece of memory that the message owns. */
static void give(struct sl_shard *shard, struct sl_message *message, struct given *given)
    SL_RUNS_ON(sl_role_shard)
{
    struct sl_changed *changes =
        sl_memory_alloc(given->count * sizeof(*changes) + given->names_size);
    uint8_t *names = (uint8_t *)(changes + given->count);
    for (uint32_t i = 0; i < given->count; i++) {
        struct sl_stream *stream = given->first;
        given->first = stream->next_told;
        memcpy(names, stream->name, stream->name_size);
        changes[i] = (struct sl_changed){
            .name = sl_bytes(names, stream->name_size),
            .id = stream->id,
            .tail = stream->durable_tail,
            .removed = is_gone(stream),
        };
        names += stream->name_size;
        stream->followed &= !changes[i].removed;
        let_go(shard, stream);
    }
    message->names = changes;
    message->op.u.changes.changes = changes;
    message->op.u.changes.change_count = given->count;
}

/* False: there is nothing to be told, and the message waits for it. */
static bool answer(struct sl_shard *shard, struct sl_message *message, bool wait)
    SL_RUNS_ON(sl_role_shard)
{
    bool *more = &message->op.u.changes.more;
    struct given given = take(shard, more);
    if (wait && given.count == 0 && !*more)
        return false;
    give(shard, message, &given);
    sli_shard_answer_now(shard, message, SL_OK);
    return true;
}

/* True: the follower wants a stream that is gone. */
static bool apply_follow(struct sl_shard *shard, struct sl_follow *follow, uint32_t epoch)
    SL_RUNS_ON(sl_role_shard)
{
    struct sl_stream *stream = sli_shard_by_id(shard, follow->id);
    follow->gone = stream == NULL || is_gone(stream);
    if (follow->gone)
        return follow->wanted;
    stream->followed = follow->wanted;
    if (!follow->wanted)
        stream->feed_epoch = epoch;
    return false;
}

void sli_shard_on_changes(struct sl_shard *shard, struct sl_message *message)
{
    const struct sl_changes *asked = &message->op.u.changes;
    bool wait = asked->wait && shard->feed.waiting == NULL;
    if (asked->epoch > shard->feed.epoch)
        shard->feed.epoch = asked->epoch;
    for (size_t i = 0; i < asked->follow_count; i++)
        wait &= !apply_follow(shard, &asked->follow[i], asked->epoch);
    if (!answer(shard, message, wait))
        shard->feed.waiting = message;
}

void sli_shard_answer_waiting_changes(struct sl_shard *shard)
{
    if (shard->feed.waiting != NULL && shard->feed.first != NULL &&
        answer(shard, shard->feed.waiting, true))
        shard->feed.waiting = NULL;
}
