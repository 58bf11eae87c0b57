#include "protocol/sse.h"

#include "base/assert.h"
#include "protocol/number.h"
#include "protocol/offset.h"
#include "protocol/word_internal.h"

/* Begins the line that the next byte is on; `space` when that byte is U+0020. */
static void open_line(struct sl_sse_data *data, bool space, struct sl_buffer *out)
{
    sl_buffer_append(out, "data: ", space ? 6 : 5);
    data->line_start = false;
}

/* The next CR or LF; `end` when there is none. */
static const uint8_t *find_line_end(const uint8_t *at, const uint8_t *end)
{
    for (; end - at >= SLI_WORD_SIZE; at += SLI_WORD_SIZE) {
        uint64_t word = sli_word_load(at);
        uint64_t marks = sli_word_equal(word, '\r') | sli_word_equal(word, '\n');
        if (marks != 0)
            return at + sli_word_first(marks);
    }
    while (at < end && *at != '\r' && *at != '\n')
        at++;
    return at;
}

static void add_text(struct sl_sse_data *data, struct sl_bytes piece, struct sl_buffer *out)
{
    const uint8_t *at = piece.data;
    const uint8_t *end = piece.data + piece.size;
    while (at < end) {
        if (data->after_cr && *at == '\n')
            at++;
        data->after_cr = false;
        if (at == end)
            break;
        const uint8_t *line_end = find_line_end(at, end);
        if (data->line_start)
            open_line(data, *at == ' ', out);
        sl_buffer_append(out, at, (size_t)(line_end - at));
        if (line_end == end)
            break;
        sl_buffer_append(out, "\n", 1);
        data->line_start = true;
        data->after_cr = *line_end == '\r';
        at = line_end + 1;
    }
}

/* Holds back a comma at the end of what there is so far. */
static void add_json(struct sl_sse_data *data, struct sl_bytes piece, struct sl_buffer *out)
{
    if (data->comma)
        add_text(data, sl_bytes_of(","), out);
    data->comma = piece.data[piece.size - 1] == ',';
    add_text(data, sl_bytes(piece.data, piece.size - data->comma), out);
}

/* Three bytes become four digits. */
static inline void put_base64(const uint8_t *in, uint8_t *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
    out[0] = (uint8_t)digits[bits >> 18];
    out[1] = (uint8_t)digits[bits >> 12 & 63];
    out[2] = (uint8_t)digits[bits >> 6 & 63];
    out[3] = (uint8_t)digits[bits & 63];
}

static void add_base64(struct sl_sse_data *data, struct sl_bytes piece, struct sl_buffer *out)
{
    const uint8_t *at = piece.data;
    const uint8_t *end = piece.data + piece.size;
    uint8_t *to = sl_buffer_reserve(out, (data->rest_size + piece.size) / 3 * 4);
    while (data->rest_size > 0 && at < end) {
        data->rest[data->rest_size++] = *at++;
        if (data->rest_size == 3) {
            put_base64(data->rest, to);
            to += 4;
            data->rest_size = 0;
        }
    }
    for (; end - at >= 3; at += 3, to += 4)
        put_base64(at, to);
    while (at < end)
        data->rest[data->rest_size++] = *at++;
    SL_ASSERT(data->rest_size < 3);
    out->size = (size_t)(to - out->data);
}

static void end_base64(struct sl_sse_data *data, struct sl_buffer *out)
{
    if (data->rest_size == 0)
        return;
    uint8_t *to = sl_buffer_reserve(out, 4);
    for (size_t i = data->rest_size; i < 3; i++)
        data->rest[i] = 0;
    put_base64(data->rest, to);
    for (size_t i = data->rest_size; i < 3; i++)
        to[i + 1] = '=';
    out->size += 4;
}

void sl_sse_data_begin(struct sl_sse_data *data, enum sl_sse_encoding encoding,
                       struct sl_buffer *out)
{
    *data = (struct sl_sse_data){ .encoding = encoding, .line_start = true };
    sl_buffer_append_text(out, "event: data\n");
    switch (encoding) {
    case SL_SSE_TEXT:
        break;
    case SL_SSE_BASE64:
        open_line(data, false, out);
        break;
    case SL_SSE_JSON:
        add_text(data, sl_bytes_of("["), out);
        break;
    }
}

void sl_sse_data_add(struct sl_sse_data *data, struct sl_bytes piece, struct sl_buffer *out)
{
    if (piece.size == 0)
        return;
    switch (data->encoding) {
    case SL_SSE_TEXT:
        add_text(data, piece, out);
        break;
    case SL_SSE_BASE64:
        add_base64(data, piece, out);
        break;
    case SL_SSE_JSON:
        add_json(data, piece, out);
        break;
    }
}

void sl_sse_data_end(struct sl_sse_data *data, struct sl_buffer *out)
{
    switch (data->encoding) {
    case SL_SSE_TEXT:
        break;
    case SL_SSE_BASE64:
        end_base64(data, out);
        break;
    case SL_SSE_JSON:
        add_text(data, sl_bytes_of("]"), out);
        break;
    }
    if (data->line_start)
        open_line(data, false, out);
    sl_buffer_append_text(out, "\n\n");
}

void sl_sse_control(struct sl_buffer *out, const struct sl_sse_control *control)
{
    size_t start = out->size;
    char token[SL_OFFSET_TOKEN_SIZE];
    sl_offset_format(control->next_offset, token);
    sl_buffer_append_text(out, "event: control\ndata:{\"streamNextOffset\":\"");
    sl_buffer_append(out, token, sizeof(token));
    sl_buffer_append_text(out, "\"");
    if (control->has_cursor && !control->closed) {
        char digits[SL_NUMBER_SIZE_MAX];
        size_t size = sl_number_format(control->cursor, digits);
        sl_buffer_append_text(out, ",\"streamCursor\":\"");
        sl_buffer_append(out, digits, size);
        sl_buffer_append_text(out, "\"");
    }
    if (control->up_to_date || control->closed)
        sl_buffer_append_text(out, ",\"upToDate\":true");
    if (control->closed)
        sl_buffer_append_text(out, ",\"streamClosed\":true");
    sl_buffer_append_text(out, "}\n\n");
    SL_ASSERT(out->size - start <= SL_SSE_CONTROL_SIZE_MAX);
}
