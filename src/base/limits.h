/*
 * base/limits.h - how much of everything
 *
 * What     Every maximum and size that is not part of the public API (see sluice/operation.h), with
 *          its unit, its reason, and the error that a client sees beyond it.
 * Thread   Any; constants only.
 */
#ifndef SL_BASE_LIMITS_H
#define SL_BASE_LIMITS_H

#include "base/assert.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    /* Bytes of a block that many small payloads share: large enough that allocating is rare. */
    SL_SLAB_SIZE_BYTES = 256 * 1024,
    /* Bytes; payloads from this size on have a block of their own, so no slab loses much space. */
    SL_OWN_BLOCK_SIZE_BYTES = 64 * 1024,

    /* Slots of a ring, a power of two: more than a burst, few enough to stay in the cache. */
    SL_RING_CAPACITY = 4096,
    /* Messages taken from one ring before the others get their turn. */
    SL_DRAIN_BATCH_MAX = 256,

    /* JSON messages in one request: bounds the work of one step. TOO_MANY_MESSAGES */
    SL_MESSAGES_PER_REQUEST_MAX = 262144,
    /* Names of streams in one request at __ds: they are sorted in one step. INVALID_REQUEST */
    SL_NAMES_PER_REQUEST_MAX = 65536,
    /* Ancestors of which a fork still has bytes: bounds the walk of a read. FORK_TOO_DEEP */
    SL_FORK_DEPTH_MAX = 256,
    /* Arrays and objects within each other: bounds the parser's stack. INVALID_JSON */
    SL_JSON_DEPTH_MAX = 1024,

    /* Bytes of a request body unless an option says otherwise. PAYLOAD_TOO_LARGE */
    SL_BODY_SIZE_MAX_DEFAULT = 16 * 1024 * 1024,
    /* Bytes; the largest value of that option: sizes of payloads fit in 32 bits. */
    SL_BODY_SIZE_MAX = 1024 * 1024 * 1024,

    /* Bytes of a request target: a name and a query. NAME_TOO_LONG */
    SL_TARGET_SIZE_MAX = 8192,
    /* Headers of a request, as many as h2o has room for. 400, and the end of the connection. */
    SL_HEADERS_MAX = 100,
    /* Bytes of extensions and trailers of one chunked body, which are read past. 400, and the end. */
    SL_CHUNK_EXTRA_SIZE_MAX = 16 * 1024,

    /* Bytes of one answer to a catch-up read: the client asks again for the rest. */
    SL_PAGE_SIZE_BYTES = 4 * 1024 * 1024,
    /* Bytes of a page that are in one operation: bounds what a slow client keeps referenced. Half
     * or twice as many make large reads slower (bench/README.md). */
    SL_PIECE_SIZE_BYTES = 512 * 1024,
    /* Bytes of such a piece that is a copy, of memory or of the disk: they count in a budget. */
    SL_COPY_SIZE_BYTES = 256 * 1024,

    /* Appends of which one of those has bytes: bounds the walk of a read. The next one goes on. */
    SL_EXTENTS_PER_PIECE_MAX = 4096,

    /* Bytes that the kernel takes for a client whose window is full; it would take 4 MiB. */
    SL_UNSENT_SIZE_MAX = 64 * 1024,
    /* Bytes that one connection reads before others get their turn; before it has a body of so many
     * that it is worth more, so that many small requests do not make a long turn. */
    SL_READ_SIZE_MAX = 256 * 1024,
    SL_READ_SIZE_FIRST = 16 * 1024,
    /* Milliseconds for which a client that is refused may go on sending, to see the answer then. */
    SL_LINGER_MS = 30 * 1000,
    /* Milliseconds a request may wait for room in a full ring, or at __ds for others. OVERLOADED */
    SL_OVERLOAD_AGE_MS = 1000,
};

SL_STATIC_ASSERT(SL_OWN_BLOCK_SIZE_BYTES <= SL_SLAB_SIZE_BYTES, "small payloads fit in a slab");
SL_STATIC_ASSERT((SL_RING_CAPACITY & (SL_RING_CAPACITY - 1)) == 0, "rings want a power of two");
SL_STATIC_ASSERT(SL_DRAIN_BATCH_MAX < SL_RING_CAPACITY, "one batch does not empty a full ring");
SL_STATIC_ASSERT(SL_BODY_SIZE_MAX_DEFAULT <= SL_BODY_SIZE_MAX, "the default is allowed");
SL_STATIC_ASSERT(SL_PIECE_SIZE_BYTES <= SL_PAGE_SIZE_BYTES, "a page has at least one piece");

#ifdef __cplusplus
}
#endif
#endif
