#include "http/page.h"

#include "http/reply.h"
#include "protocol/number.h"

enum {
    MAX_AGE_S = 60,                 /* how long a cache may give a page away without asking */
    STALE_WHILE_REVALIDATE_S = 300, /* and how much longer while it asks */
};

#define CACHE_CONTROL "public, max-age=60, stale-while-revalidate=300"
#define CACHE_CONTROL_CAPPED "public, max-age="

void sl_page_describe(const struct sl_exchange *exchange, const struct sl_operation *op,
                      uint64_t end, struct sl_page *page)
{
    uint64_t start = op->u.read.start;

    page->start = start < end ? start : end;
    page->end = end;
    page->reaches_tail = end == op->stream.tail;
    page->reaches_end = page->reaches_tail && op->stream.closed;
    page->etag_size = 0;
    if (exchange->query.from != SL_READ_FROM_NOW)
        page->etag_size = sl_etag_format(page->etag, exchange->acceptor->history_id, op->stream.id,
                                         sl_query_start_token(&exchange->query), end,
                                         page->reaches_end    ? SL_ETAG_CLOSED
                                         : page->reaches_tail ? SL_ETAG_AT_TAIL
                                                              : SL_ETAG_PARTIAL);
}

/* If-None-Match has it: the client has this page. */
static bool is_not_modified(const struct sl_exchange *exchange, const struct sl_page *page)
{
    const h2o_headers_t *headers = &exchange->req->headers;
    ssize_t i = -1;

    if (page->etag_size == 0)
        return false;
    while ((i = h2o_find_header(headers, H2O_TOKEN_IF_NONE_MATCH, i)) != -1) {
        h2o_iovec_t value = headers->entries[i].value;
        if (sl_etag_matches(sl_bytes(value.base, value.len), sl_bytes(page->etag, page->etag_size)))
            return true;
    }
    return false;
}

/* Nothing outlives its stream in a cache, and an empty open tail would hide what comes next. */
static const char *cache_control(const struct sl_exchange *exchange, const struct sl_operation *op,
                                 const struct sl_page *page)
{
    int64_t remaining_ms = op->stream.remaining_ms;
    int64_t life_s = remaining_ms / 1000;
    bool empty = page->start == page->end;

    if (exchange->query.from == SL_READ_FROM_NOW || (empty && !page->reaches_end))
        return "no-store";
    if (remaining_ms < 0 || life_s >= MAX_AGE_S + STALE_WHILE_REVALIDATE_S)
        return CACHE_CONTROL;
    if (life_s == 0)
        return "no-store";
    char *text = (char *)h2o_mem_alloc_pool(&exchange->req->pool,
                                            sizeof CACHE_CONTROL_CAPPED + SL_NUMBER_SIZE_MAX);
    memcpy(text, CACHE_CONTROL_CAPPED, sizeof CACHE_CONTROL_CAPPED - 1);
    size_t digits = sl_number_format((uint64_t)(life_s < MAX_AGE_S ? life_s : MAX_AGE_S),
                                     text + sizeof CACHE_CONTROL_CAPPED - 1);
    text[sizeof CACHE_CONTROL_CAPPED - 1 + digits] = '\0';
    return text;
}

bool sl_page_begin_reply(struct sl_exchange *exchange, const struct sl_operation *op,
                         const struct sl_page *page)
{
    const struct sl_stream_view *stream = &op->stream;
    bool is_new = !is_not_modified(exchange, page);

    sl_reply_begin(exchange, is_new ? 200 : 304, cache_control(exchange, op, page));
    if (page->etag_size != 0)
        sl_reply_header(exchange, "ETag", sl_bytes(page->etag, page->etag_size));
    if (!is_new)
        return false;
    sl_reply_header(exchange, "Content-Type",
                    sl_bytes(stream->content_type, stream->content_type_size));
    sl_reply_next_offset(exchange, page->end);
    if (page->reaches_tail)
        sl_reply_header(exchange, "Stream-Up-To-Date", sl_bytes_of("true"));
    if (page->reaches_end)
        sl_reply_header(exchange, "Stream-Closed", sl_bytes_of("true"));
    return true;
}
