/*
 * journal/catalog.h - the segments of one shard, and the manifest that names them
 *
 * What     Opens what the manifest names, and replaces the manifest when segments come and go.
 * Why      One place installs manifests, one after the other, whoever asks.
 * Thread   open, close: the opener. install, new_number: any, one at a time inside (a mutex).
 *          The list of segments: the shard, once it runs.
 */
#ifndef SL_JOURNAL_CATALOG_H
#define SL_JOURNAL_CATALOG_H

#include "journal/manifest.h"
#include "journal/segment.h"
#include "journal/store.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sl_catalog;

/*
 * Segments and temporary files that the manifest does not name go to lost+found. Errors, logged with
 * file and position: DATA_CORRUPT (also without a manifest: every shard begins with one),
 * DATA_VERSION, STORAGE_FAILED.
 */
SL_NODISCARD enum sl_err sl_catalog_open(const struct sl_store *store, unsigned index,
                                         struct sl_catalog **catalog);
/* Drops the references to all segments. */
void sl_catalog_close(struct sl_catalog **catalog);

/* The manifest as it was opened: mark, last_id, durable_lsn. Before anything is installed. */
const struct sl_manifest *sl_catalog_manifest(const struct sl_catalog *catalog);
/*
 * Every segment, oldest number first; the list is the shard's: it adds and removes what was
 * installed.
 */
struct sl_link *sl_catalog_segments(struct sl_catalog *catalog);
const char *sl_catalog_directory(const struct sl_catalog *catalog);
const struct sl_vfs *sl_catalog_vfs(const struct sl_catalog *catalog);
uint64_t sl_catalog_log_id(const struct sl_catalog *catalog);

/* A number that no segment has had. */
uint64_t sl_catalog_new_number(struct sl_catalog *catalog);

struct sl_catalog_edit {
    struct sl_segment *added;          /* borrowed; or NULL */
    struct sl_segment *const *removed; /* borrowed */
    unsigned removed_count;
    bool has_mark; /* the three below count */
    struct sl_wal_mark mark;
    uint64_t last_id;
    uint64_t durable_lsn;
};

/*
 * Makes the edit durable; the log is open. Errors: STORAGE_FAILED, DISK_FULL: nothing has changed,
 * and the file of `added` goes: at once, or after the next success if a crash may yet bring the new
 * manifest back.
 */
SL_NODISCARD enum sl_err sl_catalog_install(struct sl_catalog *catalog,
                                            const struct sl_catalog_edit *edit);

/*
 * Gives the space of a segment that is in no manifest any more back: cuts the file in steps of 1
 * MiB with a pause, then removes it, when the last reference is gone. Takes the shard's reference.
 * Any thread; the slow part is done by `worker`'s thread. Files that could not be removed are found
 * at the next start.
 */
struct sl_worker;
void sl_catalog_drop(struct sl_catalog *catalog, struct sl_segment **segment,
                     struct sl_worker *worker);

#ifdef __cplusplus
}
#endif
#endif
