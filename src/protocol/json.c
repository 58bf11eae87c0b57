#include "protocol/json.h"

#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "protocol/ascii.h"
#include "protocol/utf8.h"
#include "protocol/varint.h"
#include "protocol/word_internal.h"

/*
 * The text is copied late: what lies between `run` and the place of reading is text without
 * whitespace that still has to be copied, and whitespace is what ends a run. The functions below
 * that skip something get the place of reading and return the place behind what they skipped, or
 * NULL when it is not there.
 */
struct reader {
    const uint8_t *run; /* begin of what is not yet copied; borrowed: the text */
    uint8_t *out;       /* where it goes to; borrowed: the messages of the split */
    size_t depth;       /* arrays and objects that the place of reading is in */
    uint64_t objects[SL_JSON_DEPTH_MAX / 64]; /* a bit for each of them: an object */
    size_t count; /* messages in the split, and those that are too many */
};

/* Copies what was read up to `at` and lets the next run begin at `next`. */
static void copy_run(struct reader *reader, const uint8_t *at, const uint8_t *next)
{
    size_t size = (size_t)(at - reader->run);
    memcpy(reader->out, reader->run, size);
    reader->out += size;
    reader->run = next;
}

static const uint8_t *drop_space(struct reader *reader, const uint8_t *at, const uint8_t *end)
{
    const uint8_t *next = at;
    while (next < end && (*next == ' ' || *next == '\n' || *next == '\r' || *next == '\t'))
        next++;
    copy_run(reader, at, next);
    return next;
}

/* Where the byte at `at` goes to. */
static inline const uint8_t *place_of(const struct reader *reader, const uint8_t *at)
{
    return reader->out + (at - reader->run);
}

/* Skips and drops whitespace. */
static inline const uint8_t *skip_space(struct reader *reader, const uint8_t *at,
                                        const uint8_t *end)
{
    return at == end || *at > ' ' ? at : drop_space(reader, at, end);
}

/* The next quote, backslash or control character; `end` when there is none. */
static inline const uint8_t *skip_plain(const uint8_t *at, const uint8_t *end)
{
    for (; end - at >= SLI_WORD_SIZE; at += SLI_WORD_SIZE) {
        uint64_t word = sli_word_load(at);
        uint64_t marks =
            sli_word_equal(word, '"') | sli_word_equal(word, '\\') | sli_word_below(word, 0x20);

        if (marks != 0)
            return at + sli_word_first(marks);
    }
    while (at < end && *at != '"' && *at != '\\' && *at >= 0x20)
        at++;
    return at;
}

static bool is_hex(uint8_t byte)
{
    return sl_ascii_hex_value(byte) >= 0;
}

/* What follows a backslash. */
static const uint8_t *skip_escape(const uint8_t *at, const uint8_t *end)
{
    if (at == end)
        return NULL;
    if (*at != 'u')
        return *at != '\0' && strchr("\"\\/bfnrt", *at) != NULL ? at + 1 : NULL;
    if (end - at < 5 || !is_hex(at[1]) || !is_hex(at[2]) || !is_hex(at[3]) || !is_hex(at[4]))
        return NULL;
    return at + 5;
}

/* A string, from its opening quote on. Its UTF-8 has been checked with that of the whole text. */
static inline const uint8_t *skip_string(const uint8_t *at, const uint8_t *end)
{
    SL_ASSERT(*at == '"');
    at++;
    for (;;) {
        at = skip_plain(at, end);
        if (at == end || *at < 0x20)
            return NULL;
        if (*at == '"')
            return at + 1;
        at = skip_escape(at + 1, end);
        if (at == NULL)
            return NULL;
    }
}

/* One digit or more. */
static inline const uint8_t *skip_digits(const uint8_t *at, const uint8_t *end)
{
    const uint8_t *start = at;
    while (at < end && sl_ascii_is_digit(*at))
        at++;
    return at == start ? NULL : at;
}

static const uint8_t *skip_number(const uint8_t *at, const uint8_t *end)
{
    if (at < end && *at == '-')
        at++;
    at = at < end && *at == '0' ? at + 1 : skip_digits(at, end);
    if (at != NULL && at < end && *at == '.')
        at = skip_digits(at + 1, end);
    if (at != NULL && at < end && (*at | 0x20) == 'e') {
        at++;
        if (at < end && (*at == '+' || *at == '-'))
            at++;
        at = skip_digits(at, end);
    }
    return at;
}

static const uint8_t *skip_word(const uint8_t *at, const uint8_t *end, const char *word,
                                size_t size)
{
    return (size_t)(end - at) >= size && memcmp(at, word, size) == 0 ? at + size : NULL;
}

/* A value that is neither an array nor an object. */
static inline const uint8_t *skip_scalar(const uint8_t *at, const uint8_t *end)
{
    switch (*at) {
    case '"':
        return skip_string(at, end);
    case 't':
        return skip_word(at, end, "true", 4);
    case 'f':
        return skip_word(at, end, "false", 5);
    case 'n':
        return skip_word(at, end, "null", 4);
    default:
        return skip_number(at, end);
    }
}

/* The key of a member, its colon, and whitespace around them. */
static const uint8_t *skip_key(struct reader *reader, const uint8_t *at, const uint8_t *end)
{
    at = skip_space(reader, at, end);
    if (at == end || *at != '"')
        return NULL;
    at = skip_string(at, end);
    if (at == NULL)
        return NULL;
    at = skip_space(reader, at, end);
    return at < end && *at == ':' ? at + 1 : NULL;
}

static inline bool in_object(const struct reader *reader)
{
    size_t level = reader->depth - 1;
    return (reader->objects[level / 64] >> (level % 64) & 1) != 0;
}

static inline bool open_level(struct reader *reader, bool object)
{
    size_t level = reader->depth;
    uint64_t bit = UINT64_C(1) << (level % 64);
    if (level == SL_JSON_DEPTH_MAX)
        return false;
    reader->objects[level / 64] &= ~bit;
    reader->objects[level / 64] |= object ? bit : 0;
    reader->depth = level + 1;
    return true;
}

/* After a value: the ends of arrays and objects inside level `outer`, then a comma and a key. */
static inline const uint8_t *skip_to_next(struct reader *reader, const uint8_t *at,
                                          const uint8_t *end, size_t outer)
{
    while (reader->depth > outer) {
        bool object = in_object(reader);
        at = skip_space(reader, at, end);
        if (at == end)
            return NULL;
        if (*at == ',')
            return object ? skip_key(reader, at + 1, end) : at + 1;
        if (*at != (object ? '}' : ']'))
            return NULL;
        at++;
        reader->depth--;
    }
    return at;
}

/* Any value, with whitespace before it. */
static const uint8_t *skip_value(struct reader *reader, const uint8_t *at, const uint8_t *end)
{
    size_t outer = reader->depth;
    do {
        at = skip_space(reader, at, end);
        if (at == end)
            return NULL;
        if (*at == '{' || *at == '[') {
            bool object = *at == '{';
            if (!open_level(reader, object))
                return NULL;
            at = skip_space(reader, at + 1, end);
            if (at == end)
                return NULL;
            if (*at != (object ? '}' : ']')) {
                at = object ? skip_key(reader, at, end) : at;
                continue;
            }
        } else {
            at = skip_scalar(at, end);
        }
        if (at != NULL)
            at = skip_to_next(reader, at, end, outer);
    } while (at != NULL && reader->depth > outer);
    return at;
}

/* Counts one message, whose stored form is `size` bytes; false: it is one too many. */
static bool add_message(struct reader *reader, size_t size, struct sl_buffer *lengths)
{
    if (++reader->count > SL_MESSAGES_PER_REQUEST_MAX)
        return false;
    lengths->size += sl_varint_write(size, sl_buffer_reserve(lengths, SL_VARINT_SIZE_MAX));
    return true;
}

/* The one message of a text that is not an array. */
static const uint8_t *split_message(struct reader *reader, const uint8_t *at, const uint8_t *end,
                                    struct sl_buffer *lengths)
{
    const uint8_t *start = reader->out;
    at = skip_value(reader, at, end);
    if (at != NULL) {
        copy_run(reader, at, at);
        *reader->out++ = ',';
        if (!add_message(reader, (size_t)(reader->out - start), lengths))
            return NULL;
    }
    return at;
}

/*
 * The messages of an array, from behind its opening bracket on. The commas between them are those
 * of the text; the last one stands where the array ends.
 */
static const uint8_t *split_array(struct reader *reader, const uint8_t *at, const uint8_t *end,
                                  struct sl_buffer *lengths)
{
    reader->run = at;
    reader->depth = 1;
    at = skip_space(reader, at, end);
    if (at < end && *at == ']')
        return at + 1;
    for (;;) {
        at = skip_space(reader, at, end);
        const uint8_t *start = place_of(reader, at);
        at = skip_value(reader, at, end);
        if (at == NULL || !add_message(reader, (size_t)(place_of(reader, at) - start) + 1, lengths))
            return NULL;
        at = skip_space(reader, at, end);
        if (at == end || (*at != ',' && *at != ']'))
            return NULL;
        if (*at == ']')
            break;
        at++;
    }
    copy_run(reader, at, at + 1);
    *reader->out++ = ',';
    return at + 1;
}

enum sl_err sl_json_split(struct sl_bytes text, struct sl_json_split *split)
{
    struct sl_buffer *messages = &split->messages;
    size_t lengths_size = split->lengths.size;
    struct reader reader = { .run = text.data, .count = split->count };
    SL_ASSERT(split->count <= SL_MESSAGES_PER_REQUEST_MAX);
    if (text.size == 0 || !sl_utf8_is_valid(text))
        return SL_ERR_INVALID_JSON;
    reader.out = sl_buffer_reserve(messages, text.size + 1);
    const uint8_t *end = text.data + text.size;
    const uint8_t *at = skip_space(&reader, text.data, end);
    if (at < end && *at == '[')
        at = split_array(&reader, at + 1, end, &split->lengths);
    else
        at = split_message(&reader, at, end, &split->lengths);
    if (at != NULL)
        at = skip_space(&reader, at, end);
    enum sl_err err = SL_OK;
    if (reader.count > SL_MESSAGES_PER_REQUEST_MAX)
        err = SL_ERR_TOO_MANY_MESSAGES; /* whatever the rest is */
    else if (at != end)
        err = SL_ERR_INVALID_JSON;
    else if (reader.count == split->count)
        err = SL_ERR_EMPTY_ARRAY;
    if (err != SL_OK) {
        split->lengths.size = lengths_size;
        return err;
    }
    messages->size = (size_t)(reader.out - messages->data);
    split->count = (uint32_t)reader.count;
    SL_ASSERT(messages->size <= messages->capacity);
    return SL_OK;
}

void sl_json_split_clear(struct sl_json_split *split)
{
    split->messages.size = 0;
    split->lengths.size = 0;
    split->count = 0;
}

void sl_json_split_deinit(struct sl_json_split *split)
{
    sl_buffer_deinit(&split->messages);
    sl_buffer_deinit(&split->lengths);
    split->count = 0;
}
