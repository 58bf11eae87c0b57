/*
 * http/live_internal.h - one live reader
 *
 * What     A member is one GET with `live=`: a cursor over the log with a client at its end.
 * Why      It never has a queue. While its client takes what was sent it stays where it is; what
 *          comes meanwhile stays in the log.
 * Thread   The acceptor's.
 *
 * States   READING  its own read is under way, or busy    sli_member_read
 *          WAITING  in its group, at the tail             sli_group_join
 *          BEHIND   SSE, sending: reads on when its client has taken that
 *          ENDING   answered; or SSE, sending: ends when its client has taken that
 * Every state ends with on_gone, which frees the member.
 */
#ifndef SL_HTTP_LIVE_INTERNAL_H
#define SL_HTTP_LIVE_INTERNAL_H

#include "base/table.h"
#include "http/live.h"
#include "http/live_delivery_internal.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    SLI_PAGE_SIZE_BYTES = 256 * 1024, /* for a group or a long-poll, at a time */
    /*
     * Bytes that a client gets at a time while all of them hold as much as they should. Encoded
     * they may be six times as many: line ends.
     */
    SLI_SCARCE_PAGE_BYTES = 2 * 1024,
    SLI_QUICK_BYTES_MIN = 256 * 1024, /* taken: somebody reads */
};

struct sl_live {
    struct sl_acceptor *acceptor; /* borrowed: for the life of this */
    struct sl_link members;       /* of struct sli_member: all of them */
    unsigned member_count;        /* of `members` */
    unsigned member_count_max;    /* more are refused */
    struct sl_table groups;       /* of struct sli_group, by stream id */
    struct sl_link busy_groups;   /* of struct sli_group: those with a delivery to work off */
    struct sl_link busy_members;  /* of struct sli_member: SSE, what they have read is to be sent */
    size_t frame_bytes;           /* of all frames that clients have to take */
    size_t frame_bytes_max;       /* above it new ones are small; above half for slow clients */
    uint64_t chance;              /* state of the random numbers that need not be secret */
};

enum sli_member_state {
    SLI_MEMBER_READING,
    SLI_MEMBER_WAITING,
    SLI_MEMBER_BEHIND,
    SLI_MEMBER_ENDING,
};

struct sli_group;

struct sli_member {
    struct sl_exchange *exchange; /* borrowed: until on_gone */
    struct sl_live *live;         /* borrowed */
    struct sli_group *group;      /* borrowed: while WAITING, else NULL */
    struct sl_link in_live;       /* of live->members */
    struct sl_link in_group;      /* of group->waiting or group->due; or of live->busy_members */
    struct sl_alarm alarm;        /* long-poll: the timeout; SSE: heartbeat or end of life */
    uint64_t offset;              /* everything before it was given */
    uint64_t stream_id;           /* of the incarnation; 0: not known yet */
    uint64_t cursor;              /* the last one given, or the first one to be given */
    uint64_t end_ms;              /* running clock: long-poll timeout, SSE end of life */
    uint64_t sent_ms;             /* running clock: when the last bytes were handed out */
    size_t sent_size;             /* SSE: of those */
    uint64_t taken;               /* SSE: bytes that the client, or its kernel, has taken so far */
    struct sli_rest rest;         /* SSE: the event that is open */
    struct sli_frame *frame;      /* owned reference: what is being sent */
    struct sl_buffer control;     /* owned: what is being sent */
    enum sli_member_state state;
    bool sse;     /* else a long-poll */
    bool is_late; /* SSE: the last bytes were not taken for a while */
};

/*
 * Clients hold as much as they should together: now it gets little at a time. Who takes what it
 * gets must not suffer from those who do not, as long as that can be; from a client that takes
 * nothing its kernel and ours do take some.
 */
static inline bool sli_member_is_scarce(const struct sli_member *member)
{
    const struct sl_live *live = member->live;
    bool is_quick = member->taken >= SLI_QUICK_BYTES_MIN && !member->is_late;
    return live->frame_bytes >= live->frame_bytes_max / (is_quick ? 1 : 2);
}

static inline struct sl_acceptor *sli_member_acceptor(const struct sli_member *member)
{
    return member->live->acceptor;
}

/* Submits its own read from its offset, without waiting at the tail. */
void sli_member_read(struct sli_member *member);

/* The same, if need be only when its client has taken what is being sent. */
void sli_member_read_on(struct sli_member *member);

/* Its time has come, or that of the server; but never inside an event, which would be lost. */
bool sli_member_is_over(const struct sli_member *member);

/* What was being sent is out, or its kernel has it. */
void sli_member_on_sent(struct sli_member *member);

/* Live has nothing to do with its exchange any more. */
void sli_member_free(struct sli_member *member);

/* Its stream cannot be read any more: a problem, or the end of an SSE response. May free it. */
void sli_member_fail(struct sli_member *member, enum sl_err err);

/* Long-poll (live_long_poll.c). All of these may free the member. */

/* 200 with the page, of its own read, that the operation of the exchange begins. */
void sli_long_poll_answer_page(struct sli_member *member);
/* 200 with the delivery's body. */
void sli_long_poll_answer(struct sli_member *member, struct sli_delivery *delivery);
/* 204: nothing came in time, or the stream is closed. */
void sli_long_poll_answer_nothing(struct sli_member *member, bool closed);

/* SSE (live_sse.c). All of these may free the member. */

/* Sends data with its control, or the control alone; ends the response if nothing can follow. */
void sli_sse_send(struct sli_member *member, struct sli_delivery *delivery);
/* A comment, so that the client and everything on the way knows that the connection lives. */
void sli_sse_send_heartbeat(struct sli_member *member);
/* Ends the response, if need be when its client has taken what is being sent. */
void sli_sse_end(struct sli_member *member);

#ifdef __cplusplus
}
#endif
#endif
