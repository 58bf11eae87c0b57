#include "http/exchange.h"

#include <string.h>

#include "base/memory.h"
#include "http/connection.h"
#include "http/reply.h"

enum {
    SPARE_MAX = 256,      /* kept per acceptor: as many as a busy turn needs */
    SPARE_NAME_SIZE = 64, /* bytes of a name for which there is room in a spare one */
};

static struct sl_exchange *allocate(struct sl_acceptor *acceptor, size_t name_size)
{
    struct sl_link *link = sl_link_first(&acceptor->spare_exchanges);

    if (name_size > SPARE_NAME_SIZE)
        return (struct sl_exchange *)sl_memory_alloc(sizeof(struct sl_exchange) + name_size);
    if (link == NULL)
        return (struct sl_exchange *)sl_memory_alloc(sizeof(struct sl_exchange) + SPARE_NAME_SIZE);
    sl_link_remove(link);
    acceptor->spare_exchange_count--;
    return SL_OBJECT(link, struct sl_exchange, link);
}

static void free_if_done(struct sl_exchange *exchange)
{
    struct sl_acceptor *acceptor = exchange->acceptor;

    if (exchange->req != NULL || exchange->op_under_way || exchange->held)
        return;
    if (exchange->op != NULL)
        sl_exchange_put(exchange);
    if (exchange->name_size <= SPARE_NAME_SIZE && acceptor->spare_exchange_count < SPARE_MAX) {
        acceptor->spare_exchange_count++;
        sl_link_prepend(&acceptor->spare_exchanges, &exchange->link);
    } else {
        sl_memory_free(exchange);
    }
}

void sl_exchanges_free_spare(struct sl_acceptor *acceptor)
{
    struct sl_link *link;

    while ((link = sl_link_first(&acceptor->spare_exchanges)) != NULL) {
        sl_link_remove(link);
        sl_memory_free(SL_OBJECT(link, struct sl_exchange, link));
    }
    acceptor->spare_exchange_count = 0;
}

struct sl_exchange *sl_exchange_create(struct sl_connection *connection, h2o_req_t *req,
                                       struct sl_bytes name)
{
    struct sl_exchange *exchange = allocate(connection->acceptor, name.size);

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
    connection->exchange = exchange;
    return exchange;
}

void sl_exchange_on_request_end(h2o_logger_t *logger, h2o_req_t *req)
{
    struct sl_exchange *exchange = sl_connection_of(req)->exchange;

    (void)logger;
    SL_ASSERT(exchange->req == req);
    if (req->res.status >= 400 && !req->http1_is_persistent)
        sl_connection_linger(exchange->connection);
    exchange->req = NULL;
    exchange->ended = true;
    if (exchange->sending) /* its last bytes are out, or its client is gone */
        sl_exchange_set_sending(exchange, false);
    exchange->connection->exchange = NULL;
    exchange->connection = NULL;
    if (exchange->on_gone != NULL)
        exchange->on_gone(exchange);
    free_if_done(exchange);
}

void sl_exchange_set_sending(struct sl_exchange *exchange, bool sending)
{
    SL_ASSERT(exchange->sending != sending);
    exchange->sending = sending;
    sl_connection_set_writing(exchange->connection, sending);
    if (sending)
        exchange->acceptor->sending++;
    else
        exchange->acceptor->sending--;
}

struct sl_operation *sl_exchange_take(struct sl_exchange *exchange, enum sl_operation_kind kind,
                                      void (*on_done)(struct sl_completion *,
                                                      struct sl_operation *))
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
    exchange->came_back = true;
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
