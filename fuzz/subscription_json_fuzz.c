/*
 * Any bytes as the stream of state of a subscription. It is refused, or there is a subscription
 * that keeps its invariants, of which everything that leaves is JSON, and that is the same again
 * when its records are read back.
 */
#include "base/assert.h"
#include "base/memory.h"
#include "hooks/subscription_json.h"
#include "protocol/json.h"
#include "protocol/json_value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    CURSORS_MAX = 8,   /* few, so that the bound is met */
    RECORD_BYTES = 64, /* so that there are several records */
};

static const struct sl_hooks_now now = { 5000000, 1764132000123 };

/* NULL: malformed. */
static struct sl_subscription *read_back(struct sl_registry *registry, struct sl_bytes records)
{
    struct sl_bytes record, id = sl_bytes_of("a%20b");
    bool complete = false, ok = true;
    struct sl_subscription *made = sl_memory_zalloc(sizeof(*made));
    if (!sl_json_next(&records, &record) || !sl_subscription_read_first_record(record, made, id)) {
        sl_memory_free(made);
        return NULL;
    }
    sl_registry_add(registry, made);
    while (ok && sl_json_next(&records, &record))
        ok = sl_subscription_apply_record(record, registry, made, &now, &complete);
    if (!ok)
        sl_registry_remove(registry, &made);
    else
        sl_subscription_check(made);
    return made;
}

static void write_all(struct sl_subscription *subscription, struct sl_buffer *out)
{
    sl_subscription_append_first_record(subscription, out);
    sl_buffer_append_text(out, ",");
    sl_subscription_touch_all(subscription);
    while (sl_subscription_is_unwritten(subscription)) {
        sl_subscription_take_record(subscription, &now, RECORD_BYTES, out);
        sl_buffer_append_text(out, ",");
    }
}

/* One JSON text, minified. */
static void check_json(struct sl_buffer *text)
{
    struct sl_json_split split = { 0 };
    enum sl_err err = sl_json_split(sl_buffer_bytes(text), &split);
    SL_ASSERT(err == SL_OK && split.count == 1);
    SL_ASSERT(split.messages.size == text->size + 1);
    SL_ASSERT(memcmp(split.messages.data, text->data, text->size) == 0);
    sl_json_split_deinit(&split);
    sl_buffer_clear(text);
}

static void check_what_leaves(struct sl_subscription *subscription)
{
    static const uint8_t random[SL_WAKE_RANDOM_SIZE] = { 1, 2, 3 };
    const struct sl_hooks_address address = { sl_bytes_of("http://h/s"), "ds_k" };
    struct sl_buffer text = { 0 };
    if (sl_subscription_may_wake(subscription, now.running_ms))
        sl_subscription_wake(subscription, random);
    sl_subscription_append_view(subscription, &address, &text);
    check_json(&text);
    sl_subscription_append_claim(subscription, sl_bytes_of("token"), &text);
    check_json(&text);
    sl_subscription_append_webhook(subscription, address.root, sl_bytes_of("token"), &text);
    check_json(&text);
    sl_subscription_append_event(subscription, now.wall_ms, &text);
    check_json(&text);
    sl_subscription_append_summary(subscription, &now, &text);
    check_json(&text);
    sl_buffer_deinit(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sl_json_split split = { 0 };
    struct sl_registry registry;
    struct sl_buffer records = { 0 };
    struct sl_buffer again = { 0 };
    if (sl_json_split(sl_bytes(data, size), &split) != SL_OK) {
        sl_json_split_deinit(&split);
        return 0;
    }
    sl_registry_init(&registry);
    registry.cursors_max = CURSORS_MAX;
    struct sl_subscription *first = read_back(&registry, sl_buffer_bytes(&split.messages));
    if (first != NULL) {
        write_all(first, &records);
        sl_registry_remove(&registry, &first);
        struct sl_subscription *second = read_back(&registry, sl_buffer_bytes(&records));
        SL_ASSERT(second != NULL);
        write_all(second, &again);
        SL_ASSERT(sl_bytes_equal(sl_buffer_bytes(&records), sl_buffer_bytes(&again)));
        check_what_leaves(second);
        sl_subscription_check(second);
    }
    sl_registry_deinit(&registry);
    sl_json_split_deinit(&split);
    sl_buffer_deinit(&records);
    sl_buffer_deinit(&again);
    return 0;
}
