#include "protocol/query.h"

#include "protocol/ascii.h"
#include "protocol/number.h"

enum { DECODED_SIZE_MAX = SL_OFFSET_TOKEN_SIZE }; /* nothing that means something to us is longer */

/* A decoded name or value. Empty and not `valid`: a malformed escape, or longer than any of ours.
 */
struct decoded {
    uint8_t data[DECODED_SIZE_MAX];
    size_t size;
    bool valid;
};

static struct sl_bytes bytes_of(const struct decoded *decoded)
{
    return sl_bytes(decoded->data, decoded->size);
}

static bool is_text(const struct decoded *decoded, const char *text)
{
    return decoded->valid && sl_bytes_equal(bytes_of(decoded), sl_bytes_of(text));
}

/* A '+' stays: as a space it would not mean anything to us either. */
static void decode(struct sl_bytes raw, struct decoded *decoded)
{
    decoded->size = 0;
    decoded->valid = false;
    size_t size = 0;
    for (size_t i = 0; i < raw.size; i++) {
        uint8_t byte = raw.data[i];
        if (byte == '%') {
            if (raw.size - i < 3)
                return;
            int high = sl_ascii_hex_value(raw.data[i + 1]);
            int low = sl_ascii_hex_value(raw.data[i + 2]);
            if (high < 0 || low < 0)
                return;
            byte = (uint8_t)(high << 4 | low);
            i += 2;
        }
        if (size == DECODED_SIZE_MAX)
            return;
        decoded->data[size++] = byte;
    }
    decoded->size = size;
    decoded->valid = true;
}

static void set_start_token(struct sl_query *query, struct sl_bytes token)
{
    memcpy(query->start_token, token.data, token.size);
    query->start_token_size = (uint8_t)token.size;
}

static void on_offset(const struct decoded *value, struct sl_query *query)
{
    bool repeated = query->has_offset;
    query->has_offset = true;
    if (is_text(value, "-1"))
        query->from = SL_READ_FROM_START;
    else if (is_text(value, "now"))
        query->from = SL_READ_FROM_NOW;
    else if (value->valid && sl_offset_parse(bytes_of(value), &query->offset))
        query->from = SL_READ_FROM_OFFSET;
    else
        query->err = SL_ERR_INVALID_OFFSET;
    if (repeated)
        query->err = SL_ERR_INVALID_OFFSET;
    if (query->err == SL_OK)
        set_start_token(query, bytes_of(value));
}

static enum sl_live_mode live_of(const struct decoded *value)
{
    if (is_text(value, "long-poll"))
        return SL_LIVE_LONG_POLL;
    return is_text(value, "sse") ? SL_LIVE_SSE : SL_LIVE_NONE;
}

void sl_query_parse(struct sl_bytes query, struct sl_query *out)
{
    *out = (struct sl_query){ .from = SL_READ_FROM_START };
    set_start_token(out, sl_bytes_of("-1"));
    bool has_live = false;
    bool had_cursor = false;
    while (query.size > 0) {
        struct sl_bytes raw_value = sl_ascii_cut(&query, '&');
        struct sl_bytes raw_name = sl_ascii_cut(&raw_value, '=');
        struct decoded name, value;
        decode(raw_name, &name);
        decode(raw_value, &value);
        if (is_text(&name, "offset")) {
            on_offset(&value, out);
        } else if (is_text(&name, "live") && !has_live) {
            has_live = true;
            out->live = live_of(&value);
        } else if (is_text(&name, "cursor") && !had_cursor) {
            had_cursor = true;
            out->has_cursor = sl_number_parse(bytes_of(&value), SL_CURSOR_MAX, &out->cursor);
        }
    }
    if (out->live != SL_LIVE_NONE && !out->has_offset)
        out->err = SL_ERR_INVALID_OFFSET;
    if (out->err != SL_OK) {
        out->from = SL_READ_FROM_START;
        out->offset = 0;
        set_start_token(out, sl_bytes_of("-1"));
    }
}
