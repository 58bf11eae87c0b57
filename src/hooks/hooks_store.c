/*
 * How the state of a subscription becomes durable: one write at a time, of everything that has
 * changed since the one before. A stream that has grown to a multiple of what it says is followed
 * by a new one: a start takes the newest that is complete.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/random.h"
#include "hooks/hooks_internal.h"

enum {
    GROWTH_FACTOR = 2,         /* a stream so many times as large as when it was complete, ... */
    GROWTH_BYTES = 128 * 1024, /* ... and so many bytes more, is followed by a new one */
    NUMBER_DIGITS = 20,        /* so that names sort as numbers do */
};

size_t sli_store_name(struct sl_bytes id, uint64_t number, char out[SLI_STATE_NAME_SIZE_MAX])
{
    int size = snprintf(out, SLI_STATE_NAME_SIZE_MAX, SLI_STATE_PREFIX "%.*s/%0*" PRIu64,
                        (int)id.size, (const char *)id.data, NUMBER_DIGITS, number);
    SL_ASSERT(size > 0 && size < SLI_STATE_NAME_SIZE_MAX);
    return (size_t)size;
}

bool sli_store_is_durable(const struct sli_hook *hook)
{
    const struct sli_store *store = &hook->store;
    return hook->is_made && !store->is_under_way && !store->is_failing && !store->is_new &&
           !sl_subscription_is_unwritten(&hook->subscription);
}

/* ---- answers ---- */

/* What they show is durable. */
static void answer_all(struct sl_link *requests)
{
    for (struct sl_link *link; (link = sl_link_first(requests)) != NULL;) {
        struct sl_hooks_request *request = SL_OBJECT(link, struct sl_hooks_request, link);
        sl_link_remove(link);
        sli_hooks_answer(request, request->err);
    }
}

static void refuse_all(struct sl_link *requests, enum sl_err err, const char *message)
{
    for (struct sl_link *link; (link = sl_link_first(requests)) != NULL;)
        sli_hooks_give_up(SL_OBJECT(link, struct sl_hooks_request, link), err, message);
}

/* The subscription is gone, as those wanted that asked for it; the others came too late. */
static void answer_removed(struct sl_link *requests)
{
    struct sl_link late;
    sl_link_init(&late);
    for (struct sl_link *link; (link = sl_link_first(requests)) != NULL;) {
        struct sl_hooks_request *request = SL_OBJECT(link, struct sl_hooks_request, link);
        sl_link_remove(link);
        if (request->action == SL_HOOKS_DELETE)
            sli_hooks_answer(request, SL_OK);
        else
            sl_link_append(&late, link);
    }
    refuse_all(&late, SL_ERR_SUBSCRIPTION_NOT_FOUND, NULL);
}

/* ---- one step after the other ---- */

static bool has_grown(const struct sli_store *store)
{
    return store->size > GROWTH_FACTOR * store->complete_size + GROWTH_BYTES;
}

static enum sli_store_step next_step(const struct sli_hook *hook)
{
    const struct sli_store *store = &hook->store;
    bool is_unwritten = sl_subscription_is_unwritten(&hook->subscription);
    if (hook->is_ending && store->old_number == 0)
        return store->number == 0 ? SLI_STORE_NONE : SLI_STORE_REMOVE;
    if (store->old_number != 0 && (hook->is_ending || (!is_unwritten && !store->is_new)))
        return SLI_STORE_DROP;
    if (store->number == 0)
        return SLI_STORE_CREATE;
    if (is_unwritten)
        return SLI_STORE_APPEND;
    if (store->is_new)
        return SLI_STORE_COMPLETE;
    return has_grown(store) ? SLI_STORE_CREATE : SLI_STORE_NONE;
}

/* What the step writes. Once: it is the same when the step is tried again. */
static void prepare(struct sl_hooks *hooks, struct sli_hook *hook)
{
    struct sl_subscription *subscription = &hook->subscription;
    struct sli_store *store = &hook->store;
    sl_buffer_clear(&store->text);
    switch (store->step) {
    case SLI_STORE_CREATE:
        store->next_number++;
        sl_subscription_append_first_record(subscription, &store->text);
        return;
    case SLI_STORE_APPEND:
        store->wake_generation = subscription->generation;
        sl_subscription_take_record(subscription, &hooks->now, SLI_RECORD_SIZE_MAX, &store->text);
        break;
    case SLI_STORE_COMPLETE:
        sl_buffer_append_text(&store->text, "{\"complete\":true}");
        break;
    case SLI_STORE_NONE:
    case SLI_STORE_DROP:
    case SLI_STORE_REMOVE:
        return;
    }
    /* In a new stream nothing counts before that is complete. */
    if (store->is_new == (store->step == SLI_STORE_COMPLETE) &&
        !sl_subscription_is_unwritten(subscription))
        sl_link_splice_back(&store->answering, &store->waiting);
}

static void on_written(struct sl_hooks *hooks, struct sli_completion *completion,
                       struct sl_operation *op);

static uint64_t target_of(const struct sli_store *store)
{
    switch (store->step) {
    case SLI_STORE_CREATE:
        return store->next_number;
    case SLI_STORE_DROP:
        return store->old_number;
    case SLI_STORE_NONE:
    case SLI_STORE_APPEND:
    case SLI_STORE_COMPLETE:
    case SLI_STORE_REMOVE:
        break;
    }
    return store->number;
}

static void submit(struct sl_hooks *hooks, struct sli_hook *hook)
{
    static const enum sl_operation_kind kinds[] = {
        [SLI_STORE_CREATE] = SL_OPERATION_CREATE,   [SLI_STORE_APPEND] = SL_OPERATION_APPEND,
        [SLI_STORE_COMPLETE] = SL_OPERATION_APPEND, [SLI_STORE_DROP] = SL_OPERATION_DELETE,
        [SLI_STORE_REMOVE] = SL_OPERATION_DELETE,
    };
    struct sl_bytes type = sl_bytes_of("application/json");
    struct sli_store *store = &hook->store;
    SL_ASSERT(store->step != SLI_STORE_NONE);
    store->completion.on_done = on_written;
    struct sl_operation *op = sli_hooks_take(hooks, kinds[store->step], &store->completion);
    struct sl_bytes name =
        sl_bytes(store->name, sli_store_name(sl_buffer_bytes(&hook->subscription.id),
                                             target_of(store), store->name));
    store->part = sl_buffer_bytes(&store->text);
    if (op->kind == SL_OPERATION_CREATE) {
        op->u.create.name = name;
        op->u.create.config.content_type = type;
        op->u.create.data = store->part;
    } else if (op->kind == SL_OPERATION_APPEND) {
        op->u.append.name = name;
        op->u.append.content_type = type;
        op->u.append.parts = &store->part;
        op->u.append.part_count = 1;
    } else {
        op->u.remove.name = name;
    }
    store->is_under_way = true;
    sl_session_submit(hooks->session, op);
}

/* ---- how they end ---- */

static void finish_step(struct sli_hook *hook)
{
    struct sli_store *store = &hook->store;
    switch (store->step) {
    case SLI_STORE_CREATE:
        store->old_number = store->number;
        store->number = store->next_number;
        store->is_new = true;
        store->size = store->text.size;
        sl_subscription_touch_all(&hook->subscription);
        break;
    case SLI_STORE_COMPLETE:
        store->is_new = false;
        store->complete_size = store->size;
        hook->is_made = true;
        break;
    case SLI_STORE_APPEND:
        store->size += store->text.size;
        break;
    case SLI_STORE_DROP:
        store->old_number = 0;
        break;
    case SLI_STORE_REMOVE:
        store->number = 0;
        break;
    case SLI_STORE_NONE:
        break;
    }
    store->step = SLI_STORE_NONE;
    sl_buffer_deinit(&store->text);
    store->failures = 0;
    if (store->is_new)
        return;
    hook->durable_generation = store->wake_generation;
    answer_all(&store->answering);
}

/* A lease that its worker never hears of would only keep the next claim away. */
static void give_back_claims(struct sli_hook *hook, struct sl_link *requests)
{
    for (struct sl_link *link = requests->next; link != requests; link = link->next) {
        const struct sl_hooks_request *request = SL_OBJECT(link, struct sl_hooks_request, link);
        if (request->action == SL_HOOKS_CLAIM && request->err == SL_OK &&
            hook->subscription.phase == SL_SUBSCRIPTION_HELD)
            sl_subscription_end_wake(&hook->subscription);
    }
}

/*
 * What failed is tried again after a while, longer after each failure, or at once when somebody
 * waits for it; whoever waits now hears of the failure: what was asked may have happened or may
 * happen yet. A subscription that was not there before is given up, and only the disk leaves open
 * what became of it.
 */
static void fail_step(struct sl_hooks *hooks, struct sli_hook *hook, enum sl_err err)
{
    static const char unknown[] = "What was asked may have happened, or may happen yet: look at "
                                  "the subscription, or send it again later.";
    struct sli_store *store = &hook->store;
    if (store->step == SLI_STORE_CREATE && store->number != 0) {
        /* Records go on into the complete one, until that has grown as much again. */
        store->complete_size = store->size;
        store->step = SLI_STORE_NONE;
        return;
    }
    const char *message = hook->is_made || err == SL_ERR_STORAGE_FAILED ? unknown : NULL;
    give_back_claims(hook, &store->answering);
    give_back_claims(hook, &store->waiting);
    refuse_all(&store->answering, err, message);
    refuse_all(&store->waiting, err, message);
    refuse_all(&hook->parked, err, message);
    if (!hook->is_made && !hook->is_ending) {
        hook->is_ending = true;
        store->step = SLI_STORE_NONE;
        return;
    }
    if (!store->is_failing)
        sl_log(SL_LOG_WARN, "hooks", "not_written", "code=%s stream=%s", sl_err_code(err),
               store->name);
    store->is_failing = true;
    store->failures++;
    store->retry_ms = hooks->now.running_ms + sl_retry_delay_ms(store->failures, sl_random_u64());
}

static void on_written(struct sl_hooks *hooks, struct sli_completion *completion,
                       struct sl_operation *op)
{
    struct sli_hook *hook = SL_OBJECT(completion, struct sli_hook, store.completion);
    struct sli_store *store = &hook->store;
    enum sl_err err = op->err;
    bool is_delete = op->kind == SL_OPERATION_DELETE;
    if (is_delete && err == SL_ERR_NOT_FOUND)
        err = SL_OK; /* it was removed by a try that seemed to have failed */
    bool is_taken = op->kind == SL_OPERATION_CREATE &&
                    (err == SL_ERR_CONFIG_MISMATCH || (err == SL_OK && !op->u.create.created));
    sl_session_put(hooks->session, &op);
    store->is_under_way = false;
    sli_hooks_touch(hooks, hook);
    if (is_taken) /* of a try that seemed to have failed: the next number */
        store->step = SLI_STORE_NONE;
    else if (err == SL_OK)
        finish_step(hook);
    else
        fail_step(hooks, hook, err);
}

/* It failed, it is too early to try again, and nobody waits for it. */
static bool is_resting(const struct sl_hooks *hooks, const struct sli_hook *hook)
{
    const struct sli_store *store = &hook->store;
    return store->is_failing && hooks->now.running_ms < store->retry_ms &&
           sl_link_is_empty(&store->waiting) && sl_link_is_empty(&hook->parked);
}

void sli_store_write(struct sl_hooks *hooks, struct sli_hook *hook)
{
    struct sli_store *store = &hook->store;
    if (!hook->is_ending && sli_store_is_durable(hook))
        answer_all(&store->waiting); /* they came during the write that has just ended */
    if (store->is_under_way || hook->job != NULL || is_resting(hooks, hook))
        return;
    if (!store->is_failing || store->step == SLI_STORE_NONE) {
        store->step = next_step(hook);
        if (store->step == SLI_STORE_NONE)
            return;
        prepare(hooks, hook);
    }
    store->is_failing = false;
    submit(hooks, hook);
}

bool sli_store_end(struct sl_hooks *hooks, struct sli_hook *hook)
{
    struct sli_store *store = &hook->store;
    sli_store_write(hooks, hook);
    if (store->is_under_way || store->is_failing || hook->job != NULL)
        return false;
    SL_ASSERT(store->number == 0 && store->old_number == 0);
    answer_removed(&store->answering);
    answer_removed(&store->waiting);
    return true;
}
