/*
 * http/reply.h - every byte that leaves goes through here
 *
 * What     Status line, headers, chunks, bodies, problems. The only file that calls
 *          h2o_start_response and h2o_send, or writes to a socket. h2o writes no head and no chunk
 *          of its own; a short answer goes to the socket by itself, and h2o gets what is left.
 * Why      h2o neither strips bodies for HEAD nor checks lengths; one place gets it right: no body
 *          for HEAD, 204, 304; CORS and security headers on every answer; counted by operation and
 *          status. And answers cost less so: src/README.md says how much.
 * Thread   The acceptor's.
 *
 * Order    sl_reply_begin(status, cache_control); any sl_reply_header...(); then one of
 *          sl_reply_finish() with the whole body, or
 *          sl_reply_stream() followed by sl_reply_send() ... final, each after on_proceed, or
 *          sl_reply_send_at_once() instead of any but the first and the last.
 *          What ends the request may free it, its connection and the exchange at once.
 */
#ifndef SL_HTTP_REPLY_H
#define SL_HTTP_REPLY_H

#include "http/exchange.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    SL_REPLY_PIECES_MAX =
        256, /* runs of bytes in one finish or send: they are copied to the stack */
    SL_REPLY_PIECES_AT_ONCE_MAX = 2, /* in one send_at_once */
};

/*
 * Sets the status and the headers that every answer has. `cache_control` is copied; NULL: no such
 * header.
 */
void sl_reply_begin(struct sl_exchange *exchange, int status, const char *cache_control);
/* Both are copied, `name` in the case that goes out. */
void sl_reply_header(struct sl_exchange *exchange, const char *name, struct sl_bytes value);
void sl_reply_header_number(struct sl_exchange *exchange, const char *name, uint64_t value);
/* Stream-Next-Offset. */
void sl_reply_next_offset(struct sl_exchange *exchange, uint64_t offset);
/* The whole body (may be empty): ends the exchange's request; bytes must live until on_gone. */
void sl_reply_finish(struct sl_exchange *exchange, const struct sl_bytes *body, size_t count);
/*
 * Starts a body in pieces. content_length: SIZE_MAX = chunked. on_proceed is called when more may
 * be sent after each sl_reply_send that was not the last.
 */
void sl_reply_stream(struct sl_exchange *exchange, size_t content_length);
/* Bytes must live until on_proceed (or on_gone). Not while `sending`. `final` ends the request. */
void sl_reply_send(struct sl_exchange *exchange, const struct sl_bytes *pieces, size_t count,
                   bool final);
/*
 * The same for a piece of a chunked body that is not the last, by a way that is short if the
 * client's kernel takes all of it. True: it did, and on_proceed is not called. False: as after
 * sl_reply_send. h2o knows nothing of these bytes: it has no write under way, and what it writes
 * later follows them.
 */
bool sl_reply_send_at_once(struct sl_exchange *exchange, const struct sl_bytes *pieces,
                           size_t count);
/*
 * Cuts the connection: an answer that cannot be completed as promised, or a client that is gone.
 * on_gone follows, perhaps during the call. Nothing happens when the exchange has ended.
 */
void sl_reply_abort(struct sl_exchange *exchange);
/* The second half of abort, when an operation was under way and is back now. */
void sl_reply_end_cut(struct sl_exchange *exchange);
/*
 * The whole problem answer (RFC 9457) with Retry-After where the error says so; ends the request.
 */
void sl_reply_problem(struct sl_exchange *exchange, enum sl_err err);
/* Counts an answer that says of what there is not enough. A problem is counted by itself. */
void sl_reply_count_refusal(struct sl_exchange *exchange, enum sl_err err);
/* The same in two steps, for headers in between. */
void sl_reply_problem_begin(struct sl_exchange *exchange, enum sl_err err);
void sl_reply_problem_finish(struct sl_exchange *exchange, enum sl_err err);

#ifdef __cplusplus
}
#endif
#endif
