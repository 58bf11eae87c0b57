#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/thread.h"
#include "shard/shard_internal.h"

enum {
    LIST_BUCKETS_MAX = 1024, /* of the table of names, per request */
    CLEANUP_BATCH_MAX = 256, /* streams per turn */
};

#define X(KIND, handler, what)                                                                     \
    static void shard_on_##handler(struct sl_shard *shard, struct sl_message *message)             \
        SL_RUNS_ON(sl_role_shard);
SL_REQUEST_LIST(X)
#undef X

void sli_shard_dispatch(struct sl_shard *shard, struct sl_message *message)
{
    if (!sli_shard_hold_back(shard, message))
        sli_shard_handle(shard, message);
}

void sli_shard_handle(struct sl_shard *shard, struct sl_message *message)
{
    switch (message->request) {
#define X(KIND, handler, what)                                                                     \
    case SL_REQUEST_##KIND:                                                                        \
        shard_on_##handler(shard, message);                                                        \
        break;
        SL_REQUEST_LIST(X)
#undef X
    }
}

/* The stream, or NULL after the answer that there is none. */
static struct sl_stream *find_or_answer(struct sl_shard *shard, struct sl_message *message,
                                        struct sl_bytes name) SL_RUNS_ON(sl_role_shard)
{
    enum sl_err err;
    struct sl_stream *stream = sli_shard_find(shard, message->hash, name, &err);
    if (err == SL_ERR_OVERLOADED)
        sli_shard_wait_for_room(shard, message);
    else if (stream == NULL)
        sli_shard_answer(shard, message, err, shard->removed_lsn);
    return stream;
}

static void touch(struct sl_shard *shard, struct sl_stream *stream) SL_RUNS_ON(sl_role_shard)
{
    stream->accessed_ms = shard->now.running_ms;
    if (stream->lifetime != NULL)
        sli_shard_log_touch(shard, stream);
}

static void count_payload(struct sl_shard *shard, const struct sl_payload *payload)
    SL_RUNS_ON(sl_role_shard)
{
    if (payload->bytes.size == 0)
        return;
    sl_metrics_add(shard->setup.metrics, SL_METRIC_BYTES_IN, payload->bytes.size);
    sl_metrics_add(shard->setup.metrics, SL_METRIC_MESSAGES_APPENDED, payload->count);
}

/* ---- CREATE ---- */

static struct sl_origin *origin_create(struct sl_message *message)
{
    const struct sl_create *create = &message->op.u.create;
    struct sl_fork_plan *plan = &message->fork;
    if (!create->fork)
        return NULL;
    struct sl_origin *origin = sl_memory_alloc(sizeof(*origin) + create->fork_source.size);
    *origin = (struct sl_origin){
        .lineage = plan->lineage,
        .source_shard = plan->shard,
        .source_id = plan->source_id,
        .offset = plan->anchor,
        .sub_offset = create->fork_sub_offset,
        .source_size = (uint16_t)create->fork_source.size,
    };
    memcpy(origin->source, create->fork_source.data, create->fork_source.size);
    plan->lineage = NULL;
    return origin;
}

static bool inherits_lifetime(const struct sl_create *create)
{
    return create->fork && !create->config.has_ttl && !create->config.has_expires_at;
}

static void create_stream(struct sl_shard *shard, struct sl_message *message)
    SL_RUNS_ON(sl_role_shard)
{
    struct sl_create *create = &message->op.u.create;
    struct sl_stream_setup setup = {
        .name = create->name,
        .content_type = message->config.content_type,
        .config = &message->config,
        .lifetime_inherited = inherits_lifetime(create),
        .id = ++shard->ids << SL_STREAM_ID_SHARD_BITS | shard->setup.index,
        .base = create->fork ? message->fork.position : 0,
        .origin = origin_create(message),
    };
    struct sl_stream *stream = sl_stream_create(&setup, &shard->media, &shard->now);
    sl_stream_apply_first(stream, &shard->slab, &message->payload, create->close);
    sli_shard_add(shard, stream, message->hash);
    sli_shard_log_create(shard, stream, &message->payload);
    create->created = true;
    count_payload(shard, &message->payload);
    sl_metrics_add(shard->setup.metrics, SL_METRIC_STREAMS_CREATED, 1);
    sl_stream_view(stream, sl_log_end(&stream->log), stream->closed, &shard->now,
                   &message->op.stream);
    sli_shard_answer_change(shard, message, stream);
}

static void shard_on_create(struct sl_shard *shard, struct sl_message *message)
    SL_RUNS_ON(sl_role_shard)
{
    const struct sl_create *create = &message->op.u.create;
    enum sl_err err;
    struct sl_stream *stream = sli_shard_find(shard, message->hash, create->name, &err);
    if (err == SL_ERR_OVERLOADED) {
        sli_shard_wait_for_room(shard, message);
        return;
    }
    if (err == SL_ERR_GONE) {
        sli_shard_answer(shard, message, SL_ERR_PATH_BLOCKED, shard->removed_lsn);
        return;
    }
    if (stream != NULL) {
        err = sl_stream_matches(stream, create) ? SL_OK : SL_ERR_CONFIG_MISMATCH;
        sl_stream_view(stream, sl_log_end(&stream->log), stream->closed, &shard->now,
                       &message->op.stream);
        sli_shard_answer(shard, message, err, stream->last_lsn);
        return;
    }
    if (create->fork && !message->fork.pinned) {
        message->fork.name_free = true;
        sli_shard_answer(shard, message, SL_OK, shard->removed_lsn);
        return;
    }
    size_t growth = sizeof(*stream) + sl_slab_growth(&shard->slab, &message->payload);
    err = message->late_err != SL_OK ? message->late_err : sli_shard_check_space(shard, growth);
    if (err != SL_OK) {
        sli_shard_answer(shard, message, err, shard->removed_lsn);
    } else if (!sl_account_take(shard->setup.streams, 1, shard->setup.streams_max)) {
        sli_shard_answer(shard, message, SL_ERR_TOO_MANY_STREAMS, shard->removed_lsn);
    } else {
        create_stream(shard, message);
    }
}

/* ---- APPEND ---- */

static void accept_append(struct sl_shard *shard, struct sl_message *message,
                          struct sl_stream *stream, struct sl_judgement *judgement)
    SL_RUNS_ON(sl_role_shard)
{
    struct sl_append *append = &message->op.u.append;
    uint64_t at = sl_log_end(&stream->log);
    int64_t bytes =
        sl_stream_apply_append(stream, append, judgement, &shard->slab, &message->payload,
                               shard->setup.producers_max, &shard->now);
    if (bytes > 0)
        sl_account_add(shard->setup.account, (uint64_t)bytes);
    else if (bytes < 0)
        sl_account_subtract(shard->setup.account, (uint64_t)-bytes);
    stream->accessed_ms = shard->now.running_ms;
    sli_shard_log_append(shard, stream, append, &message->payload, at);
    count_payload(shard, &message->payload);
    sl_stream_view(stream, sl_log_end(&stream->log), stream->closed, &shard->now,
                   &message->op.stream);
    sli_shard_answer_change(shard, message, stream);
}

static void shard_on_append(struct sl_shard *shard, struct sl_message *message)
    SL_RUNS_ON(sl_role_shard)
{
    struct sl_append *append = &message->op.u.append;
    struct sl_stream *stream = find_or_answer(shard, message, append->name);
    if (stream == NULL)
        return;
    enum sl_err err = append->request_err;
    if (err == SL_OK && !message->has_data && !append->close)
        err = SL_ERR_EMPTY_BODY;
    struct sl_judgement judgement = { .verdict = SL_VERDICT_REFUSED };
    if (err == SL_OK)
        err = sl_stream_judge(stream, append, message->has_data, message->late_err,
                              shard->setup.producers_max, &shard->now, &judgement);
    if (judgement.verdict == SL_VERDICT_ACCEPTED) {
        if (message->payload.bytes.size > 0)
            err = sli_shard_check_space(shard, sl_slab_growth(&shard->slab, &message->payload));
        if (err == SL_OK)
            accept_append(shard, message, stream, &judgement);
        else
            sli_shard_answer(shard, message, err, stream->last_lsn);
        return;
    }
    if (judgement.verdict == SL_VERDICT_NOTHING) {
        touch(shard, stream);
        if (append->duplicate)
            sl_metrics_add(shard->setup.metrics, SL_METRIC_DUPLICATES, 1);
    }
    sl_stream_view(stream, sl_log_end(&stream->log), stream->closed, &shard->now,
                   &message->op.stream);
    sli_shard_answer(shard, message, err, stream->last_lsn);
}

/* ---- READ ---- */

/* Fills the answer from the stream's own log at plan.offset, which is at or above log.hot. */
static enum sl_err read_hot(struct sl_shard *shard, const struct sl_stream *stream,
                            struct sl_message *message, uint64_t bound) SL_RUNS_ON(sl_role_shard)
{
    struct sl_read *read = &message->op.u.read;
    struct sl_read_plan *plan = &message->read;
    uint32_t copy = plan->piece_size < SL_COPY_SIZE_BYTES ? plan->piece_size : SL_COPY_SIZE_BYTES;
    struct sl_log_read wanted = {
        .start = plan->offset,
        .bound = bound,
        .limit = read->limit,
        .page_size = plan->page_size,
        .piece_size = plan->piece_size,
        .json = stream->media->json,
        .may_be_empty = plan->pieces.count > 0,
        .by_reference =
            sl_account_bytes(shard->setup.copies) + copy > shard->setup.copies_max_bytes,
    };
    enum sl_err err = sl_log_read(&stream->log, &wanted, shard->setup.copies, &plan->pieces);
    read->next = wanted.next;
    read->page_end = wanted.page_end;
    return err;
}

/* Answers from the stream's own log up to `bound`: now, or when the disk has given the bytes. */
static void read_own(struct sl_shard *shard, struct sl_stream *stream, struct sl_message *message,
                     uint64_t bound) SL_RUNS_ON(sl_role_shard)
{
    if (message->read.offset < stream->log.hot && message->read.offset < bound)
        sli_shard_read_cold(shard, stream, message, bound);
    else
        sli_shard_answer_now(shard, message, read_hot(shard, stream, message, bound));
}

static void answer_read(struct sl_shard *shard, struct sl_stream *stream,
                        struct sl_message *message) SL_RUNS_ON(sl_role_shard)
{
    sl_stream_view(stream, stream->durable_tail, stream->durable_closed, &shard->now,
                   &message->op.stream);
    read_own(shard, stream, message, stream->durable_tail);
}

static void wait_at_tail(struct sl_shard *shard, struct sl_stream *stream,
                         struct sl_message *message) SL_RUNS_ON(sl_role_shard)
{
    message->shard.stream = stream;
    message->shard.waiting = true;
    sl_link_append(&stream->waiting, &message->shard.link);
    sl_metrics_publish(&shard->waiting_reads, shard->waiting_reads + 1);
}

struct sl_message *sli_shard_stop_waiting(struct sl_shard *shard, struct sl_link *link)
{
    struct sl_message *message = SL_OBJECT(link, struct sl_message, shard.link);
    SL_ASSERT(message->shard.waiting);
    sl_link_remove(link);
    message->shard.waiting = false;
    sl_metrics_publish(&shard->waiting_reads, shard->waiting_reads - 1);
    return message;
}

void sli_shard_wake(struct sl_shard *shard, struct sl_stream *stream)
{
    touch(shard, stream);
    for (struct sl_link *link; (link = sl_link_first(&stream->waiting)) != NULL;)
        answer_read(shard, stream, sli_shard_stop_waiting(shard, link));
}

/* Where the read begins: the first shard that is asked decides. */
static void resolve_start(const struct sl_stream *stream, struct sl_message *message)
{
    struct sl_read *read = &message->op.u.read;
    struct sl_read_plan *plan = &message->read;
    if (plan->started)
        return;
    if (read->from == SL_READ_FROM_START)
        plan->offset = 0;
    else if (read->from == SL_READ_FROM_NOW || read->offset > stream->durable_tail)
        plan->offset = stream->durable_tail;
    else
        plan->offset = read->offset;
    read->start = plan->offset;
}

static void shard_on_read(struct sl_shard *shard, struct sl_message *message)
    SL_RUNS_ON(sl_role_shard)
{
    struct sl_read *read = &message->op.u.read;
    struct sl_read_plan *plan = &message->read;
    struct sl_stream *stream = find_or_answer(shard, message, read->name);
    if (stream == NULL)
        return;
    if (plan->id != 0 && plan->id != stream->id) {
        sli_shard_answer(shard, message, SL_ERR_NOT_FOUND, stream->last_lsn);
        return;
    }
    if (!stream->durable_created) {
        sli_shard_retry_durable(shard, message);
        return;
    }
    if (read->request_err != SL_OK) {
        sli_shard_answer_now(shard, message, read->request_err);
        return;
    }
    touch(shard, stream);
    bool beyond = read->from == SL_READ_FROM_OFFSET && read->offset > stream->durable_tail;
    resolve_start(stream, message);
    if (read->wait && !plan->started && !beyond && plan->offset == stream->durable_tail &&
        !stream->durable_closed) {
        wait_at_tail(shard, stream, message);
        return;
    }
    plan->hop = plan->offset < stream->log.base;
    if (!plan->hop) {
        answer_read(shard, stream, message);
        return;
    }
    plan->ancestor = *sl_lineage_find(stream->origin->lineage, plan->offset);
    sl_stream_view(stream, stream->durable_tail, stream->durable_closed, &shard->now,
                   &message->op.stream);
    sli_shard_answer_now(shard, message, SL_OK);
}

static void shard_on_inherited(struct sl_shard *shard, struct sl_message *message)
    SL_RUNS_ON(sl_role_shard)
{
    struct sl_read_plan *plan = &message->read;
    struct sl_stream *stream = sli_shard_by_id(shard, plan->ancestor.stream_id);
    if (stream != NULL)
        read_own(shard, stream, message, plan->ancestor.up_to);
    else
        sli_shard_answer_now(shard, message, SL_ERR_NOT_FOUND);
}

static void shard_on_cancel(struct sl_shard *shard, struct sl_message *message)
    SL_RUNS_ON(sl_role_shard)
{
    struct sl_message *target = message->target;
    if (target->shard.waiting) {
        touch(shard, target->shard.stream);
        sli_shard_stop_waiting(shard, &target->shard.link);
        sli_shard_answer_now(shard, target, SL_ERR_CANCELLED);
    } else if (target == shard->feed.waiting) {
        shard->feed.waiting = NULL;
        sli_shard_answer_now(shard, target, SL_ERR_CANCELLED);
    } else if (target->shard.again) {
        target->shard.cancelled = true;
    }
    sli_shard_answer_now(shard, message, SL_OK);
}

/* ---- HEAD, DELETE ---- */

static void shard_on_head(struct sl_shard *shard, struct sl_message *message)
    SL_RUNS_ON(sl_role_shard)
{
    struct sl_stream *stream = find_or_answer(shard, message, message->op.u.head.name);
    if (stream == NULL)
        return;
    if (!stream->durable_created) {
        sli_shard_retry_durable(shard, message);
        return;
    }
    if (message->op.u.head.follow)
        stream->followed = true;
    sl_stream_view(stream, stream->durable_tail, stream->durable_closed, &shard->now,
                   &message->op.stream);
    sli_shard_answer_now(shard, message, SL_OK);
}

static void shard_on_remove(struct sl_shard *shard, struct sl_message *message)
    SL_RUNS_ON(sl_role_shard)
{
    struct sl_stream *stream = find_or_answer(shard, message, message->op.u.remove.name);
    if (stream == NULL)
        return;
    sl_metrics_add(shard->setup.metrics, SL_METRIC_STREAMS_DELETED, 1);
    sli_shard_remove(shard, stream, SL_REMOVAL_DELETE);
    sli_shard_answer(shard, message, SL_OK, shard->removed_lsn);
}

/* ---- LIST, CLEANUP ---- */

static bool is_listed(const struct sl_shard *shard, const struct sl_stream *stream,
                      struct sl_bytes prefix) SL_RUNS_ON(sl_role_shard)
{
    return stream->durable_created && !stream->soft_deleted && stream->name_size >= prefix.size &&
           (prefix.size == 0 || memcmp(stream->name, prefix.data, prefix.size) == 0) &&
           !sl_stream_has_expired(stream, &shard->now);
}

/* Moves names, one behind the other in `text`, into one piece of memory that the message owns. */
static void set_names(struct sl_message *message, struct sl_buffer *text, const uint16_t *sizes,
                      uint32_t count)
{
    struct sl_list *list = &message->op.u.list;
    struct sl_bytes *names = sl_memory_alloc(count * sizeof(*names) + text->size);
    uint8_t *to = (uint8_t *)(names + count);
    if (text->size > 0)
        memcpy(to, text->data, text->size);
    for (uint32_t i = 0; i < count; i++) {
        names[i] = sl_bytes(to, sizes[i]);
        to += sizes[i];
    }
    message->names = names;
    list->names = names;
    list->name_count = count;
}

/* Names being gathered, one behind the other. */
struct names {
    struct sl_buffer text;
    struct sl_buffer sizes; /* uint16_t each */
    uint32_t count;
};

/* Adds the listed names of one bucket, all of them; false: there is no room, none was added. */
static bool add_bucket(const struct sl_shard *shard, struct sl_table_node *bucket,
                       struct sl_bytes prefix, struct names *names) SL_RUNS_ON(sl_role_shard)
{
    uint32_t found = 0;
    for (struct sl_table_node *node = bucket; node != NULL; node = node->next)
        found += is_listed(shard, SL_OBJECT(node, struct sl_stream, by_name), prefix);
    if (names->count > 0 && names->count + found > SL_LIST_NAMES_MAX)
        return false;
    for (struct sl_table_node *node = bucket; node != NULL; node = node->next) {
        const struct sl_stream *stream = SL_OBJECT(node, struct sl_stream, by_name);
        if (!is_listed(shard, stream, prefix))
            continue;
        sl_buffer_append_bytes(&names->text, sl_stream_name(stream));
        sl_buffer_append(&names->sizes, &stream->name_size, sizeof(stream->name_size));
    }
    names->count += found;
    return true;
}

static void shard_on_list(struct sl_shard *shard, struct sl_message *message)
{
    struct sl_list *list = &message->op.u.list;
    struct names names = { .count = 0 };
    for (unsigned i = 0; i < LIST_BUCKETS_MAX; i++) {
        uint64_t after = list->next_cursor;
        struct sl_table_node *bucket = sl_table_walk(&shard->names, &after);
        if (!add_bucket(shard, bucket, list->prefix, &names))
            break;
        list->next_cursor = after;
        if (after == 0)
            break;
    }
    set_names(message, &names.text, (const uint16_t *)(const void *)names.sizes.data, names.count);
    sl_buffer_deinit(&names.text);
    sl_buffer_deinit(&names.sizes);
    sli_shard_answer(shard, message, SL_OK, shard->removed_lsn);
}

static void shard_on_cleanup(struct sl_shard *shard, struct sl_message *message)
    SL_RUNS_ON(sl_role_shard)
{
    uint64_t *expired = &message->op.u.cleanup.expired;
    if (sli_shard_expire(shard, CLEANUP_BATCH_MAX, expired) == CLEANUP_BATCH_MAX)
        sl_link_append(&shard->next_turn, &message->shard.link);
    else
        sli_shard_answer(shard, message, SL_OK, shard->removed_lsn);
}

static void shard_on_changes(struct sl_shard *shard, struct sl_message *message)
    SL_RUNS_ON(sl_role_shard)
{
    sli_shard_on_changes(shard, message);
}

/* ---- forks ---- */

/* Where the fork begins its own data, as far as this stream's own bytes can tell. */
static enum sl_err plan_position(uint32_t shard, const struct sl_stream *stream,
                                 const struct sl_create *create, struct sl_fork_plan *plan)
{
    uint64_t tail = sl_log_end(&stream->log);
    plan->anchor = create->has_fork_offset ? create->fork_offset : tail;
    plan->position = plan->anchor;
    if (plan->anchor > tail)
        return SL_ERR_INVALID_FORK_OFFSET;
    if (plan->anchor >= stream->log.hot)
        return sl_log_resolve(&stream->log, plan->anchor, create->fork_sub_offset, tail,
                              stream->media->json, &plan->position);
    plan->resolve = create->fork_sub_offset > 0 || stream->media->json;
    if (plan->resolve && plan->anchor < stream->log.base)
        plan->ancestor = *sl_lineage_find(stream->origin->lineage, plan->anchor);
    else if (plan->resolve) /* on the disk: to be asked for like an ancestor */
        plan->ancestor = (struct sl_ancestor){ shard, stream->id, tail };
    return SL_OK;
}

/* A bound of the position that is still to be resolved: the lineage is cut there later. */
static uint64_t position_max(const struct sl_stream *stream, const struct sl_fork_plan *plan)
{
    if (!plan->resolve)
        return plan->position;
    return plan->anchor < stream->log.base ? stream->log.base : plan->ancestor.up_to;
}

/* Plans what a fork inherits. */
static enum sl_err plan_lineage(const struct sl_shard *shard, const struct sl_stream *stream,
                                const struct sl_create *create, struct sl_fork_plan *plan)
    SL_RUNS_ON(sl_role_shard)
{
    enum sl_err err = plan_position(shard->setup.index, stream, create, plan);
    if (err != SL_OK)
        return err;
    plan->lineage = sl_stream_lineage_at(stream, shard->setup.index, position_max(stream, plan));
    if (plan->lineage == NULL || plan->lineage->count <= SL_FORK_DEPTH_MAX)
        return SL_OK;
    sl_memory_free(plan->lineage);
    plan->lineage = NULL;
    return SL_ERR_FORK_TOO_DEEP;
}

static void shard_on_pin(struct sl_shard *shard, struct sl_message *message)
    SL_RUNS_ON(sl_role_shard)
{
    const struct sl_create *create = &message->op.u.create;
    struct sl_fork_plan *plan = &message->fork;
    struct sl_bytes content_type = create->config.content_type;
    enum sl_err err;
    if (sli_shard_hold_pin(shard, message))
        return;
    struct sl_stream *stream = sli_shard_find(shard, message->hash, create->fork_source, &err);
    if (err == SL_ERR_OVERLOADED) {
        sli_shard_wait_for_room(shard, message);
        return;
    }
    if (stream == NULL) {
        err = err == SL_ERR_GONE ? SL_ERR_FORK_SOURCE_GONE : SL_ERR_FORK_SOURCE_NOT_FOUND;
        sli_shard_answer(shard, message, err, shard->removed_lsn);
        return;
    }
    if (content_type.size > 0 && !sl_media_matches(stream->media, content_type))
        err = SL_ERR_CONTENT_TYPE_MISMATCH;
    else
        err = plan_lineage(shard, stream, create, plan);
    if (err == SL_OK) {
        stream->forks++;
        plan->shard = shard->setup.index;
        plan->source_id = stream->id;
        sl_stream_view(stream, sl_log_end(&stream->log), stream->closed, &shard->now,
                       &message->op.stream);
    }
    sli_shard_answer(shard, message, err, stream->last_lsn);
}

static void shard_on_unpin(struct sl_shard *shard, struct sl_message *message)
    SL_RUNS_ON(sl_role_shard)
{
    if (sli_shard_has_log_room(shard))
        sli_shard_unpin(shard, message->fork.source_id);
    else
        sli_shard_unpin_later(shard, message->fork.source_id);
    sli_shard_answer_now(shard, message, SL_OK);
}

static void shard_on_resolve(struct sl_shard *shard, struct sl_message *message)
    SL_RUNS_ON(sl_role_shard)
{
    struct sl_fork_plan *plan = &message->fork;
    const struct sl_stream *stream = sli_shard_by_id(shard, plan->ancestor.stream_id);
    SL_ASSERT(stream != NULL); /* the pin at the source keeps all of its ancestors */
    if (plan->anchor < stream->log.hot && plan->anchor < plan->ancestor.up_to) {
        sli_shard_resolve_cold(shard, stream, message);
        return;
    }
    enum sl_err err =
        sl_log_resolve(&stream->log, plan->anchor, message->op.u.create.fork_sub_offset,
                       plan->ancestor.up_to, stream->media->json, &plan->position);
    sli_shard_answer_now(shard, message, err);
}
