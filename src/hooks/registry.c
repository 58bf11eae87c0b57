#include "hooks/registry.h"

#include "base/assert.h"
#include "base/memory.h"
#include "base/random.h"
#include "protocol/json_value.h"

/* The patterns that begin with the same literal segments. */
struct group {
    struct sl_table_node node;
    struct sl_link subscriptions; /* by of_index */
    size_t prefix_size;           /* bytes of prefix */
    char prefix[1];               /* segments joined by '/'; allocated behind */
};

void sl_registry_init(struct sl_registry *registry)
{
    *registry = (struct sl_registry){
        .subscription_size = sizeof(struct sl_subscription),
        .cursors_max = SIZE_MAX,
        .bytes_max = SIZE_MAX,
    };
    sl_random_bytes(&registry->key, sizeof(registry->key));
    sl_link_init(&registry->pending);
}

void sl_registry_deinit(struct sl_registry *registry)
{
    struct sl_table_node *node;
    for (size_t i = 0; i < registry->subscriptions.buckets; i++) {
        while ((node = sl_table_at(&registry->subscriptions, i)) != NULL) {
            struct sl_subscription *subscription = SL_OBJECT(node, struct sl_subscription, node);
            sl_registry_remove(registry, &subscription);
        }
    }
    SL_ASSERT(registry->cursor_count == 0 && registry->bytes == 0);
    sl_table_deinit(&registry->subscriptions);
    sl_table_deinit(&registry->streams);
    sl_table_deinit(&registry->patterns);
}

/* ---- patterns ---- */

static struct group *find_group(const struct sl_registry *registry, struct sl_bytes prefix,
                                uint64_t hash)
{
    struct sl_table_node *node = sl_table_bucket(&registry->patterns, hash);
    for (; node != NULL; node = node->next) {
        struct group *group = SL_OBJECT(node, struct group, node);
        if (node->hash == hash &&
            sl_bytes_equal(sl_bytes(group->prefix, group->prefix_size), prefix))
            return group;
    }
    return NULL;
}

static void add_pattern(struct sl_registry *registry, struct sl_subscription *subscription)
{
    struct sl_bytes prefix = sl_glob_prefix(subscription->glob);
    uint64_t hash = sl_hash(&registry->key, prefix);
    struct group *group = find_group(registry, prefix, hash);
    if (group == NULL) {
        group = sl_memory_alloc(sizeof(*group) + prefix.size);
        group->prefix_size = prefix.size;
        if (prefix.size > 0)
            memcpy(group->prefix, prefix.data, prefix.size);
        sl_link_init(&group->subscriptions);
        sl_table_insert(&registry->patterns, &group->node, hash);
    }
    sl_link_append(&group->subscriptions, &subscription->of_index);
}

static void remove_pattern(struct sl_registry *registry, struct sl_subscription *subscription)
{
    struct sl_bytes prefix = sl_glob_prefix(subscription->glob);
    struct group *group = find_group(registry, prefix, sl_hash(&registry->key, prefix));
    SL_ASSERT(group != NULL); /* made for its first pattern, gone with its last one */
    sl_link_remove(&subscription->of_index);
    if (!sl_link_is_empty(&group->subscriptions))
        return;
    sl_table_remove(&registry->patterns, &group->node);
    sl_memory_free(group);
}

static size_t match_group(const struct sl_registry *registry, struct sl_bytes prefix,
                          struct sl_bytes name,
                          void (*each)(void *context, struct sl_subscription *subscription),
                          void *context)
{
    size_t compared = 0;
    const struct group *group = find_group(registry, prefix, sl_hash(&registry->key, prefix));
    if (group == NULL)
        return 0;
    const struct sl_link *head = &group->subscriptions;
    for (struct sl_link *link = head->next; link != head; link = link->next) {
        struct sl_subscription *subscription = SL_OBJECT(link, struct sl_subscription, of_index);
        if (sl_glob_matches(subscription->glob, name))
            each(context, subscription);
        compared++;
    }
    return compared;
}

size_t sl_registry_match(const struct sl_registry *registry, struct sl_bytes name,
                         void (*each)(void *context, struct sl_subscription *subscription),
                         void *context)
{
    if (registry->patterns.count == 0)
        return 0;
    size_t compared = match_group(registry, sl_bytes(name.data, 0), name, each, context);
    for (size_t i = 1; i <= name.size; i++)
        if (i == name.size || name.data[i] == '/')
            compared += match_group(registry, sl_bytes(name.data, i), name, each, context);
    return compared;
}

/* ---- subscriptions ---- */

struct sl_subscription *sl_registry_find(const struct sl_registry *registry, struct sl_bytes id)
{
    uint64_t hash = sl_hash(&registry->key, id);
    struct sl_table_node *node = sl_table_bucket(&registry->subscriptions, hash);
    for (; node != NULL; node = node->next) {
        struct sl_subscription *subscription = SL_OBJECT(node, struct sl_subscription, node);
        if (node->hash == hash && sl_bytes_equal(sl_buffer_bytes(&subscription->id), id))
            return subscription;
    }
    return NULL;
}

void sl_registry_add(struct sl_registry *registry, struct sl_subscription *subscription)
{
    struct sl_bytes id = sl_buffer_bytes(&subscription->id);
    SL_ASSERT(sl_registry_find(registry, id) == NULL);
    sl_table_insert(&registry->subscriptions, &subscription->node, sl_hash(&registry->key, id));
    sl_registry_note_size(registry, subscription);
    if (subscription->glob != NULL)
        add_pattern(registry, subscription);
}

void sl_registry_remove(struct sl_registry *registry, struct sl_subscription **subscription)
{
    struct sl_subscription *last = *subscription;
    *subscription = NULL;
    for (struct sl_link *link; (link = sl_link_first(&last->cursors)) != NULL;) {
        struct sl_cursor *cursor = SL_OBJECT(link, struct sl_cursor, of_subscription);
        sl_registry_unlink(registry, &cursor);
    }
    if (last->glob != NULL)
        remove_pattern(registry, last);
    sl_registry_note_pending(registry, last, 0);
    registry->bytes -= last->counted_bytes;
    sl_table_remove(&registry->subscriptions, &last->node);
    sl_subscription_deinit(last);
    sl_memory_free(last);
}

/* A pattern is counted as if no other one began as it does. */
size_t sl_registry_size_of(const struct sl_registry *registry,
                           const struct sl_subscription *subscription)
{
    const struct sl_control_body *config = &subscription->config;
    size_t size = registry->subscription_size + sl_control_body_size(config) +
                  subscription->id.capacity + subscription->root.capacity +
                  subscription->worker.capacity + subscription->unlinked.capacity +
                  subscription->lost.capacity;
    if (subscription->glob != NULL)
        size += sl_glob_size(subscription->glob) + sizeof(struct group) +
                sl_glob_prefix(subscription->glob).size;
    return size;
}

void sl_registry_note_size(struct sl_registry *registry, struct sl_subscription *subscription)
{
    registry->bytes -= subscription->counted_bytes;
    subscription->counted_bytes = sl_registry_size_of(registry, subscription);
    registry->bytes += subscription->counted_bytes;
}

static size_t size_of_stream(size_t name_size)
{
    return sizeof(struct sl_followed) + name_size;
}

enum sl_err sl_registry_check_room(const struct sl_registry *registry, size_t bytes,
                                   const struct sl_subscription *subscription,
                                   const struct sl_bytes *names, size_t name_count)
{
    size_t links = 0;
    for (size_t i = 0; i < name_count; i++) {
        if (subscription != NULL &&
            sl_registry_find_cursor(registry, subscription, names[i]) != NULL)
            continue;
        links++;
        bytes += sizeof(struct sl_cursor) + size_of_stream(names[i].size);
    }
    if (links > 0 && registry->cursor_count + links > registry->cursors_max)
        return SL_ERR_TOO_MANY_LINKS;
    if (bytes > 0 && registry->bytes + bytes > registry->bytes_max)
        return SL_ERR_MEMORY_LIMIT_EXCEEDED;
    return SL_OK;
}

void sl_registry_note_pending(struct sl_registry *registry, struct sl_subscription *subscription,
                              uint64_t now_ms)
{
    bool is_listed = sl_link_is_linked(&subscription->of_pending);
    if (is_listed && subscription->pending_count == 0) {
        sl_link_remove(&subscription->of_pending);
        registry->pending_count--;
    } else if (!is_listed && subscription->pending_count > 0) {
        subscription->pending_since_ms = now_ms;
        sl_link_append(&registry->pending, &subscription->of_pending);
        registry->pending_count++;
    }
}

/* ---- streams and cursors ---- */

struct sl_followed *sl_registry_find_stream(const struct sl_registry *registry,
                                            struct sl_bytes name)
{
    uint64_t hash = sl_hash(&registry->key, name);
    struct sl_table_node *node = sl_table_bucket(&registry->streams, hash);
    for (; node != NULL; node = node->next) {
        struct sl_followed *stream = SL_OBJECT(node, struct sl_followed, node);
        if (node->hash == hash && sl_bytes_equal(sl_followed_name(stream), name))
            return stream;
    }
    return NULL;
}

struct sl_cursor *sl_registry_find_cursor(const struct sl_registry *registry,
                                          const struct sl_subscription *subscription,
                                          struct sl_bytes name)
{
    const struct sl_followed *stream = sl_registry_find_stream(registry, name);
    return stream == NULL ? NULL : sl_subscription_find(subscription, stream);
}

static struct sl_followed *add_stream(struct sl_registry *registry, struct sl_bytes name)
{
    struct sl_followed *stream = sl_memory_alloc(size_of_stream(name.size));
    *stream = (struct sl_followed){ .name_size = (uint16_t)name.size };
    memcpy(stream->name, name.data, name.size);
    sl_link_init(&stream->cursors);
    sl_table_insert(&registry->streams, &stream->node, sl_hash(&registry->key, name));
    registry->bytes += size_of_stream(name.size);
    return stream;
}

enum sl_err sl_registry_link(struct sl_registry *registry, struct sl_subscription *subscription,
                             struct sl_bytes name, struct sl_cursor **cursor)
{
    struct sl_followed *stream = sl_registry_find_stream(registry, name);
    *cursor = stream == NULL ? NULL : sl_subscription_find(subscription, stream);
    if (*cursor != NULL)
        return SL_OK;
    enum sl_err err = sl_registry_check_room(registry, 0, NULL, &name, 1);
    if (err != SL_OK)
        return err;
    if (stream == NULL)
        stream = add_stream(registry, name);
    *cursor = sl_cursor_create(subscription, stream);
    registry->cursor_count++;
    registry->bytes += sizeof(**cursor);
    return SL_OK;
}

void sl_registry_unlink(struct sl_registry *registry, struct sl_cursor **cursor)
{
    struct sl_followed *stream = (*cursor)->stream;
    struct sl_subscription *subscription = (*cursor)->subscription;
    struct sl_buffer *unlinked = &subscription->unlinked;
    if ((*cursor)->is_placed) {
        sl_buffer_append_text(unlinked, unlinked->size > 0 ? "," : "");
        sl_json_append_string(unlinked, sl_followed_name(stream));
        sl_registry_note_size(registry, subscription);
    }
    registry->bytes -= sizeof(**cursor);
    sl_cursor_destroy(cursor);
    registry->cursor_count--;
    if (stream->cursor_count > 0)
        return;
    registry->bytes -= size_of_stream(stream->name_size);
    sl_table_remove(&registry->streams, &stream->node);
    sl_memory_free(stream);
}
