/* Requests at __ds: what each does to the state of its subscription, and what it is answered. */
#include <inttypes.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/random.h"
#include "hooks/hooks_internal.h"
#include "hooks/webhook_url.h"
#include "protocol/json_value.h"

enum {
    LIST_BUCKETS_MAX = 64, /* of the table of subscriptions in one page */
};

/* ---- answers ---- */

void sli_hooks_answer(struct sl_hooks_request *request, enum sl_err err)
{
    sl_link_remove(&request->of_all);
    request->err = err;
    request->on_done(request);
}

static void refuse(struct sl_hooks_request *request, enum sl_err err, const char *message)
{
    request->message = message;
    sli_hooks_answer(request, err);
}

void sli_hooks_give_up(struct sl_hooks_request *request, enum sl_err err, const char *message)
{
    sl_link_remove(&request->link);
    sl_buffer_clear(&request->text);
    refuse(request, err, message);
}

void sli_hooks_refuse_room(struct sl_hooks_request *request, enum sl_err err)
{
    refuse(request, err,
           err == SL_ERR_MEMORY_LIMIT_EXCEEDED
               ? "subscriptions take as much memory as they may, an eighth of "
                 "--memory-budget-bytes: remove some of them or their links"
               : request->message);
}

static void await_written(struct sl_hooks *hooks, struct sli_hook *hook,
                          struct sl_hooks_request *request)
{
    sli_hooks_note_begun(hooks, request);
    sl_link_append(&hook->store.waiting, &request->link);
    sli_hooks_touch(hooks, hook);
}

void sli_hooks_answer_durable(struct sl_hooks *hooks, struct sli_hook *hook,
                              struct sl_hooks_request *request)
{
    if (sli_store_is_durable(hook)) {
        sli_hooks_answer(request, request->err);
        return;
    }
    await_written(hooks, hook, request);
}

/* Makes room for an answer that says all links. False: there is none, which was answered. */
static bool reserve_text(struct sl_hooks *hooks, const struct sli_hook *hook,
                         struct sl_hooks_request *request)
{
    size_t size = sl_subscription_answer_size_max(&hook->subscription, request->root);
    if (!sl_hooks_hold(hooks, request, size)) {
        sli_hooks_answer(request, request->err);
        return false;
    }
    sl_buffer_reserve(&request->text, size);
    return true;
}

static void answer_view(struct sl_hooks *hooks, struct sli_hook *hook,
                        struct sl_hooks_request *request)
{
    struct sl_hooks_address address = { request->root, sl_keys_id(hooks->keys) };
    if (!reserve_text(hooks, hook, request))
        return;
    hooks->turn_work += hook->subscription.cursor_count;
    sl_subscription_append_view(&hook->subscription, &address, &request->text);
    sli_hooks_answer_durable(hooks, hook, request);
}

/* ---- PUT ---- */

static void on_put_again(struct sl_hooks *hooks, struct sli_hook *hook,
                         struct sl_hooks_request *request)
{
    struct sl_buffer mine = { NULL, 0, 0 }, theirs = { NULL, 0, 0 };
    sl_subscription_append_config(&hook->subscription.config, &mine);
    sl_subscription_append_config(&request->body, &theirs);
    bool is_same = sl_bytes_equal(sl_buffer_bytes(&mine), sl_buffer_bytes(&theirs));
    sl_buffer_deinit(&mine);
    sl_buffer_deinit(&theirs);
    if (is_same)
        answer_view(hooks, hook, request);
    else
        sli_hooks_answer(request, SL_ERR_SUBSCRIPTION_ALREADY_EXISTS);
}

/* NULL: webhooks may go there. */
static const char *judge_url(const struct sl_hooks *hooks, struct sl_bytes text)
{
    struct sl_webhook_url url;
    const char *wrong = sl_webhook_url_parse(text, hooks->setup.allow_local_webhooks, &url);
    if (wrong != NULL && sl_webhook_url_parse(text, true, &url) == NULL)
        return "the URL is one of this machine: start the server with --allow-local-webhooks to "
               "use it, for development";
    return wrong;
}

/* NULL with an answer: it may not be made. */
static struct sli_hook *make(struct sl_hooks *hooks, struct sl_hooks_request *request)
{
    struct sl_glob *glob = NULL;
    const struct sl_control_body *body = &request->body;
    const char *wrong = body->is_webhook ? judge_url(hooks, body->url) : NULL;
    if (wrong != NULL) {
        refuse(request, SL_ERR_WEBHOOK_URL_REJECTED, wrong);
        return NULL;
    }
    if (hooks->registry.subscriptions.count >= hooks->setup.subscriptions_max) {
        sli_hooks_answer(request, SL_ERR_TOO_MANY_SUBSCRIPTIONS);
        return NULL;
    }
    if (body->pattern.size > 0 && sl_glob_create(body->pattern, &glob) != SL_OK) {
        SL_STATIC_ASSERT(SL_NAME_SIZE_MAX == 1024 && SL_GLOB_SEGMENTS_MAX == 64, "what is said");
        refuse(request, SL_ERR_INVALID_REQUEST,
               "the pattern is malformed, or has more than 1024 bytes percent-encoded, or more "
               "than 64 segments");
        return NULL;
    }
    struct sli_hook *hook = sli_hook_create();
    sl_subscription_init(&hook->subscription, request->id, &request->body);
    hook->subscription.glob = glob;
    hook->subscription.incarnation = sl_random_u64();
    hook->subscription.created_at_ms = hooks->now.wall_ms;
    sl_buffer_append_bytes(&hook->subscription.root, request->root);
    body = &hook->subscription.config;
    enum sl_err err = sl_registry_check_room(
        &hooks->registry, sl_registry_size_of(&hooks->registry, &hook->subscription), NULL,
        body->streams, body->stream_count);
    if (err == SL_OK) {
        sli_hooks_add(hooks, hook);
        return hook;
    }
    sl_subscription_deinit(&hook->subscription);
    sl_memory_free(hook);
    sli_hooks_refuse_room(request, err);
    return NULL;
}

static void on_put(struct sl_hooks *hooks, struct sl_hooks_request *request)
{
    struct sli_hook *hook = make(hooks, request);
    if (hook == NULL)
        return;
    const struct sl_control_body *config = &hook->subscription.config;
    bool has_pattern = config->pattern.size > 0;
    if (has_pattern || hooks->epoch == 0)
        sli_hooks_begin_epoch(hooks);
    request->created = true;
    sli_hooks_start_job(hooks, hook, request, config->streams, config->stream_count, has_pattern);
}

void sli_hooks_on_job_done(struct sl_hooks *hooks, struct sli_hook *hook,
                           struct sl_hooks_request *request)
{
    if (request->action == SL_HOOKS_PUT)
        answer_view(hooks, hook, request);
    else
        sli_hooks_answer_durable(hooks, hook, request);
}

/* ---- links ---- */

static void on_add(struct sl_hooks *hooks, struct sli_hook *hook, struct sl_hooks_request *request)
{
    enum sl_err err = sl_registry_check_room(&hooks->registry, 0, &hook->subscription,
                                             request->body.streams, request->body.stream_count);
    if (err != SL_OK)
        sli_hooks_refuse_room(request, err);
    else
        sli_hooks_start_job(hooks, hook, request, request->body.streams, request->body.stream_count,
                            false);
}

static void on_remove(struct sl_hooks *hooks, struct sli_hook *hook,
                      struct sl_hooks_request *request)
{
    struct sl_cursor *cursor =
        sl_registry_find_cursor(&hooks->registry, &hook->subscription, request->stream);
    if (cursor != NULL && cursor->is_explicit) {
        cursor->is_explicit = false;
        if (cursor->is_glob)
            sl_cursor_touch(cursor);
        else
            sl_registry_unlink(&hooks->registry, &cursor);
        sli_hooks_touch(hooks, hook);
    }
    sli_hooks_answer_durable(hooks, hook, request);
}

/* ---- claims and acks ---- */

static void on_claim(struct sl_hooks *hooks, struct sli_hook *hook,
                     struct sl_hooks_request *request)
{
    struct sl_subscription *subscription = &hook->subscription;
    char token[SL_TOKEN_SIZE];
    if (subscription->config.is_webhook) {
        refuse(request, SL_ERR_INVALID_REQUEST, "the subscription is not pull-wake");
        return;
    }
    sli_hook_advance(hooks, hook);
    sli_hooks_touch(hooks, hook);
    if (sl_subscription_may_claim(subscription) == SL_OK && !reserve_text(hooks, hook, request))
        return;
    enum sl_err err =
        sl_subscription_claim(subscription, request->body.worker, hooks->now.running_ms);
    if (err == SL_ERR_NO_PENDING_WORK && !request->is_settled) {
        sli_hooks_await_settled(hooks, request);
        return;
    }
    request->err = err;
    if (err == SL_OK) {
        sli_hook_make_token(hooks, hook, token);
        sl_subscription_append_claim(subscription, sl_bytes(token, sizeof(token)), &request->text);
    } else if (err == SL_ERR_ALREADY_CLAIMED) {
        if (sl_bytes_equal(request->body.worker, sl_buffer_bytes(&subscription->worker)))
            request->message = "a worker of this name holds the lease: it ends when that one is "
                               "done, releases it, or lets it run out";
        sl_buffer_append_text(&request->text, "\"current_holder\":");
        sl_json_append_string(&request->text, sl_buffer_bytes(&subscription->worker));
        sl_buffer_printf(&request->text, ",\"generation\":%" PRIu64, subscription->generation);
    }
    sli_hooks_answer_durable(hooks, hook, request);
}

/* May whoever shows this token speak for the current wake? */
static enum sl_err check_token(const struct sl_hooks *hooks, const struct sli_hook *hook,
                               const struct sl_hooks_request *request)
{
    const struct sl_subscription *subscription = &hook->subscription;
    struct sl_token token;
    if (!sl_token_parse(sl_keys_token_secret(hooks->keys), sl_buffer_bytes(&subscription->id),
                        request->token, &token) ||
        token.incarnation != subscription->incarnation)
        return SL_ERR_TOKEN_INVALID;
    if (request->body.wake_id.size == 0 || !request->body.has_generation)
        return SL_ERR_INVALID_REQUEST;
    enum sl_err err = sl_subscription_check_wake(subscription, token.generation, &request->body);
    if (err == SL_OK && sl_subscription_lease_is_over(subscription, request->came_ms))
        err = SL_ERR_TOKEN_EXPIRED;
    return err;
}

/* The shortest lease is as long as a report may wait: it does not run out meanwhile. */
static void keep_lease(const struct sl_hooks *hooks, struct sli_hook *hook,
                       const struct sl_hooks_request *request)
{
    uint64_t now_ms = hooks->now.running_ms; /* of the turn, during which it may have come */
    if (check_token(hooks, hook, request) == SL_OK)
        sl_subscription_extend_lease(&hook->subscription,
                                     now_ms > request->came_ms ? now_ms : request->came_ms);
}

/* The cursor that an ack moves; NULL: *wrong says why it cannot. */
static struct sl_cursor *find_acked(const struct sl_hooks *hooks, const struct sli_hook *hook,
                                    const struct sl_ack *ack, const char **wrong)
{
    struct sl_cursor *cursor =
        sl_registry_find_cursor(&hooks->registry, &hook->subscription, ack->stream);
    if (cursor == NULL || !cursor->is_placed)
        *wrong = "a stream of the acks is not linked by the subscription";
    else if (cursor->renewed_in == hook->subscription.generation)
        *wrong =
            "a stream of the acks was made anew since the wake was told: the next one tells of "
            "it";
    else if (!ack->has_offset)
        *wrong = "an offset of the acks is not one that a stream can have";
    else if ((int64_t)ack->offset < cursor->acked)
        *wrong = "an offset of the acks is before what was acked already";
    else if (ack->offset > cursor->stream->tail)
        *wrong = "an offset of the acks is beyond the end of its stream";
    else
        return cursor;
    return NULL;
}

/* All of them or none. NULL: all; else why not, and *refused is the one. */
static const char *apply_acks(struct sl_hooks *hooks, struct sli_hook *hook,
                              const struct sl_control_body *body, const struct sl_ack **refused)
{
    const char *wrong;
    hooks->turn_work += body->ack_count;
    for (size_t i = 0; i < body->ack_count; i++) {
        *refused = &body->acks[i];
        if (find_acked(hooks, hook, *refused, &wrong) == NULL)
            return wrong;
    }
    for (size_t i = 0; i < body->ack_count; i++) {
        struct sl_cursor *cursor = find_acked(hooks, hook, &body->acks[i], &wrong);
        if (cursor != NULL) /* two acks of one stream: the later one may be below the first */
            sl_cursor_ack(cursor, body->acks[i].offset);
    }
    return NULL;
}

/* Will streams have unread bytes after these acks, whatever is not known yet? */
static bool leaves_work(const struct sl_subscription *subscription,
                        const struct sl_control_body *body)
{
    return subscription->pending_count > body->ack_count;
}

/* Nothing is applied before all that it needs is known: it is handled again from its beginning. */
static void on_ack(struct sl_hooks *hooks, struct sli_hook *hook, struct sl_hooks_request *request)
{
    struct sl_subscription *subscription = &hook->subscription;
    if (request->action != SL_HOOKS_CALLBACK && subscription->config.is_webhook) {
        refuse(request, SL_ERR_INVALID_REQUEST, "the subscription is not pull-wake");
        return;
    }
    enum sl_err err = check_token(hooks, hook, request);
    if (err != SL_OK) {
        refuse(request, err,
               err == SL_ERR_INVALID_REQUEST ? "wake_id and generation are needed" : NULL);
        return;
    }
    bool releases = request->action == SL_HOOKS_RELEASE;
    bool asks_for_next = !releases && request->body.done;
    if (asks_for_next && !request->is_settled && !leaves_work(subscription, &request->body)) {
        keep_lease(hooks, hook, request);
        sli_hooks_await_settled(hooks, request);
        return;
    }
    const struct sl_ack *refused;
    const char *wrong = releases ? NULL : apply_acks(hooks, hook, &request->body, &refused);
    if (wrong != NULL && !request->is_settled) {
        keep_lease(hooks, hook, request);
        sli_hooks_await_settled(hooks, request);
        return;
    }
    if (wrong != NULL) {
        if (refused->stream.size > 0) { /* it can be the name of a stream */
            sl_buffer_append_text(&request->text, "\"stream\":");
            sl_json_append_string(&request->text, refused->stream);
        }
        refuse(request, SL_ERR_INVALID_OFFSET, wrong);
        return;
    }
    hook->heard_generation = subscription->generation;
    sl_subscription_on_callback(subscription, hooks->now.running_ms);
    bool is_over = releases || request->body.done;
    if (is_over)
        sl_subscription_end_wake(subscription);
    sli_hook_advance(hooks, hook);
    sli_hooks_touch(hooks, hook);
    if (!releases)
        sl_buffer_printf(&request->text, "{\"ok\":true,\"next_wake\":%s}",
                         is_over && subscription->phase != SL_SUBSCRIPTION_IDLE ? "true" : "false");
    sli_hooks_answer_durable(hooks, hook, request);
}

/* ---- the rest ---- */

static void on_delete(struct sl_hooks *hooks, struct sli_hook *hook,
                      struct sl_hooks_request *request)
{
    hook->is_ending = true;
    await_written(hooks, hook, request);
}

static void on_list(struct sl_hooks *hooks, struct sl_hooks_request *request)
{
    uint64_t cursor = request->cursor;
    bool first = true;
    sl_buffer_append_text(&request->text, "{\"subscriptions\":[");
    for (unsigned i = 0; i < LIST_BUCKETS_MAX && hooks->registry.subscriptions.count > 0; i++) {
        struct sl_table_node *node = sl_table_walk(&hooks->registry.subscriptions, &cursor);
        for (; node != NULL; node = node->next) {
            if (!first)
                sl_buffer_append_text(&request->text, ",");
            first = false;
            sl_subscription_append_summary(SL_OBJECT(node, struct sl_subscription, node),
                                           &hooks->now, &request->text);
        }
        if (cursor == 0)
            break;
    }
    sl_buffer_printf(&request->text, "],\"next_cursor\":\"%" PRIu64 "\"}", cursor);
    if (!sl_hooks_hold(hooks, request, request->text.capacity))
        sl_buffer_deinit(&request->text);
    sli_hooks_answer(request, request->err);
}

static void on_jwks(struct sl_hooks *hooks, struct sl_hooks_request *request)
{
    sl_keys_append_jwks(hooks->keys, hooks->now.wall_ms, &request->text);
    sli_hooks_answer(request, SL_OK);
}

static void on_rotate(struct sl_hooks *hooks, struct sl_hooks_request *request)
{
    enum sl_err err = sl_keys_rotate(hooks->keys, hooks->now.wall_ms);
    if (err == SL_ERR_OVERLOADED)
        request->message = "as many keys as may be were retired within 24 hours: wait";
    if (err == SL_OK)
        sl_buffer_append_text(&request->text, sl_keys_id(hooks->keys));
    sli_hooks_answer(request, err);
}

/* There is no subscription of this id. */
static void on_missing(struct sl_hooks *hooks, struct sl_hooks_request *request)
{
    if (request->action == SL_HOOKS_PUT)
        on_put(hooks, request);
    else if (request->action == SL_HOOKS_DELETE)
        sli_hooks_answer(request, SL_OK);
    else
        sli_hooks_answer(request, SL_ERR_SUBSCRIPTION_NOT_FOUND);
}

static void on_found(struct sl_hooks *hooks, struct sli_hook *hook,
                     struct sl_hooks_request *request)
{
    switch (request->action) {
    case SL_HOOKS_PUT:
        on_put_again(hooks, hook, request);
        break;
    case SL_HOOKS_GET:
        answer_view(hooks, hook, request);
        break;
    case SL_HOOKS_DELETE:
        on_delete(hooks, hook, request);
        break;
    case SL_HOOKS_ADD:
        on_add(hooks, hook, request);
        break;
    case SL_HOOKS_REMOVE:
        on_remove(hooks, hook, request);
        break;
    case SL_HOOKS_CLAIM:
        on_claim(hooks, hook, request);
        break;
    case SL_HOOKS_CALLBACK:
    case SL_HOOKS_ACK:
    case SL_HOOKS_RELEASE:
        on_ack(hooks, hook, request);
        break;
    case SL_HOOKS_JWKS:
    case SL_HOOKS_LIST:
    case SL_HOOKS_ROTATE:
        SL_ASSERT(false); /* are of no subscription */
        break;
    }
}

/* For the end of what is under way; what has failed is tried again for it. */
static void park(struct sl_hooks *hooks, struct sli_hook *hook, struct sl_hooks_request *request)
{
    keep_lease(hooks, hook, request);
    sl_link_append(&hook->parked, &request->link);
    if (hook->store.is_failing)
        sli_hooks_touch(hooks, hook);
}

void sli_hooks_handle(struct sl_hooks *hooks, struct sl_hooks_request *request)
{
    if (request->action == SL_HOOKS_JWKS) {
        on_jwks(hooks, request);
        return;
    }
    if (request->action == SL_HOOKS_LIST) {
        on_list(hooks, request);
        return;
    }
    if (request->action == SL_HOOKS_ROTATE) {
        on_rotate(hooks, request);
        return;
    }
    struct sl_subscription *subscription = sl_registry_find(&hooks->registry, request->id);
    struct sli_hook *hook = subscription == NULL ? NULL : sli_hook_of(subscription);
    if (hook == NULL)
        on_missing(hooks, request);
    else if (hook->job == NULL && hook->is_made && !hook->is_ending)
        on_found(hooks, hook, request);
    else
        park(hooks, hook, request);
}
