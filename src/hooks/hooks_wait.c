/*
 * How long a request waits for its answer. While nothing was done for it yet, for as long as one
 * waits for a busy shard; after that for as long as it takes, unless the server ends.
 */
#include "base/limits.h"
#include "hooks/hooks_internal.h"

static struct sl_hooks_request *first_of(const struct sl_link *requests)
{
    struct sl_link *link = sl_link_first(requests);
    return link == NULL ? NULL : SL_OBJECT(link, struct sl_hooks_request, of_all);
}

void sli_hooks_receive(struct sl_hooks *hooks, struct sl_hooks_request *request)
{
    sl_link_init(&request->of_all);
    sl_link_append(&hooks->wait.unbegun, &request->of_all);
    sl_link_append(&hooks->received, &request->link);
}

void sli_hooks_handle_received(struct sl_hooks *hooks)
{
    struct sl_link *link = sl_link_first(&hooks->received);
    while (link != NULL) {
        sl_link_remove(link);
        hooks->turn_work++;
        sli_hooks_handle(hooks, SL_OBJECT(link, struct sl_hooks_request, link));
        link = hooks->turn_work < SLI_TURN_WORK_MAX ? sl_link_first(&hooks->received) : NULL;
    }
}

void sli_hooks_note_begun(struct sl_hooks *hooks, struct sl_hooks_request *request)
{
    sl_link_remove(&request->of_all);
    sl_link_append(&hooks->wait.begun, &request->of_all);
}

static void give_up(struct sl_hooks *hooks, struct sl_hooks_request *request, const char *message)
{
    sl_link_remove(&request->of_all);
    if (request->hook != NULL)
        sli_hooks_cancel_job(hooks, request->hook, message);
    else
        sli_hooks_give_up(request, SL_ERR_OVERLOADED, message);
}

static uint64_t late_ms(const struct sl_hooks *hooks, const struct sl_hooks_request *request)
{
    uint64_t at_ms = request->came_ms + SL_OVERLOAD_AGE_MS;
    return at_ms < hooks->wait.end_ms ? at_ms : hooks->wait.end_ms;
}

void sli_hooks_refuse_late(struct sl_hooks *hooks)
{
    static const char is_behind[] = "the server is behind with comparing new streams with "
                                    "patterns, or with what was asked before: nothing was "
                                    "changed, try again later";
    static const char ends[] = "the server ends: what was asked may have happened, or may happen "
                               "yet";
    uint64_t now_ms = hooks->now.running_ms;
    for (struct sl_hooks_request *request;
         (request = first_of(&hooks->wait.unbegun)) != NULL && now_ms >= late_ms(hooks, request);)
        give_up(hooks, request, is_behind);
    for (struct sl_hooks_request *request;
         (request = first_of(&hooks->wait.begun)) != NULL && now_ms >= hooks->wait.end_ms;)
        give_up(hooks, request, ends);
}

uint64_t sli_hooks_wait_deadline(const struct sl_hooks *hooks)
{
    const struct sl_hooks_request *request = first_of(&hooks->wait.unbegun);
    if (request != NULL)
        return late_ms(hooks, request);
    return sl_link_is_empty(&hooks->wait.begun) ? UINT64_MAX : hooks->wait.end_ms;
}
