#include "stream/media.h"

#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/link.h"
#include "base/memory.h"
#include "base/random.h"
#include "protocol/content_type.h"
#include "sluice/operation.h"

static struct sl_bytes text_of(const struct sl_media *media)
{
    return sl_bytes(media->text, media->size);
}

/* Clients choose the texts: without a secret they could choose those of one bucket. */
void sl_media_set_init(struct sl_media_set *set, struct sl_account *account)
{
    *set = (struct sl_media_set){
        .key = { .k0 = sl_random_u64(), .k1 = sl_random_u64() },
        .account = account,
    };
}

/* And its bucket. */
static size_t memory_of(const struct sl_media *media)
{
    return sizeof(*media) + media->size + sizeof(media);
}

struct sl_media *sl_media_use(struct sl_media_set *set, struct sl_bytes content_type)
{
    SL_ASSERT(content_type.size <= SL_CONTENT_TYPE_SIZE_MAX);
    uint64_t hash = sl_hash(&set->key, content_type);
    for (struct sl_table_node *node = sl_table_bucket(&set->table, hash); node != NULL;
         node = node->next) {
        struct sl_media *media = SL_OBJECT(node, struct sl_media, node);
        if (node->hash == hash && sl_bytes_equal(text_of(media), content_type)) {
            media->uses++;
            return media;
        }
    }
    struct sl_media *media = sl_memory_alloc(sizeof(*media) + content_type.size);
    *media = (struct sl_media){
        .uses = 1,
        .json = sl_content_type_is_json(content_type),
        .size = (uint8_t)content_type.size,
    };
    memcpy(media->text, content_type.data, content_type.size);
    sl_table_insert(&set->table, &media->node, hash);
    if (set->account != NULL)
        sl_account_add(set->account, memory_of(media));
    return media;
}

void sl_media_release(struct sl_media_set *set, struct sl_media **media)
{
    struct sl_media *last = *media;
    *media = NULL;
    SL_ASSERT(last->uses > 0);
    if (--last->uses > 0)
        return;
    sl_table_remove(&set->table, &last->node);
    if (set->account != NULL)
        sl_account_subtract(set->account, memory_of(last));
    sl_memory_free(last);
}

void sl_media_set_deinit(struct sl_media_set *set)
{
    sl_table_deinit(&set->table);
}

bool sl_media_matches(const struct sl_media *media, struct sl_bytes content_type)
{
    return sl_bytes_equal(text_of(media), content_type) ||
           sl_media_type_equal(text_of(media), content_type);
}
