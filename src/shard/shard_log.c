#include "base/assert.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/thread.h"
#include "shard/shard_internal.h"

enum {
    /* More than any record takes beside its payload: names, lineage, producer, sequence. */
    RECORD_HEAD_BYTES_MAX = SL_WAL_RESERVED_RECORD_BYTES,
};

/* ---- records ---- */

void sli_shard_mark_dirty(struct sl_shard *shard, struct sl_stream *stream)
{
    if (stream->is_dirty)
        return;
    stream->is_dirty = true;
    sl_link_remove(&stream->dirty);
    sl_link_append(&shard->dirty, &stream->dirty);
}

/* The next LSN, for a change that was applied; shard->head says what it was. */
static void add(struct sl_shard *shard, struct sl_stream *stream, enum sl_change_kind kind,
                const struct sl_payload *payload, uint64_t at) SL_RUNS_ON(sl_role_shard)
{
    uint64_t lsn = shard->appended_lsn + 1;
    if (shard->wal != NULL) {
        struct sl_record record = {
            .stream_id = stream->id,
            .stream_offset = at,
            .kind = (uint8_t)kind,
            .head = sl_buffer_bytes(&shard->head),
        };
        if (payload != NULL && payload->bytes.size > 0) {
            record.payload[0] = payload->bytes;
            record.payload[1] = payload->lengths;
            shard->flush.hot_bytes += payload->bytes.size + payload->lengths.size;
        }
        uint64_t added = sl_wal_add(shard->wal, &record, shard->now.wall_ms);
        SL_ASSERT(added == lsn);
        sli_shard_mark_dirty(shard, stream);
    }
    sl_metrics_publish(&shard->appended_lsn, lsn);
    stream->last_lsn = lsn;
}

void sli_shard_log_create(struct sl_shard *shard, struct sl_stream *stream,
                          const struct sl_payload *payload)
{
    sl_buffer_clear(&shard->head);
    if (shard->wal != NULL)
        sl_change_encode_create(stream, payload, &shard->head);
    add(shard, stream, SL_CHANGE_CREATE, payload, stream->log.base);
}

void sli_shard_log_append(struct sl_shard *shard, struct sl_stream *stream,
                          const struct sl_append *append, const struct sl_payload *payload,
                          uint64_t at)
{
    sl_buffer_clear(&shard->head);
    if (shard->wal != NULL)
        sl_change_encode_append(append, payload, &shard->head);
    add(shard, stream, SL_CHANGE_APPEND, payload, at);
    sl_stream_set_logged(stream, shard->now.running_ms);
}

void sli_shard_log_remove(struct sl_shard *shard, struct sl_stream *stream, bool soft,
                          enum sl_removal why)
{
    sl_buffer_clear(&shard->head);
    if (shard->wal != NULL)
        sl_change_encode_remove(soft, why, &shard->head);
    add(shard, stream, SL_CHANGE_REMOVE, NULL, sl_log_end(&stream->log));
}

void sli_shard_log_touch(struct sl_shard *shard, struct sl_stream *stream)
{
    if (shard->wal == NULL || shard->failed || !sl_stream_wants_touch(stream, &shard->now) ||
        !sli_shard_has_log_room(shard))
        return;
    sl_buffer_clear(&shard->head);
    sl_change_encode_touch(&shard->head);
    add(shard, stream, SL_CHANGE_TOUCH, NULL, sl_log_end(&stream->log));
    sl_stream_set_logged(stream, shard->now.running_ms);
}

/* ---- room ---- */

bool sli_shard_takes_record(struct sl_shard *shard)
{
    return shard->wal == NULL ||
           (!shard->failed && sl_wal_has_room(shard->wal, RECORD_HEAD_BYTES_MAX));
}

bool sli_shard_is_memory_scarce(const struct sl_shard *shard)
{
    return sl_account_is_scarce(shard->setup.account, 0, shard->setup.memory_budget_bytes);
}

enum sl_err sli_shard_check_space(const struct sl_shard *shard, size_t growth)
{
    if (sl_account_bytes(shard->setup.account) + growth > shard->setup.memory_budget_bytes)
        return SL_ERR_MEMORY_LIMIT_EXCEEDED;
    return shard->disk_full ? SL_ERR_DISK_FULL : SL_OK;
}

static bool is_change(enum sl_request request)
{
    return request == SL_REQUEST_CREATE || request == SL_REQUEST_APPEND ||
           request == SL_REQUEST_DELETE || request == SL_REQUEST_CLEANUP;
}

/*
 * There is room for its record; or none will be made, since the disk is full and it will be
 * refused.
 */
static bool has_room(struct sl_shard *shard, const struct sl_message *message)
    SL_RUNS_ON(sl_role_shard)
{
    size_t payload = message->payload.bytes.size + message->payload.lengths.size;
    if (shard->disk_full && (message->request == SL_REQUEST_CREATE || payload > 0))
        return true;
    return sl_wal_has_room(shard->wal, RECORD_HEAD_BYTES_MAX + payload);
}

bool sli_shard_has_log_room(struct sl_shard *shard)
{
    struct sl_link *first = sl_link_first(&shard->parked);
    bool waits_for_log =
        first != NULL && !has_room(shard, SL_OBJECT(first, struct sl_message, shard.link));
    return !waits_for_log && sli_shard_takes_record(shard);
}

static bool can_be_handled(struct sl_shard *shard, const struct sl_message *message)
    SL_RUNS_ON(sl_role_shard)
{
    bool waits_for_flush = message->payload.bytes.size > 0 && sli_shard_is_ahead_of_flush(shard);
    return !waits_for_flush && has_room(shard, message);
}

static void park(struct sl_shard *shard, struct sl_message *message) SL_RUNS_ON(sl_role_shard)
{
    message->shard.stream = NULL;
    message->shard.parked_ms = shard->now.running_ms;
    sl_link_append(&shard->parked, &message->shard.link);
}

bool sli_shard_hold_back(struct sl_shard *shard, struct sl_message *message)
{
    if (shard->wal == NULL || !is_change(message->request))
        return false;
    if (shard->failed) {
        sli_shard_answer_now(shard, message, SL_ERR_STORAGE_FAILED);
        return true;
    }
    if (sl_link_is_empty(&shard->parked) && can_be_handled(shard, message))
        return false;
    message->shard.again = false;
    park(shard, message);
    return true;
}

void sli_shard_wait_for_room(struct sl_shard *shard, struct sl_message *message)
{
    if (shard->failed) {
        sli_shard_answer_now(shard, message, SL_ERR_STORAGE_FAILED);
    } else if (shard->disk_full) {
        sli_shard_answer_now(shard, message, SL_ERR_DISK_FULL);
    } else {
        message->shard.again = true;
        message->shard.cancelled = false;
        park(shard, message);
    }
}

void sli_shard_dispatch_parked(struct sl_shard *shard)
{
    for (struct sl_link *link; (link = sl_link_first(&shard->parked)) != NULL;) {
        struct sl_message *message = SL_OBJECT(link, struct sl_message, shard.link);
        bool is_old = shard->now.running_ms - message->shard.parked_ms > SL_OVERLOAD_AGE_MS;
        /* One that has waited long for a flush only may have what is left of the budget. */
        if (can_be_handled(shard, message) || (is_old && has_room(shard, message))) {
            sl_link_remove(link);
            if (!sli_shard_end_cancelled(shard, message))
                sli_shard_handle(shard, message);
        } else if (is_old) {
            sl_link_remove(link);
            message->shard.again = false;
            /* Full: what was kept for changes without data is used up, too. */
            sli_shard_answer_now(shard, message,
                                 shard->disk_full ? SL_ERR_DISK_FULL : SL_ERR_OVERLOADED);
        } else {
            return;
        }
    }
}
