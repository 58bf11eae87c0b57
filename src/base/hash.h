/*
 * base/hash.h - keyed hash of names
 *
 * What     SipHash-1-3: 64 bits of a 128-bit key and any bytes, the same on every machine.
 * Why      Clients choose the names; without the key they cannot choose names that collide. One
 *          round per word is what hash tables need; the fourth round of finalisation is for MACs.
 * Thread   Any, pure.
 */
#ifndef SL_BASE_HASH_H
#define SL_BASE_HASH_H

#include "sluice/bytes.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sl_hash_key {
    uint64_t k0; /* bytes 0 to 7 of the key, little-endian */
    uint64_t k1; /* bytes 8 to 15 */
};

uint64_t sl_hash(const struct sl_hash_key *key, struct sl_bytes bytes);

/* SipHash-c-d, for the published test vectors, which are of SipHash-2-4. */
uint64_t sli_hash_with_rounds(const struct sl_hash_key *key, struct sl_bytes bytes, unsigned c,
                              unsigned d);

#ifdef __cplusplus
}
#endif
#endif
