/*
 * protocol/request_header.h - the request headers that mean something to us
 *
 * What     Collects them in one pass and turns them into the arguments of CREATE and APPEND.
 * Why      A new header is one line of the list. The order of the checks is the protocol's
 * (sections 1.1 and 1.2), kept here in one place. Thread   Any; pure. Borrows  Names and values of
 * the request; what is filled in points into them.
 */
#ifndef SL_PROTOCOL_REQUEST_HEADER_H
#define SL_PROTOCOL_REQUEST_HEADER_H

#include "sluice/operation.h"

#ifdef __cplusplus
extern "C" {
#endif

/*    kind                     name in lower case */
#define SL_HEADER_LIST(X)                                                                          \
    X(CONTENT_TYPE, "content-type")                                                                \
    X(IF_NONE_MATCH, "if-none-match")                                                              \
    X(STREAM_SEQ, "stream-seq")                                                                    \
    X(STREAM_TTL, "stream-ttl")                                                                    \
    X(STREAM_EXPIRES_AT, "stream-expires-at")                                                      \
    X(STREAM_CLOSED, "stream-closed")                                                              \
    X(STREAM_FORKED_FROM, "stream-forked-from")                                                    \
    X(STREAM_FORK_OFFSET, "stream-fork-offset")                                                    \
    X(STREAM_FORK_SUB_OFFSET, "stream-fork-sub-offset")                                            \
    X(PRODUCER_ID, "producer-id")                                                                  \
    X(PRODUCER_EPOCH, "producer-epoch")                                                            \
    X(PRODUCER_SEQ, "producer-seq")

/* OTHER is 0: a header that is not ours. */
enum sl_header {
    SL_HEADER_OTHER = 0,
#define X(KIND, name) SL_HEADER_##KIND,
    SL_HEADER_LIST(X)
#undef X
};

enum {
    SL_HEADER_COUNT = 1
#define X(KIND, name) +1
    SL_HEADER_LIST(X)
#undef X
};

/* All zero: no headers. */
struct sl_request_headers {
    struct sl_bytes
        value[SL_HEADER_COUNT];     /* of the first one, without blanks around; else empty */
    bool present[SL_HEADER_COUNT];  /* was there, perhaps with an empty value */
    bool repeated[SL_HEADER_COUNT]; /* was there more than once */
};

/* Which header this is. */
enum sl_header sl_header_lookup(struct sl_bytes lower_case_name);

/* Takes note of one header of the request; others than ours are ignored. */
void sl_request_headers_add(struct sl_request_headers *headers, struct sl_bytes lower_case_name,
                            struct sl_bytes value);

/*
 * Fills config, close and the fork members of `create`; its name and data are the caller's.
 * `source_name` holds the name that fork_source borrows.
 * Errors, in this order: TTL_AND_EXPIRES_AT INVALID_TTL INVALID_EXPIRES_AT INVALID_FORK_OFFSET
 *   INVALID_CONTENT_TYPE (longer than allowed, or repeated; other unusable ones count as absent)
 *   INVALID_STREAM_NAME FORK_SOURCE_NOT_FOUND
 */
SL_NODISCARD enum sl_err sl_request_parse_create(const struct sl_request_headers *headers,
                                                 struct sl_bytes stream_root,
                                                 char source_name[SL_NAME_SIZE_MAX],
                                                 struct sl_create *create);

/*
 * Fills content_type, close, producer, seq and request_err of `append`; its name and parts are the
 * caller's. `body` is looked at only for being empty.
 * request_err, in this order: INVALID_PRODUCER EMPTY_BODY CONTENT_TYPE_REQUIRED
 * INVALID_CONTENT_TYPE (repeated) INVALID_SEQ
 */
void sl_request_parse_append(const struct sl_request_headers *headers, struct sl_bytes body,
                             struct sl_append *append);

#ifdef __cplusplus
}
#endif
#endif
