#include "protocol/etag.h"

#include "base/assert.h"
#include "protocol/ascii.h"

enum { ID_DIGITS = 16 };

/* The lowest `digits` hexadecimal digits; returns the end. */
static char *put_hex(char *out, uint64_t value, int digits)
{
    for (int i = digits - 1; i >= 0; i--) {
        out[i] = "0123456789abcdef"[value & 15];
        value >>= 4;
    }
    return out + digits;
}

static int hex_digits_of(uint64_t value)
{
    int digits = 1;
    while (digits < ID_DIGITS && value >> (4 * digits) != 0)
        digits++;
    return digits;
}

size_t sl_etag_format(char *out, uint64_t history_id, uint64_t stream_id,
                      struct sl_bytes start_token, uint64_t end_offset, enum sl_etag_end end)
{
    SL_ASSERT(start_token.size > 0);
    SL_ASSERT(start_token.size <= SL_OFFSET_TOKEN_SIZE);
    char *at = out;
    *at++ = '"';
    at = put_hex(at, history_id, ID_DIGITS);
    *at++ = '-';
    at = put_hex(at, stream_id, hex_digits_of(stream_id));
    *at++ = ':';
    memcpy(at, start_token.data, start_token.size);
    at += start_token.size;
    *at++ = ':';
    sl_offset_format(end_offset, at);
    at += SL_OFFSET_TOKEN_SIZE;
    if (end != SL_ETAG_AT_TAIL) {
        *at++ = ':';
        *at++ = end == SL_ETAG_CLOSED ? 'c' : 'p';
    }
    *at++ = '"';
    return (size_t)(at - out);
}

/* Takes the quoted tag at the front of `rest`, without its W/. Empty: there is none. */
static struct sl_bytes take_tag(struct sl_bytes *rest)
{
    if (rest->size >= 2 && rest->data[0] == 'W' && rest->data[1] == '/')
        *rest = sl_bytes_from(*rest, 2);
    if (rest->size < 2 || rest->data[0] != '"')
        return sl_bytes(NULL, 0);
    const uint8_t *quote = memchr(rest->data + 1, '"', rest->size - 1);
    if (quote == NULL)
        return sl_bytes(NULL, 0);
    struct sl_bytes tag = sl_bytes(rest->data, (size_t)(quote - rest->data) + 1);
    *rest = sl_bytes_from(*rest, tag.size);
    return tag;
}

bool sl_etag_matches(struct sl_bytes if_none_match, struct sl_bytes etag)
{
    struct sl_bytes wanted = take_tag(&etag);
    struct sl_bytes rest = sl_ascii_trim(if_none_match);
    if (sl_bytes_equal(rest, sl_bytes_of("*")))
        return true;
    while (rest.size > 0) {
        if (rest.data[0] == ',') { /* lists may have empty elements */
            rest = sl_ascii_trim(sl_bytes_from(rest, 1));
            continue;
        }
        struct sl_bytes tag = take_tag(&rest);
        rest = sl_ascii_trim(rest);
        if (tag.size == 0 || (rest.size > 0 && rest.data[0] != ','))
            return false;
        if (sl_bytes_equal(tag, wanted))
            return true;
    }
    return false;
}
