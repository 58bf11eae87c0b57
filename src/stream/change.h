/*
 * stream/change.h - what happened to a stream, as bytes
 *
 * What     Encodes a change for the log's records, and decodes it again.
 * Why      Replay applies what was decided; it never decides again. So a change says everything
 *          that the decision depended on and that memory would forget.
 * Thread   Any, pure.
 *
 * Format   Numbers are varints unless said otherwise; texts are a varint length and their bytes;
 *          i64 is little-endian. Flags say which of the parts in [] there are.
 *   CREATE   u8 format 1, u8 flags, name, content type, [ttl_s], [i64 expires_at_ms, expires text],
 *            base, [origin: source shard, source id, offset, sub_offset, source name, lineage
 *            count, per ancestor shard, stream id, up_to], [payload: count, lengths_size]
 *   APPEND   u8 format 1, u8 flags, [producer: id, epoch, sequence], [seq],
 *            [payload: count, lengths_size]
 *   REMOVE   u8 format 1, u8 flags (1: soft; then enum sl_removal << 1)
 *   TOUCH    u8 format 1
 * The payload of a record is the stored bytes and then their lengths (see struct sl_payload).
 */
#ifndef SL_STREAM_CHANGE_H
#define SL_STREAM_CHANGE_H

#include "base/buffer.h"
#include "stream/stream.h"

#ifdef __cplusplus
extern "C" {
#endif

/*    kind    number  member */
#define SL_CHANGE_LIST(X)                                                                          \
    X(CREATE, 1, create)                                                                           \
    X(APPEND, 2, append)                                                                           \
    X(REMOVE, 3, remove)                                                                           \
    X(TOUCH, 4, touch)

enum sl_change_kind {
#define X(KIND, number, member) SL_CHANGE_##KIND = number,
    SL_CHANGE_LIST(X)
#undef X
};

enum sl_removal {
    SL_REMOVAL_DELETE = 0, /* a client asked for it */
    SL_REMOVAL_EXPIRE = 1, /* its time had come */
    SL_REMOVAL_UNPIN = 2,  /* it was soft-deleted, and its last fork is gone */
};

/* Texts are borrowed from the bytes that were decoded. */
struct sl_change {
    enum sl_change_kind kind;
    uint32_t count;        /* payload: messages; 0: there is none */
    uint32_t lengths_size; /* payload: bytes of lengths at its end */
    /* CREATE */
    struct sl_bytes name;
    struct sl_stream_config config; /* content type too */
    bool lifetime_inherited;
    uint64_t base;
    struct sl_origin *origin; /* owned by whoever decoded, until it hands it to a stream; or NULL */
    bool closed;              /* CREATE: created closed; APPEND: closes */
    /* APPEND */
    bool has_producer;
    bool has_seq;
    struct sl_producer producer;
    struct sl_bytes seq;
    /* REMOVE */
    bool soft;
    enum sl_removal why;
};

/* Appends the change to `out`. CREATE: of a stream that was just made, with its first payload. */
void sl_change_encode_create(const struct sl_stream *stream, const struct sl_payload *payload,
                             struct sl_buffer *out);
/* `seq` counts only with data, as when it is applied. */
void sl_change_encode_append(const struct sl_append *append, const struct sl_payload *payload,
                             struct sl_buffer *out);
void sl_change_encode_remove(bool soft, enum sl_removal why, struct sl_buffer *out);
void sl_change_encode_touch(struct sl_buffer *out);

/*
 * False: malformed; nothing is owned then. Every limit of the public API is checked. Of the payload
 * only the size is looked at: the rest is for sl_change_check_payload().
 */
SL_NODISCARD bool sl_change_decode(uint8_t kind, struct sl_bytes head, size_t payload_size,
                                   struct sl_change *change);
/* Are the lengths at the end of the record's payload those of `count` messages, and their index? */
SL_NODISCARD bool sl_change_check_payload(const struct sl_change *change, struct sl_bytes payload);
/* What is to be stored of the record's payload, borrowed; empty when there is none. */
struct sl_payload sl_change_payload(const struct sl_change *change, struct sl_bytes payload);

#ifdef __cplusplus
}
#endif
#endif
