#include "http/acceptor.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/thread.h"
#include "http/connection.h"
#include "http/control_request.h"
#include "http/handler.h"
#include "http/live.h"

enum {
    ACCEPT_BATCH_MAX = 32,     /* connections taken before others get their turn */
    ALARM_BATCH_MAX = 128,     /* alarms in one turn */
    ACCEPT_RETRY_MS = 100,     /* after descriptors ran out */
    ACCEPT_LOG_MS = 10 * 1000, /* from one line about that to the next */
    HOUSEKEEPING_MS = 100,     /* from one look at a connection to the next, when due */
    LOOK_CONNECTIONS_MIN = 64, /* in one turn, if there are so many */
    LOOK_PARTS_MAX = 64,       /* turns for all of them */
    SLEEP_MAX_MS = 60 * 1000,  /* when nothing waits for a time */
    /* Input buffers of 8 KiB that h2o keeps: its own 16 are too few for a busy turn. */
    H2O_BUFFERS_KEPT_MAX = 512,
    /* h2o keeps 16 chunks of 4 KiB less a pointer; a run below a quarter of that comes from one. */
    H2O_CHUNKS_KEPT_MAX = 16,
    H2O_CHUNK_PARTS = 4,
    H2O_CHUNK_PART_SIZE = 1008,
};

static void set_accepting(struct sl_acceptor *acceptor, bool accepting);

static void set_alarm(struct sl_acceptor *acceptor, struct sl_alarm *alarm, uint64_t delay_ms)
{
    sl_timer_set(&acceptor->wheel, &alarm->timer, acceptor->now_ms + delay_ms);
}

/* No descriptor or no memory for another connection: those that wait are taken a little later. */
static void pause_accepting(struct sl_acceptor *acceptor, int error)
{
    if (acceptor->now_ms - acceptor->accept_failed_ms >= ACCEPT_LOG_MS) {
        acceptor->accept_failed_ms = acceptor->now_ms;
        sl_log(
            SL_LOG_WARN, "http", "accept_failed",
            "connections=%u errno=%d reason=\"no more connections are taken until others close\"",
            acceptor->connection_count, error);
    }
    sl_metrics_add(acceptor->metrics, SL_METRIC_ACCEPTS_FAILED, 1);
    set_accepting(acceptor, false);
    set_alarm(acceptor, &acceptor->accept_alarm, ACCEPT_RETRY_MS);
}

/* As many descriptors are taken as there are up to it: the kernel gives the lowest one. */
static bool is_within_descriptors(const struct sl_acceptor *acceptor, int fd)
{
    uint64_t descriptors_max = acceptor->options->descriptors_max;

    return descriptors_max == 0 || (uint64_t)fd < descriptors_max;
}

/* Would the next connection leave to others what is theirs? */
static bool has_descriptor(const struct sl_acceptor *acceptor)
{
    int next = dup(acceptor->listener_fds[0]);

    if (next < 0)
        return false;
    close(next);
    return is_within_descriptors(acceptor, next);
}

/* Takes connections from one listener. False: there may be more. */
static bool accept_batch(struct sl_acceptor *acceptor, h2o_socket_t *listener)
{
    for (unsigned i = 0; i < ACCEPT_BATCH_MAX; i++) {
        h2o_socket_t *sock = h2o_evloop_socket_accept(listener);
        if (sock == NULL) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
                pause_accepting(acceptor, errno);
            return true;
        }
        sl_connection_create(acceptor, sock);
        if (!sl_timer_is_set(&acceptor->housekeeping_alarm.timer))
            set_alarm(acceptor, &acceptor->housekeeping_alarm, HOUSEKEEPING_MS);
        int fd = h2o_socket_get_fd(sock);
        h2o_accept(&acceptor->accept_context, sock);
        if (!is_within_descriptors(acceptor, fd) && !acceptor->draining) {
            pause_accepting(acceptor, EMFILE);
            return true;
        }
        if (acceptor->connection_count >= acceptor->connections_max && !acceptor->draining) {
            set_accepting(acceptor, false);
            return true;
        }
    }
    return false;
}

static void on_accept(h2o_socket_t *listener, const char *err)
{
    struct sl_acceptor *acceptor = (struct sl_acceptor *)listener->data;

    sl_acceptor_enter(acceptor);
    if (err == NULL)
        accept_batch(acceptor, listener);
}

static void set_accepting(struct sl_acceptor *acceptor, bool accepting)
{
    if (acceptor->accepting == accepting || acceptor->draining)
        return;
    acceptor->accepting = accepting;
    for (unsigned i = 0; i < acceptor->listener_count; i++) {
        if (accepting)
            h2o_socket_read_start(acceptor->listeners[i], on_accept);
        else
            h2o_socket_read_stop(acceptor->listeners[i]);
    }
}

void sl_acceptor_on_connection_closed(struct sl_acceptor *acceptor)
{
    if (acceptor->accepting || acceptor->draining ||
        acceptor->connection_count >= acceptor->connections_max)
        return;
    if (has_descriptor(acceptor))
        set_accepting(acceptor, true);
    else
        set_alarm(acceptor, &acceptor->accept_alarm, ACCEPT_RETRY_MS);
}

static void on_accept_alarm(struct sl_alarm *alarm)
{
    sl_acceptor_on_connection_closed(SL_OBJECT(alarm, struct sl_acceptor, accept_alarm));
}

/*
 * All connections have their turn in HOUSEKEEPING_MS, in parts: with thousands, no turn is long.
 * Thousands cost little: they have it once a second, or four times if somebody has bytes to take
 * (sl_connections_are_quiet). Where many are to be cut, the next turn is soon.
 */
static void on_housekeeping(struct sl_alarm *alarm)
{
    struct sl_acceptor *acceptor = SL_OBJECT(alarm, struct sl_acceptor, housekeeping_alarm);
    unsigned parts = 1;

    if (acceptor->draining || !sl_connections_are_quiet(acceptor)) {
        parts += acceptor->connection_count / LOOK_CONNECTIONS_MIN;
        if (parts > LOOK_PARTS_MAX)
            parts = LOOK_PARTS_MAX;
        enum sl_look look = sl_connections_look(acceptor, parts);
        if (look == SL_LOOK_CUT)
            parts = LOOK_PARTS_MAX;
        if (look == SL_LOOK_ALL && acceptor->draining) {
            if (acceptor->now_ms >= acceptor->drain_deadline_ms)
                sl_connections_cut_all(acceptor);
            else
                sl_connections_close_idle(acceptor); /* answered as if they could stay */
        }
    }
    if (acceptor->connection_count != 0)
        set_alarm(acceptor, alarm, HOUSEKEEPING_MS / parts);
}

/* With SO_REUSEPORT, closing a listener resets the connections that wait in its queue. */
static void close_listeners(struct sl_acceptor *acceptor)
{
    for (unsigned i = 0; i < acceptor->listener_count; i++) {
        while (!accept_batch(acceptor, acceptor->listeners[i]))
            continue;
        h2o_socket_close(acceptor->listeners[i]);
    }
    acceptor->listener_count = 0;
}

static void on_control(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
    struct sl_acceptor *acceptor = SL_OBJECT(receiver, struct sl_acceptor, control);

    sl_acceptor_enter(acceptor);
    SL_ASSERT(messages->next == &acceptor->drain_message.link); /* nobody sends another one */
    h2o_linklist_unlink(&acceptor->drain_message.link);
    set_accepting(acceptor, false);
    acceptor->draining = true;
    /* Not h2o_context_request_shutdown(): its HTTP/2 half leaves a timer behind. */
    acceptor->h2o.shutdown_requested = 1;
    acceptor->drain_deadline_ms = acceptor->now_ms + acceptor->options->drain_timeout_ms;
    close_listeners(acceptor);
    sl_live_drain(acceptor->live);
    sl_connections_close_idle(acceptor);
}

static void read_clocks(struct sl_acceptor *acceptor)
{
    acceptor->now_ms = sl_clock_running_ms();
    acceptor->wall_ms = (int64_t)acceptor->now_ms + acceptor->wall_offset_ms;
}

static void begin_turn(struct sl_acceptor *acceptor)
{
    acceptor->turn_begun_ns = sl_clock_running_ns();
    acceptor->large_ns = 0;
}

void sl_acceptor_wake(struct sl_acceptor *acceptor)
{
    acceptor->asleep = false;
    read_clocks(acceptor);
    begin_turn(acceptor);
    sl_session_wake(acceptor->session);
}

static void on_session_readable(h2o_socket_t *sock, const char *err)
{
    (void)err;
    sl_acceptor_enter((struct sl_acceptor *)sock->data);
}

static void fire(void *context, struct sl_timer *timer)
{
    struct sl_alarm *alarm = SL_OBJECT(timer, struct sl_alarm, timer);

    (void)context;
    alarm->on_alarm(alarm);
}

/* Everything that h2o does not call. True: there is more to do at once. */
static bool work(struct sl_acceptor *acceptor)
{
    struct sl_operation *op;
    unsigned done = 0;

    read_clocks(acceptor);
    while (done < SL_DRAIN_BATCH_MAX && (op = sl_session_poll(acceptor->session)) != NULL) {
        struct sl_completion *completion = (struct sl_completion *)op->context;
        completion->on_done(completion, op);
        done++;
    }
    size_t fired =
        sl_timer_wheel_advance(&acceptor->wheel, acceptor->now_ms, ALARM_BATCH_MAX, fire, acceptor);
    bool more = !sl_live_work(acceptor->live);
    more = sl_handler_work(acceptor) || more;
    /* Ends of writes that were made outside of the loop: h2o would look at them too late. */
    h2o_timeout__do_post_callback(acceptor->h2o.loop);
    begin_turn(acceptor);
    return more || done == SL_DRAIN_BATCH_MAX || fired == ALARM_BATCH_MAX;
}

static int32_t sleep_ms(struct sl_acceptor *acceptor)
{
    uint64_t next_ms = sl_timer_wheel_next(&acceptor->wheel);

    if (next_ms <= acceptor->now_ms)
        return 0;
    uint64_t wait_ms = next_ms - acceptor->now_ms;
    return wait_ms < SLEEP_MAX_MS ? (int32_t)wait_ms : SLEEP_MAX_MS;
}

static bool is_drained(const struct sl_acceptor *acceptor)
{
    return acceptor->draining && acceptor->connection_count == 0 &&
           sl_session_pending(acceptor->session) == 0 && acceptor->control_count == 0;
}

static void start(struct sl_acceptor *acceptor)
{
    struct sl_acceptor_shared *shared = &acceptor->shared;

    enum sl_err err = sl_session_open(shared->engine, &acceptor->session);
    SL_ASSERT(err == SL_OK); /* front.c has compared the limits */
    acceptor->metrics = sl_metrics_registry_join(shared->registry);
    acceptor->history_id = sl_engine_history_id(shared->engine);
    acceptor->wall_offset_ms = sl_clock_wall_ms() - (int64_t)sl_clock_running_ms();
    read_clocks(acceptor);
    begin_turn(acceptor);
    sl_timer_wheel_init(&acceptor->wheel, acceptor->now_ms);
    /* h2o's buffers belong to the thread that makes them, so everything of h2o's is made here. */
    h2o_socket_buffer_prototype.allocator.max = H2O_BUFFERS_KEPT_MAX;
    h2o_context_init(&acceptor->h2o, h2o_evloop_create(), shared->config);
    acceptor->accept_context =
        (h2o_accept_ctx_t){ .ctx = &acceptor->h2o, .hosts = shared->config->hosts };
    h2o_multithread_register_receiver(acceptor->h2o.queue, &acceptor->control, on_control);
    h2o_multithread_register_receiver(acceptor->h2o.queue, &acceptor->answered,
                                      sl_control_on_answered);
    acceptor->session_sock = h2o_evloop_socket_create(
        acceptor->h2o.loop, dup(sl_session_fd(acceptor->session)), H2O_SOCKET_FLAG_DONT_READ);
    acceptor->session_sock->data = acceptor;
    h2o_socket_read_start(acceptor->session_sock, on_session_readable);
    for (unsigned i = 0; i < acceptor->listener_count; i++) {
        acceptor->listeners[i] = h2o_evloop_socket_create(
            acceptor->h2o.loop, acceptor->listener_fds[i], H2O_SOCKET_FLAG_DONT_READ);
        acceptor->listeners[i]->data = acceptor;
    }
    acceptor->live = sl_live_create(acceptor);
    set_accepting(acceptor, true);
    h2o_barrier_wait(shared->started);
}

/*
 * h2o keeps some buffers and pool chunks of every thread to use them again, and forgets them when
 * the thread ends. The chunks can only be had through a pool, which links them by their first word.
 */
static void free_recycled_memory(void)
{
    h2o_mem_recycle_t *buffers = &h2o_socket_buffer_prototype.allocator;
    h2o_mem_pool_t pool;

    while (buffers->cnt != 0)
        sl_memory_free(h2o_mem_alloc_recycle(buffers, 0));
    h2o_mem_init_pool(&pool);
    for (unsigned i = 0; i < H2O_CHUNKS_KEPT_MAX * H2O_CHUNK_PARTS; i++)
        h2o_mem_alloc_pool(&pool, H2O_CHUNK_PART_SIZE);
    for (void *chunk = pool.chunks; chunk != NULL;) {
        void *next = *(void **)chunk;
        sl_memory_free(chunk);
        chunk = next;
    }
}

static void stop(struct sl_acceptor *acceptor)
{
    h2o_loop_t *loop = acceptor->h2o.loop;
    h2o_multithread_queue_t *queue = acceptor->h2o.queue;

    sl_live_destroy(&acceptor->live);
    h2o_socket_close(acceptor->session_sock);
    sl_session_close(&acceptor->session);
    h2o_multithread_unregister_receiver(acceptor->h2o.queue, &acceptor->control);
    h2o_multithread_unregister_receiver(acceptor->h2o.queue, &acceptor->answered);
    h2o_evloop_run(loop, 0); /* frees the sockets that were closed */
    h2o_context_dispose(&acceptor->h2o);
    sl_memory_free(queue); /* closed by h2o, but not freed */
    h2o_evloop_destroy(loop);
    free_recycled_memory();
}

static void run(void *argument)
{
    struct sl_acceptor *acceptor = (struct sl_acceptor *)argument;

    start(acceptor);
    for (;;) {
        bool more = work(acceptor);
        if (is_drained(acceptor))
            break;
        acceptor->asleep = !more && sl_session_sleep(acceptor->session);
        h2o_evloop_run(acceptor->h2o.loop, acceptor->asleep ? sleep_ms(acceptor) : 0);
        sl_acceptor_enter(acceptor);
        sl_connections_keep_to_budget(acceptor);
        sl_session_flush(acceptor->session); /* the shards begin while we look at their answers */
    }
    stop(acceptor);
}

struct sl_acceptor *sl_acceptor_create(const struct sl_acceptor_shared *shared,
                                       const int *listener_fds, unsigned listener_count)
{
    struct sl_acceptor *acceptor = (struct sl_acceptor *)sl_memory_zalloc(sizeof *acceptor);
    unsigned acceptors = shared->options->acceptors;

    SL_ASSERT(listener_count <= SL_LISTEN_ADDRESSES_MAX);
    acceptor->shared = *shared;
    acceptor->options = shared->options;
    acceptor->connections_max = (shared->options->connections_max + acceptors - 1) / acceptors;
    acceptor->listener_count = listener_count;
    for (unsigned i = 0; i < listener_count; i++)
        acceptor->listener_fds[i] = listener_fds[i];
    sl_link_init(&acceptor->large_requests);
    sl_link_init(&acceptor->spare_exchanges);
    sl_timer_init(&acceptor->accept_alarm.timer);
    acceptor->accept_alarm.on_alarm = on_accept_alarm;
    sl_timer_init(&acceptor->housekeeping_alarm.timer);
    acceptor->housekeeping_alarm.on_alarm = on_housekeeping;
    acceptor->thread = sl_thread_start("acceptor", run, acceptor);
    return acceptor;
}

void sl_acceptor_drain(struct sl_acceptor *acceptor)
{
    h2o_multithread_send_message(&acceptor->control, &acceptor->drain_message);
}

void sl_acceptor_destroy(struct sl_acceptor **acceptor)
{
    struct sl_acceptor *old = *acceptor;

    *acceptor = NULL;
    sl_thread_join(&old->thread);
    SL_ASSERT(old->connection_count == 0);
    sl_exchanges_free_spare(old);
    sl_buffer_deinit(&old->head);
    sl_memory_free(old->connections);
    sl_memory_free(old);
}
