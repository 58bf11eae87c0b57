/*
 * What follows from the state of a subscription: it wakes, its state is written, and then what the
 * wake is about is sent: a webhook by the courier, or an event into its wake stream.
 */
#include "base/assert.h"
#include "base/log.h"
#include "base/random.h"
#include "hooks/hooks_internal.h"

enum {
    FAILURE_LOG_MS = 1000, /* between two lines about failures, of whichever subscriptions */
    TEXT_SIZE = 300,       /* bytes of an id or a URL in such a line with its NUL */
};

/* ---- failures ---- */

static void log_trouble(struct sl_hooks *hooks, const struct sl_subscription *subscription,
                        const char *event, struct sl_failure failure)
{
    const struct sl_control_body *config = &subscription->config;
    char id[TEXT_SIZE], target[TEXT_SIZE];
    if (hooks->now.running_ms < hooks->failure_log.next_ms) {
        hooks->failure_log.left_out++;
        return;
    }
    sl_log_escaped(id, sizeof(id), sl_buffer_bytes(&subscription->id));
    sl_log_escaped(target, sizeof(target), config->is_webhook ? config->url : config->wake_stream);
    sl_log(SL_LOG_WARN, "hooks", event, "id=%s %s=%s status=%u reason=\"%s\" left_out=%zu", id,
           config->is_webhook ? "url" : "wake_stream", target, failure.status, failure.reason,
           hooks->failure_log.left_out);
    hooks->failure_log.next_ms = hooks->now.running_ms + FAILURE_LOG_MS;
    hooks->failure_log.left_out = 0;
}

/* Only the first one in a row is for the log; the list of subscriptions shows the last one. */
static void fail(struct sl_hooks *hooks, struct sl_subscription *subscription, const char *reason,
                 unsigned status)
{
    bool is_first = subscription->failure.reason == NULL;
    struct sl_failure failure = { reason, status };
    sl_subscription_on_failed(subscription, failure, hooks->now.running_ms, sl_random_u64());
    if (is_first)
        log_trouble(hooks, subscription,
                    subscription->config.is_webhook ? "webhook_failed" : "wake_event_failed",
                    failure);
}

/* ---- state ---- */

/* A lease that runs out while the receiver has not answered is a failure like any other. */
static void end_lease(struct sl_hooks *hooks, struct sli_hook *hook)
{
    struct sl_subscription *subscription = &hook->subscription;
    bool is_first = subscription->leases_expired == 0;
    sl_metrics_add(hooks->metrics, SL_METRIC_LEASES_EXPIRED, 1);
    if (!sl_delivery_is_idle(&hook->delivery) &&
        hook->delivery_generation == subscription->generation) {
        sl_courier_cancel(hooks->courier, &hook->delivery);
        if (hook->heard_generation != subscription->generation) {
            sl_metrics_add(hooks->metrics, SL_METRIC_DELIVERY_FAILED, 1);
            fail(hooks, subscription, "the lease has run out before there was an answer", 0);
            is_first = false;
        }
    }
    sl_subscription_on_lease_over(subscription);
    if (is_first)
        log_trouble(hooks, subscription, "lease_expired",
                    (struct sl_failure){ "nobody has reported on the wake in time", 0 });
}

void sli_hook_advance(struct sl_hooks *hooks, struct sli_hook *hook)
{
    struct sl_subscription *subscription = &hook->subscription;
    uint64_t now_ms = hooks->now.running_ms;
    uint8_t random[SL_WAKE_RANDOM_SIZE];
    if (sl_subscription_lease_is_over(subscription, now_ms))
        end_lease(hooks, hook);
    if (sl_subscription_is_idle_wake(subscription))
        sl_subscription_end_wake(subscription);
    if (sl_subscription_may_wake(subscription, now_ms)) {
        sl_random_bytes(random, sizeof(random));
        sl_subscription_wake(subscription, random);
        sl_metrics_add(hooks->metrics, SL_METRIC_WAKES, 1);
    }
    SL_ASSERT_SLOW((sl_subscription_check(subscription), true));
}

void sli_hook_make_token(struct sl_hooks *hooks, const struct sli_hook *hook, char *out)
{
    const struct sl_subscription *subscription = &hook->subscription;
    struct sl_token token = {
        .incarnation = subscription->incarnation,
        .generation = subscription->generation,
        .expires_at_ms = hooks->now.wall_ms + (int64_t)subscription->config.lease_ms,
    };
    sl_token_format(sl_keys_token_secret(hooks->keys), sl_buffer_bytes(&subscription->id), &token,
                    out);
}

/* ---- webhooks ---- */

static struct sli_hook *hook_of(struct sl_delivery *delivery)
{
    return SL_OBJECT(delivery, struct sli_hook, delivery);
}

void sli_hooks_on_delivery_start(void *context, struct sl_delivery *delivery,
                                 struct sl_buffer *body)
{
    struct sl_hooks *hooks = context;
    struct sli_hook *hook = hook_of(delivery);
    struct sl_bytes root = hooks->setup.public_root;
    char token[SL_TOKEN_SIZE];
    if (root.size == 0)
        root = sl_buffer_bytes(&hook->subscription.root);
    sl_subscription_extend_lease(&hook->subscription, hooks->now.running_ms);
    sli_hook_make_token(hooks, hook, token);
    sl_subscription_append_webhook(&hook->subscription, root, sl_bytes(token, sizeof(token)), body);
    sli_hooks_touch(hooks, hook);
}

/* What became of a webhook counts for its own wake only. */
void sli_hooks_on_delivery_done(void *context, struct sl_delivery *delivery,
                                const struct sl_delivery_result *result)
{
    struct sl_hooks *hooks = context;
    struct sli_hook *hook = hook_of(delivery);
    struct sl_subscription *subscription = &hook->subscription;
    bool is_delivered = result->status >= 200 && result->status < 300;
    bool is_current = subscription->phase == SL_SUBSCRIPTION_WAKING &&
                      subscription->generation == hook->delivery_generation;
    sl_metrics_add(hooks->metrics, is_delivered ? SL_METRIC_DELIVERED : SL_METRIC_DELIVERY_FAILED,
                   1);
    sli_hooks_touch(hooks, hook);
    if (is_current && is_delivered)
        sl_subscription_on_delivered(subscription, sl_control_says_done(result->body));
    else if (is_current && hook->heard_generation != subscription->generation)
        fail(hooks, subscription,
             result->error != NULL ? result->error : "the answer was not one of 2xx",
             result->status);
}

static void send_webhook(struct sl_hooks *hooks, struct sli_hook *hook)
{
    struct sl_subscription *subscription = &hook->subscription;
    if (!sl_delivery_is_idle(&hook->delivery))
        return; /* the receiver is busy with an older wake: when that has ended */
    if (subscription->retry_count > 0)
        sl_metrics_add(hooks->metrics, SL_METRIC_DELIVERY_RETRIES, 1);
    subscription->issued = true;
    hook->delivery_generation = subscription->generation;
    hook->delivery.is_repeated = subscription->retry_count > 0;
    sl_courier_send(hooks->courier, &hook->delivery);
}

/* One that waits for its turn, and whose wake is over. */
static void drop_stale_webhook(struct sl_hooks *hooks, struct sli_hook *hook)
{
    const struct sl_subscription *subscription = &hook->subscription;
    bool is_waiting = !sl_delivery_is_idle(&hook->delivery) && hook->delivery.slot == NULL;
    if (is_waiting && (subscription->phase != SL_SUBSCRIPTION_WAKING ||
                       subscription->generation != hook->delivery_generation))
        sl_courier_cancel(hooks->courier, &hook->delivery);
}

/* ---- wake events ---- */

static bool is_event_current(const struct sli_hook *hook)
{
    return hook->subscription.phase == SL_SUBSCRIPTION_WAKING &&
           hook->subscription.generation == hook->event_generation && !hook->is_ending;
}

/* What a stream does not take today it may take later: whoever owns it may make it anew. */
static void end_event(struct sl_hooks *hooks, struct sli_hook *hook, enum sl_err err)
{
    sl_session_put(hooks->session, &hook->event_op);
    sl_buffer_deinit(&hook->event);
    sli_hooks_touch(hooks, hook);
    sl_metrics_add(hooks->metrics,
                   err == SL_OK ? SL_METRIC_WAKE_EVENTS : SL_METRIC_WAKE_EVENTS_FAILED, 1);
    if (!is_event_current(hook))
        return;
    if (err == SL_OK)
        sl_subscription_on_delivered(&hook->subscription, false);
    else
        fail(hooks, &hook->subscription, sl_err_text(err), 0);
}

static void on_event_written(struct sl_hooks *hooks, struct sli_completion *completion,
                             struct sl_operation *op)
{
    end_event(hooks, SL_OBJECT(completion, struct sli_hook, event_done), op->err);
}

/* The wake stream is there, and says in which form it takes events. */
static void on_event_head(struct sl_hooks *hooks, struct sli_completion *completion,
                          struct sl_operation *op)
{
    struct sli_hook *hook = SL_OBJECT(completion, struct sli_hook, event_done);
    if (op->err != SL_OK || !is_event_current(hook)) {
        end_event(hooks, hook, op->err);
        return;
    }
    const struct sl_stream_view *view = &op->stream;
    sl_buffer_clear(&hook->event);
    sl_buffer_append(&hook->event, view->content_type, view->content_type_size);
    size_t type_size = hook->event.size;
    sl_subscription_append_event(&hook->subscription, hooks->now.wall_ms, &hook->event);
    hook->event_part = sl_bytes_from(sl_buffer_bytes(&hook->event), type_size);
    sl_session_put(hooks->session, &hook->event_op);
    hook->event_done.on_done = on_event_written;
    hook->event_op = sli_hooks_take(hooks, SL_OPERATION_APPEND, &hook->event_done);
    struct sl_append *append = &hook->event_op->u.append;
    append->name = hook->subscription.config.wake_stream;
    append->content_type = sl_bytes(hook->event.data, type_size);
    append->parts = &hook->event_part;
    append->part_count = 1;
    sl_session_submit(hooks->session, hook->event_op);
}

static void send_event(struct sl_hooks *hooks, struct sli_hook *hook)
{
    if (hook->event_op != NULL)
        return; /* that of an older wake: when it has ended */
    hook->subscription.issued = true;
    hook->event_generation = hook->subscription.generation;
    hook->event_done.on_done = on_event_head;
    hook->event_op = sli_hooks_take(hooks, SL_OPERATION_HEAD, &hook->event_done);
    hook->event_op->u.head.name = hook->subscription.config.wake_stream;
    sl_session_submit(hooks->session, hook->event_op);
}

/* ---- all together ---- */

static void set_timer(struct sl_hooks *hooks, struct sli_hook *hook)
{
    uint64_t deadline_ms = sl_subscription_deadline(&hook->subscription);
    if (hook->store.is_failing && hook->store.retry_ms < deadline_ms)
        deadline_ms = hook->store.retry_ms;
    /* What could have been done by now was done; the rest waits for something else. */
    if (deadline_ms != UINT64_MAX && deadline_ms > hooks->now.running_ms)
        sl_timer_set(&hooks->wheel, &hook->timer, deadline_ms);
    else
        sl_timer_clear(&hook->timer);
}

static void settle_ending(struct sl_hooks *hooks, struct sli_hook *hook)
{
    sl_courier_cancel(hooks->courier, &hook->delivery);
    if (hook->event_op == NULL && sli_store_end(hooks, hook))
        sli_hooks_remove(hooks, &hook);
    else if (hook->store.is_failing)
        sl_timer_set(&hooks->wheel, &hook->timer, hook->store.retry_ms);
}

static void unpark(struct sl_hooks *hooks, struct sli_hook *hook)
{
    struct sl_link requests;
    sl_link_init(&requests);
    sl_link_splice_back(&requests, &hook->parked);
    for (struct sl_link *link; (link = sl_link_first(&requests)) != NULL;) {
        sl_link_remove(link);
        sli_hooks_handle(hooks, SL_OBJECT(link, struct sl_hooks_request, link));
    }
}

void sli_hooks_settle(struct sl_hooks *hooks, struct sli_hook *hook)
{
    struct sl_subscription *subscription = &hook->subscription;
    if (hook->is_ending) {
        settle_ending(hooks, hook);
        return;
    }
    if (hook->is_made) {
        if (hook->job == NULL)
            unpark(hooks, hook);
        if (hook->is_ending)
            return; /* it is to be settled again */
        sli_hook_advance(hooks, hook);
        sl_registry_note_pending(&hooks->registry, subscription, hooks->now.running_ms);
        sl_registry_note_size(&hooks->registry, subscription);
        drop_stale_webhook(hooks, hook);
    }
    sli_store_write(hooks, hook);
    if (hook->is_made && sl_subscription_wants_issue(subscription, hooks->now.running_ms) &&
        hook->durable_generation == subscription->generation) {
        if (subscription->config.is_webhook)
            send_webhook(hooks, hook);
        else
            send_event(hooks, hook);
    }
    set_timer(hooks, hook);
}
