#include "load/plan.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "protocol/number.h"

#define BINARY_TYPE "application/octet-stream"
#define JSON_TYPE "application/json"

/* One NAME=VALUE. */
struct option {
    const char *name;
    size_t offset;     /* of the member */
    bool is_text;      /* a const char *, else a uint64_t */
    uint64_t min, max; /* of a number */
    uint64_t initial;  /* of a number */
    const char *text;  /* initial value of a text */
    const char *what;  /* for the help */
};

#define PLAN(member) offsetof(struct load_plan, member)
#define ROLE(member) offsetof(struct load_role, member)

/* clang-format off */
static const struct option plan_options[] = {
    { "host", PLAN(host), true, 0, 0, 0, "127.0.0.1", "IPv4 address of the server" },
    { "port", PLAN(port), false, 1, 65535, 4437, NULL, "port of the server" },
    { "path", PLAN(path), true, 0, 0, 0, "/v1/stream/", "streams are at PATH SET \"/\" 8 digits" },
    { "threads", PLAN(threads), false, 1, LOAD_THREADS_MAX, 1, NULL, "threads of the generator" },
    { "warmup-ms", PLAN(warmup_ms), false, 0, 3600000, 1000, NULL, "load before the measurement" },
    { "measure-ms", PLAN(measure_ms), false, 0, 3600000, 5000, NULL,
      "measurement; 0: until the roles with a count are done" },
    { "drain-ms", PLAN(drain_ms), false, 0, 600000, 3000, NULL, "wait for answers at the end" },
};

static const struct option role_options[] = {
    { "connections", ROLE(connections), false, 1, 1000000, 1, NULL, "held open all the time" },
    { "depth", ROLE(depth), false, 1, LOAD_DEPTH_MAX, 1, NULL, "pipelined requests each" },
    { "rate", ROLE(rate), false, 0, 100000000, 0, NULL,
      "requests per second in all, whether answers come or not; 0: as answers come" },
    { "count", ROLE(count), false, 0, UINT64_MAX, 0, NULL,
      "the role ends after so many requests; create and delete: one per stream" },
    { "streams", ROLE(streams), false, 1, LOAD_STREAMS_MAX, 1, NULL, "streams it knows" },
    { "size", ROLE(size), false, 1, 1 << 30, 256, NULL, "bytes of a body" },
    { "json", ROLE(json), false, 0, 100000, 0, NULL, "messages in a body, which is JSON then" },
    { "producers", ROLE(producers), false, 0, 1, 0, NULL, "1: connections are producers" },
    { "lockstep", ROLE(lockstep), false, 0, 1, 0, NULL,
      "1: an append waits until all live readers have the one before; for one thread" },
    { "etag", ROLE(etag), false, 0, 1, 0, NULL, "1: reads know the ETag and expect 304" },
    { "pick", ROLE(pick), false, 0, LOAD_PICK_OWN, LOAD_PICK_DEFAULT, NULL,
      "stream of a request: 1 random, 2 in turn, 3 one per connection" },
    { "set", ROLE(set), true, 0, 0, 0, "s", "names its streams" },
    { "type", ROLE(type), true, 0, 0, 0, NULL, "Content-Type; default: binary, or JSON" },
};
/* clang-format on */

enum {
    PLAN_OPTIONS = sizeof plan_options / sizeof plan_options[0],
    ROLE_OPTIONS = sizeof role_options / sizeof role_options[0],
};

static const struct kind {
    const char *word; /* on the command line */
    const char *what; /* for the help */
} kinds[] = {
#define X(KIND, word, what) { word, what },
    LOAD_KIND_LIST(X)
#undef X
};

enum { KINDS = sizeof kinds / sizeof kinds[0] };

const char *load_kind_word(enum load_kind kind)
{
    return kinds[kind].word;
}

bool load_kind_is_live(enum load_kind kind)
{
    return kind == LOAD_LONG_POLL || kind == LOAD_SSE;
}

static void print_options(const struct option *options, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const struct option *option = &options[i];
        if (option->is_text)
            printf("  %-12s %-16s %s\n", option->name, option->text != NULL ? option->text : "",
                   option->what);
        else
            printf("  %-12s %-16llu %s\n", option->name, (unsigned long long)option->initial,
                   option->what);
    }
}

static void print_help(void)
{
    printf(
        "usage: sluice-bench [NAME=VALUE...] ROLE [NAME=VALUE...] [ROLE [NAME=VALUE...]]...\n"
        "Loads a Durable Streams server; prints the result as JSON, progress to standard error.\n"
        "\nroles: each connection, again and again,\n");
    for (unsigned i = 0; i < KINDS; i++)
        printf("  %-12s %s\n", kinds[i].word, kinds[i].what);
    printf("\nfor the run (name, default, what):\n");
    print_options(plan_options, PLAN_OPTIONS);
    printf("\nfor the role before (name, default, what):\n");
    print_options(role_options, ROLE_OPTIONS);
}

static void set_defaults(void *object, const struct option *options, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        char *member = (char *)object + options[i].offset;
        if (options[i].is_text)
            *(const char **)(void *)member = options[i].text;
        else
            *(uint64_t *)(void *)member = options[i].initial;
    }
}

static bool set_option(void *object, const struct option *options, unsigned count, const char *word)
{
    size_t size = strcspn(word, "=");
    const char *value = word + size + 1;

    for (unsigned i = 0; i < count; i++) {
        const struct option *option = &options[i];
        char *member = (char *)object + option->offset;
        if (strlen(option->name) != size || memcmp(option->name, word, size) != 0)
            continue;
        if (option->is_text) {
            *(const char **)(void *)member = value;
            return true;
        }
        uint64_t *number = (uint64_t *)(void *)member;
        if (!sl_number_parse(sl_bytes_of(value), option->max, number) || *number < option->min) {
            fprintf(stderr, "sluice-bench: %s: not a number from %llu to %llu\n", word,
                    (unsigned long long)option->min, (unsigned long long)option->max);
            return false;
        }
        return true;
    }
    fprintf(stderr, "sluice-bench: %s: no such option here; see --help\n", word);
    return false;
}

/* Begins a role; NULL: there is no such kind, or no room. */
static struct load_role *begin_role(struct load_plan *plan, const char *word)
{
    for (unsigned kind = 0; kind < KINDS; kind++) {
        if (strcmp(kinds[kind].word, word) != 0 || plan->role_count == LOAD_ROLES_MAX)
            continue;
        struct load_role *role = &plan->roles[plan->role_count++];
        set_defaults(role, role_options, ROLE_OPTIONS);
        role->kind = (enum load_kind)kind;
        return role;
    }
    fprintf(stderr, "sluice-bench: %s: no role, or one too many; see --help\n", word);
    return NULL;
}

static enum load_pick default_pick(const struct load_role *role)
{
    switch (role->kind) {
    case LOAD_CREATE:
    case LOAD_DELETE:
        return LOAD_PICK_TURN;
    case LOAD_APPEND:
        return role->producers ? LOAD_PICK_OWN : LOAD_PICK_RANDOM;
    case LOAD_READ:
        return role->etag ? LOAD_PICK_OWN : LOAD_PICK_RANDOM;
    case LOAD_LONG_POLL:
    case LOAD_SSE:
        return LOAD_PICK_OWN;
    }
    return LOAD_PICK_RANDOM;
}

/* Fills in what the options leave open; false: they do not go together. */
static bool complete_role(struct load_role *role)
{
    bool is_storm = role->kind == LOAD_CREATE || role->kind == LOAD_DELETE;

    if (is_storm && role->count == 0)
        role->count = role->streams;
    if (role->pick == LOAD_PICK_DEFAULT)
        role->pick = default_pick(role);
    if (role->type == NULL)
        role->type = role->json ? JSON_TYPE : BINARY_TYPE;
    if (role->depth > 1 && !is_storm && role->kind != LOAD_APPEND) {
        fprintf(stderr, "sluice-bench: %s: a reader asks for the next page when it has one\n",
                load_kind_word(role->kind));
        return false;
    }
    return true;
}

static bool check(const struct load_plan *plan)
{
    bool ends = plan->measure_ms > 0;

    for (unsigned i = 0; i < plan->role_count; i++) {
        ends = ends || plan->roles[i].count > 0;
        if (plan->roles[i].lockstep && plan->threads > 1) {
            fprintf(stderr, "sluice-bench: lockstep is for one thread\n");
            return false;
        }
    }
    if (plan->role_count == 0 || !ends) {
        fprintf(stderr, "sluice-bench: no role, or nothing that ends the run; see --help\n");
        return false;
    }
    return true;
}

bool load_plan_parse(struct load_plan *plan, int count, char *const *arguments, bool *help)
{
    struct load_role *role = NULL;

    *plan = (struct load_plan){ .role_count = 0 };
    set_defaults(plan, plan_options, PLAN_OPTIONS);
    for (int i = 1; i < count; i++) {
        const char *word = arguments[i];
        *help = strcmp(word, "--help") == 0;
        if (*help) {
            print_help();
            return false;
        }
        if (strchr(word, '=') == NULL) {
            role = begin_role(plan, word);
            if (role == NULL)
                return false;
        } else if (role == NULL ? !set_option(plan, plan_options, PLAN_OPTIONS, word)
                                : !set_option(role, role_options, ROLE_OPTIONS, word)) {
            return false;
        }
    }
    for (unsigned i = 0; i < plan->role_count; i++) {
        if (!complete_role(&plan->roles[i]))
            return false;
    }
    return check(plan);
}
