#include "stream/media.h"

#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/link.h"
#include "base/memory.h"
#include "protocol/content_type.h"
#include "sluice/operation.h"

static struct sl_bytes text_of(const struct sl_media *media)
{
    return sl_bytes(media->text, media->size);
}

struct sl_media *sl_media_use(struct sl_media_set *set, struct sl_bytes content_type)
{
    static const struct sl_hash_key KEY; /* few entries, and freed with their streams: no secret */
    SL_ASSERT(content_type.size <= SL_CONTENT_TYPE_SIZE_MAX);
    uint64_t hash = sl_hash(&KEY, content_type);
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
