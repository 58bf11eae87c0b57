/*
 * protocol/etag.h - entity tags of catch-up reads
 *
 * What     Format the tag of a range, and look for it in If-None-Match.
 * Why      Names the incarnation of a stream, not its path: a stream made again under the name
 *          never validates old data. What the headers say of the range's end is part of the tag,
 *          or a 304 would hide that a stream was closed, or goes on behind a full page.
 * Thread   Any; pure.
 * Format   '"' history, 16 hex digits '-' stream id, hex ':' start token ':' end token [mark] '"'
 *          mark: ':c' or ':p', see enum sl_etag_end
 */
#ifndef SL_PROTOCOL_ETAG_H
#define SL_PROTOCOL_ETAG_H

#include "protocol/offset.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What the end of the range is at this moment. */
enum sl_etag_end {
    SL_ETAG_AT_TAIL, /* no mark */
    SL_ETAG_CLOSED,  /* ":c": the tail of a closed stream */
    SL_ETAG_PARTIAL, /* ":p": more follows */
};

/* Quotes, history and id, start and end, mark. */
enum { SL_ETAG_SIZE_MAX = 2 + 16 + 1 + 16 + 2 * (1 + SL_OFFSET_TOKEN_SIZE) + 2 };

/*
 * Writes at most SL_ETAG_SIZE_MAX bytes, no NUL; returns how many. `start_token` is how the client
 * named the start, at most SL_OFFSET_TOKEN_SIZE bytes.
 */
size_t sl_etag_format(char *out, uint64_t history_id, uint64_t stream_id,
                      struct sl_bytes start_token, uint64_t end_offset, enum sl_etag_end end);

/*
 * `etag` is in the list, compared weakly (a W/ counts for nothing), or the value is "*".
 * What follows a malformed part is not looked at.
 */
bool sl_etag_matches(struct sl_bytes if_none_match, struct sl_bytes etag);

#ifdef __cplusplus
}
#endif
#endif
