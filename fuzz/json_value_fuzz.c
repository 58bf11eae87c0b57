/*
 * Any bytes as a JSON text. When it is one, each of its messages, read value by value, says what
 * the tree says that yajl makes of it; and a string that is written again says the same.
 */
#include "base/assert.h"
#include "base/memory.h"
#include "protocol/json.h"
#include "protocol/json_value.h"

#include <yajl/yajl_tree.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_written(struct sl_bytes decoded)
{
    struct sl_buffer written = { 0 };
    struct sl_buffer again = { 0 };
    sl_json_append_string(&written, decoded);
    bool good = sl_json_decode_string(sl_buffer_bytes(&written), &again);
    SL_ASSERT(good);
    SL_ASSERT(sl_bytes_equal(sl_buffer_bytes(&again), decoded));
    sl_buffer_deinit(&written);
    sl_buffer_deinit(&again);
}

/* The trees of yajl hold C strings: what is behind a NUL is not compared. */
static void check_string(struct sl_bytes value, const char *expected)
{
    struct sl_buffer decoded = { 0 };
    SL_ASSERT(sl_json_is_string(value));
    if (sl_json_decode_string(value, &decoded)) {
        check_written(sl_buffer_bytes(&decoded));
        sl_buffer_append(&decoded, "", 1);
        SL_ASSERT(strcmp((const char *)decoded.data, expected) == 0);
    } else {
        /* A lone surrogate, which yajl takes for a question mark. */
        SL_ASSERT(decoded.size == 0);
        SL_ASSERT(memmem(value.data, value.size, "\\u", 2) != NULL);
        SL_ASSERT(strchr(expected, '?') != NULL || strlen(expected) < value.size);
    }
    sl_buffer_deinit(&decoded);
}

static void check_value(struct sl_bytes value, yajl_val expected);

static void check_array(struct sl_bytes value, yajl_val expected)
{
    struct sl_bytes element;
    size_t count = 0;
    SL_ASSERT(sl_json_is_array(value));
    for (struct sl_bytes rest = sl_json_elements(value); sl_json_next(&rest, &element); count++) {
        SL_ASSERT(count < YAJL_GET_ARRAY(expected)->len);
        check_value(element, YAJL_GET_ARRAY(expected)->values[count]);
    }
    SL_ASSERT(count == YAJL_GET_ARRAY(expected)->len);
}

static bool has_name(yajl_val object, const char *name)
{
    for (size_t i = 0; i < object->u.object.len; i++)
        if (strcmp(object->u.object.keys[i], name) == 0)
            return true;
    return false;
}

/* The last member of a name counts. */
static bool is_last(yajl_val object, size_t index)
{
    for (size_t i = index + 1; i < object->u.object.len; i++)
        if (strcmp(object->u.object.keys[i], object->u.object.keys[index]) == 0)
            return false;
    return true;
}

/* Names that a C string or yajl cannot say: with a NUL, or with half of a surrogate pair. */
static bool may_have_such_names(struct sl_bytes value)
{
    return memmem(value.data, value.size, "\\u0000", 6) != NULL ||
           memmem(value.data, value.size, "\\ud", 3) != NULL ||
           memmem(value.data, value.size, "\\uD", 3) != NULL;
}

static void check_object(struct sl_bytes value, yajl_val expected)
{
    struct sl_bytes member;
    SL_ASSERT(sl_json_is_object(value));
    if (may_have_such_names(value))
        return;
    for (size_t i = 0; i < expected->u.object.len; i++) {
        const char *name = expected->u.object.keys[i];
        if (!is_last(expected, i))
            continue;
        bool found = sl_json_find(value, name, &member);
        SL_ASSERT(found);
        check_value(member, expected->u.object.values[i]);
    }
    /* The fuzzer learns names from what they are compared with, this one too. */
    const char *rare = "a name of few inputs";
    bool found = sl_json_find(value, rare, &member);
    SL_ASSERT(found == has_name(expected, rare));
    SL_ASSERT(found || member.size == 0);
}

static void check_value(struct sl_bytes value, yajl_val expected)
{
    SL_ASSERT(sl_json_is_true(value) == YAJL_IS_TRUE(expected));
    if (YAJL_IS_STRING(expected))
        check_string(value, YAJL_GET_STRING(expected));
    else if (YAJL_IS_NUMBER(expected))
        SL_ASSERT(sl_bytes_equal(value, sl_bytes_of(YAJL_GET_NUMBER(expected))));
    else if (YAJL_IS_ARRAY(expected))
        check_array(value, expected);
    else if (YAJL_IS_OBJECT(expected))
        check_object(value, expected);
    else if (YAJL_IS_NULL(expected))
        SL_ASSERT(sl_bytes_equal(value, sl_bytes_of("null")));
    else
        SL_ASSERT(YAJL_IS_TRUE(expected) || sl_bytes_equal(value, sl_bytes_of("false")));
}

static void check_message(struct sl_bytes value)
{
    char problem[256];
    char *text = sl_memory_alloc(value.size + 1);
    memcpy(text, value.data, value.size);
    text[value.size] = '\0';
    yajl_val tree = yajl_tree_parse(text, problem, sizeof(problem));
    SL_ASSERT(tree != NULL);
    check_value(value, tree);
    yajl_tree_free(tree);
    sl_memory_free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sl_json_split split = { 0 };
    struct sl_bytes value;
    uint32_t count = 0;
    if (sl_json_split(sl_bytes(data, size), &split) == SL_OK) {
        struct sl_bytes rest = sl_buffer_bytes(&split.messages);
        for (; sl_json_next(&rest, &value); count++)
            check_message(value);
        SL_ASSERT(count == split.count);
    }
    sl_json_split_deinit(&split);
    return 0;
}
