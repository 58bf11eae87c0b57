#include "load/worker.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/thread.h"
#include "load/connection.h"

#define NS_PER_S UINT64_C(1000000000)

enum {
    EVENTS_MAX = 512,
    LOOK_NS = 5000000,  /* how often a waiting worker looks at what main wrote */
    TIMER_SLACK_NS = 1, /* instants are met as well as the kernel can */
};

/* Takes over the window when main has opened it. */
static void look_at_window(struct load_worker *worker, uint64_t now_ns)
{
    struct load_window *window = &worker->run->window;

    if (worker->window.begin_ns != 0)
        return;
    uint64_t begin_ns = __atomic_load_n(&window->begin_ns, __ATOMIC_ACQUIRE);
    if (begin_ns == 0 || begin_ns > now_ns)
        return;
    worker->window = *window;
    for (unsigned i = 0; i < worker->run->plan->role_count; i++)
        load_lane_begin(&worker->lanes[i], now_ns);
}

static uint64_t wait_ns(const struct load_worker *worker, uint64_t now_ns)
{
    uint64_t wait_ns = LOOK_NS;

    for (unsigned i = 0; i < worker->run->plan->role_count; i++) {
        uint64_t lane_ns = load_lane_wait_ns(&worker->lanes[i], now_ns);
        if (lane_ns < wait_ns)
            wait_ns = lane_ns;
    }
    return wait_ns;
}

static void run_once(struct load_worker *worker)
{
    struct epoll_event events[EVENTS_MAX];
    uint64_t timeout_ns = wait_ns(worker, sl_clock_monotonic_ns());
    struct timespec timeout = {
        .tv_sec = (time_t)(timeout_ns / NS_PER_S),
        .tv_nsec = (long)(timeout_ns % NS_PER_S),
    };
    int count = epoll_pwait2(worker->epoll, events, EVENTS_MAX, &timeout, NULL);

    SL_ASSERT(count >= 0 || errno == EINTR);
    for (int i = 0; i < count; i++) {
        struct load_connection *connection = (struct load_connection *)events[i].data.ptr;
        load_lane_on_event(connection->lane, connection, events[i].events);
    }
    uint64_t now_ns = sl_clock_monotonic_ns();
    look_at_window(worker, now_ns);
    for (unsigned i = 0; i < worker->run->plan->role_count; i++) {
        load_lane_connect(&worker->lanes[i]);
        load_lane_pace(&worker->lanes[i], now_ns);
    }
}

static void work(void *argument)
{
    struct load_worker *worker = (struct load_worker *)argument;

    prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS);
    while (!__atomic_load_n(&worker->run->stop, __ATOMIC_ACQUIRE))
        run_once(worker);
    for (unsigned i = 0; i < worker->run->plan->role_count; i++)
        load_lane_end(&worker->lanes[i], sl_clock_monotonic_ns());
}

void load_worker_start(struct load_worker *worker, struct load_run *run, unsigned index)
{
    *worker = (struct load_worker){
        .run = run,
        .index = index,
        .epoll = epoll_create1(EPOLL_CLOEXEC),
        .in = (uint8_t *)sl_memory_alloc(2 * (size_t)LOAD_RECEIVE_SIZE),
    };
    SL_ASSERT(worker->epoll >= 0);
    for (unsigned i = 0; i < run->plan->role_count; i++)
        load_lane_init(&worker->lanes[i], worker, i);
    worker->thread = sl_thread_start("load", work, worker);
}

void load_worker_join(struct load_worker *worker)
{
    sl_thread_join(&worker->thread);
}

void load_worker_deinit(struct load_worker *worker)
{
    for (unsigned i = 0; i < worker->run->plan->role_count; i++)
        load_lane_deinit(&worker->lanes[i]);
    close(worker->epoll);
    sl_memory_free(worker->in);
    sl_buffer_deinit(&worker->out);
}
