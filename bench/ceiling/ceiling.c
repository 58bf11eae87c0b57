#include "ceiling.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

enum {
    BACKLOG = 4096,
};

static void end_with_usage(const struct ceiling_option *options, size_t count)
{
    fprintf(stderr, "usage: %s", program_invocation_short_name);
    for (size_t i = 0; i < count; i++)
        fprintf(stderr, " [%s %s]", options[i].name, options[i].value);
    fprintf(stderr, "\n");
    exit(1);
}

void ceiling_parse(int argument_count, char **arguments, struct ceiling_option *options,
                   size_t count)
{
    for (int i = 1; i < argument_count; i += 2) {
        size_t which = 0;
        while (which < count && strcmp(options[which].name, arguments[i]) != 0)
            which++;
        if (which == count || i + 1 == argument_count)
            end_with_usage(options, count);
        options[which].value = arguments[i + 1];
    }
}

unsigned long ceiling_number(const struct ceiling_option *option, unsigned long min,
                             unsigned long max)
{
    char *end = NULL;
    unsigned long number = strtoul(option->value, &end, 10);

    if (*option->value < '0' || *option->value > '9' || *end != '\0' || number < min ||
        number > max) {
        fprintf(stderr, "%s: %s is a number from %lu to %lu\n", program_invocation_short_name,
                option->name, min, max);
        exit(1);
    }
    return number;
}

void ceiling_fail(const char *what)
{
    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
    exit(1);
}

int ceiling_listen(unsigned short port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr = { htonl(INADDR_LOOPBACK) },
    };
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, BACKLOG) != 0)
        ceiling_fail("listen");
    return fd;
}

void ceiling_raise_files(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        ceiling_fail("getrlimit");
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) != 0)
        ceiling_fail("setrlimit");
}
