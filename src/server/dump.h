/*
 * server/dump.h - the command `sluice dump`
 *
 * What     Everything that a data directory holds, as one JSON object per line.
 * Thread   Main.
 */
#ifndef SL_SERVER_DUMP_H
#define SL_SERVER_DUMP_H

#ifdef __cplusplus
extern "C" {
#endif

/* `arguments` follow the command; returns the exit code. */
int sl_dump_main(int argument_count, char *const *arguments);

#ifdef __cplusplus
}
#endif
#endif
