/*
 * Any bytes as the only file of a log: the scan ends, stays inside the file, counts what it gives,
 * and goes on from its end to the same end. An odd first byte asks for the checksums to be put
 * right, so that what stands behind them is reached, too.
 */
#include "base/assert.h"
#include "base/link.h"
#include "base/memory.h"
#include "journal/frame.h"
#include "journal/wal_files.h"
#include "journal/wal_scan.h"
#include "support/seal.h"

#include <errno.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILE_SIZE = 8 * SL_DISK_BLOCK_BYTES };

/* A disk with one file. */
struct disk {
    struct sl_vfs vfs;
    uint8_t bytes[FILE_SIZE]; /* of the file */
    struct sl_file file;      /* its only handle */
};

static struct disk *disk_of(const struct sl_vfs *vfs)
{
    return SL_OBJECT((struct sl_vfs *)(uintptr_t)vfs, struct disk, vfs);
}

static int open_file(const struct sl_vfs *vfs, const char *path, unsigned flags,
                     struct sl_file **file)
{
    SL_ASSERT((flags & SL_VFS_WRITE) == 0);
    if (strcmp(path, "/log/wal-0000000000000000") != 0)
        return ENOENT;
    struct disk *disk = disk_of(vfs);
    disk->file.vfs = vfs;
    *file = &disk->file;
    return 0;
}

static void close_file(struct sl_file *file)
{
    SL_ASSERT(file == &disk_of(file->vfs)->file);
}

static int read_file(struct sl_file *file, void *to, size_t size, uint64_t at, size_t *got)
{
    SL_ASSERT(at <= FILE_SIZE && size <= FILE_SIZE - at);
    memcpy(to, disk_of(file->vfs)->bytes + at, size);
    *got = size;
    return 0;
}

static int size_of_file(struct sl_file *file, uint64_t *size)
{
    SL_ASSERT(file == &disk_of(file->vfs)->file);
    *size = FILE_SIZE;
    return 0;
}

static int list_files(const struct sl_vfs *vfs, const char *path,
                      void (*each)(void *context, const char *name), void *context)
{
    (void)vfs;
    (void)path;
    each(context, "MANIFEST");
    each(context, "wal-0000000000000000");
    return 0;
}

static bool on_record(void *context, uint64_t lsn, int64_t wall_ms, const struct sl_record *record,
                      const char **what)
{
    uint64_t *count = context;
    (void)wall_ms;
    (void)what;
    (*count)++;
    SL_ASSERT(lsn == *count);
    SL_ASSERT(sl_record_size(record) <= FILE_SIZE);
    return true;
}

static struct sl_wal_scan scan_from(const struct disk *disk, struct sl_wal_mark from,
                                    uint64_t *count)
{
    struct sl_wal_scan scan = {
        .vfs = &disk->vfs,
        .directory = "/log",
        .log_id = UINT64_C(0x0101010101010101),
        .file_size = FILE_SIZE,
        .from = from,
        .on_record = on_record,
        .context = count,
    };
    sl_wal_scan(&scan);
    return scan;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct disk *disk = sl_memory_zalloc(sizeof(*disk));
    disk->vfs = (struct sl_vfs){ .open = open_file,
                                 .close = close_file,
                                 .read = read_file,
                                 .size = size_of_file,
                                 .list = list_files };
    if (size > 1)
        memcpy(disk->bytes, data + 1, size - 1 < FILE_SIZE ? size - 1 : FILE_SIZE);
    if (size > 0 && data[0] % 2 == 1)
        seal_frames(disk->bytes, FILE_SIZE, 0);

    uint64_t count = 0;
    struct sl_wal_scan scan = scan_from(disk, (struct sl_wal_mark){ .lsn = 1 }, &count);
    SL_ASSERT(scan.result != SL_WAL_IO);
    SL_ASSERT(scan.records == count);
    SL_ASSERT(scan.end.position <= FILE_SIZE && scan.end.position % SL_DISK_BLOCK_BYTES == 0);
    SL_ASSERT(scan.frames <= scan.end.position / SL_DISK_BLOCK_BYTES);
    SL_ASSERT(scan.torn_bytes <= FILE_SIZE - scan.file_offset);
    SL_ASSERT((scan.result == SL_WAL_TORN) == (scan.torn_bytes > 0));
    if (scan.result != SL_WAL_CORRUPT) {
        SL_ASSERT(scan.end.lsn == count + 1);
        struct sl_wal_scan again = scan_from(disk, scan.end, &count);
        SL_ASSERT(again.frames == 0 && again.result == scan.result);
        SL_ASSERT(again.end.position == scan.end.position && again.end.lsn == scan.end.lsn);
    }
    sl_memory_free(disk);
    return 0;
}
