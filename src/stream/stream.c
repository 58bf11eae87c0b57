#include "stream/stream.h"

#include <limits.h>
#include <stddef.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "stream/change.h"

SL_STATIC_ASSERT(sizeof(struct sl_stream) <= 232, "what every idle stream costs, without its name");

static size_t name_bytes(size_t size)
{
    size_t bytes = offsetof(struct sl_stream, name) + size;
    return bytes < sizeof(struct sl_stream) ? sizeof(struct sl_stream) : bytes;
}

static size_t lineage_bytes(const struct sl_lineage *lineage)
{
    return lineage == NULL ? 0 : sizeof(*lineage) + lineage->count * sizeof(lineage->ancestors[0]);
}

static struct sl_lifetime *lifetime_create(struct sl_stream *stream,
                                           const struct sl_stream_setup *setup)
{
    const struct sl_stream_config *config = setup->config;
    struct sl_bytes text = config->expires_at_text;
    if (!config->has_ttl && !config->has_expires_at)
        return NULL;
    SL_ASSERT(text.size <= SL_EXPIRES_TEXT_SIZE_MAX);
    struct sl_lifetime *lifetime = sl_memory_alloc(sizeof(*lifetime));
    *lifetime = (struct sl_lifetime){
        .stream = stream,
        .has_ttl = config->has_ttl,
        .has_expires_at = config->has_expires_at,
        .inherited = setup->lifetime_inherited,
        .expires_text_size = (uint8_t)text.size,
        .ttl_s = config->ttl_s,
        .expires_at_ms = config->expires_at_ms,
        .logged_ms = stream->accessed_ms,
    };
    if (text.size > 0)
        memcpy(lifetime->expires_text, text.data, text.size);
    sl_timer_init(&lifetime->timer);
    return lifetime;
}

struct sl_stream *sl_stream_create(const struct sl_stream_setup *setup, struct sl_media_set *media,
                                   const struct sl_now *now)
{
    SL_ASSERT(setup->name.size > 0 && setup->name.size <= SL_NAME_SIZE_MAX);
    struct sl_stream *stream = sl_memory_alloc(name_bytes(setup->name.size));
    *stream = (struct sl_stream){
        .id = setup->id,
        .media = sl_media_use(media, setup->content_type),
        .durable_tail = setup->base,
        .accessed_ms = now->running_ms,
        .origin = setup->origin,
        .name_size = (uint16_t)setup->name.size,
    };
    memcpy(stream->name, setup->name.data, setup->name.size);
    sl_log_init(&stream->log, setup->base);
    sl_link_init(&stream->waiting);
    sl_link_init(&stream->to_wake);
    sl_link_init(&stream->dirty);
    stream->lifetime = lifetime_create(stream, setup);
    return stream;
}

size_t sl_stream_destroy(struct sl_stream **stream, struct sl_media_set *media)
{
    struct sl_stream *last = *stream;
    *stream = NULL;
    SL_ASSERT(last->unsettled == 0);
    SL_ASSERT(sl_link_is_empty(&last->waiting));
    SL_ASSERT(!sl_link_is_linked(&last->dirty));
    size_t memory = sl_stream_memory(last);
    sl_log_deinit(&last->log);
    sl_media_release(media, &last->media);
    if (last->lifetime != NULL)
        sl_timer_clear(&last->lifetime->timer);
    sl_memory_free(last->lifetime);
    if (last->writers != NULL)
        sl_producer_set_deinit(&last->writers->producers);
    sl_memory_free(last->writers);
    if (last->origin != NULL)
        sl_memory_free(last->origin->lineage);
    sl_memory_free(last->origin);
    sl_memory_free(last);
    return memory;
}

size_t sl_stream_memory(const struct sl_stream *stream)
{
    size_t bytes = name_bytes(stream->name_size) + sl_log_memory(&stream->log);
    if (stream->lifetime != NULL)
        bytes += sizeof(*stream->lifetime);
    if (stream->writers != NULL)
        bytes += sizeof(*stream->writers) + sl_producer_set_memory(&stream->writers->producers);
    if (stream->origin != NULL)
        bytes += sizeof(*stream->origin) + stream->origin->source_size +
                 lineage_bytes(stream->origin->lineage);
    return bytes;
}

static uint64_t ttl_ms(const struct sl_lifetime *lifetime)
{
    return lifetime->ttl_s * 1000; /* at most 2^53 - 1 seconds, checked when it was parsed */
}

bool sl_stream_has_expired(const struct sl_stream *stream, const struct sl_now *now)
{
    const struct sl_lifetime *lifetime = stream->lifetime;
    if (lifetime == NULL || stream->soft_deleted)
        return false;
    if (lifetime->has_expires_at)
        return now->wall_ms >= lifetime->expires_at_ms;
    return sl_link_is_empty(&stream->waiting) &&
           now->running_ms - stream->accessed_ms >= ttl_ms(lifetime);
}

uint64_t sl_stream_deadline(const struct sl_stream *stream, const struct sl_now *now)
{
    const struct sl_lifetime *lifetime = stream->lifetime;
    if (lifetime->has_expires_at)
        return lifetime->expires_at_ms <= now->wall_ms
                   ? now->running_ms
                   : now->running_ms + (uint64_t)(lifetime->expires_at_ms - now->wall_ms);
    uint64_t from = sl_link_is_empty(&stream->waiting) ? stream->accessed_ms : now->running_ms;
    return from + ttl_ms(lifetime);
}

struct sl_now sl_now_at(const struct sl_now *now, int64_t wall_ms)
{
    struct sl_now at = { now->running_ms, wall_ms };
    if (wall_ms < now->wall_ms) {
        uint64_t ago_ms = (uint64_t)now->wall_ms - (uint64_t)wall_ms;
        at.running_ms = ago_ms < now->running_ms ? now->running_ms - ago_ms : 0;
    }
    return at;
}

static bool has_logged_ttl(const struct sl_stream *stream)
{
    const struct sl_lifetime *lifetime = stream->lifetime;
    return lifetime != NULL && lifetime->has_ttl && lifetime->ttl_s >= SL_TTL_LOGGED_S_MIN;
}

void sl_stream_set_access_after_restart(struct sl_stream *stream, int64_t wall_ms,
                                        const struct sl_now *now)
{
    uint64_t logged_ms = sl_now_at(now, wall_ms).running_ms;
    sl_stream_set_logged(stream, logged_ms);
    stream->accessed_ms = now->running_ms;
    if (!has_logged_ttl(stream))
        return;
    uint64_t slack_ms = ttl_ms(stream->lifetime) / SL_TTL_SLACK_PARTS;
    if (slack_ms < now->running_ms - logged_ms)
        stream->accessed_ms = logged_ms + slack_ms;
}

bool sl_stream_wants_touch(const struct sl_stream *stream, const struct sl_now *now)
{
    if (!has_logged_ttl(stream) || stream->soft_deleted)
        return false;
    uint64_t accessed_ms =
        sl_link_is_empty(&stream->waiting) ? stream->accessed_ms : now->running_ms;
    uint64_t logged_ms = stream->lifetime->logged_ms;
    return accessed_ms > logged_ms &&
           accessed_ms - logged_ms >= ttl_ms(stream->lifetime) / SL_TTL_SLACK_PARTS;
}

static bool lifetime_matches(const struct sl_lifetime *lifetime, const struct sl_create *create)
{
    const struct sl_stream_config *config = &create->config;
    if (lifetime == NULL || lifetime->inherited)
        return !config->has_ttl && !config->has_expires_at;
    if (config->has_ttl != lifetime->has_ttl || config->has_expires_at != lifetime->has_expires_at)
        return false;
    return lifetime->has_ttl ? config->ttl_s == lifetime->ttl_s
                             : config->expires_at_ms == lifetime->expires_at_ms;
}

static bool origin_matches(const struct sl_origin *origin, const struct sl_create *create)
{
    if (origin == NULL || !create->fork)
        return origin == NULL && !create->fork;
    return sl_bytes_equal(sl_bytes(origin->source, origin->source_size), create->fork_source) &&
           (!create->has_fork_offset || create->fork_offset == origin->offset) &&
           create->fork_sub_offset == origin->sub_offset;
}

bool sl_stream_matches(const struct sl_stream *stream, const struct sl_create *create)
{
    struct sl_bytes content_type = create->config.content_type;
    if (content_type.size == 0 && !create->fork)
        content_type = sl_bytes_of("application/octet-stream");
    return (content_type.size == 0 || sl_media_matches(stream->media, content_type)) &&
           lifetime_matches(stream->lifetime, create) && origin_matches(stream->origin, create) &&
           create->close == stream->closed;
}

static bool is_closing_tuple(const struct sl_stream *stream, const struct sl_append *append)
{
    const struct sl_producer_state *closer =
        stream->writers == NULL ? NULL : stream->writers->closer;
    return closer != NULL && append->has_producer && append->producer.epoch == closer->epoch &&
           append->producer.sequence == closer->sequence &&
           sl_bytes_equal(append->producer.id, sl_bytes(closer->id, closer->id_size));
}

static enum sl_err judge_closed(const struct sl_stream *stream, struct sl_append *append,
                                bool has_data)
{
    if (is_closing_tuple(stream, append)) {
        append->duplicate = true;
        append->producer_epoch = append->producer.epoch;
        append->producer_sequence = append->producer.sequence;
        return SL_OK;
    }
    return !has_data && !append->has_producer ? SL_OK : SL_ERR_STREAM_CLOSED;
}

/* Bytewise, a prefix below what it begins. */
static bool seq_is_above(const struct sl_writers *writers, struct sl_bytes seq)
{
    if (writers == NULL || !writers->has_seq)
        return true;
    size_t shorter = seq.size < writers->seq_size ? seq.size : writers->seq_size;
    int order = shorter == 0 ? 0 : memcmp(seq.data, writers->seq, shorter);
    return order != 0 ? order > 0 : seq.size > writers->seq_size;
}

enum sl_err sl_stream_judge(const struct sl_stream *stream, struct sl_append *append, bool has_data,
                            enum sl_err late_err, unsigned producers_max, const struct sl_now *now,
                            struct sl_judgement *judgement)
{
    const struct sl_writers *writers = stream->writers;
    *judgement = (struct sl_judgement){ .verdict = SL_VERDICT_REFUSED };
    if (stream->closed) {
        enum sl_err err = judge_closed(stream, append, has_data);
        if (err == SL_OK)
            judgement->verdict = SL_VERDICT_NOTHING;
        return err;
    }
    if (has_data && !sl_media_matches(stream->media, append->content_type))
        return SL_ERR_CONTENT_TYPE_MISMATCH;
    if (append->has_producer) {
        if (writers != NULL)
            judgement->producer = sl_producer_find(&writers->producers, append->producer.id);
        enum sl_err err = sl_producer_judge(judgement->producer, append);
        if (err != SL_OK)
            return err;
        if (append->duplicate) {
            judgement->verdict = SL_VERDICT_NOTHING;
            return SL_OK;
        }
        if (judgement->producer == NULL && writers != NULL &&
            !sl_producer_set_has_room(&writers->producers, producers_max, now->running_ms))
            return SL_ERR_TOO_MANY_PRODUCERS;
    }
    if (append->has_seq && has_data && !seq_is_above(writers, append->seq))
        return SL_ERR_SEQ_ORDERING_VIOLATION;
    if (late_err != SL_OK)
        return late_err;
    judgement->verdict = SL_VERDICT_ACCEPTED;
    return SL_OK;
}

struct sl_writers *sl_stream_writers(struct sl_stream *stream)
{
    if (stream->writers == NULL) {
        stream->writers = sl_memory_alloc(sizeof(*stream->writers));
        *stream->writers = (struct sl_writers){ .closer = NULL };
        sl_producer_set_init(&stream->writers->producers);
    }
    return stream->writers;
}

void sl_writers_set_seq(struct sl_writers *writers, struct sl_bytes seq)
{
    SL_ASSERT(seq.size <= sizeof(writers->seq));
    writers->has_seq = true;
    writers->seq_size = (uint16_t)seq.size;
    if (seq.size > 0)
        memcpy(writers->seq, seq.data, seq.size);
}

int64_t sl_stream_apply_append(struct sl_stream *stream, const struct sl_append *append,
                               struct sl_judgement *judgement, struct sl_slab *slab,
                               struct sl_payload *payload, unsigned producers_max,
                               const struct sl_now *now)
{
    SL_ASSERT(!stream->closed);
    bool has_data = payload->bytes.size > 0;
    bool sets_seq = append->has_seq && has_data;
    int64_t bytes = 0;
    if (stream->writers == NULL && (append->has_producer || sets_seq))
        bytes += (int64_t)sizeof(*stream->writers);
    if (append->has_producer) {
        struct sl_writers *writers = sl_stream_writers(stream);
        judgement->producer =
            sl_producer_accept(&writers->producers, judgement->producer, &append->producer,
                               producers_max, now->running_ms, &bytes);
        if (append->close)
            writers->closer = judgement->producer;
    }
    if (sets_seq)
        sl_writers_set_seq(sl_stream_writers(stream), append->seq);
    return bytes + sl_stream_apply_first(stream, slab, payload, append->close);
}

bool sl_stream_replay_append(struct sl_stream *stream, const struct sl_change *change,
                             struct sl_slab *slab, struct sl_payload *payload,
                             const struct sl_now *at)
{
    SL_ASSERT(change->kind == SL_CHANGE_APPEND);
    if (stream->closed)
        return false;
    const struct sl_append append = {
        .close = change->closed,
        .has_producer = change->has_producer,
        .has_seq = change->has_seq,
        .producer = change->producer,
        .seq = change->seq,
    };
    struct sl_judgement judgement = { .verdict = SL_VERDICT_ACCEPTED };
    if (append.has_producer && stream->writers != NULL)
        judgement.producer = sl_producer_find(&stream->writers->producers, append.producer.id);
    (void)sl_stream_apply_append(stream, &append, &judgement, slab, payload, UINT_MAX, at);
    return true;
}

int64_t sl_stream_apply_first(struct sl_stream *stream, struct sl_slab *slab,
                              struct sl_payload *payload, bool close)
{
    int64_t bytes = 0;
    if (payload->bytes.size > 0)
        bytes = (int64_t)sl_log_append(&stream->log, slab, payload);
    stream->closed = close;
    return bytes;
}

struct sl_lineage *sl_stream_lineage_at(const struct sl_stream *stream, uint32_t shard,
                                        uint64_t position)
{
    const struct sl_lineage *older = stream->origin == NULL ? NULL : stream->origin->lineage;
    bool own = position > stream->log.base;
    uint32_t inherited = older == NULL ? 0 : older->count, count = (own ? 1 : 0) + inherited;
    if (count == 0)
        return NULL;
    struct sl_lineage *lineage =
        sl_memory_alloc(sizeof(*lineage) + count * sizeof(lineage->ancestors[0]));
    lineage->count = count;
    if (own)
        lineage->ancestors[0] = (struct sl_ancestor){ shard, stream->id, position };
    if (inherited > 0)
        memcpy(&lineage->ancestors[own ? 1 : 0], older->ancestors,
               inherited * sizeof(lineage->ancestors[0]));
    sl_lineage_cut(&lineage, position);
    return lineage;
}

void sl_lineage_cut(struct sl_lineage **lineage, uint64_t position)
{
    struct sl_lineage *cut = *lineage;
    uint32_t skip = 0;
    if (position == 0) {
        sl_memory_free(cut);
        *lineage = NULL;
        return;
    }
    /* An ancestor whose share begins at or after the position has nothing to give. */
    while (skip + 1 < cut->count && cut->ancestors[skip + 1].up_to >= position)
        skip++;
    cut->count -= skip;
    memmove(cut->ancestors, cut->ancestors + skip, cut->count * sizeof(cut->ancestors[0]));
    if (cut->ancestors[0].up_to > position)
        cut->ancestors[0].up_to = position;
}

const struct sl_ancestor *sl_lineage_find(const struct sl_lineage *lineage, uint64_t position)
{
    uint32_t low = 0, high = lineage->count - 1; /* the last one whose up_to is above position */
    SL_ASSERT(position < lineage->ancestors[0].up_to);
    while (low < high) {
        uint32_t middle = low + (high - low + 1) / 2;
        if (lineage->ancestors[middle].up_to > position)
            low = middle;
        else
            high = middle - 1;
    }
    return &lineage->ancestors[low];
}

bool sl_lineage_is_whole(const struct sl_lineage *lineage, uint32_t source_shard,
                         uint64_t source_id,
                         bool (*own)(const void *context, uint32_t shard, uint64_t stream_id,
                                     uint64_t *base, uint64_t *end),
                         const void *context)
{
    uint64_t base, end;
    if (lineage == NULL)
        return true;
    for (uint32_t i = 0; i < lineage->count; i++) {
        const struct sl_ancestor *ancestor = &lineage->ancestors[i];
        uint64_t from = i + 1 < lineage->count ? lineage->ancestors[i + 1].up_to : 0;
        if (!own(context, ancestor->shard, ancestor->stream_id, &base, &end) || base > from ||
            end < ancestor->up_to)
            return false;
    }
    return own(context, source_shard, source_id, &base, &end);
}

static int64_t remaining_ms(const struct sl_stream *stream, const struct sl_now *now)
{
    if (stream->lifetime == NULL)
        return -1;
    uint64_t deadline = sl_stream_deadline(stream, now);
    uint64_t remaining = deadline > now->running_ms ? deadline - now->running_ms : 0;
    return remaining > INT64_MAX ? INT64_MAX : (int64_t)remaining;
}

void sl_stream_view(const struct sl_stream *stream, uint64_t tail, bool closed,
                    const struct sl_now *now, struct sl_stream_view *view)
{
    const struct sl_lifetime *lifetime = stream->lifetime;
    view->id = stream->id;
    view->tail = tail;
    view->base = stream->log.base;
    view->closed = closed;
    view->json = stream->media->json;
    view->content_type_size = stream->media->size;
    memcpy(view->content_type, stream->media->text, stream->media->size);
    view->content_type[stream->media->size] = '\0';
    view->remaining_ms = remaining_ms(stream, now);
    view->has_ttl = lifetime != NULL && lifetime->has_ttl;
    view->has_expires_at = lifetime != NULL && lifetime->has_expires_at;
    view->ttl_s = lifetime == NULL ? 0 : lifetime->ttl_s;
    view->expires_at_ms = lifetime == NULL ? 0 : lifetime->expires_at_ms;
    view->expires_text_size = lifetime == NULL ? 0 : lifetime->expires_text_size;
    if (lifetime != NULL)
        memcpy(view->expires_text, lifetime->expires_text, lifetime->expires_text_size);
    view->expires_text[view->expires_text_size] = '\0';
}

void sl_stream_check(const struct sl_stream *stream)
{
    SL_ASSERT(stream->log.base <= stream->log.hot);
    SL_ASSERT(stream->log.base <= stream->durable_tail);
    SL_ASSERT(stream->durable_tail <= sl_log_end(&stream->log));
    if (stream->durable_closed)
        SL_ASSERT(stream->closed && stream->durable_tail == sl_log_end(&stream->log));
    if (stream->soft_deleted)
        SL_ASSERT(stream->forks > 0 && sl_link_is_empty(&stream->waiting));
    if (stream->soft_deleted && stream->lifetime != NULL)
        SL_ASSERT(!sl_timer_is_set(&stream->lifetime->timer));
}
