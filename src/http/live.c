#include "http/live.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/random.h"
#include "http/live_group_internal.h"
#include "http/live_internal.h"
#include "http/reply.h"
#include "protocol/cursor.h"

enum {
    /*
     * Bytes of a page that an SSE member reads by itself. It has an encoding of its own as long as
     * its client takes it, so this is what many slow clients take, each.
     */
    SSE_PAGE_SIZE_BYTES = 64 * 1024,
    /* Encoded bytes of all members, over all acceptors: then each gets little at a time. */
    FRAME_BYTES_MAX = 32 * 1024 * 1024,
    /* A client that takes its bytes only after so long is a slow one. */
    LATE_MS = 100,
    /* A turn's share of what members have read by themselves; one at least. */
    TURN_NS_MAX = 1000 * 1000,
    /* An SSE response lives shorter by up to one part in so many: not all end at once. */
    LIFETIME_JITTER_PARTS = 10,
};

struct sl_live *sl_live_create(struct sl_acceptor *acceptor)
{
    const struct sl_http_options *options = acceptor->options;
    SL_ASSERT(options->acceptors > 0);
    struct sl_live *live = sl_memory_alloc(sizeof(*live));
    unsigned share = options->live_readers_max / options->acceptors;
    *live = (struct sl_live){
        .acceptor = acceptor,
        .member_count_max = share > 0 ? share : 1,
        .frame_bytes_max = FRAME_BYTES_MAX / options->acceptors,
        .chance = sl_random_u64(),
    };
    sl_link_init(&live->members);
    sl_link_init(&live->busy_groups);
    sl_link_init(&live->busy_members);
    return live;
}

void sl_live_destroy(struct sl_live **live)
{
    SL_ASSERT(sl_link_is_empty(&(*live)->members));
    sli_groups_destroy(*live);
    SL_ASSERT((*live)->frame_bytes == 0);
    sl_memory_free(*live);
    *live = NULL;
}

/* splitmix64 */
static uint64_t chance_next(struct sl_live *live)
{
    uint64_t z = live->chance += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static enum sl_metric gauge_of(const struct sli_member *member)
{
    return member->sse ? SL_METRIC_READERS_SSE : SL_METRIC_READERS_LONG_POLL;
}

void sli_member_free(struct sli_member *member)
{
    struct sl_live *live = member->live;
    member->exchange->driver = NULL;
    member->exchange->on_proceed = NULL;
    member->exchange->on_gone = NULL;
    sli_group_leave(member);
    sl_timer_clear(&member->alarm.timer);
    sl_link_remove(&member->in_live);
    SL_ASSERT(live->member_count > 0);
    live->member_count--;
    sl_metrics_subtract(live->acceptor->metrics, gauge_of(member), 1);
    sli_frame_unref(&member->frame);
    sl_buffer_deinit(&member->control);
    sl_memory_free(member);
}

static void on_gone(struct sl_exchange *exchange)
{
    sli_member_free(exchange->driver);
}

static void on_read_done(struct sl_completion *completion, struct sl_operation *op);

void sli_member_read(struct sli_member *member)
{
    SL_ASSERT(member->group == NULL && !member->exchange->sending);
    struct sl_exchange *exchange = member->exchange;
    struct sl_operation *op = sl_exchange_take(exchange, SL_OPERATION_READ, on_read_done);
    struct sl_read *read = &op->u.read;

    member->state = SLI_MEMBER_READING;
    read->name = sl_exchange_name(exchange);
    if (member->stream_id == 0) {
        const struct sl_query *query = &exchange->query;
        read->from = query->from;
        read->offset = query->offset;
        read->request_err = query->has_offset ? query->err : SL_ERR_INVALID_OFFSET;
    } else {
        read->from = SL_READ_FROM_OFFSET;
        read->offset = member->offset;
        read->id = member->stream_id;
        read->limit = member->rest.page_end;
    }
    uint32_t size = SLI_PAGE_SIZE_BYTES; /* no frame is made of a long-poll's own read */
    if (member->sse)
        size = sli_member_is_scarce(member) ? SLI_SCARCE_PAGE_BYTES : SSE_PAGE_SIZE_BYTES;
    read->page_size_max = size;
    read->piece_size_max = size;
    sl_exchange_submit(exchange);
}

void sli_member_read_on(struct sli_member *member)
{
    if (member->exchange->sending)
        member->state = SLI_MEMBER_BEHIND;
    else
        sli_member_read(member);
}

void sli_member_fail(struct sli_member *member, enum sl_err err)
{
    SL_ASSERT(member->group == NULL);
    if (member->exchange->started) {
        sli_sse_end(member);
    } else {
        member->state = SLI_MEMBER_ENDING;
        sl_timer_clear(&member->alarm.timer);
        sl_reply_problem(member->exchange, err);
    }
}

bool sli_member_is_over(const struct sli_member *member)
{
    const struct sl_acceptor *acceptor = member->live->acceptor;
    bool over = acceptor->draining || acceptor->now_ms >= member->end_ms;
    return over && member->rest.page_end == 0;
}

static void set_alarm(struct sli_member *member)
{
    struct sl_acceptor *acceptor = member->live->acceptor;
    uint64_t heartbeat_ms = acceptor->options->sse_heartbeat_ms;
    uint64_t deadline_ms = member->end_ms;
    if (member->sse && heartbeat_ms > 0) {
        uint64_t due_ms = member->sent_ms + heartbeat_ms;
        if (due_ms <= acceptor->now_ms)
            due_ms = acceptor->now_ms + heartbeat_ms;
        if (due_ms < deadline_ms)
            deadline_ms = due_ms;
    }
    if (deadline_ms != UINT64_MAX)
        sl_timer_set(&acceptor->wheel, &member->alarm.timer, deadline_ms);
}

/* Nobody moves an alarm when something is sent: it goes off and looks what is due. */
static void on_alarm(struct sl_alarm *alarm)
{
    struct sli_member *member = SL_OBJECT(alarm, struct sli_member, alarm);
    struct sl_acceptor *acceptor = member->live->acceptor;
    SL_ASSERT(member->state != SLI_MEMBER_ENDING);
    if (acceptor->now_ms >= member->end_ms) {
        if (member->sse && member->state != SLI_MEMBER_READING && sli_member_is_over(member))
            sli_sse_end(member);
        else if (!member->sse && member->state == SLI_MEMBER_WAITING)
            sli_long_poll_answer_nothing(member, false);
        return; /* else it ends when its event, or its read, is done */
    }
    bool quiet = member->state == SLI_MEMBER_WAITING && !member->exchange->sending &&
                 member->rest.page_end == 0;
    if (quiet && acceptor->now_ms >= member->sent_ms + acceptor->options->sse_heartbeat_ms)
        sli_sse_send_heartbeat(member);
    set_alarm(member);
}

/* May free the member. */
static void sse_on_read(struct sli_member *member, struct sl_operation *op)
{
    struct sl_acceptor *acceptor = member->live->acceptor;
    struct sli_delivery delivery;
    uint64_t cursor = sl_cursor_next(false, 0, acceptor->wall_ms, 0);

    if (cursor < member->cursor)
        cursor = member->cursor;
    if (op->u.read.page_size_max > SLI_SCARCE_PAGE_BYTES && sli_member_is_scarce(member) &&
        op->u.read.next > op->u.read.start + SLI_SCARCE_PAGE_BYTES) {
        member->offset = op->u.read.start;
        sl_exchange_put(member->exchange); /* it was not scarce when this was asked for */
        sli_member_read(member);
        return;
    }
    sli_delivery_init(&delivery, op, &member->rest, cursor, &member->live->frame_bytes);
    member->offset = delivery.start;
    bool has_data = sli_delivery_has_data(&delivery);
    bool at_tail = delivery.up_to_date;
    bool closed = delivery.closed;
    if (has_data)
        (void)sli_delivery_event(&delivery);
    sl_exchange_put(member->exchange);
    if (has_data || closed || !member->exchange->started)
        sli_sse_send(member, &delivery);
    sli_delivery_deinit(&delivery);
    if (closed)
        return;
    if (!sl_timer_is_set(&member->alarm.timer))
        set_alarm(member);
    if (sli_member_is_over(member)) {
        sli_sse_end(member);
    } else if (at_tail) {
        sli_group_join(member);
    } else {
        sli_member_read_on(member);
    }
}

/* May free the member. */
static void long_poll_on_read(struct sli_member *member, struct sl_operation *op)
{
    const struct sl_query *query = &member->exchange->query;
    bool beyond = query->from == SL_READ_FROM_OFFSET && query->offset > op->stream.tail;
    bool closed = op->stream.closed;

    if (op->u.read.next > op->u.read.start) {
        sli_long_poll_answer_page(member);
        return;
    }
    member->offset = op->u.read.next;
    if (beyond && !closed) {
        sli_long_poll_answer_page(member);
        return;
    }
    sl_exchange_put(member->exchange);
    if (closed || sli_member_is_over(member)) {
        sli_long_poll_answer_nothing(member, closed);
        return;
    }
    if (!sl_timer_is_set(&member->alarm.timer))
        set_alarm(member);
    sli_group_join(member);
}

static void on_read_done(struct sl_completion *completion, struct sl_operation *op)
{
    struct sl_exchange *exchange = SL_OBJECT(completion, struct sl_exchange, completion);
    if (!sl_exchange_came_back(exchange))
        return;
    struct sli_member *member = exchange->driver;
    enum sl_err err = op->err;
    if (err == SL_OK && member->state == SLI_MEMBER_READING) {
        member->stream_id = op->stream.id;
        if (!member->sse)
            long_poll_on_read(member, op);
        else if (op->u.read.next == op->u.read.start)
            sse_on_read(member, op);
        else
            sl_link_append(&member->live->busy_members, &member->in_group);
        return;
    }
    sl_exchange_put(exchange);
    if (member->state == SLI_MEMBER_ENDING)
        sli_sse_end(member);
    else
        sli_member_fail(member, err);
}

void sli_member_on_sent(struct sli_member *member)
{
    if (member->sent_size > 0)
        member->is_late = member->live->acceptor->now_ms >= member->sent_ms + LATE_MS;
    member->taken += member->sent_size;
    member->sent_size = 0;
    sli_frame_unref(&member->frame);
    sl_buffer_deinit(&member->control);
}

static void on_proceed(struct sl_exchange *exchange)
{
    struct sli_member *member = exchange->driver;
    sli_member_on_sent(member);
    switch (member->state) {
    case SLI_MEMBER_WAITING:
        break;
    case SLI_MEMBER_BEHIND:
        sli_member_read(member);
        break;
    case SLI_MEMBER_ENDING:
        sli_sse_end(member);
        break;
    case SLI_MEMBER_READING:
        SL_ASSERT(false);
    }
}

void sl_live_start(struct sl_live *live, struct sl_exchange *exchange)
{
    struct sl_acceptor *acceptor = live->acceptor;
    const struct sl_http_options *options = acceptor->options;
    const struct sl_query *query = &exchange->query;
    SL_ASSERT(query->live != SL_LIVE_NONE);
    if (live->member_count >= live->member_count_max) {
        sl_reply_problem(exchange, SL_ERR_TOO_MANY_READERS);
        return;
    }
    struct sli_member *member = sl_memory_alloc(sizeof(*member));
    *member = (struct sli_member){
        .exchange = exchange,
        .live = live,
        .alarm = { .on_alarm = on_alarm },
        .cursor =
            sl_cursor_next(query->has_cursor, query->cursor, acceptor->wall_ms, chance_next(live)),
        .sent_ms = acceptor->now_ms,
        .sse = query->live == SL_LIVE_SSE,
    };
    if (!member->sse)
        member->end_ms = acceptor->now_ms + options->long_poll_timeout_ms;
    else if (options->sse_lifetime_ms == 0)
        member->end_ms = UINT64_MAX;
    else
        member->end_ms = acceptor->now_ms + options->sse_lifetime_ms -
                         chance_next(live) % (options->sse_lifetime_ms / LIFETIME_JITTER_PARTS + 1);
    sl_timer_init(&member->alarm.timer);
    sl_link_init(&member->in_group);
    sl_link_init(&member->in_live);
    sl_link_append(&live->members, &member->in_live);
    live->member_count++;
    sl_metrics_add(acceptor->metrics, gauge_of(member), 1);
    exchange->driver = member;
    exchange->on_proceed = on_proceed;
    exchange->on_gone = on_gone;
    sli_member_read(member);
}

void sl_live_gone(struct sl_live *live, struct sl_exchange *exchange)
{
    if (exchange->on_gone != on_gone)
        return; /* a page is being sent: live drives it no more */
    struct sli_member *member = exchange->driver;
    SL_ASSERT(member->live == live);
    sli_group_leave(member);
    sl_timer_clear(&member->alarm.timer);
    member->state = SLI_MEMBER_ENDING;
}

/* False: there is more. */
static bool work_off_reads(struct sl_live *live)
{
    struct sl_link *link = sl_link_first(&live->busy_members);
    if (link == NULL)
        return true;
    uint64_t end_ns = sl_clock_running_ns() + TURN_NS_MAX;
    do {
        struct sli_member *member = SL_OBJECT(link, struct sli_member, in_group);
        sl_link_remove(link);
        sse_on_read(member, member->exchange->op);
        link = sl_link_first(&live->busy_members);
    } while (link != NULL && sl_clock_running_ns() < end_ns);
    return link == NULL;
}

bool sl_live_work(struct sl_live *live)
{
    bool groups_done = sli_groups_work(live);
    return work_off_reads(live) && groups_done;
}

void sl_live_drain(struct sl_live *live)
{
    SL_ASSERT(live->acceptor->draining);
    struct sl_link *next;
    for (struct sl_link *link = live->members.next; link != &live->members; link = next) {
        struct sli_member *member = SL_OBJECT(link, struct sli_member, in_live);
        next = link->next; /* the member may be free after this */
        if (member->state == SLI_MEMBER_READING || member->state == SLI_MEMBER_ENDING ||
            !sli_member_is_over(member))
            continue; /* it ends when its event, or its read, is done */
        if (member->sse)
            sli_sse_end(member);
        else
            sli_long_poll_answer_nothing(member, false);
    }
}
