#include "http/listener.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/log.h"
#include "protocol/number.h"

enum {
    BACKLOG = 4096, /* connections; the kernel lowers it to its own limit */
    HOST_SIZE_MAX = 256,
    PORT_SIZE_MAX = 6,
};

/* Takes "host:port" or "[host]:port" apart. */
static bool split(const char *address, char host[HOST_SIZE_MAX], char port[PORT_SIZE_MAX])
{
    const char *colon = strrchr(address, ':');
    const char *start = address;
    const char *end = colon;
    uint64_t number;

    if (colon == NULL || !sl_number_parse(sl_bytes_of(colon + 1), UINT16_MAX, &number))
        return false;
    if (*start == '[') {
        if (*--end != ']')
            return false;
        start++;
    } else if (memchr(start, ':', (size_t)(end - start)) != NULL) {
        return false;
    }
    size_t host_size = (size_t)(end - start);
    size_t port_size = strlen(colon + 1);
    if (host_size >= HOST_SIZE_MAX || port_size >= PORT_SIZE_MAX)
        return false;
    memcpy(host, start, host_size);
    host[host_size] = '\0';
    memcpy(port, colon + 1, port_size + 1);
    return true;
}

bool sl_listener_is_address(const char *address)
{
    char host[HOST_SIZE_MAX];
    char port[PORT_SIZE_MAX];

    return split(address, host, port);
}

static bool set_option(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

/*
 * The first socket is bound as if it were the only one, or a server that has the port already would
 * share it and nobody would notice; then it makes room for those that follow. Connections inherit
 * how much the kernel takes for a client that does not read.
 */
static int open_one(const struct sockaddr *address, socklen_t size, bool is_first)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -1;
    if (set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) &&
        set_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, SL_UNSENT_SIZE_MAX) &&
        (address->sa_family != AF_INET6 || set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1)) &&
        (is_first || set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1)) && bind(fd, address, size) == 0 &&
        (!is_first || set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1)) && listen(fd, BACKLOG) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static void format_url(const struct sockaddr *address, socklen_t size,
                       char url[SL_LISTENER_URL_SIZE_MAX])
{
    char host[64];
    char port[PORT_SIZE_MAX];
    bool is_v6 = address->sa_family == AF_INET6;

    int error = getnameinfo(address, size, host, sizeof host, port, sizeof port,
                            NI_NUMERICHOST | NI_NUMERICSERV);
    SL_ASSERT(error == 0);
    snprintf(url, SL_LISTENER_URL_SIZE_MAX, "http://%s%s%s:%s", is_v6 ? "[" : "", host,
             is_v6 ? "]" : "", port);
}

bool sl_listener_open(const char *address, unsigned count, int *fds,
                      char url[SL_LISTENER_URL_SIZE_MAX])
{
    char host[HOST_SIZE_MAX];
    char port[PORT_SIZE_MAX];
    struct addrinfo hints = { .ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM };
    struct addrinfo *found = NULL;
    struct sockaddr_storage bound = { 0 };
    socklen_t bound_size = sizeof bound;
    unsigned opened = 0;

    SL_ASSERT(count >= 1);
    if (!split(address, host, port) ||
        getaddrinfo(*host == '\0' ? NULL : host, port, &hints, &found) != 0) {
        sl_log(SL_LOG_ERROR, "http", "listen", "address=%s reason=\"not an address and port\"",
               address);
        return false;
    }
    fds[opened] = open_one(found->ai_addr, found->ai_addrlen, true);
    if (fds[opened] >= 0 && getsockname(fds[opened], (struct sockaddr *)&bound, &bound_size) == 0) {
        opened++;
        while (opened < count &&
               (fds[opened] = open_one((struct sockaddr *)&bound, bound_size, false)) >= 0)
            opened++;
    }
    int error = errno;
    freeaddrinfo(found);
    if (opened == count) {
        format_url((struct sockaddr *)&bound, bound_size, url);
        return true;
    }
    sl_log(SL_LOG_ERROR, "http", "listen", "address=%s reason=\"%s\" todo=\"%s\"", address,
           strerror(error),
           error == EADDRINUSE ? "end the program that has it, or choose another with --listen"
                               : "choose another with --listen");
    while (opened > 0)
        close(fds[--opened]);
    return false;
}
