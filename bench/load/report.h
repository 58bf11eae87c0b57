/*
 * bench/load/report.h - what a run says: JSON at its end, lines while it runs
 *
 * Thread   Main.
 *
 * Format   One JSON object; see bench/README.md. Times are in microseconds.
 */
#ifndef LOAD_REPORT_H
#define LOAD_REPORT_H

#include "load/worker.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A line to standard error: the rate of every role since the last one. */
struct load_ticker {
    uint64_t at_ns;                    /* of the last line */
    uint64_t answered[LOAD_ROLES_MAX]; /* as of then */
    uint64_t delivered[LOAD_ROLES_MAX];
};

/* The progress of a role, all threads. */
struct load_progress load_progress_of(const struct load_plan *plan,
                                      const struct load_worker *workers, unsigned role);

void load_ticker_print(struct load_ticker *ticker, const struct load_plan *plan,
                       const struct load_worker *workers, uint64_t now_ns);

/* The result to standard output, when the workers have ended. */
void load_report_print(const struct load_plan *plan, const struct load_worker *workers,
                       double seconds, double cpu_seconds);

#ifdef __cplusplus
}
#endif
#endif
