/*
 * What the hooks hear of streams. Each shard has one CHANGES that waits, and is asked at once by
 * another when somebody needs to know that nothing is on its way any more.
 */
#include "base/assert.h"
#include "base/memory.h"
#include "hooks/hooks_internal.h"

/* What a shard is to be told about a stream; whether it is wanted is decided when that is sent. */
struct verdict {
    uint64_t id;
    uint32_t epoch;     /* whose patterns it was compared with */
    uint16_t name_size; /* bytes, in the names of the feed */
};

/* ---- streams ---- */

static bool is_own(struct sl_bytes name)
{
    static const char prefix[] = "__ds/";
    return name.size >= sizeof(prefix) - 1 && memcmp(name.data, prefix, sizeof(prefix) - 1) == 0;
}

bool sli_hook_may_link(const struct sli_hook *hook, struct sl_bytes name)
{
    return !hook->is_ending && !is_own(name) &&
           !sl_bytes_equal(name, hook->subscription.config.wake_stream);
}

/* The stream has this tail at least; idle subscriptions may have to wake. */
static void grow(struct sl_hooks *hooks, struct sl_followed *stream, uint64_t id, uint64_t tail)
{
    stream->id = id;
    if (tail > stream->tail)
        stream->tail = tail;
    struct sl_link *head = &stream->cursors;
    for (struct sl_link *link = head->next; link != head; link = link->next) {
        struct sl_cursor *cursor = SL_OBJECT(link, struct sl_cursor, of_stream);
        if (cursor->is_placed && cursor->stream_id == 0) {
            cursor->stream_id = id;
            sl_cursor_touch(cursor);
        }
        sl_cursor_update(cursor);
        if (cursor->subscription->phase == SL_SUBSCRIPTION_IDLE)
            sli_hooks_touch(hooks, sli_hook_of(cursor->subscription));
    }
}

void sli_hooks_on_gone(struct sl_hooks *hooks, struct sl_followed *stream)
{
    size_t count = stream->cursor_count;
    while (count-- > 0) {
        struct sl_cursor *cursor = SL_OBJECT(stream->cursors.next, struct sl_cursor, of_stream);
        sli_hooks_touch(hooks, sli_hook_of(cursor->subscription));
        sl_registry_unlink(&hooks->registry, &cursor);
    }
}

/* The stream of this name, unless what is known is an older or a newer one of the name. */
static struct sl_followed *find_incarnation(struct sl_hooks *hooks, struct sl_bytes name,
                                            uint64_t id, bool *is_old)
{
    struct sl_followed *stream = sl_registry_find_stream(&hooks->registry, name);
    *is_old = stream != NULL && id < stream->id;
    if (stream == NULL || stream->id == 0 || stream->id == id)
        return stream;
    if (!*is_old)
        sli_hooks_on_gone(hooks, stream);
    return NULL;
}

void sli_hooks_on_head(struct sl_hooks *hooks, struct sl_bytes name, uint64_t id, uint64_t tail)
{
    bool is_old;
    struct sl_followed *stream = find_incarnation(hooks, name, id, &is_old);
    if (stream == NULL)
        return;
    /* Nothing new: each of many that link it asks this, and none may cost as much as all. */
    if (stream->is_followed && stream->id == id && stream->tail >= tail)
        return;
    stream->is_followed = true;
    grow(hooks, stream, id, tail);
}

struct match {
    struct sl_hooks *hooks;
    const struct sl_changed *changed;
    bool refused; /* there was no link left */
};

/* Before the append that made it known, unless the subscription itself is still in the making. */
static void on_match(void *context, struct sl_subscription *subscription)
{
    struct match *match = context;
    struct sli_hook *hook = sli_hook_of(subscription);
    const struct sl_changed *changed = match->changed;
    if (!sli_hook_may_link(hook, changed->name))
        return;
    struct sl_followed *stream = sl_registry_find_stream(&match->hooks->registry, changed->name);
    bool is_known = stream != NULL && sl_subscription_find(subscription, stream) != NULL;
    struct sl_cursor *cursor;
    if (sl_registry_link(&match->hooks->registry, subscription, changed->name, &cursor) != SL_OK) {
        match->refused = true;
        sl_metrics_add(match->hooks->metrics, SL_METRIC_LINKS_REFUSED, 1);
        return;
    }
    cursor->is_glob = true;
    cursor->stream->id = changed->id;
    if (is_known)
        sl_cursor_touch(cursor);
    else
        sl_cursor_place(cursor, hook->is_made ? -1 : (int64_t)changed->tail);
}

/* False: nothing is to be said about it. */
static bool on_changed(struct sl_hooks *hooks, const struct sl_changed *changed)
{
    struct match match = { hooks, changed, false };
    bool is_old;
    struct sl_followed *stream = find_incarnation(hooks, changed->name, changed->id, &is_old);
    if (is_old)
        return false;
    if (changed->removed) {
        if (stream != NULL && stream->id == changed->id)
            sli_hooks_on_gone(hooks, stream);
        return false;
    }
    if (!is_own(changed->name) && (stream == NULL || stream->matched_epoch != hooks->epoch)) {
        hooks->turn_work += sl_registry_match(&hooks->registry, changed->name, on_match, &match);
        stream = sl_registry_find_stream(&hooks->registry, changed->name);
    }
    if (stream == NULL)
        return !match.refused;
    if (!match.refused)
        stream->matched_epoch = hooks->epoch;
    grow(hooks, stream, changed->id, changed->tail);
    return !stream->is_followed;
}

void sli_hooks_on_found(struct sl_hooks *hooks, const struct sl_changed *found)
{
    (void)on_changed(hooks, found); /* that it is not wanted is said when it changes */
    struct sl_followed *stream = sl_registry_find_stream(&hooks->registry, found->name);
    if (stream != NULL && stream->id == found->id)
        stream->is_followed = true;
}

/* ---- changes, a turn's worth at a time ---- */

static void take_change(struct sl_hooks *hooks, struct sli_feed *feed,
                        const struct sl_changed *changed)
{
    hooks->turn_work++;
    if (!on_changed(hooks, changed))
        return;
    struct verdict verdict = { changed->id, hooks->epoch, (uint16_t)changed->name.size };
    sl_buffer_append(&feed->verdicts, &verdict, sizeof(verdict));
    sl_buffer_append_bytes(&feed->names, changed->name);
}

/* An answer has come: its turn comes after those that came before it. */
static void on_answer(struct sl_hooks *hooks, struct sli_completion *completion,
                      struct sl_operation *op)
{
    struct sli_intake *intake = SL_OBJECT(completion, struct sli_intake, completion);
    SL_ASSERT(op->err == SL_OK);
    intake->op = op;
    intake->next = 0;
    sl_link_append(&hooks->intakes, &intake->link);
}

/* At least one change, so that whatever else a turn does cannot keep them waiting. */
void sli_hooks_take_changes(struct sl_hooks *hooks)
{
    for (struct sl_link *link; (link = sl_link_first(&hooks->intakes)) != NULL;) {
        struct sli_intake *intake = SL_OBJECT(link, struct sli_intake, link);
        struct sl_operation *op = intake->op;
        if (intake->next < op->u.changes.change_count)
            take_change(hooks, intake->feed, &op->u.changes.changes[intake->next++]);
        if (intake->next == op->u.changes.change_count) {
            sl_link_remove(&intake->link);
            intake->on_taken(hooks, intake->feed, op);
        }
        if (hooks->turn_work >= SLI_TURN_WORK_MAX)
            return;
    }
}

/* Asks the shard of the feed. */
static struct sl_operation *take_operation(struct sl_hooks *hooks, struct sli_feed *feed,
                                           struct sli_intake *intake)
{
    intake->completion.on_done = on_answer;
    struct sl_operation *op = sli_hooks_take(hooks, SL_OPERATION_CHANGES, &intake->completion);
    op->u.changes.shard = feed->shard;
    op->u.changes.epoch = hooks->epoch;
    return op;
}

/* ---- the CHANGES that waits ---- */

/*
 * Turns what is to be said into what is sent. A stream may have been linked since: what is linked
 * now is wanted. That it is not wanted was found out by comparing patterns, and there may be more of
 * them now: then nothing is said, and it will be told of again.
 */
static void decide(struct sl_hooks *hooks, struct sli_feed *feed)
{
    const struct verdict *verdicts = (const void *)feed->verdicts.data;
    struct sl_bytes rest = sl_buffer_bytes(&feed->names);
    sl_buffer_clear(&feed->sent);
    sl_buffer_clear(&feed->sent_verdicts);
    sl_buffer_clear(&feed->sent_names);
    for (size_t i = 0; i < feed->verdicts.size / sizeof(*verdicts); i++) {
        const struct verdict *verdict = &verdicts[i];
        struct sl_bytes name = sl_bytes(rest.data, verdict->name_size);
        struct sl_followed *stream = sl_registry_find_stream(&hooks->registry, name);
        bool wanted = stream != NULL && (stream->id == 0 || stream->id == verdict->id);
        struct sl_follow follow = { .id = verdict->id, .wanted = wanted };
        rest = sl_bytes_from(rest, name.size);
        if (!wanted && verdict->epoch != hooks->epoch)
            continue;
        if (wanted)
            stream->is_followed = true;
        sl_buffer_append(&feed->sent, &follow, sizeof(follow));
        sl_buffer_append(&feed->sent_verdicts, verdict, sizeof(*verdict));
        sl_buffer_append_bytes(&feed->sent_names, name);
    }
    sl_buffer_clear(&feed->verdicts);
    sl_buffer_clear(&feed->names);
}

/* Wanted streams that were removed before the shard heard of that. */
static void drop_gone(struct sl_hooks *hooks, struct sli_feed *feed)
{
    const struct sl_follow *sent = (const void *)feed->sent.data;
    const struct verdict *verdicts = (const void *)feed->sent_verdicts.data;
    struct sl_bytes rest = sl_buffer_bytes(&feed->sent_names);
    for (size_t i = 0; i < feed->sent.size / sizeof(*sent); i++) {
        struct sl_bytes name = sl_bytes(rest.data, verdicts[i].name_size);
        struct sl_followed *stream = sl_registry_find_stream(&hooks->registry, name);
        if (sent[i].wanted && sent[i].gone && stream != NULL && stream->id == sent[i].id)
            sli_hooks_on_gone(hooks, stream);
        rest = sl_bytes_from(rest, name.size);
    }
}

static void ask(struct sl_hooks *hooks, struct sli_feed *feed);
static void on_polled(struct sl_hooks *hooks, struct sli_feed *feed, struct sl_operation *op);

static void on_fed(struct sl_hooks *hooks, struct sli_feed *feed, struct sl_operation *op)
{
    drop_gone(hooks, feed);
    sl_session_put(hooks->session, &op);
    ask(hooks, feed);
}

static void ask(struct sl_hooks *hooks, struct sli_feed *feed)
{
    decide(hooks, feed);
    struct sl_operation *op = take_operation(hooks, feed, &feed->waiting);
    op->u.changes.wait = true;
    op->u.changes.follow = (void *)feed->sent.data;
    op->u.changes.follow_count = feed->sent.size / sizeof(struct sl_follow);
    sl_session_submit(hooks->session, op);
}

void sli_hooks_begin_epoch(struct sl_hooks *hooks)
{
    hooks->epoch++;
    for (uint32_t i = 0; i < hooks->shards; i++) {
        struct sli_feed *feed = &hooks->feeds[i];
        if (feed->is_open)
            continue;
        feed->shard = i;
        feed->is_open = true;
        feed->waiting = (struct sli_intake){ .feed = feed, .on_taken = on_fed };
        feed->polled = (struct sli_intake){ .feed = feed, .on_taken = on_polled };
        sl_link_init(&feed->waiting.link);
        sl_link_init(&feed->polled.link);
        ask(hooks, feed);
    }
}

void sli_hooks_drop_feeds(struct sl_hooks *hooks)
{
    for (uint32_t i = 0; i < hooks->shards; i++) {
        struct sli_feed *feed = &hooks->feeds[i];
        sl_buffer_deinit(&feed->verdicts);
        sl_buffer_deinit(&feed->names);
        sl_buffer_deinit(&feed->sent);
        sl_buffer_deinit(&feed->sent_verdicts);
        sl_buffer_deinit(&feed->sent_names);
    }
}

/* ---- asking at once ---- */

static void start_poll(struct sl_hooks *hooks);

static void end_poll(struct sl_hooks *hooks)
{
    struct sl_link settled;
    sl_link_init(&settled);
    sl_link_splice_back(&settled, &hooks->poll.now);
    sl_link_splice_back(&hooks->poll.now, &hooks->poll.next);
    if (!sl_link_is_empty(&hooks->poll.now))
        start_poll(hooks);
    for (struct sl_link *link; (link = sl_link_first(&settled)) != NULL;) {
        struct sl_hooks_request *request = SL_OBJECT(link, struct sl_hooks_request, link);
        sl_link_remove(link);
        request->is_settled = true;
        if (request->hook != NULL)
            sli_hooks_continue_job(hooks, request->hook);
        else
            sli_hooks_handle(hooks, request);
    }
}

static void submit_poll(struct sl_hooks *hooks, struct sli_feed *feed)
{
    sl_session_submit(hooks->session, take_operation(hooks, feed, &feed->polled));
}

static void on_polled(struct sl_hooks *hooks, struct sli_feed *feed, struct sl_operation *op)
{
    bool more = op->u.changes.more;
    sl_session_put(hooks->session, &op);
    if (more)
        submit_poll(hooks, feed);
    else if (--hooks->poll.under_way == 0)
        end_poll(hooks);
}

static void start_poll(struct sl_hooks *hooks)
{
    hooks->poll.under_way = hooks->shards;
    for (uint32_t i = 0; i < hooks->shards; i++)
        submit_poll(hooks, &hooks->feeds[i]);
}

void sli_hooks_await_settled(struct sl_hooks *hooks, struct sl_hooks_request *request)
{
    if (hooks->poll.under_way > 0) {
        sl_link_append(&hooks->poll.next, &request->link);
        return;
    }
    sl_link_append(&hooks->poll.now, &request->link);
    start_poll(hooks);
}
