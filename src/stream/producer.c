#include "stream/producer.h"

#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/random.h"

/*
 * Ids come from clients, so their hash is keyed. One key for the process: another thread may have
 * brought the set back after a restart.
 */
static struct sl_hash_key key;

__attribute__((constructor)) static void make_key(void)
{
    sl_random_bytes(&key, sizeof(key));
}

static uint64_t hash_of(struct sl_bytes id)
{
    return sl_hash(&key, id);
}

static size_t memory_of(const struct sl_producer_state *state)
{
    return sizeof(*state) + state->id_size;
}

void sl_producer_set_init(struct sl_producer_set *set)
{
    *set = (struct sl_producer_set){ .table = { .count = 0 } };
    sl_link_init(&set->by_age);
}

static size_t drop(struct sl_producer_set *set, struct sl_producer_state *state)
{
    size_t memory = memory_of(state);
    sl_table_remove(&set->table, &state->node);
    sl_link_remove(&state->by_age);
    sl_memory_free(state);
    return memory;
}

static struct sl_producer_state *oldest(const struct sl_producer_set *set)
{
    struct sl_link *first = sl_link_first(&set->by_age);
    SL_ASSERT(first != NULL);
    return SL_OBJECT(first, struct sl_producer_state, by_age);
}

void sl_producer_set_deinit(struct sl_producer_set *set)
{
    while (!sl_link_is_empty(&set->by_age))
        drop(set, oldest(set));
    sl_table_deinit(&set->table);
}

size_t sl_producer_set_memory(const struct sl_producer_set *set)
{
    size_t memory = sl_table_memory(&set->table);
    for (struct sl_link *link = set->by_age.next; link != &set->by_age; link = link->next)
        memory += memory_of(SL_OBJECT(link, struct sl_producer_state, by_age));
    return memory;
}

struct sl_producer_state *sl_producer_find(const struct sl_producer_set *set, struct sl_bytes id)
{
    uint64_t hash = hash_of(id);
    for (struct sl_table_node *node = sl_table_bucket(&set->table, hash); node != NULL;
         node = node->next) {
        struct sl_producer_state *state = SL_OBJECT(node, struct sl_producer_state, node);
        if (node->hash == hash && sl_bytes_equal(sl_bytes(state->id, state->id_size), id))
            return state;
    }
    return NULL;
}

enum sl_err sl_producer_judge(const struct sl_producer_state *state, struct sl_append *append)
{
    uint64_t epoch = append->producer.epoch, sequence = append->producer.sequence;
    append->producer_epoch = epoch;
    append->producer_sequence = sequence;
    if (state == NULL || epoch > state->epoch) {
        if (sequence == 0)
            return SL_OK;
        if (state != NULL)
            return SL_ERR_INVALID_PRODUCER_STATE;
        append->expected_sequence = 0;
        return SL_ERR_SEQUENCE_GAP;
    }
    append->producer_epoch = state->epoch;
    if (epoch < state->epoch)
        return SL_ERR_EPOCH_FENCED;
    if (sequence <= state->sequence) {
        append->duplicate = true;
        append->producer_sequence = state->sequence;
        return SL_OK;
    }
    if (sequence == state->sequence + 1)
        return SL_OK;
    append->expected_sequence = state->sequence + 1;
    return SL_ERR_SEQUENCE_GAP;
}

bool sl_producer_set_has_room(const struct sl_producer_set *set, unsigned max, uint64_t now_ms)
{
    return set->table.count < max || now_ms - oldest(set)->used_ms >= SL_PRODUCER_IDLE_MAX_MS;
}

struct sl_producer_state *sl_producer_accept(struct sl_producer_set *set,
                                             struct sl_producer_state *state,
                                             const struct sl_producer *producer, unsigned max,
                                             uint64_t now_ms, int64_t *bytes)
{
    if (state == NULL) {
        SL_ASSERT(producer->id.size > 0 && producer->id.size <= SL_PRODUCER_ID_SIZE_MAX);
        if (set->table.count >= max)
            *bytes -= (int64_t)drop(set, oldest(set));
        state = sl_memory_alloc(sizeof(*state) + producer->id.size);
        *state = (struct sl_producer_state){ .id_size = (uint16_t)producer->id.size };
        memcpy(state->id, producer->id.data, producer->id.size);
        sl_link_init(&state->by_age);
        *bytes -= (int64_t)sl_table_memory(&set->table);
        sl_table_insert(&set->table, &state->node, hash_of(producer->id));
        *bytes += (int64_t)(sl_table_memory(&set->table) + memory_of(state));
    }
    state->epoch = producer->epoch;
    state->sequence = producer->sequence;
    state->used_ms = now_ms;
    sl_link_remove(&state->by_age);
    sl_link_append(&set->by_age, &state->by_age);
    return state;
}
