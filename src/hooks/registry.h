/*
 * hooks/registry.h - all subscriptions, and the streams that they link
 *
 * What     Subscriptions by id, streams by name, and patterns by the names that they begin with.
 * Why      An append concerns the cursors of its stream, found in one step; only a stream that is
 *          new is compared with patterns, and only with those that begin as its name does.
 * Thread   That of the hooks.
 * Owns     Its subscriptions, their cursors, and the streams that have cursors.
 * Limits   The number of cursors and the bytes that all of it takes, over all subscriptions.
 */
#ifndef SL_HOOKS_REGISTRY_H
#define SL_HOOKS_REGISTRY_H

#include "base/hash.h"
#include "hooks/subscription.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sl_registry {
    struct sl_hash_key key;        /* of all tables */
    struct sl_table subscriptions; /* of struct sl_subscription, by id */
    struct sl_table streams;       /* of struct sl_followed, by name */
    struct sl_table patterns;      /* by prefix: see registry.c */
    struct sl_link pending;        /* of struct sl_subscription: unread bytes, oldest first */
    size_t pending_count;          /* of `pending` */
    size_t subscription_size;      /* bytes of the object that a subscription is part of */
    size_t cursor_count;
    size_t cursors_max; /* more are refused */
    size_t bytes;       /* of subscriptions, cursors and streams, with their texts */
    size_t bytes_max;   /* the same */
};

/* Without limits, which the owner sets. */
void sl_registry_init(struct sl_registry *registry);
/* Frees everything that is left. */
void sl_registry_deinit(struct sl_registry *registry);

/* ---- subscriptions ---- */

struct sl_subscription *sl_registry_find(const struct sl_registry *registry, struct sl_bytes id);
/* Takes one that was allocated, with its glob if it has a pattern. */
void sl_registry_add(struct sl_registry *registry, struct sl_subscription *subscription);
/* Takes it out, with its cursors, and frees it. */
void sl_registry_remove(struct sl_registry *registry, struct sl_subscription **subscription);
/* What one takes by itself, without its cursors. */
size_t sl_registry_size_of(const struct sl_registry *registry,
                           const struct sl_subscription *subscription);
/* Counts its bytes again; after everything that may change that. */
void sl_registry_note_size(struct sl_registry *registry, struct sl_subscription *subscription);
/*
 * Is there room for so many bytes, and for links of the subscription to the streams of these names
 * that it does not link yet, whether others do or not? NULL: it links none. Nothing always fits.
 * Errors: TOO_MANY_LINKS MEMORY_LIMIT_EXCEEDED
 */
SL_NODISCARD enum sl_err sl_registry_check_room(const struct sl_registry *registry, size_t bytes,
                                                const struct sl_subscription *subscription,
                                                const struct sl_bytes *names, size_t name_count);

/* ---- streams and cursors ---- */

/* NULL: nobody links it. */
struct sl_followed *sl_registry_find_stream(const struct sl_registry *registry,
                                            struct sl_bytes name);
/* The cursor of the subscription in the stream of this name; NULL: there is none. */
struct sl_cursor *sl_registry_find_cursor(const struct sl_registry *registry,
                                          const struct sl_subscription *subscription,
                                          struct sl_bytes name);
/*
 * Sets *cursor to that of the subscription in the stream of this name, made if there is none:
 * without a place then. NULL on failure. Errors: those of sl_registry_check_room()
 */
SL_NODISCARD enum sl_err sl_registry_link(struct sl_registry *registry,
                                          struct sl_subscription *subscription,
                                          struct sl_bytes name, struct sl_cursor **cursor);
/* Removes the cursor; a stream without any is forgotten. The subscription remembers to write it. */
void sl_registry_unlink(struct sl_registry *registry, struct sl_cursor **cursor);
/*
 * Calls `each` for every subscription whose pattern matches this name. Returns how many patterns
 * were compared with it.
 */
size_t sl_registry_match(const struct sl_registry *registry, struct sl_bytes name,
                         void (*each)(void *context, struct sl_subscription *subscription),
                         void *context);
/* Keeps the list of those with unread bytes; after everything that may change that. */
void sl_registry_note_pending(struct sl_registry *registry, struct sl_subscription *subscription,
                              uint64_t now_ms);

#ifdef __cplusplus
}
#endif
#endif
