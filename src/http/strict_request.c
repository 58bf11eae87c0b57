#include "http/strict_request.h"

/* After the next newline; NULL when there is none. */
static const char *next_line(const char *line, const char *end)
{
    const char *newline = (const char *)memchr(line, '\n', (size_t)(end - line));

    return newline == NULL ? NULL : newline + 1;
}

static bool starts_with(const char *line, const char *end, const char *name, size_t name_size)
{
    return (size_t)(end - line) >= name_size && memcmp(line, name, name_size) == 0;
}

#define STARTS_WITH(line, end, name) starts_with(line, end, name, sizeof(name) - 1)

bool sl_strict_request_check(struct sl_bytes input, bool before_http_1_1, bool *has_host)
{
    const char *line = (const char *)input.data;
    const char *end = line + input.size;
    unsigned hosts = 0;
    unsigned lengths = 0;
    unsigned encodings = 0;

    *has_host = false;
    if (line != end && (*line == '\r' || *line == '\n'))
        line = next_line(line, end); /* h2o skips one empty line before the request */
    for (line = line == NULL ? NULL : next_line(line, end); line != NULL && line != end;
         line = next_line(line, end)) {
        switch (*line) {
        case 'h':
            hosts += STARTS_WITH(line, end, "host:");
            break;
        case 'c':
            lengths += STARTS_WITH(line, end, "content-length:");
            break;
        case 't':
            encodings += STARTS_WITH(line, end, "transfer-encoding:");
            break;
        case ' ':
        case '\t':
            return false;
        case '\r':
        case '\n':
            *has_host = hosts == 1;
            if (before_http_1_1)
                return hosts <= 1 && encodings == 0 && lengths <= 1;
            return hosts == 1 && lengths + encodings <= 1;
        default:
            break;
        }
    }
    return false; /* no end of the head: h2o would not have parsed it */
}
