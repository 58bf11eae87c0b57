/*
 * Any bytes as a JSON text: it is accepted if yajl accepts it, and then both read the same out of
 * it. What is accepted is stored minified, cut as the lengths say, each message valid by itself, and
 * the same again when it is read back and sent once more. What is refused leaves no trace.
 */
#include "base/assert.h"
#include "base/limits.h"
#include "protocol/json.h"
#include "protocol/varint.h"
#include "support/plain.h"

#include <yajl/yajl_parse.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* No whitespace and no control character outside of strings, and none of the latter in them. */
static void check_minified(struct sl_bytes stored)
{
    bool in_string = false;
    for (size_t i = 0; i < stored.size; i++) {
        uint8_t byte = stored.data[i];
        SL_ASSERT(byte >= ' ');
        SL_ASSERT(in_string || (byte > ' ' && byte < 0x7f));
        if (in_string && byte == '\\')
            i++;
        else if (byte == '"')
            in_string = !in_string;
    }
    SL_ASSERT(!in_string);
}

/* The messages one by one, each as a text of its own. */
static void check_messages(const struct sl_json_split *split)
{
    size_t at = 0, lengths_at = 0;
    struct sl_json_split one = { 0 };
    for (uint32_t i = 0; i < split->count; i++) {
        uint64_t size;
        size_t used = sl_varint_read(split->lengths.data + lengths_at,
                                     split->lengths.size - lengths_at, &size);
        SL_ASSERT(used > 0);
        SL_ASSERT(size >= 2 && size <= split->messages.size - at);
        const uint8_t *message = split->messages.data + at;
        lengths_at += used;
        at += size;
        /* An array would be flattened. */
        if (*message == '[')
            continue;
        sl_json_split_clear(&one);
        enum sl_err err = sl_json_split(sl_bytes(message, size - 1), &one);
        SL_ASSERT(err == SL_OK && one.count == 1);
        SL_ASSERT(sl_bytes_equal(sl_bytes(message, size), sl_buffer_bytes(&one.messages)));
    }
    SL_ASSERT(at == split->messages.size);
    SL_ASSERT(lengths_at == split->lengths.size);
    sl_json_split_deinit(&one);
}

/* The array that a reader gets, split again. */
static void check_read_back(const struct sl_json_split *split)
{
    struct sl_buffer array = { 0 };
    struct sl_json_split again = { 0 };
    sl_buffer_append(&array, "[", 1);
    sl_buffer_append(&array, split->messages.data, split->messages.size);
    array.data[array.size - 1] = ']';
    enum sl_err err = sl_json_split(sl_buffer_bytes(&array), &again);
    /* One message at the limit of depth is above it inside an array. */
    if (err != SL_OK) {
        SL_ASSERT(err == SL_ERR_INVALID_JSON);
        SL_ASSERT(split->count == 1 && split->messages.size > SL_JSON_DEPTH_MAX);
    } else {
        SL_ASSERT(again.count == split->count);
        SL_ASSERT(
            sl_bytes_equal(sl_buffer_bytes(&again.messages), sl_buffer_bytes(&split->messages)));
        SL_ASSERT(
            sl_bytes_equal(sl_buffer_bytes(&again.lengths), sl_buffer_bytes(&split->lengths)));
    }
    sl_buffer_deinit(&array);
    sl_json_split_deinit(&again);
}

/* ---- what another parser says ---- */

/* The values of a text, one behind the other, as yajl sees them. */
struct reading {
    struct sl_buffer values;
    unsigned depth;
    unsigned depth_max;
};

static int add(struct reading *reading, char kind, const void *data, size_t size)
{
    sl_buffer_printf(&reading->values, "%c%zu:", kind, size);
    sl_buffer_append(&reading->values, data, size);
    return 1;
}

static int on_null(void *reading)
{
    return add(reading, 'n', NULL, 0);
}

static int on_boolean(void *reading, int value)
{
    return add(reading, value ? 't' : 'f', NULL, 0);
}

static int on_number(void *reading, const char *text, size_t size)
{
    return add(reading, '0', text, size);
}

static int on_string(void *reading, const unsigned char *text, size_t size)
{
    return add(reading, '"', text, size);
}

static int on_key(void *reading, const unsigned char *text, size_t size)
{
    return add(reading, 'k', text, size);
}

static int begin(struct reading *reading, char kind)
{
    if (++reading->depth > reading->depth_max)
        reading->depth_max = reading->depth;
    return add(reading, kind, NULL, 0);
}

static int end(struct reading *reading, char kind)
{
    reading->depth--;
    return add(reading, kind, NULL, 0);
}

static int on_map(void *reading)
{
    return begin(reading, '{');
}

static int on_map_end(void *reading)
{
    return end(reading, '}');
}

static int on_array(void *reading)
{
    return begin(reading, '[');
}

static int on_array_end(void *reading)
{
    return end(reading, ']');
}

/* Where yajl has its value, it takes the beginning of a token behind it, too; in an array it does not.
 */
static bool is_whole(struct sl_bytes text)
{
    yajl_handle parser = yajl_alloc(NULL, NULL, NULL);
    bool whole = yajl_parse(parser, (const unsigned char *)"[", 1) == yajl_status_ok &&
                 yajl_parse(parser, text.data, text.size) == yajl_status_ok &&
                 yajl_parse(parser, (const unsigned char *)"]", 1) == yajl_status_ok &&
                 yajl_complete_parse(parser) == yajl_status_ok;
    yajl_free(parser);
    return whole;
}

/* False: yajl does not take it. */
static bool read_text(struct sl_bytes text, struct reading *reading)
{
    static yajl_callbacks callbacks = { on_null,    on_boolean, NULL,        NULL,
                                        on_number,  on_string,  on_map,      on_key,
                                        on_map_end, on_array,   on_array_end };
    *reading = (struct reading){ .depth = 0 };
    yajl_handle parser = yajl_alloc(&callbacks, NULL, reading);
    bool good = yajl_parse(parser, text.data, text.size) == yajl_status_ok &&
                yajl_complete_parse(parser) == yajl_status_ok && is_whole(text);
    yajl_free(parser);
    return good;
}

/* yajl takes bytes that only look like UTF-8, and two more control characters as blanks. */
static bool is_strict(struct sl_bytes text)
{
    return plain_is_utf8(text) && (text.size == 0 || (memchr(text.data, '\v', text.size) == NULL &&
                                                      memchr(text.data, '\f', text.size) == NULL));
}

/* The array of the messages has the values of the text, which may have been such an array. */
static void check_values(const struct reading *text, const struct sl_json_split *split)
{
    static const char begin_array[] = "[0:", end_array[] = "]0:";
    struct sl_buffer array = { 0 }, wrapped = { 0 };
    struct reading stored;
    bool is_array = memcmp(text->values.data, begin_array, 3) == 0;
    if (!is_array)
        sl_buffer_append_text(&wrapped, begin_array);
    sl_buffer_append_bytes(&wrapped, sl_buffer_bytes(&text->values));
    if (!is_array)
        sl_buffer_append_text(&wrapped, end_array);
    sl_buffer_append(&array, "[", 1);
    sl_buffer_append_bytes(&array, sl_buffer_bytes(&split->messages));
    array.data[array.size - 1] = ']';
    bool good = read_text(sl_buffer_bytes(&array), &stored);
    SL_ASSERT(good);
    SL_ASSERT(sl_bytes_equal(sl_buffer_bytes(&stored.values), sl_buffer_bytes(&wrapped)));
    sl_buffer_deinit(&stored.values);
    sl_buffer_deinit(&wrapped);
    sl_buffer_deinit(&array);
}

static void check_against_yajl(struct sl_bytes text, enum sl_err err,
                               const struct sl_json_split *split)
{
    struct reading reading;
    bool good = read_text(text, &reading) && is_strict(text);
    if (good && reading.depth_max > SL_JSON_DEPTH_MAX)
        SL_ASSERT(err == SL_ERR_INVALID_JSON);
    else if (good)
        SL_ASSERT(err == SL_OK || err == SL_ERR_EMPTY_ARRAY);
    else
        SL_ASSERT(err == SL_ERR_INVALID_JSON);
    if (err == SL_OK)
        check_values(&reading, split);
    sl_buffer_deinit(&reading.values);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sl_json_split split = { 0 };
    enum sl_err err = sl_json_split(sl_bytes(data, size), &split);
    if (err == SL_OK) {
        SL_ASSERT(plain_is_utf8(sl_bytes(data, size)));
        SL_ASSERT(split.count > 0);
        SL_ASSERT(split.messages.size <= size + 1);
        check_minified(sl_buffer_bytes(&split.messages));
        check_messages(&split);
        check_read_back(&split);
    } else {
        SL_ASSERT(split.count == 0 && split.messages.size == 0 && split.lengths.size == 0);
    }
    check_against_yajl(sl_bytes(data, size), err, &split);

    /* The same text as a second part of a batch. */
    struct sl_json_split batch = { 0 };
    enum sl_err first = sl_json_split(sl_bytes_of("[0]"), &batch);
    enum sl_err second = sl_json_split(sl_bytes(data, size), &batch);
    SL_ASSERT(first == SL_OK && second == err);
    SL_ASSERT(batch.count == split.count + 1);
    SL_ASSERT(batch.messages.size == split.messages.size + 2);
    SL_ASSERT(batch.lengths.size == split.lengths.size + 1);
    sl_json_split_deinit(&batch);
    sl_json_split_deinit(&split);
    return 0;
}
