/*
 * base/buffer.h - bytes that grow
 *
 * What     Owned memory, how much of it is filled, and how to fill more.
 * Thread   Whoever owns it.
 * Owns     Its memory. All zero is a valid empty buffer, and so it is after sl_buffer_deinit().
 *
 * Invariants
 *   (1) size <= capacity.
 *   (2) What points into the buffer is dead after the next reserve, append or printf.
 *   (3) From SL_BUFFER_MAPPED_BYTES on it has pages of its own: it grows without being copied, and
 *       what it had is given back at once, while the C library keeps large pieces, and holes.
 */
#ifndef SL_BASE_BUFFER_H
#define SL_BASE_BUFFER_H

#include "sluice/bytes.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    SL_BUFFER_MAPPED_BYTES = 4 * 1024 * 1024, /* of capacity */
};

struct sl_buffer {
    uint8_t *data;   /* owned; NULL only when capacity is 0 */
    size_t size;     /* bytes that are filled */
    size_t capacity; /* bytes there are */
};

/* Frees the memory; the buffer is empty and can be used again. */
void sl_buffer_deinit(struct sl_buffer *buffer);

/* Appends formatted text without its NUL. */
void sl_buffer_printf(struct sl_buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Makes room for `more` bytes, at least doubling the capacity; the slow half of reserve. */
void sl_buffer_grow(struct sl_buffer *buffer, size_t more) __attribute__((cold));

/* The place for `more` bytes; whoever writes there adds to `size` what it wrote. Never NULL. */
static inline uint8_t *sl_buffer_reserve(struct sl_buffer *buffer, size_t more)
{
    if (buffer->data == NULL || buffer->capacity - buffer->size < more)
        sl_buffer_grow(buffer, more);
    return buffer->data + buffer->size;
}

static inline void sl_buffer_append(struct sl_buffer *buffer, const void *data, size_t size)
{
    if (size == 0)
        return;
    memcpy(sl_buffer_reserve(buffer, size), data, size);
    buffer->size += size;
}

static inline void sl_buffer_append_bytes(struct sl_buffer *buffer, struct sl_bytes bytes)
{
    sl_buffer_append(buffer, bytes.data, bytes.size);
}

static inline void sl_buffer_append_text(struct sl_buffer *buffer, const char *text)
{
    sl_buffer_append(buffer, text, strlen(text));
}

/* Empties the buffer and keeps its memory. */
static inline void sl_buffer_clear(struct sl_buffer *buffer)
{
    buffer->size = 0;
}

/* Borrows what is filled. */
static inline struct sl_bytes sl_buffer_bytes(const struct sl_buffer *buffer)
{
    return sl_bytes(buffer->data, buffer->size);
}

#ifdef __cplusplus
}
#endif
#endif
