#include "base/file.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

char *string_format(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = NULL;
    if (vasprintf(&text, format, args) < 0) {
        text = NULL;
        fail(ERR_SYSTEM, "out of memory");
    }
    va_end(args);
    return text;
}

char *path_join(const char *dir, const char *name)
{
    size_t n = strlen(dir);
    return string_format(n && dir[n - 1] == '/' ? "%s%s" : "%s/%s", dir, name);
}

bool file_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

bool file_is_dir(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

int file_make_dirs(const char *path)
{
    char *copy = string_format("%s", path);
    if (!copy) return ERR_SYSTEM;
    int code = OK;
    for (char *p = copy + 1; code == OK; p++) {
        if (*p != '/' && *p != '\0') continue;
        char kept = *p;
        *p = '\0';
        if (mkdir(copy, 0777) != 0 && !(errno == EEXIST && file_is_dir(copy)))
            code = fail_errno(ERR_OUTPUT, "create folder %s", copy);
        *p = kept;
        if (kept == '\0') break;
    }
    free(copy);
    return code;
}

int file_read(const char *path, size_t limit, uint8_t **data, size_t *bytes)
{
    *data = NULL;
    *bytes = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fail_errno(ERR_INPUT, "open %s", path);
    int code = OK;
    uint8_t *buffer = NULL;
    struct stat info;
    if (fstat(fd, &info) != 0) {
        code = fail_errno(ERR_IO, "stat %s", path);
        goto cleanup;
    }
    if (S_ISDIR(info.st_mode)) {
        code = fail(ERR_DATA, "%s is a folder", path);
        goto cleanup;
    }
    if (info.st_size > 0 && (uint64_t)info.st_size > limit) {
        code = fail(ERR_DATA, "%s: %lld bytes, more than the limit of %zu", path,
                    (long long)info.st_size, limit);
        goto cleanup;
    }
    size_t room = info.st_size > 0 ? (size_t)info.st_size + 1 : 65536, used = 0;
    buffer = malloc(room);
    if (!buffer) {
        code = fail(ERR_SYSTEM, "%s: out of memory", path);
        goto cleanup;
    }
    for (;;) { /* a pipe or a growing file has no size to trust */
        if (used + 1 >= room) {
            uint8_t *larger = realloc(buffer, room * 2);
            if (!larger) {
                code = fail(ERR_SYSTEM, "%s: out of memory", path);
                goto cleanup;
            }
            buffer = larger;
            room *= 2;
        }
        ssize_t got = read(fd, buffer + used, room - used - 1);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            code = fail_errno(ERR_IO, "read %s", path);
            goto cleanup;
        }
        if (got == 0) break;
        used += (size_t)got;
        if (used > limit) {
            code = fail(ERR_DATA, "%s: more than the limit of %zu bytes", path, limit);
            goto cleanup;
        }
    }
    buffer[used] = 0;
    *data = buffer;
    *bytes = used;
    buffer = NULL;
cleanup:
    free(buffer);
    close(fd);
    return code;
}

int file_map(struct file_map *map, const char *path)
{
    *map = (struct file_map){0};
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fail_errno(ERR_INPUT, "open %s", path);
    int code = OK;
    if (fstat(fd, &info) != 0)
        code = fail_errno(ERR_IO, "stat %s", path);
    else if (!S_ISREG(info.st_mode))
        code = fail(ERR_DATA, "%s is not a regular file", path);
    else if (info.st_size > 0) {
        void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED)
            code = fail_errno(ERR_SYSTEM, "map %s", path);
        else
            *map = (struct file_map){data, (size_t)info.st_size};
    }
    close(fd);
    return code;
}

void file_unmap(struct file_map *map)
{
    if (map->data) munmap((void *)(uintptr_t)map->data, map->bytes);
    *map = (struct file_map){0};
}

void file_map_drop(const struct file_map *map)
{
    if (map->data) madvise((void *)(uintptr_t)map->data, map->bytes, MADV_DONTNEED);
}

int file_write_all(int fd, const void *data, size_t bytes, const char *name)
{
    const uint8_t *p = data;
    while (bytes > 0) {
        ssize_t written = write(fd, p, bytes);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return fail_errno(ERR_IO, "write %s", name);
        p += written;
        bytes -= (size_t)written;
    }
    return OK;
}

int file_atomic_open(struct file_atomic *file, const char *path, size_t bytes)
{
    *file = (struct file_atomic){.fd = -1};
    file->path = string_format("%s", path);
    file->temporary = string_format("%s.tmp%ld", path, (long)getpid());
    if (!file->path || !file->temporary) {
        file_atomic_abort(file);
        return ERR_SYSTEM;
    }
    unlink(file->temporary); /* left by a killed process that had our pid */
    file->fd = open(file->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file->fd < 0) {
        int code = fail_errno(ERR_OUTPUT, "create %s", path);
        free(file->temporary);
        file->temporary = NULL;
        file_atomic_abort(file);
        return code;
    }
    int error = bytes ? posix_fallocate(file->fd, 0, (off_t)bytes) : 0;
    if (error == ENOSPC || error == EDQUOT || error == EFBIG || error == EIO) {
        errno = error;
        int code = fail_errno(ERR_IO, "write %s", path);
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

static int sync_folder(const char *path)
{
    char *copy = string_format("%s", path);
    if (!copy) return ERR_SYSTEM;
    char *slash = strrchr(copy, '/');
    if (slash) slash[slash == copy] = '\0';
    int fd = open(slash ? copy : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int code = OK;
    if (fd < 0 || (fsync(fd) != 0 && errno != EINVAL)) code = fail_errno(ERR_IO, "sync %s", copy);
    if (fd >= 0) close(fd);
    free(copy);
    return code;
}

int file_atomic_commit(struct file_atomic *file, bool sync)
{
    int code = OK;
    off_t end = lseek(file->fd, 0, SEEK_CUR);
    if (end >= 0 && ftruncate(file->fd, end) != 0)
        TRY_CLEANUP(fail_errno(ERR_IO, "write %s", file->path));
    if (sync && fsync(file->fd) != 0) TRY_CLEANUP(fail_errno(ERR_IO, "sync %s", file->path));
    int closed = close(file->fd);
    file->fd = -1;
    if (closed != 0) TRY_CLEANUP(fail_errno(ERR_IO, "write %s", file->path));
    if (rename(file->temporary, file->path) != 0)
        TRY_CLEANUP(fail_errno(ERR_IO, "rename to %s", file->path));
    free(file->temporary);
    file->temporary = NULL;
    if (sync) TRY_CLEANUP(sync_folder(file->path));
cleanup:
    file_atomic_abort(file);
    return code;
}

void file_atomic_abort(struct file_atomic *file)
{
    if (file->fd >= 0) close(file->fd);
    if (file->temporary) unlink(file->temporary);
    free(file->temporary);
    free(file->path);
    *file = (struct file_atomic){.fd = -1};
}

int file_write_atomic(const char *path, const void *data, size_t bytes, bool sync)
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

char *file_existing_parent(const char *path)
{
    char *parent = string_format("%s", *path ? path : ".");
    while (parent && !file_is_dir(parent)) {
        char *slash = strrchr(parent, '/');
        if (slash && slash != parent) {
            *slash = '\0';
        } else {
            strcpy(parent, slash ? "/" : ".");
            break;
        }
    }
    return parent;
}

int64_t file_disk_free(const char *path)
{
    struct statvfs info;
    if (statvfs(path, &info) != 0 || info.f_blocks == 0) return -1; /* /proc has no size */
    return (int64_t)info.f_bavail * (int64_t)info.f_frsize;
}
