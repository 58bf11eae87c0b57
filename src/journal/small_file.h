/*
 * journal/small_file.h - a file that is replaced as a whole
 *
 * What     Temporary file, sync, rename, sync of the directory.
 * Why      A crash at any moment leaves the old file or the new one.
 * Thread   Any; one at a time for each name.
 */
#ifndef SL_JOURNAL_SMALL_FILE_H
#define SL_JOURNAL_SMALL_FILE_H

#include "journal/vfs.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Makes `directory`/`name` hold `bytes`, durably, by way of "<name>.tmp". Returns 0 or an errno
 * value: the old file stays, for this process; *unknown: after a crash it may be the new one.
 */
int sl_small_file_replace(const struct sl_vfs *vfs, const char *directory, const char *name,
                          struct sl_bytes bytes, bool *unknown);

/* Removes what a crash has left of a replacement, if there is any. Returns 0 or an errno value. */
int sl_small_file_remove_temporary(const struct sl_vfs *vfs, const char *directory,
                                   const char *name);

#ifdef __cplusplus
}
#endif
#endif
