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

#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    PAGE_SIZE = 1 << 20,
    PAGES = 64, /* of each buffer: more than the caches hold */
};

/* The receiver's side of the connection. */
struct receiver {
    int fd;
    uint64_t bytes; /* received; read after its thread has ended */
    uint64_t ns;    /* from the first byte to the end */
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

static void receive(void *argument)
{
    struct receiver *receiver = (struct receiver *)argument;
    uint8_t *page = (uint8_t *)sl_memory_alloc(PAGE_SIZE);
    ssize_t got = recv(receiver->fd, page, PAGE_SIZE, 0);
    uint64_t start_ns = sl_clock_monotonic_ns();

    while ((got = recv(receiver->fd, page, PAGE_SIZE, 0)) > 0)
        receiver->bytes += (uint64_t)got;
    receiver->ns = sl_clock_monotonic_ns() - start_ns;
    sl_memory_free(page);
}

/* Two connected TCP sockets. */
static void connect_pair(int fds[2])
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t size = sizeof address;
    int listener = ceiling_listen(0);

    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (getsockname(listener, (struct sockaddr *)&address, &size) != 0 ||
        connect(fds[0], (struct sockaddr *)&address, size) != 0)
        ceiling_fail("connect");
    fds[1] = accept(listener, NULL, NULL);
    if (fds[1] < 0)
        ceiling_fail("accept");
    close(listener);
}

static double loopback_bytes_per_s(const uint8_t *from, uint64_t limit_ns)
{
    int fds[2];
    struct receiver receiver = { 0 };
    uint64_t pages = 0;

    connect_pair(fds);
    receiver.fd = fds[1];
    struct sl_thread *thread = sl_thread_start("receiver", receive, &receiver);
    for (uint64_t start_ns = sl_clock_monotonic_ns(); sl_clock_monotonic_ns() - start_ns < limit_ns;
         pages++) {
        const uint8_t *page = from + pages % PAGES * PAGE_SIZE;
        size_t sent = 0;
        while (sent < PAGE_SIZE) {
            ssize_t n = send(fds[0], page + sent, PAGE_SIZE - sent, MSG_NOSIGNAL);
            if (n < 0)
                ceiling_fail("send");
            sent += (size_t)n;
        }
    }
    close(fds[0]);
    sl_thread_join(&thread);
    close(fds[1]);
    return (double)receiver.bytes * 1e9 / (double)receiver.ns;
}

int main(int argument_count, char **arguments)
{
    struct ceiling_option options[] = { { "--seconds", "2" } }; /* for each of the two */

    ceiling_parse(argument_count, arguments, options, 1);
    uint64_t limit_ns = ceiling_number(&options[0], 1, 3600) * 1000000000;
    uint8_t *from = (uint8_t *)sl_memory_alloc((size_t)PAGES * PAGE_SIZE);
    uint8_t *to = (uint8_t *)sl_memory_alloc((size_t)PAGES * PAGE_SIZE);
    memset(from, 'x', (size_t)PAGES * PAGE_SIZE);
    memset(to, 0, (size_t)PAGES * PAGE_SIZE);
    double copied = copy_bytes_per_s(to, from, limit_ns);
    printf("{\"page_bytes\": %d, \"memcpy_bytes_per_s\": %.0f, \"loopback_bytes_per_s\": %.0f}\n",
           PAGE_SIZE, copied, loopback_bytes_per_s(from, limit_ns));
    sl_memory_free(to);
    sl_memory_free(from);
    return 0;
}
