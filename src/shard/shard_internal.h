/*
 * shard/shard_internal.h - what the files of the shard room share
 *
 * Thread   The shard.
 */
#ifndef SL_SHARD_SHARD_INTERNAL_H
#define SL_SHARD_SHARD_INTERNAL_H

#include "bus/inbox.h"
#include "bus/messages.h"
#include "shard/shard.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The shard's end of one session. */
struct sli_lane {
    struct sl_ring *requests; /* borrowed */
    struct sl_ring *replies;  /* borrowed */
    struct sl_port *port;     /* borrowed: of the session */
    struct sl_link overflow;  /* answers that found the ring full, oldest first */
};

/* A reference that a removed fork gives back to its source, on its way to the source's shard. */
struct sli_unpin {
    struct sl_inbox_item item; /* once it travels */
    struct sl_link link;       /* until the removal is durable */
    uint64_t gate_lsn;
    uint64_t stream_id; /* of the source */
    uint32_t shard;     /* of the source */
};

struct sl_shard {
    struct sl_shard_setup setup;
    struct sl_thread *thread;
    struct sl_port *port;
    struct sl_inbox unpins_in;
    struct sl_now now; /* read once per turn */
    uint64_t appended_lsn;
    uint64_t durable_lsn;
    uint64_t removed_lsn; /* of the last removal: "no such stream" waits for it */
    uint64_t waiting_reads;
    uint64_t ids;              /* made so far */
    struct sl_table names;     /* of struct sl_stream, by name */
    struct sl_table sources;   /* of struct sl_stream with forks, by id */
    struct sl_link gate;       /* messages by gate_lsn */
    struct sl_link unpins_out; /* struct sli_unpin by gate_lsn */
    struct sl_link to_wake;    /* streams whose waiting reads have something to read */
    struct sl_link next_turn;  /* messages to be handled again */
    struct sl_media_set media;
    struct sl_slab slab;
    struct sl_timer_wheel wheel;
    struct {
        bool under_way;
        uint64_t cursor;      /* of the walk over names */
        uint64_t removed_lsn; /* when it began; nothing removed since: nothing to gain */
        uint64_t began_ms;
        uint64_t not_before_ms;
    } compaction;
    uint64_t lanes_overflowing; /* bit per lane */
    uint64_t lanes_to_signal;   /* bit per lane: something was pushed in this turn */
    struct sli_lane lanes[SL_PORT_PRODUCERS_MAX];
};

/* ---- shard.c: answers ---- */

/* The answer leaves when `lsn` is durable. */
void sli_shard_answer(struct sl_shard *shard, struct sl_message *message, enum sl_err err,
                      uint64_t lsn) SL_RUNS_ON(sl_role_shard);
/* The same for a change of `stream` that was just made: publishes its tail and closed flag then. */
void sli_shard_answer_change(struct sl_shard *shard, struct sl_message *message,
                             struct sl_stream *stream) SL_RUNS_ON(sl_role_shard);
/* Handles the message again when all that was appended until now is durable. */
void sli_shard_retry_durable(struct sl_shard *shard, struct sl_message *message)
    SL_RUNS_ON(sl_role_shard);
/* The answer leaves now: it shows only what is durable. */
void sli_shard_answer_now(struct sl_shard *shard, struct sl_message *message, enum sl_err err)
    SL_RUNS_ON(sl_role_shard);
/* A change was made: the next LSN. */
uint64_t sli_shard_advance(struct sl_shard *shard) SL_RUNS_ON(sl_role_shard);

/* ---- shard_handlers.c ---- */

void sli_shard_dispatch(struct sl_shard *shard, struct sl_message *message)
    SL_RUNS_ON(sl_role_shard);
/* Answers all waiting reads of a stream whose durable tail or closed flag has changed. */
void sli_shard_wake(struct sl_shard *shard, struct sl_stream *stream) SL_RUNS_ON(sl_role_shard);
/* Takes a waiting read, by its link, off its stream; it is to be answered. */
struct sl_message *sli_shard_stop_waiting(struct sl_shard *shard, struct sl_link *link)
    SL_RUNS_ON(sl_role_shard);

/* ---- shard_streams.c: finding and removing ---- */

/*
 * The stream of this name that operations act on, NULL with the error to answer: NOT_FOUND, or GONE
 * for a soft-deleted one. Removes it first if its time has come.
 */
struct sl_stream *sli_shard_find(struct sl_shard *shard, uint64_t hash, struct sl_bytes name,
                                 enum sl_err *err) SL_RUNS_ON(sl_role_shard);
struct sl_stream *sli_shard_source(struct sl_shard *shard, uint64_t id) SL_RUNS_ON(sl_role_shard);
void sli_shard_add(struct sl_shard *shard, struct sl_stream *stream, uint64_t hash)
    SL_RUNS_ON(sl_role_shard);
/* Removes the stream, or makes it soft-deleted while it has forks; ends its waiting reads. */
void sli_shard_remove(struct sl_shard *shard, struct sl_stream *stream) SL_RUNS_ON(sl_role_shard);
/* One fork more that reads from the stream, or one less. */
void sli_shard_pin(struct sl_shard *shard, struct sl_stream *stream) SL_RUNS_ON(sl_role_shard);
void sli_shard_unpin(struct sl_shard *shard, uint64_t stream_id) SL_RUNS_ON(sl_role_shard);
/* Frees a removed stream that no message in the gate points to. */
void sli_shard_free_settled(struct sl_shard *shard, struct sl_stream *stream)
    SL_RUNS_ON(sl_role_shard);
/* Removes at most `max` streams whose time has come; returns how many timers it looked at. */
size_t sli_shard_expire(struct sl_shard *shard, size_t max, uint64_t *expired)
    SL_RUNS_ON(sl_role_shard);

/*
 * When memory gets scarce and something was removed: moves what is left in mostly dead slabs together,
 * a slice of the streams per turn.
 */
void sli_shard_compact(struct sl_shard *shard) SL_RUNS_ON(sl_role_shard);

#ifdef __cplusplus
}
#endif
#endif
