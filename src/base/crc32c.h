/*
 * base/crc32c.h - checksum of everything that goes to the disk
 *
 * What     CRC-32C (Castagnoli), by the CPU's instruction where there is one.
 * Thread   Any, pure.
 */
#ifndef SL_BASE_CRC32C_H
#define SL_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Goes on with `crc`, the checksum of the bytes before; 0 for the first ones. */
uint32_t sl_crc32c(uint32_t crc, const void *data, size_t size);

/* The same without the CPU's help, for its test. */
uint32_t sli_crc32c_software(uint32_t crc, const void *data, size_t size);

#ifdef __cplusplus
}
#endif
#endif
