#include "base/file_atomic.h"

#include "base/error.h"
#include "base/file.h"
#include "base/retry.h"
#include "base/temporary.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* /dev/stdout is one, whatever that is. */
static bool links_to_descriptor(const char *path)
{
    char target[sizeof "/proc/"];
    const size_t most = sizeof target - 1;
    return readlink(path, target, most) == (ssize_t)most && memcmp(target, "/proc/", most) == 0;
}

/* A device would be gone, and a file in its place, as root's /dev/null or /dev/stdout. A pipe of
 * this very name may go: one within a run's folder keeps no run from being resumed. */
int file_atomic_check(const char *path)
{
    struct stat info;
    bool fits = stat(path, &info) != 0 || S_ISREG(info.st_mode) || S_ISDIR(info.st_mode);
    if (fits && !links_to_descriptor(path)) return OK;
    if (lstat(path, &info) == 0 && (S_ISFIFO(info.st_mode) || S_ISSOCK(info.st_mode))) return OK;
    return fail(ERR_OUTPUT, "create %s: a device, or a link to what is no file", path);
}

int file_atomic_open(struct file_atomic *file, const char *path, size_t bytes)
{
    *file = (struct file_atomic){.fd = -1};
    TRY(file_atomic_check(path));
    file->path = string_format("%s", path);
    if (!file->path) return ERR_SYSTEM;
    int code = temporary_create(path, &file->temporary, &file->fd);
    if (code < 0) {
        file_atomic_abort(file);
        return code;
    }
    int error = bytes ? retry_fallocate(file->fd, (off_t)bytes) : 0;
    if (error == ENOSPC || error == EDQUOT || error == EFBIG || error == EIO) {
        errno = error;
        code = fail_errno(ERR_IO, "write %s", path);
        file_atomic_abort(file);
        return code;
    } /* any other answer: this file system cannot reserve space, which is no failure */
    return OK;
}

int file_atomic_write(struct file_atomic *file, const void *data, size_t bytes)
{
    return file_write_all(file->fd, data, bytes, file->path);
}

/* The position stays at the end of what was written: the file is cut there. */
int file_atomic_write_at(struct file_atomic *file, size_t at, const void *data, size_t bytes)
{
    off_t end = lseek(file->fd, 0, SEEK_CUR), behind = (off_t)(at + bytes);
    if (end < 0 || (end != (off_t)at && lseek(file->fd, (off_t)at, SEEK_SET) < 0))
        return fail_errno(ERR_IO, "write %s", file->path);
    TRY(file_write_all(file->fd, data, bytes, file->path));
    if (behind >= end || lseek(file->fd, end, SEEK_SET) >= 0) return OK;
    return fail_errno(ERR_IO, "write %s", file->path);
}

/* A network disk may tell only when a descriptor is closed that data were lost. So a copy is
 * closed: the file's own descriptor stays open, as it holds the lock on the temporary name. */
static int close_copy(int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return copy < 0 ? 0 : retry_close(copy);
}

/* An interrupted rename may have been done before it is begun again. */
static int rename_to(const struct file_atomic *file)
{
    struct stat ours, there;
    if (retry_rename(file->temporary, file->path) == 0) return 0;
    int error = errno;
    if (error == ENOENT && fstat(file->fd, &ours) == 0 && lstat(file->path, &there) == 0 &&
        ours.st_dev == there.st_dev && ours.st_ino == there.st_ino)
        return 0;
    errno = error;
    return -1;
}

int file_atomic_commit(struct file_atomic *file, bool sync)
{
    int code = OK;
    off_t end = lseek(file->fd, 0, SEEK_CUR);
    if (end >= 0 && retry_ftruncate(file->fd, end) != 0)
        TRY_CLEANUP(fail_errno(ERR_IO, "write %s", file->path));
    if (sync && retry_fsync(file->fd) != 0) TRY_CLEANUP(fail_errno(ERR_IO, "sync %s", file->path));
    if (close_copy(file->fd) != 0) TRY_CLEANUP(fail_errno(ERR_IO, "write %s", file->path));
    if (rename_to(file) != 0) TRY_CLEANUP(fail_errno(ERR_IO, "rename to %s", file->path));
    temporary_forget(file->temporary);
    free(file->temporary);
    file->temporary = NULL;
    if (sync) TRY_CLEANUP(file_sync_parent(file->path));
cleanup:
    file_atomic_abort(file);
    return code;
}

void file_atomic_abort(struct file_atomic *file)
{
    if (file->temporary && file->fd >= 0) unlink(file->temporary); /* while it is locked */
    if (file->temporary) temporary_forget(file->temporary);
    if (file->fd >= 0) retry_close(file->fd);
    free(file->temporary);
    free(file->path);
    *file = (struct file_atomic){.fd = -1};
}

int file_atomic_name(int fd, const char *path)
{
    char *temporary = NULL;
    if (retry_fsync(fd) != 0) return fail_errno(ERR_IO, "sync %s", path);
    TRY(temporary_link(path, fd, &temporary));
    int code = OK;
    if (retry_rename(temporary, path) != 0) {
        code = fail_errno(ERR_IO, "rename to %s", path);
        unlink(temporary);
    }
    temporary_forget(temporary);
    free(temporary);
    retry_flock(fd, LOCK_UN);
    return code < 0 ? code : file_sync_parent(path);
}

int file_atomic_write_whole(const char *path, const void *data, size_t bytes, bool sync)
{
    struct file_atomic file;
    TRY(file_atomic_open(&file, path, bytes));
    int code = file_atomic_write(&file, data, bytes);
    if (code < 0) {
        file_atomic_abort(&file);
        return code;
    }
    return file_atomic_commit(&file, sync);
}
