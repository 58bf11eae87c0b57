/*
 * shard/shard_internal.h - what the files of the shard room share
 *
 * Thread   The shard.
 */
#ifndef SL_SHARD_SHARD_INTERNAL_H
#define SL_SHARD_SHARD_INTERNAL_H

#include "bus/inbox.h"
#include "bus/messages.h"
#include "journal/catalog.h"
#include "journal/compaction.h"
#include "journal/flush.h"
#include "journal/wal_scan.h"
#include "shard/shard.h"
#include "stream/change.h"
#include "stream/snapshot.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Milliseconds; a wall clock that has jumped further, across a restart or not, may be wrong. */
#define SLI_CLOCK_JUMP_MS (INT64_C(7) * 24 * 3600 * 1000)
/* Milliseconds of time going by, in which it can be corrected. */
#define SLI_CLOCK_CONFIRM_MS (UINT64_C(3600) * 1000)

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

/*
 * A stream that was removed and whose tombstone is in no installed segment yet: until then a crash
 * may bring its older segments back, so a compaction must not take it for dead.
 */
struct sli_removed {
    struct sl_table_node node;
    struct sl_tombstone tombstone;
};

/* How far a flush is. */
enum sli_flush_step {
    SLI_FLUSH_NONE,
    SLI_FLUSH_CAPTURE, /* streams are copied into batches, as fast as the worker writes them */
    SLI_FLUSH_WRITE,   /* the worker makes the segment durable */
    SLI_FLUSH_INSTALL, /* streams let go of what the segment has */
    SLI_FLUSH_UNDO,    /* it has failed: what was captured is dirty again */
};

/*
 * A stream that changes is linked into `dirty`; a flush takes the whole list, copies each stream,
 * and keeps it in `captured` until the segment is there. A change on the way moves a captured
 * stream to `dirty` again, and a flush that has failed moves all of them.
 */
struct sli_flush {
    enum sli_flush_step step;
    struct sl_flush *flush;         /* owned; NULL: NONE, UNDO */
    struct sl_wal_mark mark;        /* the log is read from there once the flush is done */
    struct sl_link todo;            /* streams to be copied */
    struct sl_link captured;        /* streams that were */
    struct sl_stream *current;      /* borrowed: is being copied, in parts; or NULL */
    uint64_t position;              /* of current: copied so far */
    uint64_t up_to;                 /* of current: as it was when its state was taken */
    uint64_t lsn;                   /* of current: likewise */
    struct sl_buffer state;         /* of current */
    uint64_t lsn_max;               /* of all that was copied */
    struct sl_table removed;        /* of struct sli_removed: whose tombstones are in it */
    uint64_t removed_cursor;        /* of the walk that copies, forgets or gives them back */
    struct sl_segment_batch *batch; /* owned: being filled, or being installed */
    size_t batch_next;              /* entry to be installed */
    struct sl_buffer parts;         /* struct sl_cold of the stream being installed */
    struct sl_segment *segment;     /* borrowed from the list: being installed */
    uint64_t hot_bytes;             /* payload that came since the last flush began */
    uint64_t freed_bytes;           /* in segments, of streams that were removed since then */
    struct sl_wal_mark installed;   /* what the manifest says: the log is kept from there on */
    uint64_t not_before_ms;         /* after a failure */
    struct sl_link dead_look;       /* in `dirty`: a look at the log has come to here */
    uint64_t dead_look_ms;          /* when the next one may begin */
    uint64_t dead_look_bytes;       /* that it has found alive so far */
    uint64_t looked_ms; /* when was looked whether there is something to flush: once a ms */
};

struct sli_compaction {
    struct sl_compaction *compaction;                    /* owned, or NULL */
    struct sl_segment *inputs[SL_COMPACTION_INPUTS_MAX]; /* borrowed from the list */
    unsigned input_count;
    bool installing;
    struct sl_segment *output;      /* borrowed from the list, or NULL: nothing was left */
    struct sl_segment_batch *batch; /* owned: being installed, or NULL */
    size_t batch_next;
    struct sl_buffer parts;
    uint64_t not_before_ms;
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
    uint64_t ids;               /* made so far */
    struct sl_table names;      /* of struct sl_stream, by name */
    struct sl_table by_id;      /* of struct sl_stream, the same ones */
    struct sl_link gate;        /* messages by gate_lsn */
    struct sl_link unpins;      /* struct sli_unpin to be taken */
    struct sl_link unpins_out;  /* the same, by gate_lsn: to be sent */
    struct sl_link to_wake;     /* streams whose waiting reads have something to read */
    struct sl_link next_turn;   /* messages to be handled again */
    struct sl_link parked;      /* messages that wait for log or flush, oldest first */
    struct sl_link dirty;       /* streams that changed since they were last flushed */
    struct sl_inbox cold_in;    /* cold reads that are done */
    struct sl_wal *wal;         /* owned, or NULL: in memory */
    struct sl_catalog *catalog; /* owned, or NULL: in memory */
    bool failed;                /* the log has failed */
    bool disk_full;             /* data is refused in this turn */
    bool found_forks;           /* the start has seen one: it has to look at every stream again */
    bool found_soft_deleted;    /* likewise */
    struct sl_wal_scan scan;    /* by the start: how the log ended */
    uint64_t damaged;           /* checksum errors of cold reads */
    uint64_t segment_count;     /* published for the metrics */
    uint64_t segment_bytes;
    uint64_t wal_bytes;
    struct sl_buffer head;   /* of the record that is being made */
    struct sl_table removed; /* of struct sli_removed by id: since the last flush */
    struct {
        int64_t wall_ms;        /* of the last frame before the start */
        uint64_t not_before_ms; /* nothing expires before */
        uint64_t doubted_ms;    /* since when the wall clock says something else; 0: it does not */
    } clock;
    struct sli_flush flush;
    struct sli_compaction merge;
    struct sl_inbox tasks_in; /* struct sl_shard_task */
    struct {
        bool held;                  /* no pins, no unpins */
        bool flushing;              /* the flush that is under way is the one for the task */
        struct sl_link pins;        /* messages that wait for the end of it */
        struct sl_shard_task *task; /* borrowed: FLUSH or CUT; or NULL */
    } backup;
    struct {
        uint32_t epoch;             /* of the follower; 0: there is none */
        struct sl_stream *first;    /* to be told of, oldest first, by next_told; or NULL */
        struct sl_stream *last;     /* or NULL */
        struct sl_message *waiting; /* the CHANGES that waits for the first one, or NULL */
    } feed;
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
/* The message is about to be handled again; true: it was cancelled meanwhile, and is answered. */
bool sli_shard_end_cancelled(struct sl_shard *shard, struct sl_message *message)
    SL_RUNS_ON(sl_role_shard);
/* Handles the message again when all that was appended until now is durable. */
void sli_shard_retry_durable(struct sl_shard *shard, struct sl_message *message)
    SL_RUNS_ON(sl_role_shard);
/* The answer leaves now: it shows only what is durable. */
void sli_shard_answer_now(struct sl_shard *shard, struct sl_message *message, enum sl_err err)
    SL_RUNS_ON(sl_role_shard);

/* ---- shard_log.c: changes become records ---- */

/* A change was applied: its record goes into the log. Sets last_lsn of the stream. */
void sli_shard_log_create(struct sl_shard *shard, struct sl_stream *stream,
                          const struct sl_payload *payload) SL_RUNS_ON(sl_role_shard);
/* `at`: where the payload begins in the stream. */
void sli_shard_log_append(struct sl_shard *shard, struct sl_stream *stream,
                          const struct sl_append *append, const struct sl_payload *payload,
                          uint64_t at) SL_RUNS_ON(sl_role_shard);
void sli_shard_log_remove(struct sl_shard *shard, struct sl_stream *stream, bool soft,
                          enum sl_removal why) SL_RUNS_ON(sl_role_shard);
/* An access that a restart must not forget: at most once per an eighth of the TTL. */
void sli_shard_log_touch(struct sl_shard *shard, struct sl_stream *stream)
    SL_RUNS_ON(sl_role_shard);
/* The stream is to be flushed. */
void sli_shard_mark_dirty(struct sl_shard *shard, struct sl_stream *stream)
    SL_RUNS_ON(sl_role_shard);
/* True: the message has to wait for room in the log, or was answered because that has failed. */
bool sli_shard_hold_back(struct sl_shard *shard, struct sl_message *message)
    SL_RUNS_ON(sl_role_shard);
/*
 * The message needs a record that says that a stream has run out, for which there is no room: it
 * waits for that, or is answered.
 */
void sli_shard_wait_for_room(struct sl_shard *shard, struct sl_message *message)
    SL_RUNS_ON(sl_role_shard);
/* Handles parked messages for which there is room now. */
void sli_shard_dispatch_parked(struct sl_shard *shard) SL_RUNS_ON(sl_role_shard);
/* Does a record without payload fit into the log now? */
bool sli_shard_takes_record(struct sl_shard *shard) SL_RUNS_ON(sl_role_shard);
/* May one be added for what happens by itself? Not before those that wait for room in the log. */
bool sli_shard_has_log_room(struct sl_shard *shard) SL_RUNS_ON(sl_role_shard);
/* Is little of the memory budget left? */
bool sli_shard_is_memory_scarce(const struct sl_shard *shard) SL_RUNS_ON(sl_role_shard);
/* Is there room for data: on the disk, and in memory for `growth` bytes? */
SL_NODISCARD enum sl_err sli_shard_check_space(const struct sl_shard *shard, size_t growth)
    SL_RUNS_ON(sl_role_shard);

/* ---- shard_flush.c ---- */

/* Publishes how many segments there are. */
void sli_shard_publish_segments(struct sl_shard *shard) SL_RUNS_ON(sl_role_shard);
/* What a log keeps of an extent in this segment. */
struct sl_cold sli_cold_of(const struct sl_extent_on_disk *extent, struct sl_segment *segment);

/* A slice of a flush or a compaction; true: there is more to do at once. */
bool sli_shard_flush(struct sl_shard *shard) SL_RUNS_ON(sl_role_shard);
/* Has enough for a flush come that cannot begin yet? More data waits for that. */
bool sli_shard_is_ahead_of_flush(const struct sl_shard *shard) SL_RUNS_ON(sl_role_shard);
/* Gives up what is under way; true: nothing is under way any more. */
bool sli_shard_stop_flush(struct sl_shard *shard) SL_RUNS_ON(sl_role_shard);
/* The stream was removed: the next flush writes its tombstone. */
void sli_shard_add_removed(struct sl_shard *shard, const struct sl_stream *stream)
    SL_RUNS_ON(sl_role_shard);
/* Frees what is left of those. */
void sli_shard_drop_removed(struct sl_shard *shard);
/* The stream is about to be freed: segments have less to keep. */
void sli_shard_forget_cold(struct sl_shard *shard, struct sl_stream *stream)
    SL_RUNS_ON(sl_role_shard);

/* ---- shard_tasks.c ---- */

void sli_shard_take_tasks(struct sl_shard *shard) SL_RUNS_ON(sl_role_shard);
/* True: the PIN has to wait. */
bool sli_shard_hold_pin(struct sl_shard *shard, struct sl_message *message)
    SL_RUNS_ON(sl_role_shard);
/* Is a flush to begin whatever there is to flush? */
bool sli_shard_wants_backup(struct sl_shard *shard) SL_RUNS_ON(sl_role_shard);
/* The flush for it is done, or has failed, or never will be. */
void sli_shard_end_backup(struct sl_shard *shard, enum sl_err err) SL_RUNS_ON(sl_role_shard);

/* ---- shard_cold.c ---- */

/* Reads from the disk what the plan of the message says, and answers it then. */
void sli_shard_read_cold(struct sl_shard *shard, struct sl_stream *stream,
                         struct sl_message *message, uint64_t bound) SL_RUNS_ON(sl_role_shard);
/* The same for a fork point. */
void sli_shard_resolve_cold(struct sl_shard *shard, const struct sl_stream *stream,
                            struct sl_message *message) SL_RUNS_ON(sl_role_shard);
/* Answers cold reads that are done. */
void sli_shard_take_cold(struct sl_shard *shard) SL_RUNS_ON(sl_role_shard);

/* ---- shard_feed.c ---- */

/* Bytes of the stream have become durable; there is a follower. */
void sli_shard_tell_bytes(struct sl_shard *shard, struct sl_stream *stream)
    SL_RUNS_ON(sl_role_shard);
/* The stream is being removed, or becomes soft-deleted. */
void sli_shard_tell_removal(struct sl_shard *shard, struct sl_stream *stream)
    SL_RUNS_ON(sl_role_shard);
/* What the follower said, then what it is to be told, now or when there is something. */
void sli_shard_on_changes(struct sl_shard *shard, struct sl_message *message)
    SL_RUNS_ON(sl_role_shard);
/* Answers the CHANGES that waits if there is something. */
void sli_shard_answer_waiting_changes(struct sl_shard *shard) SL_RUNS_ON(sl_role_shard);
/* Nobody will be told any more. */
void sli_shard_drop_feed(struct sl_shard *shard) SL_RUNS_ON(sl_role_shard);

/* ---- shard_handlers.c ---- */

/* Handles the message, unless it has to wait for room in the log. */
void sli_shard_dispatch(struct sl_shard *shard, struct sl_message *message)
    SL_RUNS_ON(sl_role_shard);
/* Handles the message. */
void sli_shard_handle(struct sl_shard *shard, struct sl_message *message) SL_RUNS_ON(sl_role_shard);
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
/* NULL: there is no such stream any more. */
struct sl_stream *sli_shard_by_id(const struct sl_shard *shard, uint64_t id)
    SL_RUNS_ON(sl_role_shard);
/* The stream in the table of names, whatever has become of it; or NULL. */
struct sl_stream *sli_shard_by_name(const struct sl_shard *shard, uint64_t hash,
                                    struct sl_bytes name) SL_RUNS_ON(sl_role_shard);
/* A stream that is in no table yet. */
void sli_shard_add(struct sl_shard *shard, struct sl_stream *stream, uint64_t hash)
    SL_RUNS_ON(sl_role_shard);
/* A stream that is in by_id only. */
void sli_shard_add_name(struct sl_shard *shard, struct sl_stream *stream, uint64_t hash)
    SL_RUNS_ON(sl_role_shard);
/* Removes the stream, or makes it soft-deleted while it has forks; ends its waiting reads. */
void sli_shard_remove(struct sl_shard *shard, struct sl_stream *stream, enum sl_removal why)
    SL_RUNS_ON(sl_role_shard);
/* The same without a record, for replay and for remove. */
void sli_shard_soften(struct sl_shard *shard, struct sl_stream *stream) SL_RUNS_ON(sl_role_shard);
void sli_shard_take_out(struct sl_shard *shard, struct sl_stream *stream) SL_RUNS_ON(sl_role_shard);
/* One fork less that reads from the stream; the last one may remove it. */
void sli_shard_unpin(struct sl_shard *shard, uint64_t stream_id) SL_RUNS_ON(sl_role_shard);
/* The same when there is room in the log again: it may remove the stream. */
void sli_shard_unpin_later(struct sl_shard *shard, uint64_t stream_id) SL_RUNS_ON(sl_role_shard);
/* Frees a removed stream that no message in the gate points to. */
void sli_shard_free_settled(struct sl_shard *shard, struct sl_stream *stream)
    SL_RUNS_ON(sl_role_shard);
/* Removes at most `max` streams whose time has come; returns how many timers it looked at. */
size_t sli_shard_expire(struct sl_shard *shard, size_t max, uint64_t *expired)
    SL_RUNS_ON(sl_role_shard);

/*
 * When memory gets scarce and something was removed: moves what is left in mostly dead slabs
 * together, a slice of the streams per turn.
 */
void sli_shard_compact(struct sl_shard *shard) SL_RUNS_ON(sl_role_shard);

#ifdef __cplusplus
}
#endif
#endif
