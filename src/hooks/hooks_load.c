/*
 * Reads all subscriptions back, before anybody is served: from each one's newest complete stream.
 * What their streams did meanwhile is found out by asking for all of them, and patterns are
 * compared with all names: a stream that was made known by an append just before a crash is linked
 * again. If there is very much to compare, the rest is done afterwards, a little in each turn.
 */
#include <stdlib.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/memory.h"
#include "hooks/hooks_internal.h"
#include "protocol/json.h"
#include "protocol/json_value.h"
#include "protocol/number.h"

enum {
    HEADS_MAX = 1024, /* streams asked for at the same time */
    WAIT_MS = 1000,   /* between looks whether an answer has come */
    /* Of names with patterns before anybody is served; the worst take 20 us each. */
    LOAD_WORK_MAX = 50000,
};

/* Names, one behind the other. */
struct names {
    struct sl_buffer text;  /* owned */
    struct sl_buffer sizes; /* owned: uint16_t each */
};

static void names_deinit(struct names *names)
{
    sl_buffer_deinit(&names->text);
    sl_buffer_deinit(&names->sizes);
}

/* Lists the names that begin so. */
static enum sl_err list(struct sl_hooks *hooks, struct sl_bytes prefix, struct names *names)
{
    uint64_t cursor = 0;
    enum sl_err err;
    do {
        struct sl_operation *op = sl_session_take(hooks->session, SL_OPERATION_LIST);
        op->u.list.prefix = prefix;
        op->u.list.cursor = cursor;
        err = sl_session_run(hooks->session, op);
        for (uint32_t i = 0; i < op->u.list.name_count && err == SL_OK; i++) {
            struct sl_bytes name = op->u.list.names[i];
            uint16_t size = (uint16_t)name.size;
            sl_buffer_append_bytes(&names->text, name);
            sl_buffer_append(&names->sizes, &size, sizeof(size));
        }
        cursor = op->u.list.next_cursor;
        sl_session_put(hooks->session, &op);
    } while (err == SL_OK && cursor != 0);
    return err;
}

/* The names as an array, which the caller frees. */
static struct sl_bytes *array_of(const struct names *names, size_t *count)
{
    const uint16_t *sizes = (const void *)names->sizes.data;
    const uint8_t *at = names->text.data;
    *count = names->sizes.size / sizeof(*sizes);
    struct sl_bytes *array = sl_memory_alloc(*count * sizeof(*array));
    for (size_t i = 0; i < *count; i++) {
        array[i] = sl_bytes(at, sizes[i]);
        at += sizes[i];
    }
    return array;
}

/* ---- the streams of the hooks ---- */

/* "__ds/subscriptions/<id>/<number>", taken apart. */
static bool parse_name(struct sl_bytes name, struct sl_bytes *id, uint64_t *number)
{
    size_t start = sizeof(SLI_STATE_PREFIX) - 1, slash = name.size;
    while (slash > start && name.data[slash - 1] != '/')
        slash--;
    if (slash <= start + 1 || slash - 1 - start > SL_SUBSCRIPTION_ID_SIZE_MAX)
        return false;
    *id = sl_bytes(name.data + start, slash - 1 - start);
    return sl_number_parse(sl_bytes_from(name, slash), UINT64_MAX, number) && *number > 0;
}

/* A page comes in pieces, which may end inside a record: it has to be read to its end. */
static enum sl_err read_all(struct sl_hooks *hooks, struct sl_bytes name, struct sl_buffer *text)
{
    enum sl_err err;
    uint64_t id = 0, next = 0, page_end = 0, tail = 0;
    do {
        struct sl_operation *op = sl_session_take(hooks->session, SL_OPERATION_READ);
        struct sl_read *read = &op->u.read;
        read->name = name;
        read->from = SL_READ_FROM_OFFSET;
        read->offset = next;
        read->id = id;
        read->limit = next < page_end ? page_end : 0;
        err = sl_session_run(hooks->session, op);
        for (uint32_t i = 0; i < read->slice_count && err == SL_OK; i++)
            sl_buffer_append_bytes(text, read->slices[i]);
        id = op->stream.id;
        next = read->next;
        page_end = read->page_end;
        tail = op->stream.tail;
        sl_session_put(hooks->session, &op);
    } while (err == SL_OK && next < tail);
    return err;
}

static enum sl_err delete (struct sl_hooks *hooks, struct sl_bytes name) {
    struct sl_operation *op = sl_session_take(hooks->session, SL_OPERATION_DELETE);
    op->u.remove.name = name;
    enum sl_err err = sl_session_run(hooks->session, op);
    sl_session_put(hooks->session, &op);
    return err;
}

/* What reads a record expects JSON, minified, but this was on a disk. */
static bool is_record(struct sl_bytes record)
{
    struct sl_json_split split = { .count = 0 };
    bool is_valid = sl_json_is_object(record) && sl_json_split(record, &split) == SL_OK &&
                    split.messages.size == record.size + 1 &&
                    memcmp(split.messages.data, record.data, record.size) == 0;
    sl_json_split_deinit(&split);
    return is_valid;
}

/* Makes the subscription that the records say. *complete: they say everything. */
static enum sl_err make(struct sl_hooks *hooks, struct sl_bytes id, struct sl_bytes records,
                        struct sli_hook **hook, bool *complete)
{
    struct sl_bytes record;
    struct sli_hook *made = sli_hook_create();
    *hook = NULL;
    *complete = false;
    if (!sl_json_next(&records, &record) || !is_record(record) ||
        !sl_subscription_read_first_record(record, &made->subscription, id)) {
        sl_memory_free(made);
        return SL_ERR_DATA_CORRUPT;
    }
    sli_hooks_add(hooks, made);
    bool ok = true;
    while (ok && sl_json_next(&records, &record))
        ok = is_record(record) &&
             sl_subscription_apply_record(record, &hooks->registry, &made->subscription,
                                          &hooks->now, complete);
    if (!ok || !*complete) {
        sli_hooks_remove(hooks, &made);
        return ok ? SL_OK : SL_ERR_DATA_CORRUPT;
    }
    sl_buffer_deinit(&made->subscription.unlinked);
    *hook = made;
    return SL_OK;
}

/* One stream of state; `is_needed`: no newer one of its subscription is complete. */
static enum sl_err load_stream(struct sl_hooks *hooks, struct sl_bytes name, bool is_needed,
                               bool *is_loaded)
{
    struct sl_buffer text = { NULL, 0, 0 };
    struct sl_bytes id;
    uint64_t number;
    struct sli_hook *hook = NULL;
    enum sl_err err = SL_OK;
    *is_loaded = false;
    if (!parse_name(name, &id, &number))
        return SL_ERR_DATA_CORRUPT;
    if (is_needed)
        err = read_all(hooks, name, &text);
    if (is_needed && err == SL_OK)
        err = make(hooks, id, sl_buffer_bytes(&text), &hook, is_loaded);
    if (hook != NULL) {
        hook->is_made = true;
        hook->durable_generation = hook->subscription.generation;
        hook->store.number = hook->store.next_number = number;
        hook->store.wake_generation = hook->subscription.generation;
        hook->store.size = hook->store.complete_size = text.size;
    }
    sl_buffer_deinit(&text);
    return err == SL_OK && !*is_loaded ? delete (hooks, name) : err;
}

static int compare_names(const void *left, const void *right)
{
    const struct sl_bytes *a = left, *b = right;
    size_t size = a->size < b->size ? a->size : b->size;
    int order = memcmp(a->data, b->data, size);
    return order != 0 ? order : (a->size > b->size) - (a->size < b->size);
}

static bool same_subscription(struct sl_bytes a, struct sl_bytes b)
{
    struct sl_bytes a_id, b_id;
    uint64_t number;
    return parse_name(a, &a_id, &number) && parse_name(b, &b_id, &number) &&
           sl_bytes_equal(a_id, b_id);
}

/*
 * The newest stream of each subscription comes last in the order of names. If it is damaged, the
 * subscription is not there, unless an older one is complete; it stays until the subscription, made
 * again, has another one.
 */
static enum sl_err load_streams(struct sl_hooks *hooks)
{
    struct names names = { { NULL, 0, 0 }, { NULL, 0, 0 } };
    size_t count;
    enum sl_err err = list(hooks, sl_bytes_of(SLI_STATE_PREFIX), &names);
    struct sl_bytes *sorted = array_of(&names, &count);
    bool is_loaded = false;
    if (count > 0)
        qsort(sorted, count, sizeof(*sorted), compare_names);
    for (size_t i = count; i-- > 0 && err == SL_OK;) {
        bool is_older = i + 1 < count && same_subscription(sorted[i], sorted[i + 1]);
        bool is_needed = !is_older || !is_loaded;
        bool loaded_now;
        err = load_stream(hooks, sorted[i], is_needed, &loaded_now);
        is_loaded = loaded_now || (is_older && is_loaded);
        if (err != SL_OK)
            sl_log(SL_LOG_ERROR, "hooks", "not_loaded",
                   "code=%s stream=%.*s todo=\"if it is damaged, make the subscription again with "
                   "PUT: until then it wakes nobody\"",
                   sl_err_code(err), (int)sorted[i].size, (const char *)sorted[i].data);
        if (err == SL_ERR_DATA_DAMAGED || err == SL_ERR_DATA_CORRUPT) {
            sl_metrics_add(hooks->metrics, SL_METRIC_SUBSCRIPTIONS_DAMAGED, 1);
            err = SL_OK;
        }
    }
    sl_memory_free(sorted);
    names_deinit(&names);
    return err;
}

/* ---- what became of the streams that are linked ---- */

struct heads {
    size_t under_way;
    enum sl_err err; /* the first one that says nothing about a stream */
};

struct head {
    struct sli_completion completion;
    struct heads *heads;  /* borrowed */
    struct sl_bytes name; /* borrowed */
};

/* A stream of another incarnation has nothing of what was acknowledged. */
static void compare_incarnation(struct sl_hooks *hooks, struct sl_followed *stream, uint64_t id,
                                uint64_t tail)
{
    if (stream == NULL)
        return; /* it has just expired, and its shard has said so */
    struct sl_link *head = &stream->cursors;
    bool is_kept = false;
    stream->id = id;
    stream->tail = tail;
    stream->is_followed = id != 0;
    for (struct sl_link *link = head->next, *next; link != head; link = next) {
        struct sl_cursor *cursor = SL_OBJECT(link, struct sl_cursor, of_stream);
        bool is_last = link->next == head;
        next = link->next;
        if (cursor->stream_id == 0 && id != 0) {
            sl_cursor_place(cursor, cursor->acked);
        } else if (cursor->stream_id != id) {
            sl_registry_unlink(&hooks->registry, &cursor);
            if (is_last && !is_kept)
                return; /* with the stream */
            continue;
        }
        is_kept = true;
        sl_cursor_update(cursor);
    }
}

static void on_head(struct sl_hooks *hooks, struct sli_completion *completion,
                    struct sl_operation *op)
{
    struct head *head = SL_OBJECT(completion, struct head, completion);
    struct sl_followed *stream = sl_registry_find_stream(&hooks->registry, head->name);
    head->heads->under_way--;
    if (op->err == SL_OK)
        compare_incarnation(hooks, stream, op->stream.id, op->stream.tail);
    else if (op->err == SL_ERR_NOT_FOUND || op->err == SL_ERR_GONE)
        compare_incarnation(hooks, stream, 0, 0);
    else
        head->heads->err = op->err;
    sl_session_put(hooks->session, &op);
    sl_memory_free(head);
}

/* Takes an answer; without one, waits. */
static void await(struct sl_hooks *hooks)
{
    int fd = sl_session_fd(hooks->session);
    struct sl_operation *op = sl_session_poll(hooks->session);
    if (op != NULL) {
        struct sli_completion *completion = op->context;
        completion->on_done(hooks, completion, op);
    } else if (sl_session_sleep(hooks->session)) {
        sl_courier_wait(hooks->courier, &fd, 1, WAIT_MS);
    }
    sl_session_wake(hooks->session);
}

static void wait_for(struct sl_hooks *hooks, const struct heads *heads, size_t at_most)
{
    while (heads->under_way > at_most)
        await(hooks);
}

/* Asks for all of them; their names live until all have answered. */
static enum sl_err ask(struct sl_hooks *hooks, const struct sl_bytes *names, size_t count)
{
    struct heads heads = { .under_way = 0, .err = SL_OK };
    for (size_t i = 0; i < count; i++) {
        struct head *head = sl_memory_alloc(sizeof(*head));
        *head = (struct head){ { on_head }, &heads, names[i] };
        heads.under_way++;
        sli_hooks_submit_head(hooks, names[i], &head->completion);
        wait_for(hooks, &heads, HEADS_MAX);
    }
    wait_for(hooks, &heads, 0);
    return heads.err;
}

/* The names are copied: streams that nobody links any more are forgotten meanwhile. */
static enum sl_err ask_linked(struct sl_hooks *hooks)
{
    struct names names = { { NULL, 0, 0 }, { NULL, 0, 0 } };
    const struct sl_table *table = &hooks->registry.streams;
    size_t count;
    for (size_t i = 0; i < table->buckets; i++)
        for (struct sl_table_node *node = sl_table_at(table, i); node != NULL; node = node->next) {
            struct sl_followed *stream = SL_OBJECT(node, struct sl_followed, node);
            sl_buffer_append_bytes(&names.text, sl_followed_name(stream));
            sl_buffer_append(&names.sizes, &stream->name_size, sizeof(stream->name_size));
        }
    struct sl_bytes *array = array_of(&names, &count);
    enum sl_err err = ask(hooks, array, count);
    sl_memory_free(array);
    names_deinit(&names);
    return err;
}

/* ---- what patterns match ---- */

/* A stream that is asked whether it has bytes. */
struct sighting {
    struct sli_completion completion;
    struct sli_scan *scan; /* borrowed */
    struct sl_bytes name;  /* borrowed from the page */
};

/*
 * All names are compared with all patterns, a page at a time. What is not found before somebody is
 * served is found afterwards, between everything else.
 */
struct sli_scan {
    struct sli_completion completion;
    struct sl_operation *page; /* owned: names; NULL: they are being asked for */
    uint32_t next;             /* name of the page that is to be looked at */
    size_t under_way;          /* of sightings */
    enum sl_err err;           /* the first thing that went wrong */
    struct sighting sightings[SL_LIST_NAMES_MAX];
};

struct candidate {
    const struct sl_followed *stream; /* NULL: nobody links it */
    struct sl_bytes name;
    bool is_wanted; /* by a pattern that has no link to it */
};

static void on_candidate(void *context, struct sl_subscription *subscription)
{
    struct candidate *candidate = context;
    const struct sl_cursor *cursor =
        candidate->stream == NULL ? NULL : sl_subscription_find(subscription, candidate->stream);
    candidate->is_wanted |= sli_hook_may_link(sli_hook_of(subscription), candidate->name) &&
                            (cursor == NULL || !cursor->is_glob);
}

/* Creating a stream links nothing, whatever a fork inherits: its first own bytes do. */
static void on_sighted(struct sl_hooks *hooks, struct sli_completion *completion,
                       struct sl_operation *op)
{
    struct sighting *sighting = SL_OBJECT(completion, struct sighting, completion);
    struct sli_scan *scan = sighting->scan;
    struct sl_changed found = { .id = op->stream.id, .tail = op->stream.tail };
    found.name = sighting->name;
    if (op->err == SL_OK && found.tail > op->stream.base)
        sli_hooks_on_found(hooks, &found);
    else if (op->err != SL_OK && op->err != SL_ERR_NOT_FOUND && op->err != SL_ERR_GONE)
        scan->err = op->err;
    sl_session_put(hooks->session, &op);
    scan->under_way--;
}

static void look_at(struct sl_hooks *hooks, struct sli_scan *scan, struct sl_bytes name)
{
    struct candidate candidate = { sl_registry_find_stream(&hooks->registry, name), name, false };
    hooks->turn_work += 1 + sl_registry_match(&hooks->registry, name, on_candidate, &candidate);
    if (!candidate.is_wanted)
        return;
    struct sighting *sighting = &scan->sightings[scan->next];
    *sighting = (struct sighting){ { on_sighted }, scan, name };
    scan->under_way++;
    sli_hooks_submit_head(hooks, name, &sighting->completion);
}

static void on_page(struct sl_hooks *hooks, struct sli_completion *completion,
                    struct sl_operation *op)
{
    struct sli_scan *scan = SL_OBJECT(completion, struct sli_scan, completion);
    (void)hooks;
    scan->page = op;
    scan->next = 0;
    if (op->err != SL_OK)
        scan->err = op->err;
}

static void ask_for_page(struct sl_hooks *hooks, struct sli_scan *scan, uint64_t cursor)
{
    scan->completion.on_done = on_page;
    struct sl_operation *op = sli_hooks_take(hooks, SL_OPERATION_LIST, &scan->completion);
    op->u.list.cursor = cursor;
    sl_session_submit(hooks->session, op);
}

/* All of the page is known. */
static void turn_page(struct sl_hooks *hooks, struct sli_scan *scan)
{
    uint64_t cursor = scan->page->err == SL_OK ? scan->page->u.list.next_cursor : 0;
    sl_session_put(hooks->session, &scan->page);
    if (cursor != 0) {
        ask_for_page(hooks, scan, cursor);
        return;
    }
    if (scan->err != SL_OK)
        sl_log(SL_LOG_WARN, "hooks", "not_matched", "code=%s", sl_err_code(scan->err));
    hooks->scan = NULL;
    sl_memory_free(scan);
}

/* At least one name, so that whatever else a turn does cannot keep it waiting. */
bool sli_hooks_scan(struct sl_hooks *hooks)
{
    struct sli_scan *scan = hooks->scan;
    if (scan == NULL || scan->page == NULL)
        return false;
    const struct sl_list *list = &scan->page->u.list;
    uint32_t count = scan->page->err == SL_OK ? list->name_count : 0;
    bool may_go_on = true;
    for (; scan->next < count && may_go_on; scan->next++) {
        look_at(hooks, scan, list->names[scan->next]);
        may_go_on = hooks->turn_work < SLI_TURN_WORK_MAX;
    }
    bool is_done = scan->next == count;
    if (is_done && scan->under_way == 0)
        turn_page(hooks, scan);
    return !is_done;
}

/* Until it ends, or has taken as long as nobody being served is worth. */
static void begin_scan(struct sl_hooks *hooks)
{
    if (hooks->registry.patterns.count == 0)
        return;
    hooks->scan = sl_memory_zalloc(sizeof(*hooks->scan));
    ask_for_page(hooks, hooks->scan, 0);
    while (hooks->scan != NULL && hooks->turn_work < LOAD_WORK_MAX)
        if (!sli_hooks_scan(hooks) && hooks->scan != NULL)
            await(hooks);
}

/* ---- all together ---- */

/* A wake that was under way goes on, and says the tails of today. */
static void resume_all(struct sl_hooks *hooks)
{
    const struct sl_table *table = &hooks->registry.subscriptions;
    for (size_t i = 0; i < table->buckets; i++)
        for (struct sl_table_node *node = sl_table_at(table, i); node != NULL; node = node->next) {
            struct sl_subscription *subscription = SL_OBJECT(node, struct sl_subscription, node);
            if (subscription->phase != SL_SUBSCRIPTION_IDLE)
                sl_subscription_take_snapshot(subscription);
            sli_hooks_touch(hooks, sli_hook_of(subscription));
        }
}

enum sl_err sli_hooks_load(struct sl_hooks *hooks)
{
    enum sl_err err = load_streams(hooks);
    hooks->registry.cursors_max = hooks->setup.links_max;
    hooks->registry.bytes_max = hooks->setup.bytes_max;
    if (err != SL_OK || hooks->registry.subscriptions.count == 0)
        return err;
    sli_hooks_begin_epoch(hooks);
    err = ask_linked(hooks);
    if (err != SL_OK)
        return err;
    begin_scan(hooks);
    resume_all(hooks);
    if (sl_keys_are_new(hooks->keys))
        sl_log(SL_LOG_WARN, "hooks", "keys_made",
               "kid=%s subscriptions=%zu reason=\"there were no keys, but there are subscriptions: "
               "their tokens end, and receivers have to learn the new key\"",
               sl_keys_id(hooks->keys), hooks->registry.subscriptions.count);
    sl_log(SL_LOG_INFO, "hooks", "loaded", "subscriptions=%zu links=%zu",
           hooks->registry.subscriptions.count, hooks->registry.cursor_count);
    return SL_OK;
}
