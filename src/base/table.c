#include "base/table.h"

#include "base/assert.h"
#include "base/memory.h"

enum { SPLITS_AHEAD = 8 }; /* at most the size of the first segment */

static unsigned bit_length(uint64_t value)
{
    return value == 0 ? 0 : 64 - (unsigned)__builtin_clzll(value);
}

static unsigned segment_of(size_t bucket)
{
    unsigned bits = bit_length(bucket);
    return bits <= SL_TABLE_FIRST_BITS ? 0 : bits - SL_TABLE_FIRST_BITS;
}

static size_t segment_size(unsigned segment)
{
    return (size_t)1 << (SL_TABLE_FIRST_BITS + (segment == 0 ? 0 : segment - 1));
}

static struct sl_table_node **slot_of(const struct sl_table *table, size_t bucket)
{
    unsigned segment = segment_of(bucket);
    size_t start = segment == 0 ? 0 : segment_size(segment);
    return &table->segments[segment][bucket - start];
}

/* How many low bits of a hash choose `bucket`, or the bucket that it will be split from. */
static unsigned bits_of(const struct sl_table *table, size_t bucket)
{
    unsigned bits = bit_length(table->buckets - 1);
    SL_ASSERT(bits > 0); /* there are two buckets at least */
    bool split =
        bucket + ((size_t)1 << (bits - 1)) < table->buckets || bucket >= ((size_t)1 << (bits - 1));
    return split ? bits : bits - 1;
}

static size_t bucket_of(const struct sl_table *table, uint64_t hash)
{
    unsigned bits = bit_length(table->buckets - 1);
    size_t bucket = (size_t)(hash & (((uint64_t)1 << bits) - 1));
    if (bucket >= table->buckets)
        bucket -= (size_t)1 << (bits - 1);
    return bucket;
}

void sl_table_deinit(struct sl_table *table)
{
    SL_ASSERT(table->count == 0);
    for (unsigned i = 0; i < SL_TABLE_SEGMENTS; i++)
        sl_memory_free(table->segments[i]);
    *table = (struct sl_table){ .count = 0 };
}

/* Adds empty ones, up to `count`. */
static void add_buckets(struct sl_table *table, size_t count)
{
    unsigned last = segment_of(count - 1);
    unsigned first = table->buckets == 0 ? 0 : segment_of(table->buckets - 1) + 1;
    SL_ASSERT(last < SL_TABLE_SEGMENTS);
    for (unsigned i = first; i <= last; i++)
        table->segments[i] = sl_memory_zalloc(segment_size(i) * sizeof(*table->segments[i]));
    table->buckets = count;
}

/* The bucket that will be split to make this one. */
static size_t split_from(size_t bucket)
{
    SL_ASSERT(bucket > 0);
    return bucket - ((size_t)1 << (bit_length(bucket) - 1));
}

/* Adds one bucket and moves into it what belongs there from the bucket it splits. */
static void split_one(struct sl_table *table)
{
    size_t bucket = table->buckets;
    add_buckets(table, bucket + 1);
    /* Splits wait for memory and for nothing else, and it is known which ones come. */
    __builtin_prefetch(*slot_of(table, split_from(bucket + SPLITS_AHEAD)));
    struct sl_table_node **from = slot_of(table, split_from(bucket));
    struct sl_table_node **to = slot_of(table, bucket);
    while (*from != NULL) {
        struct sl_table_node *node = *from;
        if (bucket_of(table, node->hash) == bucket) {
            *from = node->next;
            node->next = *to;
            *to = node;
        } else {
            from = &node->next;
        }
    }
}

void sl_table_reserve(struct sl_table *table, size_t count)
{
    SL_ASSERT(table->buckets == 0);
    add_buckets(table, count > segment_size(0) ? count : segment_size(0));
}

void sl_table_insert(struct sl_table *table, struct sl_table_node *node, uint64_t hash)
{
    if (table->buckets == 0)
        add_buckets(table, segment_size(0));
    if (table->count >= table->buckets)
        split_one(table);
    struct sl_table_node **slot = slot_of(table, bucket_of(table, hash));
    *node = (struct sl_table_node){ .next = *slot, .hash = hash };
    *slot = node;
    table->count++;
}

void sl_table_remove(struct sl_table *table, struct sl_table_node *node)
{
    struct sl_table_node **slot = slot_of(table, bucket_of(table, node->hash));
    while (*slot != node) {
        SL_ASSERT(*slot != NULL);
        slot = &(*slot)->next;
    }
    *slot = node->next;
    node->next = NULL;
    table->count--;
}

struct sl_table_node *sl_table_bucket(const struct sl_table *table, uint64_t hash)
{
    return table->buckets == 0 ? NULL : *slot_of(table, bucket_of(table, hash));
}

struct sl_table_node *sl_table_at(const struct sl_table *table, size_t index)
{
    SL_ASSERT(index < table->buckets);
    return *slot_of(table, index);
}

void sl_table_prefetch_slot(const struct sl_table *table, uint64_t hash)
{
    if (table->buckets != 0)
        __builtin_prefetch(slot_of(table, bucket_of(table, hash)));
}

void sl_table_prefetch_node(const struct sl_table *table, uint64_t hash)
{
    __builtin_prefetch(sl_table_bucket(table, hash));
}

static uint64_t reverse_bits(uint64_t value)
{
    value = ((value >> 1) & UINT64_C(0x5555555555555555)) |
            ((value & UINT64_C(0x5555555555555555)) << 1);
    value = ((value >> 2) & UINT64_C(0x3333333333333333)) |
            ((value & UINT64_C(0x3333333333333333)) << 2);
    value = ((value >> 4) & UINT64_C(0x0f0f0f0f0f0f0f0f)) |
            ((value & UINT64_C(0x0f0f0f0f0f0f0f0f)) << 4);
    return __builtin_bswap64(value);
}

struct sl_table_node *sl_table_walk(const struct sl_table *table, uint64_t *cursor)
{
    if (table->buckets == 0) {
        *cursor = 0;
        return NULL;
    }
    size_t bucket = bucket_of(table, reverse_bits(*cursor));
    uint64_t width = (uint64_t)1 << (64 - bits_of(table, bucket));
    *cursor = (*cursor & ~(width - 1)) + width;
    return *slot_of(table, bucket);
}

size_t sl_table_memory(const struct sl_table *table)
{
    if (table->buckets == 0)
        return 0;
    /* The first segment and the second have one size, every other one that of all before it. */
    unsigned last = segment_of(table->buckets - 1);
    return (segment_size(last) << (last > 0)) * sizeof(*table->segments[0]);
}
