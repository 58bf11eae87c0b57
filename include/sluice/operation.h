/*
 * sluice/operation.h - what can be asked of an engine: the storage contract
 *
 * What     One struct per operation, arguments first, results after them.
 * Why      The same struct travels to the shard and back, so there is one list of operations.
 * Thread   An operation belongs to the thread of its session, except between submit and poll,
 *          when it belongs to the engine.
 * Owns     Nothing that the caller made. Every `struct sl_bytes` argument is borrowed until the
 *          operation comes back from poll. Results are valid until the operation is put back.
 *
 * Offsets  A logical position: payload bytes since the start of the stream. In a JSON stream every
 *          message is stored minified and followed by one comma, and counts as length + 1.
 */
#ifndef SLUICE_OPERATION_H
#define SLUICE_OPERATION_H

#include "sluice/bytes.h"
#include "sluice/error.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    SL_NAME_SIZE_MAX = 1024,        /* bytes of a stream name */
    SL_CONTENT_TYPE_SIZE_MAX = 255, /* bytes of a content type as given */
    SL_EXPIRES_TEXT_SIZE_MAX = 63,  /* bytes of an expiry instant as given */
    SL_PRODUCER_ID_SIZE_MAX = 256,  /* bytes of a producer id */
    SL_SEQ_SIZE_MAX = 256,          /* bytes of a Stream-Seq value */
    SL_READ_SLICES_MAX = 8,         /* runs of bytes in one read result */
    SL_LIST_NAMES_MAX = 1024,       /* names in one list result */
    SL_CHANGES_MAX = 1024,          /* streams in one result of CHANGES */
};

/* Producer epochs and sequences: 0 to 2^53 - 1 (protocol section 5.2.1). */
#define SL_PRODUCER_NUMBER_MAX UINT64_C(9007199254740991)
/* Offsets stay below 10^16, the largest that the 16-digit token can say. */
#define SL_OFFSET_MAX UINT64_C(9999999999999999)

/*      kind     member   what is asked */
#define SL_OPERATION_LIST(X)                                                                       \
    X(CREATE, create, "make a stream or a fork, or say that it is there")                          \
    X(APPEND, append, "add bytes at the tail, or close, or both, in one step")                     \
    X(READ, read, "bytes from an offset; optionally wait for the first one")                       \
    X(HEAD, head, "configuration, tail and closed flag")                                           \
    X(DELETE, remove, "remove a stream; soft while forks read from it")                            \
    X(LIST, list, "names by prefix, a page at a time")                                             \
    X(CLEANUP, cleanup, "remove every stream whose time has come")                                 \
    X(CHANGES, changes, "which streams of a shard have more bytes, or are gone")

enum sl_operation_kind {
#define X(KIND, member, what) SL_OPERATION_##KIND,
    SL_OPERATION_LIST(X)
#undef X
};

enum {
    SL_OPERATION_KINDS = 0
#define X(KIND, member, what) +1
    SL_OPERATION_LIST(X)
#undef X
};

/* What a stream is, chosen when it is created and immutable afterwards. */
struct sl_stream_config {
    struct sl_bytes content_type;    /* empty: application/octet-stream; a fork: as its source */
    bool has_ttl;                    /* `ttl_s` counts */
    bool has_expires_at;             /* the two below count; never together with has_ttl */
    uint64_t ttl_s;                  /* sliding: seconds since the last access */
    int64_t expires_at_ms;           /* wall clock, ms since 1970 */
    struct sl_bytes expires_at_text; /* as given, echoed verbatim */
};

/* What a successful CREATE, APPEND, READ or HEAD saw, in one coherent step. */
struct sl_stream_view {
    uint64_t id;               /* incarnation: never reused, so a re-created name differs */
    uint64_t tail;             /* offset of the next append */
    uint64_t base;             /* where its own bytes begin: 0, or the fork point */
    bool closed;               /* closed, and `tail` is final */
    bool json;                 /* content type is application/json */
    bool has_ttl;              /* `ttl_s` counts */
    bool has_expires_at;       /* `expires_at_text` counts */
    uint64_t ttl_s;            /* as configured, seconds */
    int64_t expires_at_ms;     /* as configured, wall clock */
    int64_t remaining_ms;      /* until expiry if nobody touches it again; -1: never expires */
    uint8_t content_type_size; /* bytes of content_type */
    uint8_t expires_text_size; /* bytes of expires_text */
    char content_type[SL_CONTENT_TYPE_SIZE_MAX + 1]; /* verbatim; NUL follows */
    char expires_text[SL_EXPIRES_TEXT_SIZE_MAX + 1]; /* verbatim; NUL follows */
};

/*
 * CREATE: all or nothing; nobody sees the stream before data and closed flag are in it, and a
 * refusal leaves nothing, neither a stream nor a reference at the source.
 * Exists already: SL_OK with `created` false if the request asks for what was asked at creation
 * (content type by media type, TTL, expiry instant, fork source and points) and `close` says the
 * stream's state now; the data is ignored. Otherwise CONFIG_MISMATCH.
 * Errors: CONFIG_MISMATCH PATH_BLOCKED FORK_SOURCE_NOT_FOUND FORK_SOURCE_GONE FORK_TOO_DEEP
 *   CONTENT_TYPE_MISMATCH (fork) INVALID_FORK_OFFSET INVALID_JSON TOO_MANY_MESSAGES
 *   TOO_MANY_STREAMS MEMORY_LIMIT_EXCEEDED OVERLOADED; for arguments out of range:
 * INVALID_STREAM_NAME
 *   NAME_TOO_LONG TTL_AND_EXPIRES_AT INVALID_TTL INVALID_EXPIRES_AT INVALID_CONTENT_TYPE
 *   PAYLOAD_TOO_LARGE
 */
struct sl_create {
    struct sl_bytes name;
    struct sl_stream_config config;
    struct sl_bytes data;        /* initial content; JSON streams: one JSON text, may be [] */
    bool close;                  /* created closed */
    bool fork;                   /* the members below count */
    bool has_fork_offset;        /* else the tail of the source */
    struct sl_bytes fork_source; /* name of the source */
    uint64_t fork_offset;        /* inherit everything before it ... */
    uint64_t fork_sub_offset;    /* ... and that many bytes (JSON: messages) of the next append */
    /* results, and operation.stream */
    bool created; /* false: it was there */
};

struct sl_producer {
    struct sl_bytes id; /* not empty */
    uint64_t epoch;     /* at most SL_PRODUCER_NUMBER_MAX */
    uint64_t sequence;  /* at most SL_PRODUCER_NUMBER_MAX */
};

/*
 * APPEND: all parts become readable together, with the producer state, the sequence and the
 * closed flag, or nothing changes at all. Parts of a JSON stream are one JSON text each, flattened
 * one level; parts of a byte stream are joined. One operation is one append boundary.
 * No parts (or only empty ones) and `close`: closes without data; closing a closed stream is SL_OK.
 * Check order (protocol 5.2, 5.2.1): NOT_FOUND, GONE, `request_err`, EMPTY_BODY, STREAM_CLOSED,
 *   CONTENT_TYPE_MISMATCH, EPOCH_FENCED, INVALID_PRODUCER_STATE, SEQUENCE_GAP, duplicate,
 *   TOO_MANY_PRODUCERS, SEQ_ORDERING_VIOLATION, INVALID_JSON, EMPTY_ARRAY, TOO_MANY_MESSAGES,
 *   MEMORY_LIMIT_EXCEEDED. STREAM_CLOSED fills operation.stream too.
 */
struct sl_append {
    struct sl_bytes name;
    struct sl_bytes content_type; /* must match by media type; not looked at without data */
    const struct sl_bytes *parts; /* borrowed, the array too */
    size_t part_count;
    bool close;              /* closed after this */
    bool has_producer;       /* `producer` counts */
    bool has_seq;            /* `seq` counts; not looked at by a close without data */
    enum sl_err request_err; /* an error of the caller's, answered only if the stream exists */
    struct sl_producer producer;
    struct sl_bytes seq; /* bytewise above the last accepted one */
    /* results, and operation.stream: tail is the next offset */
    bool duplicate;             /* this producer tuple was accepted before; nothing was added */
    uint64_t producer_epoch;    /* EPOCH_FENCED: the current one; duplicate: the current one */
    uint64_t producer_sequence; /* the highest accepted */
    uint64_t expected_sequence; /* SEQUENCE_GAP */
};

enum sl_read_from {
    SL_READ_FROM_START,  /* offset "-1" */
    SL_READ_FROM_OFFSET, /* `offset` */
    SL_READ_FROM_NOW,    /* offset "now": the tail */
};

/*
 * READ: a coherent snapshot of [start, next) with the tail and the closed flag of that moment. A
 * page [start, page_end) ends at a message boundary of a JSON stream and holds at least one
 * message; the result carries its first piece, read on with `offset` = next and `limit` = page_end.
 * An offset beyond the tail gives no bytes and next = page_end = tail. `wait`: at the tail of an
 * open stream the operation is not answered until there are bytes, or the stream is closed (SL_OK,
 * no bytes, closed), deleted, expired (NOT_FOUND, GONE), or the caller cancels (CANCELLED). This is
 * `subscribe`: ask again from `next`, and nothing is ever missed. Every read that finds the stream
 * renews a sliding TTL, and no sliding TTL runs out while one waits.
 * Errors: NOT_FOUND GONE `request_err` INVALID_OFFSET CANCELLED OVERLOADED
 */
struct sl_read {
    struct sl_bytes name;
    enum sl_read_from from;
    bool wait;
    enum sl_err request_err; /* as in sl_append */
    uint64_t offset;         /* SL_READ_FROM_OFFSET */
    uint64_t id;             /* not 0: only this incarnation, else NOT_FOUND */
    uint64_t limit;          /* not 0: end of the page, as page_end of an earlier read said */
    uint32_t page_size_max;  /* bytes of a page; 0: 4 MiB; one JSON message may be larger */
    uint32_t piece_size_max; /* bytes of a piece; 0: 512 KiB; may end inside a message */
    /* results, and operation.stream */
    uint64_t start;    /* resolved position */
    uint64_t next;     /* after the bytes given here */
    uint64_t page_end; /* after the page */
    uint32_t slice_count;
    struct sl_bytes slices[SL_READ_SLICES_MAX]; /* in order; valid until put */
};

/* HEAD: never renews a TTL. Errors: NOT_FOUND GONE OVERLOADED */
struct sl_head {
    struct sl_bytes name;
    bool follow; /* from the tail that is answered on, CHANGES tells of this stream */
};

/* DELETE: ends every waiting read of the stream. Errors: NOT_FOUND GONE OVERLOADED */
struct sl_remove {
    struct sl_bytes name;
};

/*
 * LIST: SCAN semantics: a stream that exists throughout is returned at least once (exactly once
 * while the number of streams does not shrink); bounded work per call, so a page may be empty while
 * `next_cursor` is not 0. Soft-deleted and expired streams are not listed.
 */
struct sl_list {
    struct sl_bytes prefix;
    uint64_t cursor; /* 0 starts; afterwards next_cursor of the call before */
    /* results */
    uint64_t next_cursor; /* 0: the end */
    uint32_t name_count;
    const struct sl_bytes *names; /* valid until put */
};

/* CLEANUP: the timer wheel does the same without any call. */
struct sl_cleanup {
    uint64_t expired; /* result: streams removed by this call */
};

/* What the follower makes of a stream that CHANGES told it of. */
struct sl_follow {
    uint64_t id;
    bool wanted; /* false: not told of again in this epoch */
    bool gone;   /* result, when wanted: it was removed meanwhile, and CHANGES will not say so */
};

struct sl_changed {
    struct sl_bytes name;
    uint64_t id;   /* incarnation */
    uint64_t tail; /* durable */
    bool removed;  /* deleted or expired; said of streams that are wanted */
};

/*
 * CHANGES: for the one session of an engine that follows its streams. A stream is given when bytes
 * of it have become durable since it was given last, once and with its newest tail however many
 * appends there were: so what is kept for a slow follower is bounded by the number of streams. New
 * streams are given until the follower says what it makes of them, and all are new again when it
 * begins another epoch. What was answered to anybody before the request was submitted is given, or
 * was given before. A stream that is removed before it was given is kept until then.
 * Errors: INVALID_ARGUMENT (there is no such shard) CANCELLED
 */
struct sl_changes {
    uint32_t shard;           /* which is asked; below sl_engine_shards() */
    uint32_t epoch;           /* a larger one than before begins it; 1 is the first one */
    bool wait;                /* answered when there is something; one per shard may wait */
    struct sl_follow *follow; /* borrowed; applied first */
    size_t follow_count;
    /* results */
    bool more; /* there is more to be given at once */
    uint32_t change_count;
    const struct sl_changed *changes; /* valid until put */
};

struct sl_operation {
    enum sl_operation_kind kind;  /* fixed by take */
    enum sl_err err;              /* result */
    void *context;                /* the caller's, never looked at */
    struct sl_stream_view stream; /* result */
    union {
#define X(KIND, member, what) struct sl_##member member;
        SL_OPERATION_LIST(X)
#undef X
    } u;
};

#ifdef __cplusplus
}
#endif
#endif
