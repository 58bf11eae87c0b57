/*
 * stream/snapshot.h - the whole state of a stream but its data, as bytes
 *
 * What     What a segment's entry keeps of a stream, to make it again after a restart.
 * Thread   The shard that owns the stream.
 *
 * Format   u8 format 1, u8 flags, then as CREATE in change.h without payload, then end, i64 wall
 *          clock of the last access, [seq], producer count, per producer (least recently used
 *          first): id, epoch, sequence, i64 wall clock of its last use, u8 1: its tuple closed the
 *          stream
 */
#ifndef SL_STREAM_SNAPSHOT_H
#define SL_STREAM_SNAPSHOT_H

#include "base/buffer.h"
#include "stream/stream.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Appends the state as appended (not only what is durable). */
void sl_snapshot_encode(const struct sl_stream *stream, const struct sl_now *now,
                        struct sl_buffer *out);

/*
 * Makes the stream again, without data: its log is empty at its base until sl_log_add_cold() has
 * added what lies in segments, which must lead to *end; durable_tail is *end already. NULL:
 * malformed. Instants of the wall clock become such of the running clock by `now`. durable_* are as
 * appended.
 */
struct sl_stream *sl_snapshot_decode(struct sl_bytes bytes, uint64_t id, struct sl_media_set *media,
                                     const struct sl_now *now, uint64_t *end);

#ifdef __cplusplus
}
#endif
#endif
