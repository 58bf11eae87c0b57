/*
 * journal/vfs.h - the disk, as the journal sees it
 *
 * What     One table of calls on files and directories; vfs_posix.c is the real one, the tests have
 *          one that loses, reorders, tears, rots and fails on purpose.
 * Why      Every rule about durability is tested in process and repeatably, and file calls stand in
 *          one file of the source.
 * Thread   Any; a file is used by one thread at a time, except that any number may read it.
 *
 * Results  0, or the errno value that says what went wrong; EINTR never comes out. A write either
 *          wrote everything or failed: how much of it is on the disk then is not known, and nobody
 *          tries again on the same file.
 * Paths    As the operating system takes them, NUL-terminated, at most SL_PATH_SIZE_MAX bytes.
 */
#ifndef SL_JOURNAL_VFS_H
#define SL_JOURNAL_VFS_H

#include "sluice/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    SL_PATH_SIZE_MAX = 4096,   /* bytes of a path with its NUL */
    SL_DISK_BLOCK_BYTES = 4096 /* what direct writes are multiples of, in size, place and memory */
};

/* How a file is opened. */
enum sl_vfs_flags {
    SL_VFS_WRITE = 1,  /* read and write; else only read */
    SL_VFS_CREATE = 2, /* makes the file, which must not exist: EEXIST */
    SL_VFS_DIRECT = 4, /* past the page cache; EINVAL where the file system refuses */
    SL_VFS_SYNC = 8,   /* a write returns when its bytes are durable */
};

struct sl_vfs;

/* An open file; the implementation's struct begins with it. */
struct sl_file {
    const struct sl_vfs *vfs; /* borrowed */
};

struct sl_vfs {
    /* ELOOP, EISDIR, ESPIPE, ENXIO: there is no file, but a link, a directory, a FIFO, a socket. */
    int (*open)(const struct sl_vfs *vfs, const char *path, unsigned flags, struct sl_file **file);
    void (*close)(struct sl_file *file); /* frees it */
    /* *got < size only at the end of the file. */
    int (*read)(struct sl_file *file, void *to, size_t size, uint64_t at, size_t *got);
    int (*write)(struct sl_file *file, const void *from, size_t size, uint64_t at);
    int (*sync)(struct sl_file *file); /* data, and what is needed to find it */
    int (*truncate)(struct sl_file *file, uint64_t size);
    int (*size)(struct sl_file *file, uint64_t *size);
    int (*links)(struct sl_file *file, uint64_t *count);               /* names that the file has */
    int (*mode)(struct sl_file *file, unsigned *bits);                 /* who may do what: 0600 */
    int (*make_directory)(const struct sl_vfs *vfs, const char *path); /* EEXIST if there is one */
    int (*sync_directory)(const struct sl_vfs *vfs, const char *path);
    /* Every name but . and .., in any order. */
    int (*list)(const struct sl_vfs *vfs, const char *path,
                void (*each)(void *context, const char *name), void *context);
    int (*rename)(const struct sl_vfs *vfs, const char *from, const char *to); /* replaces `to` */
    int (*link)(const struct sl_vfs *vfs, const char *from, const char *to);   /* EEXIST */
    int (*unlink)(const struct sl_vfs *vfs, const char *path);
    int (*lock)(struct sl_file *file); /* for this process, until closed; EWOULDBLOCK: another's */
    int (*space)(const struct sl_vfs *vfs, const char *path, uint64_t *free_bytes);
    /* The file system forgets everything when the machine stops. */
    int (*is_volatile)(const struct sl_vfs *vfs, const char *path, bool *result);
};

/* The real one. */
const struct sl_vfs *sl_vfs_posix(void);

/* Writes "directory/name" to `out`, which has SL_PATH_SIZE_MAX bytes; false: it does not fit. */
bool sl_path_join(char *out, const char *directory, const char *name);

/* The directory that `path`, of less than SL_PATH_SIZE_MAX bytes, is in: "." of a name alone. */
void sl_path_parent(char *out, const char *path);

#ifdef __cplusplus
}
#endif
#endif
