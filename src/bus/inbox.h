/*
 * bus/inbox.h - what nobody can refuse, from any thread to one
 *
 * What     An unbounded intrusive stack: items are pushed by any thread, the consumer takes them
 *          all.
 * Why      The UNPIN of a removed fork goes from shard to shard and must arrive however full the
 *          rings are; the item is allocated by its sender, so there is nothing to run out of.
 * Thread   push: any. take: the consumer. Signal the consumer's port after a push.
 */
#ifndef SL_BUS_INBOX_H
#define SL_BUS_INBOX_H

#ifdef __cplusplus
extern "C" {
#endif

struct sl_inbox_item {
    struct sl_inbox_item *next;
};

struct sl_inbox {
    struct sl_inbox_item *newest; /* any thread, only by push and take */
};

void sl_inbox_push(struct sl_inbox *inbox, struct sl_inbox_item *item);
/* All items, newest first; NULL when there are none. They are the caller's. */
struct sl_inbox_item *sl_inbox_take(struct sl_inbox *inbox);

#ifdef __cplusplus
}
#endif
#endif
