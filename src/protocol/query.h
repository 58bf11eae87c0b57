/*
 * protocol/query.h - the query string of a GET
 *
 * What     offset, live and cursor; everything else is ignored.
 * Why      Decoded by length into small buffers, so that "-1%00" is not "-1".
 * Thread   Any; pure.
 * Format   As URLSearchParams reads it: '&' between parameters, percent-encoding in names and
 * values; the first one of a name counts, but a second `offset` is an error.
 */
#ifndef SL_PROTOCOL_QUERY_H
#define SL_PROTOCOL_QUERY_H

#include "protocol/offset.h"
#include "sluice/operation.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Larger cursors are not ours: 2^53 intervals of 20 s. */
#define SL_CURSOR_MAX UINT64_C(9007199254740992)

enum sl_live_mode {
    SL_LIVE_NONE,      /* catch-up; also for an unknown or empty value */
    SL_LIVE_LONG_POLL, /* live=long-poll */
    SL_LIVE_SSE,       /* live=sse */
};

/* Points nowhere, so it may be copied. */
struct sl_query {
    enum sl_read_from from;   /* START when offset is absent or `err` is set */
    enum sl_live_mode live;   /* what kind of read */
    enum sl_err err;          /* INVALID_OFFSET, to be answered only if the stream exists */
    bool has_offset;          /* an offset was given, well-formed or not */
    bool has_cursor;          /* `cursor` counts */
    uint8_t start_token_size; /* bytes of start_token */
    char start_token[SL_OFFSET_TOKEN_SIZE]; /* "-1", "now" or the token, as decoded; no NUL */
    uint64_t offset;                        /* SL_READ_FROM_OFFSET */
    uint64_t cursor;                        /* at most SL_CURSOR_MAX */
};

/* `query` is what follows the '?'; empty when there is none. Fills every member. */
void sl_query_parse(struct sl_bytes query, struct sl_query *out);

/* Where the read starts, in its one spelling (for the ETag). Borrowed from `query`. */
static inline struct sl_bytes sl_query_start_token(const struct sl_query *query)
{
    return sl_bytes(query->start_token, query->start_token_size);
}

#ifdef __cplusplus
}
#endif
#endif
