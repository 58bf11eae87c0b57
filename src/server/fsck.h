/*
 * server/fsck.h - the command `sluice fsck`
 *
 * What     Says what is wrong with a data directory, and repairs it as far as asked.
 * Thread   Main.
 */
#ifndef SL_SERVER_FSCK_H
#define SL_SERVER_FSCK_H

#ifdef __cplusplus
extern "C" {
#endif

/* `arguments` follow the command; returns the exit code. */
int sl_fsck_main(int argument_count, char *const *arguments);

#ifdef __cplusplus
}
#endif
#endif
