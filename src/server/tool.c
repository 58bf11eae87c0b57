#include "server/tool.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "journal/vfs.h"
#include "protocol/number.h"

enum sl_exit_code sl_exit_code_of(enum sl_err err)
{
    if (err == SL_OK)
        return SL_EXIT_CLEAN;
    if (err == SL_ERR_DATA_CORRUPT || err == SL_ERR_DATA_DAMAGED)
        return SL_EXIT_CORRUPT;
    if (err == SL_ERR_DATA_LOCKED)
        return SL_EXIT_LOCKED;
    if (err == SL_ERR_DATA_VERSION)
        return SL_EXIT_VERSION;
    return err == SL_ERR_STORAGE_FAILED || err == SL_ERR_DISK_FULL ? SL_EXIT_STORAGE_FAILED
                                                                   : SL_EXIT_USAGE;
}

/* ---- output ---- */

void sl_tool_print(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stdout, format, arguments);
    va_end(arguments);
}

void sl_tool_print_bytes(struct sl_bytes bytes)
{
    if (bytes.size > 0)
        fwrite(bytes.data, 1, bytes.size, stdout);
}

bool sl_tool_end_output(void)
{
    return fflush(stdout) == 0 && ferror(stdout) == 0;
}

const char *sl_tool_word(const char *path)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-";
    static char word[4 * SL_PATH_SIZE_MAX + 3];
    size_t size = 0;
    if (path[strspn(path, plain)] == '\0' || strlen(path) >= SL_PATH_SIZE_MAX)
        return path;
    word[size++] = '\'';
    for (; *path != '\0'; path++) {
        const char *as = *path == '\'' ? "'\\''" : (const char[]){ *path, '\0' };
        memcpy(word + size, as, strlen(as));
        size += strlen(as);
    }
    word[size++] = '\'';
    word[size] = '\0';
    return word;
}

void sl_tool_complain(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "sluice: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
}

/* ---- arguments ---- */

static bool refuse(const struct sl_tool_arguments *wanted, const char *argument, const char *why,
                   enum sl_exit_code *code)
{
    sl_tool_complain("%s: %s", argument, why);
    fprintf(stderr, "usage: %.*s\n", (int)strcspn(wanted->usage, "\n"), wanted->usage);
    *code = SL_EXIT_USAGE;
    return false;
}

static const struct sl_tool_option *find(const struct sl_tool_arguments *wanted, const char *name,
                                         size_t size)
{
    for (size_t i = 0; i < wanted->option_count; i++) {
        const char *option = wanted->options[i].name;
        if (strlen(option) == size && memcmp(option, name, size) == 0)
            return &wanted->options[i];
    }
    return NULL;
}

/* "--name", "--name value" or "--name=value" at arguments[0]; *used: how many that are. */
static bool parse_option(const struct sl_tool_arguments *wanted, int count, char *const *arguments,
                         int *used, enum sl_exit_code *code)
{
    const char *argument = arguments[0];
    const char *sign = strchr(argument, '=');
    size_t size = sign == NULL ? strlen(argument) : (size_t)(sign - argument);
    const struct sl_tool_option *option = find(wanted, argument, size);
    *used = 1;
    if (option == NULL)
        return refuse(wanted, argument, "there is no such option", code);
    *option->given = true;
    if (option->number == NULL)
        return sign == NULL || refuse(wanted, argument, "it takes no value", code);
    if (sign == NULL && count < 2)
        return refuse(wanted, argument, "a number is missing behind it", code);
    const char *value = sign == NULL ? arguments[1] : sign + 1;
    *used = sign == NULL ? 2 : 1;
    return sl_number_parse(sl_bytes_of(value), option->max, option->number) ||
           refuse(wanted, argument, "its value is not a number, or too large", code);
}

bool sl_tool_parse(const struct sl_tool_arguments *wanted, int count, char *const *arguments,
                   enum sl_exit_code *code)
{
    size_t words = 0;
    for (int i = 0, used = 1; i < count; i += used) {
        const char *argument = arguments[i];
        used = 1;
        if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0) {
            sl_tool_print("%s", wanted->usage);
            *code = SL_EXIT_CLEAN;
            return false;
        }
        if (argument[0] == '-') {
            if (!parse_option(wanted, count - i, arguments + i, &used, code))
                return false;
        } else if (words == wanted->word_count) {
            return refuse(wanted, argument, "one argument too many", code);
        } else {
            wanted->words[words++] = argument;
        }
    }
    return words == wanted->word_count || refuse(wanted, "arguments", "something is missing", code);
}

enum sl_err sl_tool_open_store(const char *path, bool read_only, struct sl_store **store)
{
    struct sl_store_setup setup = {
        .vfs = sl_vfs_posix(),
        .path = path,
        .allow_volatile = true,
        .must_exist = true,
        .read_only = read_only,
    };
    enum sl_err err = sl_store_open(&setup, store);
    if (err != SL_OK)
        sl_tool_complain("%s: %s", path, sl_err_text(err));
    return err;
}
