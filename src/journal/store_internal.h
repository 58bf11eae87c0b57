/*
 * journal/store_internal.h - what store and backup share
 *
 * Thread   The opener.
 */
#ifndef SL_JOURNAL_STORE_INTERNAL_H
#define SL_JOURNAL_STORE_INTERNAL_H

#include "journal/store.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Whoever named the directory can mend this: it is no failure of the disk. An errno value. */
bool sli_store_is_mistake(int error);

/* Makes the name of a directory durable; its path has less than SL_PATH_SIZE_MAX bytes. */
int sli_store_sync_parent(const struct sl_vfs *vfs, const char *path);

#ifdef __cplusplus
}
#endif
#endif
