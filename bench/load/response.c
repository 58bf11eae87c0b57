#include "load/response.h"

#include <string.h>
#include <strings.h>

#include "protocol/number.h"

#define STATUS_LINE_START "HTTP/1.1 "

enum {
    STATUS_SIZE = 3,                                              /* digits of the status */
    STATUS_LINE_MIN = sizeof STATUS_LINE_START - 1 + STATUS_SIZE, /* bytes up to the reason */
    STATUS_NO_CONTENT = 204,
    STATUS_NOT_MODIFIED = 304,
};

/* How the body ends, as the head says it. */
struct framing {
    bool chunked;
    bool has_length;
    uint64_t length;
};

/* Cuts the first line off `input` and gives it without its end. False: it is not complete. */
static bool take_line(struct sl_bytes *input, struct sl_bytes *line)
{
    const uint8_t *end = (const uint8_t *)memchr(input->data, '\n', input->size);

    if (end == NULL)
        return false;
    size_t size = (size_t)(end - input->data);
    *line = sl_bytes(input->data, size);
    if (size > 0 && input->data[size - 1] == '\r')
        line->size--;
    *input = sl_bytes_from(*input, size + 1);
    return true;
}

/* Whether the line is this header; *value is what it says. */
static bool is_header(struct sl_bytes line, const char *name, struct sl_bytes *value)
{
    size_t size = strlen(name);

    if (line.size <= size || line.data[size] != ':' ||
        strncasecmp((const char *)line.data, name, size) != 0)
        return false;
    *value = sl_bytes_from(line, size + 1);
    while (value->size > 0 && value->data[0] == ' ')
        *value = sl_bytes_from(*value, 1);
    while (value->size > 0 && value->data[value->size - 1] == ' ')
        value->size--;
    return true;
}

static bool is_word(struct sl_bytes value, const char *word)
{
    return value.size == strlen(word) &&
           strncasecmp((const char *)value.data, word, value.size) == 0;
}

static void keep(struct load_word *word, struct sl_bytes value)
{
    word->size = 0;
    if (value.size <= sizeof word->text) {
        word->size = (uint8_t)value.size;
        memcpy(word->text, value.data, value.size);
    }
}

/* False: a length that is none. The switch spares most lines the comparisons. */
static bool take_header(struct load_response *response, struct framing *framing,
                        struct sl_bytes line)
{
    struct sl_bytes value;

    switch (line.data[0] | 0x20) {
    case 'c':
        if (is_header(line, "content-length", &value)) {
            framing->has_length = true;
            return sl_number_parse(value, UINT64_MAX, &framing->length);
        }
        if (is_header(line, "connection", &value))
            response->close = is_word(value, "close");
        break;
    case 't':
        if (is_header(line, "transfer-encoding", &value))
            framing->chunked = is_word(value, "chunked");
        break;
    case 's':
        if (is_header(line, "stream-next-offset", &value))
            keep(&response->offset, value);
        else if (is_header(line, "stream-up-to-date", &value))
            response->up_to_date = is_word(value, "true");
        break;
    case 'e':
        if (is_header(line, "etag", &value))
            keep(&response->etag, value);
        break;
    case 'r':
        if (is_header(line, "retry-after", &value))
            response->retry_after = true;
        break;
    default:
        break;
    }
    return true;
}

static bool take_status(struct load_response *response, struct sl_bytes line)
{
    uint64_t status;
    size_t start = sizeof STATUS_LINE_START - 1;

    if (line.size < STATUS_LINE_MIN || memcmp(line.data, STATUS_LINE_START, start) != 0 ||
        !sl_number_parse(sl_bytes(line.data + start, STATUS_SIZE), 599, &status) || status < 100)
        return false;
    *response = (struct load_response){ .status = (uint16_t)status };
    return true;
}

/* What comes behind the head. */
static enum load_response_event begin_body(struct load_response *response,
                                           const struct framing *framing)
{
    bool without = response->status == STATUS_NO_CONTENT || response->status == STATUS_NOT_MODIFIED;

    if (without || (!framing->chunked && framing->has_length && framing->length == 0)) {
        response->state = LOAD_RESPONSE_IN_HEAD;
        return LOAD_RESPONSE_END;
    }
    response->left = framing->length;
    response->state = framing->chunked      ? LOAD_RESPONSE_IN_CHUNK_SIZE
                      : framing->has_length ? LOAD_RESPONSE_IN_LENGTH
                                            : LOAD_RESPONSE_UNTIL_CLOSE;
    return LOAD_RESPONSE_HEAD;
}

/* Takes the head whole or not at all; what a status of 1xx announces is another head. */
static enum load_response_event take_head(struct load_response *response, struct sl_bytes *input)
{
    struct sl_bytes rest = *input, line;
    struct load_response head;
    struct framing framing = { .length = 0 };

    if (!take_line(&rest, &line))
        return LOAD_RESPONSE_MORE;
    if (!take_status(&head, line))
        return LOAD_RESPONSE_BAD;
    while (take_line(&rest, &line)) {
        if (line.size > 0) {
            if (!take_header(&head, &framing, line))
                return LOAD_RESPONSE_BAD;
            continue;
        }
        *input = rest;
        *response = head;
        return head.status < 200 ? LOAD_RESPONSE_HEAD : begin_body(response, &framing);
    }
    return LOAD_RESPONSE_MORE;
}

/* As much of the body or chunk as there is. */
static void take_body(struct load_response *response, struct sl_bytes *input, struct sl_bytes *body)
{
    size_t size = input->size < response->left ? input->size : (size_t)response->left;

    *body = sl_bytes(input->data, size);
    *input = sl_bytes_from(*input, size);
    response->left -= size;
}

static bool parse_chunk_size(struct sl_bytes line, uint64_t *size)
{
    size_t i = 0;

    *size = 0;
    for (; i < line.size && i < 15; i++) {
        unsigned c = line.data[i] | 0x20U;
        if (c >= '0' && c <= '9')
            *size = *size * 16 + (c - '0');
        else if (c >= 'a' && c <= 'f')
            *size = *size * 16 + (c - 'a' + 10);
        else
            break;
    }
    return i > 0 && (i == line.size || line.data[i] == ';' || line.data[i] == ' ');
}

/* One line of a chunked body: its size, its end, or a line behind the last chunk. */
static enum load_response_event take_chunk_line(struct load_response *response,
                                                struct sl_bytes *input)
{
    struct sl_bytes line;

    if (!take_line(input, &line))
        return LOAD_RESPONSE_MORE;
    if (response->state == LOAD_RESPONSE_IN_CHUNK_SIZE) {
        if (!parse_chunk_size(line, &response->left))
            return LOAD_RESPONSE_BAD;
        response->state = response->left == 0 ? LOAD_RESPONSE_IN_TRAILER : LOAD_RESPONSE_IN_CHUNK;
        return LOAD_RESPONSE_HEAD;
    }
    if (response->state == LOAD_RESPONSE_IN_CHUNK_END) {
        response->state = LOAD_RESPONSE_IN_CHUNK_SIZE;
        return line.size == 0 ? LOAD_RESPONSE_HEAD : LOAD_RESPONSE_BAD;
    }
    if (line.size > 0)
        return LOAD_RESPONSE_HEAD;
    response->state = LOAD_RESPONSE_IN_HEAD;
    return LOAD_RESPONSE_END;
}

static enum load_response_event step(struct load_response *response, struct sl_bytes *input,
                                     struct sl_bytes *body)
{
    switch (response->state) {
    case LOAD_RESPONSE_IN_HEAD:
        return take_head(response, input);
    case LOAD_RESPONSE_UNTIL_CLOSE:
        *body = *input;
        *input = sl_bytes_from(*input, input->size);
        return LOAD_RESPONSE_BODY;
    case LOAD_RESPONSE_IN_CHUNK:
        take_body(response, input, body);
        if (response->left == 0)
            response->state = LOAD_RESPONSE_IN_CHUNK_END;
        return LOAD_RESPONSE_BODY;
    case LOAD_RESPONSE_IN_LENGTH:
        take_body(response, input, body);
        return LOAD_RESPONSE_BODY;
    case LOAD_RESPONSE_IN_CHUNK_SIZE:
    case LOAD_RESPONSE_IN_CHUNK_END:
    case LOAD_RESPONSE_IN_TRAILER:
        return take_chunk_line(response, input);
    }
    return LOAD_RESPONSE_BAD;
}

enum load_response_event load_response_next(struct load_response *response, struct sl_bytes *input,
                                            struct sl_bytes *body)
{
    /* The end of a body with a length is told by itself: its last bytes were told as BODY. */
    if (response->state == LOAD_RESPONSE_IN_LENGTH && response->left == 0) {
        response->state = LOAD_RESPONSE_IN_HEAD;
        return LOAD_RESPONSE_END;
    }
    while (input->size > 0) {
        bool in_head = response->state == LOAD_RESPONSE_IN_HEAD;
        enum load_response_event event = step(response, input, body);
        /* 1xx and the lines between chunks are nobody's business. */
        if (event != LOAD_RESPONSE_HEAD || (in_head && response->status >= 200))
            return event;
    }
    return LOAD_RESPONSE_MORE;
}
