/*
 * The first byte says which request, the rest is its body. Whatever it is, it is read or refused,
 * with a reason; what was read keeps the promises of its header, and a subscription that is written
 * in full and read again is the same.
 */
#include "base/assert.h"
#include "base/memory.h"
#include "hooks/subscription_json.h"
#include "protocol/control_body.h"
#include "protocol/stream_name.h"
#include "support/plain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { REQUESTS = 4 };

static void check_text(const struct sl_control_body *body, struct sl_bytes text)
{
    if (text.size == 0)
        return;
    SL_ASSERT(text.data >= body->text.data);
    SL_ASSERT(text.data + text.size < body->text.data + body->text.size);
    SL_ASSERT(text.data[text.size] == '\0');
}

static void check_name(const struct sl_control_body *body, struct sl_bytes name)
{
    char canonical[SL_NAME_SIZE_MAX];
    size_t size;
    check_text(body, name);
    SL_ASSERT(sl_stream_name_parse(name, canonical, &size) == SL_OK);
    SL_ASSERT(sl_bytes_equal(sl_bytes(canonical, size), name));
}

static bool is_before(struct sl_bytes a, struct sl_bytes b)
{
    size_t size = a.size < b.size ? a.size : b.size;
    int order = memcmp(a.data, b.data, size);
    return order < 0 || (order == 0 && a.size < b.size);
}

static void check_streams(const struct sl_control_body *body)
{
    for (size_t i = 0; i < body->stream_count; i++) {
        check_name(body, body->streams[i]);
        SL_ASSERT(i == 0 || is_before(body->streams[i - 1], body->streams[i]));
    }
}

static void check_subscription(const struct sl_control_body *body)
{
    struct sl_control_body again = { .streams = NULL };
    struct sl_buffer text = { 0 };
    struct sl_buffer text_again = { 0 };
    const char *what;
    SL_ASSERT(body->lease_ms >= SL_LEASE_MS_MIN && body->lease_ms <= SL_LEASE_MS_MAX);
    SL_ASSERT(body->pattern.size > 0 || body->stream_count > 0);
    SL_ASSERT(body->pattern.size <= SL_NAME_SIZE_MAX);
    SL_ASSERT(body->description.size <= SL_DESCRIPTION_SIZE_MAX);
    SL_ASSERT(body->is_webhook ? body->url.size > 0 : body->wake_stream.size > 0);
    check_text(body, body->url);
    check_text(body, body->description);
    if (body->wake_stream.size > 0)
        check_name(body, body->wake_stream);
    check_streams(body);
    sl_subscription_append_config(body, &text);
    enum sl_err err = sl_control_parse_subscription(sl_buffer_bytes(&text), &again, &what);
    SL_ASSERT(err == SL_OK);
    sl_subscription_append_config(&again, &text_again);
    SL_ASSERT(sl_bytes_equal(sl_buffer_bytes(&text), sl_buffer_bytes(&text_again)));
    sl_control_body_deinit(&again);
    sl_buffer_deinit(&text);
    sl_buffer_deinit(&text_again);
}

static void check_claim(const struct sl_control_body *body)
{
    SL_ASSERT(body->worker.size > 0 && body->worker.size <= SL_WORKER_SIZE_MAX);
    SL_ASSERT(plain_is_utf8(body->worker));
    check_text(body, body->worker);
}

static void check_acks(const struct sl_control_body *body)
{
    check_text(body, body->wake_id);
    for (size_t i = 0; i < body->ack_count; i++) {
        if (body->acks[i].stream.size > 0)
            check_name(body, body->acks[i].stream);
        SL_ASSERT(!body->acks[i].has_offset || body->acks[i].offset <= SL_OFFSET_MAX);
    }
}

static const struct {
    enum sl_err (*parse)(struct sl_bytes json, struct sl_control_body *body, const char **what);
    void (*check)(const struct sl_control_body *body);
} requests[REQUESTS] = {
    { sl_control_parse_subscription, check_subscription },
    { sl_control_parse_streams, check_streams },
    { sl_control_parse_claim, check_claim },
    { sl_control_parse_acks, check_acks },
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sl_control_body body = { .streams = NULL };
    const char *what = NULL;
    if (size == 0)
        return 0;
    unsigned request = data[0] % REQUESTS;
    struct sl_bytes json = sl_bytes(data + 1, size - 1);
    enum sl_err err = requests[request].parse(json, &body, &what);
    SL_ASSERT((err == SL_ERR_INVALID_REQUEST) == (what != NULL));
    SL_ASSERT(err == SL_OK || err == SL_ERR_INVALID_REQUEST);
    if (err == SL_OK)
        requests[request].check(&body);
    /* Whoever says that all is done says it in an answer, too. */
    if (err == SL_OK && requests[request].check == check_acks)
        SL_ASSERT(sl_control_says_done(json) == body.done);
    else
        (void)sl_control_says_done(json);
    sl_control_body_deinit(&body);
    return 0;
}
