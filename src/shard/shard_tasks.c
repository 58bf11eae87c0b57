/*
 * What other threads than sessions ask of a shard. For a backup it holds still what concerns other
 * shards, flushes everything, and names the segments that hold it all at that moment; for the scrub
 * it names one segment after the other.
 */
#include "base/assert.h"
#include "base/thread.h"
#include "shard/shard_internal.h"

/* The task is its sender's again. */
static void settle(struct sl_shard_task *task, enum sl_err err)
{
    sl_mutex_lock(task->mutex);
    task->err = err;
    task->done = true;
    sl_condition_signal_all(task->changed);
    sl_mutex_unlock(task->mutex);
}

void sl_shard_give(struct sl_shard *shard, struct sl_shard_task *task)
{
    task->done = false;
    sl_inbox_push(&shard->tasks_in, &task->item);
    sl_port_signal(shard->port, SL_PORT_INBOX);
}

enum sl_err sl_shard_await(struct sl_shard_task *task)
{
    sl_mutex_lock(task->mutex);
    while (!task->done)
        sl_condition_wait(task->changed, task->mutex);
    sl_mutex_unlock(task->mutex);
    return task->err;
}

static void find_next_segment(struct sl_shard *shard, struct sl_shard_task *task)
    SL_RUNS_ON(sl_role_shard)
{
    const struct sl_link *segments = sl_catalog_segments(shard->catalog);
    struct sl_segment *next = NULL;
    task->last_number = 0;
    for (struct sl_link *link = segments->next; link != segments; link = link->next) {
        struct sl_segment *segment = SL_OBJECT(link, struct sl_segment, link);
        if (segment->number > task->last_number)
            task->last_number = segment->number;
        if (segment->number > task->number && (next == NULL || segment->number < next->number))
            next = segment;
    }
    task->segment = next == NULL ? NULL : sl_segment_ref(next);
}

static void take(struct sl_shard *shard, struct sl_shard_task *task) SL_RUNS_ON(sl_role_shard)
{
    switch (task->kind) {
    case SL_SHARD_TASK_HOLD:
        shard->backup.held = true;
        break;
    case SL_SHARD_TASK_FLUSH:
    case SL_SHARD_TASK_CUT:
        SL_ASSERT(shard->backup.task == NULL);
        if (shard->failed)
            settle(task, SL_ERR_STORAGE_FAILED);
        else
            shard->backup.task = task;
        return;
    case SL_SHARD_TASK_NEXT_SEGMENT:
        find_next_segment(shard, task);
        break;
    case SL_SHARD_TASK_RELEASE:
        shard->backup.held = false;
        sl_link_splice_back(&shard->next_turn, &shard->backup.pins);
        break;
    }
    settle(task, SL_OK);
}

void sli_shard_take_tasks(struct sl_shard *shard)
{
    struct sl_inbox_item *item = sl_inbox_take(&shard->tasks_in);
    while (item != NULL) {
        struct sl_shard_task *task = SL_OBJECT(item, struct sl_shard_task, item);
        item = item->next;
        take(shard, task);
    }
}

bool sli_shard_hold_pin(struct sl_shard *shard, struct sl_message *message)
{
    if (!shard->backup.held)
        return false;
    sl_link_append(&shard->backup.pins, &message->shard.link);
    return true;
}

bool sli_shard_wants_backup(struct sl_shard *shard)
{
    return shard->backup.task != NULL && !shard->backup.flushing;
}

/* Inputs of a merge that is being installed: the output has it all, too. */
static bool is_replaced(const struct sl_shard *shard, const struct sl_segment *segment)
    SL_RUNS_ON(sl_role_shard)
{
    for (unsigned i = 0; shard->merge.installing && i < shard->merge.input_count; i++)
        if (shard->merge.inputs[i] == segment)
            return true;
    return false;
}

/*
 * The log of whoever restores it begins with the next number that this one would give, in a file of
 * its own.
 */
static void cut(struct sl_shard *shard, struct sl_cut *out) SL_RUNS_ON(sl_role_shard)
{
    const struct sl_link *segments = sl_catalog_segments(shard->catalog);
    uint64_t file_size = shard->setup.store->wal_file_size;
    for (struct sl_link *link = segments->next; link != segments; link = link->next) {
        struct sl_segment *segment = SL_OBJECT(link, struct sl_segment, link);
        if (!is_replaced(shard, segment))
            sl_cut_add(out, segment);
    }
    out->mark = sl_wal_durable_mark(shard->wal);
    out->mark.position = (out->mark.position + file_size - 1) / file_size * file_size;
    out->mark.lsn = shard->appended_lsn + 1;
    out->last_id = shard->ids;
}

void sli_shard_end_backup(struct sl_shard *shard, enum sl_err err)
{
    struct sl_shard_task *task = shard->backup.task;
    if (task == NULL)
        return;
    if (err == SL_OK && task->kind == SL_SHARD_TASK_CUT)
        cut(shard, task->cut);
    shard->backup.task = NULL;
    shard->backup.flushing = false;
    settle(task, err);
}
