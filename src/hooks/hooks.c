#include "hooks/hooks.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/thread.h"
#include "hooks/hooks_internal.h"
#include "journal/vfs.h"

enum {
    TIMER_BATCH_MAX = 256,    /* subscriptions whose time has come, in one turn */
    PORT_DRAIN = 0,           /* a bit of the port, into which nobody produces: the server ends */
    SLEEP_MAX_MS = 60 * 1000, /* when nothing waits for a time */
    CONNECT_TIMEOUT_MS = 10 * 1000,
    ANSWER_SIZE_MAX = 64 * 1024, /* bytes; {"done":true} is all that is looked for */
};

struct sl_operation *sli_hooks_take(struct sl_hooks *hooks, enum sl_operation_kind kind,
                                    struct sli_completion *completion)
{
    struct sl_operation *op = sl_session_take(hooks->session, kind);
    op->context = completion;
    return op;
}

void sli_hooks_submit_head(struct sl_hooks *hooks, struct sl_bytes name,
                           struct sli_completion *completion)
{
    struct sl_operation *op = sli_hooks_take(hooks, SL_OPERATION_HEAD, completion);
    op->u.head.name = name;
    op->u.head.follow = true;
    sl_session_submit(hooks->session, op);
}

void sli_hooks_touch(struct sl_hooks *hooks, struct sli_hook *hook)
{
    if (!sl_link_is_linked(&hook->to_settle))
        sl_link_append(&hooks->to_settle, &hook->to_settle);
}

/* ---- subscriptions ---- */

struct sli_hook *sli_hook_create(void)
{
    struct sli_hook *hook = sl_memory_zalloc(sizeof(*hook));
    sl_link_init(&hook->to_settle);
    sl_timer_init(&hook->timer);
    sl_link_init(&hook->parked);
    sl_link_init(&hook->store.waiting);
    sl_link_init(&hook->store.answering);
    sl_delivery_init(&hook->delivery, NULL);
    return hook;
}

void sli_hooks_add(struct sl_hooks *hooks, struct sli_hook *hook)
{
    if (hook->subscription.config.is_webhook)
        sl_delivery_init(&hook->delivery, (const char *)hook->subscription.config.url.data);
    sl_registry_add(&hooks->registry, &hook->subscription);
}

/* What the registry does not free. */
static void dismantle(struct sli_hook *hook)
{
    SL_ASSERT(sl_link_is_empty(&hook->store.waiting));
    SL_ASSERT(sl_link_is_empty(&hook->store.answering));
    sl_timer_clear(&hook->timer);
    sl_link_remove(&hook->to_settle);
    sl_memory_free(hook->job);
    sl_buffer_deinit(&hook->store.text);
    sl_buffer_deinit(&hook->event);
}

void sli_hooks_remove(struct sl_hooks *hooks, struct sli_hook **hook)
{
    struct sli_hook *last = *hook;
    struct sl_subscription *subscription = &last->subscription;
    struct sl_link parked;
    *hook = NULL;
    SL_ASSERT(last->job == NULL && last->event_op == NULL && !last->store.is_under_way);
    SL_ASSERT(sl_delivery_is_idle(&last->delivery));
    sl_link_init(&parked);
    sl_link_splice_back(&parked, &last->parked);
    dismantle(last);
    sl_registry_remove(&hooks->registry, &subscription);
    for (struct sl_link *link; (link = sl_link_first(&parked)) != NULL;) {
        sl_link_remove(link);
        sli_hooks_handle(hooks, SL_OBJECT(link, struct sl_hooks_request, link));
    }
}

static void dismantle_all(struct sl_hooks *hooks)
{
    const struct sl_table *table = &hooks->registry.subscriptions;
    for (size_t i = 0; i < table->buckets; i++)
        for (struct sl_table_node *node = sl_table_at(table, i); node != NULL; node = node->next)
            dismantle(sli_hook_of(SL_OBJECT(node, struct sl_subscription, node)));
}

/* ---- the loop ---- */

static void read_clocks(struct sl_hooks *hooks)
{
    hooks->now = (struct sl_hooks_now){ sl_clock_running_ms(), sl_clock_wall_ms() };
}

static void on_timer(void *context, struct sl_timer *timer)
{
    sli_hooks_touch((struct sl_hooks *)context, SL_OBJECT(timer, struct sli_hook, timer));
}

/* In the order in which they came. */
static void receive_requests(struct sl_hooks *hooks)
{
    struct sl_inbox_item *item = sl_inbox_take(&hooks->inbox);
    struct sl_link came;
    sl_link_init(&came);
    for (; item != NULL; item = item->next) {
        struct sl_hooks_request *request = SL_OBJECT(item, struct sl_hooks_request, item);
        sl_link_init(&request->link);
        sl_link_prepend(&came, &request->link);
    }
    for (struct sl_link *link; (link = sl_link_first(&came)) != NULL;) {
        sl_link_remove(link);
        sli_hooks_receive(hooks, SL_OBJECT(link, struct sl_hooks_request, link));
    }
}

static void settle_all(struct sl_hooks *hooks)
{
    for (struct sl_link *link; (link = sl_link_first(&hooks->to_settle)) != NULL;) {
        sl_link_remove(link);
        sli_hooks_settle(hooks, SL_OBJECT(link, struct sli_hook, to_settle));
    }
}

static void publish(struct sl_hooks *hooks)
{
    const struct sl_registry *registry = &hooks->registry;
    struct sl_link *oldest = sl_link_first(&registry->pending);
    uint64_t lag_ms = 0;
    if (oldest != NULL)
        lag_ms = hooks->now.running_ms -
                 SL_OBJECT(oldest, struct sl_subscription, of_pending)->pending_since_ms;
    sl_metrics_set(hooks->metrics, SL_METRIC_SUBSCRIPTIONS, registry->subscriptions.count);
    sl_metrics_set(hooks->metrics, SL_METRIC_SUBSCRIPTION_LINKS, registry->cursor_count);
    sl_metrics_set(hooks->metrics, SL_METRIC_SUBSCRIPTION_BYTES, registry->bytes);
    sl_metrics_set(hooks->metrics, SL_METRIC_SUBSCRIPTIONS_PENDING, registry->pending_count);
    sl_metrics_set(hooks->metrics, SL_METRIC_SUBSCRIPTION_LAG, lag_ms);
}

/* One turn. True: there may be more to do at once. */
static bool work(struct sl_hooks *hooks)
{
    struct sl_operation *op;
    unsigned done = 0;
    read_clocks(hooks);
    hooks->turn_work = 0;
    sli_hooks_refuse_late(hooks);
    while (done < SL_DRAIN_BATCH_MAX && hooks->turn_work < SLI_TURN_WORK_MAX &&
           (op = sl_session_poll(hooks->session)) != NULL) {
        struct sli_completion *completion = op->context;
        completion->on_done(hooks, completion, op);
        done++;
    }
    sli_hooks_take_changes(hooks);
    sli_hooks_scan(hooks);
    receive_requests(hooks);
    sli_hooks_handle_received(hooks);
    size_t fired = sl_timer_wheel_advance(&hooks->wheel, hooks->now.running_ms, TIMER_BATCH_MAX,
                                          on_timer, hooks);
    settle_all(hooks);
    sl_courier_run(hooks->courier, hooks->now.running_ms, hooks->now.wall_ms);
    settle_all(hooks);
    publish(hooks);
    return done == SL_DRAIN_BATCH_MAX || fired == TIMER_BATCH_MAX ||
           hooks->turn_work >= SLI_TURN_WORK_MAX || !sl_link_is_empty(&hooks->received);
}

static unsigned sleep_ms(struct sl_hooks *hooks)
{
    uint64_t next_ms = sl_timer_wheel_next(&hooks->wheel), now_ms = hooks->now.running_ms;
    uint64_t deadline_ms = sli_hooks_wait_deadline(hooks);
    if (deadline_ms < next_ms)
        next_ms = deadline_ms;
    if (next_ms <= now_ms)
        return 0;
    return next_ms - now_ms < SLEEP_MAX_MS ? (unsigned)(next_ms - now_ms) : SLEEP_MAX_MS;
}

static void run(void *argument)
{
    struct sl_hooks *hooks = argument;
    int fds[] = { sl_session_fd(hooks->session), sl_port_fd(hooks->port) };
    uint64_t bits;
    while (((bits = sl_port_take(hooks->port)) & (UINT64_C(1) << SL_PORT_STOP)) == 0) {
        if ((bits & (UINT64_C(1) << PORT_DRAIN)) != 0)
            hooks->wait.end_ms = hooks->drain_end_ms;
        bool more = work(hooks);
        if (!more && sl_session_sleep(hooks->session) && sl_port_sleep(hooks->port))
            sl_courier_wait(hooks->courier, fds, sizeof(fds) / sizeof(fds[0]), sleep_ms(hooks));
        sl_session_wake(hooks->session);
    }
}

/* ---- open, start, stop ---- */

static void create_courier(struct sl_hooks *hooks)
{
    const struct sl_courier_setup setup = {
        .keys = hooks->keys,
        .ca_file = hooks->setup.ca_file,
        .allow_local = hooks->setup.allow_local_webhooks,
        .in_flight_max = hooks->setup.deliveries_max,
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
        .total_timeout_ms = hooks->setup.delivery_timeout_ms,
        .answer_size_max = ANSWER_SIZE_MAX,
        .context = hooks,
        .on_start = sli_hooks_on_delivery_start,
        .on_done = sli_hooks_on_delivery_done,
    };
    hooks->courier = sl_courier_create(&setup);
}

enum sl_err sl_hooks_open(const struct sl_hooks_setup *setup, struct sl_hooks **hooks)
{
    struct sl_hooks *made = sl_memory_zalloc(sizeof(*made));
    *hooks = NULL;
    made->setup = *setup;
    made->metrics = sl_metrics_registry_join(setup->registry);
    made->port = sl_port_create();
    made->hold_lock = sl_mutex_create();
    made->shards = sl_engine_shards(setup->engine);
    sl_link_init(&made->received);
    sl_link_init(&made->to_settle);
    sl_link_init(&made->intakes);
    sl_link_init(&made->poll.now);
    sl_link_init(&made->poll.next);
    sl_link_init(&made->wait.unbegun);
    sl_link_init(&made->wait.begun);
    made->wait.end_ms = UINT64_MAX;
    sl_registry_init(&made->registry); /* what is kept is read, however much it is */
    made->registry.subscription_size = sizeof(struct sli_hook);
    read_clocks(made);
    sl_timer_wheel_init(&made->wheel, made->now.running_ms);
    const struct sl_vfs *vfs = setup->vfs == NULL ? sl_vfs_posix() : setup->vfs;
    enum sl_err err = sl_keys_open(vfs, setup->data_directory, &made->keys);
    if (err == SL_OK)
        create_courier(made);
    if (err == SL_OK)
        err = sl_session_open(setup->engine, &made->session);
    if (err == SL_OK)
        err = sli_hooks_load(made);
    if (err != SL_OK)
        sl_hooks_stop(&made);
    *hooks = made;
    return err;
}

void sl_hooks_start(struct sl_hooks *hooks)
{
    hooks->thread = sl_thread_start("hooks", run, hooks);
}

void sl_hooks_drain(struct sl_hooks *hooks, uint64_t timeout_ms)
{
    hooks->drain_end_ms = sl_clock_running_ms() + timeout_ms;
    sl_port_signal(hooks->port, PORT_DRAIN);
}

void sl_hooks_stop(struct sl_hooks **hooks)
{
    struct sl_hooks *last = *hooks;
    *hooks = NULL;
    if (last->thread != NULL) {
        sl_port_signal(last->port, SL_PORT_STOP);
        sl_thread_join(&last->thread);
    }
    if (last->courier != NULL)
        sl_courier_destroy(&last->courier);
    if (last->session != NULL)
        sl_session_close(&last->session);
    sli_hooks_drop_feeds(last);
    sl_memory_free(last->scan);
    dismantle_all(last);
    sl_registry_deinit(&last->registry);
    if (last->keys != NULL)
        sl_keys_close(&last->keys);
    SL_ASSERT(last->held_bytes == 0);
    sl_mutex_destroy(&last->hold_lock);
    sl_port_destroy(&last->port);
    sl_memory_free(last);
}

bool sl_hooks_hold(struct sl_hooks *hooks, struct sl_hooks_request *request, size_t size)
{
    if (size <= SL_HOOKS_SMALL_SIZE_MAX)
        return true;
    sl_mutex_lock(hooks->hold_lock);
    bool is_alone = hooks->held_bytes == request->held_bytes;
    bool fits = is_alone || (hooks->held_bytes <= hooks->setup.bytes_max &&
                             size <= hooks->setup.bytes_max - hooks->held_bytes);
    if (fits) {
        request->held_bytes += size;
        hooks->held_bytes += size;
    }
    sl_mutex_unlock(hooks->hold_lock);
    if (!fits) {
        request->err = SL_ERR_OVERLOADED;
        request->message = "requests at __ds hold as much memory as they may, an eighth of "
                           "--memory-budget-bytes: try again later";
    }
    return fits;
}

void sl_hooks_let_go(struct sl_hooks *hooks, struct sl_hooks_request *request)
{
    if (request->held_bytes == 0)
        return;
    sl_mutex_lock(hooks->hold_lock);
    hooks->held_bytes -= request->held_bytes;
    sl_mutex_unlock(hooks->hold_lock);
    request->held_bytes = 0;
}

void sl_hooks_submit(struct sl_hooks *hooks, struct sl_hooks_request *request)
{
    request->came_ms = sl_clock_running_ms();
    sl_inbox_push(&hooks->inbox, &request->item);
    sl_port_signal(hooks->port, SL_PORT_INBOX);
}
