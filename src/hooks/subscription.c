#include "hooks/subscription.h"

#include "base/assert.h"
#include "base/memory.h"
#include "protocol/json_value.h"

enum {
    LOST_SIZE_MAX = 256 * sizeof(uint64_t), /* bytes of hashes of names */
};

void sl_subscription_init(struct sl_subscription *subscription, struct sl_bytes id,
                          struct sl_control_body *config)
{
    *subscription = (struct sl_subscription){ .config = *config };
    *config = (struct sl_control_body){ .streams = NULL };
    sl_buffer_append_bytes(&subscription->id, id);
    sl_link_init(&subscription->of_index);
    sl_link_init(&subscription->cursors);
    sl_link_init(&subscription->of_pending);
    sl_link_init(&subscription->unwritten);
}

void sl_subscription_deinit(struct sl_subscription *subscription)
{
    SL_ASSERT(sl_link_is_empty(&subscription->cursors));
    SL_ASSERT(!sl_link_is_linked(&subscription->of_index));
    SL_ASSERT(!sl_link_is_linked(&subscription->of_pending));
    sl_buffer_deinit(&subscription->id);
    sl_control_body_deinit(&subscription->config);
    if (subscription->glob != NULL)
        sl_glob_destroy(&subscription->glob);
    sl_buffer_deinit(&subscription->root);
    sl_buffer_deinit(&subscription->worker);
    sl_buffer_deinit(&subscription->unlinked);
    sl_buffer_deinit(&subscription->lost);
}

/* ---- cursors ---- */

struct sl_cursor *sl_subscription_find(const struct sl_subscription *subscription,
                                       const struct sl_followed *stream)
{
    const struct sl_link *head;
    if (stream->cursor_count <= subscription->cursor_count) {
        head = &stream->cursors;
        for (struct sl_link *link = head->next; link != head; link = link->next) {
            struct sl_cursor *cursor = SL_OBJECT(link, struct sl_cursor, of_stream);
            if (cursor->subscription == subscription)
                return cursor;
        }
        return NULL;
    }
    head = &subscription->cursors;
    for (struct sl_link *link = head->next; link != head; link = link->next) {
        struct sl_cursor *cursor = SL_OBJECT(link, struct sl_cursor, of_subscription);
        if (cursor->stream == stream)
            return cursor;
    }
    return NULL;
}

void sl_cursor_touch(struct sl_cursor *cursor)
{
    if (cursor->is_placed && !sl_link_is_linked(&cursor->unwritten))
        sl_link_append(&cursor->subscription->unwritten, &cursor->unwritten);
}

void sl_cursor_update(struct sl_cursor *cursor)
{
    bool is_pending = cursor->is_placed && (int64_t)cursor->stream->tail > cursor->acked;
    if (is_pending == cursor->is_pending)
        return;
    cursor->is_pending = is_pending;
    if (is_pending)
        cursor->subscription->pending_count++;
    else
        cursor->subscription->pending_count--;
}

/* ---- links that end and begin again during a wake ---- */

static void note_lost(struct sl_subscription *subscription, const struct sl_followed *stream)
{
    if (subscription->phase != SL_SUBSCRIPTION_IDLE && subscription->lost.size < LOST_SIZE_MAX)
        sl_buffer_append(&subscription->lost, &stream->node.hash, sizeof(stream->node.hash));
}

/* If so many were lost that not all could be noted, any name may be one of them. */
static bool was_lost(const struct sl_subscription *subscription, const struct sl_followed *stream)
{
    const uint64_t *hash = (const void *)subscription->lost.data;
    if (subscription->phase == SL_SUBSCRIPTION_IDLE)
        return false;
    bool was = subscription->lost.size >= LOST_SIZE_MAX;
    for (size_t i = 0; i < subscription->lost.size / sizeof(*hash) && !was; i++)
        was = hash[i] == stream->node.hash;
    return was;
}

/* Whoever works on the wake is told of all links as they are now. */
static void forget_lost(struct sl_subscription *subscription)
{
    struct sl_link *head = &subscription->cursors;
    sl_buffer_deinit(&subscription->lost);
    for (struct sl_link *link = head->next; link != head; link = link->next) {
        struct sl_cursor *cursor = SL_OBJECT(link, struct sl_cursor, of_subscription);
        if (cursor->renewed_in == 0)
            continue;
        cursor->renewed_in = 0;
        sl_cursor_touch(cursor);
    }
}

struct sl_cursor *sl_cursor_create(struct sl_subscription *subscription, struct sl_followed *stream)
{
    struct sl_cursor *cursor = sl_memory_alloc(sizeof(*cursor));
    *cursor = (struct sl_cursor){
        .stream = stream,
        .subscription = subscription,
        .acked = -1,
        .renewed_in = was_lost(subscription, stream) ? subscription->generation : 0,
    };
    sl_link_init(&cursor->of_stream);
    sl_link_init(&cursor->of_subscription);
    sl_link_init(&cursor->unwritten);
    sl_link_append(&stream->cursors, &cursor->of_stream);
    sl_link_append(&subscription->cursors, &cursor->of_subscription);
    stream->cursor_count++;
    subscription->cursor_count++;
    subscription->names_size += stream->name_size;
    return cursor;
}

void sl_cursor_place(struct sl_cursor *cursor, int64_t acked)
{
    cursor->acked = acked;
    cursor->stream_id = cursor->stream->id;
    cursor->is_placed = true;
    sl_cursor_touch(cursor);
    sl_cursor_update(cursor);
}

void sl_cursor_destroy(struct sl_cursor **cursor)
{
    struct sl_cursor *last = *cursor;
    *cursor = NULL;
    note_lost(last->subscription, last->stream);
    if (last->is_pending)
        last->subscription->pending_count--;
    last->subscription->cursor_count--;
    last->subscription->names_size -= last->stream->name_size;
    last->stream->cursor_count--;
    sl_link_remove(&last->of_stream);
    sl_link_remove(&last->of_subscription);
    sl_link_remove(&last->unwritten);
    sl_memory_free(last);
}

void sl_cursor_ack(struct sl_cursor *cursor, uint64_t offset)
{
    if ((int64_t)offset <= cursor->acked)
        return;
    cursor->acked = (int64_t)offset;
    sl_cursor_touch(cursor);
    sl_cursor_update(cursor);
}

/* ---- the wake ---- */

bool sl_subscription_may_wake(const struct sl_subscription *subscription, uint64_t now_ms)
{
    bool may_try = !subscription->config.is_webhook || now_ms >= subscription->next_attempt_ms;
    return subscription->phase == SL_SUBSCRIPTION_IDLE && subscription->pending_count > 0 &&
           may_try;
}

static void set_wake_id(struct sl_subscription *subscription,
                        const uint8_t random[SL_WAKE_RANDOM_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    subscription->wake_id[0] = 'w';
    subscription->wake_id[1] = '_';
    for (unsigned i = 0; i < SL_WAKE_RANDOM_SIZE; i++) {
        subscription->wake_id[2 + 2 * i] = digits[random[i] >> 4];
        subscription->wake_id[3 + 2 * i] = digits[random[i] & 15];
    }
}

void sl_subscription_take_snapshot(struct sl_subscription *subscription)
{
    struct sl_link *head = &subscription->cursors;
    for (struct sl_link *link = head->next; link != head; link = link->next) {
        struct sl_cursor *cursor = SL_OBJECT(link, struct sl_cursor, of_subscription);
        cursor->snapshot = cursor->stream->tail;
        cursor->in_wake = cursor->is_placed;
    }
}

bool sl_subscription_is_idle_wake(const struct sl_subscription *subscription)
{
    return subscription->phase == SL_SUBSCRIPTION_WAKING && subscription->pending_count == 0 &&
           !(subscription->config.is_webhook && subscription->issued);
}

void sl_subscription_wake(struct sl_subscription *subscription,
                          const uint8_t random[SL_WAKE_RANDOM_SIZE])
{
    SL_ASSERT(subscription->phase == SL_SUBSCRIPTION_IDLE);
    SL_ASSERT(subscription->pending_count > 0);
    sl_subscription_take_snapshot(subscription);
    forget_lost(subscription);
    set_wake_id(subscription, random);
    subscription->generation++;
    subscription->phase = SL_SUBSCRIPTION_WAKING;
    subscription->issued = false;
    subscription->wake_unwritten = true;
}

void sl_subscription_end_wake(struct sl_subscription *subscription)
{
    SL_ASSERT(subscription->phase != SL_SUBSCRIPTION_IDLE);
    subscription->phase = SL_SUBSCRIPTION_IDLE;
    subscription->issued = false;
    subscription->lease_until_ms = 0;
    subscription->wake_unwritten = true;
    sl_buffer_clear(&subscription->worker);
}

static void forget_failures(struct sl_subscription *subscription)
{
    if (subscription->retry_count == 0 && subscription->next_attempt_ms == 0)
        return;
    subscription->retry_count = 0;
    subscription->next_attempt_ms = 0;
    subscription->failure = (struct sl_failure){ .reason = NULL };
    subscription->wake_unwritten = true;
}

enum sl_err sl_subscription_may_claim(const struct sl_subscription *subscription)
{
    if (subscription->phase == SL_SUBSCRIPTION_HELD)
        return SL_ERR_ALREADY_CLAIMED;
    if (subscription->phase == SL_SUBSCRIPTION_IDLE || subscription->pending_count == 0)
        return SL_ERR_NO_PENDING_WORK;
    return SL_OK;
}

enum sl_err sl_subscription_claim(struct sl_subscription *subscription, struct sl_bytes worker,
                                  uint64_t now_ms)
{
    enum sl_err err = sl_subscription_may_claim(subscription);
    if (err != SL_OK)
        return err;
    forget_lost(subscription);
    sl_buffer_clear(&subscription->worker);
    sl_buffer_append_bytes(&subscription->worker, worker);
    subscription->phase = SL_SUBSCRIPTION_HELD;
    subscription->wake_unwritten = true;
    forget_failures(subscription);
    sl_subscription_extend_lease(subscription, now_ms);
    return SL_OK;
}

void sl_subscription_extend_lease(struct sl_subscription *subscription, uint64_t now_ms)
{
    SL_ASSERT(subscription->phase != SL_SUBSCRIPTION_IDLE);
    subscription->lease_until_ms = now_ms + subscription->config.lease_ms;
}

enum sl_err sl_subscription_check_wake(const struct sl_subscription *subscription,
                                       uint64_t token_generation,
                                       const struct sl_control_body *body)
{
    struct sl_bytes wake_id = sl_bytes(subscription->wake_id, SL_WAKE_ID_SIZE);
    bool is_current = subscription->phase != SL_SUBSCRIPTION_IDLE &&
                      token_generation == subscription->generation && body->has_generation &&
                      body->generation == subscription->generation &&
                      sl_bytes_equal(body->wake_id, wake_id);
    return is_current ? SL_OK : SL_ERR_FENCED;
}

void sl_subscription_on_lease_over(struct sl_subscription *subscription)
{
    subscription->leases_expired++;
    sl_subscription_end_wake(subscription);
}

void sl_subscription_on_callback(struct sl_subscription *subscription, uint64_t now_ms)
{
    forget_failures(subscription);
    subscription->leases_expired = 0;
    subscription->issued = true;
    sl_subscription_extend_lease(subscription, now_ms);
}

/* ---- what became of a webhook or an event ---- */

void sl_subscription_on_delivered(struct sl_subscription *subscription, bool done)
{
    SL_ASSERT(subscription->phase == SL_SUBSCRIPTION_WAKING);
    forget_failures(subscription);
    if (!done)
        return;
    subscription->leases_expired = 0;
    struct sl_link *head = &subscription->cursors;
    for (struct sl_link *link = head->next; link != head; link = link->next) {
        struct sl_cursor *cursor = SL_OBJECT(link, struct sl_cursor, of_subscription);
        if (cursor->in_wake)
            sl_cursor_ack(cursor, cursor->snapshot);
    }
    sl_subscription_end_wake(subscription);
}

uint64_t sl_retry_delay_ms(unsigned failures, uint64_t random)
{
    uint64_t delay_ms = SL_RETRY_FIRST_MS;
    SL_ASSERT(failures > 0);
    while (--failures > 0 && delay_ms < SL_RETRY_LONGEST_MS)
        delay_ms *= 2;
    if (delay_ms > SL_RETRY_LONGEST_MS)
        delay_ms = SL_RETRY_LONGEST_MS;
    uint64_t jitter_ms = delay_ms / SL_RETRY_JITTER_PARTS;
    return delay_ms - jitter_ms + random % (2 * jitter_ms + 1);
}

void sl_subscription_on_failed(struct sl_subscription *subscription, struct sl_failure failure,
                               uint64_t now_ms, uint64_t random)
{
    subscription->issued = false;
    subscription->failure = failure;
    subscription->retry_count++;
    subscription->next_attempt_ms = now_ms + sl_retry_delay_ms(subscription->retry_count, random);
    subscription->wake_unwritten = true;
}

/* ---- time ---- */

bool sl_subscription_wants_issue(const struct sl_subscription *subscription, uint64_t now_ms)
{
    return subscription->phase == SL_SUBSCRIPTION_WAKING && !subscription->issued &&
           now_ms >= subscription->next_attempt_ms;
}

uint64_t sl_subscription_deadline(const struct sl_subscription *subscription)
{
    uint64_t deadline_ms = UINT64_MAX;
    bool waits_for_attempt =
        (subscription->phase == SL_SUBSCRIPTION_WAKING && !subscription->issued) ||
        (subscription->phase == SL_SUBSCRIPTION_IDLE && subscription->pending_count > 0);
    if (subscription->lease_until_ms != 0)
        deadline_ms = subscription->lease_until_ms;
    if (waits_for_attempt && subscription->next_attempt_ms != 0 &&
        subscription->next_attempt_ms < deadline_ms)
        deadline_ms = subscription->next_attempt_ms;
    return deadline_ms;
}

void sl_subscription_check(const struct sl_subscription *subscription)
{
    size_t cursors = 0, pending = 0;
    const struct sl_link *head = &subscription->cursors;
    for (struct sl_link *link = head->next; link != head; link = link->next) {
        const struct sl_cursor *cursor = SL_OBJECT(link, struct sl_cursor, of_subscription);
        SL_ASSERT(cursor->subscription == subscription);
        SL_ASSERT(cursor->is_pending ==
                  (cursor->is_placed && (int64_t)cursor->stream->tail > cursor->acked));
        cursors++;
        pending += cursor->is_pending;
    }
    SL_ASSERT(subscription->cursor_count == cursors);
    SL_ASSERT(subscription->pending_count == pending);
    if (subscription->phase != SL_SUBSCRIPTION_IDLE)
        SL_ASSERT(subscription->wake_id[0] == 'w');
    if (subscription->phase == SL_SUBSCRIPTION_HELD) {
        SL_ASSERT(!subscription->config.is_webhook);
        SL_ASSERT(subscription->lease_until_ms != 0);
    }
    if (subscription->phase == SL_SUBSCRIPTION_IDLE)
        SL_ASSERT(subscription->lease_until_ms == 0);
}
