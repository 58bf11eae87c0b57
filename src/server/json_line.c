#include "server/json_line.h"

#include <inttypes.h>

#include "protocol/json_value.h"

static void begin_member(struct sl_buffer *line, const char *name)
{
    sl_buffer_printf(line, ",\"%s\":", name);
}

void sl_json_line_begin(struct sl_buffer *line, const char *kind)
{
    sl_buffer_printf(line, "{\"kind\":\"%s\"", kind);
}

void sl_json_line_number(struct sl_buffer *line, const char *name, uint64_t value)
{
    begin_member(line, name);
    sl_buffer_printf(line, "%" PRIu64, value);
}

void sl_json_line_signed(struct sl_buffer *line, const char *name, int64_t value)
{
    begin_member(line, name);
    sl_buffer_printf(line, "%" PRId64, value);
}

void sl_json_line_hex(struct sl_buffer *line, const char *name, uint64_t value)
{
    begin_member(line, name);
    sl_buffer_printf(line, "\"%016" PRIx64 "\"", value);
}

void sl_json_line_flag(struct sl_buffer *line, const char *name, bool value)
{
    begin_member(line, name);
    sl_buffer_append_text(line, value ? "true" : "false");
}

void sl_json_line_text(struct sl_buffer *line, const char *name, struct sl_bytes text)
{
    begin_member(line, name);
    sl_json_append_string(line, text);
}

void sl_json_line_base64(struct sl_buffer *line, const char *name, struct sl_bytes bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    begin_member(line, name);
    sl_buffer_append_text(line, "\"");
    for (size_t i = 0; i < bytes.size; i += 3) {
        size_t left = bytes.size - i;
        uint32_t group = (uint32_t)bytes.data[i] << 16;
        group |= left > 1 ? (uint32_t)bytes.data[i + 1] << 8 : 0;
        group |= left > 2 ? bytes.data[i + 2] : 0;
        char text[4] = { digits[group >> 18], digits[group >> 12 & 63], '=', '=' };
        if (left > 1)
            text[2] = digits[group >> 6 & 63];
        if (left > 2)
            text[3] = digits[group & 63];
        sl_buffer_append(line, text, sizeof(text));
    }
    sl_buffer_append_text(line, "\"");
}

void sl_json_line_end(struct sl_buffer *line)
{
    sl_buffer_append_text(line, "}\n");
}
