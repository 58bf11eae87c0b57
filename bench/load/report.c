#include "load/report.h"

#include <stdio.h>

#include "base/memory.h"

#define NS_PER_US 1e3
#define NS_PER_S 1e9

static uint64_t look(const uint64_t *value)
{
    return __atomic_load_n(value, __ATOMIC_RELAXED);
}

struct load_progress load_progress_of(const struct load_plan *plan,
                                      const struct load_worker *workers, unsigned role)
{
    struct load_progress sum = { .finished_ns = UINT64_MAX };
    uint64_t last_ns = 0;

    for (unsigned i = 0; i < plan->threads; i++) {
        const struct load_progress *part = &workers[i].lanes[role].progress;
        uint64_t finished_ns = look(&part->finished_ns);
        sum.answered += look(&part->answered);
        sum.delivered += look(&part->delivered);
        sum.ready += look(&part->ready);
        sum.in_flight += look(&part->in_flight);
        if (finished_ns == 0)
            sum.finished_ns = 0;
        if (finished_ns > last_ns)
            last_ns = finished_ns;
    }
    if (sum.finished_ns != 0)
        sum.finished_ns = last_ns;
    return sum;
}

void load_ticker_print(struct load_ticker *ticker, const struct load_plan *plan,
                       const struct load_worker *workers, uint64_t now_ns)
{
    double seconds = (double)(now_ns - ticker->at_ns) / NS_PER_S;

    fprintf(stderr, "tick");
    for (unsigned i = 0; i < plan->role_count; i++) {
        struct load_progress progress = load_progress_of(plan, workers, i);
        bool is_live = load_kind_is_live(plan->roles[i].kind);
        uint64_t more = is_live ? progress.delivered - ticker->delivered[i]
                                : progress.answered - ticker->answered[i];
        fprintf(stderr, " %s %.0f/s", load_kind_word(plan->roles[i].kind), (double)more / seconds);
        ticker->answered[i] = progress.answered;
        ticker->delivered[i] = progress.delivered;
    }
    fprintf(stderr, "\n");
    ticker->at_ns = now_ns;
}

static void print_histogram(const char *name, const struct load_histogram *histogram)
{
    static const struct {
        const char *name;
        double share;
    } percentiles[] = { { "p50", 0.5 }, { "p90", 0.9 }, { "p99", 0.99 }, { "p99.9", 0.999 } };
    double mean = histogram->count > 0 ? (double)histogram->sum / (double)histogram->count : 0;

    printf(", \"%s\": {\"count\": %llu, \"mean\": %.1f", name, (unsigned long long)histogram->count,
           mean / NS_PER_US);
    for (unsigned i = 0; i < sizeof percentiles / sizeof percentiles[0]; i++)
        printf(", \"%s\": %.1f", percentiles[i].name,
               (double)load_histogram_percentile(histogram, percentiles[i].share) / NS_PER_US);
    printf(", \"max\": %.1f}", (double)histogram->max / NS_PER_US);
}

static void merge(struct load_result *sum, const struct load_result *part)
{
    for (unsigned i = 0; i < LOAD_STATUS_MAX; i++)
        sum->status[i] += part->status[i];
    sum->retry_after += part->retry_after;
    sum->operations += part->operations;
    sum->bytes_received += part->bytes_received;
    sum->deliveries += part->deliveries;
    sum->refused += part->refused;
    sum->lost += part->lost;
    sum->bad += part->bad;
    sum->unfinished += part->unfinished;
    load_histogram_merge(&sum->latency, &part->latency);
    load_histogram_merge(&sum->service, &part->service);
    load_histogram_merge(&sum->delivery, &part->delivery);
    if (part->connection_least < sum->connection_least)
        sum->connection_least = part->connection_least;
    if (part->connection_most > sum->connection_most)
        sum->connection_most = part->connection_most;
}

static void print_parameters(const struct load_role *role)
{
    printf("\"role\": \"%s\", \"connections\": %llu, \"depth\": %llu, \"rate_wanted\": %llu, "
           "\"streams\": %llu, \"size\": %llu, \"json\": %llu, \"producers\": %llu",
           load_kind_word(role->kind), (unsigned long long)role->connections,
           (unsigned long long)role->depth, (unsigned long long)role->rate,
           (unsigned long long)role->streams, (unsigned long long)role->size,
           (unsigned long long)role->json, (unsigned long long)role->producers);
}

static void print_status(const struct load_result *result)
{
    const char *comma = "";

    printf(", \"status\": {");
    for (unsigned i = 0; i < LOAD_STATUS_MAX; i++) {
        if (result->status[i] == 0)
            continue;
        printf("%s\"%u\": %llu", comma, i, (unsigned long long)result->status[i]);
        comma = ", ";
    }
    printf("}");
}

static void print_role(const struct load_role *role, const struct load_result *result,
                       double seconds)
{
    printf("{");
    print_parameters(role);
    printf(", \"operations\": %llu, \"rate\": %.1f, \"bytes_received\": %llu",
           (unsigned long long)result->operations, (double)result->operations / seconds,
           (unsigned long long)result->bytes_received);
    print_status(result);
    printf(", \"retry_after\": %llu, \"refused\": %llu, \"lost\": %llu, \"bad\": %llu, "
           "\"unfinished\": %llu, \"connection_least\": %llu, \"connection_most\": %llu",
           (unsigned long long)result->retry_after, (unsigned long long)result->refused,
           (unsigned long long)result->lost, (unsigned long long)result->bad,
           (unsigned long long)result->unfinished, (unsigned long long)result->connection_least,
           (unsigned long long)result->connection_most);
    if (load_kind_is_live(role->kind)) {
        printf(", \"deliveries\": %llu, \"delivery_rate\": %.1f",
               (unsigned long long)result->deliveries, (double)result->deliveries / seconds);
        print_histogram("delivery_us", &result->delivery);
    } else {
        print_histogram("latency_us", &result->latency);
        print_histogram("service_us", &result->service);
    }
    printf("}");
}

void load_report_print(const struct load_plan *plan, const struct load_worker *workers,
                       double seconds, double cpu_seconds)
{
    struct load_result *sum = (struct load_result *)sl_memory_alloc(sizeof *sum);

    printf("{\"seconds\": %.6f, \"cpu_seconds\": %.6f, \"threads\": %llu, \"roles\": [", seconds,
           cpu_seconds, (unsigned long long)plan->threads);
    for (unsigned i = 0; i < plan->role_count; i++) {
        *sum = (struct load_result){ .connection_least = UINT64_MAX };
        for (unsigned k = 0; k < plan->threads; k++)
            merge(sum, &workers[k].lanes[i].result);
        printf("%s", i > 0 ? ", " : "");
        print_role(&plan->roles[i], sum, seconds);
    }
    printf("]}\n");
    sl_memory_free(sum);
}
