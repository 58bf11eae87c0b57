/*
 * bench/load/main.c - sluice-bench: loads a server and says what it did
 *
 * What     Starts the workers, opens the window when all connections stand, closes it, reports.
 * Use      sluice-bench --help; bench/run.py runs it.
 */
#include <poll.h>
#include <stdio.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/memory.h"
#include "load/report.h"

#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)

enum {
    LOOK_MS = 5,             /* how often main looks at the workers */
    CONNECT_TIMEOUT_S = 120, /* until all connections stand */
    QUIET_MS = 300,          /* without a delivery: everything that was sent has arrived */
};

/* The run as main sees it. */
struct course {
    struct load_run *run;        /* borrowed */
    struct load_worker *workers; /* borrowed */
    struct load_ticker ticker;
};

static double cpu_seconds(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static uint64_t look(struct course *course)
{
    poll(NULL, 0, LOOK_MS);
    uint64_t now_ns = sl_clock_monotonic_ns();
    if (now_ns - course->ticker.at_ns >= NS_PER_S)
        load_ticker_print(&course->ticker, course->run->plan, course->workers, now_ns);
    return now_ns;
}

static bool are_ready(const struct course *course)
{
    const struct load_plan *plan = course->run->plan;

    for (unsigned i = 0; i < plan->role_count; i++) {
        if (load_progress_of(plan, course->workers, i).ready < plan->roles[i].connections)
            return false;
    }
    return true;
}

static bool wait_until_ready(struct course *course)
{
    uint64_t start_ns = sl_clock_monotonic_ns(), now_ns = start_ns;

    while (!are_ready(course)) {
        if (now_ns - start_ns > CONNECT_TIMEOUT_S * NS_PER_S) {
            fprintf(stderr, "sluice-bench: the connections do not stand after %d s\n",
                    CONNECT_TIMEOUT_S);
            return false;
        }
        now_ns = look(course);
    }
    return true;
}

/* When all roles with a count were done; 0: not yet, or there is none. */
static uint64_t finished_ns(const struct course *course)
{
    const struct load_plan *plan = course->run->plan;
    uint64_t last_ns = 0;

    for (unsigned i = 0; i < plan->role_count; i++) {
        if (plan->roles[i].count == 0)
            continue;
        uint64_t role_ns = load_progress_of(plan, course->workers, i).finished_ns;
        if (role_ns == 0)
            return 0;
        if (role_ns > last_ns)
            last_ns = role_ns;
    }
    return last_ns;
}

static void open_window(struct course *course)
{
    const struct load_plan *plan = course->run->plan;
    struct load_window *window = &course->run->window;
    uint64_t begin_ns = sl_clock_monotonic_ns();
    bool is_timed = plan->measure_ms > 0;

    window->start_ns = begin_ns + (is_timed ? plan->warmup_ms * NS_PER_MS : 0);
    window->end_ns = is_timed ? window->start_ns + plan->measure_ms * NS_PER_MS : UINT64_MAX;
    __atomic_store_n(&window->begin_ns, begin_ns, __ATOMIC_RELEASE);
}

/* Waits for answers that are under way and for what readers still get, up to the limit. */
static void drain(struct course *course)
{
    const struct load_plan *plan = course->run->plan;
    uint64_t start_ns = sl_clock_monotonic_ns(), now_ns = start_ns;
    uint64_t delivered = 0, quiet_since_ns = start_ns;

    while (now_ns - start_ns < plan->drain_ms * NS_PER_MS) {
        uint64_t in_flight = 0, delivered_now = 0;
        bool has_readers = false;
        for (unsigned i = 0; i < plan->role_count; i++) {
            struct load_progress progress = load_progress_of(plan, course->workers, i);
            in_flight += progress.in_flight;
            delivered_now += progress.delivered;
            has_readers = has_readers || load_kind_is_live(plan->roles[i].kind);
        }
        if (delivered_now != delivered || in_flight > 0)
            quiet_since_ns = now_ns;
        delivered = delivered_now;
        if (in_flight == 0 && (!has_readers || now_ns - quiet_since_ns >= QUIET_MS * NS_PER_MS))
            return;
        now_ns = look(course);
    }
}

/* Returns the seconds of the measurement; *cpu is what the generator used in them. */
static double measure(struct course *course, double *cpu)
{
    const struct load_window *window = &course->run->window;
    uint64_t now_ns = sl_clock_monotonic_ns(), end_ns = 0;

    open_window(course);
    course->ticker.at_ns = now_ns;
    while (now_ns < window->start_ns)
        now_ns = look(course);
    fprintf(stderr, "start\n");
    *cpu = cpu_seconds();
    while (now_ns < window->end_ns && end_ns == 0) {
        now_ns = look(course);
        end_ns = finished_ns(course);
    }
    fprintf(stderr, "end\n");
    *cpu = cpu_seconds() - *cpu;
    if (end_ns == 0 || end_ns > window->end_ns)
        end_ns = window->end_ns;
    /* What ended before the measurement began took no time that could be told. */
    return end_ns > window->start_ns ? (double)(end_ns - window->start_ns) / 1e9 : 1e-6;
}

static void prepare(struct load_run *run, const struct load_plan *plan)
{
    size_t filling = 1;

    *run = (struct load_run){ .plan = plan };
    for (unsigned i = 0; i < plan->role_count; i++) {
        const struct load_role *role = &plan->roles[i];
        load_request_init(&run->requests[i], plan, role, (uint32_t)sl_clock_running_ms());
        load_request_init_look(&run->looks[i], plan, role);
        if (run->requests[i].filling > filling)
            filling = run->requests[i].filling;
    }
    run->filling = (uint8_t *)sl_memory_alloc(filling);
    memset(run->filling, 'x', filling);
}

static void release(struct load_run *run)
{
    for (unsigned i = 0; i < run->plan->role_count; i++) {
        load_request_deinit(&run->requests[i]);
        load_request_deinit(&run->looks[i]);
    }
    sl_memory_free(run->filling);
}

int main(int count, char **arguments)
{
    struct load_plan plan;
    struct load_run run;
    bool help = false;

    if (!load_plan_parse(&plan, count, arguments, &help))
        return help ? 0 : 1;
    prepare(&run, &plan);
    struct load_worker *workers =
        (struct load_worker *)sl_memory_zalloc(plan.threads * sizeof *workers);
    struct course course = { .run = &run, .workers = workers };
    course.ticker.at_ns = sl_clock_monotonic_ns();
    for (unsigned i = 0; i < plan.threads; i++)
        load_worker_start(&workers[i], &run, i);
    bool ready = wait_until_ready(&course);
    double seconds = 0, cpu = 0;
    if (ready) {
        seconds = measure(&course, &cpu);
        drain(&course);
    }
    __atomic_store_n(&run.stop, 1, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < plan.threads; i++)
        load_worker_join(&workers[i]);
    if (ready)
        load_report_print(&plan, workers, seconds, cpu);
    for (unsigned i = 0; i < plan.threads; i++)
        load_worker_deinit(&workers[i]);
    sl_memory_free(workers);
    release(&run);
    return ready ? 0 : 1;
}
