#include "load/histogram.h"

#include "base/assert.h"

/* Below 256 a bucket per value; above, the leading 8 bits choose within the power of two. */
static unsigned bucket_of(uint64_t value)
{
    unsigned top = 63 - (unsigned)__builtin_clzll(value | 1);

    if (top <= LOAD_HISTOGRAM_STEP_BITS)
        return (unsigned)value;
    unsigned shift = top - LOAD_HISTOGRAM_STEP_BITS;
    return (shift << LOAD_HISTOGRAM_STEP_BITS) + (unsigned)(value >> shift);
}

/* The largest value of the bucket. */
static uint64_t bucket_max(unsigned bucket)
{
    unsigned steps = 1U << LOAD_HISTOGRAM_STEP_BITS;

    if (bucket < 2 * steps)
        return bucket;
    unsigned shift = (bucket >> LOAD_HISTOGRAM_STEP_BITS) - 1;
    uint64_t lead = steps + bucket % steps;
    return ((lead + 1) << shift) - 1;
}

void load_histogram_add(struct load_histogram *histogram, uint64_t value)
{
    histogram->count++;
    histogram->sum += value;
    if (value > histogram->max)
        histogram->max = value;
    if (value > LOAD_HISTOGRAM_VALUE_MAX)
        value = LOAD_HISTOGRAM_VALUE_MAX;
    histogram->buckets[bucket_of(value)]++;
}

void load_histogram_merge(struct load_histogram *histogram, const struct load_histogram *from)
{
    histogram->count += from->count;
    histogram->sum += from->sum;
    if (from->max > histogram->max)
        histogram->max = from->max;
    for (unsigned i = 0; i < LOAD_HISTOGRAM_BUCKETS; i++)
        histogram->buckets[i] += from->buckets[i];
}

uint64_t load_histogram_percentile(const struct load_histogram *histogram, double share)
{
    SL_ASSERT(share >= 0 && share <= 1);
    double wanted = share * (double)histogram->count;
    uint64_t seen = 0;

    for (unsigned i = 0; i < LOAD_HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (histogram->buckets[i] != 0 && (double)seen >= wanted) {
            uint64_t value = bucket_max(i);
            return value < histogram->max ? value : histogram->max;
        }
    }
    return histogram->max;
}
