/*
 * http/listener.h - sockets that listen on one address
 *
 * What     Reads "127.0.0.1:4437", "[::1]:4437" or "localhost:0" and opens a socket per acceptor
 *          for it.
 * Why      With SO_REUSEPORT the kernel spreads connections over the acceptors, and nobody is woken
 *          in vain. Port 0: the first socket picks the port, the others take the same.
 * Thread   Main.
 */
#ifndef SL_HTTP_LISTENER_H
#define SL_HTTP_LISTENER_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    SL_LISTENER_URL_SIZE_MAX = 80, /* bytes of "http://[v6 address]:port" with its NUL */
};

/* Has it the form of an address and a port? Nobody is asked what a name means. */
bool sl_listener_is_address(const char *address);
/*
 * Opens `count` sockets and writes the URL with the real port. False: logged; nothing is open.
 */
bool sl_listener_open(const char *address, unsigned count, int *fds,
                      char url[SL_LISTENER_URL_SIZE_MAX]);

#ifdef __cplusplus
}
#endif
#endif
