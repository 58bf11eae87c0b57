/*
 * protocol/varint.h - small numbers in few bytes (LEB128)
 *
 * What     Writes and reads an unsigned number, seven bits a byte, the lowest first; the high bit
 *          of a byte says that another one follows.
 * Thread   Any; pure functions.
 * Limits   SL_VARINT_SIZE_MAX bytes for a number.
 */
#ifndef SL_PROTOCOL_VARINT_H
#define SL_PROTOCOL_VARINT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { SL_VARINT_SIZE_MAX = 10 };

/* Writes `value` in its shortest form and returns the bytes used; `out` has room for all 10. */
size_t sl_varint_write(uint64_t value, uint8_t *out);

/*
 * Reads the number that `data` begins with and returns the bytes used. Returns 0, and *value is 0,
 * when the bytes end inside the number, the number needs more than 64 bits, or its last byte is a
 * needless zero: every number has exactly one form.
 */
size_t sl_varint_read(const uint8_t *data, size_t size, uint64_t *value);

#ifdef __cplusplus
}
#endif
#endif
