#include "load/connection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/assert.h"

enum { CARRY_SIZE_MAX = 64 * 1024 }; /* bytes of a head or line; the answer is broken above it */

/* Only loopback has more than one source address; number 0 keeps what the kernel chooses. */
static void bind_source(int fd, uint64_t number)
{
    struct sockaddr_in source = { .sin_family = AF_INET };
    int on = 1;

    source.sin_addr.s_addr =
        htonl(INADDR_LOOPBACK + 1 + (uint32_t)(number / LOAD_SOURCE_CONNECTIONS_MAX));
    if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) == 0)
        (void)bind(fd, (struct sockaddr *)&source, sizeof source); /* else the kernel chooses */
}

static bool watch(struct load_connection *connection, int epoll, int how, bool writes)
{
    struct epoll_event event = {
        .events = writes ? EPOLLIN | EPOLLOUT : EPOLLIN,
        .data.ptr = connection,
    };

    connection->wants_write = writes;
    return epoll_ctl(epoll, how, connection->fd, &event) == 0;
}

bool load_connection_open(struct load_connection *connection, const struct load_plan *plan,
                          int epoll)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)plan->port),
    };
    int on = 1;

    SL_ASSERT(connection->fd < 0);
    if (inet_pton(AF_INET, plan->host, &address.sin_addr) != 1)
        return false;
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connection->fd < 0)
        return false;
    if (ntohl(address.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET)
        bind_source(connection->fd, connection->number);
    if (setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
        (connect(connection->fd, (struct sockaddr *)&address, sizeof address) != 0 &&
         errno != EINPROGRESS) ||
        !watch(connection, epoll, EPOLL_CTL_ADD, true)) {
        load_connection_close(connection);
        return false;
    }
    connection->connecting = true;
    return true;
}

bool load_connection_connected(struct load_connection *connection, int epoll)
{
    int error = 0;
    socklen_t size = sizeof error;

    SL_ASSERT(connection->connecting);
    connection->connecting = false;
    return getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0 &&
           watch(connection, epoll, EPOLL_CTL_MOD, false);
}

void load_connection_close(struct load_connection *connection)
{
    if (connection->fd >= 0)
        close(connection->fd);
    connection->fd = -1;
    connection->connecting = false;
    connection->response = (struct load_response){ .status = 0 };
    sl_buffer_deinit(&connection->carry);
    sl_buffer_deinit(&connection->pending);
    connection->pending_at = 0;
    connection->filling_left = 0;
    connection->in_flight = 0;
    connection->mark_digits = 0;
}

/* Returns the bytes that the socket took; < 0: it is broken. */
static int64_t write_some(int fd, struct sl_bytes text, const uint8_t *filling, size_t filling_size)
{
    struct iovec parts[2] = {
        { .iov_base = (void *)(uintptr_t)text.data, .iov_len = text.size },
        { .iov_base = (void *)(uintptr_t)filling, .iov_len = filling_size },
    };
    struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
    /* One piece costs the kernel less than two of which one is empty. */
    int64_t size = filling_size == 0 ? send(fd, text.data, text.size, MSG_NOSIGNAL)
                                     : sendmsg(fd, &message, MSG_NOSIGNAL);

    return size < 0 && errno == EAGAIN ? 0 : size;
}

bool load_connection_send(struct load_connection *connection, int epoll, struct sl_bytes text,
                          const uint8_t *filling, size_t filling_size)
{
    SL_ASSERT(!load_connection_is_stuck(connection));
    int64_t taken = write_some(connection->fd, text, filling, filling_size);

    if (taken < 0)
        return false;
    size_t size = (size_t)taken;
    if (size == text.size + filling_size)
        return true;
    size_t of_text = size < text.size ? size : text.size;
    sl_buffer_append_bytes(&connection->pending, sl_bytes_from(text, of_text));
    connection->filling_left = filling_size - (size - of_text);
    return watch(connection, epoll, EPOLL_CTL_MOD, true);
}

bool load_connection_flush(struct load_connection *connection, int epoll, const uint8_t *filling)
{
    struct sl_bytes text =
        sl_bytes_from(sl_buffer_bytes(&connection->pending), connection->pending_at);
    int64_t taken = write_some(connection->fd, text, filling, connection->filling_left);

    if (taken < 0)
        return false;
    size_t size = (size_t)taken;
    size_t of_text = size < text.size ? size : text.size;
    connection->pending_at += of_text;
    connection->filling_left -= size - of_text;
    if (connection->pending_at < connection->pending.size || connection->filling_left > 0)
        return true;
    sl_buffer_clear(&connection->pending);
    connection->pending_at = 0;
    return watch(connection, epoll, EPOLL_CTL_MOD, false);
}

int64_t load_connection_receive(struct load_connection *connection, uint8_t *buffer,
                                struct sl_bytes *input, bool *broken)
{
    size_t carried = connection->carry.size;

    *broken = carried > CARRY_SIZE_MAX;
    if (*broken)
        return -1;
    if (carried > 0)
        memcpy(buffer, connection->carry.data, carried);
    int64_t size = recv(connection->fd, buffer + carried, LOAD_RECEIVE_SIZE, 0);
    if (size < 0) {
        *broken = errno != EAGAIN;
        return size;
    }
    sl_buffer_clear(&connection->carry);
    *input = sl_bytes(buffer, carried + (size_t)size);
    return size;
}
