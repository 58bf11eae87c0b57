#include "http/catch_up.h"

#include "base/limits.h"
#include "http/page.h"
#include "http/reply.h"

/*
 * The bytes of one piece, between brackets where an array begins and ends. Returns how many runs.
 */
static size_t collect(const struct sl_exchange *exchange, const struct sl_read *read, bool is_first,
                      struct sl_bytes out[SL_READ_SLICES_MAX + 2])
{
    bool is_last = read->next == exchange->page_end;
    size_t count = 0;

    if (exchange->json && is_first)
        out[count++] = sl_bytes("[", 1);
    for (uint32_t i = 0; i < read->slice_count; i++)
        out[count++] = read->slices[i];
    if (exchange->json && is_last) {
        if (read->slice_count != 0)
            out[count - 1].size--; /* the comma after the last message */
        out[count++] = sl_bytes("]", 1);
    }
    return count;
}

static void on_next(struct sl_completion *completion, struct sl_operation *op)
{
    struct sl_exchange *exchange = SL_OBJECT(completion, struct sl_exchange, completion);
    const struct sl_read *read = &op->u.read;
    struct sl_bytes pieces[SL_READ_SLICES_MAX + 2];

    if (!sl_exchange_came_back(exchange))
        return;
    /* The stream is gone, or not what it was: the length that was promised cannot be kept. */
    if (op->err != SL_OK || read->next <= read->start || read->next > exchange->page_end) {
        sl_reply_abort(exchange);
        return;
    }
    size_t count = collect(exchange, read, false, pieces);
    sl_reply_send(exchange, pieces, count, read->next == exchange->page_end);
}

static void read_next(struct sl_exchange *exchange)
{
    uint64_t id = exchange->op->stream.id;
    uint64_t next = exchange->op->u.read.next;

    sl_exchange_put(exchange);
    struct sl_operation *op = sl_exchange_take(exchange, SL_OPERATION_READ, on_next);
    op->u.read.name = sl_exchange_name(exchange);
    op->u.read.from = SL_READ_FROM_OFFSET;
    op->u.read.offset = next;
    op->u.read.id = id;
    op->u.read.limit = exchange->page_end;
    op->u.read.page_size_max = SL_PAGE_SIZE_BYTES;
    op->u.read.piece_size_max = SL_PIECE_SIZE_BYTES;
    sl_exchange_submit(exchange);
}

void sl_catch_up_send(struct sl_exchange *exchange, uint64_t page_end)
{
    const struct sl_operation *op = exchange->op;
    const struct sl_read *read = &op->u.read;
    struct sl_bytes pieces[SL_READ_SLICES_MAX + 2];

    exchange->page_end = page_end;
    exchange->json = op->stream.json;
    exchange->on_proceed = read_next;
    size_t count = collect(exchange, read, true, pieces);
    if (read->next == page_end) {
        sl_reply_finish(exchange, pieces, count);
        return;
    }
    /* An array loses its last comma and gets two brackets. */
    sl_reply_stream(exchange, page_end - read->start + exchange->json);
    sl_reply_send(exchange, pieces, count, false);
}

static void on_first(struct sl_completion *completion, struct sl_operation *op)
{
    struct sl_exchange *exchange = SL_OBJECT(completion, struct sl_exchange, completion);
    struct sl_page page;

    if (!sl_exchange_came_back(exchange))
        return;
    if (op->err != SL_OK) {
        sl_reply_problem(exchange, op->err);
        return;
    }
    sl_page_describe(exchange, op, op->u.read.page_end, &page);
    if (sl_page_begin_reply(exchange, op, &page))
        sl_catch_up_send(exchange, page.end);
    else
        sl_reply_finish(exchange, NULL, 0);
}

void sl_catch_up_start(struct sl_exchange *exchange)
{
    struct sl_operation *op = sl_exchange_take(exchange, SL_OPERATION_READ, on_first);

    op->u.read.name = sl_exchange_name(exchange);
    op->u.read.from = exchange->query.from;
    op->u.read.offset = exchange->query.offset;
    op->u.read.request_err = exchange->query.err;
    op->u.read.page_size_max = SL_PAGE_SIZE_BYTES;
    op->u.read.piece_size_max = SL_PIECE_SIZE_BYTES;
    sl_exchange_submit(exchange);
}
