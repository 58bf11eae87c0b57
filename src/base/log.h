/*
 * base/log.h - one line per event on standard error
 *
 * What     `2026-01-31T23:59:59.999Z info http listening address=127.0.0.1 port=4437`
 * Why      A line is written in one call, so lines of different threads never mix.
 * Thread   Any.
 * Limits   SL_LOG_LINE_SIZE_MAX; a longer line is cut and ends in "...".
 */
#ifndef SL_BASE_LOG_H
#define SL_BASE_LOG_H

#include "sluice/bytes.h"

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    SL_LOG_LINE_SIZE_MAX = 1024, /* bytes of a line with its newline */
};

/*    level   name */
#define SL_LOG_LEVEL_LIST(X)                                                                       \
    X(DEBUG, "debug")                                                                              \
    X(INFO, "info")                                                                                \
    X(WARN, "warn")                                                                                \
    X(ERROR, "error")

enum sl_log_level {
#define X(LEVEL, name) SL_LOG_##LEVEL,
    SL_LOG_LEVEL_LIST(X)
#undef X
};

/* Lines below `level` are dropped; SL_LOG_INFO unless called. Before other threads are started. */
void sl_log_set_level(enum sl_log_level level);

/*
 * `room` and `event` are single words; `format` gives "key=value key=value", or is NULL. Bytes of a
 * client only through sl_log_escaped().
 */
void sl_log(enum sl_log_level level, const char *room, const char *event, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/*
 * Writes `bytes` as one printable word: everything but the visible ASCII, and `"`, `\`, `=`, as
 * \xNN. Ends in "..." when `out_size` bytes (4 or more), NUL included, are too few. Returns `out`.
 */
const char *sl_log_escaped(char *out, size_t out_size, struct sl_bytes bytes);

#ifdef __cplusplus
}
#endif
#endif
