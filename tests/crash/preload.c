/*
 * tests/crash/preload.c - kills, fails or delays a process at its calls on a directory
 *
 * What     Loaded with LD_PRELOAD; wraps the C library's calls on files below PRELOAD_DIR.
 * Why      A crash test by time hits the same few moments again and again; this one hits every one.
 * Thread   Any; the counters are atomic.
 *
 * Environment
 *   PRELOAD_DIR      absolute path of the directory
 *   PRELOAD_LOG      a file: a line per call, "N KIND CLASS BEGIN_NS END_NS RESULT SYNCED NAME", by
 *                    the monotonic clock, written when the call has returned
 *   PRELOAD_KILL     "K before" or "K after": SIGKILL to this process at the K-th call
 *   PRELOAD_FAIL     "KIND CLASS K ERROR once|sticky": the K-th call of this kind on a file of this
 *                    class fails with EIO, ENOSPC or EINTR, or is SHORT; * stands for all
 *   PRELOAD_DELAY    "CLASS MS": writes and syncs begin so much later while PRELOAD_WHEN is there
 *   PRELOAD_WHEN     a path
 *
 * Kinds    open (that creates), write, sync, rename, link, unlink, truncate, allocate, mkdir; read
 *          does not count for PRELOAD_KILL.
 * Classes  wal, seg, MANIFEST, other: by the start of the file's name.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { DESCRIPTORS_MAX = 65536, NAME_SIZE = 64 };

/* A wrapped call while it is under way. */
struct call {
    const char *kind;
    char name[NAME_SIZE]; /* last part of the path */
    const char *class;
    bool synced; /* the descriptor writes through */
    long number; /* 0: not counted */
    int error;   /* to fail with; -1: be short; 0: none */
    uint64_t begin_ns;
};

static char directory[PATH_MAX];
static const char *delay_when = "/";
static size_t directory_size;
static int log_descriptor = -1;
static long kill_at, fail_at, delay_ms;
static bool kill_after, fail_sticky;
static char fail_kind[NAME_SIZE], fail_class[NAME_SIZE], delay_class[NAME_SIZE];
static int fail_error;
static atomic_long calls, fail_calls;
static atomic_bool started;
static bool tracked[DESCRIPTORS_MAX], synced[DESCRIPTORS_MAX];
static char names[DESCRIPTORS_MAX][NAME_SIZE];

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

static int error_number(const char *name)
{
    if (strcmp(name, "SHORT") == 0)
        return -1;
    return strcmp(name, "ENOSPC") == 0 ? ENOSPC : strcmp(name, "EINTR") == 0 ? EINTR : EIO;
}

__attribute__((constructor)) static void start(void)
{
    char word[2][NAME_SIZE] = { "", "" };
    const char *text = getenv("PRELOAD_DIR");
    if (text == NULL)
        return;
    if (realpath(text, directory) == NULL) { /* nothing would ever be delayed, and nobody know */
        fprintf(stderr, "preload: %s: %s\n", text, strerror(errno));
        abort();
    }
    directory_size = strlen(directory);
    if ((text = getenv("PRELOAD_LOG")) != NULL)
        log_descriptor = (int)syscall(SYS_openat, AT_FDCWD, text,
                                      O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if ((text = getenv("PRELOAD_KILL")) != NULL && sscanf(text, "%ld %63s", &kill_at, word[0]) == 2)
        kill_after = strcmp(word[0], "after") == 0;
    if ((text = getenv("PRELOAD_FAIL")) != NULL &&
        sscanf(text, "%63s %63s %ld %63s %63s", fail_kind, fail_class, &fail_at, word[0],
               word[1]) == 5) {
        fail_error = error_number(word[0]);
        fail_sticky = strcmp(word[1], "sticky") == 0;
    }
    if ((text = getenv("PRELOAD_DELAY")) != NULL)
        sscanf(text, "%63s %ld", delay_class, &delay_ms);
    if ((text = getenv("PRELOAD_WHEN")) != NULL)
        delay_when = text;
    atomic_store(&started, true);
}

static const char *class_of(const char *name)
{
    static const char *const classes[] = { "wal", "seg", "MANIFEST" };
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
        if (strncmp(name, classes[i], strlen(classes[i])) == 0)
            return classes[i];
    return "other";
}

static void end_here(void)
{
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;)
        pause();
}

static bool is_wanted(const char *wanted, const char *what)
{
    return strcmp(wanted, "*") == 0 || strcmp(wanted, what) == 0;
}

static void begin(struct call *call, const char *kind, const char *name, bool is_synced)
{
    *call = (struct call){ .kind = kind, .class = class_of(name), .synced = is_synced };
    snprintf(call->name, sizeof(call->name), "%s", name);
    call->begin_ns = now_ns();
    if (strcmp(kind, "read") != 0) {
        call->number = atomic_fetch_add(&calls, 1) + 1;
        if (call->number == kill_at && !kill_after)
            end_here();
    }
    if (fail_at > 0 && is_wanted(fail_kind, kind) && is_wanted(fail_class, call->class)) {
        long number = atomic_fetch_add(&fail_calls, 1) + 1;
        if (number == fail_at || (fail_sticky && number > fail_at))
            call->error = fail_error;
    }
    bool delayed = strcmp(kind, "write") == 0 || strcmp(kind, "sync") == 0;
    if (delay_ms > 0 && delayed && is_wanted(delay_class, call->class) &&
        access(delay_when, F_OK) == 0) {
        struct timespec t = { delay_ms / 1000, delay_ms % 1000 * 1000000 };
        while (nanosleep(&t, &t) != 0)
            ;
    }
}

static void finish(struct call *call, long result)
{
    int saved = errno;
    if (log_descriptor >= 0) {
        char line[256];
        int size = snprintf(line, sizeof(line), "%ld %s %s %llu %llu %ld %d %s\n", call->number,
                            call->kind, call->class, (unsigned long long)call->begin_ns,
                            (unsigned long long)now_ns(), result, call->synced, call->name);
        syscall(SYS_write, log_descriptor, line, (size_t)size);
    }
    if (call->number > 0 && call->number == kill_at && kill_after)
        end_here();
    errno = saved;
}

/* Is it below the directory? Then `name` gets its last part. */
static bool path_is_ours(int at, const char *path, char name[NAME_SIZE])
{
    char whole[PATH_MAX * 2];
    if (!atomic_load(&started) || path == NULL)
        return false;
    if (path[0] == '/') {
        snprintf(whole, sizeof(whole), "%s", path);
    } else {
        char link[64];
        snprintf(link, sizeof(link), at == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", at);
        ssize_t size = readlink(link, whole, PATH_MAX - 1);
        if (size < 0)
            return false;
        snprintf(whole + size, sizeof(whole) - (size_t)size, "/%s", path);
    }
    if (strncmp(whole, directory, directory_size) != 0 ||
        (whole[directory_size] != '/' && whole[directory_size] != 0))
        return false;
    const char *last = strrchr(whole, '/') + 1;
    snprintf(name, NAME_SIZE, "%.*s", NAME_SIZE - 1, *last == 0 ? "." : last);
    return true;
}

static bool is_ours(int descriptor)
{
    return atomic_load(&started) && descriptor >= 0 && descriptor < DESCRIPTORS_MAX &&
           tracked[descriptor];
}

static void track(int descriptor, const char *name, int flags)
{
    if (descriptor < 0 || descriptor >= DESCRIPTORS_MAX)
        return;
    snprintf(names[descriptor], NAME_SIZE, "%s", name);
    synced[descriptor] = (flags & O_DSYNC) != 0;
    tracked[descriptor] = true;
}

/* ---- open and close ---- */

static int open_any(int at, const char *path, int flags, mode_t mode)
{
    char name[NAME_SIZE];
    struct call call;
    if (!path_is_ours(at, path, name))
        return (int)syscall(SYS_openat, at, path, flags, mode);
    if ((flags & O_CREAT) == 0) {
        int descriptor = (int)syscall(SYS_openat, at, path, flags, mode);
        track(descriptor, name, flags);
        return descriptor;
    }
    begin(&call, "open", name, false);
    int descriptor = -1;
    if (call.error > 0)
        errno = call.error;
    else
        descriptor = (int)syscall(SYS_openat, at, path, flags, mode);
    track(descriptor, name, flags);
    finish(&call, descriptor);
    return descriptor;
}

#define OPEN_MODE(flags, last)                                                                     \
    mode_t mode = 0;                                                                               \
    if (((flags)&O_CREAT) != 0 || ((flags)&O_TMPFILE) == O_TMPFILE) {                              \
        va_list list;                                                                              \
        va_start(list, last);                                                                      \
        mode = va_arg(list, mode_t);                                                               \
        va_end(list);                                                                              \
    }

int open(const char *path, int flags, ...)
{
    OPEN_MODE(flags, flags)
    return open_any(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    OPEN_MODE(flags, flags)
    return open_any(AT_FDCWD, path, flags, mode);
}

int openat(int at, const char *path, int flags, ...)
{
    OPEN_MODE(flags, flags)
    return open_any(at, path, flags, mode);
}

int openat64(int at, const char *path, int flags, ...)
{
    OPEN_MODE(flags, flags)
    return open_any(at, path, flags, mode);
}

int creat(const char *path, mode_t mode)
{
    return open_any(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int close(int descriptor)
{
    if (descriptor >= 0 && descriptor < DESCRIPTORS_MAX)
        tracked[descriptor] = false;
    return (int)syscall(SYS_close, descriptor);
}

/* ---- write, read, sync ---- */

/* How much a call that is to be short may still do: about half, in whole blocks if it can. */
static size_t shortened(size_t size)
{
    return size > 8192 ? size / 2 / 4096 * 4096 : size >= 8192 ? 4096 : size / 2;
}

#define TRANSFER(kind_, descriptor, size, whole, part)                                             \
    do {                                                                                           \
        struct call call;                                                                          \
        if (!is_ours(descriptor))                                                                  \
            return whole;                                                                          \
        begin(&call, kind_, names[descriptor], synced[descriptor]);                                \
        ssize_t result = -1;                                                                       \
        size_t less = shortened(size);                                                             \
        if (call.error > 0)                                                                        \
            errno = call.error;                                                                    \
        else if (call.error == 0)                                                                  \
            result = whole;                                                                        \
        else if ((result = part) < 0)                                                              \
            result = 0;                                                                            \
        finish(&call, result);                                                                     \
        return result;                                                                             \
    } while (0)

ssize_t pwrite(int descriptor, const void *data, size_t size, off_t at)
{
    TRANSFER("write", descriptor, size, syscall(SYS_pwrite64, descriptor, data, size, at),
             syscall(SYS_pwrite64, descriptor, data, less, at));
}

ssize_t pwrite64(int descriptor, const void *data, size_t size, off64_t at)
{
    return pwrite(descriptor, data, size, at);
}

ssize_t write(int descriptor, const void *data, size_t size)
{
    TRANSFER("write", descriptor, size, syscall(SYS_write, descriptor, data, size),
             syscall(SYS_write, descriptor, data, less));
}

ssize_t pread(int descriptor, void *data, size_t size, off_t at)
{
    TRANSFER("read", descriptor, size, syscall(SYS_pread64, descriptor, data, size, at),
             syscall(SYS_pread64, descriptor, data, less, at));
}

ssize_t pread64(int descriptor, void *data, size_t size, off64_t at)
{
    return pread(descriptor, data, size, at);
}

/* Of a vector, a short call does the first part only. */
#define VECTOR(kind_, number, flags)                                                               \
    TRANSFER(                                                                                      \
        kind_, descriptor, parts[0].iov_len,                                                       \
        syscall(number, descriptor, parts, (long)count, (long)at, (long)(at >> 32), flags),        \
        ((void)less, syscall(number, descriptor, parts, 1L, (long)at, (long)(at >> 32), flags)))

ssize_t pwritev2(int descriptor, const struct iovec *parts, int count, off_t at, int flags)
{
    VECTOR("write", SYS_pwritev2, flags);
}

ssize_t pwritev64v2(int descriptor, const struct iovec *parts, int count, off64_t at, int flags)
{
    VECTOR("write", SYS_pwritev2, flags);
}

ssize_t pwritev(int descriptor, const struct iovec *parts, int count, off_t at)
{
    VECTOR("write", SYS_pwritev2, 0);
}

ssize_t pwritev64(int descriptor, const struct iovec *parts, int count, off64_t at)
{
    VECTOR("write", SYS_pwritev2, 0);
}

ssize_t preadv2(int descriptor, const struct iovec *parts, int count, off_t at, int flags)
{
    VECTOR("read", SYS_preadv2, flags);
}

ssize_t preadv64v2(int descriptor, const struct iovec *parts, int count, off64_t at, int flags)
{
    VECTOR("read", SYS_preadv2, flags);
}

ssize_t preadv(int descriptor, const struct iovec *parts, int count, off_t at)
{
    VECTOR("read", SYS_preadv2, 0);
}

ssize_t preadv64(int descriptor, const struct iovec *parts, int count, off64_t at)
{
    VECTOR("read", SYS_preadv2, 0);
}

/* What cannot be short does nothing then, and says so. */
#define CHANGE(kind_, ours, its_name, real)                                                        \
    do {                                                                                           \
        struct call call;                                                                          \
        if (!(ours))                                                                               \
            return real;                                                                           \
        begin(&call, kind_, its_name, false);                                                      \
        int result = -1;                                                                           \
        if (call.error != 0)                                                                       \
            errno = call.error > 0 ? call.error : EIO;                                             \
        else                                                                                       \
            result = (int)real;                                                                    \
        finish(&call, result);                                                                     \
        return result;                                                                             \
    } while (0)

#define CHANGE_FILE(kind_, real) CHANGE(kind_, is_ours(descriptor), names[descriptor], real)

int fsync(int descriptor)
{
    CHANGE_FILE("sync", syscall(SYS_fsync, descriptor));
}

int fdatasync(int descriptor)
{
    CHANGE_FILE("sync", syscall(SYS_fdatasync, descriptor));
}

int ftruncate(int descriptor, off_t size)
{
    CHANGE_FILE("truncate", syscall(SYS_ftruncate, descriptor, size));
}

int ftruncate64(int descriptor, off64_t size)
{
    return ftruncate(descriptor, size);
}

int fallocate(int descriptor, int mode, off_t at, off_t size)
{
    CHANGE_FILE("allocate", syscall(SYS_fallocate, descriptor, mode, at, size));
}

int fallocate64(int descriptor, int mode, off64_t at, off64_t size)
{
    return fallocate(descriptor, mode, at, size);
}

/* ---- names ---- */

#define CHANGE_PATH(kind_, at, path, real)                                                         \
    char name[NAME_SIZE];                                                                          \
    bool ours = path_is_ours(at, path, name);                                                      \
    CHANGE(kind_, ours, name, real)

int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags)
{
    CHANGE_PATH("rename", to_at, to, syscall(SYS_renameat2, from_at, from, to_at, to, flags));
}

int renameat(int from_at, const char *from, int to_at, const char *to)
{
    return renameat2(from_at, from, to_at, to, 0);
}

int rename(const char *from, const char *to)
{
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int linkat(int from_at, const char *from, int to_at, const char *to, int flags)
{
    CHANGE_PATH("link", to_at, to, syscall(SYS_linkat, from_at, from, to_at, to, flags));
}

int link(const char *from, const char *to)
{
    return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlinkat(int at, const char *path, int flags)
{
    CHANGE_PATH("unlink", at, path, syscall(SYS_unlinkat, at, path, flags));
}

int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

int mkdirat(int at, const char *path, mode_t mode)
{
    CHANGE_PATH("mkdir", at, path, syscall(SYS_mkdirat, at, path, mode));
}

int mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}
