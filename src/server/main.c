#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "server/backup.h"
#include "server/control.h"
#include "server/dump.h"
#include "server/fsck.h"
#include "server/options.h"
#include "server/rotation.h"
#include "server/tool.h"

enum {
    /* Descriptors that connections leave to others: to each shard, which holds all of its segments
     * open, and to the rest of the process; webhooks have one each. */
    DESCRIPTORS_OF_SHARD = 64,
    DESCRIPTORS_RESERVED = 128,
    BESIDE_BODY_BYTES = 1024 * 1024, /* of memory, for streams and what they are found by */
    CONNECTIONS_MIN = 64,            /* a limit of open files that leaves fewer is a mistake */
    /* Some send SIGTERM to the process and to its group: that is one request. */
    SECOND_SIGNAL_MS = 500,
    /* From one look for memory to give back to the next: so many times as long as it took, for
     * others may wait for it, within these bounds. */
    GIVE_BACK_PAUSE_TIMES = 10000,
    GIVE_BACK_PAUSE_MIN_MS = 30 * 1000,
    GIVE_BACK_PAUSE_MAX_MS = 300 * 1000,
};

static const char usage[] =
    "sluice " SL_VERSION " - a server of the Durable Streams protocol\n"
    "\n"
    "  sluice serve [options]   start a server; sluice serve --help lists the options\n"
    "  sluice fsck DIR          check a data directory, and repair it if asked\n"
    "  sluice dump DIR          print what a data directory holds, as lines of JSON\n"
    "  sluice backup DATA_DIR DESTINATION\n"
    "                           copy what a server has, while it runs or not\n"
    "  sluice restore BACKUP DATA_DIR\n"
    "                           make a data directory of a backup\n"
    "  sluice rotate-keys DATA_DIR\n"
    "                           have a running server sign webhooks with a new key\n"
    "  sluice options           print the options of serve as a Markdown table\n"
    "  sluice --version\n"
    "  sluice --help\n"
    "\n"
    "Every command has --help.\n";

static const char serve_usage[] =
    "sluice serve [options]\n"
    "\n"
    "An option wins over its environment variable, which wins over the configuration file.\n"
    "SIGTERM, SIGINT and SIGHUP end the server when everything under way is answered, with exit\n"
    "code 0; a second one, half a second later or more, ends it at once, with exit code 1.\n"
    "\n";

static unsigned half_of_cpus(void)
{
    cpu_set_t cpus;
    int count = sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? CPU_COUNT(&cpus) : 1;

    return count < 2 ? 1 : (unsigned)count / 2;
}

static unsigned at_most(unsigned value, unsigned max)
{
    return value < max ? value : max;
}

static void fill_in(struct sl_server_options *options)
{
    if (options->http.acceptors == 0)
        options->http.acceptors = at_most(half_of_cpus(), SL_ACCEPTORS_MAX);
    options->engine.shards_of_new = at_most(half_of_cpus(), SL_SHARDS_MAX);
    /* h2o's buffers grow by doubling, and every acceptor has an equal share of the budget. */
    if (options->http.upload_budget_bytes / options->http.acceptors <
        2 * options->http.body_size_max)
        sl_log(SL_LOG_WARN, "server", "upload_budget_small",
               "reason=\"no acceptor can take a body of max-body-bytes\" "
               "todo=\"raise --upload-budget-bytes to %" PRIu64 ", or lower --max-body-bytes\"",
               2 * options->http.body_size_max * options->http.acceptors);
    uint64_t needed = options->http.body_size_max + BESIDE_BODY_BYTES;
    if (options->engine.memory_budget_bytes < needed)
        sl_log(
            SL_LOG_WARN, "server", "memory_budget_small",
            "reason=\"a body of max-body-bytes may never fit, and is refused as if it did later\" "
            "todo=\"raise --memory-budget-bytes to %" PRIu64 ", or lower --max-body-bytes\"",
            needed);
}

/* The directory may have been made with smaller log files than the options are about. */
static void warn_of_small_log(const struct sl_server_options *options,
                              const struct sl_engine *engine)
{
    uint64_t most = sl_engine_payload_max(engine);

    if (options->http.body_size_max > most)
        sl_log(SL_LOG_WARN, "server", "log_files_small",
               "reason=\"the data directory was made with a smaller --wal-file-bytes, which stays: "
               "its log files take no more than %" PRIu64 " bytes at once\" "
               "todo=\"lower --max-body-bytes to that: what is larger is refused\"",
               most);
}

/* Descriptors that connections leave to others. */
static uint64_t reserved_descriptors(const struct sl_server_options *options, unsigned shards)
{
    return DESCRIPTORS_RESERVED + (uint64_t)shards * DESCRIPTORS_OF_SHARD +
           options->hooks.deliveries_max;
}

/*
 * As many descriptors as the kernel lets us have; returns how many. The kernel doubles their table
 * when it is full, and a thread that needs it then waits for all others to let go of the old one:
 * 8 ms. So it is grown to what may be needed as long as there is one thread.
 */
static uint64_t raise_descriptor_limit(const struct sl_server_options *options)
{
    uint64_t needed = options->http.connections_max + reserved_descriptors(options, SL_SHARDS_MAX);
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return needed;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 && getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return needed;
    if (limit.rlim_cur < needed)
        needed = limit.rlim_cur;
    int last = dup2(STDERR_FILENO, (int)needed - 1);
    if (last >= 0)
        close(last);
    return limit.rlim_cur;
}

/* No more connections than that, less what others need. False: that is too few. */
static bool share_descriptors(struct sl_server_options *options, uint64_t descriptors,
                              unsigned shards)
{
    struct sl_http_options *http = &options->http;
    uint64_t reserved = reserved_descriptors(options, shards);

    if (descriptors < reserved + CONNECTIONS_MIN) {
        fprintf(stderr,
                "sluice: the limit of open files is %" PRIu64 ", and --shards %u with "
                "--webhooks-max %u needs at least %" PRIu64
                ": raise it (ulimit -n, LimitNOFILE=)\n",
                descriptors, shards, options->hooks.deliveries_max, reserved + CONNECTIONS_MIN);
        return false;
    }
    http->descriptors_max = descriptors - reserved;
    if (http->descriptors_max >= http->connections_max)
        return true;
    sl_log(SL_LOG_WARN, "server", "connections_max_lowered",
           "from=%u to=%" PRIu64 " descriptors=%" PRIu64
           " reason=\"the hard limit of open files is low: raise it "
           "(ulimit -Hn, LimitNOFILE=), or lower --connections-max\"",
           http->connections_max, http->descriptors_max, descriptors);
    http->connections_max = (unsigned)http->descriptors_max;
    return true;
}

static uint64_t first_signal_ms; /* main's, written before the handler is there */

static void on_second_signal(int number)
{
    (void)number;
    if (sl_clock_running_ms() - first_signal_ms >= SECOND_SIGNAL_MS)
        _exit(SL_EXIT_USAGE);
}

/* Returns the pause until the next look. */
static uint64_t give_memory_back(void)
{
    uint64_t begun_ns = sl_clock_running_ns();
    sl_memory_give_back();
    uint64_t pause_ms = (sl_clock_running_ns() - begun_ns) / 1000 * GIVE_BACK_PAUSE_TIMES / 1000;
    if (pause_ms > GIVE_BACK_PAUSE_MAX_MS)
        return GIVE_BACK_PAUSE_MAX_MS;
    return pause_ms > GIVE_BACK_PAUSE_MIN_MS ? pause_ms : GIVE_BACK_PAUSE_MIN_MS;
}

static void wait_for_signal(const sigset_t *signals)
{
    struct sigaction second = { .sa_handler = on_second_signal };
    uint64_t pause_ms = GIVE_BACK_PAUSE_MIN_MS;
    int number;

    for (;;) {
        struct timespec pause = { (time_t)(pause_ms / 1000), (long)(pause_ms % 1000) * 1000000 };
        number = sigtimedwait(signals, NULL, &pause);
        if (number > 0)
            break;
        pause_ms = give_memory_back();
    }
    first_signal_ms = sl_clock_running_ms();
    sl_log(SL_LOG_INFO, "server", "stopping", "signal=%s", strsignal(number));
    sigaction(SIGTERM, &second, NULL);
    sigaction(SIGINT, &second, NULL);
    sigaction(SIGHUP, &second, NULL);
    sigprocmask(SIG_UNBLOCK, signals, NULL);
}

/* Serves until a signal comes; the hooks, which were opened, begin when they can be called back. */
static int run_front(struct sl_server_options *options, struct sl_engine *engine,
                     struct sl_metrics_registry *registry, const sigset_t *signals)
{
    struct sl_front *front = sl_front_start(engine, registry, &options->http, options->addresses,
                                            options->address_count);
    if (front == NULL)
        return SL_EXIT_USAGE;
    sl_hooks_start(options->http.hooks);
    struct sl_control *control = NULL;
    if (options->engine.data_directory != NULL)
        control = sl_control_start(engine, options->http.hooks, options->engine.data_directory);
    for (unsigned i = 0; i < options->address_count; i++)
        printf("sluice ready on %s\n", sl_front_url(front, i));
    fflush(stdout);
    wait_for_signal(signals);
    sl_front_drain(front);
    sl_hooks_drain(options->http.hooks, options->http.drain_timeout_ms);
    sl_front_destroy(&front);
    /* With 0 everything was to be cut. */
    if (options->http.drain_timeout_ms > 0 &&
        sl_clock_running_ms() - first_signal_ms >= options->http.drain_timeout_ms)
        sl_log(SL_LOG_WARN, "server", "drain_timed_out",
               "reason=\"what was not answered by then was cut\" "
               "todo=\"raise --drain-timeout-ms if that was too early\"");
    sl_control_stop(&control);
    return SL_EXIT_CLEAN;
}

/* Metrics that stay as they are now; `out` must outlive the front. */
static void describe(struct sl_server_options *options, const struct sl_engine *engine,
                     struct sl_buffer *out)
{
    options->engine.shards = sl_engine_shards(engine); /* a directory may have decided it */
    sl_metrics_render_head(out, "sluice_build_info", "gauge", "Which server this is.");
    sl_buffer_append_text(out, "sluice_build_info{version=\"" SL_VERSION "\"} 1\n");
    sl_metrics_render_head(out, "process_start_time_seconds", "gauge",
                           "When it was started, since 1970.");
    sl_buffer_printf(out, "process_start_time_seconds %.3f\n", (double)sl_clock_wall_ms() / 1e3);
    sl_server_options_metrics(options, out);
    options->http.metrics = sl_buffer_bytes(out);
}

static int run(struct sl_server_options *options, struct sl_engine *engine,
               struct sl_metrics_registry *registry, const sigset_t *signals)
{
    options->hooks.engine = engine;
    options->hooks.registry = registry;
    enum sl_err err = sl_hooks_open(&options->hooks, &options->http.hooks);
    if (err != SL_OK) {
        fprintf(stderr, "sluice: the subscriptions do not start: %s\n", sl_err_text(err));
        return (int)sl_exit_code_of(err);
    }
    int code = run_front(options, engine, registry, signals);
    sl_hooks_stop(&options->http.hooks);
    return code;
}

/* --exit-on-io-error: a supervisor is to start another one. What is durable is on the disk. */
static void on_storage_failed(void *context)
{
    (void)context;
    _exit(SL_EXIT_STORAGE_FAILED);
}

static int print(const char *heading, void (*table)(struct sl_buffer *))
{
    struct sl_buffer text = { NULL, 0, 0 };

    table(&text);
    printf("%s%.*s", heading, (int)text.size, (const char *)text.data);
    sl_buffer_deinit(&text);
    return SL_EXIT_CLEAN;
}

static int print_options(int argument_count, char *const *arguments)
{
    static const char options_usage[] = "sluice options\n"
                                        "\n"
                                        "Prints the options of sluice serve as a Markdown table.\n";
    const struct sl_tool_arguments wanted = { options_usage, NULL, 0, NULL, 0 };
    enum sl_exit_code code;
    if (!sl_tool_parse(&wanted, argument_count, arguments, &code))
        return (int)code;
    return print("", sl_server_options_markdown);
}

static int print_version(int argument_count, char *const *arguments)
{
    const struct sl_tool_arguments wanted = { "sluice --version\n", NULL, 0, NULL, 0 };
    enum sl_exit_code code;
    if (!sl_tool_parse(&wanted, argument_count, arguments, &code))
        return (int)code;
    printf("sluice %s\n", SL_VERSION);
    return SL_EXIT_CLEAN;
}

static int serve(int argument_count, char *const *arguments)
{
    struct sl_server_options options;
    struct sl_buffer problem = { NULL, 0, 0 };
    struct sl_engine *engine = NULL;
    int code = SL_EXIT_USAGE;
    struct sl_engine_status status;
    sigset_t signals;

    for (int i = 0; i < argument_count; i++)
        if (strcmp(arguments[i], "--help") == 0 || strcmp(arguments[i], "-h") == 0)
            return print(serve_usage, sl_server_options_help);
    /* Who reads the log may go during recovery. */
    signal(SIGPIPE, SIG_IGN);
    /* From here on a signal waits until there is something to drain. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    if (!sl_server_options_init(&options, argument_count, arguments, environ, &problem)) {
        fprintf(stderr, "sluice: %.*s\n", (int)problem.size, (const char *)problem.data);
    } else {
        sl_memory_keep_pages();
        struct sl_metrics_registry *registry = sl_metrics_registry_create();
        fill_in(&options);
        uint64_t descriptors = raise_descriptor_limit(&options);
        options.engine.metrics = registry;
        if (options.exit_on_io_error)
            options.engine.on_storage_failed = on_storage_failed;
        enum sl_err err = sl_engine_open(&options.engine, &engine);
        if (err != SL_OK) {
            fprintf(stderr, "sluice: the engine does not start: %s\n", sl_err_text(err));
            if (err == SL_ERR_DATA_CORRUPT)
                fprintf(stderr, "sluice: what is lost and how to go on says: sluice fsck %s\n",
                        sl_tool_word(options.engine.data_directory));
            code = (int)sl_exit_code_of(err);
        } else {
            warn_of_small_log(&options, engine);
            sl_engine_status(engine, &status);
            if (share_descriptors(&options, descriptors, status.shards)) {
                struct sl_buffer metrics = { NULL, 0, 0 };
                describe(&options, engine, &metrics);
                code = run(&options, engine, registry, &signals);
                sl_buffer_deinit(&metrics);
            }
            sl_engine_close(&engine);
            if (code == SL_EXIT_CLEAN)
                sl_log(SL_LOG_INFO, "server", "stopped", "ms=%" PRIu64,
                       sl_clock_running_ms() - first_signal_ms);
        }
        sl_metrics_registry_destroy(&registry);
    }
    sl_buffer_deinit(&problem);
    sl_server_options_deinit(&options);
    return code;
}

/* A word of the command line, and what it does with those behind it. */
static const struct command {
    const char *name;
    int (*run)(int argument_count, char *const *arguments);
} commands[] = {
    { "serve", serve },
    { "fsck", sl_fsck_main },
    { "dump", sl_dump_main },
    { "backup", sl_backup_main },
    { "restore", sl_restore_main },
    { "rotate-keys", sl_rotate_keys_main },
    { "options", print_options },
    { "--version", print_version },
};

int main(int argument_count, char **arguments)
{
    const char *command = argument_count > 1 ? arguments[1] : "";

    /* A file that may not be larger (ulimit -f) is an error of the write, not a signal. */
    signal(SIGXFSZ, SIG_IGN);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(command, commands[i].name) == 0)
            return commands[i].run(argument_count - 2, arguments + 2);
    bool asked = strcmp(command, "--help") == 0 || strcmp(command, "-h") == 0;
    if (!asked && *command != '\0')
        fprintf(stderr, "sluice: there is no command \"%s\"\n", command);
    fputs(usage, asked ? stdout : stderr);
    return asked ? SL_EXIT_CLEAN : SL_EXIT_USAGE;
}
