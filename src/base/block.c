#include "base/block.h"

#include "base/memory.h"

struct sl_block *sl_block_create(size_t size, struct sl_account *account)
{
    SL_ASSERT(size <= SIZE_MAX - sizeof(struct sl_block));
    struct sl_block *block = sl_memory_alloc(sizeof(*block) + size);
    *block = (struct sl_block){ .account = account, .size = size, .references = 1 };
    if (account != NULL)
        sl_account_add(account, sl_memory_usable(block));
    return block;
}

void sli_block_free(struct sl_block *block)
{
    SL_ASSERT(block->references == 0);
    if (block->account != NULL)
        sl_account_subtract(block->account, sl_memory_usable(block));
    sl_memory_free(block);
}
