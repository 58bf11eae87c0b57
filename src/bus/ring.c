#include "bus/ring.h"

#include <ck_ring.h>

#include "base/assert.h"
#include "base/memory.h"

/*
 * CK orders memory with inline assembly, which ThreadSanitizer does not understand. So this
 * file is built without instrumentation (see CMakeLists.txt), and the two calls below tell
 * TSan the one fact it needs: what came before a push happens before what follows the pop.
 */
/* NOLINTBEGIN(bugprone-reserved-identifier): the sanitizer's names. */
#ifdef SL_TSAN
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#else
#define __tsan_acquire(address) ((void)(address))
#define __tsan_release(address) ((void)(address))
#endif
/* NOLINTEND(bugprone-reserved-identifier) */

struct sl_ring {
    ck_ring_t ck;
    ck_ring_buffer_t slots[]; /* ck.size of them */
};

struct sl_ring *sl_ring_create(unsigned capacity)
{
    SL_ASSERT(capacity >= 4 && (capacity & (capacity - 1)) == 0); /* what ck_ring_init asks for */
    struct sl_ring *ring =
        sl_memory_alloc_aligned(CK_MD_CACHELINE, sizeof(*ring) + capacity * sizeof(ring->slots[0]));
    ck_ring_init(&ring->ck, capacity);
    return ring;
}

void sl_ring_destroy(struct sl_ring **ring)
{
    SL_ASSERT(ck_ring_size(&(*ring)->ck) == 0);
    sl_memory_free(*ring);
    *ring = NULL;
}

bool sl_ring_push(struct sl_ring *ring, void *message)
{
    __tsan_release(ring);
    return ck_ring_enqueue_spsc(&ring->ck, ring->slots, message);
}

void *sl_ring_pop(struct sl_ring *ring)
{
    void *message = NULL;
    if (!ck_ring_dequeue_spsc(&ring->ck, ring->slots, &message))
        return NULL;
    __tsan_acquire(ring);
    return message;
}
