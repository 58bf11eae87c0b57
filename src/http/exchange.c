#include "http/exchange.h"

#include <string.h>

#include "base/memory.h"
#include "http/connection.h"
#include "http/reply.h"

/* In the memory of the request, which h2o clears when the request ends in whatever way. */
struct guard {
    struct sl_exchange *exchange; /* borrowed */
};

static void free_if_done(struct sl_exchange *exchange)
{
    if (exchange->req != NULL || exchange->op_under_way || exchange->held)
        return;
    if (exchange->op != NULL)
        sl_exchange_put(exchange);
    sl_memory_free(exchange);
}

static void on_request_end(void *memory)
{
    struct guard *guard = (struct guard *)memory;
    struct sl_exchange *exchange = guard->exchange;

    SL_ASSERT(exchange->req != NULL);
    exchange->req = NULL;
    exchange->ended = true;
    exchange->connection->exchange = NULL;
    exchange->connection = NULL;
    sl_link_remove(&exchange->link);
    if (exchange->on_gone != NULL)
        exchange->on_gone(exchange);
    free_if_done(exchange);
}

struct sl_exchange *sl_exchange_create(struct sl_connection *connection, h2o_req_t *req,
                                       struct sl_bytes name)
{
    struct sl_exchange *exchange =
        (struct sl_exchange *)sl_memory_alloc(sizeof *exchange + name.size);
    struct guard *guard =
        (struct guard *)h2o_mem_alloc_shared(&req->pool, sizeof *guard, on_request_end);

    SL_ASSERT(connection->exchange == NULL);
    memset(exchange, 0, sizeof *exchange);
    exchange->acceptor = connection->acceptor;
    exchange->connection = connection;
    exchange->req = req;
    exchange->operation = SL_METRIC_OPERATION_OTHER;
    exchange->name_size = name.size;
    if (name.size != 0)
        memcpy(exchange->name, name.data, name.size);
    sl_link_init(&exchange->link);
    sl_link_append(&connection->acceptor->exchanges, &exchange->link);
    connection->exchange = exchange;
    guard->exchange = exchange;
    return exchange;
}

struct sl_operation *sl_exchange_take(struct sl_exchange *exchange, enum sl_operation_kind kind,
                                      void (*on_done)(struct sl_completion *, struct sl_operation *))
{
    SL_ASSERT(exchange->op == NULL);
    exchange->op = sl_session_take(exchange->acceptor->session, kind);
    exchange->completion.on_done = on_done;
    exchange->op->context = &exchange->completion;
    return exchange->op;
}

void sl_exchange_submit(struct sl_exchange *exchange)
{
    SL_ASSERT(exchange->op != NULL);
    SL_ASSERT(!exchange->op_under_way);
    exchange->op_under_way = true;
    sl_session_submit(exchange->acceptor->session, exchange->op);
}

bool sl_exchange_came_back(struct sl_exchange *exchange)
{
    SL_ASSERT(exchange->op_under_way);
    exchange->op_under_way = false;
    if (exchange->req == NULL) {
        free_if_done(exchange);
        return false;
    }
    if (exchange->ended) {
        sl_reply_end_cut(exchange);
        return false;
    }
    return true;
}

void sl_exchange_put(struct sl_exchange *exchange)
{
    SL_ASSERT(exchange->op != NULL);
    SL_ASSERT(!exchange->op_under_way);
    sl_session_put(exchange->acceptor->session, &exchange->op);
}

void sl_exchange_hold(struct sl_exchange *exchange)
{
    SL_ASSERT(!exchange->held);
    exchange->held = true;
}

void sl_exchange_release(struct sl_exchange *exchange)
{
    SL_ASSERT(exchange->held);
    exchange->held = false;
    free_if_done(exchange);
}
