/*
 * bench/ceiling/sse_ceiling.c - what a bare writer can do for subscribers
 *
 * What     Every POST becomes the bytes that ours sends for it, data event and control event in one
 *          HTTP chunk, written to every connection that asked for live=sse. PUT is answered 201,
 *          POST 204, everything else 404.
 * Why      Nothing that delivers the same bytes to as many sockets can be faster: no engine, no
 *          HTTP library, no timers. What is posted within one turn of the loop leaves with one
 *          write per socket.
 * Limits   There is one stream, whatever the path. A request has a Content-Length. Who is behind
 *          by UNSENT_MAX is cut.
 */
#include "ceiling.h"

#include "base/clock.h"
#include "base/link.h"
#include "base/memory.h"
#include "base/thread.h"
#include "protocol/content_type.h"
#include "protocol/cursor.h"
#include "protocol/json.h"
#include "protocol/sse.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    THREADS_MAX = 32,
    EVENTS_MAX = 256,      /* of one turn */
    READ_SIZE = 64 * 1024, /* bytes at a time */
    UNSENT_MAX = 64 << 20, /* bytes */
    CHUNK_HEAD_SIZE_MAX = 20,
};

/* One connection; in the epoll set of its thread. */
struct client {
    struct sl_link link;     /* among the subscribers of its thread, or alone */
    int fd;                  /* owned */
    struct sl_buffer in;     /* owned; what was received and not yet understood */
    struct sl_buffer unsent; /* owned; what the socket did not take */
};

struct worker {
    struct sl_thread *thread;
    int poll_fd;
    int listener;
    int wake_fd;                /* written when another thread has put something into `mail` */
    struct sl_link subscribers; /* struct client */
    struct sl_buffer turn;      /* chunks posted in this turn */
    struct sl_mutex *mail_lock; /* guards `mail` */
    struct sl_buffer mail;      /* chunks of other threads */
};

static struct worker workers[THREADS_MAX];
static unsigned long worker_count;
static uint64_t tail; /* bytes posted so far; any thread, atomically */

/* ---- sending ---- */

static void watch(struct worker *worker, struct client *client, bool writable)
{
    struct epoll_event event = {
        .events = writable ? EPOLLIN | EPOLLOUT : EPOLLIN,
        .data.ptr = client,
    };
    if (epoll_ctl(worker->poll_fd, EPOLL_CTL_MOD, client->fd, &event) != 0)
        ceiling_fail("epoll_ctl");
}

/* Also of a broken connection: its end is seen when it is read. */
static size_t send_some(int fd, struct sl_bytes bytes)
{
    ssize_t sent = send(fd, bytes.data, bytes.size, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 ? 0 : (size_t)sent;
}

static void send_or_keep(struct worker *worker, struct client *client, struct sl_bytes bytes)
{
    bool behind = client->unsent.size != 0;
    size_t sent = behind ? 0 : send_some(client->fd, bytes);

    if (sent >= bytes.size)
        return;
    if (client->unsent.size + bytes.size > UNSENT_MAX) {
        shutdown(client->fd, SHUT_RDWR);
        return;
    }
    sl_buffer_append_bytes(&client->unsent, sl_bytes_from(bytes, sent));
    if (!behind)
        watch(worker, client, true);
}

static void send_rest(struct worker *worker, struct client *client)
{
    size_t sent = send_some(client->fd, sl_buffer_bytes(&client->unsent));

    client->unsent.size -= sent;
    memmove(client->unsent.data, client->unsent.data + sent, client->unsent.size);
    if (client->unsent.size == 0)
        watch(worker, client, false);
}

static void send_to_all(struct worker *worker, struct sl_bytes chunks)
{
    for (struct sl_link *link = worker->subscribers.next; link != &worker->subscribers;
         link = link->next)
        send_or_keep(worker, SL_OBJECT(link, struct client, link), chunks);
}

/* ---- events ---- */

/* Puts what `event` holds into `out` as one chunk of a chunked body. */
static void add_chunk(struct sl_buffer *out, const struct sl_buffer *event)
{
    char head[CHUNK_HEAD_SIZE_MAX];

    sl_buffer_append(out, head, (size_t)snprintf(head, sizeof head, "%zx\r\n", event->size));
    sl_buffer_append(out, event->data, event->size);
    sl_buffer_append(out, "\r\n", 2);
}

static void add_control(struct sl_buffer *event, uint64_t next_offset)
{
    struct sl_sse_control control = {
        .next_offset = next_offset,
        .cursor = sl_cursor_next(false, 0, sl_clock_wall_ms(), 0),
        .has_cursor = true,
        .up_to_date = true,
    };
    sl_sse_control(event, &control);
}

static void add_event(struct sl_buffer *out, struct sl_bytes type, struct sl_bytes body)
{
    static __thread struct sl_buffer event;
    static __thread struct sl_json_split split;
    struct sl_sse_data data;
    enum sl_sse_encoding encoding = SL_SSE_BASE64;

    if (sl_content_type_is_text(type))
        encoding = SL_SSE_TEXT;
    sl_json_split_clear(&split);
    if (sl_content_type_is_json(type) && sl_json_split(body, &split) == SL_OK) {
        encoding = SL_SSE_JSON;
        body = sl_buffer_bytes(&split.messages);
    }
    sl_buffer_clear(&event);
    sl_sse_data_begin(&data, encoding, &event);
    sl_sse_data_add(&data, body, &event);
    sl_sse_data_end(&data, &event);
    add_control(&event, __atomic_add_fetch(&tail, body.size, __ATOMIC_RELAXED));
    add_chunk(out, &event);
}

/* Sends what was posted in this turn, and leaves it for the other threads. */
static void end_turn(struct worker *worker)
{
    struct sl_bytes chunks = sl_buffer_bytes(&worker->turn);

    if (chunks.size == 0)
        return;
    for (unsigned long i = 0; i < worker_count; i++) {
        struct worker *other = &workers[i];
        if (other == worker)
            continue;
        sl_mutex_lock(other->mail_lock);
        sl_buffer_append_bytes(&other->mail, chunks);
        sl_mutex_unlock(other->mail_lock);
        eventfd_write(other->wake_fd, 1);
    }
    send_to_all(worker, chunks);
    sl_buffer_clear(&worker->turn);
}

static void on_mail(struct worker *worker, struct sl_buffer *taken)
{
    eventfd_t count;
    struct sl_buffer empty = *taken;

    eventfd_read(worker->wake_fd, &count);
    sl_mutex_lock(worker->mail_lock);
    *taken = worker->mail;
    worker->mail = empty;
    sl_mutex_unlock(worker->mail_lock);
    send_to_all(worker, sl_buffer_bytes(taken));
    sl_buffer_clear(taken);
}

/* ---- requests ---- */

static void subscribe(struct worker *worker, struct client *client)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n"
                               "Content-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
                               "transfer-encoding: chunked\r\n\r\n";
    struct sl_buffer event = { 0 };
    struct sl_buffer out = { 0 };

    sl_buffer_append_text(&out, head);
    add_control(&event, __atomic_load_n(&tail, __ATOMIC_RELAXED));
    add_chunk(&out, &event);
    send_or_keep(worker, client, sl_buffer_bytes(&out));
    sl_link_append(&worker->subscribers, &client->link);
    sl_buffer_deinit(&event);
    sl_buffer_deinit(&out);
}

static void answer(struct worker *worker, struct client *client, const char *status)
{
    char text[128];
    int size = snprintf(text, sizeof text, "HTTP/1.1 %s\r\nConnection: keep-alive\r\n\r\n", status);

    send_or_keep(worker, client, sl_bytes(text, (size_t)size));
}

/* The value of a header in a head that ends in NUL; empty when it is not there. */
static struct sl_bytes header(const char *head, const char *name)
{
    const char *at = strcasestr(head, name);

    if (at == NULL)
        return sl_bytes(NULL, 0);
    at += strlen(name);
    at += strspn(at, " ");
    return sl_bytes(at, strcspn(at, "\r"));
}

/* Handles the request that `in` begins with; returns its size, 0 when it is not all there. */
static size_t take_request(struct worker *worker, struct client *client, struct sl_bytes in)
{
    uint8_t *end = (uint8_t *)memmem(in.data, in.size, "\r\n\r\n", 4);

    if (end == NULL)
        return 0;
    end[3] = '\0';
    const char *head = (const char *)in.data;
    size_t head_size = (size_t)(end - in.data) + 4;
    struct sl_bytes length = header(head, "\r\nContent-Length:");
    size_t body_size = length.size == 0 ? 0 : strtoul((const char *)length.data, NULL, 10);
    if (in.size - head_size < body_size) {
        end[3] = '\n';
        return 0;
    }
    if (strncmp(head, "POST ", 5) == 0) {
        add_event(&worker->turn, header(head, "\r\nContent-Type:"),
                  sl_bytes(in.data + head_size, body_size));
        answer(worker, client, "204 No Content");
    } else if (strncmp(head, "PUT ", 4) == 0) {
        answer(worker, client, "201 Created\r\nContent-Length: 0");
    } else if (strstr(head, "live=sse") != NULL) {
        subscribe(worker, client);
    } else {
        answer(worker, client, "404 Not Found\r\nContent-Length: 0");
    }
    return head_size + body_size;
}

static void close_client(struct client *client)
{
    sl_link_remove(&client->link);
    close(client->fd);
    sl_buffer_deinit(&client->in);
    sl_buffer_deinit(&client->unsent);
    sl_memory_free(client);
}

static void on_readable(struct worker *worker, struct client *client)
{
    struct sl_buffer *in = &client->in;
    ssize_t got = recv(client->fd, sl_buffer_reserve(in, READ_SIZE), READ_SIZE, MSG_DONTWAIT);

    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        close_client(client);
        return;
    }
    in->size += (size_t)got;
    size_t used = 0;
    for (size_t size = 1; size != 0; used += size)
        size = take_request(worker, client, sl_bytes_from(sl_buffer_bytes(in), used));
    in->size -= used;
    memmove(in->data, in->data + used, in->size);
    if (in->size == 0)
        sl_buffer_deinit(in);
}

static void on_client(struct worker *worker, struct client *client, uint32_t events)
{
    if ((events & EPOLLOUT) != 0)
        send_rest(worker, client);
    if ((events & ~(uint32_t)EPOLLOUT) != 0)
        on_readable(worker, client);
}

/* ---- the loop ---- */

static void add_to_poll(struct worker *worker, int fd, void *what)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = what };

    if (epoll_ctl(worker->poll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        ceiling_fail("epoll_ctl");
}

static void on_acceptable(struct worker *worker)
{
    int on = 1;
    int fd;

    while ((fd = accept4(worker->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        struct client *client = (struct client *)sl_memory_zalloc(sizeof *client);
        sl_link_init(&client->link);
        client->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        add_to_poll(worker, fd, client);
    }
    if (errno == EMFILE || errno == ENFILE)
        ceiling_fail("accept4");
}

static void run(void *argument)
{
    struct worker *worker = (struct worker *)argument;
    struct sl_buffer taken = { 0 };
    struct epoll_event events[EVENTS_MAX];

    for (;;) {
        int count = epoll_wait(worker->poll_fd, events, EVENTS_MAX, -1);
        for (int i = 0; i < count; i++) {
            struct client *client = (struct client *)events[i].data.ptr;
            if (client == NULL)
                on_acceptable(worker);
            else if ((void *)client == (void *)worker)
                on_mail(worker, &taken);
            else
                on_client(worker, client, events[i].events);
        }
        end_turn(worker);
    }
}

static void open_worker(struct worker *worker, unsigned short port)
{
    worker->poll_fd = epoll_create1(EPOLL_CLOEXEC);
    worker->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (worker->poll_fd < 0 || worker->wake_fd < 0)
        ceiling_fail("epoll_create1");
    worker->listener = ceiling_listen(port);
    worker->mail_lock = sl_mutex_create();
    sl_link_init(&worker->subscribers);
    add_to_poll(worker, worker->listener, NULL);
    add_to_poll(worker, worker->wake_fd, worker);
}

int main(int argument_count, char **arguments)
{
    struct ceiling_option options[] = { { "--port", "4438" }, { "--threads", "1" } };

    ceiling_parse(argument_count, arguments, options, 2);
    unsigned short port = (unsigned short)ceiling_number(&options[0], 1, UINT16_MAX);
    worker_count = ceiling_number(&options[1], 1, THREADS_MAX);
    ceiling_raise_files();
    for (unsigned long i = 0; i < worker_count; i++)
        open_worker(&workers[i], port);
    printf("sse_ceiling ready on http://127.0.0.1:%u\n", port);
    fflush(stdout);
    for (unsigned long i = 0; i < worker_count; i++)
        workers[i].thread = sl_thread_start("sse_ceiling", run, &workers[i]);
    for (unsigned long i = 0; i < worker_count; i++)
        sl_thread_join(&workers[i].thread);
    return 0;
}
