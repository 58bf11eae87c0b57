#include "protocol/json_value.h"

#include "base/assert.h"
#include "protocol/ascii.h"
#include "protocol/utf8.h"

/* Where the string ends whose opening quote is at `at`. */
static size_t skip_string(struct sl_bytes text, size_t at)
{
    for (at++; at < text.size && text.data[at] != '"'; at++)
        if (text.data[at] == '\\')
            at++;
    return at < text.size ? at + 1 : text.size;
}

/* Where the value ends that begins at `at`. */
static size_t skip_value(struct sl_bytes text, size_t at)
{
    size_t depth = 0;
    while (at < text.size) {
        uint8_t byte = text.data[at];
        if (depth == 0 && (byte == ',' || byte == ']' || byte == '}'))
            return at;
        if (byte == '"') {
            at = skip_string(text, at);
            continue;
        }
        if (byte == '{' || byte == '[')
            depth++;
        else if (byte == '}' || byte == ']')
            depth--;
        at++;
    }
    return at;
}

bool sl_json_next(struct sl_bytes *rest, struct sl_bytes *value)
{
    *value = sl_bytes(NULL, 0);
    if (rest->size == 0)
        return false;
    size_t end = skip_value(*rest, 0);
    *value = sl_bytes(rest->data, end);
    *rest = sl_bytes_from(*rest, end < rest->size ? end + 1 : end);
    return true;
}

/* Is the string, with its quotes, this name? */
static bool says(struct sl_bytes string, struct sl_bytes name)
{
    struct sl_buffer decoded = { NULL, 0, 0 };
    if (memchr(string.data, '\\', string.size) == NULL)
        return sl_bytes_equal(sl_bytes(string.data + 1, string.size - 2), name);
    bool same =
        sl_json_decode_string(string, &decoded) && sl_bytes_equal(sl_buffer_bytes(&decoded), name);
    sl_buffer_deinit(&decoded);
    return same;
}

bool sl_json_find(struct sl_bytes object, const char *name, struct sl_bytes *value)
{
    bool found = false;
    *value = sl_bytes(NULL, 0);
    if (!sl_json_is_object(object))
        return false;
    for (size_t at = 1; object.data[at] != '}';) {
        size_t key_end = skip_string(object, at);
        size_t end = skip_value(object, key_end + 1);
        if (says(sl_bytes(object.data + at, key_end - at), sl_bytes_of(name))) {
            *value = sl_bytes(object.data + key_end + 1, end - key_end - 1);
            found = true;
        }
        at = object.data[end] == ',' ? end + 1 : end;
    }
    return found;
}

struct sl_bytes sl_json_elements(struct sl_bytes array)
{
    SL_ASSERT(sl_json_is_array(array));
    return sl_bytes(array.data + 1, array.size - 2);
}

/* ---- strings ---- */

static uint32_t hex4(const uint8_t *at)
{
    uint32_t unit = 0;
    for (int i = 0; i < 4; i++)
        unit = unit << 4 | (uint32_t)sl_ascii_hex_value(at[i]);
    return unit;
}

static void append_character(struct sl_buffer *out, uint32_t character)
{
    uint8_t bytes[4];
    size_t size = character < 0x80 ? 1 : character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
    for (size_t i = size; i-- > 1;) {
        bytes[i] = (uint8_t)(0x80 | (character & 0x3f));
        character >>= 6;
    }
    static const uint8_t marks[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
    bytes[0] = (uint8_t)(marks[size] | character);
    sl_buffer_append(out, bytes, size);
}

/* A \u escape from behind its backslash on; returns its size, 0 for a lone surrogate. */
static size_t decode_unicode(const uint8_t *at, const uint8_t *end, struct sl_buffer *out)
{
    uint32_t unit = hex4(at + 1);
    if (unit < 0xd800 || unit > 0xdfff) {
        append_character(out, unit);
        return 5;
    }
    if (unit > 0xdbff || end - at < 11 || at[5] != '\\' || at[6] != 'u')
        return 0;
    uint32_t low = hex4(at + 7);
    if (low < 0xdc00 || low > 0xdfff)
        return 0;
    append_character(out, 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00));
    return 11;
}

bool sl_json_decode_string(struct sl_bytes string, struct sl_buffer *out)
{
    static const char escapes[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    const uint8_t *at = string.data + 1, *end = string.data + string.size - 1;
    size_t size_before = out->size;
    SL_ASSERT(sl_json_is_string(string));
    while (at < end) {
        if (*at != '\\') {
            sl_buffer_append(out, at++, 1);
            continue;
        }
        at++;
        if (*at != 'u') {
            sl_buffer_append(out, &meanings[strchr(escapes, *at) - escapes], 1);
            at++;
            continue;
        }
        size_t size = decode_unicode(at, end, out);
        if (size == 0) {
            out->size = size_before;
            return false;
        }
        at += size;
    }
    return true;
}

void sl_json_append_string(struct sl_buffer *out, struct sl_bytes text)
{
    bool is_utf8 = sl_utf8_is_valid(text);
    sl_buffer_append_text(out, "\"");
    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = text.data[i];
        if (byte == '"' || byte == '\\')
            sl_buffer_printf(out, "\\%c", byte);
        else if (byte < ' ' || byte == 0x7f || (byte >= 0x80 && !is_utf8))
            sl_buffer_printf(out, "\\u%04x", byte);
        else
            sl_buffer_append(out, &byte, 1);
    }
    sl_buffer_append_text(out, "\"");
}
