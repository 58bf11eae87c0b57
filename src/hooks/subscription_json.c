#include "hooks/subscription_json.h"

#include <inttypes.h>
#include <limits.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/memory.h"
#include "protocol/ascii.h"
#include "protocol/json_value.h"
#include "protocol/number.h"
#include "protocol/offset.h"
#include "protocol/stream_name.h"

enum {
    /* Bytes of the object of one link in an answer and the comma, without the name. */
    LINK_SIZE_MAX = 156,
    /* Bytes of all that an answer says beside links and texts. */
    FRAME_SIZE_MAX = 1024,
    /* Bytes that one byte of a text becomes. */
    ESCAPE_SIZE_MAX = 6,
};

SL_STATIC_ASSERT(LINK_SIZE_MAX < sizeof(struct sl_cursor) + sizeof(struct sl_followed),
                 "what is counted for links bounds what is answered of them");

/* ---- writing members ---- */

/* A member `name` with the text, or null when it is empty. */
static void append_text(struct sl_buffer *out, const char *name, struct sl_bytes text)
{
    sl_buffer_printf(out, "\"%s\":", name);
    if (text.size == 0)
        sl_buffer_append_text(out, "null");
    else
        sl_json_append_string(out, text);
}

static void append_number(struct sl_buffer *out, const char *name, uint64_t number)
{
    sl_buffer_printf(out, "\"%s\":%" PRIu64, name, number);
}

static void append_flag(struct sl_buffer *out, const char *name, bool flag)
{
    sl_buffer_printf(out, "\"%s\":%s", name, flag ? "true" : "false");
}

static void append_offset(struct sl_buffer *out, const char *name, int64_t offset)
{
    char token[SL_OFFSET_TOKEN_SIZE];
    if (offset < 0) {
        sl_buffer_printf(out, "\"%s\":\"-1\"", name);
        return;
    }
    sl_offset_format((uint64_t)offset, token);
    sl_buffer_printf(out, "\"%s\":\"%.*s\"", name, SL_OFFSET_TOKEN_SIZE, token);
}

static void append_comma(struct sl_buffer *out)
{
    sl_buffer_append_text(out, ",");
}

/* The id as the client means it: canonical escapes are valid ones. */
static void append_id(struct sl_buffer *out, const char *name,
                      const struct sl_subscription *subscription)
{
    uint8_t decoded[SL_SUBSCRIPTION_ID_SIZE_MAX];
    struct sl_bytes id = sl_buffer_bytes(&subscription->id);
    size_t size = 0;
    SL_ASSERT(id.size <= sizeof(decoded));
    for (size_t i = 0; i < id.size; i++) {
        if (id.data[i] != '%') {
            decoded[size++] = id.data[i];
            continue;
        }
        decoded[size++] =
            (uint8_t)(sl_ascii_hex_value(id.data[i + 1]) << 4 | sl_ascii_hex_value(id.data[i + 2]));
        i += 2;
    }
    append_text(out, name, sl_bytes(decoded, size));
}

static struct sl_bytes wake_id_of(const struct sl_subscription *subscription)
{
    return sl_bytes(subscription->wake_id, SL_WAKE_ID_SIZE);
}

/* ---- what leaves ---- */

static void append_cursor(struct sl_buffer *out, const struct sl_cursor *cursor)
{
    sl_buffer_append_text(out, "{");
    append_text(out, "path", sl_followed_name(cursor->stream));
    append_comma(out);
    append_text(out, "link_type", sl_bytes_of(cursor->is_explicit ? "explicit" : "glob"));
    append_comma(out);
    append_offset(out, "acked_offset", cursor->acked);
}

/* With its tail, and whether that is beyond what was acked. */
static void append_unread(struct sl_buffer *out, const struct sl_cursor *cursor, uint64_t tail)
{
    append_cursor(out, cursor);
    append_comma(out);
    append_offset(out, "tail_offset", (int64_t)tail);
    append_comma(out);
    append_flag(out, "has_pending", (int64_t)tail > cursor->acked);
    sl_buffer_append_text(out, "}");
}

void sl_subscription_append_view(const struct sl_subscription *subscription,
                                 const struct sl_hooks_address *address, struct sl_buffer *out)
{
    const struct sl_control_body *config = &subscription->config;
    const struct sl_link *head = &subscription->cursors;
    char created_at[SL_CLOCK_TEXT_SIZE];
    sl_buffer_append_text(out, "{");
    append_id(out, "id", subscription);
    append_comma(out);
    append_id(out, "subscription_id", subscription);
    append_comma(out);
    append_text(out, "type", sl_bytes_of(config->is_webhook ? "webhook" : "pull-wake"));
    append_comma(out);
    append_text(out, "pattern", config->pattern);
    sl_buffer_append_text(out, ",\"streams\":[");
    for (struct sl_link *link = head->next; link != head; link = link->next) {
        if (link != head->next)
            append_comma(out);
        append_cursor(out, SL_OBJECT(link, struct sl_cursor, of_subscription));
        sl_buffer_append_text(out, "}");
    }
    sl_buffer_append_text(out, "],\"webhook\":");
    if (config->is_webhook) {
        sl_buffer_append_text(out, "{");
        append_text(out, "url", config->url);
        sl_buffer_printf(out,
                         ",\"signing\":{\"alg\":\"ed25519\",\"kid\":\"%s\","
                         "\"jwks_url\":\"%.*s/__ds/jwks.json\"}}",
                         address->kid, (int)address->root.size, (const char *)address->root.data);
    } else {
        sl_buffer_append_text(out, "null");
    }
    append_comma(out);
    append_text(out, "wake_stream", config->wake_stream);
    append_comma(out);
    append_number(out, "lease_ttl_ms", config->lease_ms);
    sl_clock_format_wall(subscription->created_at_ms, created_at);
    sl_buffer_printf(out, ",\"created_at\":\"%s\",\"status\":\"%s\",", created_at,
                     config->is_webhook && subscription->retry_count > 0 ? "failed" : "active");
    append_text(out, "description", config->description);
    sl_buffer_append_text(out, "}");
}

size_t sl_subscription_answer_size_max(const struct sl_subscription *subscription,
                                       struct sl_bytes root)
{
    const struct sl_control_body *config = &subscription->config;
    size_t texts = 2 * subscription->id.size + config->pattern.size + config->url.size +
                   config->wake_stream.size + config->description.size;
    return FRAME_SIZE_MAX + root.size + ESCAPE_SIZE_MAX * texts + subscription->names_size +
           LINK_SIZE_MAX * subscription->cursor_count;
}

void sl_subscription_append_claim(const struct sl_subscription *subscription, struct sl_bytes token,
                                  struct sl_buffer *out)
{
    const struct sl_link *head = &subscription->cursors;
    sl_buffer_append_text(out, "{");
    append_text(out, "wake_id", wake_id_of(subscription));
    append_comma(out);
    append_number(out, "generation", subscription->generation);
    append_comma(out);
    append_text(out, "token", token);
    sl_buffer_append_text(out, ",\"streams\":[");
    for (struct sl_link *link = head->next; link != head; link = link->next) {
        const struct sl_cursor *cursor = SL_OBJECT(link, struct sl_cursor, of_subscription);
        if (link != head->next)
            append_comma(out);
        append_unread(out, cursor, cursor->stream->tail);
    }
    sl_buffer_append_text(out, "],");
    append_number(out, "lease_ttl_ms", subscription->config.lease_ms);
    sl_buffer_append_text(out, "}");
}

void sl_subscription_append_webhook(const struct sl_subscription *subscription,
                                    struct sl_bytes root, struct sl_bytes token,
                                    struct sl_buffer *out)
{
    const struct sl_link *head = &subscription->cursors;
    bool first = true;
    sl_buffer_append_text(out, "{");
    append_id(out, "subscription_id", subscription);
    append_comma(out);
    append_text(out, "wake_id", wake_id_of(subscription));
    append_comma(out);
    append_number(out, "generation", subscription->generation);
    sl_buffer_append_text(out, ",\"streams\":[");
    for (struct sl_link *link = head->next; link != head; link = link->next) {
        const struct sl_cursor *cursor = SL_OBJECT(link, struct sl_cursor, of_subscription);
        if (!cursor->in_wake)
            continue;
        if (!first)
            append_comma(out);
        first = false;
        append_unread(out, cursor, cursor->snapshot);
    }
    sl_buffer_printf(out, "],\"callback_url\":\"%.*s/__ds/subscriptions/%.*s/callback\",",
                     (int)root.size, (const char *)root.data, (int)subscription->id.size,
                     (const char *)subscription->id.data);
    append_text(out, "callback_token", token);
    sl_buffer_append_text(out, "}");
}

void sl_subscription_append_event(const struct sl_subscription *subscription, int64_t wall_ms,
                                  struct sl_buffer *out)
{
    const struct sl_link *head = &subscription->cursors;
    struct sl_bytes path = sl_bytes(NULL, 0);
    for (struct sl_link *link = head->next; link != head && path.size == 0; link = link->next) {
        const struct sl_cursor *cursor = SL_OBJECT(link, struct sl_cursor, of_subscription);
        if (cursor->is_pending)
            path = sl_followed_name(cursor->stream);
    }
    sl_buffer_append_text(out, "{\"type\":\"wake\",");
    append_id(out, "subscription_id", subscription);
    append_comma(out);
    append_text(out, "stream", path);
    append_comma(out);
    append_number(out, "generation", subscription->generation);
    append_comma(out);
    append_number(out, "ts", (uint64_t)wall_ms);
    sl_buffer_append_text(out, "}");
}

static const char *phase_name(enum sl_subscription_phase phase)
{
    switch (phase) {
    case SL_SUBSCRIPTION_IDLE:
        return "idle";
    case SL_SUBSCRIPTION_WAKING:
        return "waking";
    case SL_SUBSCRIPTION_HELD:
        return "held";
    }
    return "";
}

/* By the wall clock; 0: there was no failure. */
static uint64_t next_attempt_wall_ms(const struct sl_subscription *subscription,
                                     const struct sl_hooks_now *now)
{
    uint64_t attempt_ms = subscription->next_attempt_ms;
    if (attempt_ms == 0)
        return 0;
    return (uint64_t)now->wall_ms +
           (attempt_ms > now->running_ms ? attempt_ms - now->running_ms : 0);
}

void sl_subscription_append_summary(const struct sl_subscription *subscription,
                                    const struct sl_hooks_now *now, struct sl_buffer *out)
{
    const struct sl_failure *failure = &subscription->failure;
    uint64_t now_ms = now->running_ms;
    uint64_t since_ms = subscription->pending_since_ms;
    bool is_pending = sl_subscription_is_pending(subscription);
    sl_buffer_append_text(out, "{");
    append_id(out, "id", subscription);
    append_comma(out);
    append_text(out, "type",
                sl_bytes_of(subscription->config.is_webhook ? "webhook" : "pull-wake"));
    append_comma(out);
    append_text(out, "state", sl_bytes_of(phase_name(subscription->phase)));
    append_comma(out);
    append_number(out, "generation", subscription->generation);
    append_comma(out);
    append_number(out, "failures", subscription->retry_count);
    append_comma(out);
    append_text(out, "last_error", sl_bytes_of(failure->reason == NULL ? "" : failure->reason));
    append_comma(out);
    append_number(out, "last_status", failure->status);
    append_comma(out);
    append_number(out, "next_attempt_ms", next_attempt_wall_ms(subscription, now));
    append_comma(out);
    append_number(out, "leases_expired", subscription->leases_expired);
    append_comma(out);
    append_number(out, "streams", subscription->cursor_count);
    append_comma(out);
    append_number(out, "pending_streams", subscription->pending_count);
    append_comma(out);
    append_number(out, "lag_ms", is_pending && now_ms > since_ms ? now_ms - since_ms : 0);
    sl_buffer_append_text(out, "}");
}

/* ---- what is kept ---- */

void sl_subscription_append_config(const struct sl_control_body *config, struct sl_buffer *out)
{
    sl_buffer_append_text(out, "{");
    append_text(out, "type", sl_bytes_of(config->is_webhook ? "webhook" : "pull-wake"));
    append_comma(out);
    append_text(out, "pattern", config->pattern);
    sl_buffer_append_text(out, ",\"streams\":[");
    for (size_t i = 0; i < config->stream_count; i++) {
        if (i > 0)
            append_comma(out);
        sl_json_append_string(out, config->streams[i]);
    }
    sl_buffer_append_text(out, "],\"webhook\":{");
    append_text(out, "url", config->url);
    sl_buffer_append_text(out, "},");
    append_text(out, "wake_stream", config->wake_stream);
    append_comma(out);
    append_number(out, "lease_ttl_ms", config->lease_ms);
    sl_buffer_append_text(out, ",\"description\":");
    if (config->has_description)
        sl_json_append_string(out, config->description);
    else
        sl_buffer_append_text(out, "null");
    sl_buffer_append_text(out, "}");
}

void sl_subscription_append_first_record(const struct sl_subscription *subscription,
                                         struct sl_buffer *out)
{
    sl_buffer_append_text(out, "{\"config\":");
    sl_subscription_append_config(&subscription->config, out);
    append_comma(out);
    append_number(out, "created_at_ms", (uint64_t)subscription->created_at_ms);
    append_comma(out);
    append_number(out, "incarnation", subscription->incarnation);
    append_comma(out);
    append_text(out, "root", sl_buffer_bytes(&subscription->root));
    sl_buffer_append_text(out, "}");
}

static void append_wake(const struct sl_subscription *subscription, const struct sl_hooks_now *now,
                        struct sl_buffer *out)
{
    uint64_t attempt_ms = next_attempt_wall_ms(subscription, now);
    sl_buffer_append_text(out, "\"wake\":{");
    append_number(out, "generation", subscription->generation);
    if (subscription->phase != SL_SUBSCRIPTION_IDLE) {
        append_comma(out);
        append_text(out, "id", wake_id_of(subscription));
    }
    if (subscription->phase == SL_SUBSCRIPTION_HELD) {
        append_comma(out);
        append_text(out, "worker", sl_buffer_bytes(&subscription->worker));
    }
    if (attempt_ms != 0) {
        append_comma(out);
        append_number(out, "retries", subscription->retry_count);
        append_comma(out);
        append_number(out, "next_attempt_ms", attempt_ms);
    }
    sl_buffer_append_text(out, "}");
}

static void append_link(const struct sl_cursor *cursor, struct sl_buffer *out)
{
    sl_buffer_append_text(out, "{");
    append_text(out, "path", sl_followed_name(cursor->stream));
    append_comma(out);
    if (cursor->acked >= 0) {
        append_number(out, "acked", (uint64_t)cursor->acked);
        append_comma(out);
    }
    append_number(out, "stream", cursor->stream_id);
    append_comma(out);
    if (cursor->renewed_in != 0) {
        append_number(out, "renewed_in", cursor->renewed_in);
        append_comma(out);
    }
    append_flag(out, "explicit", cursor->is_explicit);
    append_comma(out);
    append_flag(out, "glob", cursor->is_glob);
    sl_buffer_append_text(out, "}");
}

bool sl_subscription_is_unwritten(const struct sl_subscription *subscription)
{
    return subscription->wake_unwritten || !sl_link_is_empty(&subscription->unwritten) ||
           subscription->unlinked.size > 0;
}

void sl_subscription_touch_all(struct sl_subscription *subscription)
{
    struct sl_link *head = &subscription->cursors;
    subscription->wake_unwritten = true;
    sl_buffer_deinit(&subscription->unlinked);
    for (struct sl_link *link = head->next; link != head; link = link->next)
        sl_cursor_touch(SL_OBJECT(link, struct sl_cursor, of_subscription));
}

/* The first names that are no longer linked, as many as there is room for, and one at least. */
static void take_unlinks(struct sl_buffer *unlinked, size_t size_max, struct sl_buffer *out)
{
    struct sl_bytes name, rest = sl_buffer_bytes(unlinked), all = rest;
    do {
        if (!sl_json_next(&rest, &name))
            return;
    } while (all.size - rest.size <= size_max && rest.size > 0);
    size_t size = (size_t)(name.data - all.data) + name.size;
    sl_buffer_append(out, all.data, size);
    if (rest.size == 0) {
        sl_buffer_deinit(unlinked);
        return;
    }
    memmove(unlinked->data, rest.data, rest.size);
    unlinked->size = rest.size;
}

static void take_links(struct sl_subscription *subscription, size_t size_max, struct sl_buffer *out)
{
    size_t start = out->size;
    struct sl_link *link;
    while ((link = sl_link_first(&subscription->unwritten)) != NULL &&
           out->size - start <= size_max) {
        if (out->size > start)
            append_comma(out);
        append_link(SL_OBJECT(link, struct sl_cursor, unwritten), out);
        sl_link_remove(link);
    }
}

void sl_subscription_take_record(struct sl_subscription *subscription,
                                 const struct sl_hooks_now *now, size_t size_max,
                                 struct sl_buffer *out)
{
    sl_buffer_append_text(out, "{");
    append_wake(subscription, now, out);
    sl_buffer_append_text(out, ",\"unlinks\":[");
    take_unlinks(&subscription->unlinked, size_max, out);
    sl_buffer_append_text(out, "],\"links\":[");
    /* What was linked anew must not come before its unlink. */
    if (subscription->unlinked.size == 0)
        take_links(subscription, size_max, out);
    sl_buffer_append_text(out, "]}");
    subscription->wake_unwritten = false;
}

/* ---- reading it again ---- */

/* A member that is a number; false: there is none. */
static bool find_number(struct sl_bytes object, const char *name, uint64_t *number)
{
    struct sl_bytes value;
    *number = 0;
    return sl_json_find(object, name, &value) &&
           sl_number_parse_canonical(value, UINT64_MAX, number);
}

static bool find_flag(struct sl_bytes object, const char *name)
{
    struct sl_bytes value;
    return sl_json_find(object, name, &value) && sl_json_is_true(value);
}

/* Appends the text of a member; false: there is none. */
static bool find_text(struct sl_bytes object, const char *name, struct sl_buffer *out)
{
    struct sl_bytes value;
    return sl_json_find(object, name, &value) && sl_json_is_string(value) &&
           sl_json_decode_string(value, out);
}

bool sl_subscription_read_first_record(struct sl_bytes record, struct sl_subscription *subscription,
                                       struct sl_bytes id)
{
    struct sl_control_body config = { .streams = NULL };
    struct sl_bytes value;
    const char *what;
    uint64_t created_at_ms;
    bool ok = sl_json_find(record, "config", &value) &&
              sl_control_read_subscription(value, &config, &what) == SL_OK;
    sl_subscription_init(subscription, id, &config);
    ok = ok && find_number(record, "created_at_ms", &created_at_ms) &&
         created_at_ms <= SL_CLOCK_WALL_MS_MAX &&
         find_number(record, "incarnation", &subscription->incarnation) &&
         find_text(record, "root", &subscription->root) && subscription->root.size > 0;
    if (ok && subscription->config.pattern.size > 0)
        ok = sl_glob_create(subscription->config.pattern, &subscription->glob) == SL_OK;
    if (ok)
        subscription->created_at_ms = (int64_t)created_at_ms;
    else
        sl_subscription_deinit(subscription);
    return ok;
}

/* False: it is none. */
static bool apply_wake_id(struct sl_bytes id, struct sl_subscription *subscription)
{
    if (id.size != SL_WAKE_ID_SIZE || id.data[0] != 'w')
        return false;
    memcpy(subscription->wake_id, id.data, SL_WAKE_ID_SIZE);
    subscription->phase = SL_SUBSCRIPTION_WAKING;
    return true;
}

/* Held again as long as a lease lasts: its worker may live, and has heard nothing meanwhile. */
static bool apply_wake(struct sl_bytes wake, struct sl_subscription *subscription,
                       const struct sl_hooks_now *now)
{
    struct sl_buffer id = { NULL, 0, 0 };
    uint64_t retries, attempt_wall_ms;
    bool ok = find_number(wake, "generation", &subscription->generation);
    subscription->phase = SL_SUBSCRIPTION_IDLE;
    subscription->lease_until_ms = subscription->next_attempt_ms = 0;
    subscription->retry_count = 0;
    sl_buffer_clear(&subscription->worker);
    if (ok && find_text(wake, "id", &id))
        ok = apply_wake_id(sl_buffer_bytes(&id), subscription);
    sl_buffer_deinit(&id);
    if (ok && subscription->phase == SL_SUBSCRIPTION_WAKING &&
        find_text(wake, "worker", &subscription->worker)) {
        ok = subscription->worker.size > 0 && !subscription->config.is_webhook;
        subscription->phase = SL_SUBSCRIPTION_HELD;
        sl_subscription_extend_lease(subscription, now->running_ms);
    }
    if (find_number(wake, "retries", &retries) && retries <= UINT_MAX &&
        find_number(wake, "next_attempt_ms", &attempt_wall_ms)) {
        uint64_t left_ms =
            attempt_wall_ms > (uint64_t)now->wall_ms ? attempt_wall_ms - (uint64_t)now->wall_ms : 0;
        /* The clock may have jumped. */
        if (left_ms > 2 * SL_RETRY_LONGEST_MS)
            left_ms = SL_RETRY_LONGEST_MS;
        subscription->retry_count = (unsigned)retries;
        subscription->next_attempt_ms = now->running_ms + left_ms;
    }
    return ok;
}

static bool apply_unlink(struct sl_bytes value, struct sl_registry *registry,
                         struct sl_subscription *subscription)
{
    struct sl_buffer path = { NULL, 0, 0 };
    bool ok = sl_json_is_string(value) && sl_json_decode_string(value, &path);
    struct sl_cursor *cursor =
        ok ? sl_registry_find_cursor(registry, subscription, sl_buffer_bytes(&path)) : NULL;
    if (cursor != NULL)
        sl_registry_unlink(registry, &cursor);
    sl_buffer_deinit(&path);
    return ok;
}

static bool apply_link(struct sl_bytes value, struct sl_registry *registry,
                       struct sl_subscription *subscription)
{
    struct sl_buffer path = { NULL, 0, 0 };
    struct sl_cursor *cursor;
    uint64_t acked = 0, id = 0;
    bool has_acked = find_number(value, "acked", &acked);
    bool ok = find_text(value, "path", &path) && path.size > 0 && path.size <= SL_NAME_SIZE_MAX &&
              acked <= SL_OFFSET_MAX && find_number(value, "stream", &id) &&
              sl_registry_link(registry, subscription, sl_buffer_bytes(&path), &cursor) == SL_OK;
    sl_buffer_deinit(&path);
    if (!ok)
        return false;
    cursor->renewed_in = 0;
    (void)find_number(value, "renewed_in", &cursor->renewed_in);
    cursor->is_explicit = find_flag(value, "explicit");
    cursor->is_glob = find_flag(value, "glob");
    sl_cursor_place(cursor, has_acked ? (int64_t)acked : -1);
    cursor->stream_id = id;
    sl_link_remove(&cursor->unwritten);
    return true;
}

bool sl_subscription_apply_record(struct sl_bytes record, struct sl_registry *registry,
                                  struct sl_subscription *subscription,
                                  const struct sl_hooks_now *now, bool *complete)
{
    struct sl_bytes list, value, rest;
    if (!sl_json_is_object(record))
        return false;
    if (sl_json_find(record, "wake", &value) && !apply_wake(value, subscription, now))
        return false;
    if (sl_json_find(record, "unlinks", &list) && sl_json_is_array(list))
        for (rest = sl_json_elements(list); sl_json_next(&rest, &value);)
            if (!apply_unlink(value, registry, subscription))
                return false;
    if (sl_json_find(record, "links", &list) && sl_json_is_array(list))
        for (rest = sl_json_elements(list); sl_json_next(&rest, &value);)
            if (!apply_link(value, registry, subscription))
                return false;
    *complete |= find_flag(record, "complete");
    return true;
}
