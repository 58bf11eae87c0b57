/*
 * http/live_delivery_internal.h - what one read brought, encoded once
 *
 * What     The bytes of a read as an SSE event and as a long-poll body, each made when the first
 *          reader needs it and shared by all that stand at the same place.
 * Why      A thousand subscribers of one stream cost one encoding and a thousand writes.
 * Thread   The acceptor's.
 * Owns     A delivery: its frames. Borrows the operation until the frames are made.
 *
 * A JSON message that is larger than a piece becomes one event that goes out piece by piece: `rest`
 * says where it ends and how to go on, and its control event follows the last piece. So nobody
 * assembles it, however large it is.
 */
#ifndef SL_HTTP_LIVE_DELIVERY_INTERNAL_H
#define SL_HTTP_LIVE_DELIVERY_INTERNAL_H

#include "base/buffer.h"
#include "protocol/sse.h"
#include "sluice/operation.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Encoded bytes that several answers send. */
struct sli_frame {
    struct sl_buffer bytes; /* owned; not changed once it is shared */
    size_t *held;           /* borrowed: bytes of all frames of the acceptor */
    size_t control_at;      /* event: where its control event begins; bytes.size: it has none */
    uint32_t references;
};

/* An event that goes on. All zero: none does. */
struct sli_rest {
    uint64_t page_end;       /* offset at which the event ends; 0: no event is open */
    struct sl_sse_data data; /* how to go on */
};

struct sli_delivery {
    struct sl_operation *op;       /* borrowed: of kind READ, with SL_OK */
    size_t *held;                  /* borrowed: bytes of all frames of the acceptor */
    uint64_t start;                /* [start, next) is given ... */
    uint64_t next;                 /* ... text is not cut inside a character */
    uint64_t cursor;               /* of the control event */
    bool up_to_date;               /* next is the tail */
    bool closed;                   /* and nothing will ever follow */
    enum sl_sse_encoding encoding; /* of the stream */
    struct sli_rest before;        /* event that goes on here */
    struct sli_rest after;         /* event that goes on after this */
    struct sli_frame *event;       /* owned reference; NULL until somebody needs it */
    struct sli_frame *body;        /* owned reference; NULL until somebody needs it */
};

/* `before`: the event that is open at the start of the read. `held` counts what its frames take. */
void sli_delivery_init(struct sli_delivery *delivery, struct sl_operation *op,
                       const struct sli_rest *before, uint64_t cursor, size_t *held);
void sli_delivery_deinit(struct sli_delivery *delivery);

/* There are bytes in it. */
static inline bool sli_delivery_has_data(const struct sli_delivery *delivery)
{
    return delivery->next != delivery->start;
}

/* There are bytes in it that begin at `offset`. */
static inline bool sli_delivery_fits(const struct sli_delivery *delivery, uint64_t offset)
{
    return sli_delivery_has_data(delivery) && delivery->start == offset;
}

/*
 * The data event, or its next piece, and after its end the control event. Only with data; needs the
 * operation when called first.
 */
struct sli_frame *sli_delivery_event(struct sli_delivery *delivery);

/* The long-poll body. Only with data and whole messages; needs the operation when called first. */
struct sli_frame *sli_delivery_body(struct sli_delivery *delivery);

/* The control event that belongs to this delivery, with this cursor. */
void sli_delivery_control(const struct sli_delivery *delivery, uint64_t cursor,
                          struct sl_buffer *out);

struct sli_frame *sli_frame_ref(struct sli_frame *frame);
/* Takes the reference and clears the caller's pointer, which may be NULL before. */
void sli_frame_unref(struct sli_frame **frame);

#ifdef __cplusplus
}
#endif
#endif
