/*
 * sluice/storage.h - the storage contract as plain calls that wait
 *
 * What     One call per operation for embedders without an event loop; each is take, run, put.
 * Thread   The session's. A call returns when the outcome is durable.
 * Errors   As the operation of that name says in operation.h.
 */
#ifndef SLUICE_STORAGE_H
#define SLUICE_STORAGE_H

#include "sluice/session.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Makes an empty stream. `created` (may be NULL): false when it was there with this configuration.
 */
SL_NODISCARD enum sl_err sl_storage_create_stream(struct sl_session *session, struct sl_bytes name,
                                                  const struct sl_stream_config *config,
                                                  bool *created);

/* Makes a stream that holds `data` and is closed if `close`, in one step that others see whole. */
SL_NODISCARD enum sl_err sl_storage_create_stream_with_data(struct sl_session *session,
                                                            struct sl_bytes name,
                                                            const struct sl_stream_config *config,
                                                            struct sl_bytes data, bool close,
                                                            bool *created);

/*
 * Makes a fork: it starts with what `source` holds before `offset` (NULL: before its tail) and then
 * goes its own way.
 */
SL_NODISCARD enum sl_err sl_storage_create_fork(struct sl_session *session, struct sl_bytes name,
                                                struct sl_bytes source, const uint64_t *offset,
                                                uint64_t sub_offset,
                                                const struct sl_stream_config *config,
                                                bool *created);

/* Adds `data`; next_offset (may be NULL) is the offset of the append after it. */
SL_NODISCARD enum sl_err sl_storage_append(struct sl_session *session, struct sl_bytes name,
                                           struct sl_bytes content_type, struct sl_bytes data,
                                           uint64_t *next_offset);

/* Adds all parts or none. */
SL_NODISCARD enum sl_err sl_storage_batch_append(struct sl_session *session, struct sl_bytes name,
                                                 struct sl_bytes content_type,
                                                 const struct sl_bytes *parts, size_t part_count,
                                                 uint64_t *next_offset);

/* Adds `data` once however often it is asked; `duplicate` (may be NULL): it was there already. */
SL_NODISCARD enum sl_err sl_storage_append_with_producer(struct sl_session *session,
                                                         struct sl_bytes name,
                                                         struct sl_bytes content_type,
                                                         const struct sl_producer *producer,
                                                         struct sl_bytes data, bool close,
                                                         bool *duplicate, uint64_t *next_offset);

/* No more appends; SL_OK also when it was closed. */
SL_NODISCARD enum sl_err sl_storage_close_stream(struct sl_session *session, struct sl_bytes name,
                                                 uint64_t *final_offset);

/*
 * Copies up to `capacity` bytes from `offset` on. *size: how many; *view (may be NULL): the stream
 * at that moment. `wait`: blocks at the tail of an open stream until there is something.
 */
SL_NODISCARD enum sl_err sl_storage_read(struct sl_session *session, struct sl_bytes name,
                                         uint64_t offset, bool wait, void *buffer, size_t capacity,
                                         size_t *size, struct sl_stream_view *view);

SL_NODISCARD enum sl_err sl_storage_head(struct sl_session *session, struct sl_bytes name,
                                         struct sl_stream_view *view);

/* False also for expired and deleted streams. */
bool sl_storage_exists(struct sl_session *session, struct sl_bytes name);

SL_NODISCARD enum sl_err sl_storage_delete(struct sl_session *session, struct sl_bytes name);

/* Returns how many streams it removed. */
uint64_t sl_storage_cleanup_expired_streams(struct sl_session *session);

/* One page of names: calls `each` for every name; *cursor starts at 0 and is 0 again at the end. */
SL_NODISCARD enum sl_err sl_storage_list_streams(struct sl_session *session, struct sl_bytes prefix,
                                                 uint64_t *cursor,
                                                 void (*each)(void *context, struct sl_bytes name),
                                                 void *context);

#ifdef __cplusplus
}
#endif
#endif
