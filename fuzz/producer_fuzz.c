/*
 * Any bytes as appends of some producers to one stream, with time going by: every answer is that of
 * a model, an array with a place per id. The first byte is the most producers that the stream has.
 */
#include "base/assert.h"
#include "stream/producer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    IDS = 8,      /* different producers */
    STEP_SIZE = 3 /* bytes of an append: who, epoch and time; sequence */
};

/* What the stream should know of one id. */
struct known {
    bool is_there;
    uint64_t epoch;
    uint64_t sequence;
    uint64_t used_ms;
    uint64_t used_order; /* later ones are higher */
};

struct model {
    struct known known[IDS];
    unsigned count;
    uint64_t order;
};

static unsigned oldest(const struct model *model)
{
    unsigned found = IDS;
    for (unsigned i = 0; i < IDS; i++)
        if (model->known[i].is_there &&
            (found == IDS || model->known[i].used_order < model->known[found].used_order))
            found = i;
    return found;
}

/* Fills the results of `append` as the protocol says (5.2.1). */
static enum sl_err judge(const struct known *known, struct sl_append *append)
{
    uint64_t epoch = append->producer.epoch, sequence = append->producer.sequence;
    if (known->is_there && epoch < known->epoch) {
        append->producer_epoch = known->epoch;
        return SL_ERR_EPOCH_FENCED;
    }
    if (known->is_there && epoch > known->epoch)
        return sequence == 0 ? SL_OK : SL_ERR_INVALID_PRODUCER_STATE;
    append->expected_sequence = known->is_there ? known->sequence + 1 : 0;
    if (sequence > append->expected_sequence)
        return SL_ERR_SEQUENCE_GAP;
    append->duplicate = sequence < append->expected_sequence;
    append->producer_epoch = epoch;
    append->producer_sequence = append->expected_sequence - 1;
    return SL_OK;
}

static void compare(enum sl_err err, const struct sl_append *got, enum sl_err expected_err,
                    const struct sl_append *expected)
{
    SL_ASSERT(err == expected_err);
    SL_ASSERT(got->duplicate == expected->duplicate);
    if (err == SL_ERR_EPOCH_FENCED || got->duplicate)
        SL_ASSERT(got->producer_epoch == expected->producer_epoch);
    if (err == SL_ERR_SEQUENCE_GAP)
        SL_ASSERT(got->expected_sequence == expected->expected_sequence);
    if (got->duplicate)
        SL_ASSERT(got->producer_sequence == expected->producer_sequence);
}

static void accept(struct model *model, unsigned index, const struct sl_producer *producer,
                   unsigned max, uint64_t now_ms)
{
    struct known *known = &model->known[index];
    if (!known->is_there && model->count >= max) {
        model->known[oldest(model)].is_there = false;
        model->count--;
    }
    model->count += !known->is_there;
    *known = (struct known){ true, producer->epoch, producer->sequence, now_ms, ++model->order };
}

static bool has_room(const struct model *model, unsigned max, uint64_t now_ms)
{
    return model->count < max ||
           now_ms - model->known[oldest(model)].used_ms >= SL_PRODUCER_IDLE_MAX_MS;
}

/* A small number, or one at the end of the range. */
static uint64_t number_of(uint8_t byte)
{
    return byte < 0xf0 ? byte % 8 : SL_PRODUCER_NUMBER_MAX - (byte & 3);
}

static void check_set(const struct sl_producer_set *set, const struct model *model, int64_t bytes)
{
    SL_ASSERT(set->table.count == model->count);
    SL_ASSERT(bytes == (int64_t)sl_producer_set_memory(set));
    for (unsigned i = 0; i < IDS; i++) {
        char id = (char)('a' + i);
        const struct sl_producer_state *state = sl_producer_find(set, sl_bytes(&id, 1));
        SL_ASSERT((state != NULL) == model->known[i].is_there);
        SL_ASSERT(state == NULL || (state->epoch == model->known[i].epoch &&
                                    state->sequence == model->known[i].sequence &&
                                    state->used_ms == model->known[i].used_ms));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct model model = { .count = 0 };
    struct sl_producer_set set;
    uint64_t now_ms = UINT64_C(1000000000000);
    if (size == 0)
        return 0;
    unsigned max = 1 + data[0] % IDS;
    sl_producer_set_init(&set);
    int64_t bytes = (int64_t)sl_producer_set_memory(&set);
    for (size_t at = 1; size - at >= STEP_SIZE; at += STEP_SIZE) {
        unsigned index = data[at] % IDS;
        char id = (char)('a' + index);
        struct sl_append append = {
            .has_producer = true,
            .producer = { .id = sl_bytes(&id, 1),
                          .epoch = number_of(data[at + 1]),
                          .sequence = number_of(data[at + 2]) },
        };
        struct sl_append expected = append;
        now_ms += (data[at] / IDS) * (SL_PRODUCER_IDLE_MAX_MS / 8);
        struct sl_producer_state *state = sl_producer_find(&set, append.producer.id);
        enum sl_err err = sl_producer_judge(state, &append);
        enum sl_err expected_err = judge(&model.known[index], &expected);
        compare(err, &append, expected_err, &expected);
        bool room = sl_producer_set_has_room(&set, max, now_ms);
        SL_ASSERT(room == has_room(&model, max, now_ms));
        if (err == SL_OK && !append.duplicate && (state != NULL || room)) {
            sl_producer_accept(&set, state, &append.producer, max, now_ms, &bytes);
            accept(&model, index, &append.producer, max, now_ms);
        }
        check_set(&set, &model, bytes);
    }
    sl_producer_set_deinit(&set);
    return 0;
}
