#include "http/live_internal.h"

#include "http/live_group_internal.h"
#include "http/reply.h"

/* The first piece goes with the head, by h2o, and so does the end. */
static void send_bytes(struct sli_member *member, const struct sl_bytes *pieces, size_t count,
                       bool by_h2o, bool final)
{
    SL_ASSERT(!member->exchange->sending);
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += pieces[i].size;
    if (size == 0 && !by_h2o) { /* the comma between two JSON messages: it goes with the next one */
        sli_member_on_sent(member);
        return;
    }
    member->sent_ms = sli_member_acceptor(member)->now_ms;
    member->sent_size = size;
    if (by_h2o)
        sl_reply_send(member->exchange, pieces, count, final);
    else if (sl_reply_send_at_once(member->exchange, pieces, count))
        sli_member_on_sent(member);
}

static void send_head(struct sli_member *member, enum sl_sse_encoding encoding)
{
    struct sl_exchange *exchange = member->exchange;
    sl_reply_begin(exchange, 200, "no-cache");
    sl_reply_header(exchange, "Content-Type", sl_bytes_of("text/event-stream"));
    if (encoding == SL_SSE_BASE64)
        sl_reply_header(exchange, "Stream-SSE-Data-Encoding", sl_bytes_of("base64"));
    sl_reply_stream(exchange, SIZE_MAX);
}

void sli_sse_send(struct sli_member *member, struct sli_delivery *delivery)
{
    SL_ASSERT(member->sse && member->frame == NULL && member->control.size == 0);
    struct sl_bytes pieces[2];
    size_t count = 0;
    bool with_control = delivery->after.page_end == 0;

    if (delivery->cursor > member->cursor)
        member->cursor = delivery->cursor;
    if (sli_delivery_fits(delivery, member->offset)) {
        struct sli_frame *frame = sli_delivery_event(delivery);
        struct sl_bytes event = sl_buffer_bytes(&frame->bytes);
        member->frame = sli_frame_ref(frame);
        member->rest = delivery->after;
        if (delivery->closed || member->cursor == delivery->cursor)
            with_control = false; /* it is in the frame */
        if (with_control)
            event.size = frame->control_at;
        pieces[count++] = event;
    }
    if (with_control) {
        sli_delivery_control(delivery, member->cursor, &member->control);
        pieces[count++] = sl_buffer_bytes(&member->control);
    }
    member->offset = delivery->next;
    bool is_first = !member->exchange->started;
    if (is_first)
        send_head(member, delivery->encoding);
    if (delivery->closed) {
        member->state = SLI_MEMBER_ENDING;
        sl_timer_clear(&member->alarm.timer);
    }
    send_bytes(member, pieces, count, is_first || delivery->closed, delivery->closed);
}

void sli_sse_send_heartbeat(struct sli_member *member)
{
    SL_ASSERT(member->rest.page_end == 0); /* else it would end the event that is open */
    struct sl_bytes comment = sl_bytes_of(":\n\n");
    send_bytes(member, &comment, 1, false, false);
}

void sli_sse_end(struct sli_member *member)
{
    SL_ASSERT(member->sse && member->exchange->started);
    bool busy = member->exchange->sending || member->exchange->op_under_way;
    sli_group_leave(member);
    sl_timer_clear(&member->alarm.timer);
    member->state = SLI_MEMBER_ENDING;
    if (!busy)
        send_bytes(member, NULL, 0, true, true);
}
