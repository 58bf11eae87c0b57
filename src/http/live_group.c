#include "http/live_group_internal.h"

#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/memory.h"
#include "http/reply.h"
#include "protocol/cursor.h"

enum {
    /* A turn's share of the deliveries; whatever is reached first. */
    TURN_MEMBERS_MAX = 128,
    TURN_BYTES_MAX = 256 * 1024,
    TURN_NS_MAX = 1000 * 1000,
};

static void on_group_read(struct sl_completion *completion, struct sl_operation *op);

static uint64_t hash_of(uint64_t stream_id)
{
    uint64_t hash = stream_id * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ (hash >> 32);
}

static struct sli_group *group_find(const struct sl_live *live, uint64_t stream_id)
{
    struct sl_table_node *node = sl_table_bucket(&live->groups, hash_of(stream_id));
    for (; node != NULL; node = node->next) {
        struct sli_group *group = SL_OBJECT(node, struct sli_group, node);
        if (group->stream_id == stream_id)
            return group;
    }
    return NULL;
}

static struct sli_group *group_create(struct sl_live *live, const struct sli_member *member)
{
    struct sl_bytes name = sl_exchange_name(member->exchange);
    struct sli_group *group = sl_memory_alloc(sizeof(*group) + name.size);
    *group = (struct sli_group){
        .live = live,
        .completion = { .on_done = on_group_read },
        .stream_id = member->stream_id,
        .next = member->offset,
        .name_size = name.size,
    };
    memcpy(group->name, name.data, name.size);
    sl_link_init(&group->waiting);
    sl_link_init(&group->due);
    sl_link_init(&group->in_busy);
    sl_table_insert(&live->groups, &group->node, hash_of(group->stream_id));
    return group;
}

static void group_free(struct sli_group *group)
{
    SL_ASSERT(sl_link_is_empty(&group->waiting) && sl_link_is_empty(&group->due));
    sl_table_remove(&group->live->groups, &group->node);
    sl_link_remove(&group->in_busy);
    sli_delivery_deinit(&group->delivery);
    sl_memory_free(group);
}

/* Asks for what comes after `next`; the rest of an event that is open is there already. */
static void ask(struct sli_group *group)
{
    SL_ASSERT(group->op == NULL);
    struct sl_session *session = group->live->acceptor->session;
    struct sl_operation *op = sl_session_take(session, SL_OPERATION_READ);
    op->context = &group->completion;
    op->u.read.name = sl_bytes(group->name, group->name_size);
    op->u.read.from = SL_READ_FROM_OFFSET;
    op->u.read.offset = group->next;
    op->u.read.id = group->stream_id;
    op->u.read.wait = group->rest.page_end == 0;
    op->u.read.limit = group->rest.page_end;
    op->u.read.page_size_max = SLI_PAGE_SIZE_BYTES;
    op->u.read.piece_size_max = SLI_PAGE_SIZE_BYTES;
    group->op = op;
    group->op_under_way = true;
    group->cancelled = false;
    sl_session_submit(session, op);
}

static void ask_or_free(struct sli_group *group)
{
    if (sl_link_is_empty(&group->waiting))
        group_free(group);
    else
        ask(group);
}

void sli_group_join(struct sli_member *member)
{
    SL_ASSERT(member->group == NULL && member->rest.page_end == 0);
    struct sl_live *live = member->live;
    struct sli_group *group = group_find(live, member->stream_id);
    if (group != NULL && group->next > member->offset) {
        sli_member_read_on(member); /* the group has seen a later tail */
        return;
    }
    if (group == NULL)
        group = group_create(live, member);
    member->state = SLI_MEMBER_WAITING;
    member->group = group;
    sl_link_append(&group->waiting, &member->in_group);
    if (group->op == NULL)
        ask(group);
}

void sli_group_leave(struct sli_member *member)
{
    struct sli_group *group = member->group;
    sl_link_remove(&member->in_group);
    if (group == NULL)
        return;
    member->group = NULL;
    bool waits = group->op_under_way && group->rest.page_end == 0;
    if (!waits || group->cancelled || !sl_link_is_empty(&group->waiting))
        return;
    group->cancelled = true;
    sl_session_cancel(group->live->acceptor->session, group->op);
}

static void on_group_read(struct sl_completion *completion, struct sl_operation *op)
{
    struct sli_group *group = SL_OBJECT(completion, struct sli_group, completion);
    struct sl_live *live = group->live;
    SL_ASSERT(group->op == op && group->op_under_way && sl_link_is_empty(&group->due));
    group->op_under_way = false;
    if (op->err == SL_ERR_CANCELLED || sl_link_is_empty(&group->waiting)) {
        sl_session_put(live->acceptor->session, &group->op);
        ask_or_free(group);
        return;
    }
    group->err = op->err;
    if (op->err == SL_OK) {
        uint64_t cursor = sl_cursor_next(false, 0, live->acceptor->wall_ms, 0);
        sli_delivery_init(&group->delivery, op, &group->rest, cursor, &live->frame_bytes);
        group->next = group->delivery.next;
    }
    sl_link_splice_back(&group->due, &group->waiting);
    sl_link_append(&live->busy_groups, &group->in_busy);
}

/* Gives the delivery to a long-poll; returns bytes. May free the member. */
static size_t deliver_long_poll(struct sli_member *member, struct sli_delivery *delivery)
{
    sli_group_leave(member);
    if (!sli_delivery_fits(delivery, member->offset)) {
        sli_long_poll_answer_nothing(member, true);
        return 0;
    }
    size_t size = sli_delivery_body(delivery)->bytes.size;
    sli_long_poll_answer(member, delivery);
    return size;
}

/* Gives the delivery to an SSE member, which waits on; returns bytes. May free the member. */
static size_t deliver_sse(struct sli_group *group, struct sli_member *member)
{
    struct sli_delivery *delivery = &group->delivery;
    bool fits = sli_delivery_fits(delivery, member->offset);
    size_t size = fits ? sli_delivery_event(delivery)->bytes.size : 0;
    if (delivery->closed) {
        sli_group_leave(member);
        sli_sse_send(member, delivery);
        return size;
    }
    sl_link_append(&group->waiting, &member->in_group);
    sli_sse_send(member, delivery);
    if (sli_member_is_over(member))
        sli_sse_end(member);
    return size;
}

/* One member that is due gets what it has to get; returns bytes. May free the member. */
static size_t deliver(struct sli_group *group, struct sli_member *member)
{
    struct sli_delivery *delivery = &group->delivery;
    SL_ASSERT(member->offset >= delivery->start);
    sl_link_remove(&member->in_group);
    if (group->err != SL_OK) {
        sli_group_leave(member);
        if (member->exchange->sending)
            member->state = SLI_MEMBER_BEHIND;
        else
            sli_member_fail(member, group->err);
        return 0;
    }
    bool at_end = member->offset == delivery->next;
    if (member->offset > delivery->next || (at_end && !delivery->closed)) {
        sl_link_append(&group->waiting, &member->in_group);
        return 0;
    }
    /* Who stands at its start without its event has not had what comes before it in the event. */
    bool fits = at_end || (sli_delivery_fits(delivery, member->offset) &&
                           member->rest.page_end == delivery->before.page_end);
    bool part = delivery->before.page_end != 0 || delivery->after.page_end != 0;
    bool scarce = !at_end && sli_member_is_scarce(member) && delivery->event == NULL &&
                  delivery->body == NULL &&
                  delivery->next - delivery->start > SLI_SCARCE_PAGE_BYTES;
    if (!fits || scarce || member->exchange->sending || (part && !member->sse)) {
        sli_group_leave(member);
        sli_member_read_on(member);
        return 0;
    }
    return member->sse ? deliver_sse(group, member) : deliver_long_poll(member, delivery);
}

/* Everybody has had the delivery: asks for the next one. */
static void finish(struct sli_group *group)
{
    SL_ASSERT(!group->op_under_way);
    sl_link_remove(&group->in_busy);
    if (group->err == SL_OK)
        group->rest = group->delivery.after;
    sli_delivery_deinit(&group->delivery);
    sl_session_put(group->live->acceptor->session, &group->op);
    ask_or_free(group);
}

bool sli_groups_work(struct sl_live *live)
{
    if (sl_link_is_empty(&live->busy_groups))
        return true;
    uint64_t end_ns = sl_clock_running_ns() + TURN_NS_MAX;
    size_t bytes = 0;
    struct sl_link *link;

    for (unsigned i = 0; (link = sl_link_first(&live->busy_groups)) != NULL; i++) {
        struct sli_group *group = SL_OBJECT(link, struct sli_group, in_busy);
        struct sl_link *first = sl_link_first(&group->due);
        if (first == NULL) {
            finish(group);
        } else if (i < TURN_MEMBERS_MAX && bytes < TURN_BYTES_MAX &&
                   sl_clock_running_ns() < end_ns) {
            bytes += deliver(group, SL_OBJECT(first, struct sli_member, in_group));
        } else {
            /* The others come first next time. */
            sl_link_remove(&group->in_busy);
            sl_link_append(&live->busy_groups, &group->in_busy);
            return false;
        }
    }
    return true;
}

void sli_groups_destroy(struct sl_live *live)
{
    uint64_t cursor = 0;
    do {
        struct sl_table_node *node = sl_table_walk(&live->groups, &cursor);
        while (node != NULL) {
            struct sli_group *group = SL_OBJECT(node, struct sli_group, node);
            node = node->next;
            group_free(group);
        }
    } while (cursor != 0);
    sl_table_deinit(&live->groups);
}
