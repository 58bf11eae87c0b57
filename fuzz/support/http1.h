/*
 * fuzz/support/http1.h - HTTP/1 as a strict stranger reads it
 *
 * What     Cuts what a client sends into requests, and what a server sends into answers.
 * Why      Shares no line with the server or with h2o: where it and the server disagree about where
 *          a request ends, somebody can hide one request in another.
 * Thread   Any; pure functions.
 */
#ifndef SL_FUZZ_SUPPORT_HTTP1_H
#define SL_FUZZ_SUPPORT_HTTP1_H

#include "base/buffer.h"
#include "sluice/bytes.h"

#ifdef __cplusplus
extern "C" {
#endif

enum http1_verdict {
    HTTP1_GOOD, /* must be answered as what it is */
    HTTP1_ODD,  /* may be answered or refused; where it ends is plain */
    HTTP1_BAD,  /* must be refused, and the connection ended; nothing behind it is a request */
    HTTP1_CUT,  /* the bytes end inside of it: no answer, or it is refused like a bad one */
};

struct http1_request {
    enum http1_verdict verdict;
    size_t start;    /* of its first line in all that was sent */
    bool is_head;    /* the method is HEAD: the answer has no body */
    bool is_old;     /* before HTTP/1.1: the answer is not chunked */
    bool must_close; /* its answer is the last one of the connection */
    bool expects;    /* asks for 100 Continue */
    bool is_live;    /* a live read, which ends with its client */
};

/* The request that `sent` has at *at; moves *at behind it, or to the end if that is not known. */
struct http1_request http1_take_request(struct sl_bytes sent, size_t *at, size_t body_size_max);

struct http1_answer {
    int status;
    bool closes;                  /* the connection ends behind it */
    bool cut;                     /* the bytes end inside of it */
    struct sl_bytes content_type; /* borrowed from what was received; empty: none */
    struct sl_buffer body;        /* owned: decoded */
};

/*
 * The answer to `request` that *received begins with, which is moved behind it. What is malformed
 * ends the process.
 */
void http1_take_answer(struct sl_bytes *received, const struct http1_request *request,
                       struct http1_answer *answer);
void http1_answer_deinit(struct http1_answer *answer);

#ifdef __cplusplus
}
#endif
#endif
