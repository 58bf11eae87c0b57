/*
 * stream/media.h - content types, each kept once
 *
 * What     Interns content types as they were given, counted, so that a stream has a pointer.
 * Why      A million streams share a handful of content types; a client that makes up a new one for
 *          every stream pays for each from the memory budget, and gets them freed with its streams.
 * Thread   The shard that owns the streams.
 * Owns     Every struct sl_media, until its last use is released.
 */
#ifndef SL_STREAM_MEDIA_H
#define SL_STREAM_MEDIA_H

#include "base/block.h"
#include "base/hash.h"
#include "base/table.h"
#include "sluice/bytes.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sl_media {
    struct sl_table_node node;
    uint32_t uses;
    bool json;    /* application/json */
    uint8_t size; /* bytes of text */
    char text[1]; /* verbatim, allocated behind */
};

struct sl_media_set {
    struct sl_table table; /* of struct sl_media */
    struct sl_hash_key key;
    struct sl_account *account; /* borrowed; NULL: nobody counts */
};

/* `account` counts what the content types take, for the set's life; NULL: nobody counts. */
void sl_media_set_init(struct sl_media_set *set, struct sl_account *account);

/* One use more of this content type, at most SL_CONTENT_TYPE_SIZE_MAX bytes. */
struct sl_media *sl_media_use(struct sl_media_set *set, struct sl_bytes content_type);
/* One use less; clears the pointer. */
void sl_media_release(struct sl_media_set *set, struct sl_media **media);
/* Every use was released. */
void sl_media_set_deinit(struct sl_media_set *set);

/* Same media type, parameters and case aside. */
bool sl_media_matches(const struct sl_media *media, struct sl_bytes content_type);

#ifdef __cplusplus
}
#endif
#endif
