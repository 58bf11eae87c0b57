#include "base/metrics.h"

#include <inttypes.h>
#include <stdbool.h>

#include "base/assert.h"
#include "base/link.h"
#include "base/memory.h"
#include "base/thread.h"

enum {
    CACHE_LINE_SIZE_BYTES = 64, /* blocks of two threads never share one */
};

struct joined {
    struct sl_metrics metrics; /* of one thread */
    struct sl_link link;       /* in the registry */
};

struct sl_metrics_registry {
    struct sl_mutex *mutex; /* owned; guards the list, not the values */
    struct sl_link joined;  /* owned struct joined */
};

static const struct {
    const char *name;   /* as Prometheus sees it */
    const char *type;   /* counter or gauge */
    const char *labels; /* empty: none */
    const char *help;   /* one sentence */
} descriptions[SL_METRIC_COUNT] = {
#define X(NAME, type, name, labels, help) { name, #type, labels, help },
    SL_METRIC_LIST(X)
#undef X
};

static const char *const operation_labels[SL_METRIC_OPERATIONS] = {
#define X(NAME, label) label,
    SL_METRIC_OPERATION_LIST(X)
#undef X
};

static const char *const status_labels[SL_METRIC_STATUSES] = {
#define X(STATUS) #STATUS,
    SL_METRIC_STATUS_LIST(X)
#undef X
        "other",
};

/* Row of a status in SL_METRIC_STATUS_LIST; the last one is for all others. */
static unsigned status_index(int status)
{
    enum {
#define X(STATUS) INDEX_##STATUS,
        SL_METRIC_STATUS_LIST(X)
#undef X
            INDEX_OTHER,
    };
    switch (status) {
#define X(STATUS)                                                                                  \
    case STATUS:                                                                                   \
        return INDEX_##STATUS;
        SL_METRIC_STATUS_LIST(X)
#undef X
    default:
        return INDEX_OTHER;
    }
}

struct sl_metrics_registry *sl_metrics_registry_create(void)
{
    struct sl_metrics_registry *registry = sl_memory_alloc(sizeof(*registry));
    registry->mutex = sl_mutex_create();
    sl_link_init(&registry->joined);
    return registry;
}

void sl_metrics_registry_destroy(struct sl_metrics_registry **registry)
{
    struct sl_link *link;
    while ((link = sl_link_first(&(*registry)->joined)) != NULL) {
        sl_link_remove(link);
        sl_memory_free(SL_OBJECT(link, struct joined, link));
    }
    sl_mutex_destroy(&(*registry)->mutex);
    sl_memory_free(*registry);
    *registry = NULL;
}

struct sl_metrics *sl_metrics_registry_join(struct sl_metrics_registry *registry)
{
    struct joined *joined = sl_memory_alloc_aligned(CACHE_LINE_SIZE_BYTES, sizeof(*joined));
    *joined = (struct joined){ 0 };
    sl_link_init(&joined->link);
    sl_mutex_lock(registry->mutex);
    sl_link_append(&registry->joined, &joined->link);
    sl_mutex_unlock(registry->mutex);
    return &joined->metrics;
}

void sl_metrics_request(struct sl_metrics *metrics, enum sl_metric_operation operation, int status)
{
    uint64_t *count = &metrics->requests[operation][status_index(status)];
    __atomic_store_n(count, __atomic_load_n(count, __ATOMIC_RELAXED) + 1, __ATOMIC_RELAXED);
}

static void add_all(uint64_t *sums, const uint64_t *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        sums[i] += __atomic_load_n(&values[i], __ATOMIC_RELAXED);
}

static void sum_up(struct sl_metrics_registry *registry, struct sl_metrics *sum)
{
    *sum = (struct sl_metrics){ 0 };
    sl_mutex_lock(registry->mutex);
    for (struct sl_link *link = registry->joined.next; link != &registry->joined;
         link = link->next) {
        const struct sl_metrics *one = &SL_OBJECT(link, struct joined, link)->metrics;
        add_all(sum->value, one->value, SL_METRIC_COUNT);
        for (size_t i = 0; i < SL_METRIC_OPERATIONS; i++)
            add_all(sum->requests[i], one->requests[i], SL_METRIC_STATUSES);
    }
    sl_mutex_unlock(registry->mutex);
}

void sl_metrics_render_head(struct sl_buffer *out, const char *name, const char *type,
                            const char *help)
{
    sl_buffer_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void sl_metrics_render(struct sl_metrics_registry *registry, struct sl_buffer *out)
{
    struct sl_metrics sum;
    sum_up(registry, &sum);
    const char *name_before = "";
    for (size_t i = 0; i < SL_METRIC_COUNT; i++) {
        const char *name = descriptions[i].name;
        const char *labels = descriptions[i].labels;
        if (strcmp(name, name_before) != 0)
            sl_metrics_render_head(out, name, descriptions[i].type, descriptions[i].help);
        name_before = name;
        if (labels[0] == '\0')
            sl_buffer_printf(out, "%s %" PRIu64 "\n", name, sum.value[i]);
        else
            sl_buffer_printf(out, "%s{%s} %" PRIu64 "\n", name, labels, sum.value[i]);
    }

    static const char requests[] = "sluice_requests_total";
    sl_metrics_render_head(out, requests, "counter", "Requests that were answered.");
    for (size_t i = 0; i < SL_METRIC_OPERATIONS; i++) {
        for (size_t j = 0; j < SL_METRIC_STATUSES; j++) {
            if (sum.requests[i][j] != 0)
                sl_buffer_printf(out, "%s{operation=\"%s\",status=\"%s\"} %" PRIu64 "\n", requests,
                                 operation_labels[i], status_labels[j], sum.requests[i][j]);
        }
    }
}
