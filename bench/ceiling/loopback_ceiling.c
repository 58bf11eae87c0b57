/*
 * bench/ceiling/loopback_ceiling.c - what memory and the loopback can carry
 *
 * What     Copies pages of 1 MiB from one large buffer to another, and sends them through TCP
 *          connections on the loopback from one thread to another. Prints the bytes per second of
 *          both as one line of JSON.
 * Why      Large reads cannot leave the machine faster than that.
 */
#include "ceiling.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/thread.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    PAGE_SIZE = 1 << 20,
    PAGES = 16, /* of each buffer: as many as the scenario has streams */
    /* More under way would be in no cache any more when it is received: half as fast. */
    SEND_BUFFER_SIZE = 512 * 1024,
    CONNECTIONS = 16,          /* as many as the scenario reads with */
    RECEIVE_SIZE = 256 * 1024, /* at a time: as the generator */
};

/* The receiver's side of the connections. */
struct receiver {
    struct pollfd ends[CONNECTIONS];
    uint64_t bytes; /* received; read after its thread has ended */
    uint64_t ns;    /* from the first byte to the end */
};

/* How far a connection is. */
struct place {
    uint64_t page; /* which one it sends, counted without end */
    size_t at;     /* bytes of it that are sent */
};

static double copy_bytes_per_s(uint8_t *to, const uint8_t *from, uint64_t limit_ns)
{
    uint64_t start_ns = sl_clock_monotonic_ns();
    uint64_t now_ns = start_ns;
    uint64_t pages = 0;

    for (; now_ns - start_ns < limit_ns; now_ns = sl_clock_monotonic_ns()) {
        size_t at = pages++ % PAGES * PAGE_SIZE;
        memcpy(to + at, from + at, PAGE_SIZE);
        __asm__ volatile("" ::"r"(to) : "memory"); /* the copy is wanted */
    }
    return (double)pages * PAGE_SIZE * 1e9 / (double)(now_ns - start_ns);
}

/* One look at every connection; false: they have ended. */
static bool receive_some(struct receiver *receiver, uint8_t *page)
{
    if (poll(receiver->ends, CONNECTIONS, -1) < 0)
        ceiling_fail("poll");
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        ssize_t got = -1;
        if (receiver->ends[i].revents != 0)
            got = recv(receiver->ends[i].fd, page, RECEIVE_SIZE, MSG_DONTWAIT);
        if (got == 0)
            return false;
        receiver->bytes += got < 0 ? 0 : (uint64_t)got;
    }
    return true;
}

static void receive(void *argument)
{
    struct receiver *receiver = (struct receiver *)argument;
    uint8_t *page = (uint8_t *)sl_memory_alloc(RECEIVE_SIZE);
    uint64_t start_ns = sl_clock_monotonic_ns();

    while (receive_some(receiver, page))
        ;
    receiver->ns = sl_clock_monotonic_ns() - start_ns;
    sl_memory_free(page);
}

/* Two connected TCP sockets. */
static void connect_pair(int fds[2])
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t size = sizeof address;
    int listener = ceiling_listen(0);
    int send_size = SEND_BUFFER_SIZE;

    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &send_size, sizeof send_size);
    if (getsockname(listener, (struct sockaddr *)&address, &size) != 0 ||
        connect(fds[0], (struct sockaddr *)&address, size) != 0)
        ceiling_fail("connect");
    fds[1] = accept(listener, NULL, NULL);
    if (fds[1] < 0)
        ceiling_fail("accept");
    close(listener);
}

/* Sends what the kernel takes of the connection's page, and goes on with the next page. */
static void send_some(int fd, const uint8_t *from, struct place *place)
{
    const uint8_t *page = from + place->page % PAGES * PAGE_SIZE;
    ssize_t sent = send(fd, page + place->at, PAGE_SIZE - place->at, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (sent < 0 && errno != EAGAIN)
        ceiling_fail("send");
    place->at += sent < 0 ? 0 : (size_t)sent;
    if (place->at == PAGE_SIZE)
        *place = (struct place){ .page = place->page + 1 };
}

static double loopback_bytes_per_s(const uint8_t *from, uint64_t limit_ns)
{
    struct receiver receiver = { .bytes = 0 };
    struct pollfd ends[CONNECTIONS];
    struct place places[CONNECTIONS];

    for (unsigned i = 0; i < CONNECTIONS; i++) {
        int fds[2];
        connect_pair(fds);
        ends[i] = (struct pollfd){ .fd = fds[0], .events = POLLOUT };
        receiver.ends[i] = (struct pollfd){ .fd = fds[1], .events = POLLIN };
        places[i] = (struct place){ .page = i };
    }
    struct sl_thread *thread = sl_thread_start("receiver", receive, &receiver);
    uint64_t start_ns = sl_clock_monotonic_ns();
    while (sl_clock_monotonic_ns() - start_ns < limit_ns) {
        if (poll(ends, CONNECTIONS, -1) < 0)
            ceiling_fail("poll");
        for (unsigned i = 0; i < CONNECTIONS; i++)
            if (ends[i].revents != 0)
                send_some(ends[i].fd, from, &places[i]);
    }
    for (unsigned i = 0; i < CONNECTIONS; i++)
        shutdown(ends[i].fd, SHUT_WR);
    sl_thread_join(&thread);
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        close(ends[i].fd);
        close(receiver.ends[i].fd);
    }
    return (double)receiver.bytes * 1e9 / (double)receiver.ns;
}

int main(int argument_count, char **arguments)
{
    struct ceiling_option options[] = {
        { "--seconds", "2" },   /* for each of the two */
        { "--warmup-ms", "0" }, /* of the loopback, before its measurement */
    };

    ceiling_parse(argument_count, arguments, options, 2);
    uint64_t limit_ns = ceiling_number(&options[0], 1, 3600) * 1000000000;
    uint64_t warmup_ns = ceiling_number(&options[1], 0, 3600000) * 1000000;
    uint8_t *from = (uint8_t *)sl_memory_alloc((size_t)PAGES * PAGE_SIZE);
    uint8_t *to = (uint8_t *)sl_memory_alloc((size_t)PAGES * PAGE_SIZE);
    memset(from, 'x', (size_t)PAGES * PAGE_SIZE);
    memset(to, 0, (size_t)PAGES * PAGE_SIZE);
    double copied = copy_bytes_per_s(to, from, limit_ns);
    if (warmup_ns > 0)
        loopback_bytes_per_s(from, warmup_ns);
    printf("{\"page_bytes\": %d, \"memcpy_bytes_per_s\": %.0f, \"loopback_bytes_per_s\": %.0f}\n",
           PAGE_SIZE, copied, loopback_bytes_per_s(from, limit_ns));
    sl_memory_free(to);
    sl_memory_free(from);
    return 0;
}
