/*
 * Any payload, cut anywhere, then a comment and a control event: a receiver finds exactly these two
 * events, and the payload in the first. The first byte is the encoding, the second one the length of
 * all pieces but the last.
 */
#include "base/assert.h"
#include "protocol/sse.h"
#include "support/plain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { EVENTS_MAX = 2 };

/* What a receiver makes of a stream (WHATWG HTML, 9.2.6). */
struct receiver {
    struct sl_buffer data[EVENTS_MAX]; /* of the events so far and the one that has begun */
    struct sl_bytes type;              /* of the one that has begun */
    struct sl_bytes types[EVENTS_MAX]; /* of those so far */
    size_t events;                     /* how many there were */
};

static bool starts_with(struct sl_bytes line, const char *text)
{
    size_t size = strlen(text);
    return line.size >= size && memcmp(line.data, text, size) == 0;
}

/* Takes one line off the front of `rest`, and the CRLF, CR or LF behind it. */
static struct sl_bytes take_line(struct sl_bytes *rest)
{
    size_t size = 0;
    while (size < rest->size && rest->data[size] != '\r' && rest->data[size] != '\n')
        size++;
    SL_ASSERT(size < rest->size);
    struct sl_bytes line = sl_bytes(rest->data, size);
    *rest = sl_bytes_from(*rest, size);
    *rest = sl_bytes_from(*rest, starts_with(*rest, "\r\n") ? 2 : 1);
    return line;
}

static void dispatch(struct receiver *receiver)
{
    struct sl_buffer *data = &receiver->data[receiver->events];
    if (data->size > 0) {
        data->size--; /* the last LF */
        receiver->types[receiver->events++] = receiver->type;
    }
    receiver->type = sl_bytes_of("message");
}

static void receive(struct receiver *receiver, struct sl_bytes stream)
{
    receiver->type = sl_bytes_of("message");
    while (stream.size > 0) {
        struct sl_bytes value = take_line(&stream);
        if (value.size == 0) {
            dispatch(receiver);
            continue;
        }
        struct sl_bytes field = plain_take(&value, ':');
        if (starts_with(value, " "))
            value = sl_bytes_from(value, 1);
        SL_ASSERT(receiver->events < EVENTS_MAX || field.size == 0);
        if (plain_is_word(field, "data")) {
            sl_buffer_append_bytes(&receiver->data[receiver->events], value);
            sl_buffer_append(&receiver->data[receiver->events], "\n", 1);
        } else if (plain_is_word(field, "event")) {
            receiver->type = value;
        } else {
            SL_ASSERT(field.size == 0); /* a comment; we send no id and no retry */
        }
    }
}

static void encode(enum sl_sse_encoding encoding, struct sl_bytes payload, size_t piece_size,
                   struct sl_buffer *out)
{
    struct sl_sse_data event;
    sl_sse_data_begin(&event, encoding, out);
    while (payload.size > 0) {
        size_t size = piece_size == 0 || piece_size > payload.size ? payload.size : piece_size;
        sl_sse_data_add(&event, sl_bytes(payload.data, size), out);
        payload = sl_bytes_from(payload, size);
    }
    sl_sse_data_end(&event, out);
}

/* `payload` with every line end as one LF. */
static void append_with_lf(struct sl_buffer *out, struct sl_bytes payload)
{
    for (size_t i = 0; i < payload.size; i++) {
        if (payload.data[i] == '\n' && i > 0 && payload.data[i - 1] == '\r')
            continue;
        sl_buffer_append(out, payload.data[i] == '\r' ? (const uint8_t *)"\n" : payload.data + i,
                         1);
    }
}

static uint32_t value_of_digit(uint8_t digit)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *place = digit == '=' ? digits : strchr(digits, digit);
    SL_ASSERT(digit != '\0' && place != NULL);
    return (uint32_t)(place - digits);
}

/* The digits say just `payload`. */
static void check_base64(struct sl_bytes text, struct sl_bytes payload)
{
    SL_ASSERT(text.size == (payload.size + 2) / 3 * 4);
    for (size_t i = 0; i < text.size; i += 4) {
        uint32_t bits = 0;
        for (size_t j = 0; j < 4; j++) {
            /* A digit is there when any of its bits is: 8 bits a byte, 6 a digit. */
            bool pad = (i + j) * 6 >= payload.size * 8;
            SL_ASSERT((text.data[i + j] == '=') == pad);
            bits = bits << 6 | value_of_digit(text.data[i + j]);
        }
        for (size_t j = 0; j < 3; j++) {
            size_t at = i / 4 * 3 + j;
            SL_ASSERT((bits >> (16 - 8 * j) & 0xff) == (at < payload.size ? payload.data[at] : 0));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    enum sl_sse_encoding encoding = (enum sl_sse_encoding)(data[0] % 3);
    struct sl_bytes payload = sl_bytes(data + 2, size - 2);
    struct sl_buffer out = { 0 }, whole = { 0 }, expected = { 0 };
    struct receiver receiver = { 0 };
    encode(encoding, payload, data[1], &out);
    encode(encoding, payload, 0, &whole);
    SL_ASSERT(sl_bytes_equal(sl_buffer_bytes(&out), sl_buffer_bytes(&whole)));
    SL_ASSERT(out.size <= 6 * payload.size + SL_SSE_DATA_FRAME_MAX);

    struct sl_sse_control control = { .next_offset = size, .closed = true };
    sl_buffer_append_text(&out, ":\n\n");
    sl_sse_control(&out, &control);
    receive(&receiver, sl_buffer_bytes(&out));
    SL_ASSERT(receiver.events == EVENTS_MAX);
    SL_ASSERT(plain_is_word(receiver.types[0], "data"));
    SL_ASSERT(plain_is_word(receiver.types[1], "control"));
    SL_ASSERT(receiver.data[1].data[0] == '{');
    switch (encoding) {
    case SL_SSE_TEXT:
        append_with_lf(&expected, payload);
        break;
    case SL_SSE_BASE64:
        check_base64(sl_buffer_bytes(&receiver.data[0]), payload);
        sl_buffer_append(&expected, receiver.data[0].data, receiver.data[0].size);
        break;
    case SL_SSE_JSON:
        sl_buffer_append(&expected, "[", 1);
        append_with_lf(&expected, payload);
        expected.size -= payload.size > 0 && payload.data[payload.size - 1] == ',';
        sl_buffer_append(&expected, "]", 1);
        break;
    }
    SL_ASSERT(sl_bytes_equal(sl_buffer_bytes(&receiver.data[0]), sl_buffer_bytes(&expected)));
    sl_buffer_deinit(&out);
    sl_buffer_deinit(&whole);
    sl_buffer_deinit(&expected);
    for (size_t i = 0; i < EVENTS_MAX; i++)
        sl_buffer_deinit(&receiver.data[i]);
    return 0;
}
