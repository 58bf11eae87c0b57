#include "stream/slab.h"

#include <string.h>

#include "base/assert.h"
#include "base/limits.h"

void sl_slab_init(struct sl_slab *slab, size_t size, struct sl_account *account)
{
    SL_ASSERT(size > 0 && size <= SL_SLAB_SIZE_BYTES);
    *slab = (struct sl_slab){ .size = size, .account = account };
}

void sl_slab_deinit(struct sl_slab *slab)
{
    if (slab->block != NULL)
        sl_block_unref(&slab->block);
}

void sl_slab_set_size(struct sl_slab *slab, size_t size)
{
    SL_ASSERT(size > 0 && size <= SL_SLAB_SIZE_BYTES);
    slab->size = size;
}

static size_t stored_size(const struct sl_payload *payload)
{
    return payload->bytes.size + payload->lengths.size;
}

static bool fits(const struct sl_slab *slab, size_t size)
{
    return slab->block != NULL && size <= slab->block->size - slab->used;
}

/* Such a payload has a block of its own, so that no slab loses much space at its end. */
static bool is_large(const struct sl_slab *slab, size_t size)
{
    return size >= SL_OWN_BLOCK_SIZE_BYTES || size > slab->size / 4;
}

size_t sl_slab_growth(const struct sl_slab *slab, const struct sl_payload *payload)
{
    size_t size = stored_size(payload);
    if (payload->block != NULL)
        return 0;
    if (is_large(slab, size))
        return size;
    return fits(slab, size) ? 0 : slab->size;
}

struct sl_place sl_slab_store(struct sl_slab *slab, struct sl_payload *payload)
{
    size_t size = stored_size(payload);
    struct sl_place place = { .at = 0 };
    SL_ASSERT(size <= UINT32_MAX);
    if (payload->block != NULL) {
        place.block = payload->block;
        place.block->live = (uint32_t)size;
        payload->block = NULL;
        return place;
    }
    if (is_large(slab, size)) {
        place.block = sl_block_create(size, slab->account);
    } else {
        if (!fits(slab, size)) {
            if (slab->block != NULL)
                sl_block_unref(&slab->block);
            slab->block = sl_block_create(slab->size, slab->account);
            slab->used = 0;
        }
        place.block = sl_block_ref(slab->block);
        place.at = (uint32_t)slab->used;
        slab->used += size;
    }
    place.block->live += (uint32_t)size;
    uint8_t *to = sl_block_data(place.block) + place.at;
    memcpy(to, payload->bytes.data, payload->bytes.size);
    if (payload->lengths.size > 0)
        memcpy(to + payload->bytes.size, payload->lengths.data, payload->lengths.size);
    return place;
}

void sl_slab_drop(struct sl_block **block, size_t size)
{
    SL_ASSERT((*block)->live >= size);
    (*block)->live -= (uint32_t)size;
    sl_block_unref(block);
}

bool sl_slab_is_sparse(const struct sl_slab *slab, const struct sl_block *block)
{
    return block != slab->block && block->live < block->size / 2;
}
