/*
 * server/repair.h - gives up what is damaged, so that the rest can be served
 *
 * What     The three repairs of `sluice fsck`. Each says what it does, keeps in lost+found what it
 *          takes away, and changes nothing when the outcome would not be a directory that starts.
 * Why      A start refuses damaged data; only its owner may decide to go on without it.
 * Thread   Main; the store is locked by us.
 */
#ifndef SL_SERVER_REPAIR_H
#define SL_SERVER_REPAIR_H

#include "server/shard_check.h"
#include "server/tool.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The log of a shard ends before `lsn`. */
enum sl_exit_code sl_repair_cut(const struct sl_store *store, unsigned index, uint64_t lsn);

/*
 * Segments that cannot be read, and streams that are not whole without them, are taken out.
 * `checks`: one per shard of the store, as they came out of sl_shard_check_run(), with manifests.
 */
enum sl_exit_code sl_repair_quarantine(const struct sl_store *store,
                                       const struct sl_shard_check *checks);

/* The shard gets a manifest from what its segments and its log say. */
enum sl_exit_code sl_repair_manifest(const struct sl_store *store, unsigned index);

#ifdef __cplusplus
}
#endif
#endif
