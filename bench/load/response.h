/*
 * bench/load/response.h - reads HTTP/1.1 responses, as little of them as the load needs
 *
 * What     A parser that is pulled: every call says what comes next in the input.
 * Why      The generator shares the machine with the server, so it looks at the status, at how the
 *          body ends and at five headers, and at nothing else. Bytes are never copied but for the
 *          offset and the ETag, which the next request repeats.
 * Thread   One; pure.
 *
 * States   HEAD -> LENGTH | CHUNK_SIZE | UNTIL_CLOSE | (no body) HEAD
 *          CHUNK_SIZE -> CHUNK -> CHUNK_END -> CHUNK_SIZE; CHUNK_SIZE (0) -> TRAILER -> HEAD
 */
#ifndef LOAD_RESPONSE_H
#define LOAD_RESPONSE_H

#include "sluice/bytes.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    LOAD_RESPONSE_WORD_SIZE_MAX =
        95, /* bytes of an offset or ETag; a longer one counts as absent */
};

/* A header's value that is kept. */
struct load_word {
    uint8_t size; /* 0: absent */
    char text[LOAD_RESPONSE_WORD_SIZE_MAX];
};

enum load_response_state {
    LOAD_RESPONSE_IN_HEAD,
    LOAD_RESPONSE_IN_LENGTH,
    LOAD_RESPONSE_IN_CHUNK_SIZE,
    LOAD_RESPONSE_IN_CHUNK,
    LOAD_RESPONSE_IN_CHUNK_END,
    LOAD_RESPONSE_IN_TRAILER,
    LOAD_RESPONSE_UNTIL_CLOSE,
};

/* All zero is the start of a connection. What the head said stays until the next head. */
struct load_response {
    enum load_response_state state;
    uint16_t status;         /* 100 to 599 */
    bool close;              /* the server ends the connection after this one */
    bool up_to_date;         /* Stream-Up-To-Date */
    bool retry_after;        /* Retry-After */
    uint64_t left;           /* bytes of the body or of the chunk that are still to come */
    struct load_word offset; /* Stream-Next-Offset */
    struct load_word etag;
};

enum load_response_event {
    LOAD_RESPONSE_MORE, /* the rest of the input is part of a line: call again with more of it */
    LOAD_RESPONSE_HEAD, /* the head is complete, the response is not */
    LOAD_RESPONSE_BODY, /* *body is what the body goes on with, 1 byte or more */
    LOAD_RESPONSE_END,  /* the response is complete */
    LOAD_RESPONSE_BAD,  /* this is no HTTP/1.1; the connection is of no use any more */
};

/* Takes from the front of `input` what it has understood; *body borrows from it. */
enum load_response_event load_response_next(struct load_response *response, struct sl_bytes *input,
                                            struct sl_bytes *body);

#ifdef __cplusplus
}
#endif
#endif
