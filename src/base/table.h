/*
 * base/table.h - an intrusive hash table that never stalls
 *
 * What     Linear hashing: every insert may split one bucket, so growing costs the same at any
 *          size.
 * Why      A table of a million streams that rehashes at once would stop its shard for
 *          milliseconds. And its buckets can be walked in an order that survives growth: SCAN for
 *          free.
 * Thread   The owner's.
 * Owns     The buckets. The nodes belong to their objects.
 *
 * Walk     Buckets are visited in the order of their bit-reversed hash. A bucket that holds the
 *          hashes ending in k given bits is one interval of that order, whatever k is; a cursor is
 *          where the next interval begins. Splitting a bucket only cuts its interval in two. So
 *          what stays in the table during a whole walk is seen exactly once.
 */
#ifndef SL_BASE_TABLE_H
#define SL_BASE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    SL_TABLE_FIRST_BITS = 3, /* the first segment has 8 buckets, segment n after it 8 << (n - 1) */
    SL_TABLE_SEGMENTS = 40,
};

struct sl_table_node {
    struct sl_table_node *next; /* in the same bucket */
    uint64_t hash;
};

struct sl_table {
    struct sl_table_node **segments[SL_TABLE_SEGMENTS]; /* owned; NULL until needed */
    size_t buckets;                                     /* in use; 0 before the first insert */
    size_t count;                                       /* nodes */
};

/* A table of zeros is valid and empty. Frees the buckets; there is no node left in it. */
void sl_table_deinit(struct sl_table *table);

void sl_table_insert(struct sl_table *table, struct sl_table_node *node, uint64_t hash);

/* Room for `count` nodes, at once. The table is empty. */
void sl_table_reserve(struct sl_table *table, size_t count);

/* The node is in the table. */
void sl_table_remove(struct sl_table *table, struct sl_table_node *node);

/* First node of the bucket of `hash`, NULL if empty; follow `next` and compare hash and key. */
struct sl_table_node *sl_table_bucket(const struct sl_table *table, uint64_t hash);

/*
 * The bucket of `hash` will be looked at soon: asks memory for its slot, and, once that is there,
 * for its first node. What waits for memory, in a table of millions, waits for these two.
 */
void sl_table_prefetch_slot(const struct sl_table *table, uint64_t hash);
void sl_table_prefetch_node(const struct sl_table *table, uint64_t hash);

/* First node of bucket `index` of table->buckets, or NULL: to see all while nothing changes. */
struct sl_table_node *sl_table_at(const struct sl_table *table, size_t index);

/*
 * One bucket of a walk: returns its first node (or NULL) and moves *cursor, which starts at 0, to
 * the next; 0 again: that was the last bucket.
 */
struct sl_table_node *sl_table_walk(const struct sl_table *table, uint64_t *cursor);

/* Bytes of the buckets. */
size_t sl_table_memory(const struct sl_table *table);

#ifdef __cplusplus
}
#endif
#endif
