#include "base/memory.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/assert.h"

enum {
    HEAP_KEPT_BYTES = 16 * 1024 * 1024,
    HEAP_PIECE_BYTES_MAX = 32 * 1024 * 1024, /* the largest bound there is: beyond it, mapped */
};

/* The C library may answer a size of 0 with NULL, and realloc even frees. */
static size_t at_least_one(size_t size)
{
    return size == 0 ? 1 : size;
}

static void *never_null(void *memory)
{
    if (memory == NULL)
        sl_assert_fail("out of memory", __FILE__, __LINE__);
    return memory;
}

void *sl_memory_alloc(size_t size)
{
    return never_null(malloc(at_least_one(size)));
}

void *sl_memory_zalloc(size_t size)
{
    return never_null(calloc(1, at_least_one(size)));
}

void *sl_memory_alloc_aligned(size_t alignment, size_t size)
{
    SL_ASSERT((alignment & (alignment - 1)) == 0);
    SL_ASSERT(alignment >= sizeof(void *));
    void *memory = NULL;
    if (posix_memalign(&memory, alignment, at_least_one(size)) != 0)
        memory = NULL;
    return never_null(memory);
}

void *sl_memory_grow(void *memory, size_t size)
{
    return never_null(realloc(memory, at_least_one(size)));
}

void sl_memory_free(void *memory)
{
    free(memory);
}

void *sl_memory_map(void *memory, size_t old_size, size_t size)
{
    void *mapped = memory != NULL ? mremap(memory, old_size, size, MREMAP_MAYMOVE)
                                  : mmap(NULL, size, PROT_READ | PROT_WRITE,
                                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return never_null(mapped != MAP_FAILED ? mapped : NULL);
}

void sl_memory_unmap(void *memory, size_t size)
{
    int result = munmap(memory, size);
    SL_ASSERT(result == 0);
}

size_t sl_memory_usable(const void *memory)
{
    /* It only looks, but its prototype does not say so. */
    return malloc_usable_size((void *)(uintptr_t)memory);
}

void sl_memory_keep_pages(void)
{
    /* Setting one ends the adapting of both. A sanitizer's heap takes neither, which is fine. */
    (void)mallopt(M_TRIM_THRESHOLD, HEAP_KEPT_BYTES);
    (void)mallopt(M_MMAP_THRESHOLD, HEAP_PIECE_BYTES_MAX);
}

void sl_memory_give_back(void)
{
    (void)malloc_trim(0); /* whether there was anything */
}

uint64_t sl_memory_resident_bytes(void)
{
    unsigned long long pages;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL)
        return 0;
    bool is_read = fscanf(file, "%*u %llu", &pages) == 1;
    fclose(file);
    return is_read ? pages * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}
