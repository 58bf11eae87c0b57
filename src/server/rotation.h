/*
 * server/rotation.h - the command `sluice rotate-keys`
 *
 * Thread   Main.
 */
#ifndef SL_SERVER_ROTATION_H
#define SL_SERVER_ROTATION_H

#ifdef __cplusplus
extern "C" {
#endif

/* `arguments` follow the command; returns the exit code. */
int sl_rotate_keys_main(int argument_count, char *const *arguments);

#ifdef __cplusplus
}
#endif
#endif
