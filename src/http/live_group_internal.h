/*
 * http/live_group_internal.h - who waits at the tail of one stream
 *
 * What     One waiting read at the engine for all members of a stream. What it brings is worked off
 *          member by member, a turn's share at a time; then the group asks again.
 * Why      A wake-up costs the shard one reply per acceptor, not one per subscriber, and a stream
 *          with many subscribers does not hold up the appends of the same acceptor.
 *          While a delivery is worked off, appends gather at the shard and become one delivery.
 * Thread   The acceptor's.
 * Owns     Its operation and its delivery.
 *
 * States   op under way             a read from `next` waits at the engine; nobody is due
 *          op back, busy            `due` are members that have not had the delivery
 *          A group without members and without an operation does not exist.
 *
 * Invariants
 *   (1) Nobody who waits has an offset below `next`.
 */
#ifndef SL_HTTP_LIVE_GROUP_INTERNAL_H
#define SL_HTTP_LIVE_GROUP_INTERNAL_H

#include "http/live_internal.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sli_group {
    struct sl_table_node node;       /* in live->groups */
    struct sl_live *live;            /* borrowed */
    struct sl_completion completion; /* of op */
    struct sl_operation *op;         /* owned: under way, or with the delivery's bytes */
    bool op_under_way;
    bool cancelled;  /* op is to come back soon, since there was nobody to wait for */
    enum sl_err err; /* how the read ended: SL_OK, or nobody can read any more */
    uint64_t stream_id;
    uint64_t next;                /* where the read under way, or the next one, begins */
    struct sli_delivery delivery; /* while busy and err is SL_OK */
    struct sli_rest rest;         /* the event that is open at `next` */
    struct sl_link waiting;       /* of struct sli_member */
    struct sl_link due;           /* of struct sli_member: have not had the delivery */
    struct sl_link in_busy;       /* of live->busy_groups */
    size_t name_size;             /* of the stream */
    char name[1];                 /* name_size bytes, allocated behind */
};

/* The member is at the tail that its read saw, and waits there with the others. */
void sli_group_join(struct sli_member *member);

/* Takes the member out of its group, or of the busy members; nothing happens if it is in none. */
void sli_group_leave(struct sli_member *member);

/* A turn's share of the deliveries; false: there is more. */
bool sli_groups_work(struct sl_live *live);

/* Frees all groups; nobody waits in them. The session forgets their operations. */
void sli_groups_destroy(struct sl_live *live);

#ifdef __cplusplus
}
#endif
#endif
