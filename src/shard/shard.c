#include "shard/shard.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/thread.h"
#include "shard/shard_internal.h"

enum {
    EXPIRE_BATCH_MAX = 256, /* streams per turn */
    UNPINS_BATCH_MAX = 256, /* likewise */
    OVERFLOW_RETRY_MS = 1,  /* a session that does not take its answers is looked at again */
    SLAB_SCARCE_SHARE = 16, /* of a slab is one when memory is scarce: what is left may hold that */
    PARKED_RETRY_MS = 100,  /* requests that wait for the log are looked at again: they grow old */
    HOUSEKEEPING_MS = 1000, /* a durable shard looks whether there is something to flush or merge */
    SLEEP_MAX_MS = 60 * 1000, /* fits an int; waking up once a minute costs nothing */
};

struct sl_shard *sl_shard_create(const struct sl_shard_setup *setup)
{
    struct sl_shard *shard = sl_memory_zalloc(sizeof(*shard));
    shard->setup = *setup;
    shard->port = sl_port_create();
    sl_link_init(&shard->gate);
    sl_media_set_init(&shard->media, setup->account);
    sl_link_init(&shard->unpins);
    sl_link_init(&shard->unpins_out);
    sl_link_init(&shard->to_wake);
    sl_link_init(&shard->next_turn);
    sl_link_init(&shard->parked);
    sl_link_init(&shard->dirty);
    sl_link_init(&shard->flush.dead_look);
    sl_link_init(&shard->backup.pins);
    sl_link_init(&shard->flush.todo);
    sl_link_init(&shard->flush.captured);
    sl_slab_init(&shard->slab, setup->slab_size, setup->account);
    shard->now = (struct sl_now){ sl_clock_running_ms(), sl_clock_wall_ms() };
    sl_timer_wheel_init(&shard->wheel, shard->now.running_ms);
    for (unsigned i = 0; i < SL_PORT_PRODUCERS_MAX; i++)
        sl_link_init(&shard->lanes[i].overflow);
    return shard;
}

struct sl_port *sl_shard_port(struct sl_shard *shard)
{
    return shard->port;
}

void sl_shard_connect(struct sl_shard *shard, uint32_t index, struct sl_ring *requests,
                      struct sl_ring *replies, struct sl_port *port)
{
    struct sli_lane *lane = &shard->lanes[index];
    SL_ASSERT(sl_link_is_empty(&lane->overflow));
    lane->requests = requests;
    lane->replies = replies;
    lane->port = port;
}

uint64_t sl_shard_appended_lsn(const struct sl_shard *shard)
{
    return sl_metrics_read(&shard->appended_lsn);
}

uint64_t sl_shard_durable_lsn(const struct sl_shard *shard)
{
    return sl_metrics_read(&shard->durable_lsn);
}

uint64_t sl_shard_waiting_reads(const struct sl_shard *shard)
{
    return sl_metrics_read(&shard->waiting_reads);
}

const struct sl_metrics *sl_shard_metrics(const struct sl_shard *shard)
{
    return shard->setup.metrics;
}

const struct sl_wal *sl_shard_wal(const struct sl_shard *shard)
{
    return shard->wal;
}

void sl_shard_health(const struct sl_shard *shard, struct sl_shard_health *health)
{
    *health = (struct sl_shard_health){
        .segments = sl_metrics_read(&shard->segment_count),
        .segment_bytes = sl_metrics_read(&shard->segment_bytes),
        .wal_bytes = sl_metrics_read(&shard->wal_bytes),
        .torn_bytes = shard->scan.torn_bytes,
        .damaged = sl_metrics_read(&shard->damaged),
    };
    if (shard->wal == NULL)
        return;
    health->failed = sl_wal_failed(shard->wal);
    health->disk_full = sl_wal_space(shard->wal) != SL_OK;
    health->buffered = sl_wal_is_buffered(shard->wal) || shard->scan.buffered;
}

/* ---- answers ---- */

void sli_shard_answer_now(struct sl_shard *shard, struct sl_message *message, enum sl_err err)
{
    struct sli_lane *lane = &shard->lanes[message->session_index];
    message->err = err;
    shard->lanes_to_signal |= UINT64_C(1) << message->session_index;
    if (sl_link_is_empty(&lane->overflow) && sl_ring_push(lane->replies, message))
        return;
    sl_link_append(&lane->overflow, &message->shard.link);
    shard->lanes_overflowing |= UINT64_C(1) << message->session_index;
}

static void enter_gate(struct sl_shard *shard, struct sl_message *message) SL_RUNS_ON(sl_role_shard)
{
    message->shard.gate_lsn = shard->appended_lsn;
    sl_link_append(&shard->gate, &message->shard.link);
}

void sli_shard_answer(struct sl_shard *shard, struct sl_message *message, enum sl_err err,
                      uint64_t lsn)
{
    if (lsn <= shard->durable_lsn || shard->failed) {
        sli_shard_answer_now(shard, message,
                             lsn <= shard->durable_lsn ? err : SL_ERR_STORAGE_FAILED);
        return;
    }
    message->err = err;
    message->shard.stream = NULL;
    message->shard.again = false;
    enter_gate(shard, message);
}

void sli_shard_answer_change(struct sl_shard *shard, struct sl_message *message,
                             struct sl_stream *stream)
{
    message->err = SL_OK;
    message->shard.stream = stream;
    message->shard.tail = sl_log_end(&stream->log);
    message->shard.closed = stream->closed;
    message->shard.again = false;
    stream->unsettled++;
    enter_gate(shard, message);
}

void sli_shard_retry_durable(struct sl_shard *shard, struct sl_message *message)
{
    if (shard->failed) {
        sli_shard_answer_now(shard, message, SL_ERR_STORAGE_FAILED);
        return;
    }
    message->shard.stream = NULL;
    message->shard.again = true;
    message->shard.cancelled = false;
    enter_gate(shard, message);
}

static void retry_overflow(struct sl_shard *shard) SL_RUNS_ON(sl_role_shard)
{
    for (uint64_t lanes = shard->lanes_overflowing; lanes != 0; lanes &= lanes - 1) {
        unsigned index = (unsigned)__builtin_ctzll(lanes);
        struct sli_lane *lane = &shard->lanes[index];
        while (!sl_link_is_empty(&lane->overflow)) {
            struct sl_link *link = sl_link_first(&lane->overflow);
            sl_link_remove(link);
            if (!sl_ring_push(lane->replies, SL_OBJECT(link, struct sl_message, shard.link))) {
                sl_link_prepend(&lane->overflow, link);
                break;
            }
            shard->lanes_to_signal |= UINT64_C(1) << index;
        }
        if (sl_link_is_empty(&lane->overflow))
            shard->lanes_overflowing &= ~(UINT64_C(1) << index);
    }
}

/* ---- commit ---- */

/* What a change made durable is shown to readers from now on. */
static void publish(struct sl_shard *shard, const struct sl_message *message)
    SL_RUNS_ON(sl_role_shard)
{
    struct sl_stream *stream = message->shard.stream;
    SL_ASSERT(stream->unsettled > 0);
    stream->unsettled--;
    stream->durable_created = true;
    if (stream->removed) {
        sli_shard_free_settled(shard, stream);
        return;
    }
    bool grew = message->shard.tail > stream->durable_tail;
    stream->durable_tail = message->shard.tail;
    stream->durable_closed = message->shard.closed;
    SL_ASSERT_SLOW((sl_stream_check(stream), true));
    if (!sl_link_is_empty(&stream->waiting) && !sl_link_is_linked(&stream->to_wake))
        sl_link_append(&shard->to_wake, &stream->to_wake);
    if (shard->feed.epoch != 0 && grew)
        sli_shard_tell_bytes(shard, stream);
}

static void open_gate(struct sl_shard *shard) SL_RUNS_ON(sl_role_shard)
{
    for (struct sl_link *link; (link = sl_link_first(&shard->gate)) != NULL;) {
        struct sl_message *message = SL_OBJECT(link, struct sl_message, shard.link);
        if (message->shard.gate_lsn > shard->durable_lsn)
            break;
        sl_link_remove(link);
        if (message->shard.again) {
            sl_link_append(&shard->next_turn, link);
            continue;
        }
        if (message->shard.stream != NULL)
            publish(shard, message);
        sli_shard_answer_now(shard, message, message->err);
    }
    for (struct sl_link *link; (link = sl_link_first(&shard->to_wake)) != NULL;) {
        sl_link_remove(link);
        sli_shard_wake(shard, SL_OBJECT(link, struct sl_stream, to_wake));
    }
}

static void send_unpins(struct sl_shard *shard) SL_RUNS_ON(sl_role_shard)
{
    for (struct sl_link *link; (link = sl_link_first(&shard->unpins_out)) != NULL;) {
        struct sli_unpin *unpin = SL_OBJECT(link, struct sli_unpin, link);
        if (unpin->gate_lsn > shard->durable_lsn)
            break;
        sl_link_remove(link);
        struct sl_shard *source = shard->setup.peers[unpin->shard];
        sl_inbox_push(&source->unpins_in, &unpin->item);
        sl_port_signal(source->port, SL_PORT_INBOX);
    }
}

static void fail_all(struct sl_shard *shard, struct sl_link *messages) SL_RUNS_ON(sl_role_shard)
{
    for (struct sl_link *link; (link = sl_link_first(messages)) != NULL;) {
        struct sl_message *message = SL_OBJECT(link, struct sl_message, shard.link);
        struct sl_stream *stream = message->shard.stream;
        sl_link_remove(link);
        message->shard.again = false;
        if (stream != NULL && --stream->unsettled == 0 && stream->removed)
            sli_shard_free_settled(shard, stream);
        sli_shard_answer_now(shard, message, SL_ERR_STORAGE_FAILED);
    }
}

/*
 * The log has failed. What waits for it is answered: nobody knows what became of it. From now on
 * only what is durable is shown, and nothing is changed.
 */
static void fail(struct sl_shard *shard) SL_RUNS_ON(sl_role_shard)
{
    shard->failed = true;
    sl_log(SL_LOG_ERROR, "shard", "failed",
           "shard=%u durable_lsn=%llu appended_lsn=%llu reason=\"the log cannot be written; reads "
           "go on, changes need a restart\"",
           shard->setup.index, (unsigned long long)shard->durable_lsn,
           (unsigned long long)shard->appended_lsn);
    if (shard->setup.on_failed != NULL)
        shard->setup.on_failed(shard->setup.context);
    sli_shard_end_backup(shard, SL_ERR_STORAGE_FAILED);
    fail_all(shard, &shard->gate);
    for (struct sl_link *link = shard->parked.next; link != &shard->parked; link = link->next)
        SL_OBJECT(link, struct sl_message, shard.link)->shard.stream = NULL;
    fail_all(shard, &shard->parked);
}

/* In memory everything is as durable as it gets as soon as it was applied. */
static void commit(struct sl_shard *shard) SL_RUNS_ON(sl_role_shard)
{
    bool failed = false;
    uint64_t durable = shard->appended_lsn;
    if (shard->wal != NULL) {
        sl_wal_commit(shard->wal);
        failed = sl_wal_failed(shard->wal); /* first: what is durable now stays so */
        durable = sl_wal_durable_lsn(shard->wal);
    }
    if (durable != shard->durable_lsn || shard->wal == NULL) {
        sl_metrics_publish(&shard->durable_lsn, durable);
        open_gate(shard);
        send_unpins(shard);
        sli_shard_answer_waiting_changes(shard);
    }
    if (failed && !shard->failed)
        fail(shard);
}

/* ---- the loop ---- */

void sli_shard_unpin_later(struct sl_shard *shard, uint64_t stream_id)
{
    struct sli_unpin *unpin = sl_memory_alloc(sizeof(*unpin));
    *unpin = (struct sli_unpin){ .stream_id = stream_id };
    sl_link_init(&unpin->link);
    sl_link_append(&shard->unpins, &unpin->link);
}

static void receive_unpins(struct sl_shard *shard) SL_RUNS_ON(sl_role_shard)
{
    struct sl_inbox_item *item = sl_inbox_take(&shard->unpins_in);
    while (item != NULL) {
        struct sli_unpin *unpin = SL_OBJECT(item, struct sli_unpin, item);
        item = item->next;
        sl_link_append(&shard->unpins, &unpin->link);
    }
}

/* The last fork of a soft-deleted stream removes it, and each removal takes room in the log. */
static void take_unpins(struct sl_shard *shard) SL_RUNS_ON(sl_role_shard)
{
    struct sl_link *link;
    for (unsigned i = 0; i < UNPINS_BATCH_MAX && !shard->backup.held &&
                         (link = sl_link_first(&shard->unpins)) != NULL &&
                         (shard->failed || sli_shard_has_log_room(shard));
         i++) {
        struct sli_unpin *unpin = SL_OBJECT(link, struct sli_unpin, link);
        sl_link_remove(link);
        sli_shard_unpin(shard, unpin->stream_id);
        sl_memory_free(unpin);
    }
}

/* True: there may be more in this ring. */
static bool drain(struct sl_shard *shard, unsigned index) SL_RUNS_ON(sl_role_shard)
{
    struct sl_ring *requests = shard->lanes[index].requests;
    for (unsigned i = 0; i < SL_DRAIN_BATCH_MAX; i++) {
        struct sl_message *message = sl_ring_pop(requests);
        if (message == NULL)
            return false;
        sli_shard_dispatch(shard, message);
    }
    /* The ring may have been full: its session may have more. */
    shard->lanes_to_signal |= UINT64_C(1) << index;
    return true;
}

bool sli_shard_end_cancelled(struct sl_shard *shard, struct sl_message *message)
{
    bool cancelled = message->shard.again && message->shard.cancelled &&
                     message->request == SL_REQUEST_READ && message->op.u.read.wait;
    message->shard.again = false;
    if (cancelled)
        sli_shard_answer_now(shard, message, SL_ERR_CANCELLED);
    return cancelled;
}

static void dispatch_next_turn(struct sl_shard *shard) SL_RUNS_ON(sl_role_shard)
{
    struct sl_link now;
    sl_link_init(&now);
    sl_link_splice_back(&now, &shard->next_turn);
    for (struct sl_link *link; (link = sl_link_first(&now)) != NULL;) {
        struct sl_message *message = SL_OBJECT(link, struct sl_message, shard.link);
        sl_link_remove(link);
        if (!sli_shard_end_cancelled(shard, message))
            sli_shard_dispatch(shard, message);
    }
}

static void signal_sessions(struct sl_shard *shard) SL_RUNS_ON(sl_role_shard)
{
    for (uint64_t lanes = shard->lanes_to_signal; lanes != 0; lanes &= lanes - 1)
        sl_port_signal(shard->lanes[__builtin_ctzll(lanes)].port, shard->setup.index);
    shard->lanes_to_signal = 0;
}

static int sleep_ms(struct sl_shard *shard) SL_RUNS_ON(sl_role_shard)
{
    if (shard->lanes_overflowing != 0)
        return OVERFLOW_RETRY_MS;
    if (!sl_link_is_empty(&shard->parked))
        return PARKED_RETRY_MS;
    if (!sl_link_is_empty(&shard->unpins) && !shard->backup.held)
        return sli_shard_has_log_room(shard) ? 0 : PARKED_RETRY_MS;
    uint64_t longest = shard->wal == NULL ? SLEEP_MAX_MS : HOUSEKEEPING_MS;
    uint64_t next = sl_timer_wheel_next(&shard->wheel), now = sl_clock_running_ms();
    if (next <= now)
        return sli_shard_has_log_room(shard) ? 0 : PARKED_RETRY_MS;
    return (int)(next - now < longest ? next - now : longest);
}

/*
 * A wall clock that jumps by more than a week is not believed for an hour: time goes on from where
 * it was, so that nothing runs out early, neither now nor, by the times in the log, after a start.
 */
static void read_clocks(struct sl_shard *shard) SL_RUNS_ON(sl_role_shard)
{
    struct sl_now now = { sl_clock_running_ms(), sl_clock_wall_ms() };
    int64_t expected_ms = shard->now.wall_ms + (int64_t)(now.running_ms - shard->now.running_ms);
    int64_t jump_ms = now.wall_ms - expected_ms;
    bool doubtful = jump_ms > SLI_CLOCK_JUMP_MS || jump_ms < -SLI_CLOCK_JUMP_MS;

    if (doubtful && shard->clock.doubted_ms == 0) {
        shard->clock.doubted_ms = now.running_ms;
        sl_log(SL_LOG_WARN, "shard", "clock_jump",
               "shard=%u days=%lld reason=\"for an hour it is not believed: it may be wrong\"",
               shard->setup.index, (long long)(jump_ms / (24 * 3600 * 1000)));
    }
    if (doubtful && now.running_ms - shard->clock.doubted_ms < SLI_CLOCK_CONFIRM_MS)
        now.wall_ms = expected_ms;
    else
        shard->clock.doubted_ms = 0;
    shard->now = now;
}

/* One turn; returns the bits of the sessions whose rings may hold more. */
static uint64_t turn(struct sl_shard *shard, uint64_t bits) SL_RUNS_ON(sl_role_shard)
{
    uint64_t more = 0;
    read_clocks(shard);
    shard->disk_full = shard->wal != NULL && sl_wal_space(shard->wal) != SL_OK;
    size_t slab_size = shard->setup.slab_size;
    sl_slab_set_size(&shard->slab,
                     sli_shard_is_memory_scarce(shard) ? slab_size / SLAB_SCARCE_SHARE : slab_size);
    if ((bits & (UINT64_C(1) << SL_PORT_INBOX)) != 0) {
        sli_shard_take_cold(shard);
        sli_shard_take_tasks(shard);
        receive_unpins(shard);
    }
    take_unpins(shard);
    sli_shard_dispatch_parked(shard);
    dispatch_next_turn(shard);
    uint64_t sessions = bits & ((UINT64_C(1) << SL_PORT_PRODUCERS_MAX) - 1);
    for (; sessions != 0; sessions &= sessions - 1) {
        unsigned index = (unsigned)__builtin_ctzll(sessions);
        if (drain(shard, index))
            more |= UINT64_C(1) << index;
    }
    uint64_t expired = 0;
    sli_shard_expire(shard, EXPIRE_BATCH_MAX, &expired);
    commit(shard);
    retry_overflow(shard);
    signal_sessions(shard);
    sli_shard_compact(shard);
    return more;
}

static bool wants_turn(struct sl_shard *shard) SL_RUNS_ON(sl_role_shard)
{
    return sli_shard_flush(shard) || !sl_link_is_empty(&shard->next_turn) ||
           shard->compaction.under_way;
}

/* What the disk is doing for this shard ends before the shard does. */
static void finish_flush(struct sl_shard *shard) SL_RUNS_ON(sl_role_shard)
{
    while (!sli_shard_stop_flush(shard)) {
        sl_port_take(shard->port);
        if (!sli_shard_stop_flush(shard) && sl_port_sleep(shard->port))
            sl_port_wait(shard->port, PARKED_RETRY_MS);
    }
}

static void run(void *argument)
{
    struct sl_shard *shard = argument;
    uint64_t bits = 0;
    sl_thread_enter_shard(shard->setup.index);
    for (;;) {
        bits |= sl_port_take(shard->port);
        if ((bits & (UINT64_C(1) << SL_PORT_STOP)) != 0) {
            finish_flush(shard);
            return;
        }
        bits = turn(shard, bits);
        if (wants_turn(shard) || bits != 0)
            continue;
        int timeout = sleep_ms(shard);
        if (timeout > 0 && sl_port_sleep(shard->port))
            sl_port_wait(shard->port, timeout);
    }
}

void sl_shard_start(struct sl_shard *shard)
{
    char name[] = "shard-00";
    name[6] = (char)('0' + shard->setup.index / 10);
    name[7] = (char)('0' + shard->setup.index % 10);
    shard->thread = sl_thread_start(name, run, shard);
}

void sl_shard_stop(struct sl_shard *shard)
{
    sl_port_signal(shard->port, SL_PORT_STOP);
    sl_thread_join(&shard->thread);
}

static void destroy_streams(struct sl_shard *shard)
{
    uint64_t cursor = 0;
    do {
        struct sl_table_node *node = sl_table_walk(&shard->names, &cursor);
        while (node != NULL) {
            struct sl_stream *stream = SL_OBJECT(node, struct sl_stream, by_name);
            node = node->next;
            sl_table_remove(&shard->names, &stream->by_name);
            sl_table_remove(&shard->by_id, &stream->by_id);
            sl_link_remove(&stream->dirty);
            sl_account_subtract(shard->setup.streams, 1);
            sl_account_subtract(shard->setup.account, sl_stream_destroy(&stream, &shard->media));
        }
    } while (cursor != 0);
}

/*
 * The manifest learns how far the log was durable: if its end is lost, the next start knows.
 * Without it the start finds out by itself whatever can be found out.
 */
static void close_log(struct sl_shard *shard)
{
    bool failed = sl_wal_failed(shard->wal);
    struct sl_catalog_edit edit = {
        .has_mark = true,
        .mark = shard->flush.installed,
        .last_id = shard->ids,
        .durable_lsn = sl_wal_durable_lsn(shard->wal), /* closing may yet fail */
    };
    sl_wal_close(&shard->wal);
    if (!failed && sl_catalog_install(shard->catalog, &edit) != SL_OK)
        sl_log(SL_LOG_WARN, "shard", "manifest_not_closed", "shard=%u", shard->setup.index);
}

void sl_shard_destroy(struct sl_shard **shard)
{
    struct sl_shard *last = *shard;
    *shard = NULL;
    sl_thread_enter_ended_shard();
    SL_ASSERT(sl_link_is_empty(&last->gate));
    receive_unpins(last);
    sl_link_splice_back(&last->unpins_out, &last->unpins);
    for (struct sl_link *link; (link = sl_link_first(&last->unpins_out)) != NULL;) {
        sl_link_remove(link);
        sl_memory_free(SL_OBJECT(link, struct sli_unpin, link));
    }
    if (last->wal != NULL)
        close_log(last);
    sli_shard_drop_feed(last);
    destroy_streams(last);
    if (last->catalog != NULL)
        sl_catalog_close(&last->catalog);
    sl_account_subtract(last->setup.account,
                        sl_table_memory(&last->names) + sl_table_memory(&last->by_id));
    sl_table_deinit(&last->names);
    sl_table_deinit(&last->by_id);
    sl_buffer_deinit(&last->head);
    sli_shard_drop_removed(last);
    sl_buffer_deinit(&last->flush.state);
    sl_buffer_deinit(&last->flush.parts);
    sl_buffer_deinit(&last->merge.parts);
    sl_media_set_deinit(&last->media);
    sl_slab_deinit(&last->slab);
    sl_port_destroy(&last->port);
    sl_memory_free(last);
}
