#include "protocol/control_body.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/memory.h"
#include "protocol/json.h"
#include "protocol/json_value.h"
#include "protocol/number.h"
#include "protocol/offset.h"
#include "protocol/stream_name.h"

enum {
    /* A byte of a name becomes at most an escape; the rest is for texts and their ends. */
    TEXT_GROWTH = 4,
    TEXT_SIZE_MIN = 64,
};

/* What is said to the client. */
SL_STATIC_ASSERT(SL_NAME_SIZE_MAX == 1024, "pattern, streams, wake_stream");
SL_STATIC_ASSERT(SL_NAMES_PER_REQUEST_MAX == 65536, "streams");
SL_STATIC_ASSERT(SL_LEASE_MS_MIN == 1000, "lease_ttl_ms");
SL_STATIC_ASSERT(SL_LEASE_MS_MAX == 600000, "lease_ttl_ms");
SL_STATIC_ASSERT(SL_DESCRIPTION_SIZE_MAX == 4096, "description");
SL_STATIC_ASSERT(SL_WORKER_SIZE_MAX == 1024, "worker");
SL_STATIC_ASSERT(SL_CONTROL_BODY_SIZE_MAX == 4194304, "the body");

/* A request being read: first thing that is wrong wins. */
struct reader {
    struct sl_bytes object;       /* borrowed: minified */
    struct sl_control_body *body; /* borrowed: to be filled */
    const char *what;             /* NULL: nothing is wrong */
};

static void refuse(struct reader *reader, const char *what)
{
    if (reader->what == NULL)
        reader->what = what;
}

/* A member that is there and not null. */
static bool find(struct sl_bytes object, const char *name, struct sl_bytes *value)
{
    return sl_json_find(object, name, value) && !sl_bytes_equal(*value, sl_bytes_of("null"));
}

/* ---- texts ---- */

/* Texts never move: the buffer has had room for all of them from the beginning. */
static struct sl_bytes keep(struct reader *reader, size_t start)
{
    struct sl_buffer *text = &reader->body->text;
    SL_ASSERT(text->size < text->capacity);
    struct sl_bytes kept = sl_bytes(text->data + start, text->size - start);
    text->data[text->size++] = '\0';
    return kept;
}

static struct sl_bytes decode(struct reader *reader, struct sl_bytes value, const char *what)
{
    struct sl_buffer *text = &reader->body->text;
    size_t start = text->size;
    if (!sl_json_is_string(value) || !sl_json_decode_string(value, text))
        refuse(reader, what);
    return keep(reader, start);
}

/* The text of a member, empty when it is not there. */
static struct sl_bytes text_of(struct reader *reader, const char *name, size_t size_max,
                               const char *what)
{
    struct sl_bytes value;
    if (!find(reader->object, name, &value))
        return sl_bytes(NULL, 0);
    struct sl_bytes text = decode(reader, value, what);
    if (text.size > size_max)
        refuse(reader, what);
    return text;
}

static struct sl_bytes cut_slashes(struct sl_bytes path)
{
    while (path.size > 0 && path.data[0] == '/')
        path = sl_bytes_from(path, 1);
    while (path.size > 0 && path.data[path.size - 1] == '/')
        path.size--;
    return path;
}

/* The name of the stream at this path, empty with an error: there can be none. */
static enum sl_err find_name(struct reader *reader, struct sl_bytes path, struct sl_bytes *found)
{
    struct sl_buffer *text = &reader->body->text;
    char name[SL_NAME_SIZE_MAX];
    size_t size, start = text->size;
    enum sl_err err = sl_stream_name_parse(cut_slashes(path), name, &size);
    *found = sl_bytes(NULL, 0);
    if (err != SL_OK)
        return err;
    sl_buffer_append(text, name, size);
    *found = keep(reader, start);
    return SL_OK;
}

/* The same, and there has to be one. */
static struct sl_bytes name_of(struct reader *reader, struct sl_bytes path, const char *what)
{
    struct sl_bytes name;
    enum sl_err err = find_name(reader, path, &name);
    if (err != SL_OK)
        refuse(reader, err == SL_ERR_RESERVED_NAME ? "names at and below __ds are reserved" : what);
    return name;
}

/* ---- lists ---- */

static size_t count_elements(struct sl_bytes array)
{
    struct sl_bytes rest = sl_json_elements(array), value;
    size_t count = 0;
    while (sl_json_next(&rest, &value))
        count++;
    return count;
}

static int compare_names(const void *left, const void *right)
{
    const struct sl_bytes *a = left, *b = right;
    size_t size = a->size < b->size ? a->size : b->size;
    int order = size == 0 ? 0 : memcmp(a->data, b->data, size);
    if (order != 0)
        return order;
    return a->size < b->size ? -1 : a->size > b->size;
}

static void sort_streams(struct sl_control_body *body)
{
    size_t kept = 0;
    if (body->stream_count == 0)
        return;
    qsort(body->streams, body->stream_count, sizeof(body->streams[0]), compare_names);
    for (size_t i = 0; i < body->stream_count; i++)
        if (i == 0 || !sl_bytes_equal(body->streams[i], body->streams[kept - 1]))
            body->streams[kept++] = body->streams[i];
    body->stream_count = kept;
}

static void read_streams(struct reader *reader)
{
    static const char what[] =
        "streams must be an array of names of streams, each of at most 1024 bytes percent-encoded";
    struct sl_control_body *body = reader->body;
    struct sl_bytes array, value;
    if (!find(reader->object, "streams", &array))
        return;
    if (!sl_json_is_array(array)) {
        refuse(reader, what);
        return;
    }
    size_t count = count_elements(array);
    if (count > SL_NAMES_PER_REQUEST_MAX) {
        refuse(reader, "at most 65,536 streams may be named in one request");
        return;
    }
    body->streams = sl_memory_alloc(count * sizeof(body->streams[0]));
    for (struct sl_bytes rest = sl_json_elements(array); sl_json_next(&rest, &value);)
        body->streams[body->stream_count++] = name_of(reader, decode(reader, value, what), what);
    sort_streams(body);
}

static void read_ack(struct reader *reader, struct sl_bytes value, struct sl_ack *ack)
{
    static const char what[] = "an ack must be an object with stream and offset";
    struct sl_bytes stream, offset;
    *ack = (struct sl_ack){ .offset = 0 };
    if ((!find(value, "stream", &stream) && !find(value, "path", &stream)) ||
        !find(value, "offset", &offset)) {
        refuse(reader, what);
        return;
    }
    (void)find_name(reader, decode(reader, stream, what), &ack->stream);
    ack->has_offset = sl_offset_parse(decode(reader, offset, what), &ack->offset);
}

static void read_acks(struct reader *reader)
{
    struct sl_control_body *body = reader->body;
    struct sl_bytes array, value;
    if (!find(reader->object, "acks", &array))
        return;
    if (!sl_json_is_array(array)) {
        refuse(reader, "acks must be an array");
        return;
    }
    body->acks = sl_memory_alloc(count_elements(array) * sizeof(body->acks[0]));
    for (struct sl_bytes rest = sl_json_elements(array); sl_json_next(&rest, &value);)
        read_ack(reader, value, &body->acks[body->ack_count++]);
}

/* ---- members of a subscription ---- */

static void read_type(struct reader *reader)
{
    struct sl_bytes type = text_of(reader, "type", SL_WORKER_SIZE_MAX, "type must be a string");
    reader->body->is_webhook = sl_bytes_equal(type, sl_bytes_of("webhook"));
    if (!reader->body->is_webhook && !sl_bytes_equal(type, sl_bytes_of("pull-wake")))
        refuse(reader, "type must be webhook or pull-wake");
}

static void read_delivery(struct reader *reader)
{
    static const char what[] = "webhook subscriptions need webhook.url";
    static const char no_wake[] =
        "wake_stream must be the name of a stream, of at most 1024 bytes percent-encoded";
    struct sl_control_body *body = reader->body;
    struct sl_bytes webhook, url, wake;
    if (body->is_webhook) {
        if (find(reader->object, "webhook", &webhook) && find(webhook, "url", &url))
            body->url = decode(reader, url, what);
        if (body->url.size == 0)
            refuse(reader, what);
    }
    wake = text_of(reader, "wake_stream", SL_CONTROL_BODY_SIZE_MAX, no_wake);
    if (wake.size == 0) {
        if (!body->is_webhook)
            refuse(reader, "pull-wake subscriptions need wake_stream");
        return;
    }
    body->wake_stream = name_of(reader, wake, no_wake);
}

static void read_lease(struct reader *reader)
{
    struct sl_bytes value;
    uint64_t lease_ms = SL_LEASE_MS_DEFAULT;
    if (find(reader->object, "lease_ttl_ms", &value) &&
        (!sl_number_parse_canonical(value, SL_LEASE_MS_MAX, &lease_ms) ||
         lease_ms < SL_LEASE_MS_MIN))
        refuse(reader, "lease_ttl_ms must be an integer from 1000 to 600000");
    reader->body->lease_ms = (uint32_t)lease_ms;
}

static void read_description(struct reader *reader)
{
    struct sl_control_body *body = reader->body;
    struct sl_bytes value;
    body->has_description =
        sl_json_find(reader->object, "description", &value) && sl_json_is_string(value);
    if (body->has_description)
        body->description = text_of(reader, "description", SL_DESCRIPTION_SIZE_MAX,
                                    "description must be a text of at most 4096 bytes");
}

static void read_subscription(struct reader *reader)
{
    struct sl_control_body *body = reader->body;
    read_type(reader);
    body->pattern = cut_slashes(text_of(reader, "pattern", SL_NAME_SIZE_MAX,
                                        "pattern must be a string of at most 1024 bytes"));
    read_streams(reader);
    if (body->pattern.size == 0 && body->stream_count == 0)
        refuse(reader, "pattern or streams is needed");
    read_lease(reader);
    read_delivery(reader);
    read_description(reader);
}

static void read_added_streams(struct reader *reader)
{
    struct sl_bytes value;
    if (!find(reader->object, "streams", &value))
        refuse(reader, "streams is needed");
    read_streams(reader);
}

static void read_claim(struct reader *reader)
{
    static const char what[] = "worker must be a string of 1 to 1024 bytes";
    reader->body->worker = text_of(reader, "worker", SL_WORKER_SIZE_MAX, what);
    if (reader->body->worker.size == 0)
        refuse(reader, what);
}

static void read_wake(struct reader *reader)
{
    struct sl_control_body *body = reader->body;
    struct sl_bytes value;
    if (find(reader->object, "wake_id", &value) && sl_json_is_string(value))
        body->wake_id = decode(reader, value, "wake_id is malformed");
    body->has_generation = find(reader->object, "generation", &value) &&
                           sl_number_parse_canonical(value, UINT64_MAX, &body->generation);
    body->done = find(reader->object, "done", &value) && sl_json_is_true(value);
    read_acks(reader);
}

/* ---- whole texts ---- */

/* Checks the text and keeps it minified in `split`. False: it is not one JSON object. */
static bool open_object(struct sl_bytes json, struct sl_json_split *split, struct sl_bytes *object)
{
    struct sl_bytes rest;
    size_t start = 0;
    *object = sl_bytes(NULL, 0);
    while (start < json.size && memchr(" \t\r\n", json.data[start], 4) != NULL)
        start++;
    if (start == json.size || json.data[start] != '{' || sl_json_split(json, split) != SL_OK)
        return false;
    rest = sl_buffer_bytes(&split->messages);
    return sl_json_next(&rest, object);
}

/* Copies the text and a NUL into `to`, which has room. */
static void move_text(struct sl_bytes *text, struct sl_buffer *to)
{
    size_t start = to->size;
    sl_buffer_append_bytes(to, *text);
    to->data[to->size++] = '\0';
    *text = sl_bytes(to->data + start, text->size);
}

/* Gives back what is not needed: memory for all that the text could have become. */
static void shrink(struct sl_control_body *body)
{
    struct sl_bytes *texts[] = { &body->pattern,     &body->url,    &body->wake_stream,
                                 &body->description, &body->worker, &body->wake_id };
    const size_t count = sizeof(texts) / sizeof(texts[0]);
    size_t size = count + body->stream_count + body->ack_count; /* a NUL each */
    struct sl_buffer kept = { NULL, 0, 0 };
    for (size_t i = 0; i < count; i++)
        size += texts[i]->size;
    for (size_t i = 0; i < body->stream_count; i++)
        size += body->streams[i].size;
    for (size_t i = 0; i < body->ack_count; i++)
        size += body->acks[i].stream.size;
    sl_buffer_reserve(&kept, size);
    for (size_t i = 0; i < count; i++)
        move_text(texts[i], &kept);
    for (size_t i = 0; i < body->stream_count; i++)
        move_text(&body->streams[i], &kept);
    for (size_t i = 0; i < body->ack_count; i++)
        move_text(&body->acks[i].stream, &kept);
    sl_buffer_deinit(&body->text);
    body->text = kept;
    if (body->streams != NULL)
        body->streams =
            sl_memory_grow(body->streams, body->stream_count * sizeof(body->streams[0]));
}

static enum sl_err read_body(struct sl_bytes json, struct sl_control_body *body, const char **what,
                             void (*read)(struct reader *reader))
{
    struct sl_json_split split = { .count = 0 };
    struct reader reader = { .body = body, .what = NULL };
    if (json.size == 0)
        json = sl_bytes_of("{}");
    if (open_object(json, &split, &reader.object)) {
        sl_buffer_reserve(&body->text, TEXT_GROWTH * json.size + TEXT_SIZE_MIN);
        read(&reader);
    } else {
        refuse(&reader, "the body must be a JSON object");
    }
    sl_json_split_deinit(&split);
    *what = reader.what;
    if (reader.what != NULL)
        return SL_ERR_INVALID_REQUEST;
    shrink(body);
    return SL_OK;
}

static enum sl_err parse(struct sl_bytes json, struct sl_control_body *body, const char **what,
                         void (*read)(struct reader *reader))
{
    *what = "the body may have at most 4194304 bytes";
    if (json.size > SL_CONTROL_BODY_SIZE_MAX)
        return SL_ERR_PAYLOAD_TOO_LARGE;
    return read_body(json, body, what, read);
}

enum sl_err sl_control_read_subscription(struct sl_bytes json, struct sl_control_body *body,
                                         const char **what)
{
    return read_body(json, body, what, read_subscription);
}

enum sl_err sl_control_parse_subscription(struct sl_bytes json, struct sl_control_body *body,
                                          const char **what)
{
    return parse(json, body, what, read_subscription);
}

enum sl_err sl_control_parse_streams(struct sl_bytes json, struct sl_control_body *body,
                                     const char **what)
{
    return parse(json, body, what, read_added_streams);
}

enum sl_err sl_control_parse_claim(struct sl_bytes json, struct sl_control_body *body,
                                   const char **what)
{
    return parse(json, body, what, read_claim);
}

enum sl_err sl_control_parse_acks(struct sl_bytes json, struct sl_control_body *body,
                                  const char **what)
{
    return parse(json, body, what, read_wake);
}

size_t sl_control_body_size(const struct sl_control_body *body)
{
    return body->text.capacity + body->stream_count * sizeof(body->streams[0]) +
           body->ack_count * sizeof(body->acks[0]);
}

void sl_control_body_deinit(struct sl_control_body *body)
{
    sl_buffer_deinit(&body->text);
    sl_memory_free(body->streams);
    sl_memory_free(body->acks);
    *body = (struct sl_control_body){ .streams = NULL };
}

bool sl_control_says_done(struct sl_bytes json)
{
    struct sl_json_split split = { .count = 0 };
    struct sl_bytes object, value;
    bool done = json.size <= SL_CONTROL_BODY_SIZE_MAX && open_object(json, &split, &object) &&
                sl_json_find(object, "done", &value) && sl_json_is_true(value);
    sl_json_split_deinit(&split);
    return done;
}
