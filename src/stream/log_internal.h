/*
 * stream/log_internal.h - what the files of the log share
 *
 * Thread   The shard that owns the stream.
 */
#ifndef SL_STREAM_LOG_INTERNAL_H
#define SL_STREAM_LOG_INTERNAL_H

#include "stream/log.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    SLI_CHUNK_BITS = 7,
    SLI_CHUNK_EXTENTS = 1 << SLI_CHUNK_BITS,
    SLI_CHUNK_MASK = SLI_CHUNK_EXTENTS - 1,
};

/* Walks the message boundaries of one extent. */
struct sli_mark {
    const struct sl_extent *extent;
    const uint8_t *lengths; /* of the messages after it */
    uint64_t at;            /* position of the boundary */
    uint32_t index;         /* messages before it */
};

/* Extent `index` of those in memory. */
static inline struct sl_extent *sli_log_extent(const struct sl_log *log, uint32_t index)
{
    uint32_t slot = log->first + index;
    return &log->chunks[slot >> SLI_CHUNK_BITS][slot & SLI_CHUNK_MASK];
}

static inline uint64_t sli_extent_end(const struct sl_extent *extent)
{
    return extent->start + extent->size;
}

/* The extent in memory that holds `position`, at or above log.hot; count when it is the end. */
uint32_t sli_log_find(const struct sl_log *log, uint64_t position);
/* Drops the first `count` extents in memory. Log.hot is the caller's. */
void sli_log_drop_front(struct sl_log *log, uint32_t count);

/* The boundary at `position`, or the last one before it. */
struct sli_mark sli_mark_before(const struct sl_extent *extent, uint64_t position);
/* False after the last message. */
bool sli_mark_next(struct sli_mark *mark);

/* Bytes of the array of `count` cold extents. */
size_t sli_cold_memory(uint32_t count);

#ifdef __cplusplus
}
#endif
#endif
