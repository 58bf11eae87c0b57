#include "server/control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/thread.h"
#include "journal/vfs.h"
#include "server/tool.h"

enum {
    SOCKET_MODE = 0600,
    BACKLOG = 4,
    PATIENCE_S = 10, /* for a whole request, and for an answer to be taken */
    LINE_SIZE_MAX = SL_PATH_SIZE_MAX + 64,
};

#define SOCKET_NAME "control.sock"

struct sl_control {
    struct sl_engine *engine;      /* borrowed */
    struct sl_hooks *hooks;        /* borrowed */
    struct sl_thread *thread;      /* owned */
    int directory;                 /* owned: of the data directory */
    int listener;                  /* owned */
    int stop[2];                   /* owned: the thread ends when [0] is readable */
    struct sl_mutex *mutex;        /* owned; guards is_answered of a question */
    struct sl_condition *answered; /* owned */
};

/* A question to the hooks, whose thread answers. */
struct question {
    struct sl_hooks_request request; /* what is asked, and the answer */
    struct sl_control *control;      /* who waits */
    bool is_answered;                /* the hooks have given it back */
};

/*
 * Through the directory's descriptor, because the address of a socket takes only 107 bytes of a
 * path.
 */
static void address_of(int directory, struct sockaddr_un *address)
{
    *address = (struct sockaddr_un){ .sun_family = AF_UNIX };
    snprintf(address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d/" SOCKET_NAME,
             directory);
}

static int open_directory(const char *path)
{
    return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* ---- the server ---- */

/* Reads up to a newline or the end; false: nothing that makes sense. */
static bool read_line(int connection, char line[LINE_SIZE_MAX])
{
    size_t size = 0;
    while (size < LINE_SIZE_MAX - 1) {
        ssize_t got = recv(connection, line + size, LINE_SIZE_MAX - 1 - size, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        size += (size_t)got;
        line[size] = '\0';
        char *end = strchr(line, '\n');
        if (end != NULL) {
            *end = '\0';
            return true;
        }
    }
    return false;
}

static void refuse(enum sl_err err, const char *message, struct sl_buffer *answer)
{
    sl_buffer_printf(answer, "error %s %s", sl_err_code(err),
                     message == NULL ? sl_err_text(err) : message);
}

/* `path` is absolute: where the server runs is not where the asker is. */
static void back_up(struct sl_control *control, const char *path, struct sl_buffer *answer)
{
    char text[SL_LOG_LINE_SIZE_MAX / 2];
    sl_log_escaped(text, sizeof(text), sl_bytes_of(path));
    sl_log(SL_LOG_INFO, "server", "backup_begun", "destination=%s", text);
    enum sl_err err = sl_engine_backup(control->engine, path);
    sl_log(err == SL_OK ? SL_LOG_INFO : SL_LOG_ERROR, "server", "backup_ended",
           "destination=%s code=%s", text, sl_err_code(err));
    if (err == SL_OK)
        sl_buffer_append_text(answer, "ok");
    else
        refuse(err, NULL, answer);
}

/* In the hooks' thread. */
static void on_answered(struct sl_hooks_request *request)
{
    struct question *question = SL_OBJECT(request, struct question, request);
    struct sl_control *control = question->control;
    sl_mutex_lock(control->mutex);
    question->is_answered = true;
    sl_condition_signal(control->answered);
    sl_mutex_unlock(control->mutex);
}

static void rotate_keys(struct sl_control *control, struct sl_buffer *answer)
{
    struct question question = { .control = control };
    struct sl_hooks_request *request = &question.request;
    request->action = SL_HOOKS_ROTATE;
    request->on_done = on_answered;
    sl_hooks_submit(control->hooks, request);
    sl_mutex_lock(control->mutex);
    while (!question.is_answered)
        sl_condition_wait(control->answered, control->mutex);
    sl_mutex_unlock(control->mutex);
    if (request->err == SL_OK)
        sl_buffer_printf(answer, "ok %.*s", (int)request->text.size,
                         (const char *)request->text.data);
    else
        refuse(request->err, request->message, answer);
    sl_buffer_deinit(&request->text);
}

static void run(struct sl_control *control, const char *line, struct sl_buffer *answer)
{
    static const char backup[] = "backup ";
    const char *path = line + strlen(backup);
    if (strncmp(line, backup, strlen(backup)) == 0 && path[0] == '/')
        back_up(control, path, answer);
    else if (strcmp(line, "rotate-keys") == 0)
        rotate_keys(control, answer);
    else
        refuse(SL_ERR_INVALID_ARGUMENT, NULL, answer);
}

static void serve(struct sl_control *control, int connection)
{
    const struct timeval patience = { .tv_sec = PATIENCE_S };
    char line[LINE_SIZE_MAX];
    setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (!read_line(connection, line))
        return;
    struct sl_buffer answer = { 0 };
    run(control, line, &answer);
    sl_buffer_append_text(&answer, "\n");
    /* Whoever asked may have gone; the work is done all the same. */
    (void)send(connection, answer.data, answer.size, MSG_NOSIGNAL);
    sl_buffer_deinit(&answer);
}

static void control_main(void *argument)
{
    struct sl_control *control = argument;
    struct pollfd wanted[] = { { .fd = control->listener, .events = POLLIN },
                               { .fd = control->stop[0], .events = POLLIN } };
    for (;;) {
        if (poll(wanted, 2, -1) < 0)
            continue;
        if (wanted[1].revents != 0)
            return;
        int connection = accept4(control->listener, NULL, NULL, SOCK_CLOEXEC);
        if (connection < 0)
            continue;
        serve(control, connection);
        close(connection);
    }
}

/* We have the directory's lock: whatever is there under the name is of a server that is gone. */
static bool listen_there(struct sl_control *control)
{
    struct sockaddr_un address;
    address_of(control->directory, &address);
    if (unlink(address.sun_path) != 0 && errno != ENOENT)
        return false;
    control->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* Before it has a name, so that at no moment others can connect. */
    return control->listener >= 0 && fchmod(control->listener, SOCKET_MODE) == 0 &&
           bind(control->listener, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
           listen(control->listener, BACKLOG) == 0;
}

static void destroy(struct sl_control *control)
{
    if (control->listener >= 0)
        close(control->listener);
    if (control->directory >= 0)
        close(control->directory);
    if (control->stop[0] >= 0)
        close(control->stop[0]);
    if (control->stop[1] >= 0)
        close(control->stop[1]);
    sl_condition_destroy(&control->answered);
    sl_mutex_destroy(&control->mutex);
    sl_memory_free(control);
}

struct sl_control *sl_control_start(struct sl_engine *engine, struct sl_hooks *hooks,
                                    const char *data_directory)
{
    struct sl_control *control = sl_memory_alloc(sizeof(*control));
    *control = (struct sl_control){ .engine = engine,
                                    .hooks = hooks,
                                    .listener = -1,
                                    .directory = open_directory(data_directory),
                                    .stop = { -1, -1 },
                                    .mutex = sl_mutex_create(),
                                    .answered = sl_condition_create() };
    if (control->directory < 0 || pipe2(control->stop, O_CLOEXEC) != 0 || !listen_there(control)) {
        sl_log(SL_LOG_WARN, "server", "no_control_socket",
               "errno=%d reason=\"sluice backup has to wait until the server is stopped, and "
               "sluice rotate-keys until it is started again\"",
               errno);
        destroy(control);
        return NULL;
    }
    control->thread = sl_thread_start("control", control_main, control);
    return control;
}

void sl_control_stop(struct sl_control **control)
{
    struct sl_control *stopped = *control;
    struct sockaddr_un address;
    *control = NULL;
    if (stopped == NULL)
        return;
    close(stopped->stop[1]);
    stopped->stop[1] = -1;
    sl_thread_join(&stopped->thread);
    address_of(stopped->directory, &address);
    (void)unlink(address.sun_path);
    destroy(stopped);
}

/* ---- who asks ---- */

/* Returns an errno value. */
static int connect_to(const char *data_directory, int *connection)
{
    struct sockaddr_un address;
    int directory = open_directory(data_directory);
    if (directory < 0)
        return errno;
    address_of(directory, &address);
    *connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int error = *connection < 0 ? errno : 0;
    if (error == 0 &&
        connect(*connection, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        error = errno == ENOENT ? ECONNREFUSED : errno; /* ENOENT: there is no such directory */
        close(*connection);
    }
    close(directory);
    return error;
}

int sl_control_ask(const char *data_directory, struct sl_bytes request, struct sl_buffer *answer)
{
    char line[LINE_SIZE_MAX];
    int connection = -1;
    int error = connect_to(data_directory, &connection);
    sl_buffer_clear(answer);
    if (error != 0)
        return error;
    bool sent = send(connection, request.data, request.size, MSG_NOSIGNAL) == (ssize_t)request.size;
    if (sent && read_line(connection, line))
        sl_buffer_append_text(answer, line);
    sl_buffer_append(answer, "", 1);
    close(connection);
    return 0;
}

void sl_control_complain(const char *subject, const char *answer)
{
    sl_tool_complain("%s: %s; the log of the server says more", subject,
                     *answer == '\0' ? "the server went away" : answer);
}
