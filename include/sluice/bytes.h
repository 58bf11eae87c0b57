/*
 * sluice/bytes.h - a borrowed run of bytes
 *
 * What     Pointer and length; never owns, never ends in NUL.
 * Thread   Any.
 */
#ifndef SLUICE_BYTES_H
#define SLUICE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sl_bytes {
    const uint8_t *data; /* borrowed; may be NULL when size is 0 */
    size_t size;         /* bytes */
};

/* Borrows `size` bytes at `data`. */
static inline struct sl_bytes sl_bytes(const void *data, size_t size)
{
    struct sl_bytes bytes = { (const uint8_t *)data, size };
    return bytes;
}

/* Borrows a C string without its NUL. */
static inline struct sl_bytes sl_bytes_of(const char *text)
{
    return sl_bytes(text, strlen(text));
}

/* Same length and same bytes. */
static inline bool sl_bytes_equal(struct sl_bytes a, struct sl_bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* `bytes` from `start` on; `start` is at most its size. */
static inline struct sl_bytes sl_bytes_from(struct sl_bytes bytes, size_t start)
{
    return start == 0 ? bytes : sl_bytes(bytes.data + start, bytes.size - start);
}

#ifdef __cplusplus
}
#endif
#endif
