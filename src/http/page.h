/*
 * http/page.h - the head of an answer that carries a page of a stream
 *
 * What     Position, validators and cache headers (protocol 1.3, 1.4, 9), the same for a catch-up
 *          read and a long-poll.
 * Thread   The acceptor's.
 */
#ifndef SL_HTTP_PAGE_H
#define SL_HTTP_PAGE_H

#include "http/exchange.h"
#include "protocol/etag.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What of a page headers and validators need. */
struct sl_page {
    uint64_t start; /* [start, end) is given */
    uint64_t end;
    bool reaches_tail; /* nothing follows at this moment */
    bool reaches_end;  /* nothing will ever follow */
    size_t etag_size;  /* bytes of etag; 0: this answer has none */
    char etag[SL_ETAG_SIZE_MAX];
};

/* The page of a READ that ended with SL_OK, up to `end`, as this request asked for it. */
void sl_page_describe(const struct sl_exchange *exchange, const struct sl_operation *op,
                      uint64_t end, struct sl_page *page);

/*
 * sl_reply_begin(200) and all headers of the page, which is to follow; or false: it is a 304, because
 * the client has the page (protocol 10.1), and nothing follows.
 */
bool sl_page_begin_reply(struct sl_exchange *exchange, const struct sl_operation *op,
                         const struct sl_page *page);

#ifdef __cplusplus
}
#endif
#endif
