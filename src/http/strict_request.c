#include "http/strict_request.h"

#include "protocol/ascii.h"
#include "protocol/authority.h"

/* How many there are of the lines that matter. */
struct counts {
    unsigned hosts;
    unsigned lengths;
    unsigned encodings;
};

/* After the end of the line; NULL: it has none, or one that is not CR LF. */
static const char *next_line(const char *line, const char *end)
{
    const char *newline = (const char *)memchr(line, '\n', (size_t)(end - line));

    return newline == NULL || newline == line || newline[-1] != '\r' ? NULL : newline + 1;
}

static bool starts_with(const char *line, const char *end, const char *name, size_t name_size)
{
    return (size_t)(end - line) >= name_size && memcmp(line, name, name_size) == 0;
}

#define STARTS_WITH(line, end, name) starts_with(line, end, name, sizeof(name) - 1)

/* h2o takes everything up to the first blank for a method. */
static bool has_method(const char *line, const char *end)
{
    const char *blank = (const char *)memchr(line, ' ', (size_t)(end - line));

    return blank != NULL && sl_ascii_is_token(sl_bytes(line, (size_t)(blank - line)));
}

/* The value of a line that starts with "host:". */
static struct sl_bytes host_of(const char *line, const char *next)
{
    const char *value = line + sizeof "host:" - 1;

    return sl_ascii_trim(sl_bytes(value, (size_t)(next - value) - 2)); /* CR LF */
}

/* False: the line may not be as it is. `next` is where the next one begins. */
static bool look_at_field(const char *line, const char *next, struct counts *counts)
{
    switch (*line) {
    case 'h':
        if (!STARTS_WITH(line, next, "host:"))
            return true;
        counts->hosts++;
        return sl_authority_is_valid(host_of(line, next));
    case 'c':
        counts->lengths += STARTS_WITH(line, next, "content-length:");
        return true;
    case 't':
        counts->encodings += STARTS_WITH(line, next, "transfer-encoding:");
        return true;
    case ' ':
    case '\t':
        return false;
    default:
        return true;
    }
}

bool sl_strict_request_check(struct sl_bytes input, bool before_http_1_1, bool *has_host)
{
    const char *line = (const char *)input.data;
    const char *end = line + input.size;
    struct counts counts = { 0, 0, 0 };

    *has_host = false;
    if (line != end && *line == '\r')
        line = next_line(line, end); /* h2o skips one empty line before the request */
    if (line == NULL || !has_method(line, end))
        return false;
    line = next_line(line, end);
    while (line != NULL && line != end && *line != '\r') {
        const char *next = next_line(line, end);
        if (next == NULL || !look_at_field(line, next, &counts))
            return false;
        line = next;
    }
    if (line == NULL || line == end || next_line(line, end) == NULL)
        return false; /* no end of the head: h2o would not have parsed it */
    *has_host = counts.hosts == 1;
    if (before_http_1_1)
        return counts.hosts <= 1 && counts.encodings == 0 && counts.lengths <= 1;
    return counts.hosts == 1 && counts.lengths + counts.encodings <= 1;
}
