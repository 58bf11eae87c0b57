/*
 * bus/ring.h - a bounded queue of pointers from one thread to another
 *
 * What     One producer thread, one consumer thread, no lock, no allocation after create.
 * Why      The only file that knows Concurrency Kit: its headers do not compile as C++ and
 *          ThreadSanitizer cannot see its fences, so both are dealt with once, in ring.c.
 * Thread   The functions are grouped by the side that may call them.
 * Owns     The slots. A message belongs to the producer until push returns true, and to the
 *          consumer from the moment pop hands it out.
 *
 * Invariants
 *   (1) Messages come out in the order they went in.
 *   (2) A ring created for `capacity` slots holds at most capacity - 1 messages.
 *   (3) Everything written to a message before push is seen by the consumer after pop.
 */
#ifndef SL_BUS_RING_H
#define SL_BUS_RING_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sl_ring;

/* ---- any one thread, before the ring is shared and after both sides have stopped ---- */

/* `capacity` is a power of two. Never returns NULL. The caller destroys it. */
struct sl_ring *sl_ring_create(unsigned capacity);
/* Takes the ring, which is empty, and clears the caller's pointer. */
void sl_ring_destroy(struct sl_ring **ring);

/* ---- producer thread ---- */

/* False when the ring is full: nothing happened, the message is still the caller's. */
bool sl_ring_push(struct sl_ring *ring, void *message);

/* ---- consumer thread ---- */

/* The oldest message; NULL when the ring is empty. */
void *sl_ring_pop(struct sl_ring *ring);

#ifdef __cplusplus
}
#endif
#endif
