/*
 * Any bytes as what follows the stream root in a request target: a path, and after its first '?' a
 * query. The name, the query and the offset are the same that a slow, plain reading of the rules
 * gives; a name is its own canonical form, and the same under every spelling of it.
 */
#include "base/assert.h"
#include "base/buffer.h"
#include "protocol/query.h"
#include "protocol/stream_name.h"
#include "support/plain.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- a plain reading ---- */

static int hex(uint8_t digit)
{
    const char *digits = "0123456789abcdef0123456789ABCDEF";
    const char *at = digit == 0 ? NULL : strchr(digits, digit);
    return at == NULL ? -1 : (int)((at - digits) % 16);
}

/* The byte at `at`, decoded, and how many bytes say it; 0: a malformed escape. */
static size_t decoded_at(struct sl_bytes text, size_t at, uint8_t *byte)
{
    *byte = text.data[at];
    if (*byte != '%')
        return 1;
    if (text.size - at < 3 || hex(text.data[at + 1]) < 0 || hex(text.data[at + 2]) < 0)
        return 0;
    *byte = (uint8_t)(hex(text.data[at + 1]) * 16 + hex(text.data[at + 2]));
    return 3;
}

#define UNRESERVED PLAIN_ALPHANUMERIC "-._~"

/* One segment into `canonical` and `decoded`. */
static enum sl_err read_segment(struct sl_bytes segment, struct sl_buffer *canonical,
                                struct sl_buffer *decoded)
{
    size_t start = canonical->size;
    for (size_t i = 0; i < segment.size;) {
        uint8_t byte;
        size_t used = decoded_at(segment, i, &byte);
        if (used == 0 || byte < ' ' || byte == 0x7f)
            return SL_ERR_INVALID_STREAM_NAME;
        const char *plain = used == 1 ? UNRESERVED "!$&'()*+,;=:@" : UNRESERVED;
        if (plain_is_one_of(byte, plain))
            sl_buffer_append(canonical, &byte, 1);
        else
            sl_buffer_printf(canonical, "%%%02X", byte);
        if (canonical->size > SL_NAME_SIZE_MAX)
            return SL_ERR_NAME_TOO_LONG;
        sl_buffer_append(decoded, &byte, 1);
        i += used;
    }
    struct sl_bytes whole = sl_bytes_from(sl_buffer_bytes(canonical), start);
    if (whole.size == 0 || sl_bytes_equal(whole, sl_bytes_of(".")) ||
        sl_bytes_equal(whole, sl_bytes_of("..")))
        return SL_ERR_INVALID_STREAM_NAME;
    if (start == 0 && sl_bytes_equal(whole, sl_bytes_of("__ds")))
        return SL_ERR_RESERVED_NAME;
    return SL_OK;
}

static enum sl_err read_name(struct sl_bytes path, struct sl_buffer *canonical)
{
    struct sl_buffer decoded = { 0 };
    enum sl_err err = SL_OK;
    for (bool has_more = true; has_more && err == SL_OK;) {
        const uint8_t *slash = path.size == 0 ? NULL : memchr(path.data, '/', path.size);
        size_t size = slash == NULL ? path.size : (size_t)(slash - path.data);
        err = read_segment(sl_bytes(path.data, size), canonical, &decoded);
        has_more = slash != NULL;
        if (!has_more || err != SL_OK)
            break;
        sl_buffer_append(canonical, "/", 1);
        sl_buffer_append(&decoded, "/", 1);
        if (canonical->size > SL_NAME_SIZE_MAX)
            err = SL_ERR_NAME_TOO_LONG;
        path = sl_bytes_from(path, size + 1);
    }
    if (err == SL_OK && !plain_is_utf8(sl_buffer_bytes(&decoded)))
        err = SL_ERR_INVALID_STREAM_NAME;
    sl_buffer_deinit(&decoded);
    return err;
}

/* ---- names ---- */

static void check_spelling(struct sl_bytes raw, struct sl_bytes name)
{
    char out[SL_NAME_SIZE_MAX];
    size_t size;
    enum sl_err err = sl_stream_name_parse(raw, out, &size);
    SL_ASSERT(err == SL_OK && sl_bytes_equal(sl_bytes(out, size), name));
}

/* The same name, with every letter and digit escaped. */
static void check_spellings(struct sl_bytes name)
{
    struct sl_buffer escaped = { 0 };
    check_spelling(name, name);
    for (size_t i = 0; i < name.size; i++) {
        bool is_escape = name.data[i] == '%';
        if (!is_escape && plain_is_one_of(name.data[i], PLAIN_ALPHANUMERIC))
            sl_buffer_printf(&escaped, "%%%02x", name.data[i]);
        else
            sl_buffer_append(&escaped, name.data + i, is_escape ? 3 : 1);
        i += is_escape ? 2 : 0;
    }
    check_spelling(sl_buffer_bytes(&escaped), name);
    sl_buffer_deinit(&escaped);
}

/* The path as the value of Stream-Forked-From. */
static void check_reference(struct sl_bytes path, enum sl_err expected, struct sl_bytes name)
{
    struct sl_buffer reference = { 0 };
    char out[SL_NAME_SIZE_MAX];
    size_t size;
    sl_buffer_append_text(&reference, "/root/");
    sl_buffer_append_bytes(&reference, path);
    bool is_path = path.size == 0 || memchr(path.data, '#', path.size) == NULL;
    if (expected == SL_ERR_RESERVED_NAME || expected == SL_ERR_NAME_TOO_LONG || !is_path)
        expected = SL_ERR_FORK_SOURCE_NOT_FOUND;
    enum sl_err err = sl_stream_name_from_reference(sl_buffer_bytes(&reference),
                                                    sl_bytes_of("/root"), out, &size);
    SL_ASSERT(err == expected);
    SL_ASSERT(err != SL_OK || sl_bytes_equal(sl_bytes(out, size), name));
    sl_buffer_deinit(&reference);
}

static void check_path(struct sl_bytes path)
{
    struct sl_buffer canonical = { 0 };
    char out[SL_NAME_SIZE_MAX];
    size_t size;
    enum sl_err err = sl_stream_name_parse(path, out, &size);
    enum sl_err expected = read_name(path, &canonical);
    SL_ASSERT(err == expected);
    SL_ASSERT(err == SL_OK ? sl_bytes_equal(sl_bytes(out, size), sl_buffer_bytes(&canonical))
                           : size == 0);
    if (err == SL_OK)
        check_spellings(sl_bytes(out, size));
    check_reference(path, expected, sl_bytes(out, size));
    sl_buffer_deinit(&canonical);
}

/* ---- queries ---- */

/* False: a malformed escape. */
static bool decode(struct sl_bytes raw, struct sl_buffer *out)
{
    sl_buffer_clear(out);
    for (size_t i = 0; i < raw.size;) {
        uint8_t byte;
        size_t used = decoded_at(raw, i, &byte);
        if (used == 0)
            return false;
        sl_buffer_append(out, &byte, 1);
        i += used;
    }
    return true;
}

/* Of the parameters with this name the value of the first one; returns how many there are. */
static unsigned find(struct sl_bytes query, const char *name, struct sl_buffer *value, bool *valid)
{
    struct sl_buffer decoded = { 0 };
    unsigned count = 0;
    *valid = false;
    while (query.size > 0) {
        struct sl_bytes raw_value = plain_take(&query, '&');
        struct sl_bytes raw_name = plain_take(&raw_value, '=');
        if (!decode(raw_name, &decoded) ||
            !sl_bytes_equal(sl_buffer_bytes(&decoded), sl_bytes_of(name)))
            continue;
        if (count++ == 0)
            *valid = decode(raw_value, value);
    }
    sl_buffer_deinit(&decoded);
    return count;
}

static bool is_text(const struct sl_buffer *value, bool valid, const char *text)
{
    return valid && sl_bytes_equal(sl_buffer_bytes(value), sl_bytes_of(text));
}

/* "0000000000000000_0000000000000007"; false: it is no token. */
static bool read_token(struct sl_bytes token, uint64_t *offset)
{
    unsigned long long high, low;
    char text[SL_OFFSET_TOKEN_SIZE + 1];
    if (token.size != SL_OFFSET_TOKEN_SIZE)
        return false;
    for (size_t i = 0; i < token.size; i++)
        if (i == 16 ? token.data[i] != '_' : !plain_is_one_of(token.data[i], PLAIN_DIGITS))
            return false;
    memcpy(text, token.data, token.size);
    text[token.size] = '\0';
    if (sscanf(text, "%llu_%llu", &high, &low) != 2)
        return false;
    *offset = high > 0 ? SL_OFFSET_MAX : low;
    return true;
}

static void check_offset(const struct sl_query *query, unsigned count, struct sl_bytes value,
                         bool valid)
{
    uint64_t offset = 0;
    bool is_token = valid && read_token(value, &offset);
    bool is_start = valid && sl_bytes_equal(value, sl_bytes_of("-1"));
    bool is_now = valid && sl_bytes_equal(value, sl_bytes_of("now"));
    bool good =
        count == 0 ? query->live == SL_LIVE_NONE : count == 1 && (is_token || is_start || is_now);
    SL_ASSERT(query->has_offset == (count > 0));
    SL_ASSERT(query->err == (good ? SL_OK : SL_ERR_INVALID_OFFSET));
    enum sl_read_from from = good && is_token ? SL_READ_FROM_OFFSET
                             : good && is_now ? SL_READ_FROM_NOW
                                              : SL_READ_FROM_START;
    SL_ASSERT(query->from == from);
    SL_ASSERT(query->offset == (good ? offset : 0));
    struct sl_bytes token = good && count == 1 ? value : sl_bytes_of("-1");
    SL_ASSERT(sl_bytes_equal(sl_query_start_token(query), token));
}

static void check_query(struct sl_bytes text)
{
    struct sl_query query;
    struct sl_buffer value = { 0 };
    bool valid;
    sl_query_parse(text, &query);
    unsigned count = find(text, "live", &value, &valid);
    enum sl_live_mode live = count > 0 && is_text(&value, valid, "sse")         ? SL_LIVE_SSE
                             : count > 0 && is_text(&value, valid, "long-poll") ? SL_LIVE_LONG_POLL
                                                                                : SL_LIVE_NONE;
    SL_ASSERT(query.live == live);
    sl_buffer_clear(&value);
    count = find(text, "offset", &value, &valid);
    check_offset(&query, count, sl_buffer_bytes(&value), valid);
    sl_buffer_clear(&value);
    count = find(text, "cursor", &value, &valid);
    /* Larger numbers have more digits; the zeros before them are as many as there is room for. */
    sl_buffer_append(&value, "", 1);
    const char *digits = (const char *)value.data;
    bool is_number = count > 0 && valid && value.size > 1 &&
                     value.size <= SL_OFFSET_TOKEN_SIZE + 1 &&
                     strspn(digits, PLAIN_DIGITS) == value.size - 1;
    unsigned long long number = is_number ? strtoull(digits, NULL, 10) : 0;
    SL_ASSERT(query.has_cursor == (is_number && number <= SL_CURSOR_MAX));
    SL_ASSERT(query.cursor == (query.has_cursor ? number : 0));
    sl_buffer_deinit(&value);
}

/* Every token that is accepted is the one spelling of its offset, or beyond all that are used. */
static void check_token(struct sl_bytes text)
{
    uint64_t offset, expected = 0;
    char again[SL_OFFSET_TOKEN_SIZE];
    bool good = sl_offset_parse(text, &offset);
    SL_ASSERT(good == read_token(text, &expected) && offset == expected);
    if (!good)
        return;
    sl_offset_format(offset, again);
    SL_ASSERT(offset == SL_OFFSET_MAX || sl_bytes_equal(sl_bytes(again, sizeof(again)), text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sl_bytes query = sl_bytes(data, size);
    struct sl_bytes path = plain_take(&query, '?');
    check_path(path);
    check_query(query);
    check_token(query);
    return 0;
}
