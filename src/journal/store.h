/*
 * journal/store.h - the data directory
 *
 * What     Opens, locks and identifies a data directory, or makes a new one.
 * Why      One process per directory, one format that says its version, one key for routing.
 * Thread   The opener.
 *
 * Layout   LOCK          locked while a process has the directory open
 *          SLUICE        comes last, so it says that every shard has its MANIFEST.
 *                        identity: magic "SLUICE\n\0", u32 version, u32 size, u32 compat bits,
 *                        u32 incompat bits, u64 log_id, u64 history_id, u64[2] route key,
 *                        u32 shards, u64 file_size, u32 crc (CRC32C of the bytes before it, always
 *                        the last four of `size`); the content stands twice, as in the manifest
 *          SLUICE.backup the same, of a backup: so that no server starts there by accident
 *          shard-NN/     MANIFEST, wal-*, seg-*
 *          KEYS          of who serves it (hooks/keys.h): may be missing, is replaced as a whole
 *          lost+found/   what recovery cut off or did not know
 */
#ifndef SL_JOURNAL_STORE_H
#define SL_JOURNAL_STORE_H

#include "base/hash.h"
#include "journal/vfs.h"
#include "sluice/error.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SL_STORE_KEYS_NAME "KEYS"

struct sl_store_setup {
    const struct sl_vfs *vfs; /* borrowed for the store's life */
    const char *path;         /* made if it is not there; its parent exists */
    unsigned shards;          /* 0: as stored; a new one: as below */
    unsigned shards_of_new;   /* not 0 */
    uint64_t wal_file_size;   /* of a new one; 0: 64 MiB */
    bool allow_volatile;      /* a file system in memory is all right */
    bool must_exist;          /* never make a new one */
    bool read_only;           /* must exist; at most LOCK is made in it, if it can be */
    bool backup;              /* it is a backup: must exist, is only read and not locked */
};

struct sl_store {
    const struct sl_vfs *vfs; /* borrowed */
    char *path;               /* owned */
    struct sl_file *lock;     /* owned */
    uint64_t log_id;          /* of the directory; shard i's log has log_id + i */
    uint64_t history_id;      /* of the streams: a restored backup has a new one */
    struct sl_hash_key route_key;
    unsigned shards;
    uint64_t wal_file_size;
};

/*
 * Sets *store, NULL on failure; what is wrong is logged with the path.
 * Errors: DATA_LOCKED, DATA_VERSION, DATA_CORRUPT, DATA_SHARDS (another number of shards is
 * stored), DATA_VOLATILE, DATA_KIND (a backup, or not one), STORAGE_FAILED, DISK_FULL.
 */
SL_NODISCARD enum sl_err sl_store_open(const struct sl_store_setup *setup, struct sl_store **store);
void sl_store_close(struct sl_store **store);

/* A store was made there, whether or not it can be opened: its log files have their size. */
bool sl_store_is_made(const struct sl_vfs *vfs, const char *path);

/*
 * The last step of a backup of this store, or of a restore: makes `directory` one. What the store
 * says is written there, whole or not at all, and durably. Errors: STORAGE_FAILED, DISK_FULL.
 */
SL_NODISCARD enum sl_err sl_store_write_identity(const struct sl_store *store,
                                                 const char *directory, bool backup);

/* Writes the path of a shard's directory to `out` (SL_PATH_SIZE_MAX). */
void sl_store_shard_path(const struct sl_store *store, unsigned index, char *out);

/*
 * Moves a file to lost+found under "shard-NN.<name>", or copies `size` bytes of it from `at` on if
 * size is not 0. What is there already stays: the new one gets ".1", ".2" and so on at its end.
 * Errors, logged: STORAGE_FAILED.
 */
SL_NODISCARD enum sl_err sl_store_keep_lost(const struct sl_store *store, unsigned index,
                                            const char *name, uint64_t at, uint64_t size);

#ifdef __cplusplus
}
#endif
#endif
