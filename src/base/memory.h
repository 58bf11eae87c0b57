/*
 * base/memory.h - where all memory comes from
 *
 * What     The allocator of the C library, which here never fails.
 * Why      No memory stops the process, so no caller has a branch that nobody ever tests. Sizes
 *          that a client chooses are limited before they get here.
 * Thread   Any. The caller owns what it gets, until sl_memory_free().
 */
#ifndef SL_BASE_MEMORY_H
#define SL_BASE_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Never NULL, also when `size` is 0. The bytes are undefined. */
void *sl_memory_alloc(size_t size) __attribute__((malloc, returns_nonnull, alloc_size(1)));

/* As sl_memory_alloc(), all bytes 0. */
void *sl_memory_zalloc(size_t size) __attribute__((malloc, returns_nonnull, alloc_size(1)));

/* `alignment` is a power of two and at least that of a pointer. */
void *sl_memory_alloc_aligned(size_t alignment, size_t size)
    __attribute__((malloc, returns_nonnull, alloc_size(2), alloc_align(1)));

/* Changes the size of `memory` (may be NULL) and keeps what fits; the old pointer is dead. */
void *sl_memory_grow(void *memory, size_t size)
    __attribute__((warn_unused_result, returns_nonnull, alloc_size(2)));

/* `memory` may be NULL. */
void sl_memory_free(void *memory);

/*
 * As sl_memory_grow(), but in pages of its own, all 0, that take no memory until they are written
 * to. `memory` (may be NULL) has `old_size` bytes; it and the result come from here, and end by
 * unmap.
 */
void *sl_memory_map(void *memory, size_t old_size, size_t size)
    __attribute__((warn_unused_result, returns_nonnull, alloc_size(3)));
void sl_memory_unmap(void *memory, size_t size);

/* What the allocation really takes: at least the size that was asked for, the same at every call.
 */
size_t sl_memory_usable(const void *memory);

/*
 * Lets every thread's heap keep its free pages, up to 16 MiB at its end. The C library's own bound
 * follows what was freed so far, from 128 KiB on: pages are given back and faulted in again all the
 * time. Of the whole process; before there are threads.
 */
void sl_memory_keep_pages(void);

/*
 * Gives the system the free pages between used memory, which the C library never does by itself:
 * what a flood needed would stay. Whoever needs a heap that is being looked through waits for it.
 * Any thread.
 */
void sl_memory_give_back(void);

/* Bytes of memory that the process has; 0: the system does not say. Any thread. */
uint64_t sl_memory_resident_bytes(void);

#ifdef __cplusplus
}
#endif
#endif
