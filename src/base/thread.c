#include "base/thread.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/memory.h"

enum {
    LOWEST_PRIORITY = 19,
    STACK_SIZE_BYTES = 4 * 1024 * 1024, /* h2o keeps large arrays there; untouched pages are free */
};

struct sl_thread {
    pthread_t handle;                       /* valid until joined */
    void (*run)(void *argument);            /* the caller's function */
    void *argument;                         /* borrowed: between the caller and its function */
    char name[SL_THREAD_NAME_SIZE_MAX + 1]; /* of sl_thread_name() */
};

struct sl_mutex {
    pthread_mutex_t handle; /* not recursive */
};

struct sl_condition {
    pthread_cond_t handle; /* waits by the running clock */
};

struct sl_role sl_role_session = { .name = "session" };
struct sl_role sl_role_shard = { .name = "shard" };

__thread unsigned sli_thread_shard;
static __thread const char *thread_name = "main"; /* borrowed: of struct sl_thread */

const char *sl_thread_name(void)
{
    return thread_name;
}

static void *thread_main(void *argument)
{
    struct sl_thread *thread = argument;
    thread_name = thread->name;
    pthread_setname_np(pthread_self(), thread->name);
    thread->run(thread->argument);
    return NULL;
}

/* A blocked fault would kill the process before a sanitizer could say why, so faults stay open. */
static void fill_blocked_signals(sigset_t *signals)
{
    sigfillset(signals);
    sigdelset(signals, SIGSEGV);
    sigdelset(signals, SIGBUS);
    sigdelset(signals, SIGFPE);
    sigdelset(signals, SIGILL);
}

struct sl_thread *sl_thread_start(const char *name, void (*run)(void *argument), void *argument)
{
    struct sl_thread *thread = sl_memory_alloc(sizeof(*thread));
    *thread = (struct sl_thread){ .run = run, .argument = argument };
    snprintf(thread->name, sizeof(thread->name), "%s", name);

    sigset_t blocked;
    sigset_t before;
    fill_blocked_signals(&blocked);
    pthread_attr_t attributes;
    int failed = pthread_attr_init(&attributes);
    SL_ASSERT(failed == 0);
    failed = pthread_attr_setstacksize(&attributes, STACK_SIZE_BYTES);
    SL_ASSERT(failed == 0);
    /* The new thread inherits the mask, so no signal can find it unprepared. */
    failed = pthread_sigmask(SIG_SETMASK, &blocked, &before);
    SL_ASSERT(failed == 0);
    failed = pthread_create(&thread->handle, &attributes, thread_main, thread);
    SL_ASSERT(failed == 0);
    failed = pthread_sigmask(SIG_SETMASK, &before, NULL);
    SL_ASSERT(failed == 0);
    pthread_attr_destroy(&attributes);
    return thread;
}

void sl_thread_join(struct sl_thread **thread)
{
    struct sl_thread *joined = *thread;
    *thread = NULL;
    int failed = pthread_join(joined->handle, NULL);
    SL_ASSERT(failed == 0);
    sl_memory_free(joined);
}

void sl_thread_yield_to_others(void)
{
    /* Of the thread, not of the process: so it is on Linux. The disk goes by it, too. */
    (void)setpriority(PRIO_PROCESS, 0, LOWEST_PRIORITY);
}

struct sl_mutex *sl_mutex_create(void)
{
    struct sl_mutex *mutex = sl_memory_alloc(sizeof(*mutex));
    int failed = pthread_mutex_init(&mutex->handle, NULL);
    SL_ASSERT(failed == 0);
    return mutex;
}

void sl_mutex_destroy(struct sl_mutex **mutex)
{
    int failed = pthread_mutex_destroy(&(*mutex)->handle);
    SL_ASSERT(failed == 0);
    sl_memory_free(*mutex);
    *mutex = NULL;
}

void sl_mutex_lock(struct sl_mutex *mutex)
{
    int failed = pthread_mutex_lock(&mutex->handle);
    SL_ASSERT(failed == 0);
}

void sl_mutex_unlock(struct sl_mutex *mutex)
{
    int failed = pthread_mutex_unlock(&mutex->handle);
    SL_ASSERT(failed == 0);
}

void sl_thread_enter_shard(unsigned index)
{
    SL_ASSERT(sli_thread_shard == 0);
    sli_thread_shard = index + 1;
}

struct sl_condition *sl_condition_create(void)
{
    struct sl_condition *condition = sl_memory_alloc(sizeof(*condition));
    pthread_condattr_t attributes;
    int failed = pthread_condattr_init(&attributes);
    SL_ASSERT(failed == 0);
    failed = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    SL_ASSERT(failed == 0);
    failed = pthread_cond_init(&condition->handle, &attributes);
    SL_ASSERT(failed == 0);
    pthread_condattr_destroy(&attributes);
    return condition;
}

void sl_condition_destroy(struct sl_condition **condition)
{
    int failed = pthread_cond_destroy(&(*condition)->handle);
    SL_ASSERT(failed == 0);
    sl_memory_free(*condition);
    *condition = NULL;
}

void sl_condition_wait(struct sl_condition *condition, struct sl_mutex *mutex)
{
    int failed = pthread_cond_wait(&condition->handle, &mutex->handle);
    SL_ASSERT(failed == 0);
}

void sl_condition_wait_for(struct sl_condition *condition, struct sl_mutex *mutex,
                           unsigned timeout_ms)
{
    uint64_t until_ns = sl_clock_monotonic_ns() + (uint64_t)timeout_ms * 1000 * 1000;
    struct timespec until = { .tv_sec = (time_t)(until_ns / 1000000000),
                              .tv_nsec = (long)(until_ns % 1000000000) };
    int failed = pthread_cond_timedwait(&condition->handle, &mutex->handle, &until);
    SL_ASSERT(failed == 0 || failed == ETIMEDOUT);
}

void sl_condition_signal(struct sl_condition *condition)
{
    int failed = pthread_cond_signal(&condition->handle);
    SL_ASSERT(failed == 0);
}

void sl_condition_signal_all(struct sl_condition *condition)
{
    int failed = pthread_cond_broadcast(&condition->handle);
    SL_ASSERT(failed == 0);
}
