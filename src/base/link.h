/*
 * base/link.h - a doubly linked list whose nodes live in their objects
 *
 * What     A circular list; `struct sl_link` is the head and also the node.
 * Why      No allocation, removal in O(1) without the head, and one object can be on many lists.
 * Thread   Whoever owns the list.
 *
 *     struct job { struct sl_link in_queue; int number; };
 *     while ((link = sl_link_first(&queue)) != NULL) {
 *         struct job *job = SL_OBJECT(link, struct job, in_queue);
 *         sl_link_remove(&job->in_queue);
 *     }
 *
 * Invariants
 *   (1) A head without nodes, and a node that is on no list, point to themselves.
 *   (2) link->next->previous == link and link->previous->next == link.
 */
#ifndef SL_BASE_LINK_H
#define SL_BASE_LINK_H

#include "base/assert.h"

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sl_link {
    struct sl_link *next;     /* borrowed: the head after the last node */
    struct sl_link *previous; /* borrowed: the head before the first node */
};

/* The object of `type` whose `member` is at `pointer`; other pointer types do not compile. */
#define SL_OBJECT(pointer, type, member)                                                           \
    ((type *)(void *)((char *)(1 ? (pointer) : &((type *)NULL)->member) - offsetof(type, member)))

/* An empty head, or a node that is on no list. */
static inline void sl_link_init(struct sl_link *link)
{
    link->next = link;
    link->previous = link;
}

static inline bool sl_link_is_empty(const struct sl_link *head)
{
    return head->next == head;
}

/* Is this node on a list? */
static inline bool sl_link_is_linked(const struct sl_link *node)
{
    return node->next != node;
}

/* Puts `node` between two neighbours. */
static inline void sl_link_insert(struct sl_link *previous, struct sl_link *node,
                                  struct sl_link *next)
{
    SL_ASSERT(!sl_link_is_linked(node));
    node->next = next;
    node->previous = previous;
    previous->next = node;
    next->previous = node;
}

/* Makes `node`, which is on no list, the last one. */
static inline void sl_link_append(struct sl_link *head, struct sl_link *node)
{
    sl_link_insert(head->previous, node, head);
}

/* Makes `node`, which is on no list, the first one. */
static inline void sl_link_prepend(struct sl_link *head, struct sl_link *node)
{
    sl_link_insert(head, node, head->next);
}

/* Takes `node` off its list; nothing happens when it is on none. */
static inline void sl_link_remove(struct sl_link *node)
{
    node->previous->next = node->next;
    node->next->previous = node->previous;
    sl_link_init(node);
}

/* NULL when the list is empty. */
static inline struct sl_link *sl_link_first(const struct sl_link *head)
{
    return sl_link_is_empty(head) ? NULL : head->next;
}

/* Moves all nodes of `from_head`, in their order, behind the last one of `head`. */
static inline void sl_link_splice_back(struct sl_link *head, struct sl_link *from_head)
{
    if (sl_link_is_empty(from_head))
        return;
    from_head->next->previous = head->previous;
    from_head->previous->next = head;
    head->previous->next = from_head->next;
    head->previous = from_head->previous;
    sl_link_init(from_head);
}

#ifdef __cplusplus
}
#endif
#endif
