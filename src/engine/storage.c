#include "sluice/storage.h"

#include <string.h>

/* Runs an operation, gives it back, and returns how it ended. */
static enum sl_err run_and_put(struct sl_session *session, struct sl_operation *op)
{
    enum sl_err err = sl_session_run(session, op);
    sl_session_put(session, &op);
    return err;
}

static enum sl_err run_create(struct sl_session *session, struct sl_operation *op, bool *created)
{
    enum sl_err err = sl_session_run(session, op);
    if (created != NULL)
        *created = err == SL_OK && op->u.create.created;
    sl_session_put(session, &op);
    return err;
}

enum sl_err sl_storage_create_stream(struct sl_session *session, struct sl_bytes name,
                                     const struct sl_stream_config *config, bool *created)
{
    return sl_storage_create_stream_with_data(session, name, config, sl_bytes(NULL, 0), false,
                                              created);
}

enum sl_err sl_storage_create_stream_with_data(struct sl_session *session, struct sl_bytes name,
                                               const struct sl_stream_config *config,
                                               struct sl_bytes data, bool close, bool *created)
{
    struct sl_operation *op = sl_session_take(session, SL_OPERATION_CREATE);
    op->u.create.name = name;
    op->u.create.config = *config;
    op->u.create.data = data;
    op->u.create.close = close;
    return run_create(session, op, created);
}

enum sl_err sl_storage_create_fork(struct sl_session *session, struct sl_bytes name,
                                   struct sl_bytes source, const uint64_t *offset,
                                   uint64_t sub_offset, const struct sl_stream_config *config,
                                   bool *created)
{
    struct sl_operation *op = sl_session_take(session, SL_OPERATION_CREATE);
    op->u.create.name = name;
    op->u.create.config = *config;
    op->u.create.fork = true;
    op->u.create.fork_source = source;
    op->u.create.has_fork_offset = offset != NULL;
    op->u.create.fork_offset = offset == NULL ? 0 : *offset;
    op->u.create.fork_sub_offset = sub_offset;
    return run_create(session, op, created);
}

static enum sl_err run_append(struct sl_session *session, struct sl_operation *op, bool *duplicate,
                              uint64_t *next_offset)
{
    enum sl_err err = sl_session_run(session, op);
    if (duplicate != NULL)
        *duplicate = err == SL_OK && op->u.append.duplicate;
    if (next_offset != NULL)
        *next_offset = err == SL_OK ? op->stream.tail : 0;
    sl_session_put(session, &op);
    return err;
}

enum sl_err sl_storage_append(struct sl_session *session, struct sl_bytes name,
                              struct sl_bytes content_type, struct sl_bytes data,
                              uint64_t *next_offset)
{
    return sl_storage_batch_append(session, name, content_type, &data, 1, next_offset);
}

enum sl_err sl_storage_batch_append(struct sl_session *session, struct sl_bytes name,
                                    struct sl_bytes content_type, const struct sl_bytes *parts,
                                    size_t part_count, uint64_t *next_offset)
{
    struct sl_operation *op = sl_session_take(session, SL_OPERATION_APPEND);
    op->u.append.name = name;
    op->u.append.content_type = content_type;
    op->u.append.parts = parts;
    op->u.append.part_count = part_count;
    return run_append(session, op, NULL, next_offset);
}

enum sl_err sl_storage_append_with_producer(struct sl_session *session, struct sl_bytes name,
                                            struct sl_bytes content_type,
                                            const struct sl_producer *producer,
                                            struct sl_bytes data, bool close, bool *duplicate,
                                            uint64_t *next_offset)
{
    struct sl_operation *op = sl_session_take(session, SL_OPERATION_APPEND);
    op->u.append.name = name;
    op->u.append.content_type = content_type;
    op->u.append.parts = &data;
    op->u.append.part_count = 1;
    op->u.append.close = close;
    op->u.append.has_producer = true;
    op->u.append.producer = *producer;
    return run_append(session, op, duplicate, next_offset);
}

enum sl_err sl_storage_close_stream(struct sl_session *session, struct sl_bytes name,
                                    uint64_t *final_offset)
{
    struct sl_operation *op = sl_session_take(session, SL_OPERATION_APPEND);
    op->u.append.name = name;
    op->u.append.close = true;
    return run_append(session, op, NULL, final_offset);
}

enum sl_err sl_storage_read(struct sl_session *session, struct sl_bytes name, uint64_t offset,
                            bool wait, void *buffer, size_t capacity, size_t *size,
                            struct sl_stream_view *view)
{
    struct sl_operation *op = sl_session_take(session, SL_OPERATION_READ);
    struct sl_read *read = &op->u.read;
    read->name = name;
    read->from = SL_READ_FROM_OFFSET;
    read->offset = offset;
    read->wait = wait;
    read->piece_size_max = capacity > UINT32_MAX ? UINT32_MAX : (uint32_t)capacity;
    *size = 0;
    enum sl_err err = capacity == 0 ? SL_ERR_INVALID_ARGUMENT : sl_session_run(session, op);
    for (uint32_t i = 0; err == SL_OK && i < read->slice_count; i++) {
        memcpy((char *)buffer + *size, read->slices[i].data, read->slices[i].size);
        *size += read->slices[i].size;
    }
    if (view != NULL)
        *view = op->stream;
    sl_session_put(session, &op);
    return err;
}

enum sl_err sl_storage_head(struct sl_session *session, struct sl_bytes name,
                            struct sl_stream_view *view)
{
    struct sl_operation *op = sl_session_take(session, SL_OPERATION_HEAD);
    op->u.head.name = name;
    enum sl_err err = sl_session_run(session, op);
    *view = op->stream;
    sl_session_put(session, &op);
    return err;
}

bool sl_storage_exists(struct sl_session *session, struct sl_bytes name)
{
    struct sl_operation *op = sl_session_take(session, SL_OPERATION_HEAD);
    op->u.head.name = name;
    return run_and_put(session, op) == SL_OK;
}

enum sl_err sl_storage_delete(struct sl_session *session, struct sl_bytes name)
{
    struct sl_operation *op = sl_session_take(session, SL_OPERATION_DELETE);
    op->u.remove.name = name;
    return run_and_put(session, op);
}

uint64_t sl_storage_cleanup_expired_streams(struct sl_session *session)
{
    struct sl_operation *op = sl_session_take(session, SL_OPERATION_CLEANUP);
    enum sl_err err = sl_session_run(session, op);
    uint64_t expired = err == SL_OK ? op->u.cleanup.expired : 0;
    sl_session_put(session, &op);
    return expired;
}

enum sl_err sl_storage_list_streams(struct sl_session *session, struct sl_bytes prefix,
                                    uint64_t *cursor,
                                    void (*each)(void *context, struct sl_bytes name),
                                    void *context)
{
    struct sl_operation *op = sl_session_take(session, SL_OPERATION_LIST);
    op->u.list.prefix = prefix;
    op->u.list.cursor = *cursor;
    enum sl_err err = sl_session_run(session, op);
    for (uint32_t i = 0; err == SL_OK && i < op->u.list.name_count; i++)
        each(context, op->u.list.names[i]);
    if (err == SL_OK)
        *cursor = op->u.list.next_cursor;
    sl_session_put(session, &op);
    return err;
}
