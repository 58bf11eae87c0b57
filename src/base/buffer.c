#include "base/buffer.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/memory.h"

enum {
    CAPACITY_MIN = 64, /* bytes; saves the first few steps of doubling */
};

static bool is_mapped(size_t capacity)
{
    return capacity >= SL_BUFFER_MAPPED_BYTES;
}

void sl_buffer_deinit(struct sl_buffer *buffer)
{
    if (is_mapped(buffer->capacity))
        sl_memory_unmap(buffer->data, buffer->capacity);
    else
        sl_memory_free(buffer->data);
    *buffer = (struct sl_buffer){ 0 };
}

void sl_buffer_grow(struct sl_buffer *buffer, size_t more)
{
    SL_ASSERT(buffer->size <= buffer->capacity);
    SL_ASSERT(more <= SIZE_MAX / 2 - buffer->size);
    size_t needed = buffer->size + more;
    size_t capacity = buffer->capacity < CAPACITY_MIN / 2 ? CAPACITY_MIN : buffer->capacity * 2;
    if (capacity < needed)
        capacity = needed;
    if (!is_mapped(capacity)) {
        buffer->data = sl_memory_grow(buffer->data, capacity);
    } else if (is_mapped(buffer->capacity)) {
        buffer->data = sl_memory_map(buffer->data, buffer->capacity, capacity);
    } else {
        uint8_t *mapped = sl_memory_map(NULL, 0, capacity);
        if (buffer->data != NULL)
            memcpy(mapped, buffer->data, buffer->size);
        sl_memory_free(buffer->data);
        buffer->data = mapped;
    }
    buffer->capacity = capacity;
}

/* Formats into the room there is and returns the size that the text has or would have. */
__attribute__((format(printf, 2, 0))) static size_t try_print(struct sl_buffer *buffer,
                                                              const char *format, va_list arguments)
{
    size_t room = buffer->capacity - buffer->size;
    int size = vsnprintf((char *)buffer->data + buffer->size, room, format, arguments);
    SL_ASSERT(size >= 0);
    return (size_t)size;
}

void sl_buffer_printf(struct sl_buffer *buffer, const char *format, ...)
{
    /* The NUL of vsnprintf needs a place too, though it does not count. */
    sl_buffer_reserve(buffer, 1);
    va_list arguments;
    va_start(arguments, format);
    size_t size = try_print(buffer, format, arguments);
    va_end(arguments);
    if (size >= buffer->capacity - buffer->size) {
        sl_buffer_reserve(buffer, size + 1);
        va_start(arguments, format);
        size_t again = try_print(buffer, format, arguments);
        va_end(arguments);
        SL_ASSERT(again == size);
    }
    buffer->size += size;
}
