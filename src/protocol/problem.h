/*
 * protocol/problem.h - how an error looks to an HTTP client
 *
 * What     Status and RFC 9457 body of every error; the only place that decides a status.
 * Why      Static text only: nothing is built, nothing of the request is echoed, nothing can fail.
 * Thread   Any; constants only.
 * Format   {"type":"urn:sluice:error:CODE","title":"...","status":404,"detail":"...","code":"CODE"}
 */
#ifndef SL_PROTOCOL_PROBLEM_H
#define SL_PROTOCOL_PROBLEM_H

#include "sluice/error.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { SL_PROBLEM_SIZE_MAX = 512 }; /* no body has more bytes */

struct sl_problem {
    uint16_t status;    /* of HTTP, 400 to 599 */
    uint16_t body_size; /* bytes of body */
    bool retry_after;   /* the same request may succeed later: send Retry-After */
    const char *title;  /* what is wrong, a few words */
    const char *detail; /* what the client should do, whole sentences */
    const char *body;   /* the whole JSON text; static, NUL follows */
};

/* Of any error but SL_OK. Static. */
const struct sl_problem *sl_problem_of(enum sl_err err);

/* Its status at and below __ds, where an offset is one of an ack: that is a conflict. */
static inline int sl_problem_control_status(enum sl_err err)
{
    return err == SL_ERR_INVALID_OFFSET ? 409 : sl_problem_of(err)->status;
}

#ifdef __cplusplus
}
#endif
#endif
