/*
 * protocol/cursor.h - the cursor that keeps caches from answering live reads for ever
 *
 * What     The number that a client sends back with its next live read (protocol section 9).
 * Why      All clients of a 20 s interval share one URL, so a cache can join their requests; a
 * client that is not behind the interval is moved on, so it never gets its old answer again. Thread
 * Any; pure: time and chance are arguments.
 */
#ifndef SL_PROTOCOL_CURSOR_H
#define SL_PROTOCOL_CURSOR_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The number of the current interval; or, when the client's (at most SL_CURSOR_MAX) has come that
 * far, one above the client's by 1 to 180, as `random` (any value) has it.
 */
uint64_t sl_cursor_next(bool has_client, uint64_t client, int64_t wall_ms, uint64_t random);

#ifdef __cplusplus
}
#endif
#endif
