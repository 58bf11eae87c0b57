#include "journal/worker.h"

#include <stddef.h>

#include "base/memory.h"
#include "base/thread.h"

struct sl_worker {
    struct sl_mutex *mutex;       /* owned; of queue and stopping */
    struct sl_condition *changed; /* owned; there is a job, or the end */
    struct sl_link queue;         /* borrowed: jobs that nobody runs yet, oldest first */
    bool stopping;                /* no more jobs will come from outside */
    struct sl_thread **threads;   /* owned */
    unsigned thread_count;        /* of them */
};

/* Waits for the next job; NULL: there will be none. */
static struct sl_job *take(struct sl_worker *worker)
{
    sl_mutex_lock(worker->mutex);
    while (sl_link_is_empty(&worker->queue) && !worker->stopping)
        sl_condition_wait(worker->changed, worker->mutex);
    struct sl_link *first = sl_link_first(&worker->queue);
    if (first != NULL)
        sl_link_remove(first);
    sl_mutex_unlock(worker->mutex);
    return first == NULL ? NULL : SL_OBJECT(first, struct sl_job, link);
}

static void worker_main(void *argument)
{
    struct sl_worker *worker = argument;
    struct sl_job *job;
    while ((job = take(worker)) != NULL)
        job->run(job);
}

struct sl_worker *sl_worker_create(const char *name, unsigned threads)
{
    SL_ASSERT(threads > 0);
    struct sl_worker *worker = sl_memory_alloc(sizeof(*worker));
    *worker = (struct sl_worker){
        .mutex = sl_mutex_create(),
        .changed = sl_condition_create(),
        .threads = sl_memory_alloc(threads * sizeof(struct sl_thread *)),
        .thread_count = threads,
    };
    sl_link_init(&worker->queue);
    for (unsigned i = 0; i < threads; i++)
        worker->threads[i] = sl_thread_start(name, worker_main, worker);
    return worker;
}

void sl_worker_destroy(struct sl_worker **worker)
{
    struct sl_worker *ended = *worker;
    *worker = NULL;
    if (ended == NULL)
        return;
    sl_mutex_lock(ended->mutex);
    ended->stopping = true;
    sl_condition_signal_all(ended->changed);
    sl_mutex_unlock(ended->mutex);
    for (unsigned i = 0; i < ended->thread_count; i++)
        sl_thread_join(&ended->threads[i]);
    SL_ASSERT(sl_link_is_empty(&ended->queue));
    sl_condition_destroy(&ended->changed);
    sl_mutex_destroy(&ended->mutex);
    sl_memory_free(ended->threads);
    sl_memory_free(ended);
}

void sl_worker_push(struct sl_worker *worker, struct sl_job *job)
{
    sl_link_init(&job->link);
    sl_mutex_lock(worker->mutex);
    sl_link_append(&worker->queue, &job->link);
    sl_condition_signal(worker->changed);
    sl_mutex_unlock(worker->mutex);
}
