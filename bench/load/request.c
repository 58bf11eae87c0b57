#include "load/request.h"

#include "protocol/number.h"

#define CONDITION "If-None-Match: "

enum {
    STREAM_DIGITS = 8,
    PRODUCER_DIGITS = 8,
    TIME_SIZE = LOAD_TIME_DIGITS + 2, /* with its mark and its end */
};

static void fill(struct sl_buffer *text, size_t size)
{
    memset(sl_buffer_reserve(text, size), 'x', size);
    text->size += size;
}

/* Mark, room for the digits, end. */
static void add_time(struct load_request *request)
{
    sl_buffer_printf(&request->text, "%c", LOAD_TIME_MARK);
    request->time_at = request->text.size;
    fill(&request->text, LOAD_TIME_DIGITS);
    sl_buffer_append_text(&request->text, ";");
}

static void add_target(struct load_request *request, const char *method,
                       const struct load_plan *plan, const struct load_role *role)
{
    sl_buffer_printf(&request->text, "%s %s%s/", method, plan->path, role->set);
    request->stream_at = request->text.size;
    fill(&request->text, STREAM_DIGITS);
}

static void add_host(struct load_request *request, const struct load_plan *plan)
{
    sl_buffer_printf(&request->text, " HTTP/1.1\r\nHost: %s:%u\r\n", plan->host,
                     (unsigned)plan->port);
}

static void add_producer(struct load_request *request, uint32_t run)
{
    struct sl_buffer *text = &request->text;

    sl_buffer_printf(text, "Producer-Id: %08x-", run);
    request->producer_at = text->size;
    fill(text, PRODUCER_DIGITS);
    sl_buffer_append_text(text, "\r\nProducer-Epoch: 0\r\nProducer-Seq: ");
    request->sequence_at = text->size;
    fill(text, SL_NUMBER_SIZE_MAX);
    sl_buffer_append_text(text, "\r\n");
}

/* Around the filling of a JSON message. */
#define MESSAGE_START "{\"t\":\""
#define MESSAGE_MIDDLE "\",\"p\":\""
#define MESSAGE_END "\"}"

static void add_messages(struct load_request *request, const struct load_role *role)
{
    struct sl_buffer *text = &request->text;
    size_t around =
        sizeof MESSAGE_START MESSAGE_MIDDLE MESSAGE_END; /* its NUL stands for a comma */
    size_t each = (size_t)(role->size / role->json);

    for (uint64_t i = 0; i < role->json; i++) {
        size_t used = around + (i == 0 ? TIME_SIZE : 0);
        sl_buffer_printf(text, "%s" MESSAGE_START, i == 0 ? "[" : ",");
        if (i == 0)
            add_time(request);
        sl_buffer_append_text(text, MESSAGE_MIDDLE);
        fill(text, each > used ? each - used : 0);
        sl_buffer_append_text(text, MESSAGE_END);
    }
    sl_buffer_append_text(text, "]");
}

static void add_body(struct load_request *request, const struct load_role *role)
{
    size_t size = (size_t)role->size;

    if (role->json) {
        add_messages(request, role);
        return;
    }
    if (size > LOAD_COPIED_BODY_MAX) {
        request->filling = size - TIME_SIZE;
        size = TIME_SIZE;
    }
    if (size >= TIME_SIZE) {
        add_time(request);
        size -= TIME_SIZE;
    }
    fill(&request->text, size);
}

/* The body comes first, because the head says how long it is. */
static void add_append(struct load_request *request, const struct load_plan *plan,
                       const struct load_role *role, uint32_t run)
{
    struct load_request body = { .filling = 0 };

    add_body(&body, role);
    add_target(request, "POST", plan, role);
    add_host(request, plan);
    sl_buffer_printf(&request->text, "Content-Type: %s\r\nContent-Length: %zu\r\n", role->type,
                     body.text.size + body.filling);
    if (role->producers)
        add_producer(request, run);
    sl_buffer_append_text(&request->text, "\r\n");
    request->time_at = body.time_at > 0 ? request->text.size + body.time_at : 0;
    request->filling = body.filling;
    sl_buffer_append_bytes(&request->text, sl_buffer_bytes(&body.text));
    load_request_deinit(&body);
}

static void add_read(struct load_request *request, const struct load_plan *plan,
                     const struct load_role *role, const char *live)
{
    add_target(request, "GET", plan, role);
    sl_buffer_append_text(&request->text, "?offset=");
    request->offset_at = request->text.size;
    sl_buffer_append_text(&request->text, live);
    add_host(request, plan);
    if (role->kind == LOAD_SSE)
        sl_buffer_append_text(&request->text, "Accept: text/event-stream\r\n");
    request->condition_at = request->text.size;
    sl_buffer_append_text(&request->text, "\r\n");
}

void load_request_init(struct load_request *request, const struct load_plan *plan,
                       const struct load_role *role, uint32_t run)
{
    *request = (struct load_request){ .filling = 0 };
    switch (role->kind) {
    case LOAD_CREATE:
        add_target(request, "PUT", plan, role);
        add_host(request, plan);
        sl_buffer_printf(&request->text, "Content-Type: %s\r\nContent-Length: 0\r\n\r\n",
                         role->type);
        break;
    case LOAD_DELETE:
        add_target(request, "DELETE", plan, role);
        add_host(request, plan);
        sl_buffer_append_text(&request->text, "\r\n");
        break;
    case LOAD_APPEND:
        add_append(request, plan, role, run);
        break;
    case LOAD_READ:
        add_read(request, plan, role, "");
        break;
    case LOAD_LONG_POLL:
        add_read(request, plan, role, "&live=long-poll");
        break;
    case LOAD_SSE:
        add_read(request, plan, role, "&live=sse");
        break;
    }
}

void load_request_init_look(struct load_request *request, const struct load_plan *plan,
                            const struct load_role *role)
{
    *request = (struct load_request){ .filling = 0 };
    add_read(request, plan, role, "");
}

void load_request_deinit(struct load_request *request)
{
    sl_buffer_deinit(&request->text);
}

size_t load_request_size_max(const struct load_request *request)
{
    return request->text.size + sizeof CONDITION + 2 + 2 * LOAD_RESPONSE_WORD_SIZE_MAX;
}

/* Exactly `digits` digits, zeros in front. */
static void write_digits(uint8_t *out, unsigned digits, uint64_t value)
{
    for (unsigned i = digits; i > 0; i--) {
        out[i - 1] = (uint8_t)('0' + value % 10);
        value /= 10;
    }
}

/* LOAD_TIME_DIGITS bytes. */
static void write_time(uint64_t time_ns, uint8_t *out)
{
    for (unsigned i = LOAD_TIME_DIGITS; i > 0; i--) {
        out[i - 1] = (uint8_t) "0123456789abcdef"[time_ns & 15];
        time_ns >>= 4;
    }
}

static size_t copy(uint8_t *out, const void *from, size_t size)
{
    memcpy(out, from, size);
    return size;
}

/* The three parts of a read with its offset and its condition between them. */
static size_t write_read(const struct load_request *request, const struct load_fields *fields,
                         uint8_t *out)
{
    size_t size = copy(out, request->text.data, request->offset_at);

    size += copy(out + size, fields->offset->text, fields->offset->size);
    size += copy(out + size, request->text.data + request->offset_at,
                 request->condition_at - request->offset_at);
    if (fields->etag != NULL && fields->etag->size > 0) {
        size += copy(out + size, CONDITION, sizeof CONDITION - 1);
        size += copy(out + size, fields->etag->text, fields->etag->size);
        size += copy(out + size, "\r\n", 2);
    }
    size += copy(out + size, request->text.data + request->condition_at,
                 request->text.size - request->condition_at);
    return size;
}

size_t load_request_write(const struct load_request *request, const struct load_fields *fields,
                          uint8_t *out)
{
    size_t size;

    if (request->offset_at > 0)
        size = write_read(request, fields, out);
    else
        size = copy(out, request->text.data, request->text.size);
    write_digits(out + request->stream_at, STREAM_DIGITS, fields->stream);
    if (request->time_at > 0)
        write_time(fields->time_ns, out + request->time_at);
    if (request->producer_at > 0) {
        write_digits(out + request->producer_at, PRODUCER_DIGITS, fields->producer);
        char *sequence = (char *)out + request->sequence_at;
        memset(sequence, ' ', SL_NUMBER_SIZE_MAX); /* blanks behind a value do not count */
        sl_number_format(fields->sequence, sequence);
    }
    return size;
}
