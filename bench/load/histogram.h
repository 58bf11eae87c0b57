/*
 * bench/load/histogram.h - how often which latency was seen
 *
 * What     Counts of nanoseconds in buckets that are at most 1/128 of their value wide.
 * Why      Adding is a few instructions, no value is dropped, histograms of threads can be summed,
 *          and the size does not depend on how much is added.
 * Thread   One that adds; others look when it is done.
 * Limits   Values above LOAD_HISTOGRAM_VALUE_MAX count as that, but `max` is exact.
 */
#ifndef LOAD_HISTOGRAM_H
#define LOAD_HISTOGRAM_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    LOAD_HISTOGRAM_STEP_BITS = 7, /* 128 buckets for each power of two */
    LOAD_HISTOGRAM_VALUE_BITS = 40,
    LOAD_HISTOGRAM_BUCKETS = (LOAD_HISTOGRAM_VALUE_BITS - LOAD_HISTOGRAM_STEP_BITS + 1)
                             << LOAD_HISTOGRAM_STEP_BITS,
};

#define LOAD_HISTOGRAM_VALUE_MAX ((UINT64_C(1) << LOAD_HISTOGRAM_VALUE_BITS) - 1)

struct load_histogram {
    uint64_t count;                           /* values added */
    uint64_t sum;                             /* of the values, for the mean */
    uint64_t max;                             /* largest value, exact */
    uint64_t buckets[LOAD_HISTOGRAM_BUCKETS]; /* values in each */
};

void load_histogram_add(struct load_histogram *histogram, uint64_t value);

/* Adds what `from` holds. */
void load_histogram_merge(struct load_histogram *histogram, const struct load_histogram *from);

/*
 * A value that `share` (0 to 1) of the values do not exceed, at most 1/128 too large; 0 when there
 * are none.
 */
uint64_t load_histogram_percentile(const struct load_histogram *histogram, double share);

#ifdef __cplusplus
}
#endif
#endif
