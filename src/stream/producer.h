/*
 * stream/producer.h - idempotent producers of one stream
 *
 * What     Per producer id the epoch and the highest accepted sequence; says what an append is.
 * Why      Protocol section 5.2.1: a retried append must be recognised, a zombie must be fenced.
 * Thread   The shard that owns the stream.
 * Owns     The states; bounded per stream. At the bound the one that was idle longest gives way if
 *          it was idle for a week.
 */
#ifndef SL_STREAM_PRODUCER_H
#define SL_STREAM_PRODUCER_H

#include "base/link.h"
#include "base/table.h"
#include "sluice/operation.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SL_PRODUCER_IDLE_MAX_MS (UINT64_C(7) * 24 * 3600 * 1000)

struct sl_producer_state {
    struct sl_table_node node;
    struct sl_link by_age; /* least recently used first */
    uint64_t epoch;
    uint64_t sequence; /* highest accepted in this epoch */
    uint64_t used_ms;  /* when */
    uint16_t id_size;
    char id[1]; /* allocated behind */
};

struct sl_producer_set {
    struct sl_table table;
    struct sl_link by_age;
};

void sl_producer_set_init(struct sl_producer_set *set);
void sl_producer_set_deinit(struct sl_producer_set *set);
/* Bytes of the states and their table; walks all of them. */
size_t sl_producer_set_memory(const struct sl_producer_set *set);

/* NULL when this id is not known. */
struct sl_producer_state *sl_producer_find(const struct sl_producer_set *set, struct sl_bytes id);

/*
 * What an append with this tuple is; `state` may be NULL. Changes nothing. Sets `duplicate` (and
 * the current epoch and sequence with it), or the members that belong to the error.
 * Errors: EPOCH_FENCED INVALID_PRODUCER_STATE SEQUENCE_GAP
 */
SL_NODISCARD enum sl_err sl_producer_judge(const struct sl_producer_state *state,
                                           struct sl_append *append);

/* Is there room for one more id? */
bool sl_producer_set_has_room(const struct sl_producer_set *set, unsigned max, uint64_t now_ms);

/*
 * Records an accepted tuple; `state` is what find returned. Makes room if there is one to drop.
 * Adds the change of memory to *bytes.
 */
struct sl_producer_state *sl_producer_accept(struct sl_producer_set *set,
                                             struct sl_producer_state *state,
                                             const struct sl_producer *producer, unsigned max,
                                             uint64_t now_ms, int64_t *bytes);

#ifdef __cplusplus
}
#endif
#endif
