/*
 * base/block.h - payload that threads share
 *
 * What     A counted run of bytes, and accounts that say how much memory blocks take.
 * Why      A reply can still be on its way out of an acceptor when its stream is gone: the count is
 *          all that the threads share, and whoever drops the last reference frees.
 * Thread   Create, ref, unref: any. The bytes: written by the creator, and never again after they
 *          were handed to another thread.
 * Owns     Its bytes. Borrows its account until it is freed.
 */
#ifndef SL_BASE_BLOCK_H
#define SL_BASE_BLOCK_H

#include "base/assert.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Zero-initialised by its owner, who outlives whatever is booked here. */
struct sl_account {
    uint64_t bytes; /* memory in use; any thread, only by the functions here */
};

/* The bytes follow the struct. */
struct sl_block {
    struct sl_account *account; /* borrowed until the block is freed; NULL: nobody counts */
    size_t size;                /* payload bytes there is room for; fixed */
    uint32_t references;        /* any thread, only by ref and unref */
    uint32_t live;              /* the creator's own count of the bytes that it still needs */
};

/* One reference, the caller's. `account` (may be NULL) is charged with what the allocation takes. */
struct sl_block *sl_block_create(size_t size, struct sl_account *account)
    __attribute__((returns_nonnull));

/* Frees the block and credits its account: the slow half of unref. */
void sli_block_free(struct sl_block *block);

static inline uint8_t *sl_block_data(struct sl_block *block)
{
    return (uint8_t *)block + sizeof(struct sl_block);
}

/* One reference more; returns `block`. */
static inline struct sl_block *sl_block_ref(struct sl_block *block)
{
    /* Relaxed: the caller holds a reference already, so nothing can be freed meanwhile. */
    uint32_t before = __atomic_fetch_add(&block->references, 1, __ATOMIC_RELAXED);
    SL_ASSERT(before > 0 && before < UINT32_MAX);
    return block;
}

/* One reference less; takes it and clears the caller's pointer, which may be NULL before. */
static inline void sl_block_unref(struct sl_block **block)
{
    struct sl_block *last = *block;
    *block = NULL;
    /* Release: our reads come before the free. Acquire: those of all others do, too. */
    if (last != NULL && __atomic_sub_fetch(&last->references, 1, __ATOMIC_ACQ_REL) == 0)
        sli_block_free(last);
}

/* Of some recent moment. */
static inline uint64_t sl_account_bytes(const struct sl_account *account)
{
    return __atomic_load_n(&account->bytes, __ATOMIC_RELAXED);
}

/* Are, or with `growth` bytes more would be, more than 7/8 of the budget in use? */
static inline bool sl_account_is_scarce(const struct sl_account *account, uint64_t growth,
                                        uint64_t budget)
{
    return sl_account_bytes(account) + growth > budget / 8 * 7;
}

static inline void sl_account_add(struct sl_account *account, uint64_t bytes)
{
    __atomic_fetch_add(&account->bytes, bytes, __ATOMIC_RELAXED);
}

/* Books `bytes` unless the account would then hold more than `max`. */
static inline bool sl_account_take(struct sl_account *account, uint64_t bytes, uint64_t max)
{
    uint64_t before = __atomic_fetch_add(&account->bytes, bytes, __ATOMIC_RELAXED);
    if (before + bytes <= max)
        return true;
    __atomic_fetch_sub(&account->bytes, bytes, __ATOMIC_RELAXED);
    return false;
}

static inline void sl_account_subtract(struct sl_account *account, uint64_t bytes)
{
    uint64_t before = __atomic_fetch_sub(&account->bytes, bytes, __ATOMIC_RELAXED);
    SL_ASSERT(before >= bytes);
}

#ifdef __cplusplus
}
#endif
#endif
