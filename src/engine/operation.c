#include "sluice/operation.h"

#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/memory.h"
#include "engine/session_internal.h"
#include "protocol/content_type.h"
#include "protocol/expiry.h"

enum {
    LIST_SHARD_MASK = 0xff, /* low byte of a list cursor; a walk never uses it */
};

SL_STATIC_ASSERT((int)SL_SHARDS_MAX <= (int)LIST_SHARD_MASK,
                 "a list cursor has room for the shard");

void sli_message_init_shard(struct sl_message *message) SL_RUNS_ON(sl_role_shard)
{
    sl_link_init(&message->shard.link);
}

static uint32_t route(const struct sl_session *session, struct sl_message *message,
                      struct sl_bytes name)
{
    message->hash = sl_hash(&session->engine->route.key, name);
    return sl_route_shard(&session->engine->route, message->hash);
}

static enum sl_err check_name(struct sl_bytes name)
{
    if (name.size == 0)
        return SL_ERR_INVALID_STREAM_NAME;
    return name.size > SL_NAME_SIZE_MAX ? SL_ERR_NAME_TOO_LONG : SL_OK;
}

/* ---- bodies ---- */

static bool total_size(const struct sl_bytes *parts, size_t count, size_t *size)
{
    *size = 0;
    for (size_t i = 0; i < count; i++) {
        *size += parts[i].size;
        if (parts[i].size > SL_BODY_SIZE_MAX || *size > SL_BODY_SIZE_MAX)
            return false;
    }
    return true;
}

static enum sl_err split_parts(struct sl_message *message, const struct sl_bytes *parts,
                               size_t count) SL_RUNS_ON(sl_role_session)
{
    struct sl_json_split *split = &message->session.split;
    enum sl_err err = SL_OK;
    sl_json_split_clear(split);
    for (size_t i = 0; i < count && err == SL_OK; i++)
        err = sl_json_split(parts[i], split);
    if (err != SL_OK)
        return err;
    message->payload.bytes = sl_buffer_bytes(&split->messages);
    message->payload.count = split->count;
    if (split->count > 1) {
        sl_lengths_add_index(&split->lengths, split->count);
        message->payload.lengths = sl_buffer_bytes(&split->lengths);
    }
    return SL_OK;
}

static void join_parts(struct sl_message *message, const struct sl_bytes *parts, size_t count)
    SL_RUNS_ON(sl_role_session)
{
    struct sl_buffer *joined = &message->session.joined;
    message->payload.count = 1;
    if (count == 1) {
        message->payload.bytes = parts[0];
        return;
    }
    sl_buffer_clear(joined);
    for (size_t i = 0; i < count; i++)
        sl_buffer_append_bytes(joined, parts[i]);
    message->payload.bytes = sl_buffer_bytes(joined);
}

/*
 * A large payload gets its block here, so that its bytes are not copied by the shard; but not when
 * memory is scarce, as it may have to wait there.
 */
static void own_block(struct sl_engine *engine, struct sl_payload *payload)
{
    size_t size = payload->bytes.size + payload->lengths.size;
    if (size < SL_OWN_BLOCK_SIZE_BYTES ||
        sl_account_is_scarce(&engine->account, size, engine->memory_budget_bytes))
        return;
    payload->block = sl_block_create(size, &engine->account);
    uint8_t *to = sl_block_data(payload->block);
    memcpy(to, payload->bytes.data, payload->bytes.size);
    if (payload->lengths.size > 0)
        memcpy(to + payload->bytes.size, payload->lengths.data, payload->lengths.size);
    payload->bytes.data = to;
}

/* Turns what the caller gave into what is stored; what is wrong with it is judged last. */
static void prepare_payload(struct sl_session *session, struct sl_message *message, bool json,
                            const struct sl_bytes *parts, size_t count) SL_RUNS_ON(sl_role_session)
{
    if (!message->has_data)
        return;
    if (json)
        message->late_err = split_parts(message, parts, count);
    else
        join_parts(message, parts, count);
    if (message->late_err == SL_OK && message->payload.bytes.size + message->payload.lengths.size >
                                          session->engine->payload_max_bytes)
        message->late_err = SL_ERR_PAYLOAD_TOO_LARGE;
    if (message->late_err == SL_OK)
        own_block(session->engine, &message->payload);
}

/* ---- CREATE ---- */

static enum sl_err check_create(const struct sl_create *create)
{
    const struct sl_stream_config *config = &create->config;
    if (config->has_ttl && config->has_expires_at)
        return SL_ERR_TTL_AND_EXPIRES_AT;
    if (config->has_ttl && config->ttl_s > SL_TTL_S_MAX)
        return SL_ERR_INVALID_TTL;
    if (config->has_expires_at && config->expires_at_text.size > SL_EXPIRES_TEXT_SIZE_MAX)
        return SL_ERR_INVALID_EXPIRES_AT;
    if (config->content_type.size > SL_CONTENT_TYPE_SIZE_MAX)
        return SL_ERR_INVALID_CONTENT_TYPE;
    if (create->data.size > SL_BODY_SIZE_MAX)
        return SL_ERR_PAYLOAD_TOO_LARGE;
    return create->fork ? check_name(create->fork_source) : SL_OK;
}

static void prepare_create(struct sl_session *session, struct sl_message *message)
    SL_RUNS_ON(sl_role_session)
{
    bool json = sl_content_type_is_json(message->config.content_type);
    prepare_payload(session, message, json, &message->op.u.create.data, 1);
    if (message->late_err == SL_ERR_EMPTY_ARRAY)
        message->late_err = SL_OK; /* a stream may begin empty */
}

static void submit_create(struct sl_session *session, struct sl_message *message)
    SL_RUNS_ON(sl_role_session)
{
    struct sl_create *create = &message->op.u.create;
    enum sl_err err = check_create(create);
    if (err != SL_OK) {
        sli_session_finish(session, message, err);
        return;
    }
    message->config = create->config;
    message->has_data = create->data.size > 0;
    if (!create->fork) {
        if (message->config.content_type.size == 0)
            message->config.content_type = sl_bytes_of("application/octet-stream");
        prepare_create(session, message);
    }
    sli_session_send(session, message, SL_REQUEST_CREATE, route(session, message, create->name));
}

/* The fork takes from its source whatever the request left open. */
static void inherit_config(struct sl_message *message)
{
    const struct sl_stream_view *source = &message->op.stream;
    struct sl_stream_config *config = &message->config;
    if (!config->has_ttl && !config->has_expires_at) {
        config->has_ttl = source->has_ttl;
        config->ttl_s = source->ttl_s;
        config->has_expires_at = source->has_expires_at;
        config->expires_at_ms = source->expires_at_ms;
        config->expires_at_text = sl_bytes(source->expires_text, source->expires_text_size);
    }
    if (config->content_type.size == 0)
        config->content_type = sl_bytes(source->content_type, source->content_type_size);
}

static void create_fork(struct sl_session *session, struct sl_message *message)
    SL_RUNS_ON(sl_role_session)
{
    prepare_create(session, message);
    sli_session_send(session, message, SL_REQUEST_CREATE,
                     route(session, message, message->op.u.create.name));
}

/* The source was pinned for nothing: the operation ends when it is unpinned. */
static void give_up_fork(struct sl_session *session, struct sl_message *message, enum sl_err err)
    SL_RUNS_ON(sl_role_session)
{
    message->op.err = err;
    sli_session_send(session, message, SL_REQUEST_UNPIN, message->fork.shard);
}

static void on_create_answer(struct sl_session *session, struct sl_message *message)
    SL_RUNS_ON(sl_role_session)
{
    struct sl_create *create = &message->op.u.create;
    struct sl_fork_plan *plan = &message->fork;
    if (!create->fork || (!plan->pinned && !plan->name_free))
        sli_session_finish(session, message, message->err);
    else if (!plan->pinned)
        sli_session_send(session, message, SL_REQUEST_PIN,
                         route(session, message, create->fork_source));
    else if (create->created)
        /* Perhaps STORAGE_FAILED: the fork may be there, so its source stays pinned. */
        sli_session_finish(session, message, message->err);
    else
        give_up_fork(session, message, message->err);
}

static void on_pin_answer(struct sl_session *session, struct sl_message *message)
    SL_RUNS_ON(sl_role_session)
{
    if (message->err != SL_OK) {
        sli_session_finish(session, message, message->err);
        return;
    }
    message->fork.pinned = true;
    inherit_config(message);
    if (message->fork.resolve)
        sli_session_send(session, message, SL_REQUEST_RESOLVE, message->fork.ancestor.shard);
    else
        create_fork(session, message);
}

static void on_resolve_answer(struct sl_session *session, struct sl_message *message)
    SL_RUNS_ON(sl_role_session)
{
    if (message->err != SL_OK) {
        give_up_fork(session, message, message->err);
        return;
    }
    sl_lineage_cut(&message->fork.lineage, message->fork.position);
    create_fork(session, message);
}

/* ---- APPEND ---- */

static enum sl_err check_append(const struct sl_append *append)
{
    if (append->has_producer &&
        (append->producer.id.size == 0 || append->producer.id.size > SL_PRODUCER_ID_SIZE_MAX ||
         append->producer.epoch > SL_PRODUCER_NUMBER_MAX ||
         append->producer.sequence > SL_PRODUCER_NUMBER_MAX))
        return SL_ERR_INVALID_PRODUCER;
    if (append->has_seq && append->seq.size > SL_SEQ_SIZE_MAX)
        return SL_ERR_INVALID_SEQ;
    return SL_OK;
}

static void submit_append(struct sl_session *session, struct sl_message *message)
    SL_RUNS_ON(sl_role_session)
{
    struct sl_append *append = &message->op.u.append;
    size_t size;
    if (!total_size(append->parts, append->part_count, &size)) {
        sli_session_finish(session, message, SL_ERR_PAYLOAD_TOO_LARGE);
        return;
    }
    if (append->request_err == SL_OK)
        append->request_err = check_append(append);
    message->has_data = size > 0;
    if (append->request_err == SL_OK)
        prepare_payload(session, message, sl_content_type_is_json(append->content_type),
                        append->parts, append->part_count);
    sli_session_send(session, message, SL_REQUEST_APPEND, route(session, message, append->name));
}

/* ---- READ ---- */

static void submit_read(struct sl_session *session, struct sl_message *message)
    SL_RUNS_ON(sl_role_session)
{
    const struct sl_read *read = &message->op.u.read;
    message->read.id = read->id;
    message->read.page_size = read->page_size_max == 0 ? SL_PAGE_SIZE_BYTES : read->page_size_max;
    message->read.piece_size =
        read->piece_size_max == 0 ? SL_PIECE_SIZE_BYTES : read->piece_size_max;
    sli_session_send(session, message, SL_REQUEST_READ, route(session, message, read->name));
}

static void finish_read(struct sl_session *session, struct sl_message *message, enum sl_err err)
    SL_RUNS_ON(sl_role_session)
{
    struct sl_read *read = &message->op.u.read;
    const struct sl_pieces *pieces = &message->read.pieces;
    if (err != SL_OK) {
        sl_pieces_clear(&message->read.pieces);
    } else if (read->limit != 0 && read->limit > read->page_end &&
               read->limit <= message->op.stream.tail) {
        read->page_end = read->limit;
    }
    read->slice_count = pieces->count;
    memcpy(read->slices, pieces->slices, pieces->count * sizeof(read->slices[0]));
    sli_session_finish(session, message, err);
}

/*
 * Asks the next shard for more; it finds room for at least one more slice. If that needs a copy and
 * readers hold enough copies already, the read ends here.
 */
static void read_on(struct sl_session *session, struct sl_message *message, enum sl_request request,
                    uint32_t shard) SL_RUNS_ON(sl_role_session)
{
    struct sl_engine *engine = session->engine;
    if (message->read.pieces.count == SL_READ_SLICES_MAX) {
        if (sl_account_bytes(&engine->copies) >= engine->copies_max_bytes) {
            finish_read(session, message, SL_OK);
            return;
        }
        sl_pieces_join(&message->read.pieces, &engine->copies);
    }
    sli_session_send(session, message, request, shard);
}

/* What was gathered is given when the bytes of the next stream are damaged: the page ends there. */
static enum sl_err end_before_damage(struct sl_message *message)
{
    struct sl_read *read = &message->op.u.read;
    if (message->err != SL_ERR_DATA_DAMAGED || read->limit != 0 || message->read.pieces.count == 0)
        return message->err;
    read->next = read->page_end = message->read.offset;
    return SL_OK;
}

static void on_read_answer(struct sl_session *session, struct sl_message *message)
    SL_RUNS_ON(sl_role_session)
{
    struct sl_read_plan *plan = &message->read;
    if (message->err != SL_OK || !plan->hop) {
        finish_read(session, message, end_before_damage(message));
        return;
    }
    if (message->session.cancelled) {
        finish_read(session, message, SL_ERR_CANCELLED);
        return;
    }
    plan->started = true;
    plan->id = message->op.stream.id;
    read_on(session, message, SL_REQUEST_INHERITED, plan->ancestor.shard);
}

/* A read of any stream has met damage since the start: the shards of one fork do not tell each other. */
static bool has_met_damage(const struct sl_engine *engine)
{
    struct sl_shard_health health = { .damaged = 0 };
    for (uint32_t i = 0; i < engine->route.shards && health.damaged == 0; i++)
        sl_shard_health(engine->shards[i], &health);
    return health.damaged > 0;
}

/*
 * All that an ancestor has was in the page, and so is what follows, if the rest of the stream fits.
 * If not, the page ends with the ancestor: only others know where messages end. So it does when
 * what follows may be damaged, or whoever asks again for a page that was cut would never get it.
 */
static void extend_page(const struct sl_session *session, struct sl_message *message)
{
    struct sl_read *read = &message->op.u.read;
    const struct sl_read_plan *plan = &message->read;
    uint64_t tail = message->op.stream.tail;
    if (read->limit == 0 && read->page_end == plan->ancestor.up_to &&
        tail - plan->offset <= plan->page_size && !has_met_damage(session->engine))
        read->page_end = tail;
}

/* Bytes came from an ancestor: goes on with the next one, or the fork itself, if there is room. */
static void on_inherited_answer(struct sl_session *session, struct sl_message *message)
    SL_RUNS_ON(sl_role_session)
{
    struct sl_read *read = &message->op.u.read;
    struct sl_read_plan *plan = &message->read;
    if (message->err != SL_OK && message->err != SL_ERR_NOT_FOUND) {
        finish_read(session, message, end_before_damage(message));
        return;
    }
    uint64_t got = message->err == SL_OK ? read->next - plan->offset : 0;
    bool exhausted = read->next == plan->ancestor.up_to && read->page_end == read->next;
    bool wanted = read->limit == 0 || read->next < read->limit;
    if (message->err == SL_OK &&
        (!exhausted || !wanted || got >= plan->piece_size || got >= plan->page_size)) {
        extend_page(session, message);
        finish_read(session, message, SL_OK);
        return;
    }
    /* NOT_FOUND: the fork is gone, and with it its hold on the ancestor; the fork's shard knows. */
    plan->offset += got;
    plan->page_size -= (uint32_t)got;
    plan->piece_size -= (uint32_t)got;
    read_on(session, message, SL_REQUEST_READ, route(session, message, read->name));
}

/* ---- LIST and CLEANUP: one shard after the other ---- */

static void submit_list(struct sl_session *session, struct sl_message *message)
    SL_RUNS_ON(sl_role_session)
{
    struct sl_list *list = &message->op.u.list;
    uint32_t shard = (uint32_t)(list->cursor & LIST_SHARD_MASK);
    if (shard >= session->engine->route.shards) {
        sli_session_finish(session, message, SL_ERR_INVALID_ARGUMENT);
        return;
    }
    list->next_cursor = list->cursor & ~(uint64_t)LIST_SHARD_MASK;
    sli_session_send(session, message, SL_REQUEST_LIST, shard);
}

static void on_list_answer(struct sl_session *session, struct sl_message *message)
    SL_RUNS_ON(sl_role_session)
{
    struct sl_list *list = &message->op.u.list;
    uint32_t shard = message->session.shard;
    if (list->next_cursor == 0 && ++shard == session->engine->route.shards)
        shard = 0;
    list->next_cursor |= shard;
    sli_session_finish(session, message, message->err);
}

static void on_cleanup_answer(struct sl_session *session, struct sl_message *message)
    SL_RUNS_ON(sl_role_session)
{
    uint32_t next = message->session.shard + 1;
    if (next < session->engine->route.shards)
        sli_session_send(session, message, SL_REQUEST_CLEANUP, next);
    else
        sli_session_finish(session, message, SL_OK);
}

static void submit_changes(struct sl_session *session, struct sl_message *message)
    SL_RUNS_ON(sl_role_session)
{
    const struct sl_changes *changes = &message->op.u.changes;
    if (changes->shard >= session->engine->route.shards || changes->epoch == 0)
        sli_session_finish(session, message, SL_ERR_INVALID_ARGUMENT);
    else
        sli_session_send(session, message, SL_REQUEST_CHANGES, changes->shard);
}

/* ---- all operations ---- */

static enum sl_err check_operation(const struct sl_operation *op)
{
    switch (op->kind) {
    case SL_OPERATION_CREATE:
        return check_name(op->u.create.name);
    case SL_OPERATION_APPEND:
        return check_name(op->u.append.name);
    case SL_OPERATION_READ:
        return check_name(op->u.read.name);
    case SL_OPERATION_HEAD:
        return check_name(op->u.head.name);
    case SL_OPERATION_DELETE:
        return check_name(op->u.remove.name);
    case SL_OPERATION_LIST:
    case SL_OPERATION_CLEANUP:
    case SL_OPERATION_CHANGES:
        return SL_OK;
    }
    return SL_ERR_INVALID_ARGUMENT;
}

void sl_session_submit(struct sl_session *session, struct sl_operation *op)
{
    struct sl_message *message = sl_message_of(op);
    sl_thread_enter_session();
    SL_ASSERT(!message->session.under_way);
    message->session.under_way = true;
    message->has_data = false;
    message->late_err = SL_OK;
    message->payload = (struct sl_payload){ .count = 0 };
    message->fork = (struct sl_fork_plan){ .lineage = NULL };
    message->read.started = message->read.hop = false;
    session->pending++;
    enum sl_err err = check_operation(op);
    if (err != SL_OK) {
        sli_session_finish(session, message, err);
        return;
    }
    switch (op->kind) {
    case SL_OPERATION_CREATE:
        submit_create(session, message);
        break;
    case SL_OPERATION_APPEND:
        submit_append(session, message);
        break;
    case SL_OPERATION_READ:
        submit_read(session, message);
        break;
    case SL_OPERATION_HEAD:
        sli_session_send(session, message, SL_REQUEST_HEAD,
                         route(session, message, op->u.head.name));
        break;
    case SL_OPERATION_DELETE:
        sli_session_send(session, message, SL_REQUEST_DELETE,
                         route(session, message, op->u.remove.name));
        break;
    case SL_OPERATION_LIST:
        submit_list(session, message);
        break;
    case SL_OPERATION_CLEANUP:
        sli_session_send(session, message, SL_REQUEST_CLEANUP, 0);
        break;
    case SL_OPERATION_CHANGES:
        submit_changes(session, message);
        break;
    }
}

void sli_session_on_answer(struct sl_session *session, struct sl_message *message)
{
    switch (message->request) {
    case SL_REQUEST_CREATE:
        on_create_answer(session, message);
        break;
    case SL_REQUEST_PIN:
        on_pin_answer(session, message);
        break;
    case SL_REQUEST_RESOLVE:
        on_resolve_answer(session, message);
        break;
    case SL_REQUEST_UNPIN:
        sli_session_finish(session, message, message->op.err);
        break;
    case SL_REQUEST_READ:
        on_read_answer(session, message);
        break;
    case SL_REQUEST_INHERITED:
        on_inherited_answer(session, message);
        break;
    case SL_REQUEST_LIST:
        on_list_answer(session, message);
        break;
    case SL_REQUEST_CLEANUP:
        on_cleanup_answer(session, message);
        break;
    case SL_REQUEST_APPEND:
    case SL_REQUEST_HEAD:
    case SL_REQUEST_DELETE:
    case SL_REQUEST_CHANGES:
    case SL_REQUEST_CANCEL:
        sli_session_finish(session, message, message->err);
        break;
    }
}
