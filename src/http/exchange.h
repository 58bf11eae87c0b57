/*
 * http/exchange.h - one request and its answer
 *
 * What     Lives from on_req until the answer is out (or the client is gone) and every operation
 *          made for it has come back. Holds what must outlive the h2o_req_t: name and operation.
 * Why      h2o frees a request when its answer is out or its connection dies; an operation may be
 *          at a shard at that moment. So operations point at exchanges, never at requests.
 * Thread   The acceptor's.
 *
 * States   op == NULL            nothing at the engine
 *          op, op_under_way      submitted; the arguments that op borrows live here or in req
 *          op, !op_under_way     done; held while its bytes are sent (put back on proceed)
 *          ended                 the last byte was handed to h2o, or the connection was cut
 *          req == NULL           client gone or answer complete; freed as soon as !op_under_way
 *
 * Invariants
 *   (1) on_gone is called once for every exchange that has one: when its request has ended, for
 *       whatever reason. Afterwards nobody but the way back of its operation touches the exchange.
 *   (2) Nothing is sent once `ended`.
 */
#ifndef SL_HTTP_EXCHANGE_H
#define SL_HTTP_EXCHANGE_H

#include "base/link.h"
#include "http/acceptor.h"
#include "protocol/query.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sl_connection;

enum {
    SL_CHUNK_HEAD_SIZE_MAX = 18, /* bytes: the size of a chunk in hexadecimal, CR, LF */
};

struct sl_exchange {
    h2o_generator_t generator;        /* first: h2o hands a pointer to it back */
    struct sl_completion completion;  /* of op */
    struct sl_acceptor *acceptor;     /* borrowed */
    struct sl_connection *connection; /* borrowed: as long as req */
    h2o_req_t *req;                   /* borrowed: until answered or gone; then NULL */
    struct sl_operation *op;          /* owned, or NULL */
    bool op_under_way;                /* submitted and not back */
    bool came_back;                   /* one did: h2o calls nobody who answers now */
    bool started;                     /* the head of the answer is complete */
    bool sending;                     /* bytes were handed out, on_proceed comes */
    bool ended;                       /* nothing more may be sent */
    bool held;                        /* not freed now, even if all is done */
    bool head_only;                   /* the method is HEAD: no body leaves */
    bool json;                        /* catch-up: the page is an array */
    bool chunked;                     /* the body is: pieces may go to the socket at once */
    struct sl_bytes head; /* of the answer, until it is handed to h2o; borrowed from req */
    enum sl_metric_operation operation; /* what is counted */
    struct sl_query query;              /* of a GET */
    struct sl_bytes path;      /* of the request, raw; borrowed from req, as the two below */
    struct sl_bytes authority; /* host and port as the client calls us, or empty */
    struct sl_bytes body;      /* of the request */
    uint64_t page_end;         /* catch-up: where the answer ends */
    /* Set by who drives the answer after the first byte; called in the acceptor's thread. */
    void (*on_proceed)(struct sl_exchange *exchange); /* may send again */
    void (*on_gone)(struct sl_exchange *exchange);    /* req is NULL now; may be NULL */
    void *driver;                                     /* on_proceed's and on_gone's own */
    char chunk_head[SL_CHUNK_HEAD_SIZE_MAX];          /* of the chunk that is being written */
    struct sl_link link; /* of the acceptor's spare ones, or large requests */
    size_t name_size;    /* canonical stream name */
    char name[1];        /* name_size bytes, allocated behind */
};

/* The canonical name, valid as long as the exchange. */
static inline struct sl_bytes sl_exchange_name(const struct sl_exchange *exchange)
{
    return sl_bytes(exchange->name, exchange->name_size);
}

/* An exchange for this request of this connection; copies `name`. It ends with the request. */
struct sl_exchange *sl_exchange_create(struct sl_connection *connection, h2o_req_t *req,
                                       struct sl_bytes name);

/*
 * The log_access of h2o, which is called when a request ends in whatever way, before its memory
 * goes. The generator's stop would miss requests that are not answered yet.
 */
void sl_exchange_on_request_end(h2o_logger_t *logger, h2o_req_t *req);

/*
 * Bytes were handed out, or are out: that changes `sending` and what the acceptor counts of it, and
 * the connection's stall check begins anew.
 */
void sl_exchange_set_sending(struct sl_exchange *exchange, bool sending);

/* Exchanges are used again: frees those that wait for that. */
void sl_exchanges_free_spare(struct sl_acceptor *acceptor);

/*
 * Takes an operation of this kind whose completion is this exchange's; fill in and submit.
 * The exchange has none at the moment.
 */
struct sl_operation *sl_exchange_take(struct sl_exchange *exchange, enum sl_operation_kind kind,
                                      void (*on_done)(struct sl_completion *,
                                                      struct sl_operation *));
void sl_exchange_submit(struct sl_exchange *exchange);
/* First thing in on_done: marks the operation as back. False: the client is gone, all is freed. */
bool sl_exchange_came_back(struct sl_exchange *exchange);
/* Puts the operation back to the session. */
void sl_exchange_put(struct sl_exchange *exchange);

/* From now on the exchange stays until release, whatever happens to its request. */
void sl_exchange_hold(struct sl_exchange *exchange);
void sl_exchange_release(struct sl_exchange *exchange);

#ifdef __cplusplus
}
#endif
#endif
