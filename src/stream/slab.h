/*
 * stream/slab.h - where payload lives
 *
 * What     Copies payloads one behind the other into dense refcounted blocks (slabs); a large
 *          payload keeps a block of its own, by reference.
 * Why      A lone 256-byte append must not cost a page, and a reader must be able to keep bytes
 *          alive without asking the shard: whoever drops the last reference frees the block.
 * Thread   The shard that owns the streams.
 * Owns     One reference to the block that is being filled.
 */
#ifndef SL_STREAM_SLAB_H
#define SL_STREAM_SLAB_H

#include "base/block.h"
#include "sluice/bytes.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The payload of one append on its way into a stream. */
struct sl_payload {
    struct sl_bytes bytes;   /* borrowed: what is stored */
    struct sl_bytes lengths; /* borrowed: varint length of every message, then the index that
                                sl_lengths_add_index() makes; empty unless count > 1 */
    uint32_t count;          /* JSON: messages; bytes: 1 */
    struct sl_block *block;  /* owned, or NULL: holds bytes, and lengths right behind them */
};

/* Where a stored payload is; owns a reference to the block. */
struct sl_place {
    struct sl_block *block; /* owned reference */
    uint32_t at;            /* first byte in the block; the lengths follow the payload */
};

struct sl_slab {
    struct sl_block *block;     /* owned: being filled, or NULL */
    size_t used;                /* bytes of it */
    size_t size;                /* bytes of a new one */
    struct sl_account *account; /* borrowed: of the engine; counts every block */
};

/* `size`: bytes of a shared block, at most SL_SLAB_SIZE_BYTES. */
void sl_slab_init(struct sl_slab *slab, size_t size, struct sl_account *account);
void sl_slab_deinit(struct sl_slab *slab);
/* Of the next shared blocks, as above. */
void sl_slab_set_size(struct sl_slab *slab, size_t size);

/*
 * Bytes that storing this payload would add to the account; 0 when it fits into the current block.
 */
size_t sl_slab_growth(const struct sl_slab *slab, const struct sl_payload *payload);

/* Stores the payload; takes over its block and clears it. */
struct sl_place sl_slab_store(struct sl_slab *slab, struct sl_payload *payload);

/* Gives a stored payload of `size` bytes, with its lengths, back. */
void sl_slab_drop(struct sl_block **block, size_t size);

/* Is this a slab that is mostly dead, and not the one being filled? */
bool sl_slab_is_sparse(const struct sl_slab *slab, const struct sl_block *block);

#ifdef __cplusplus
}
#endif
#endif
