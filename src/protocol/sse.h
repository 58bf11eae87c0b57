/*
 * protocol/sse.h - events of a live read, as bytes (protocol section 5.8)
 *
 * What     Writes `event: data` events, piece by piece, and `event: control` events.
 * Why      Built in pieces, so that one event may carry more than one run of stored bytes.
 * Thread   Any; pure functions.
 * Format   event: data\n            event: control\n
 *          data:<line>\n ...        data:{"streamNextOffset":"...", ...}\n
 *          \n                       \n
 *          No space follows `data:`, except before a line that begins with one, because a receiver
 *          takes one away. Text is cut into lines at CRLF, CR and LF, so nothing in a payload can
 *          begin an event, and a receiver sees every line end as LF.
 * Limits   A data event of n payload bytes takes at most SL_SSE_DATA_FRAME_MAX bytes more than
 *          6 n (text that is nothing but line ends), n (JSON as stored), 4 ((n + 2) / 3) (base64).
 *          A control event takes at most SL_SSE_CONTROL_SIZE_MAX bytes.
 */
#ifndef SL_PROTOCOL_SSE_H
#define SL_PROTOCOL_SSE_H

#include "base/buffer.h"
#include "sluice/bytes.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    SL_SSE_DATA_FRAME_MAX = 21,
    SL_SSE_CONTROL_SIZE_MAX = 132,
};

enum sl_sse_encoding {
    SL_SSE_TEXT,   /* as it is, one `data:` for each line */
    SL_SSE_BASE64, /* standard, padded, on one line */
    SL_SSE_JSON,   /* stored messages, each followed by a comma, become one array */
};

/* A data event under way, between begin and end. */
struct sl_sse_data {
    enum sl_sse_encoding encoding; /* of this event */
    bool line_start;               /* text, JSON: `data:` is still to be written */
    bool after_cr;                 /* text, JSON: the last byte was CR, so LF is not another line */
    bool comma;                    /* JSON: the last byte was a comma, written once more follows */
    uint8_t rest_size;             /* base64: bytes in `rest`, 0 to 2 */
    uint8_t rest[3];               /* base64: bytes that wait for others to make three */
};

/* Begins an event. A caller with nothing to send sends no data event at all. */
void sl_sse_data_begin(struct sl_sse_data *data, enum sl_sse_encoding encoding,
                       struct sl_buffer *out);

/* Adds the next piece of the payload; pieces may be cut anywhere and may be empty. */
void sl_sse_data_add(struct sl_sse_data *data, struct sl_bytes piece, struct sl_buffer *out);

/* Ends the event. */
void sl_sse_data_end(struct sl_sse_data *data, struct sl_buffer *out);

/* What a control event says. */
struct sl_sse_control {
    uint64_t next_offset; /* where to read on; at most SL_OFFSET_MAX */
    uint64_t cursor;      /* counts if has_cursor */
    bool has_cursor;      /* ignored when `closed`: a closed stream has no cursor */
    bool up_to_date;      /* everything there is has been sent; implied by `closed` */
    bool closed;          /* the stream is closed, and everything has been sent */
};

/* Writes a control event. */
void sl_sse_control(struct sl_buffer *out, const struct sl_sse_control *control);

#ifdef __cplusplus
}
#endif
#endif
