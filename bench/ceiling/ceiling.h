/*
 * bench/ceiling/ceiling.h - what the ceilings have in common
 *
 * What     Options, the listening socket of a server.
 * Why      A ceiling does the one thing that bounds a number of ours, with nothing around it; it is
 *          run beside us, and our numbers are given as shares of what it reaches.
 * Thread   Any.
 */
#ifndef SL_BENCH_CEILING_H
#define SL_BENCH_CEILING_H

#include <stddef.h>
#include <stdint.h>

/* `--name value` on the command line. */
struct ceiling_option {
    const char *name;  /* with its dashes */
    const char *value; /* the default, then what was given */
};

/*
 * Replaces the defaults by what the command line says. Anything else, --help too, prints the
 * options with their defaults and ends the program.
 */
void ceiling_parse(int argument_count, char **arguments, struct ceiling_option *options,
                   size_t count);
/* The value as a number; ends the program when it is none or beyond these limits. */
unsigned long ceiling_number(const struct ceiling_option *option, unsigned long min,
                             unsigned long max);

/* Prints the program's name, `what` and the text of errno, and ends the program. */
void ceiling_fail(const char *what) __attribute__((noreturn));

/*
 * A socket that listens on the loopback; does not block. Each thread of a server has its own, and
 * the kernel shares out the connections.
 */
int ceiling_listen(unsigned short port);

/* As many open files as the system allows. */
void ceiling_raise_files(void);

#endif
