#include "http/live_internal.h"

#include "http/catch_up.h"
#include "http/live_group_internal.h"
#include "http/page.h"
#include "http/reply.h"
#include "protocol/cursor.h"

static void finish(struct sli_member *member, const struct sl_bytes *body, size_t count)
{
    sli_group_leave(member);
    sl_timer_clear(&member->alarm.timer);
    member->state = SLI_MEMBER_ENDING;
    sl_reply_finish(member->exchange, body, count);
}

static void add_cursor(struct sli_member *member)
{
    uint64_t current = sl_cursor_next(false, 0, member->live->acceptor->wall_ms, 0);
    uint64_t cursor = current > member->cursor ? current : member->cursor;
    sl_reply_header_number(member->exchange, "Stream-Cursor", cursor);
}

/* False: the client has the page. */
static bool begin_page(struct sli_member *member, const struct sl_operation *op, uint64_t end)
{
    struct sl_page page;
    sl_page_describe(member->exchange, op, end, &page);
    bool is_new = sl_page_begin_reply(member->exchange, op, &page);
    if (!page.reaches_end)
        add_cursor(member);
    return is_new;
}

void sli_long_poll_answer_page(struct sli_member *member)
{
    struct sl_exchange *exchange = member->exchange;
    uint64_t page_end = exchange->op->u.read.page_end;

    bool is_new = begin_page(member, exchange->op, page_end);
    sli_member_free(member);
    if (is_new)
        sl_catch_up_send(exchange, page_end);
    else
        sl_reply_finish(exchange, NULL, 0);
}

void sli_long_poll_answer(struct sli_member *member, struct sli_delivery *delivery)
{
    SL_ASSERT(member->frame == NULL);
    member->frame = sli_frame_ref(sli_delivery_body(delivery));
    struct sl_bytes body = sl_buffer_bytes(&member->frame->bytes);
    bool is_new = begin_page(member, delivery->op, delivery->next);
    finish(member, &body, is_new ? 1 : 0);
}

void sli_long_poll_answer_nothing(struct sli_member *member, bool closed)
{
    struct sl_exchange *exchange = member->exchange;
    if (!closed)
        sl_metrics_add(exchange->acceptor->metrics, SL_METRIC_LONG_POLL_TIMEOUTS, 1);
    sl_reply_begin(exchange, 204, "no-store");
    sl_reply_next_offset(exchange, member->offset);
    sl_reply_header(exchange, "Stream-Up-To-Date", sl_bytes_of("true"));
    if (closed)
        sl_reply_header(exchange, "Stream-Closed", sl_bytes_of("true"));
    else
        add_cursor(member);
    finish(member, NULL, 0);
}
