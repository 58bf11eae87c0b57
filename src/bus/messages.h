/*
 * bus/messages.h - everything that travels between sessions and shards
 *
 * What     One message per operation. It goes to a shard with a request, comes back with the
 *          answer, and may go on to another shard with the next request of the same operation.
 * Why      One list of requests: the enum, the handlers and the dispatch come from it.
 * Thread   Whoever holds the message. Its session makes and frees it; between push and pop it
 *          belongs to the ring; a waiting read belongs to its shard until it is answered.
 *
 * Rules    (1) Every request has exactly one answer: the same message.
 *          (2) Messages of one session to one shard arrive in the order in which they were sent.
 *          (3) CANCEL names a message that the session keeps until CANCEL has come back.
 */
#ifndef SL_BUS_MESSAGES_H
#define SL_BUS_MESSAGES_H

#include "base/link.h"
#include "base/thread.h"
#include "protocol/json.h"
#include "sluice/operation.h"
#include "stream/log.h"
#include "stream/stream.h"

#ifdef __cplusplus
extern "C" {
#endif

/*      kind            handler         what the session asks for */
#define SL_REQUEST_LIST(X)                                                                         \
    X(CREATE, create, "make a stream; a fork without a plan: only say whether the name is free")   \
    X(APPEND, append, "add bytes at the tail, or close, or both")                                  \
    X(READ, read, "bytes from an offset, or where to go on for them; or wait")                     \
    X(HEAD, head, "configuration, tail and closed flag")                                           \
    X(DELETE, remove, "remove a stream")                                                           \
    X(LIST, list, "names from a cursor on")                                                        \
    X(CLEANUP, cleanup, "remove what has expired")                                                 \
    X(CHANGES, changes, "streams that have more bytes or are gone; or wait")                       \
    X(PIN, pin, "fork: hold a reference at the source and say what is to be inherited")            \
    X(UNPIN, unpin, "fork: give that reference back")                                              \
    X(RESOLVE, resolve, "fork: find a sub-offset in what the source itself inherited")             \
    X(INHERITED, inherited, "bytes that an ancestor has, by its id")                               \
    X(CANCEL, cancel, "answer a waiting read now")

enum sl_request {
#define X(KIND, handler, what) SL_REQUEST_##KIND,
    SL_REQUEST_LIST(X)
#undef X
};

enum {
    SL_REQUESTS = 0
#define X(KIND, handler, what) +1
    SL_REQUEST_LIST(X)
#undef X
};

/* A fork in the making: filled by PIN and RESOLVE, used by CREATE and UNPIN. */
struct sl_fork_plan {
    bool pinned;    /* the source holds a reference for this fork */
    bool name_free; /* answer to the first CREATE: go on */
    bool resolve;   /* position is not known yet: `ancestor` has the bytes around it */
    uint32_t shard; /* of the source */
    uint64_t source_id;
    uint64_t anchor;   /* the fork offset, or the tail of the source */
    uint64_t position; /* where the fork begins its own data */
    struct sl_ancestor ancestor;
    struct sl_lineage *lineage; /* owned: of the source at `anchor`, later of the fork */
};

/* A read that goes from shard to shard. */
struct sl_read_plan {
    uint64_t id;         /* not 0: only this incarnation */
    uint64_t offset;     /* where the next bytes are wanted */
    uint32_t page_size;  /* bytes of the page that are left */
    uint32_t piece_size; /* bytes of the piece that are left */
    bool started;        /* at least one shard gave bytes: no more waiting */
    bool hop;            /* answer: the next bytes are at `ancestor` */
    struct sl_ancestor ancestor;
    struct sl_pieces pieces; /* owned references */
};

struct sl_message {
    struct sl_operation op; /* first: what the caller of the session sees */
    enum sl_request request;
    enum sl_err err;        /* answer */
    uint64_t hash;          /* of the stream name that this request is about */
    uint32_t session_index; /* who gets the answer */
    /* CREATE and APPEND */
    bool has_data;                  /* the caller gave bytes */
    enum sl_err late_err;           /* what is wrong with them, judged last */
    struct sl_payload payload;      /* what is to be stored */
    struct sl_stream_config config; /* CREATE: with everything that was left open decided */
    struct sl_fork_plan fork;
    struct sl_read_plan read;
    struct sl_message *target; /* CANCEL */
    void *names;               /* owned: results of LIST and CHANGES */

    struct {
        struct sl_link link;        /* waiting for room in a ring, or done, or free */
        struct sl_link all;         /* every message of the session */
        uint32_t shard;             /* where it was sent last */
        uint32_t cancels;           /* CANCELs on their way that name this message */
        uint64_t queued_ms;         /* since when it waits for room */
        bool under_way;             /* submitted, not polled */
        bool done;                  /* in the list of what can be polled */
        bool cancelled;             /* the caller wants it back */
        bool put;                   /* the caller gave it back; freed when `cancels` is 0 */
        struct sl_json_split split; /* owned: memory for stored JSON */
        struct sl_buffer joined;    /* owned: memory for the parts of a batch */
    } session SL_OWNED_BY(sl_role_session);

    struct {
        struct sl_link link;      /* in the gate, at a stream, or waiting for room: ring, log */
        uint64_t gate_lsn;        /* the answer may leave when this is durable */
        struct sl_stream *stream; /* borrowed; counted in its `unsettled` while in the gate */
        uint64_t tail;            /* durable tail of the stream from then on */
        uint64_t parked_ms;       /* since when it waits for room in the log, or a flush */
        bool closed;
        bool again;     /* not an answer: handle the request again when it leaves there */
        bool cancelled; /* while `again`: the caller of a waiting read wants it back */
        bool waiting;   /* in the stream's list of waiting reads */
    } shard SL_OWNED_BY(sl_role_shard);
};

/* The message that an operation is part of. */
static inline struct sl_message *sl_message_of(struct sl_operation *op)
{
    return SL_OBJECT(op, struct sl_message, op);
}

#ifdef __cplusplus
}
#endif
#endif
