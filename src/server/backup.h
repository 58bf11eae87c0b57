/*
 * server/backup.h - the commands `sluice backup` and `sluice restore`
 *
 * Thread   Main.
 */
#ifndef SL_SERVER_BACKUP_H
#define SL_SERVER_BACKUP_H

#ifdef __cplusplus
extern "C" {
#endif

/* `arguments` follow the command; returns the exit code. */
int sl_backup_main(int argument_count, char *const *arguments);
int sl_restore_main(int argument_count, char *const *arguments);

#ifdef __cplusplus
}
#endif
#endif
