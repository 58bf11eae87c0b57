#include "protocol/problem.h"

#include "base/assert.h"
#include "base/limits.h"
#include "sluice/operation.h"

/*
 * code, status, whether the same request may succeed later, title, what the client should do.
 * The texts become JSON as they are: no quotes, no backslashes.
 */
#define PROBLEM_LIST(X)                                                                            \
    X(NOT_FOUND, 404, false, "Stream not found",                                                   \
      "Create the stream with PUT, or check the path; it may have expired or been deleted.")       \
    X(GONE, 410, false, "Stream deleted",                                                          \
      "The stream was deleted and is kept only for its forks. Use another path.")                  \
    X(CONFIG_MISMATCH, 409, false, "Stream exists with another configuration",                     \
      "Read the configuration, and whether it is closed, with HEAD and repeat the PUT with "       \
      "it, or use another path.")                                                                  \
    X(PATH_BLOCKED, 409, false, "Path in use by a deleted stream",                                 \
      "Forks still read from the deleted stream. Delete them first, or use another path.")         \
    X(FORK_SOURCE_NOT_FOUND, 404, false, "Fork source not found",                                  \
      "Set Stream-Forked-From to the path of an existing stream of this server, as in its URL.")   \
    X(FORK_SOURCE_GONE, 409, false, "Fork source deleted",                                         \
      "The source was deleted and is kept only for its forks. Fork from another stream.")          \
    X(FORK_TOO_DEEP, 400, false, "Too many ancestors",                                             \
      "A fork may have bytes of at most 256 ancestors. Fork from a stream that is itself nearer "  \
      "to "                                                                                        \
      "the first source.")                                                                         \
    X(STREAM_CLOSED, 409, false, "Stream closed",                                                  \
      "Nothing can be appended any more. Stream-Next-Offset is the final offset.")                 \
    X(CONTENT_TYPE_MISMATCH, 409, false, "Content type mismatch",                                  \
      "Read the Content-Type of the stream with HEAD and resend with it.")                         \
    X(CONTENT_TYPE_REQUIRED, 400, false, "Content type required",                                  \
      "Resend the body with the Content-Type of the stream.")                                      \
    X(INVALID_CONTENT_TYPE, 400, false, "Invalid content type",                                    \
      "Send one Content-Type of at most 255 bytes, for instance application/json.")                \
    X(SEQ_ORDERING_VIOLATION, 409, false, "Sequence out of order",                                 \
      "Stream-Seq must sort, byte by byte, above the last accepted one. Resend it with a "         \
      "larger one, or drop it if it was accepted before.")                                         \
    X(INVALID_SEQ, 400, false, "Invalid sequence", "Send one Stream-Seq of at most 256 bytes.")    \
    X(SEQUENCE_GAP, 409, false, "Producer sequence gap",                                           \
      "Resend from Producer-Expected-Seq on, in order.")                                           \
    X(EPOCH_FENCED, 403, false, "Producer epoch fenced",                                           \
      "A newer instance of this producer is active; its epoch is in Producer-Epoch. Stop, or "     \
      "start again with a larger epoch and sequence 0.")                                           \
    X(INVALID_PRODUCER_STATE, 400, false, "New epoch not at sequence 0",                           \
      "Start a new producer epoch with Producer-Seq: 0.")                                          \
    X(INVALID_PRODUCER, 400, false, "Invalid producer headers",                                    \
      "Send Producer-Id (1 to 256 bytes), Producer-Epoch and Producer-Seq (0 to 2^53 - 1) "        \
      "together and once each, or none of them.")                                                  \
    X(TOO_MANY_PRODUCERS, 429, true, "Too many producers",                                         \
      "Reuse a Producer-Id that the stream knows, or use another stream. The limit is "            \
      "--producers-per-stream-max of the server.")                                                 \
    X(INVALID_OFFSET, 400, false, "Invalid offset",                                                \
      "Send offset once, as -1, now, or a Stream-Next-Offset of this stream; live reads need "     \
      "one.")                                                                                      \
    X(INVALID_FORK_OFFSET, 400, false, "Invalid fork point",                                       \
      "Stream-Fork-Offset is a Stream-Next-Offset of the source. Stream-Fork-Sub-Offset is a "     \
      "number that stays within the append after it. Both need Stream-Forked-From.")               \
    X(INVALID_JSON, 400, false, "Invalid JSON",                                                    \
      "The body must be one JSON text in UTF-8 (RFC 8259), at most 1,024 levels deep. Nothing "    \
      "was "                                                                                       \
      "appended.")                                                                                 \
    X(EMPTY_BODY, 400, false, "Empty body",                                                        \
      "Send data, or Stream-Closed: true to close the stream without data.")                       \
    X(EMPTY_ARRAY, 400, false, "Empty array",                                                      \
      "Put at least one message into the array; send [[]] to append an empty array.")              \
    X(TOO_MANY_MESSAGES, 413, false, "Too many messages",                                          \
      "Split the array: at most 262,144 messages in a request.")                                   \
    X(PAYLOAD_TOO_LARGE, 413, false, "Body too large",                                             \
      "Split the data and send it in several requests. The limit is --max-body-bytes of the "      \
      "server, or 7/16 of its --wal-file-bytes if that is less.")                                  \
    X(INVALID_TTL, 400, false, "Invalid time to live",                                             \
      "Stream-TTL is a number of seconds: 0, or digits without a leading zero, at most "           \
      "2^53 - 1.")                                                                                 \
    X(INVALID_EXPIRES_AT, 400, false, "Invalid expiry instant",                                    \
      "Stream-Expires-At is an RFC 3339 date-time of at most 63 bytes, for instance "              \
      "2030-01-31T12:00:00Z.")                                                                     \
    X(TTL_AND_EXPIRES_AT, 400, false, "Two kinds of expiry",                                       \
      "Send either Stream-TTL or Stream-Expires-At.")                                              \
    X(INVALID_STREAM_NAME, 400, false, "Invalid stream name",                                      \
      "Use a path of non-empty segments, not . or .., percent-encoded UTF-8 without control "      \
      "characters.")                                                                               \
    X(NAME_TOO_LONG, 414, false, "Stream name too long",                                           \
      "Use at most 1024 bytes below the stream root, percent-encoded, and at most 8192 with "      \
      "the query.")                                                                                \
    X(UNKNOWN_PATH, 404, false, "Nothing at this path",                                            \
      "Streams are below the stream root, by default /v1/stream/NAME.")                            \
    X(RESERVED_NAME, 404, false, "Reserved path",                                                  \
      "Paths at and below __ds are not streams. Use another path.")                                \
    X(BAD_REQUEST, 400, false, "Bad request",                                                      \
      "Send HTTP/1.1 with one Host, at most one of Content-Length and Transfer-Encoding, lines "   \
      "that end with CR LF, no folded headers, no NUL, no white space before a colon, and at "     \
      "most "                                                                                      \
      "100 headers in 408 KiB.")                                                                   \
    X(METHOD_NOT_ALLOWED, 405, false, "Method not allowed",                                        \
      "The Allow header lists the methods of this path.")                                          \
    X(INVALID_REQUEST, 400, false, "Invalid request", "The message says what is wrong.")           \
    X(SUBSCRIPTION_NOT_FOUND, 404, false, "Subscription not found",                                \
      "Create the subscription with PUT, or check its id and the path.")                           \
    X(SUBSCRIPTION_ALREADY_EXISTS, 409, false, "Subscription exists with another configuration",   \
      "Read it with GET, delete it first, or use another id.")                                     \
    X(WEBHOOK_URL_REJECTED, 400, false, "Webhook URL rejected",                                    \
      "Use an https URL of a public host.")                                                        \
    X(TOKEN_INVALID, 401, false, "Invalid token",                                                  \
      "Send the token of the wake or claim as Authorization: Bearer.")                             \
    X(TOKEN_EXPIRED, 401, false, "Token expired", "Claim again, or wait for the next wake.")       \
    X(FENCED, 409, false, "Wake is not current",                                                   \
      "Stop working on this wake: it was done, released, or its lease has run out.")               \
    X(ALREADY_CLAIMED, 409, false, "Subscription claimed", "Wait for the next wake event.")        \
    X(NO_PENDING_WORK, 409, false, "Nothing to be done", "Wait for the next wake event.")          \
    X(TOO_MANY_SUBSCRIPTIONS, 429, true, "Too many subscriptions",                                 \
      "Delete subscriptions that are not needed, or try again later. The limit is "                \
      "--subscriptions-max of the server.")                                                        \
    X(TOO_MANY_LINKS, 429, true, "Too many links",                                                 \
      "Use patterns that match fewer streams, or delete subscriptions that are not needed. The "   \
      "limit is --subscription-links-max of the server.")                                          \
    X(TOO_MANY_STREAMS, 429, true, "Too many streams",                                             \
      "Delete streams that are not needed, or subscriptions, each of which is kept in one, or "    \
      "try again later. The limit is --streams-max of the server.")                                \
    X(TOO_MANY_READERS, 429, true, "Too many live readers",                                        \
      "Try again later, or read without live. The limit is --live-readers-max of the server.")     \
    X(MEMORY_LIMIT_EXCEEDED, 503, true, "Memory budget used up",                                   \
      "Nothing was changed. Try again later, or delete streams that are not needed. The limit is " \
      "--memory-budget-bytes of the server.")                                                      \
    X(STORAGE_FAILED, 503, false, "Disk failed",                                                   \
      "The change may or may not have happened: read the stream, or retry with a producer, once "  \
      "the server was restarted.")                                                                 \
    X(DISK_FULL, 507, true, "Disk full",                                                           \
      "Nothing was changed. Reads still work, deletes and closes too while there is room for "     \
      "them; try again when there is space.")                                                      \
    X(DATA_DAMAGED, 500, false, "Stored bytes damaged",                                            \
      "These bytes cannot be read; other parts of the stream can. Tell the operator.")             \
    X(DATA_DIRECTORY, 500, false, "Data directory not usable", "Tell the operator.")               \
    X(DATA_CORRUPT, 500, false, "Data directory corrupt", "Tell the operator.")                    \
    X(DATA_LOCKED, 500, false, "Data directory in use", "Tell the operator.")                      \
    X(DATA_VERSION, 500, false, "Data directory of another version", "Tell the operator.")         \
    X(DATA_SHARDS, 500, false, "Data directory for other shards", "Tell the operator.")            \
    X(DATA_KIND, 500, false, "Data directory of another kind", "Tell the operator.")               \
    X(DESTINATION_IN_USE, 500, false, "Destination in use", "Tell the operator.")                  \
    X(DESTINATION_UNUSABLE, 500, false, "Destination not usable", "Tell the operator.")            \
    X(DATA_VOLATILE, 500, false, "Data directory in memory", "Tell the operator.")                 \
    X(OVERLOADED, 503, true, "Server busy", "Nothing was changed. Try again later.")               \
    X(SHUTTING_DOWN, 503, true, "Server shutting down", "Try again later.")                        \
    X(CANCELLED, 503, false, "Request cancelled", "Send the request again.")                       \
    X(INVALID_ARGUMENT, 400, false, "Argument out of range",                                       \
      "Check the request against the limits of the protocol.")

#define BODY(CODE, status, title, detail)                                                          \
    "{\"type\":\"urn:sluice:error:" #CODE "\",\"title\":\"" title "\",\"status\":" #status         \
    ",\"detail\":\"" detail "\",\"code\":\"" #CODE "\"}"

static const struct sl_problem problems[SL_ERR_COUNT] = {
#define X(CODE, status, retry_after, title, detail)                                                \
    [SL_ERR_##CODE] = { status,      sizeof(BODY(CODE, status, title, detail)) - 1,                \
                        retry_after, title,                                                        \
                        detail,      BODY(CODE, status, title, detail) },
    PROBLEM_LIST(X)
#undef X
};

#define X(CODE, status, retry_after, title, detail)                                                \
    SL_STATIC_ASSERT(sizeof(BODY(CODE, status, title, detail)) - 1 <= SL_PROBLEM_SIZE_MAX, #CODE);
PROBLEM_LIST(X)
#undef X

/* What the texts say of limits. */
SL_STATIC_ASSERT(SL_FORK_DEPTH_MAX == 256, "FORK_TOO_DEEP");
SL_STATIC_ASSERT(SL_CONTENT_TYPE_SIZE_MAX == 255, "INVALID_CONTENT_TYPE");
SL_STATIC_ASSERT(SL_SEQ_SIZE_MAX == 256, "INVALID_SEQ");
SL_STATIC_ASSERT(SL_PRODUCER_ID_SIZE_MAX == 256, "INVALID_PRODUCER");
SL_STATIC_ASSERT(SL_PRODUCER_NUMBER_MAX == (UINT64_C(1) << 53) - 1, "INVALID_PRODUCER");
SL_STATIC_ASSERT(SL_JSON_DEPTH_MAX == 1024, "INVALID_JSON");
SL_STATIC_ASSERT(SL_MESSAGES_PER_REQUEST_MAX == 262144, "TOO_MANY_MESSAGES");
SL_STATIC_ASSERT(SL_EXPIRES_TEXT_SIZE_MAX == 63, "INVALID_EXPIRES_AT");
SL_STATIC_ASSERT(SL_NAME_SIZE_MAX == 1024, "NAME_TOO_LONG");
SL_STATIC_ASSERT(SL_TARGET_SIZE_MAX == 8192, "NAME_TOO_LONG");
SL_STATIC_ASSERT(SL_HEADERS_MAX == 100, "BAD_REQUEST");

/* Every error has its line in the list, and once: two would give one name to two of these. */
enum {
    PROBLEM_OF_SL_OK,
#define X(CODE, status, retry_after, title, detail) PROBLEM_OF_##CODE,
    PROBLEM_LIST(X)
#undef X
        PROBLEM_COUNT
};
SL_STATIC_ASSERT((int)PROBLEM_COUNT == (int)SL_ERR_COUNT, "an error has no problem");

const struct sl_problem *sl_problem_of(enum sl_err err)
{
    SL_ASSERT(err > SL_OK);
    SL_ASSERT((int)err < (int)SL_ERR_COUNT);
    return &problems[err];
}
