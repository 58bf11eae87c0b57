#include "bus/port.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/memory.h"

#define SLEEPING (UINT64_C(1) << 63)

enum { CACHE_LINE = 64 };

struct sl_port {
    _Alignas(CACHE_LINE) _Atomic uint64_t word;
    _Alignas(CACHE_LINE) int fd;
    uint64_t owed; /* consumer: writes to fd that were or will be made and are not read yet */
};

struct sl_port *sl_port_create(void)
{
    struct sl_port *port = sl_memory_alloc_aligned(CACHE_LINE, sizeof(*port));
    atomic_init(&port->word, 0);
    port->owed = 0;
    port->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    SL_ASSERT(port->fd >= 0);
    return port;
}

void sl_port_destroy(struct sl_port **port)
{
    close((*port)->fd);
    sl_memory_free(*port);
    *port = NULL;
}

void sl_port_signal(struct sl_port *port, unsigned producer)
{
    SL_ASSERT(producer <= SL_PORT_STOP);
    uint64_t before = atomic_fetch_or(&port->word, UINT64_C(1) << producer);
    if (before != SLEEPING)
        return;
    uint64_t one = 1;
    ssize_t written = write(port->fd, &one, sizeof(one));
    SL_ASSERT(written == sizeof(one));
}

uint64_t sl_port_take(struct sl_port *port)
{
    uint64_t word = atomic_exchange(&port->word, 0);
    if ((word & SLEEPING) != 0 && word != SLEEPING)
        port->owed++;
    if (port->owed > 0) {
        uint64_t count = 0;
        if (read(port->fd, &count, sizeof(count)) == sizeof(count)) {
            SL_ASSERT(count <= port->owed);
            port->owed -= count;
        }
    }
    return word & ~SLEEPING;
}

bool sl_port_sleep(struct sl_port *port)
{
    uint64_t empty = 0;
    return atomic_compare_exchange_strong(&port->word, &empty, SLEEPING);
}

void sl_port_wait(struct sl_port *port, int timeout_ms)
{
    struct pollfd wanted = { .fd = port->fd, .events = POLLIN };
    int ready = poll(&wanted, 1, timeout_ms);
    SL_ASSERT(ready >= 0 || errno == EINTR);
}

int sl_port_fd(const struct sl_port *port)
{
    return port->fd;
}
