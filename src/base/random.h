/*
 * base/random.h - bytes that nobody can guess
 *
 * What     The random numbers of the kernel. A failure stops the process.
 * Thread   Any. A system call each: not for hot paths.
 */
#ifndef SL_BASE_RANDOM_H
#define SL_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

void sl_random_bytes(void *out, size_t size);
uint64_t sl_random_u64(void);

#ifdef __cplusplus
}
#endif
#endif
