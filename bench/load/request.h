/*
 * bench/load/request.h - the bytes of a role's requests
 *
 * What     Formatted once; a request is a copy with a few fields written over: the stream's number,
 *          the producer's, its sequence, the time, the offset.
 * Why      Formatting for every request would cost more than sending it.
 * Thread   Main makes it; afterwards it is constant.
 *
 * Format   Body of an append: "@", the time in 16 hexadecimal digits of nanoseconds, ";", and a
 *          filling up to its size; as JSON that stands in the first of the messages. A body of
 *          fewer bytes has no time. Whoever gets the body finds the time in it, unless it is
 *          encoded.
 */
#ifndef LOAD_REQUEST_H
#define LOAD_REQUEST_H

#include "base/buffer.h"
#include "load/plan.h"
#include "load/response.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    LOAD_TIME_MARK = '@',
    LOAD_TIME_DIGITS = 16,
    /* Bytes; the rest of a larger body is not copied but sent from one filling. */
    LOAD_COPIED_BODY_MAX = 16 * 1024,
};

struct load_request {
    struct sl_buffer text; /* what is copied */
    size_t filling;        /* bytes of the filling that follow it */
    size_t stream_at;      /* where the 8 digits of the stream are */
    size_t time_at;        /* where the digits of the time are, 0: nowhere */
    size_t producer_at;    /* 8 digits of the producer's number, 0: it is none */
    size_t sequence_at;    /* its sequence, up to 20 digits */
    size_t offset_at;      /* where the offset belongs, 0: it has none */
    size_t condition_at;   /* where the line with the ETag belongs */
};

/* What one request is about. */
struct load_fields {
    uint64_t stream;
    uint64_t producer;
    uint64_t sequence;
    uint64_t time_ns;
    const struct load_word *offset; /* borrowed; needed when the request has one */
    const struct load_word *etag;   /* borrowed; NULL or empty: no condition */
};

/* `run` tells the producers of one run from those of another. */
void load_request_init(struct load_request *request, const struct load_plan *plan,
                       const struct load_role *role, uint32_t run);
/* Catch-up at the end of the stream, for whoever needs to know where that is. */
void load_request_init_look(struct load_request *request, const struct load_plan *plan,
                            const struct load_role *role);
void load_request_deinit(struct load_request *request);

/* The bytes that load_request_write() writes at most. */
size_t load_request_size_max(const struct load_request *request);

/* Writes a request to `out`, but for its filling. Returns its bytes. */
size_t load_request_write(const struct load_request *request, const struct load_fields *fields,
                          uint8_t *out);

#ifdef __cplusplus
}
#endif
#endif
