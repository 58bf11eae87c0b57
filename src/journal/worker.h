/*
 * journal/worker.h - threads that do what would make others wait
 *
 * What     A pool of threads and one queue of jobs: cold reads (several threads), flushes (one),
 *          compactions (one).
 * Thread   push: any. A job's run: a thread of the pool, which then owns the job.
 */
#ifndef SL_JOURNAL_WORKER_H
#define SL_JOURNAL_WORKER_H

#include "base/link.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sl_job {
    struct sl_link link;
    void (*run)(struct sl_job *job); /* may free the job, or hand it to another thread */
};

struct sl_worker;

/* `name` names the threads. Never NULL. */
struct sl_worker *sl_worker_create(const char *name, unsigned threads);
/* Runs what is queued, ends the threads. */
void sl_worker_destroy(struct sl_worker **worker);
void sl_worker_push(struct sl_worker *worker, struct sl_job *job);

#ifdef __cplusplus
}
#endif
#endif
