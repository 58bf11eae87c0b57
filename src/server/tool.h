/*
 * server/tool.h - what the commands for operators share
 *
 * What     Arguments, output, exit codes, and the data directory of a server that does not run.
 * Thread   Main.
 */
#ifndef SL_SERVER_TOOL_H
#define SL_SERVER_TOOL_H

#include "base/buffer.h"
#include "journal/store.h"
#include "sluice/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How a command ends; scripts rely on it. */
enum sl_exit_code {
    SL_EXIT_CLEAN = 0,
    SL_EXIT_USAGE = 1,
    SL_EXIT_TORN = 2,
    SL_EXIT_CORRUPT = 3,
    SL_EXIT_LOCKED = 4,
    SL_EXIT_VERSION = 5,
    SL_EXIT_STORAGE_FAILED = 6,
};

enum sl_exit_code sl_exit_code_of(enum sl_err err);

struct sl_tool_option {
    const char *name; /* with its dashes */
    bool *given;
    uint64_t *number; /* of its value; NULL: it has none */
    uint64_t max;     /* of number */
};

struct sl_tool_arguments {
    const char *usage; /* printed for --help, and its first line for a mistake */
    const struct sl_tool_option *options;
    size_t option_count;
    const char **words; /* results: the arguments that are no options */
    size_t word_count;  /* so many there must be */
};

/* False: the command ends with *code; what is wrong was said. */
bool sl_tool_parse(const struct sl_tool_arguments *wanted, int count, char *const *arguments,
                   enum sl_exit_code *code);

/* To standard output. */
void sl_tool_print(const char *format, ...) __attribute__((format(printf, 1, 2)));
void sl_tool_print_bytes(struct sl_bytes bytes);
/* True: everything that was printed has reached its reader. */
bool sl_tool_end_output(void);
/*
 * A path as a word of a shell, in quotes if it needs them: for a command that can be pasted. Lies
 * in static memory until the next call; one thread.
 */
const char *sl_tool_word(const char *path);
/* A line to standard error, with "sluice: " before and a newline behind. */
void sl_tool_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * Opens and locks an existing data directory; says what is wrong. `read_only`: it may be where
 * nothing can be written.
 */
SL_NODISCARD enum sl_err sl_tool_open_store(const char *path, bool read_only,
                                            struct sl_store **store);

#ifdef __cplusplus
}
#endif
#endif
