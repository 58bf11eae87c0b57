/*
 * bus/route.h - which shard owns a name
 *
 * What     The keyed hash of a name and the shard that it belongs to.
 * Why      The top bits choose the shard, the low bits the slot in its table: both from one hash,
 *          which travels in the message. The key is secret, so that clients cannot aim at one
 *          shard.
 * Thread   Any; read-only after it was made.
 */
#ifndef SL_BUS_ROUTE_H
#define SL_BUS_ROUTE_H

#include "base/hash.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sl_route {
    struct sl_hash_key key;
    uint32_t shards;
};

static inline uint32_t sl_route_shard(const struct sl_route *route, uint64_t hash)
{
    return (uint32_t)(((hash >> 32) * route->shards) >> 32);
}

#ifdef __cplusplus
}
#endif
#endif
