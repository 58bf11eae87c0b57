#include "base/assert.h"
#include "base/memory.h"
#include "base/thread.h"
#include "shard/shard_internal.h"

enum {
    COMPACT_BUCKETS_MAX = 64,   /* of the table of names, per turn */
    COMPACT_PAUSE_FACTOR = 4,   /* a walk is followed by a pause of so many times its duration */
    OVERDUE_RETRY_MS = 1000,    /* what is overdue but may not expire yet is looked at again */
    WALL_LOOK_MS = 3600 * 1000, /* so are instants of the wall clock: somebody may set it */
};

struct sl_stream *sli_shard_by_name(const struct sl_shard *shard, uint64_t hash,
                                    struct sl_bytes name)
{
    for (struct sl_table_node *node = sl_table_bucket(&shard->names, hash); node != NULL;
         node = node->next) {
        struct sl_stream *stream = SL_OBJECT(node, struct sl_stream, by_name);
        if (node->hash == hash && sl_bytes_equal(sl_stream_name(stream), name))
            return stream;
    }
    return NULL;
}

static void expire(struct sl_shard *shard, struct sl_stream *stream) SL_RUNS_ON(sl_role_shard)
{
    sl_metrics_add(shard->setup.metrics, SL_METRIC_STREAMS_EXPIRED, 1);
    sli_shard_remove(shard, stream, SL_REMOVAL_EXPIRE);
}

static bool has_expired(const struct sl_shard *shard, const struct sl_stream *stream)
    SL_RUNS_ON(sl_role_shard)
{
    return shard->now.running_ms >= shard->clock.not_before_ms &&
           shard->now.wall_ms >= shard->clock.wall_ms && sl_stream_has_expired(stream, &shard->now);
}

struct sl_stream *sli_shard_find(struct sl_shard *shard, uint64_t hash, struct sl_bytes name,
                                 enum sl_err *err)
{
    struct sl_stream *stream = sli_shard_by_name(shard, hash, name);
    *err = SL_OK;
    if (stream != NULL && has_expired(shard, stream)) {
        if (!sli_shard_takes_record(shard)) {
            *err = SL_ERR_OVERLOADED;
            return NULL;
        }
        expire(shard, stream);
        stream = sli_shard_by_name(shard, hash, name);
    }
    if (stream == NULL)
        *err = SL_ERR_NOT_FOUND;
    else if (stream->soft_deleted)
        *err = SL_ERR_GONE;
    return *err == SL_OK ? stream : NULL;
}

/* When its lifetime is to be looked at. */
static uint64_t next_look(const struct sl_shard *shard, const struct sl_stream *stream)
    SL_RUNS_ON(sl_role_shard)
{
    uint64_t deadline = sl_stream_deadline(stream, &shard->now);
    uint64_t latest = shard->now.running_ms + WALL_LOOK_MS;
    return stream->lifetime->has_expires_at && deadline > latest ? latest : deadline;
}

struct sl_stream *sli_shard_by_id(const struct sl_shard *shard, uint64_t id)
{
    for (struct sl_table_node *node = sl_table_bucket(&shard->by_id, sl_stream_id_hash(id));
         node != NULL; node = node->next) {
        struct sl_stream *stream = SL_OBJECT(node, struct sl_stream, by_id);
        if (stream->id == id)
            return stream;
    }
    return NULL;
}

void sli_shard_add(struct sl_shard *shard, struct sl_stream *stream, uint64_t hash)
{
    size_t before = sl_table_memory(&shard->by_id);
    sl_table_insert(&shard->by_id, &stream->by_id, sl_stream_id_hash(stream->id));
    sl_account_add(shard->setup.account, sl_table_memory(&shard->by_id) - before);
    sli_shard_add_name(shard, stream, hash);
}

void sli_shard_add_name(struct sl_shard *shard, struct sl_stream *stream, uint64_t hash)
{
    size_t before = sl_table_memory(&shard->names);
    sl_table_insert(&shard->names, &stream->by_name, hash);
    sl_account_add(shard->setup.account,
                   sl_table_memory(&shard->names) - before + sl_stream_memory(stream));
    if (stream->lifetime != NULL && !stream->soft_deleted)
        sl_timer_set(&shard->wheel, &stream->lifetime->timer, next_look(shard, stream));
}

static void end_waiting(struct sl_shard *shard, struct sl_stream *stream, enum sl_err err)
    SL_RUNS_ON(sl_role_shard)
{
    for (struct sl_link *link; (link = sl_link_first(&stream->waiting)) != NULL;)
        sli_shard_answer(shard, sli_shard_stop_waiting(shard, link), err, shard->removed_lsn);
    sl_link_remove(&stream->to_wake);
}

/* The reference at the source is given back once the removal is durable. */
static void release_source(struct sl_shard *shard, const struct sl_origin *origin)
    SL_RUNS_ON(sl_role_shard)
{
    struct sli_unpin *unpin = sl_memory_alloc(sizeof(*unpin));
    *unpin = (struct sli_unpin){
        .gate_lsn = shard->removed_lsn,
        .stream_id = origin->source_id,
        .shard = origin->source_shard,
    };
    sl_link_init(&unpin->link);
    sl_link_append(&shard->unpins_out, &unpin->link);
}

void sli_shard_free_settled(struct sl_shard *shard, struct sl_stream *stream)
{
    SL_ASSERT(stream->removed);
    if (stream->unsettled == 0)
        sl_account_subtract(shard->setup.account, sl_stream_destroy(&stream, &shard->media));
}

void sli_shard_soften(struct sl_shard *shard, struct sl_stream *stream)
{
    shard->removed_lsn = stream->last_lsn;
    if (stream->lifetime != NULL)
        sl_timer_clear(&stream->lifetime->timer);
    stream->soft_deleted = true;
}

void sli_shard_take_out(struct sl_shard *shard, struct sl_stream *stream)
{
    shard->removed_lsn = stream->last_lsn;
    if (stream->lifetime != NULL)
        sl_timer_clear(&stream->lifetime->timer);
    sl_table_remove(&shard->names, &stream->by_name);
    sl_table_remove(&shard->by_id, &stream->by_id);
    sl_account_subtract(shard->setup.streams, 1);
    stream->removed = true;
    sli_shard_forget_cold(shard, stream);
    if (shard->setup.store != NULL)
        sli_shard_add_removed(shard, stream);
}

void sli_shard_remove(struct sl_shard *shard, struct sl_stream *stream, enum sl_removal why)
{
    bool soft = stream->forks > 0;
    SL_ASSERT(!stream->removed);
    sli_shard_log_remove(shard, stream, soft, why);
    shard->removed_lsn = stream->last_lsn;
    end_waiting(shard, stream, soft ? SL_ERR_GONE : SL_ERR_NOT_FOUND);
    sli_shard_tell_removal(shard, stream);
    if (soft) {
        sli_shard_soften(shard, stream);
        return;
    }
    sli_shard_take_out(shard, stream);
    if (stream->origin != NULL && stream->origin->source_id != 0)
        release_source(shard, stream->origin);
    sli_shard_free_settled(shard, stream);
}

void sli_shard_unpin(struct sl_shard *shard, uint64_t stream_id)
{
    struct sl_stream *stream = sli_shard_by_id(shard, stream_id);
    SL_ASSERT(stream != NULL && stream->forks > 0);
    if (--stream->forks > 0 || !stream->soft_deleted || shard->failed)
        return;
    stream->soft_deleted = false;
    sli_shard_remove(shard, stream, SL_REMOVAL_UNPIN);
}

struct expiry {
    struct sl_shard *shard;
    uint64_t *expired;
};

static void on_lifetime(void *context, struct sl_timer *timer)
{
    const struct expiry *expiry = context;
    struct sl_shard *shard = expiry->shard;
    sl_thread_assert_shard(shard->setup.index);
    struct sl_stream *stream = SL_OBJECT(timer, struct sl_lifetime, timer)->stream;
    if (has_expired(shard, stream)) {
        expire(shard, stream);
        (*expiry->expired)++;
        return;
    }
    /* Somebody touched it since: that is only looked at here, not at every access. */
    uint64_t deadline = next_look(shard, stream);
    if (!sl_link_is_empty(&stream->waiting))
        sli_shard_log_touch(shard, stream); /* a reader that waits is an access that goes on */
    if (deadline <= shard->now.running_ms) {
        deadline = shard->now.running_ms + OVERDUE_RETRY_MS;
        if (deadline < shard->clock.not_before_ms)
            deadline = shard->clock.not_before_ms;
    }
    sl_timer_set(&shard->wheel, timer, deadline);
}

size_t sli_shard_expire(struct sl_shard *shard, size_t max, uint64_t *expired)
{
    struct expiry expiry = { shard, expired };
    if (!sli_shard_has_log_room(shard))
        return 0;
    return sl_timer_wheel_advance(&shard->wheel, shard->now.running_ms, max, on_lifetime, &expiry);
}

static bool begins_compaction(const struct sl_shard *shard) SL_RUNS_ON(sl_role_shard)
{
    return sli_shard_is_memory_scarce(shard) &&
           shard->removed_lsn > shard->compaction.removed_lsn &&
           shard->now.running_ms >= shard->compaction.not_before_ms;
}

void sli_shard_compact(struct sl_shard *shard)
{
    if (!shard->compaction.under_way) {
        if (!begins_compaction(shard))
            return;
        shard->compaction.under_way = true;
        shard->compaction.cursor = 0;
        shard->compaction.removed_lsn = shard->removed_lsn;
        shard->compaction.began_ms = shard->now.running_ms;
    }
    for (unsigned i = 0; i < COMPACT_BUCKETS_MAX && shard->compaction.under_way; i++) {
        struct sl_table_node *node = sl_table_walk(&shard->names, &shard->compaction.cursor);
        for (; node != NULL; node = node->next)
            sl_log_compact(&SL_OBJECT(node, struct sl_stream, by_name)->log, &shard->slab);
        shard->compaction.under_way = shard->compaction.cursor != 0;
    }
    uint64_t duration_ms = shard->now.running_ms - shard->compaction.began_ms;
    shard->compaction.not_before_ms =
        shard->now.running_ms + 1 + COMPACT_PAUSE_FACTOR * duration_ms;
}
