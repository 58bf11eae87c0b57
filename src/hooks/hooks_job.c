/*
 * What takes several steps: links are made at the tails of their streams, which their shards know,
 * and a pattern links what is there already. The links are there from the beginning, without a
 * place, so that a stream that is being asked for counts as wanted.
 */
#include "base/assert.h"
#include "base/memory.h"
#include "hooks/hooks_internal.h"

enum {
    HEADS_MAX = SL_LIST_NAMES_MAX, /* streams asked for at a time: a page of names */
};

/* A stream that is asked for its tail. */
struct head {
    struct sli_completion completion;
    struct sli_job *job;  /* borrowed */
    struct sl_bytes name; /* borrowed: as long as it is under way */
    bool is_explicit;     /* asked for by name; else a pattern matches */
};

struct sli_job {
    struct sli_hook *hook;            /* borrowed */
    struct sl_hooks_request *request; /* borrowed: to be answered at the end */
    const struct sl_bytes *streams;   /* borrowed: of the request or the configuration */
    size_t stream_count;
    size_t next_stream; /* of these: to be asked for */
    bool is_listing;    /* there are names that were not looked at */
    uint64_t list_cursor;
    struct sl_operation *list; /* owned: whose names are being asked for; or NULL */
    struct sli_completion list_done;
    size_t under_way; /* of heads */
    enum sl_err err;  /* the first thing that went wrong */
    struct head heads[HEADS_MAX];
};

static void advance(struct sl_hooks *hooks, struct sli_job *job);

/* Where the stream stands is known: the cursor begins there. */
static void place(struct sl_hooks *hooks, const struct head *head, const struct sl_operation *op)
{
    struct sl_subscription *subscription = &head->job->hook->subscription;
    bool is_there = op->err == SL_OK;
    if (is_there)
        sli_hooks_on_head(hooks, head->name, op->stream.id, op->stream.tail);
    else if (!head->is_explicit)
        return; /* removed since it was listed; without a place the link goes */
    struct sl_cursor *cursor;
    enum sl_err err = sl_registry_link(&hooks->registry, subscription, head->name, &cursor);
    if (err != SL_OK) {
        head->job->err = err;
        return;
    }
    if (is_there)
        cursor->stream->is_followed = true;
    if (is_there && cursor->stream->id == 0)
        cursor->stream->id = op->stream.id;
    if (head->is_explicit)
        cursor->is_explicit = true;
    else
        cursor->is_glob = true;
    /* A change from before the request may have placed it, too early. */
    if (!cursor->is_placed || !head->job->hook->is_made)
        sl_cursor_place(cursor, is_there ? (int64_t)op->stream.tail : 0);
    else
        sl_cursor_touch(cursor);
}

static void on_head(struct sl_hooks *hooks, struct sli_completion *completion,
                    struct sl_operation *op)
{
    struct head *head = SL_OBJECT(completion, struct head, completion);
    struct sli_job *job = head->job;
    if (op->err == SL_OK || op->err == SL_ERR_NOT_FOUND || op->err == SL_ERR_GONE)
        place(hooks, head, op);
    else if (job->err == SL_OK)
        job->err = op->err;
    sl_session_put(hooks->session, &op);
    if (--job->under_way > 0)
        return;
    if (job->list != NULL)
        sl_session_put(hooks->session, &job->list);
    advance(hooks, job);
}

static void ask(struct sl_hooks *hooks, struct sli_job *job, struct sl_bytes name, bool is_explicit)
{
    struct head *head = &job->heads[job->under_way++];
    struct sl_cursor *cursor;
    enum sl_err err = sl_registry_link(&hooks->registry, &job->hook->subscription, name, &cursor);
    if (err != SL_OK)
        job->err = err;
    *head = (struct head){ { on_head }, job, name, is_explicit };
    sli_hooks_submit_head(hooks, name, &head->completion);
}

/* ---- what a pattern matches ---- */

static void on_listed(struct sl_hooks *hooks, struct sli_completion *completion,
                      struct sl_operation *op)
{
    struct sli_job *job = SL_OBJECT(completion, struct sli_job, list_done);
    const struct sl_list *list = &op->u.list;
    job->list = op;
    job->list_cursor = list->next_cursor;
    job->is_listing = list->next_cursor != 0;
    if (op->err != SL_OK)
        job->err = op->err;
    hooks->turn_work += list->name_count;
    for (uint32_t i = 0; i < list->name_count && job->err == SL_OK; i++) {
        struct sl_bytes name = list->names[i];
        if (sli_hook_may_link(job->hook, name) &&
            sl_glob_matches(job->hook->subscription.glob, name))
            ask(hooks, job, name, false);
    }
    if (job->under_way > 0)
        return;
    sl_session_put(hooks->session, &job->list);
    advance(hooks, job);
}

static void list(struct sl_hooks *hooks, struct sli_job *job)
{
    job->list_done.on_done = on_listed;
    struct sl_operation *op = sli_hooks_take(hooks, SL_OPERATION_LIST, &job->list_done);
    op->u.list.prefix = sl_glob_prefix(job->hook->subscription.glob);
    op->u.list.cursor = job->list_cursor;
    sl_session_submit(hooks->session, op);
}

/* ---- the job ---- */

/* Links that have no place belong to streams that are gone, or to a job that has failed. */
static void drop_unplaced(struct sl_hooks *hooks, struct sl_subscription *subscription)
{
    struct sl_link *head = &subscription->cursors;
    for (struct sl_link *link = head->next, *next; link != head; link = next) {
        struct sl_cursor *cursor = SL_OBJECT(link, struct sl_cursor, of_subscription);
        next = link->next;
        if (!cursor->is_placed)
            sl_registry_unlink(&hooks->registry, &cursor);
    }
}

static void end(struct sl_hooks *hooks, struct sli_job *job)
{
    struct sli_hook *hook = job->hook;
    struct sl_hooks_request *request = job->request;
    enum sl_err err = job->err;
    drop_unplaced(hooks, &hook->subscription);
    sl_memory_free(job);
    hook->job = NULL;
    request->hook = NULL;
    sli_hooks_touch(hooks, hook);
    if (err == SL_OK) {
        sli_hooks_on_job_done(hooks, hook, request);
    } else {
        hook->is_ending |= !hook->is_made;
        sli_hooks_refuse_room(request, err);
    }
}

static void advance(struct sl_hooks *hooks, struct sli_job *job)
{
    while (job->err == SL_OK && job->next_stream < job->stream_count && job->under_way < HEADS_MAX)
        ask(hooks, job, job->streams[job->next_stream++], true);
    if (job->under_way > 0)
        return;
    if (job->err == SL_OK && job->is_listing)
        list(hooks, job);
    else
        end(hooks, job);
}

void sli_hooks_start_job(struct sl_hooks *hooks, struct sli_hook *hook,
                         struct sl_hooks_request *request, const struct sl_bytes *streams,
                         size_t stream_count, bool list)
{
    SL_ASSERT(hook->job == NULL);
    struct sli_job *job = sl_memory_alloc(sizeof(*job));
    job->hook = hook;
    job->request = request;
    job->streams = streams;
    job->stream_count = stream_count;
    job->next_stream = job->under_way = 0;
    job->is_listing = list;
    job->list_cursor = 0;
    job->list = NULL;
    job->err = SL_OK;
    hook->job = job;
    request->hook = hook;
    sli_hooks_await_settled(hooks, request);
}

void sli_hooks_continue_job(struct sl_hooks *hooks, struct sli_hook *hook)
{
    sli_hooks_note_begun(hooks, hook->job->request);
    advance(hooks, hook->job);
}

void sli_hooks_cancel_job(struct sl_hooks *hooks, struct sli_hook *hook, const char *message)
{
    struct sli_job *job = hook->job;
    if (job->err == SL_OK) {
        job->err = SL_ERR_OVERLOADED;
        job->request->message = message;
    }
    if (!sl_link_is_linked(&job->request->link))
        return;
    sl_link_remove(&job->request->link);
    advance(hooks, job);
}
