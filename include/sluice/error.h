/*
 * sluice/error.h - every way an operation can end
 *
 * What     The one list of result codes; the name is also the stable `code` of a problem reply.
 * Why      One list, so that a new error is one line here and one line in protocol/problem.c.
 * Thread   Any; constants only.
 */
#ifndef SLUICE_ERROR_H
#define SLUICE_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

#define SL_NODISCARD __attribute__((warn_unused_result))

/*    name                       text: what happened */
#define SL_ERR_LIST(X)                                                                             \
    X(NOT_FOUND, "there is no such stream")                                                        \
    X(GONE, "the stream was deleted; forks still read from it")                                    \
    X(CONFIG_MISMATCH, "the stream exists with another configuration")                             \
    X(PATH_BLOCKED, "a deleted stream of this name is still read by its forks")                    \
    X(FORK_SOURCE_NOT_FOUND, "there is no stream to fork from")                                    \
    X(FORK_SOURCE_GONE, "the stream to fork from was deleted")                                     \
    X(FORK_TOO_DEEP, "the stream to fork from has too many ancestors")                             \
    X(STREAM_CLOSED, "the stream is closed")                                                       \
    X(CONTENT_TYPE_MISMATCH, "the content type differs from that of the stream")                   \
    X(CONTENT_TYPE_REQUIRED, "a body needs a content type")                                        \
    X(INVALID_CONTENT_TYPE, "the content type is not usable")                                      \
    X(SEQ_ORDERING_VIOLATION, "the sequence is not above the last accepted one")                   \
    X(INVALID_SEQ, "the sequence is too long")                                                     \
    X(SEQUENCE_GAP, "the producer sequence leaves a gap")                                          \
    X(EPOCH_FENCED, "a newer epoch of this producer is known")                                     \
    X(INVALID_PRODUCER_STATE, "a new producer epoch starts at sequence 0")                         \
    X(INVALID_PRODUCER, "the producer id, epoch or sequence is malformed")                         \
    X(TOO_MANY_PRODUCERS, "the stream has as many producers as it may have")                       \
    X(INVALID_OFFSET, "the offset is not one of this stream")                                      \
    X(INVALID_FORK_OFFSET, "the fork point is not one of the source stream")                       \
    X(INVALID_JSON, "the body is not valid JSON")                                                  \
    X(EMPTY_BODY, "there is nothing to append")                                                    \
    X(EMPTY_ARRAY, "an empty array appends nothing")                                               \
    X(TOO_MANY_MESSAGES, "the request holds too many messages")                                    \
    X(PAYLOAD_TOO_LARGE, "the body is larger than allowed")                                        \
    X(INVALID_TTL, "the time to live is malformed")                                                \
    X(INVALID_EXPIRES_AT, "the expiry instant is malformed")                                       \
    X(TTL_AND_EXPIRES_AT, "a stream has a time to live or an expiry instant, not both")            \
    X(INVALID_STREAM_NAME, "the stream name is malformed")                                         \
    X(NAME_TOO_LONG, "the stream name is too long")                                                \
    X(UNKNOWN_PATH, "nothing is served at this path")                                              \
    X(RESERVED_NAME, "the name is reserved")                                                       \
    X(BAD_REQUEST, "the request is malformed")                                                     \
    X(METHOD_NOT_ALLOWED, "the method is not supported here")                                      \
    X(INVALID_REQUEST, "the request is not one that can be understood")                            \
    X(SUBSCRIPTION_NOT_FOUND, "there is no such subscription")                                     \
    X(SUBSCRIPTION_ALREADY_EXISTS, "the subscription exists with another configuration")           \
    X(WEBHOOK_URL_REJECTED, "the URL of the webhook is not allowed")                               \
    X(TOKEN_INVALID, "the token is missing, malformed, or not one of this subscription")           \
    X(TOKEN_EXPIRED, "the lease of the token has run out")                                         \
    X(FENCED, "the wake is not the current one")                                                   \
    X(ALREADY_CLAIMED, "another worker holds the lease")                                           \
    X(NO_PENDING_WORK, "there is nothing to be done")                                              \
    X(TOO_MANY_SUBSCRIPTIONS, "the server has as many subscriptions as it may have")               \
    X(TOO_MANY_LINKS, "subscriptions link as many streams as they may")                            \
    X(TOO_MANY_STREAMS, "the server has as many streams as it may have")                           \
    X(TOO_MANY_READERS, "the server has as many live readers as it may have")                      \
    X(MEMORY_LIMIT_EXCEEDED, "the memory budget is used up")                                       \
    X(STORAGE_FAILED, "the disk has failed; what became of the change is not known")               \
    X(DISK_FULL, "the disk is full")                                                               \
    X(DATA_DAMAGED, "the stored bytes are damaged")                                                \
    X(DATA_DIRECTORY, "the data directory cannot be used")                                         \
    X(DATA_CORRUPT, "the data directory is corrupt")                                               \
    X(DATA_LOCKED, "another process has the data directory open")                                  \
    X(DATA_VERSION, "the data directory has a version that this program does not know")            \
    X(DATA_SHARDS, "the data directory was made for another number of shards")                     \
    X(DATA_KIND, "a backup is no data directory, and a data directory is no backup")               \
    X(DESTINATION_IN_USE,                                                                          \
      "the destination is there and not empty; with a file INCOMPLETE in it, it may be removed")   \
    X(DESTINATION_UNUSABLE, "the destination cannot be made or used: its parent has to be there, " \
                            "and writable for the user that runs the server")                      \
    X(DATA_VOLATILE, "the data directory is on a file system that forgets everything")             \
    X(OVERLOADED, "the server is busy")                                                            \
    X(SHUTTING_DOWN, "the server is shutting down")                                                \
    X(CANCELLED, "the operation was cancelled by its caller")                                      \
    X(INVALID_ARGUMENT, "an argument is out of range")

/* SL_OK is 0; an error is positive. */
enum sl_err {
    SL_OK = 0,
#define X(NAME, text) SL_ERR_##NAME,
    SL_ERR_LIST(X)
#undef X
};

enum {
    SL_ERR_COUNT = 1
#define X(NAME, text) +1
    SL_ERR_LIST(X)
#undef X
};

/* The stable code ("NOT_FOUND"); "OK" for SL_OK. Static text. */
const char *sl_err_code(enum sl_err err);
/* One sentence in lower case without a full stop. Static text. */
const char *sl_err_text(enum sl_err err);

#ifdef __cplusplus
}
#endif
#endif
