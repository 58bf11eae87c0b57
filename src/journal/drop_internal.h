/*
 * journal/drop_internal.h - a file that goes away slowly
 *
 * What     Cuts a file in steps with pauses, then removes it, in a worker's thread.
 * Why      To unlink a large file at once stalled commits by up to 75 ms, from whatever thread.
 * Thread   create, start: any. The rest: the worker's thread, inside.
 */
#ifndef SL_JOURNAL_DROP_INTERNAL_H
#define SL_JOURNAL_DROP_INTERNAL_H

#include "journal/vfs.h"
#include "journal/worker.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { SLI_DROP_STEP_BYTES = 1024 * 1024, SLI_DROP_PAUSE_MS = 1 };

struct sl_drop;

/* `vfs` and `worker` are borrowed until the file is gone; the rest is copied. Never NULL. */
struct sl_drop *sli_drop_create(const struct sl_vfs *vfs, const char *directory, uint64_t number,
                                struct sl_worker *worker);
/* Nobody reads the file any more. Takes it and clears the caller's pointer. */
void sli_drop_start(struct sl_drop **drop);

#ifdef __cplusplus
}
#endif
#endif
