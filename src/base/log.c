#include "base/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/clock.h"

static const char *const level_names[] = {
#define X(LEVEL, name) name,
    SL_LOG_LEVEL_LIST(X)
#undef X
};

static enum sl_log_level level_min = SL_LOG_INFO;

void sl_log_set_level(enum sl_log_level level)
{
    level_min = level;
}

void sl_log(enum sl_log_level level, const char *room, const char *event, const char *format, ...)
{
    if (level < level_min)
        return;
    char time[SL_CLOCK_TEXT_SIZE];
    sl_clock_format_wall(sl_clock_wall_ms(), time);

    /* The newline takes the place of the NUL. */
    char line[SL_LOG_LINE_SIZE_MAX];
    int head = snprintf(line, sizeof(line), "%s %s %s %s", time, level_names[level], room, event);
    SL_ASSERT(head > 0 && (size_t)head < sizeof(line) / 2);
    size_t size = (size_t)head;
    if (format != NULL) {
        line[size++] = ' ';
        va_list arguments;
        va_start(arguments, format);
        int more = vsnprintf(line + size, sizeof(line) - size, format, arguments);
        va_end(arguments);
        SL_ASSERT(more >= 0);
        size += (size_t)more;
    }
    if (size >= sizeof(line)) {
        size = sizeof(line) - 1;
        memcpy(line + size - 3, "...", 3);
    }
    line[size++] = '\n';
    fwrite(line, 1, size, stderr);
}

static bool is_plain(uint8_t byte)
{
    return byte > ' ' && byte < 0x7f && byte != '"' && byte != '\\' && byte != '=';
}

const char *sl_log_escaped(char *out, size_t out_size, struct sl_bytes bytes)
{
    static const char ellipsis[] = "...";
    static const char digits[] = "0123456789abcdef";
    SL_ASSERT(out_size >= sizeof(ellipsis));
    size_t size = 0;
    size_t size_cut = 0; /* up to here there is room for the ellipsis */
    for (size_t i = 0; i < bytes.size; i++) {
        uint8_t byte = bytes.data[i];
        char escape[4] = { '\\', 'x', digits[byte >> 4], digits[byte & 15] };
        size_t more = is_plain(byte) ? 1 : sizeof(escape);
        if (size + more >= out_size) {
            memcpy(out + size_cut, ellipsis, sizeof(ellipsis));
            return out;
        }
        if (more == 1)
            escape[0] = (char)byte;
        memcpy(out + size, escape, more);
        size += more;
        if (size + sizeof(ellipsis) <= out_size)
            size_cut = size;
    }
    out[size] = '\0';
    return out;
}
