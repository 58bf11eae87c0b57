/*
 * server/control.h - how commands reach a running server
 *
 * What     A socket DATA_DIR/control.sock. A request is one line, the answer too: "ok", or "error
 *          CODE text".
 *            backup DESTINATION     an absolute path
 *            rotate-keys            the answer is "ok KID"
 * Why      A backup needs the shards, and a new key the thread that signs; both belong to the
 *          server as long as it runs. Who may open the data directory may ask: the socket has mode
 *          0600.
 * Thread   start, stop: main. Requests: a thread of its own, one at a time.
 * Limits   10 s for a request to arrive whole; a path of SL_PATH_SIZE_MAX.
 */
#ifndef SL_SERVER_CONTROL_H
#define SL_SERVER_CONTROL_H

#include "base/buffer.h"
#include "hooks/hooks.h"
#include "sluice/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sl_control;

/*
 * Replaces a socket that a dead server has left. The hooks have been started and run until stop.
 * NULL, and logged: there is none.
 */
struct sl_control *sl_control_start(struct sl_engine *engine, struct sl_hooks *hooks,
                                    const char *data_directory);
/* Waits for the request that is being answered. `control` may point to NULL. */
void sl_control_stop(struct sl_control **control);

/*
 * The other side. 0: *answer is the server's line and a NUL; the line is empty if it died meanwhile.
 * Else an errno value; ECONNREFUSED: no server answers there.
 */
int sl_control_ask(const char *data_directory, struct sl_bytes request, struct sl_buffer *answer);
/* Says what is wrong with `subject` after an answer that is not "ok". */
void sl_control_complain(const char *subject, const char *answer);

#ifdef __cplusplus
}
#endif
#endif
