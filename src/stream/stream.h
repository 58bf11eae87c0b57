/*
 * stream/stream.h - one stream: what it is, what it holds, what an operation does to it
 *
 * What     The state machine of the storage contract for a single stream. Decides and applies, in
 *          memory, without waiting for anything.
 * Why      Everything here is a function of the stream, the arguments and the time that is passed
 *          in, so replay after a restart and the tests run the very same code.
 * Thread   The shard that owns the stream.
 *
 * Two tails   `log` ends at the appended tail: what new operations are judged by. Readers see only
 *             durable_tail and durable_closed, which follow when the change is durable.
 *
 * States      open -> closed            sl_stream_apply_append() with close
 *             any -> soft-deleted       sli_shard_soften(): removed while forks read from it
 *             any -> gone               sl_stream_destroy()
 *
 * Invariants  (1) log.base <= log.hot, log.base <= durable_tail <= sl_log_end(log)
 *             (2) durable_closed implies closed and durable_tail == sl_log_end(log)
 *             (3) soft_deleted implies forks > 0 and no waiting read
 *             (4) a set lifetime timer belongs to a stream that is not soft-deleted
 */
#ifndef SL_STREAM_STREAM_H
#define SL_STREAM_STREAM_H

#include "base/limits.h"
#include "base/link.h"
#include "base/table.h"
#include "base/timer_wheel.h"
#include "stream/log.h"
#include "stream/media.h"
#include "stream/producer.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Both clocks at one moment. */
struct sl_now {
    uint64_t running_ms; /* never goes back: sliding windows */
    int64_t wall_ms;     /* for instants that clients name */
};

/*
 * A moment of the wall clock on both clocks, for what was written before a restart: on the running
 * clock never after now.
 */
struct sl_now sl_now_at(const struct sl_now *now, int64_t wall_ms);

enum {
    SL_TTL_LOGGED_S_MIN = 3600, /* seconds; for shorter TTLs accesses are not logged */
    SL_TTL_SLACK_PARTS = 8,     /* an access is logged when this part of the TTL has gone by */
};

/* When a stream ends by itself; only streams that have an end have one. */
struct sl_lifetime {
    struct sl_timer timer;    /* in the wheel of the shard */
    struct sl_stream *stream; /* borrowed: whose this is */
    bool has_ttl;
    bool has_expires_at;
    bool inherited; /* by a fork that asked for neither */
    uint8_t expires_text_size;
    uint64_t ttl_s;
    int64_t expires_at_ms;
    uint64_t logged_ms; /* running clock: the last access that a restart will know of */
    char expires_text[SL_EXPIRES_TEXT_SIZE_MAX + 1];
};

/* Who may append what next; only streams with producers or a sequence have one. */
struct sl_writers {
    struct sl_producer_set producers;
    struct sl_producer_state *closer; /* borrowed from producers: whose tuple closed the stream */
    bool has_seq;
    uint16_t seq_size;
    char seq[SL_SEQ_SIZE_MAX]; /* highest Stream-Seq that was accepted */
};

/* One ancestor's share of what a fork inherited. */
struct sl_ancestor {
    uint32_t shard;
    uint64_t stream_id;
    uint64_t up_to; /* it has what lies before; the next one in the array what is older */
};

/* Where the inherited bytes are: any position is one hop away. */
struct sl_lineage {
    uint32_t count;                  /* 1 to SL_FORK_DEPTH_MAX */
    struct sl_ancestor ancestors[1]; /* nearest first, up_to falling; allocated behind */
};

/* What a fork was made of, as asked, to recognise the same request again. */
struct sl_origin {
    struct sl_lineage *lineage; /* owned; NULL when nothing is inherited */
    uint32_t source_shard;      /* holds a reference for this fork ... */
    uint64_t source_id;         /* ... at this stream */
    uint64_t offset;            /* fork offset, or the tail of the source at that moment */
    uint64_t sub_offset;
    uint16_t source_size;
    char source[1]; /* name; allocated behind */
};

/* A stream id is a number that its shard counts up, and below it that of the shard. */
enum { SL_STREAM_ID_SHARD_BITS = 8 };

/*
 * For tables of the streams of one shard, which choose buckets by the low bits: streams that were
 * made one after the other are neighbours there, as they are in the log.
 */
static inline uint64_t sl_stream_id_hash(uint64_t id)
{
    return id >> SL_STREAM_ID_SHARD_BITS;
}

struct sl_stream {
    struct sl_table_node by_name;
    struct sl_table_node by_id;
    uint64_t id;            /* incarnation */
    struct sl_media *media; /* one use of it */
    struct sl_log log;
    uint64_t durable_tail;
    uint64_t last_lsn;                /* of the last change; replies that show it wait for it */
    uint64_t accessed_ms;             /* running clock */
    struct sl_link waiting;           /* reads at the tail */
    struct sl_link to_wake;           /* in the shard's list while those reads are to be answered */
    struct sl_link dirty;             /* in the shard's list: changed since the last flush */
    struct sl_segment *state_segment; /* borrowed: has its newest state; NULL: none has one */
    struct sl_lifetime *lifetime;     /* owned, or NULL */
    struct sl_writers *writers;       /* owned, or NULL */
    struct sl_origin *origin;         /* owned, or NULL: not a fork */
    uint32_t forks;                   /* that name this stream as their source */
    uint32_t unsettled;  /* replies in the gate that will touch this stream; one more: in_feed */
    uint32_t feed_epoch; /* of the follower when it did not want this stream; 0: never */
    struct sl_stream *next_told; /* borrowed: in the shard's feed, while in_feed; NULL: the last */
    bool closed : 1;             /* as appended */
    bool durable_closed : 1;
    bool durable_created : 1; /* the CREATE is durable: readers may see the stream */
    bool soft_deleted : 1;
    bool removed : 1;  /* in no table any more; freed when nothing is unsettled */
    bool is_dirty : 1; /* changed since a flush took its state, or never flushed */
    bool followed : 1; /* the follower wants to be told of it */
    bool in_feed : 1;  /* the follower is to be told of it */
    uint16_t name_size;
    char name[1]; /* canonical; allocated behind */
};

/* What CREATE is told besides the arguments of its operation. */
struct sl_stream_setup {
    struct sl_bytes name;
    struct sl_bytes content_type;          /* not empty */
    const struct sl_stream_config *config; /* borrowed */
    bool lifetime_inherited;               /* config's TTL or expiry is that of the source */
    uint64_t id;
    uint64_t base;            /* 0, or the fork point */
    struct sl_origin *origin; /* owned by the stream from now on, or NULL */
};

/* Makes an open, empty stream that is in no table. The caller destroys it. */
struct sl_stream *sl_stream_create(const struct sl_stream_setup *setup, struct sl_media_set *media,
                                   const struct sl_now *now);
/* Its writers, made if there are none yet. */
struct sl_writers *sl_stream_writers(struct sl_stream *stream);
void sl_writers_set_seq(struct sl_writers *writers, struct sl_bytes seq);
/* Frees the stream and drops its payload. Returns the bytes that sl_stream_memory() said. */
size_t sl_stream_destroy(struct sl_stream **stream, struct sl_media_set *media);

/* Bytes of the stream's own state, without its payload. */
size_t sl_stream_memory(const struct sl_stream *stream);

static inline struct sl_bytes sl_stream_name(const struct sl_stream *stream)
{
    return sl_bytes(stream->name, stream->name_size);
}

/* Its time has come. A waiting read keeps a sliding window open. */
bool sl_stream_has_expired(const struct sl_stream *stream, const struct sl_now *now);
/* When to look again, on the running clock. The stream has a lifetime. */
uint64_t sl_stream_deadline(const struct sl_stream *stream, const struct sl_now *now);

/*
 * A restart has found this access, which the log knows of. For a TTL below SL_TTL_LOGGED_S_MIN the
 * restart is an access; a longer one gets the slack that wants_touch leaves. So a stream can live
 * up to the slack too long, never too short.
 */
void sl_stream_set_access_after_restart(struct sl_stream *stream, int64_t wall_ms,
                                        const struct sl_now *now);
/* The log knows of an access at this moment: CREATE, APPEND, TOUCH. */
static inline void sl_stream_set_logged(struct sl_stream *stream, uint64_t running_ms)
{
    if (stream->lifetime != NULL)
        stream->lifetime->logged_ms = running_ms;
}
/* After an access: is it to be logged by a TOUCH, so that a restart does not forget it? */
bool sl_stream_wants_touch(const struct sl_stream *stream, const struct sl_now *now);

/*
 * Is this CREATE the one that made the stream, and is its closed flag the stream's? (protocol 5.1)
 */
bool sl_stream_matches(const struct sl_stream *stream, const struct sl_create *create);

/* What an append turns out to be. */
enum sl_verdict {
    SL_VERDICT_REFUSED,
    SL_VERDICT_NOTHING, /* a duplicate, or a close of what is closed: SL_OK, nothing changes */
    SL_VERDICT_ACCEPTED,
};

struct sl_judgement {
    enum sl_verdict verdict;
    struct sl_producer_state *producer; /* of the append's producer id, or NULL */
};

/*
 * Judges an append without changing the stream, in the order that operation.h says. `has_data`: the
 * request had a body. `late_err`: what the session found wrong with the body, judged last.
 */
SL_NODISCARD enum sl_err sl_stream_judge(const struct sl_stream *stream, struct sl_append *append,
                                         bool has_data, enum sl_err late_err,
                                         unsigned producers_max, const struct sl_now *now,
                                         struct sl_judgement *judgement);

/*
 * Applies an accepted append: payload (when not empty), producer state, sequence and closed flag
 * together. Returns by how many bytes sl_stream_memory() changed.
 */
int64_t sl_stream_apply_append(struct sl_stream *stream, const struct sl_append *append,
                               struct sl_judgement *judgement, struct sl_slab *slab,
                               struct sl_payload *payload, unsigned producers_max,
                               const struct sl_now *now);

struct sl_change;
/*
 * Applies an APPEND that was logged, without judging it again: no producer is forgotten for it,
 * whatever the limit is today. `at`: the moment of the record, see sl_now_at(). False, and nothing
 * is changed: the stream is closed already, so the log is not of this stream.
 */
SL_NODISCARD bool sl_stream_replay_append(struct sl_stream *stream, const struct sl_change *change,
                                          struct sl_slab *slab, struct sl_payload *payload,
                                          const struct sl_now *at);

/* Payload and closed flag of a CREATE. Returns by how many bytes sl_stream_memory() changed. */
int64_t sl_stream_apply_first(struct sl_stream *stream, struct sl_slab *slab,
                              struct sl_payload *payload, bool close);

/*
 * The lineage of a fork of this stream at `position`, NULL when there is nothing before it. `shard`
 * is the stream's own. The caller frees it.
 */
struct sl_lineage *sl_stream_lineage_at(const struct sl_stream *stream, uint32_t shard,
                                        uint64_t position);
/* Shortens a lineage to what lies before `position`; frees and clears it when that is nothing. */
void sl_lineage_cut(struct sl_lineage **lineage, uint64_t position);
/* The ancestor that has the byte at `position`, which is below log.base. */
const struct sl_ancestor *sl_lineage_find(const struct sl_lineage *lineage, uint64_t position);
/*
 * Whether all that a fork inherits is there, and then its source too, which holds a reference for
 * it; nothing is needed where nothing is inherited (NULL). `own` gives the bytes [base, end) that a
 * stream has itself; false: there is no such stream, or no such shard.
 */
bool sl_lineage_is_whole(const struct sl_lineage *lineage, uint32_t source_shard,
                         uint64_t source_id,
                         bool (*own)(const void *context, uint32_t shard, uint64_t stream_id,
                                     uint64_t *base, uint64_t *end),
                         const void *context);

/* Fills `view` as of this tail and closed flag. */
void sl_stream_view(const struct sl_stream *stream, uint64_t tail, bool closed,
                    const struct sl_now *now, struct sl_stream_view *view);

/* Aborts when an invariant does not hold. */
void sl_stream_check(const struct sl_stream *stream);

#ifdef __cplusplus
}
#endif
#endif
