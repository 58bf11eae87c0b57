/*
 * server/fsck.h - the command `sluice fsck`
 *
 * What     Says what is wrong with a data directory, and repairs it as far as asked.
 * Thread   Main.
 */
#ifndef SL_SERVER_FSCK_H
#define SL_SERVER_FSCK_H

#include "server/tool.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Checks everything in a data directory or a backup and prints what it finds; the exit code. */
enum sl_exit_code sl_fsck_check(struct sl_store *store);

/* `arguments` follow the command; returns the exit code. */
int sl_fsck_main(int argument_count, char *const *arguments);

#ifdef __cplusplus
}
#endif
#endif
