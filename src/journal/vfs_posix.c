#include "journal/vfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/memory.h"

enum {
    FILE_MODE = 0600,      /* only who runs the server reads the streams */
    DIRECTORY_MODE = 0700, /* and their number */
};

struct posix_file {
    struct sl_file file;
    int descriptor;
    unsigned flags; /* as opened */
};

static const struct sl_vfs posix;

const struct sl_vfs *sl_vfs_posix(void)
{
    return &posix;
}

bool sl_path_join(char *out, const char *directory, const char *name)
{
    int size = snprintf(out, SL_PATH_SIZE_MAX, "%s/%s", directory, name);
    SL_ASSERT(size >= 0);
    return size < SL_PATH_SIZE_MAX;
}

void sl_path_parent(char *out, const char *path)
{
    size_t size = strlen(path);
    while (size > 0 && path[size - 1] == '/')
        size--;
    while (size > 0 && path[size - 1] != '/')
        size--;
    while (size > 1 && path[size - 1] == '/')
        size--;
    SL_ASSERT(size < SL_PATH_SIZE_MAX);
    memcpy(out, path, size);
    out[size] = '\0';
    if (size == 0)
        memcpy(out, ".", sizeof("."));
}

static struct posix_file *posix_file(struct sl_file *file)
{
    SL_ASSERT(file->vfs == &posix);
    return (struct posix_file *)(void *)file;
}

/* A file that says "again" is broken: nobody would ever know when. */
static int error_of_file(void)
{
    SL_ASSERT(errno != 0);
    return errno == EAGAIN ? EIO : errno;
}

/* What goes past the page cache must fit the disk's blocks: the kernel's EINVAL comes too late. */
static void check_aligned(const struct posix_file *file, const void *memory, size_t size,
                          uint64_t at)
{
    if ((file->flags & SL_VFS_DIRECT) == 0)
        return;
    SL_ASSERT((uintptr_t)memory % SL_DISK_BLOCK_BYTES == 0);
    SL_ASSERT(size % SL_DISK_BLOCK_BYTES == 0);
    SL_ASSERT(at % SL_DISK_BLOCK_BYTES == 0);
}

static int open_descriptor(const char *path, int flags, int *descriptor)
{
    do
        *descriptor = open(path, flags | O_CLOEXEC, FILE_MODE);
    while (*descriptor < 0 && errno == EINTR);
    int error = *descriptor < 0 ? errno : 0;
    if (error == EMFILE || error == ENFILE) /* else it would look like a broken disk */
        sl_log(SL_LOG_ERROR, "journal", "no_descriptor",
               "path=%s errno=%d reason=\"too many files are open\" "
               "todo=\"raise the limit of open files (ulimit -n, LimitNOFILE=)\"",
               path, error);
    return error;
}

/* Opening a FIFO would wait for ever, and a directory can be opened, but not read. */
static int refuse_fifo_and_directory(const char *path)
{
    struct stat about;
    if (lstat(path, &about) != 0)
        return 0; /* open() will say it */
    if (S_ISFIFO(about.st_mode))
        return ESPIPE;
    return S_ISDIR(about.st_mode) ? EISDIR : 0;
}

static int posix_open(const struct sl_vfs *vfs, const char *path, unsigned flags,
                      struct sl_file **file)
{
    *file = NULL;
    if ((flags & SL_VFS_CREATE) != 0)
        SL_ASSERT((flags & SL_VFS_WRITE) != 0);
    int how = O_NOFOLLOW;
    how |= (flags & SL_VFS_WRITE) != 0 ? O_RDWR : O_RDONLY;
    how |= (flags & SL_VFS_CREATE) != 0 ? O_CREAT | O_EXCL : 0;
    how |= (flags & SL_VFS_DIRECT) != 0 ? O_DIRECT : 0;
    how |= (flags & SL_VFS_SYNC) != 0 ? O_DSYNC : 0;
    int descriptor;
    int error = (how & O_CREAT) != 0 ? 0 : refuse_fifo_and_directory(path);
    if (error == 0)
        error = open_descriptor(path, how, &descriptor);
    /* The kernel makes the file before it looks whether it can be direct. */
    if (error == EINVAL && (how & O_CREAT) != 0 && (how & O_DIRECT) != 0)
        (void)unlink(path);
    if (error != 0)
        return error;
    struct posix_file *opened = sl_memory_alloc(sizeof(*opened));
    *opened = (struct posix_file){ .file.vfs = vfs, .descriptor = descriptor, .flags = flags };
    *file = &opened->file;
    return 0;
}

static void posix_close(struct sl_file *file)
{
    struct posix_file *closed = posix_file(file);
    /* What it says is of no use: what had to be durable was synced. */
    (void)close(closed->descriptor);
    sl_memory_free(closed);
}

static int posix_read(struct sl_file *file, void *to, size_t size, uint64_t at, size_t *got)
{
    const struct posix_file *from = posix_file(file);
    check_aligned(from, to, size, at);
    *got = 0;
    while (*got < size) {
        ssize_t more =
            pread(from->descriptor, (uint8_t *)to + *got, size - *got, (off_t)(at + *got));
        if (more < 0 && errno == EINTR)
            continue;
        if (more < 0)
            return error_of_file();
        *got += (size_t)more;
        /* A direct read from the middle of a block would be refused. */
        bool at_end =
            more == 0 || ((from->flags & SL_VFS_DIRECT) != 0 && more % SL_DISK_BLOCK_BYTES != 0);
        if (at_end)
            break;
    }
    return 0;
}

static int posix_write(struct sl_file *file, const void *from, size_t size, uint64_t at)
{
    const struct posix_file *to = posix_file(file);
    SL_ASSERT((to->flags & SL_VFS_WRITE) != 0);
    check_aligned(to, from, size, at);
    size_t done = 0;
    while (done < size) {
        ssize_t more =
            pwrite(to->descriptor, (const uint8_t *)from + done, size - done, (off_t)(at + done));
        if (more < 0 && errno == EINTR)
            continue;
        if (more < 0)
            return error_of_file();
        done += (size_t)more;
        /* Why it stopped short, as on a full disk, only the rest is told; a direct one must fit. */
        bool is_stuck =
            more == 0 || ((to->flags & SL_VFS_DIRECT) != 0 && more % SL_DISK_BLOCK_BYTES != 0);
        if (is_stuck)
            return EIO;
    }
    return 0;
}

static int posix_sync(struct sl_file *file)
{
    int failed;
    do
        failed = fdatasync(posix_file(file)->descriptor);
    while (failed != 0 && errno == EINTR);
    return failed != 0 ? error_of_file() : 0;
}

static int posix_truncate(struct sl_file *file, uint64_t size)
{
    int failed;
    do
        failed = ftruncate(posix_file(file)->descriptor, (off_t)size);
    while (failed != 0 && errno == EINTR);
    return failed != 0 ? error_of_file() : 0;
}

static int posix_size(struct sl_file *file, uint64_t *size)
{
    struct stat about;
    *size = 0;
    if (fstat(posix_file(file)->descriptor, &about) != 0)
        return error_of_file();
    *size = (uint64_t)about.st_size;
    return 0;
}

static int posix_links(struct sl_file *file, uint64_t *count)
{
    struct stat about;
    *count = 0;
    if (fstat(posix_file(file)->descriptor, &about) != 0)
        return error_of_file();
    *count = (uint64_t)about.st_nlink;
    return 0;
}

static int posix_mode(struct sl_file *file, unsigned *bits)
{
    struct stat about;
    *bits = 0;
    if (fstat(posix_file(file)->descriptor, &about) != 0)
        return error_of_file();
    *bits = about.st_mode & ~(unsigned)S_IFMT;
    return 0;
}

static int posix_make_directory(const struct sl_vfs *vfs, const char *path)
{
    (void)vfs;
    return mkdir(path, DIRECTORY_MODE) != 0 ? errno : 0;
}

static int posix_sync_directory(const struct sl_vfs *vfs, const char *path)
{
    (void)vfs;
    int descriptor;
    int error = open_descriptor(path, O_RDONLY | O_DIRECTORY, &descriptor);
    if (error != 0)
        return error;
    int failed;
    do
        failed = fsync(descriptor);
    while (failed != 0 && errno == EINTR);
    error = failed != 0 ? error_of_file() : 0;
    (void)close(descriptor);
    return error;
}

static int posix_list(const struct sl_vfs *vfs, const char *path,
                      void (*each)(void *context, const char *name), void *context)
{
    (void)vfs;
    DIR *directory = opendir(path);
    if (directory == NULL)
        return errno;
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(directory);
        if (entry == NULL)
            break;
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            each(context, entry->d_name);
    }
    int error = errno == 0 ? 0 : error_of_file();
    (void)closedir(directory);
    return error;
}

static int posix_rename(const struct sl_vfs *vfs, const char *from, const char *to)
{
    (void)vfs;
    return rename(from, to) != 0 ? errno : 0;
}

static int posix_link(const struct sl_vfs *vfs, const char *from, const char *to)
{
    (void)vfs;
    return link(from, to) != 0 ? errno : 0;
}

static int posix_unlink(const struct sl_vfs *vfs, const char *path)
{
    (void)vfs;
    return unlink(path) != 0 ? errno : 0;
}

static int posix_lock(struct sl_file *file)
{
    int failed;
    do
        failed = flock(posix_file(file)->descriptor, LOCK_EX | LOCK_NB);
    while (failed != 0 && errno == EINTR);
    return failed != 0 ? errno : 0;
}

static int posix_space(const struct sl_vfs *vfs, const char *path, uint64_t *free_bytes)
{
    (void)vfs;
    struct statvfs about;
    *free_bytes = 0;
    if (statvfs(path, &about) != 0)
        return errno;
    *free_bytes = (uint64_t)about.f_bavail * about.f_frsize;
    return 0;
}

static int posix_is_volatile(const struct sl_vfs *vfs, const char *path, bool *result)
{
    (void)vfs;
    struct statfs about;
    *result = false;
    if (statfs(path, &about) != 0)
        return errno;
    *result = about.f_type == TMPFS_MAGIC || about.f_type == RAMFS_MAGIC;
    return 0;
}

static const struct sl_vfs posix = {
    .open = posix_open,
    .close = posix_close,
    .read = posix_read,
    .write = posix_write,
    .sync = posix_sync,
    .truncate = posix_truncate,
    .size = posix_size,
    .links = posix_links,
    .mode = posix_mode,
    .make_directory = posix_make_directory,
    .sync_directory = posix_sync_directory,
    .list = posix_list,
    .rename = posix_rename,
    .link = posix_link,
    .unlink = posix_unlink,
    .lock = posix_lock,
    .space = posix_space,
    .is_volatile = posix_is_volatile,
};
