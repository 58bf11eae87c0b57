/*
 * journal/backup.h - a second directory with the segments of a store
 *
 * What     Writes a backup that a shard's thread has chosen the segments of, and makes a new data
 *          directory of a backup.
 * Why      Segments never change, so hard links are a copy; the log is left out, because everything
 *          in it was flushed before. What is linked lives as long as the backup does. The keys are
 *          copied, so that who may read them can be another one here and there.
 * Thread   take: the shard. Everything else: any one, at a time.
 *
 * Layout   SLUICE.backup, shard-NN/MANIFEST (no_log), shard-NN/seg-*, KEYS if the store has it.
 *          SLUICE.backup is written last: without it the directory is no backup, and the file
 *          INCOMPLETE says why.
 */
#ifndef SL_JOURNAL_BACKUP_H
#define SL_JOURNAL_BACKUP_H

#include "journal/catalog.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a backup of one shard consists of. */
struct sl_cut {
    struct sl_buffer segments; /* owned: struct sl_segment * each, with a reference */
    struct sl_wal_mark
        mark; /* the log of whoever restores it begins there; position: a file's begin */
    uint64_t last_id;
};

/*
 * Shard: adds a segment, in any order, whose chunks and states all belong to the backup.
 */
void sl_cut_add(struct sl_cut *cut, struct sl_segment *segment);
/* Drops the references. */
void sl_cut_deinit(struct sl_cut *cut);

/*
 * Makes the directories. `destination` does not exist, or is empty; its parent exists. After an
 * error there is nothing to abandon.
 * Errors, logged with the path: DESTINATION_IN_USE, DESTINATION_UNUSABLE, STORAGE_FAILED,
 * DISK_FULL.
 */
SL_NODISCARD enum sl_err sl_backup_begin(const struct sl_store *store, const char *destination);
/* One shard. Errors, logged: STORAGE_FAILED, DISK_FULL. Then abandon. */
SL_NODISCARD enum sl_err sl_backup_add(const struct sl_store *store, const char *destination,
                                       unsigned index, const struct sl_cut *cut);
/* After all shards: it is a backup now, and durable. Errors as add. */
SL_NODISCARD enum sl_err sl_backup_finish(const struct sl_store *store, const char *destination);
/* After begin and an error: frees the space; INCOMPLETE stays and says why. */
void sl_backup_abandon(const struct sl_store *store, const char *destination, enum sl_err err);

/*
 * Copies a backup to `path`, which does not exist or is empty, as a data directory with a history
 * of its own; calls `on_file` for every file before it is copied. Errors as above, logged.
 */
SL_NODISCARD enum sl_err sl_backup_restore(const struct sl_store *backup, const char *path,
                                           void (*on_file)(const char *path, uint64_t size));

#ifdef __cplusplus
}
#endif
#endif
