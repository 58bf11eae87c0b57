/*
 * journal/wal_files.h - the files of a log, ready before they are needed
 *
 * What     Keeps spare files: zero-filled, or recycled when their frames are not needed any more.
 * Why      A synced write into a file whose blocks were never written costs three times as much
 *          (the file system commits metadata with it), and the spare is the reserve when the disk
 *          is full.
 * Thread   open, close: the opener. take: the commit thread. advance, fall_back: who writes, that
 *          one or the shard. release: the shard. The rest: any. A thread of its own does the slow
 *          calls.
 * Owns     The spare files with their handles; the name of every file of the log.
 *
 * Files    wal-<n>, where n is
 *            below the file in use   live; released: recycled under the next number, a few are
 *                                    kept for that, the others removed
 *            above it                spares, without gaps, each durable with its name
 *          wal-tmp-<attempt>         being filled; removed at open
 * Reserve  Half a file is for records without payload. When less is left in the file in use and in
 *          the spares, there is room SOON while the next file is being made, and the log is FULL
 *          when it cannot be made (no space, below free_bytes_min, an error, or the log is at
 *          size_max and waits for FLUSH_WAIT_MS already). It is tried again after RETRY_MS and
 *          after a release.
 */
#ifndef SL_JOURNAL_WAL_FILES_H
#define SL_JOURNAL_WAL_FILES_H

#include "journal/vfs.h"
#include "sluice/error.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { SL_WAL_FILE_NAME_SIZE = 21 }; /* "wal-0123456789abcdef" and its NUL */

/* Writes the name of file `number` to `out`. */
void sl_wal_file_name(uint64_t number, char out[SL_WAL_FILE_NAME_SIZE]);
/* False: this is not the name of a file of a log. */
bool sl_wal_file_number(const char *name, uint64_t *number);

/* For more than what the reserve is for. */
enum sl_wal_room {
    SL_WAL_ROOM_YES,
    SL_WAL_ROOM_SOON,
    SL_WAL_ROOM_FULL,
};

struct sl_wal_files_setup {
    const struct sl_vfs *vfs;    /* borrowed */
    const char *directory;       /* borrowed for the call */
    uint64_t file_size;          /* bytes */
    uint64_t size_max;           /* bytes of files from the released position on */
    uint64_t free_bytes_min;     /* of the file system: nothing new is made below */
    unsigned index;              /* of the shard, for the thread's name */
    void (*wake)(void *context); /* the room has changed; called by the thread, without a lock */
    void *context;               /* borrowed: of wake */
};

struct sl_wal_files;

/*
 * The operator's choice after corruption: nothing of the log at `position` and beyond is left. The
 * log is not open. Returns an errno value; may be called again then.
 */
SL_NODISCARD int sl_wal_files_cut(const struct sl_vfs *vfs, const char *directory,
                                  uint64_t file_size, uint64_t position);

/*
 * The log has its end at `position`: every file from the next one on is a spare, whatever it holds.
 * At least one is ready on return, or take_resumed() has the last one. Files wholly before
 * `keep_from` are not needed. Errors: STORAGE_FAILED, DISK_FULL; *files is NULL then.
 */
SL_NODISCARD enum sl_err sl_wal_files_open(const struct sl_wal_files_setup *setup,
                                           uint64_t position, uint64_t keep_from,
                                           struct sl_wal_files **files);
/*
 * Once, after open: the file that the log has its end in, when there is no space for another one;
 * else NULL. The caller closes it.
 */
struct sl_file *sl_wal_files_take_resumed(struct sl_wal_files *files);
void sl_wal_files_close(struct sl_wal_files **files);

/*
 * The next file, open for commits; the caller closes it. Waits for it; NULL: no file can be made,
 * for seconds or when the log is closing. The reserve is used up then, and whoever waits for the
 * frame must hear something.
 */
struct sl_file *sl_wal_files_take(struct sl_wal_files *files, uint64_t *number);
/* Direct writes are refused: opens the file again without. The caller has closed its handle. */
int sl_wal_files_fall_back(struct sl_wal_files *files, uint64_t number, struct sl_file **file);
/* The log is durable up to `position`. */
void sl_wal_files_advance(struct sl_wal_files *files, uint64_t position);
/* What lies before `position` is not needed any more. */
void sl_wal_files_release(struct sl_wal_files *files, uint64_t position);
/* take() does not wait for better times from now on. */
void sl_wal_files_finish(struct sl_wal_files *files);
/* The log has failed: nothing is written any more. */
void sl_wal_files_stop(struct sl_wal_files *files);

enum sl_wal_room sl_wal_files_room(const struct sl_wal_files *files);
/* Bytes of frames that have a place for certain; UINT64_MAX: a spare is ready. */
uint64_t sl_wal_files_contiguous(const struct sl_wal_files *files);
bool sl_wal_files_is_buffered(const struct sl_wal_files *files);

#ifdef __cplusplus
}
#endif
#endif
