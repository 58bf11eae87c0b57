/*
 * Any bytes as a JSON text: what is accepted is stored minified, cut as the lengths say, each
 * message valid by itself, and the same again when it is read back and sent once more. What is
 * refused leaves no trace.
 */
#include "base/assert.h"
#include "base/limits.h"
#include "protocol/json.h"
#include "protocol/utf8.h"
#include "protocol/varint.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sl_json_split split = { 0 };
    enum sl_err err = sl_json_split(sl_bytes(data, size), &split);
    if (err == SL_OK) {
        SL_ASSERT(sl_utf8_is_valid(sl_bytes(data, size)));
        SL_ASSERT(split.count > 0);
        SL_ASSERT(split.messages.size <= size + 1);
        check_minified(sl_buffer_bytes(&split.messages));
        check_messages(&split);
        check_read_back(&split);
    } else {
        SL_ASSERT(split.count == 0 && split.messages.size == 0 && split.lengths.size == 0);
    }

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
