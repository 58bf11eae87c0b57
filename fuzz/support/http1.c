#include "support/http1.h"

#include "base/assert.h"
#include "support/plain.h"

#include <stdlib.h>

enum {
    HEADERS_MAX = 100,      /* that the server takes */
    CHUNK_DIGITS_MAX = 16,  /* of a chunk's size, with leading zeros */
    LENGTH_DIGITS_MAX = 18, /* fit in 64 bits */
    STATUS_LINE_MIN = 13,   /* "HTTP/1.1 200 " */
};

#define HEX_DIGITS PLAIN_DIGITS "abcdefABCDEF"

/* ---- texts ---- */

static bool contains(struct sl_bytes text, const char *other)
{
    return text.size > 0 && memmem(text.data, text.size, other, strlen(other)) != NULL;
}

/* Nothing but visible characters, spaces, tabs and bytes above ASCII. */
static bool is_field_text(struct sl_bytes text)
{
    for (size_t i = 0; i < text.size; i++)
        if ((text.data[i] < ' ' && text.data[i] != '\t') || text.data[i] == 0x7f)
            return false;
    return true;
}

/* Takes a line; false: it has no end. *bare: it ends in LF alone. */
static bool take_line(struct sl_bytes *rest, struct sl_bytes *line, bool *bare)
{
    if (rest->size == 0 || memchr(rest->data, '\n', rest->size) == NULL)
        return false;
    *line = plain_take(rest, '\n');
    *bare = line->size == 0 || line->data[line->size - 1] != '\r';
    if (!*bare)
        line->size--;
    return true;
}

/* Is `token` in the list, in any case? */
static bool lists(struct sl_bytes list, const char *token)
{
    while (list.size > 0)
        if (plain_is_word(plain_trim(plain_take(&list, ',')), token))
            return true;
    return false;
}

static bool parse_digits(struct sl_bytes text, int base, size_t digits_max, size_t *value)
{
    char digits[LENGTH_DIGITS_MAX + 1];
    char *end;
    if (text.size == 0 || text.size > digits_max)
        return false;
    memcpy(digits, text.data, text.size);
    digits[text.size] = '\0';
    if (strspn(digits, base == 16 ? HEX_DIGITS : PLAIN_DIGITS) != text.size)
        return false;
    *value = strtoull(digits, &end, base);
    return *end == '\0';
}

/* ---- chunks ---- */

enum chunked {
    CHUNKED_GOOD,
    CHUNKED_ODD, /* blanks behind a size */
    CHUNKED_BAD,
    CHUNKED_CUT,
};

static enum chunked worse(enum chunked a, enum chunked b)
{
    return a > b ? a : b;
}

static enum chunked take_size(struct sl_bytes *rest, size_t *size)
{
    struct sl_bytes line;
    bool bare;
    if (!take_line(rest, &line, &bare))
        return CHUNKED_CUT;
    if (bare || !is_field_text(line))
        return CHUNKED_BAD;
    struct sl_bytes text = plain_take(&line, ';');
    struct sl_bytes digits = plain_trim(text);
    bool is_first = digits.size > 0 && digits.data == text.data;
    if (!is_first || !parse_digits(digits, 16, CHUNK_DIGITS_MAX, size))
        return CHUNKED_BAD;
    return digits.size == text.size ? CHUNKED_GOOD : CHUNKED_ODD;
}

/* The end of a chunk's data. */
static enum chunked take_data_end(struct sl_bytes *rest)
{
    if (rest->size == 0 || (rest->size == 1 && rest->data[0] == '\r'))
        return CHUNKED_CUT;
    if (rest->data[0] != '\r' || rest->data[1] != '\n')
        return CHUNKED_BAD;
    *rest = sl_bytes_from(*rest, 2);
    return CHUNKED_GOOD;
}

static enum chunked take_trailers(struct sl_bytes *rest)
{
    struct sl_bytes line;
    bool bare;
    while (take_line(rest, &line, &bare)) {
        if (bare)
            return CHUNKED_BAD;
        if (line.size == 0)
            return CHUNKED_GOOD;
        bool has_colon = memchr(line.data, ':', line.size) != NULL;
        if (!has_colon || !plain_is_made_of(plain_take(&line, ':'), PLAIN_TOKEN) ||
            !is_field_text(line))
            return CHUNKED_BAD;
    }
    return CHUNKED_CUT;
}

/* Takes a chunked body off the front. */
static enum chunked take_chunks(struct sl_bytes *rest, struct sl_buffer *body)
{
    enum chunked result = CHUNKED_GOOD;
    for (;;) {
        size_t size = 0;
        result = worse(result, take_size(rest, &size));
        if (result >= CHUNKED_BAD)
            return result;
        if (size == 0)
            return worse(result, take_trailers(rest));
        if (size > rest->size)
            return CHUNKED_CUT;
        sl_buffer_append(body, rest->data, size);
        *rest = sl_bytes_from(*rest, size);
        result = worse(result, take_data_end(rest));
        if (result >= CHUNKED_BAD)
            return result;
    }
}

/* ---- requests ---- */

/* What the head of a request says about how it is to be read. */
struct head {
    unsigned headers;
    unsigned hosts;
    unsigned lengths;
    unsigned encodings;
    bool is_chunked;
    bool has_close;
    bool has_keep_alive;
    size_t length;
};

static void make_worse(struct http1_request *request, enum http1_verdict verdict)
{
    if (verdict > request->verdict)
        request->verdict = verdict;
}

static void read_request_line(struct http1_request *request, struct sl_bytes line)
{
    bool is_clean = is_field_text(line) && memchr(line.data, '\t', line.size) == NULL;
    struct sl_bytes method = plain_take(&line, ' ');
    struct sl_bytes target = plain_take(&line, ' ');
    struct sl_bytes version = line;
    if (!is_clean || version.size != 8 || memcmp(version.data, "HTTP/1.", 7) != 0 ||
        version.data[7] < '0' || version.data[7] > '9') {
        make_worse(request, HTTP1_BAD);
        return;
    }
    request->is_old = version.data[7] == '0';
    request->is_head = sl_bytes_equal(method, sl_bytes_of("HEAD"));
    request->is_live = contains(target, "live") || contains(target, "%");
    if (!plain_is_made_of(method, PLAIN_TOKEN))
        make_worse(request, HTTP1_BAD);
    if (version.data[7] > '1' || target.size == 0)
        make_worse(request, HTTP1_ODD);
    for (size_t i = 0; i < target.size; i++)
        if (target.data[i] >= 0x80)
            make_worse(request, HTTP1_ODD);
}

static void read_header(struct http1_request *request, struct head *head, struct sl_bytes line)
{
    bool has_colon = memchr(line.data, ':', line.size) != NULL;
    struct sl_bytes name = plain_take(&line, ':');
    struct sl_bytes value = plain_trim(line);
    bool is_padded = line.size > 0 && plain_is_one_of(line.data[line.size - 1], " \t");
    if (!has_colon || !plain_is_made_of(name, PLAIN_TOKEN) || !is_field_text(line) ||
        ++head->headers > HEADERS_MAX) {
        make_worse(request, HTTP1_BAD);
        return;
    }
    if (plain_is_word(name, "host")) {
        head->hosts++;
        return;
    }
    if (plain_is_word(name, "content-length")) {
        head->lengths++;
        if (!parse_digits(value, 10, LENGTH_DIGITS_MAX, &head->length))
            make_worse(request, HTTP1_BAD);
        if (value.size > 1 && value.data[0] == '0')
            make_worse(request, HTTP1_ODD);
    } else if (plain_is_word(name, "transfer-encoding")) {
        head->encodings++;
        head->is_chunked = plain_is_word(value, "chunked");
        if (!head->is_chunked)
            make_worse(request, HTTP1_BAD);
    } else if (plain_is_word(name, "connection")) {
        head->has_close |= lists(value, "close");
        head->has_keep_alive |= lists(value, "keep-alive");
    } else if (plain_is_word(name, "expect")) {
        request->expects = true;
        make_worse(request, plain_is_word(value, "100-continue") ? HTTP1_GOOD : HTTP1_ODD);
    } else {
        return;
    }
    /* Blanks at the end of what decides about the framing: h2o refuses them, others do not. */
    if (is_padded)
        make_worse(request, HTTP1_ODD);
}

/*
 * False: the head has no end. A line that ends in LF alone may be taken for one (RFC 9112, 2.2), but
 * not by us.
 */
static bool take_head(struct sl_bytes *rest, struct http1_request *request, struct head *head)
{
    struct sl_bytes line;
    bool bare;
    if (!take_line(rest, &line, &bare))
        return false;
    read_request_line(request, line);
    make_worse(request, bare ? HTTP1_BAD : HTTP1_GOOD);
    while (take_line(rest, &line, &bare)) {
        make_worse(request, bare ? HTTP1_BAD : HTTP1_GOOD);
        if (line.size == 0)
            return true;
        if (plain_is_one_of(line.data[0], " \t"))
            make_worse(request, HTTP1_BAD);
        else
            read_header(request, head, line);
    }
    return false;
}

static void judge_head(struct http1_request *request, const struct head *head)
{
    bool hosts_right = request->is_old ? head->hosts <= 1 : head->hosts == 1;
    bool framing_right = request->is_old ? head->encodings == 0 && head->lengths <= 1
                                         : head->encodings + head->lengths <= 1;
    if (!hosts_right || !framing_right)
        make_worse(request, HTTP1_BAD);
    request->must_close = head->has_close || (request->is_old && !head->has_keep_alive);
}

static void take_body(struct sl_bytes *rest, struct http1_request *request, const struct head *head,
                      size_t body_size_max)
{
    static const enum http1_verdict verdicts[] = {
        [CHUNKED_GOOD] = HTTP1_GOOD,
        [CHUNKED_ODD] = HTTP1_ODD,
        [CHUNKED_BAD] = HTTP1_BAD,
        [CHUNKED_CUT] = HTTP1_CUT,
    };
    struct sl_buffer body = { 0 };
    if (head->is_chunked) {
        make_worse(request, verdicts[take_chunks(rest, &body)]);
        if (body.size > body_size_max)
            make_worse(request, HTTP1_BAD);
    } else if (head->length > rest->size) {
        make_worse(request, HTTP1_CUT);
    } else {
        *rest = sl_bytes_from(*rest, head->length);
    }
    sl_buffer_deinit(&body);
}

struct http1_request http1_take_request(struct sl_bytes sent, size_t *at, size_t body_size_max)
{
    struct http1_request request = { .verdict = HTTP1_GOOD };
    struct head head = { 0 };
    struct sl_bytes rest = sl_bytes_from(sent, *at);
    /* One empty line before a request is skipped. */
    if (rest.size > 0 && rest.data[0] == '\n') {
        rest = sl_bytes_from(rest, 1);
        request.verdict = HTTP1_BAD;
    } else if (rest.size > 1 && rest.data[0] == '\r' && rest.data[1] == '\n') {
        rest = sl_bytes_from(rest, 2);
    }
    request.start = sent.size - rest.size;
    bool has_end = take_head(&rest, &request, &head);
    judge_head(&request, &head);
    if (!has_end)
        request.verdict = HTTP1_CUT;
    else if (request.verdict <= HTTP1_ODD)
        take_body(&rest, &request, &head, body_size_max);
    *at = request.verdict <= HTTP1_ODD ? sent.size - rest.size : sent.size;
    return request;
}

/* ---- answers ---- */

/* What the head of an answer says about its body. */
struct answer_head {
    bool has_length;
    size_t length;
    bool is_chunked;
    unsigned connections;
};

static void read_status_line(struct http1_answer *answer, struct sl_bytes line)
{
    size_t status;
    SL_ASSERT(line.size >= STATUS_LINE_MIN && memcmp(line.data, "HTTP/1.1 ", 9) == 0);
    bool is_number = parse_digits(sl_bytes(line.data + 9, 3), 10, 3, &status);
    SL_ASSERT(is_number && status >= 100);
    SL_ASSERT(line.data[12] == ' ' && is_field_text(line));
    answer->status = (int)status;
}

static void read_answer_header(struct http1_answer *answer, struct answer_head *head,
                               struct sl_bytes line)
{
    struct sl_bytes name = plain_take(&line, ':');
    struct sl_bytes value = plain_trim(line);
    SL_ASSERT(plain_is_made_of(name, PLAIN_TOKEN) && is_field_text(value));
    if (plain_is_word(name, "content-length")) {
        SL_ASSERT(!head->has_length);
        head->has_length = parse_digits(value, 10, LENGTH_DIGITS_MAX, &head->length);
        SL_ASSERT(head->has_length);
    } else if (plain_is_word(name, "transfer-encoding")) {
        SL_ASSERT(!head->is_chunked && plain_is_word(value, "chunked"));
        head->is_chunked = true;
    } else if (plain_is_word(name, "connection")) {
        answer->closes = plain_is_word(value, "close");
        SL_ASSERT(answer->closes || plain_is_word(value, "keep-alive"));
        head->connections++;
    } else if (plain_is_word(name, "content-type")) {
        SL_ASSERT(answer->content_type.size == 0);
        answer->content_type = value;
    }
}

static void take_answer_body(struct sl_bytes *received, const struct answer_head *head,
                             struct http1_answer *answer)
{
    if (head->is_chunked) {
        enum chunked result = take_chunks(received, &answer->body);
        SL_ASSERT(result == CHUNKED_GOOD || result == CHUNKED_CUT);
        answer->cut = result == CHUNKED_CUT;
        return;
    }
    size_t size = head->has_length ? head->length : received->size;
    SL_ASSERT(head->has_length || answer->closes);
    answer->cut = size > received->size;
    if (answer->cut)
        size = received->size;
    sl_buffer_append(&answer->body, received->data, size);
    *received = sl_bytes_from(*received, size);
}

void http1_take_answer(struct sl_bytes *received, const struct http1_request *request,
                       struct http1_answer *answer)
{
    struct answer_head head = { 0 };
    struct sl_bytes line = { NULL, 0 };
    bool bare, has_end = false;
    *answer = (struct http1_answer){ .status = 0 };
    if (take_line(received, &line, &bare)) {
        SL_ASSERT(!bare);
        read_status_line(answer, line);
        while (!has_end && take_line(received, &line, &bare)) {
            SL_ASSERT(!bare);
            has_end = line.size == 0;
            if (!has_end)
                read_answer_header(answer, &head, line);
        }
    }
    answer->cut = !has_end;
    if (answer->cut || answer->status < 200)
        return;
    SL_ASSERT(head.connections == 1);
    SL_ASSERT(!head.is_chunked || (!head.has_length && !request->is_old));
    if (!request->is_head && answer->status != 204 && answer->status != 304)
        take_answer_body(received, &head, answer);
}

void http1_answer_deinit(struct http1_answer *answer)
{
    sl_buffer_deinit(&answer->body);
}
