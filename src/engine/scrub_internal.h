/*
 * engine/scrub_internal.h - all segments are read again, every few days
 *
 * What     A thread that goes through the segments of all shards and checks what the disk has, at a
 *          bounded rate, from the start of the engine on and then again and again.
 * Why      See journal/scrub.h. It counts in the engine's metrics what it read and what it found.
 * Thread   start, stop: the opener, while the shards run.
 */
#ifndef SL_ENGINE_SCRUB_INTERNAL_H
#define SL_ENGINE_SCRUB_INTERNAL_H

#include "engine/engine_internal.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sli_scrub_setup {
    struct sl_engine *engine;   /* borrowed; has a store */
    struct sl_metrics *metrics; /* borrowed: of the thread */
    unsigned days;              /* from the begin of one pass to that of the next */
    uint64_t bytes_per_second;  /* at most; at least 1 */
};

/* Never NULL. */
struct sli_scrub *sli_scrub_start(const struct sli_scrub_setup *setup);
/* In the middle of a pass, too; nothing if it was never started. */
void sli_scrub_stop(struct sli_scrub **scrub);

#ifdef __cplusplus
}
#endif
#endif
