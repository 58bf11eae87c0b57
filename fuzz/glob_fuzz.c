/*
 * The bytes before the first newline are a pattern, those behind it a name: the glob says of them
 * what a table of all pairs of their segments says.
 */
#include "base/assert.h"
#include "base/memory.h"
#include "protocol/glob.h"
#include "protocol/stream_name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SEGMENTS_MAX = SL_NAME_SIZE_MAX / 2 + 1 };

struct path {
    struct sl_bytes segments[SEGMENTS_MAX];
    size_t count;
};

static void split(struct sl_bytes text, struct path *path)
{
    size_t start = 0;
    path->count = 0;
    for (size_t i = 0; i <= text.size; i++) {
        if (i < text.size && text.data[i] != '/')
            continue;
        path->segments[path->count++] = sl_bytes(text.data + start, i - start);
        start = i + 1;
    }
}

static bool is(struct sl_bytes segment, const char *text)
{
    return sl_bytes_equal(segment, sl_bytes_of(text));
}

/* %2A in the pattern is `*`, and nothing else is anything else. */
static bool literal_matches(struct sl_bytes pattern, struct sl_bytes word)
{
    size_t at = 0;
    for (size_t i = 0; i < pattern.size; i++, at++) {
        uint8_t byte = pattern.data[i];
        if (byte == '%' && pattern.data[i + 1] == '2' && pattern.data[i + 2] == 'A') {
            byte = '*';
            i += 2;
        }
        if (at >= word.size || word.data[at] != byte)
            return false;
    }
    return at == word.size;
}

/* row[j]: do the first i segments of the pattern match the first j of the name? */
static bool matches(const struct path *pattern, const struct path *name)
{
    bool row[SEGMENTS_MAX + 1] = { true };
    for (size_t i = 0; i < pattern->count; i++) {
        struct sl_bytes segment = pattern->segments[i];
        if (is(segment, "**")) {
            for (size_t j = 1; j <= name->count; j++)
                row[j] = row[j] || row[j - 1];
            continue;
        }
        for (size_t j = name->count; j > 0; j--)
            row[j] =
                row[j - 1] && (is(segment, "*") || literal_matches(segment, name->segments[j - 1]));
        row[0] = false;
    }
    return row[name->count];
}

/* What matches is the prefix or below it. */
static void check_prefix(struct sl_bytes prefix, struct sl_bytes name)
{
    SL_ASSERT(name.size >= prefix.size);
    SL_ASSERT(sl_bytes_equal(sl_bytes(name.data, prefix.size), prefix));
    SL_ASSERT(prefix.size == 0 || name.size == prefix.size || name.data[prefix.size] == '/');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct path pattern_path, name_path;
    static char pattern[SL_NAME_SIZE_MAX], name[SL_NAME_SIZE_MAX]; /* the paths point into them */
    size_t pattern_size, name_size;
    struct sl_glob *glob;
    const uint8_t *newline = size == 0 ? NULL : memchr(data, '\n', size);
    if (newline == NULL)
        return 0;
    struct sl_bytes raw = sl_bytes(data, (size_t)(newline - data));
    struct sl_bytes raw_name = sl_bytes(newline + 1, size - raw.size - 1);
    enum sl_err err = sl_glob_create(raw, &glob);
    while (raw.size > 0 && raw.data[0] == '/')
        raw = sl_bytes_from(raw, 1);
    while (raw.size > 0 && raw.data[raw.size - 1] == '/')
        raw.size--;
    enum sl_err pattern_err = sl_stream_name_parse(raw, pattern, &pattern_size);
    split(sl_bytes(pattern, pattern_size), &pattern_path);
    if (err != SL_OK) {
        bool too_many = pattern_path.count > SL_GLOB_SEGMENTS_MAX;
        SL_ASSERT(glob == NULL);
        SL_ASSERT(err == pattern_err || (too_many && err == SL_ERR_NAME_TOO_LONG));
        return 0;
    }
    SL_ASSERT(pattern_err == SL_OK);
    if (sl_stream_name_parse(raw_name, name, &name_size) == SL_OK) {
        /* A copy of just that size, so that a sanitizer sees reads past its end. */
        uint8_t *copy = sl_memory_alloc(name_size);
        memcpy(copy, name, name_size);
        split(sl_bytes(name, name_size), &name_path);
        bool expected = matches(&pattern_path, &name_path);
        SL_ASSERT(sl_glob_matches(glob, sl_bytes(copy, name_size)) == expected);
        if (expected)
            check_prefix(sl_glob_prefix(glob), sl_bytes(copy, name_size));
        sl_memory_free(copy);
    }
    sl_glob_destroy(&glob);
    SL_ASSERT(glob == NULL);
    return 0;
}
