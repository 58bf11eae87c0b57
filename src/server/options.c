#include "server/options.h"

#include <inttypes.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "http/listener.h"
#include "journal/store.h"
#include "journal/vfs.h"
#include "protocol/ascii.h"
#include "protocol/authority.h"
#include "protocol/number.h"

enum {
    FILE_SIZE_MAX = 64 * 1024, /* bytes of a configuration file */
    NAME_SIZE_MAX = 40,        /* bytes of an option's name with its NUL */
    SUBSCRIPTIONS_SHARE = 8,   /* one part in so many of the memory budget, beside it */
};

/* How a value is read, and where it goes. */
enum type {
    TYPE_FLAG,         /* bool: true, false, 1 or 0; alone on the command line */
    TYPE_ADDRESS,      /* one or more, between commas or repeated: addresses */
    TYPE_CONFIG,       /* char *: not in the file itself */
    TYPE_CERTIFICATES, /* char *: a file of them, or empty */
    TYPE_DIRECTORY,    /* char *: not empty */
    TYPE_ROOT,         /* char *: absolute path, no slash at its end */
    TYPE_URL,          /* char *: http or https; no user, query or slash at its end */
    TYPE_UNSIGNED,     /* unsigned */
    TYPE_NUMBER,       /* uint64_t */
};

#define AT(member) offsetof(struct sl_server_options, member)

static const struct option {
    const char *name;
    enum type type;
    size_t at;            /* of the member */
    const char *standard; /* the default; empty: decided at start */
    uint64_t min;
    uint64_t max;
    const char *unit; /* of the value, as the help names it */
    const char *text;
} table[] = {
    { "listen", TYPE_ADDRESS, 0, "127.0.0.1:4437", 0, 0, "ADDRESS:PORT",
      "where to listen; may be repeated, takes [IPv6]:PORT, port 0 picks one" },
    { "data-dir", TYPE_DIRECTORY, AT(data_dir), "sluice-data", 0, 0, "DIRECTORY",
      "where streams are kept; made if it is not there" },
    { "memory", TYPE_FLAG, AT(memory), "false", 0, 0, "",
      "keep streams in memory only; they end with the process" },
    { "wal-budget-bytes", TYPE_NUMBER, AT(engine.wal_budget_bytes), "536870912", 1048576,
      UINT64_C(1) << 44, "BYTES",
      "log of all shards, which a start has to read, before data moves to segments" },
    { "wal-file-bytes", TYPE_NUMBER, AT(engine.wal_file_bytes), "67108864", 1048576,
      UINT64_C(1) << 30, "BYTES",
      "size of the log's files, a multiple of 4096; counts when the directory is made" },
    { "min-free-bytes", TYPE_NUMBER, AT(engine.free_bytes_min), "67108864", 1, UINT64_C(1) << 44,
      "BYTES",
      "with less free space than that no new log file is made, and when those there are used up, "
      "creates and appends are refused" },
    { "scrub-days", TYPE_UNSIGNED, AT(engine.scrub_days), "7", 0, 3650, "DAYS",
      "all segments are read and checked at the start and every so many days; 0: never" },
    { "scrub-bytes-per-second", TYPE_NUMBER, AT(engine.scrub_bytes_per_second), "16777216", 65536,
      UINT64_C(1) << 40, "BYTES", "how much of them is read at most" },
    { "allow-volatile-data-dir", TYPE_FLAG, AT(engine.allow_volatile), "false", 0, 0, "",
      "accept a data directory on a file system in memory" },
    { "exit-on-io-error", TYPE_FLAG, AT(exit_on_io_error), "false", 0, 0, "",
      "end when the log cannot be written, with code 6, rather than go on for readers" },
    { "acceptors", TYPE_UNSIGNED, AT(http.acceptors), "", 1, SL_ACCEPTORS_MAX, "THREADS",
      "HTTP threads; default: half of the CPUs" },
    { "shards", TYPE_UNSIGNED, AT(engine.shards), "", 1, SL_SHARDS_MAX, "THREADS",
      "threads that own streams; default: half of the CPUs" },
    { "stream-root", TYPE_ROOT, AT(stream_root), "/v1/stream", 0, 0, "PATH",
      "streams are at PATH/NAME" },
    { "public-url", TYPE_URL, AT(public_url), "", 0, 0, "URL",
      "how clients call this server, for Location and webhooks; default: as the request says" },
    { "long-poll-timeout-ms", TYPE_NUMBER, AT(http.long_poll_timeout_ms), "30000", 1, 3600000, "MS",
      "a long-poll without data is answered after this time" },
    { "sse-lifetime-ms", TYPE_NUMBER, AT(http.sse_lifetime_ms), "60000", 0, 86400000, "MS",
      "an SSE response is ended after this time, 0: never" },
    { "sse-heartbeat-ms", TYPE_NUMBER, AT(http.sse_heartbeat_ms), "15000", 100, 3600000, "MS",
      "an SSE response without data gets a comment after this time" },
    { "stall-timeout-ms", TYPE_NUMBER, AT(http.stall_timeout_ms), "25000", 1000, 3600000, "MS",
      "a client that takes nothing of its answer for this time is cut" },
    { "request-timeout-ms", TYPE_NUMBER, AT(http.request_timeout_ms), "60000", 1000, 3600000, "MS",
      "for an idle connection and its next request, head and body together" },
    { "drain-timeout-ms", TYPE_NUMBER, AT(http.drain_timeout_ms), "10000", 0, 3600000, "MS",
      "after SIGTERM, what is not answered in this time is cut" },
    { "max-body-bytes", TYPE_NUMBER, AT(http.body_size_max), "16777216", 1, SL_BODY_SIZE_MAX,
      "BYTES", "a larger request body is refused" },
    { "upload-budget-bytes", TYPE_NUMBER, AT(http.upload_budget_bytes), "268435456", 1048576,
      UINT64_C(1) << 44, "BYTES",
      "buffers of all request bodies that are being received; the largest are cut above it" },
    { "memory-budget-bytes", TYPE_NUMBER, AT(engine.memory_budget_bytes), "1073741824", 16777216,
      UINT64_C(1) << 44, "BYTES", "stored data and stream state; appends are refused above it" },
    { "streams-max", TYPE_NUMBER, AT(engine.streams_max), "4000000", 1, UINT64_C(1) << 32,
      "STREAMS", "more are refused" },
    { "producers-per-stream-max", TYPE_UNSIGNED, AT(engine.producers_per_stream_max), "10000", 1,
      SL_PRODUCERS_PER_STREAM_MAX, "PRODUCERS",
      "more idempotent producers of one stream are refused" },
    { "connections-max", TYPE_UNSIGNED, AT(http.connections_max), "100000", 1, 10000000,
      "CONNECTIONS", "more wait until others close" },
    { "live-readers-max", TYPE_UNSIGNED, AT(http.live_readers_max), "100000", 1, 10000000,
      "READERS", "more long-polls and SSE responses are refused" },
    { "allow-local-webhooks", TYPE_FLAG, AT(hooks.allow_local_webhooks), "false", 0, 0, "",
      "webhooks may go to this machine, and by http; for development" },
    { "webhook-ca-file", TYPE_CERTIFICATES, AT(webhook_ca_file), "", 0, 0, "FILE",
      "certificates that receivers of webhooks are checked by; default: those of the system" },
    { "webhook-timeout-ms", TYPE_UNSIGNED, AT(hooks.delivery_timeout_ms), "30000", 100, 600000,
      "MS", "a receiver that has not answered a webhook by then has failed" },
    { "webhooks-max", TYPE_UNSIGNED, AT(hooks.deliveries_max), "64", 0, 1024, "WEBHOOKS",
      "under way at the same time; more wait, all of them with 0" },
    { "subscriptions-max", TYPE_UNSIGNED, AT(hooks.subscriptions_max), "100000", 1, 10000000,
      "SUBSCRIPTIONS", "more are refused" },
    { "subscription-links-max", TYPE_UNSIGNED, AT(hooks.links_max), "1000000", 1, 100000000,
      "LINKS", "streams that all subscriptions link together; more are refused" },
    { "config", TYPE_CONFIG, AT(config), "", 0, 0, "FILE",
      "lines of NAME = VALUE with the names of this list, # starts a comment, quotes are part of a "
      "value" },
};

enum { OPTION_COUNT = sizeof table / sizeof *table };

static const struct option *find(struct sl_bytes name)
{
    for (size_t i = 0; i < OPTION_COUNT; i++)
        if (sl_bytes_equal(name, sl_bytes_of(table[i].name)))
            return &table[i];
    return NULL;
}

static void *member(struct sl_server_options *options, const struct option *option)
{
    return (char *)options + option->at;
}

static char *copy_text(struct sl_bytes text)
{
    char *copy = (char *)sl_memory_alloc(text.size + 1);

    if (text.size != 0)
        memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    return copy;
}

static void set_text(char **member_text, struct sl_bytes value)
{
    sl_memory_free(*member_text);
    *member_text = copy_text(value);
}

static void clear_addresses(struct sl_server_options *options)
{
    while (options->address_count > 0)
        sl_memory_free((void *)(uintptr_t)options->addresses[--options->address_count]);
}

/* "a, b" is two addresses. */
static const char *add_addresses(struct sl_server_options *options, struct sl_bytes value)
{
    static const char allowed[] = "ADDRESS:PORT, for instance 127.0.0.1:4437 or [::1]:4437";

    while (value.size != 0) {
        struct sl_bytes address = sl_ascii_trim(sl_ascii_cut(&value, ','));
        if (options->address_count == SL_FRONT_ADDRESSES_MAX)
            return "at most 16 addresses";
        options->addresses[options->address_count] = copy_text(address);
        if (!sl_listener_is_address(options->addresses[options->address_count++]))
            return allowed;
    }
    return options->address_count == 0 ? allowed : NULL;
}

/* Who sends webhooks reads it again, and would refuse every receiver if it could not. */
static bool is_certificates(struct sl_bytes value)
{
    if (value.size == 0)
        return true;
    char *name = copy_text(value);
    X509_STORE *store = X509_STORE_new();
    bool is_loaded = store != NULL && X509_STORE_load_locations(store, name, NULL) == 1;
    ERR_clear_error();
    X509_STORE_free(store);
    sl_memory_free(name);
    return is_loaded;
}

static bool is_path(struct sl_bytes value)
{
    if (value.size < 2 || value.data[0] != '/' || value.data[value.size - 1] == '/')
        return false;
    for (size_t i = 0; i < value.size; i++) {
        bool usable = sl_ascii_is_alphanumeric(value.data[i]) ||
                      (value.data[i] != '\0' && strchr("/-._~", value.data[i]) != NULL);
        if (!usable || (value.data[i] == '/' && value.data[i + 1] == '/'))
            return false;
    }
    while (value.size != 0) {
        struct sl_bytes segment = sl_ascii_cut(&value, '/');
        if (sl_bytes_equal(segment, sl_bytes_of(".")) || sl_bytes_equal(segment, sl_bytes_of("..")))
            return false; /* clients take them out of a path */
    }
    return true;
}

static bool is_url(struct sl_bytes value)
{
    size_t scheme = value.size > 7 && memcmp(value.data, "http://", 7) == 0    ? 7
                    : value.size > 8 && memcmp(value.data, "https://", 8) == 0 ? 8
                                                                               : 0;

    if (value.size == 0)
        return true;
    if (scheme == 0 || value.data[value.size - 1] == '/')
        return false;
    for (size_t i = scheme; i < value.size; i++)
        if (value.data[i] <= ' ' || value.data[i] >= 0x7f || value.data[i] == '?' ||
            value.data[i] == '#')
            return false;
    struct sl_bytes rest = sl_bytes(value.data + scheme, value.size - scheme);
    struct sl_bytes authority = sl_ascii_cut(&rest, '/');
    return authority.size != 0 && authority.data[0] != ':' && sl_authority_is_valid(authority);
}

/* Reads one value. NULL, or what would have been allowed; empty: the range of the table. */
static const char *set(struct sl_server_options *options, const struct option *option,
                       struct sl_bytes value)
{
    uint64_t number = 0;
    bool yes;

    switch (option->type) {
    case TYPE_FLAG:
        yes = sl_bytes_equal(value, sl_bytes_of("true")) || sl_bytes_equal(value, sl_bytes_of("1"));
        if (!yes && !sl_bytes_equal(value, sl_bytes_of("false")) &&
            !sl_bytes_equal(value, sl_bytes_of("0")))
            return "true or false";
        *(bool *)member(options, option) = yes;
        return NULL;
    case TYPE_ADDRESS:
        return add_addresses(options, value);
    case TYPE_ROOT:
        if (!is_path(value))
            return "an absolute path without . or .. in it and without a slash at its end";
        break;
    case TYPE_URL:
        if (!is_url(value))
            return "an http or https URL without a user, a query or a slash at its end";
        break;
    case TYPE_DIRECTORY:
        if (value.size == 0)
            return "the name of a directory";
        break;
    case TYPE_CERTIFICATES:
        if (!is_certificates(value))
            return "a file of certificates (PEM) that can be read";
        break;
    case TYPE_CONFIG:
        break;
    case TYPE_UNSIGNED:
    case TYPE_NUMBER:
        if (!sl_number_parse(value, option->max, &number) || number < option->min)
            return "";
        if (option->type == TYPE_UNSIGNED)
            *(unsigned *)member(options, option) = (unsigned)number;
        else
            *(uint64_t *)member(options, option) = number;
        return NULL;
    }
    set_text((char **)member(options, option), value);
    return NULL;
}

/* `source` and `line` say where the value was found, for the problem. */
static bool apply(struct sl_server_options *options, const struct option *option,
                  struct sl_bytes value, const char *source, struct sl_buffer *problem)
{
    const char *allowed = set(options, option, value);

    if (allowed == NULL)
        return true;
    sl_buffer_printf(problem, "%s: \"%.*s\" is not ", source, (int)value.size,
                     value.size == 0 ? "" : (const char *)value.data);
    if (*allowed != '\0')
        sl_buffer_append_text(problem, allowed);
    else
        sl_buffer_printf(problem, "a number from %" PRIu64 " to %" PRIu64, option->min,
                         option->max);
    return false;
}

static void apply_defaults(struct sl_server_options *options)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option *option = &table[i];
        bool is_number = option->type == TYPE_UNSIGNED || option->type == TYPE_NUMBER;
        if (is_number && *option->standard == '\0')
            continue; /* decided by main */
        const char *allowed = set(options, option, sl_bytes_of(option->standard));
        SL_ASSERT(allowed == NULL);
    }
}

/*
 * ---- the file ---------------------------------------------------------------------------------
 */

static bool apply_line(struct sl_server_options *options, struct sl_bytes line, const char *source,
                       bool *has_addresses, struct sl_buffer *problem)
{
    line = sl_ascii_trim(sl_ascii_cut(&line, '#'));
    if (line.size == 0)
        return true;
    const uint8_t *sign = (const uint8_t *)memchr(line.data, '=', line.size);
    size_t name_size = sign == NULL ? line.size : (size_t)(sign - line.data);
    struct sl_bytes name = sl_ascii_trim(sl_bytes(line.data, name_size));
    const struct option *option = find(name);
    if (sign == NULL || option == NULL || option->type == TYPE_CONFIG) {
        sl_buffer_printf(problem, "%s: \"%.*s\" is not NAME = VALUE with the name of an option",
                         source, (int)line.size, (const char *)line.data);
        return false;
    }
    if (option->type == TYPE_ADDRESS && !*has_addresses) {
        *has_addresses = true;
        clear_addresses(options);
    }
    return apply(options, option, sl_ascii_trim(sl_bytes_from(line, name_size + 1)), source,
                 problem);
}

static bool apply_text(struct sl_server_options *options, struct sl_bytes text, const char *name,
                       struct sl_buffer *problem)
{
    bool has_addresses = false;
    bool ok = true;

    for (unsigned number = 1; ok && text.size != 0; number++) {
        struct sl_bytes line = sl_ascii_cut(&text, '\n');
        if (line.size != 0 && line.data[line.size - 1] == '\r')
            line.size--;
        struct sl_buffer source = { NULL, 0, 0 };
        sl_buffer_printf(&source, "%s:%u", name, number);
        sl_buffer_append(&source, "", 1);
        ok = apply_line(options, line, (const char *)source.data, &has_addresses, problem);
        sl_buffer_deinit(&source);
    }
    return ok;
}

static bool apply_file(struct sl_server_options *options, struct sl_buffer *problem)
{
    const char *name = options->config;
    FILE *file = *name == '\0' ? NULL : fopen(name, "r");
    struct sl_buffer text = { NULL, 0, 0 };
    bool ok = false;

    if (*name == '\0')
        return true;
    if (file == NULL) {
        sl_buffer_printf(problem, "--config: \"%s\" cannot be read", name);
        return false;
    }
    text.size = fread(sl_buffer_reserve(&text, FILE_SIZE_MAX + 1), 1, FILE_SIZE_MAX + 1, file);
    if (ferror(file))
        sl_buffer_printf(problem, "--config: \"%s\" cannot be read", name);
    else if (text.size > FILE_SIZE_MAX)
        sl_buffer_printf(problem, "--config: \"%s\" is larger than %d bytes", name, FILE_SIZE_MAX);
    else
        ok = apply_text(options, sl_buffer_bytes(&text), name, problem);
    fclose(file);
    sl_buffer_deinit(&text);
    return ok;
}

/*
 * ---- the environment --------------------------------------------------------------------------
 */

/* "long-poll-timeout-ms" is SLUICE_LONG_POLL_TIMEOUT_MS. */
static void variable_of(const struct option *option, char out[NAME_SIZE_MAX])
{
    static const char prefix[] = "SLUICE_";
    size_t size = strlen(option->name);

    SL_ASSERT(sizeof prefix + size <= NAME_SIZE_MAX);
    memcpy(out, prefix, sizeof prefix);
    for (size_t i = 0; i <= size; i++) {
        char byte = option->name[i];
        if (byte == '-')
            byte = '_';
        else if (byte >= 'a' && byte <= 'z')
            byte = (char)(byte - 'a' + 'A');
        out[sizeof prefix - 1 + i] = byte;
    }
}

/* NULL when the variable is not set. */
static const char *look_up(char *const *environment, const char *variable)
{
    size_t size = strlen(variable);

    for (; *environment != NULL; environment++)
        if (strncmp(*environment, variable, size) == 0 && (*environment)[size] == '=')
            return *environment + size + 1;
    return NULL;
}

static bool apply_variable(struct sl_server_options *options, const struct option *option,
                           char *const *environment, struct sl_buffer *problem)
{
    char variable[NAME_SIZE_MAX];

    variable_of(option, variable);
    const char *value = look_up(environment, variable);
    if (value == NULL)
        return true;
    if (option->type == TYPE_ADDRESS)
        clear_addresses(options);
    return apply(options, option, sl_bytes_of(value), variable, problem);
}

static bool apply_environment(struct sl_server_options *options, char *const *environment,
                              struct sl_buffer *problem)
{
    for (size_t i = 0; i < OPTION_COUNT; i++)
        if (!apply_variable(options, &table[i], environment, problem))
            return false;
    return true;
}

/*
 * ---- the command line -------------------------------------------------------------------------
 */

struct argument {
    const struct option *option;
    struct sl_bytes value;
    int count; /* of arguments that it takes up */
    char source[NAME_SIZE_MAX];
};

/* Reads "--name value", "--name=value" or "--flag". */
static bool parse_argument(int left, char *const *arguments, struct argument *out,
                           struct sl_buffer *problem)
{
    const char *text = arguments[0];
    const char *sign = strchr(text, '=');
    size_t size = sign == NULL ? strlen(text) : (size_t)(sign - text);

    *out = (struct argument){ .count = 1 };
    if (size > 2 && text[0] == '-' && text[1] == '-')
        out->option = find(sl_bytes(text + 2, size - 2));
    if (out->option == NULL) {
        sl_buffer_printf(problem, "%s: there is no such option; see sluice serve --help", text);
        return false;
    }
    snprintf(out->source, sizeof out->source, "--%s", out->option->name);
    if (sign != NULL) {
        out->value = sl_bytes_of(sign + 1);
    } else if (out->option->type == TYPE_FLAG) {
        out->value = sl_bytes_of("true");
    } else if (left < 2) {
        sl_buffer_printf(problem, "%s needs a value: %s", out->source, out->option->unit);
        return false;
    } else {
        out->value = sl_bytes_of(arguments[1]);
        out->count = 2;
    }
    return true;
}

/* `only`: the one option that counts, or NULL for all. */
static bool apply_arguments(struct sl_server_options *options, const struct option *only, int count,
                            char *const *arguments, struct sl_buffer *problem)
{
    bool has_addresses = false;
    struct argument argument;

    for (int i = 0; i < count; i += argument.count) {
        if (!parse_argument(count - i, arguments + i, &argument, problem))
            return false;
        if (only != NULL && argument.option != only)
            continue;
        if (argument.option->type == TYPE_ADDRESS && !has_addresses) {
            has_addresses = true;
            clear_addresses(options);
        }
        if (!apply(options, argument.option, argument.value, argument.source, problem))
            return false;
    }
    return true;
}

static bool is_whole_blocks(const struct sl_server_options *options, struct sl_buffer *problem)
{
    if (options->engine.wal_file_bytes % SL_DISK_BLOCK_BYTES == 0)
        return true;
    sl_buffer_printf(problem, "wal-file-bytes: %" PRIu64 " is no multiple of %d",
                     options->engine.wal_file_bytes, SL_DISK_BLOCK_BYTES);
    return false;
}

/* One change is one record, in one file of the log; those of a directory keep their size. */
static bool fits_into_log(const struct sl_server_options *options, struct sl_buffer *problem)
{
    uint64_t most = SL_PAYLOAD_BYTES_MAX(options->engine.wal_file_bytes);

    if (options->memory || options->http.body_size_max <= most ||
        sl_store_is_made(sl_vfs_posix(), options->data_dir))
        return true;
    sl_buffer_printf(problem,
                     "max-body-bytes: %" PRIu64 " is more than the %" PRIu64
                     " that fit into log files of wal-file-bytes (%" PRIu64
                     "): give max-body-bytes %" PRIu64,
                     options->http.body_size_max, most, options->engine.wal_file_bytes, most);
    uint64_t enough = options->engine.wal_file_bytes;
    while (SL_PAYLOAD_BYTES_MAX(enough) < options->http.body_size_max)
        enough *= 2;
    if (enough <= find(sl_bytes_of("wal-file-bytes"))->max)
        sl_buffer_printf(problem, ", or wal-file-bytes %" PRIu64, enough);
    return false;
}

/* Who names a directory believes that streams are kept there. */
static bool keeps_in_one_place(const struct sl_server_options *options, struct sl_buffer *problem)
{
    const char *standard = find(sl_bytes_of("data-dir"))->standard;

    if (!options->memory || strcmp(options->data_dir, standard) == 0)
        return true;
    sl_buffer_printf(problem,
                     "memory: data-dir is %s, but in memory nothing is kept: leave one of them out",
                     options->data_dir);
    return false;
}

/* Where receivers of webhooks find the streams, if the option says how clients call this server. */
static void set_public_root(struct sl_server_options *options)
{
    struct sl_buffer root = { NULL, 0, 0 };

    if (*options->public_url != '\0') {
        sl_buffer_append_text(&root, options->public_url);
        sl_buffer_append_text(&root, options->stream_root);
    }
    set_text(&options->public_root, sl_buffer_bytes(&root));
    sl_buffer_deinit(&root);
}

bool sl_server_options_init(struct sl_server_options *options, int argument_count,
                            char *const *arguments, char *const *environment,
                            struct sl_buffer *problem)
{
    const struct option *config = find(sl_bytes_of("config"));

    memset(options, 0, sizeof *options);
    apply_defaults(options);
    /* The file comes before what wins over it, but its name is found there. */
    if (!apply_variable(options, config, environment, problem) ||
        !apply_arguments(options, config, argument_count, arguments, problem) ||
        !apply_file(options, problem) || !apply_environment(options, environment, problem) ||
        !apply_arguments(options, NULL, argument_count, arguments, problem))
        return false;
    if (!is_whole_blocks(options, problem) || !fits_into_log(options, problem) ||
        !keeps_in_one_place(options, problem))
        return false;
    if (!options->memory)
        options->engine.data_directory = options->data_dir;
    options->http.stream_root = sl_bytes_of(options->stream_root);
    options->http.public_url = sl_bytes_of(options->public_url);
    set_public_root(options);
    options->hooks.public_root = sl_bytes_of(options->public_root);
    options->hooks.data_directory = options->engine.data_directory;
    options->hooks.bytes_max = options->engine.memory_budget_bytes / SUBSCRIPTIONS_SHARE;
    if (*options->webhook_ca_file != '\0')
        options->hooks.ca_file = options->webhook_ca_file;
    return true;
}

void sl_server_options_deinit(struct sl_server_options *options)
{
    clear_addresses(options);
    sl_memory_free(options->data_dir);
    sl_memory_free(options->stream_root);
    sl_memory_free(options->public_url);
    sl_memory_free(options->public_root);
    sl_memory_free(options->webhook_ca_file);
    sl_memory_free(options->config);
}

/*
 * ---- the table as text ------------------------------------------------------------------------
 */

static bool is_ranged(const struct option *option)
{
    return option->type == TYPE_UNSIGNED || option->type == TYPE_NUMBER;
}

void sl_server_options_help(struct sl_buffer *out)
{
    char variable[NAME_SIZE_MAX];

    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option *option = &table[i];
        variable_of(option, variable);
        sl_buffer_printf(out, "  --%s%s%s\n      %s", option->name,
                         *option->unit == '\0' ? "" : " ", option->unit, option->text);
        if (*option->standard != '\0')
            sl_buffer_printf(out, "; default: %s", option->standard);
        if (is_ranged(option))
            sl_buffer_printf(out, "; from %" PRIu64 " to %" PRIu64, option->min, option->max);
        sl_buffer_printf(out, "  [%s]\n", variable);
    }
}

void sl_server_options_markdown(struct sl_buffer *out)
{
    sl_buffer_append_text(out, "| option | default | range | what |\n|---|---|---|---|\n");
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option *option = &table[i];
        sl_buffer_printf(out, "| `--%s%s%s` | %s | ", option->name,
                         *option->unit == '\0' ? "" : " ", option->unit, option->standard);
        if (is_ranged(option))
            sl_buffer_printf(out, "%" PRIu64 " to %" PRIu64, option->min, option->max);
        sl_buffer_printf(out, " | %s |\n", option->text);
    }
}

void sl_server_options_metrics(const struct sl_server_options *options, struct sl_buffer *out)
{
    sl_metrics_render_head(out, "sluice_option", "gauge", "What the option of this name is.");
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option *option = &table[i];
        const void *value = (const char *)options + option->at;
        if (is_ranged(option))
            sl_buffer_printf(out, "sluice_option{name=\"%s\"} %" PRIu64 "\n", option->name,
                             option->type == TYPE_UNSIGNED ? *(const unsigned *)value
                                                           : *(const uint64_t *)value);
    }
}
