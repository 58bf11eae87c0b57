#include "journal/small_file.h"

#include <errno.h>
#include <stdio.h>

/* False: it is too long. */
static bool temporary_path(char out[SL_PATH_SIZE_MAX], const char *directory, const char *name)
{
    int size = snprintf(out, SL_PATH_SIZE_MAX, "%s/%s.tmp", directory, name);
    return size >= 0 && size < SL_PATH_SIZE_MAX;
}

static int remove_if_there(const struct sl_vfs *vfs, const char *path)
{
    int error = vfs->unlink(vfs, path);
    return error == ENOENT ? 0 : error;
}

/* What a crash has left there does not count. */
static int create_temporary(const struct sl_vfs *vfs, const char *path, struct sl_file **file)
{
    int error = remove_if_there(vfs, path);
    if (error != 0)
        return error;
    return vfs->open(vfs, path, SL_VFS_WRITE | SL_VFS_CREATE, file);
}

static int write_temporary(const struct sl_vfs *vfs, const char *path, struct sl_bytes bytes)
{
    struct sl_file *file;
    int error = create_temporary(vfs, path, &file);
    if (error != 0)
        return error;
    error = vfs->write(file, bytes.data, bytes.size, 0);
    if (error == 0)
        error = vfs->sync(file);
    vfs->close(file);
    if (error != 0)
        (void)vfs->unlink(vfs, path);
    return error;
}

int sl_small_file_replace(const struct sl_vfs *vfs, const char *directory, const char *name,
                          struct sl_bytes bytes, bool *unknown)
{
    char path[SL_PATH_SIZE_MAX];
    char temporary[SL_PATH_SIZE_MAX];
    *unknown = false;
    if (!temporary_path(temporary, directory, name) || !sl_path_join(path, directory, name))
        return ENAMETOOLONG;
    int error = write_temporary(vfs, temporary, bytes);
    if (error != 0)
        return error;
    error = vfs->rename(vfs, temporary, path);
    if (error == 0)
        error = vfs->sync_directory(vfs, directory);
    /* From the rename on nobody knows which one the directory on the disk names. */
    *unknown = error != 0;
    return error;
}

int sl_small_file_remove_temporary(const struct sl_vfs *vfs, const char *directory,
                                   const char *name)
{
    char temporary[SL_PATH_SIZE_MAX];
    if (!temporary_path(temporary, directory, name))
        return ENAMETOOLONG;
    return remove_if_there(vfs, temporary);
}
