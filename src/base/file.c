#include "base/file.h"

#include "base/error.h"
#include "base/retry.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
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

int string_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char *path_join(const char *dir, const char *name)
{
    size_t n = strlen(dir);
    return string_format(n && dir[n - 1] == '/' ? "%s%s" : "%s/%s", dir, name);
}

const char *file_temporary_folder(void)
{
    const char *folder = getenv("TMPDIR");
    return folder && *folder ? folder : "/tmp";
}

char *file_folder_name(const char *path)
{
    char *whole = realpath(path, NULL);
    const char *from = whole ? whole : path, *slash = strrchr(from, '/');
    char *name = string_format("%s", slash && slash[1] ? slash + 1 : from);
    free(whole);
    return name;
}

bool file_exists(const char *path)
{
    struct stat info;
    if (retry_stat(path, &info) == 0) return true;
    return errno != ENOENT && errno != ENOTDIR && errno != ELOOP && errno != ENAMETOOLONG;
}

bool file_exists_in(const char *dir, const char *name)
{
    char *path = path_join(dir, name);
    bool there = path && file_exists(path);
    free(path);
    return there;
}

bool file_is_dir(const char *path)
{
    struct stat info;
    return retry_stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

int file_sync_folder(const char *path)
{
    int fd = retry_open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd < 0 && errno == EACCES) return OK; /* one that may be written to but not listed */
    int code = OK;
    if (fd < 0 || (retry_fsync(fd) != 0 && errno != EINVAL && errno != EBADF))
        code = fail_errno(ERR_IO, "sync %s", path);
    if (fd >= 0) retry_close(fd);
    return code;
}

int file_sync_parent(const char *path)
{
    char *copy = string_format("%s", path);
    if (!copy) return ERR_SYSTEM;
    size_t n = strlen(copy);
    while (n > 1 && copy[n - 1] == '/')
        copy[--n] = '\0';
    char *slash = strrchr(copy, '/');
    if (slash) slash[slash == copy] = '\0';
    int code = file_sync_folder(slash ? copy : ".");
    free(copy);
    return code;
}

int file_make_dir(const char *path, bool *existed)
{
    *existed = retry_mkdir(path) != 0;
    if (!*existed) return file_sync_parent(path);
    if (errno == EEXIST) return OK;
    return fail_errno(ERR_OUTPUT, "create folder %s", path);
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
        bool existed = file_is_dir(copy);
        if (!existed) code = file_make_dir(copy, &existed);
        if (code == OK && existed && !file_is_dir(copy))
            code = fail(ERR_OUTPUT, "create folder %s: %s", copy, strerror(EEXIST));
        *p = kept;
        if (kept == '\0') break;
    }
    free(copy);
    return code;
}

DIR *file_open_folder(const char *path, bool follow)
{
    int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW);
    int fd = retry_open(path, flags, 0);
    DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
    if (fd >= 0 && !folder) {
        int error = errno;
        retry_close(fd);
        errno = error;
    }
    return folder;
}

int file_next_name(DIR *folder, const char *path, const char **name)
{
    errno = 0;
    struct dirent *entry = readdir(folder);
    *name = entry ? entry->d_name : NULL;
    if (entry) return 1;
    return errno == 0 ? 0 : fail_errno(ERR_IO, "list %s", path);
}

static bool is_link(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0 && S_ISLNK(info.st_mode);
}

int file_check_own_folder(const char *path)
{
    if (!is_link(path)) return OK;
    return fail(ERR_ACCESS, "%s is a link: links within a run folder are not followed", path);
}

int file_open_own(const char *path, int flags, int code, int *fd)
{
    struct stat info;
    *fd = retry_open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0666);
    if (*fd < 0 && errno == ELOOP && is_link(path))
        return fail(ERR_ACCESS, "%s is a link: links within a run folder are not followed", path);
    bool pipe = *fd < 0 && errno == ENXIO && lstat(path, &info) == 0 && !S_ISREG(info.st_mode);
    if (*fd < 0 && !pipe) return fail_errno(code, "open %s", path);
    if (!pipe && fstat(*fd, &info) != 0)
        code = fail_errno(ERR_IO, "stat %s", path);
    else if (pipe || !S_ISREG(info.st_mode))
        code = fail(code == ERR_INPUT ? ERR_DATA : code, "%s is not a regular file", path);
    else
        return OK;
    if (*fd < 0) return code;
    retry_close(*fd);
    *fd = -1;
    return code;
}

bool file_is_locked_in(const char *dir, const char *name)
{
    char *path = path_join(dir, name);
    int fd = -1;
    if (path && file_exists(path)) file_open_own(path, O_RDONLY, ERR_INPUT, &fd);
    bool locked = fd >= 0 && retry_flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    if (fd >= 0) retry_close(fd);
    free(path);
    return locked;
}

int file_read(const char *path, size_t limit, uint8_t **data, size_t *bytes)
{
    *data = NULL;
    *bytes = 0;
    int fd = retry_open(path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) return fail_errno(ERR_INPUT, "open %s", path);
    int code = file_read_open(fd, path, limit, data, bytes);
    retry_close(fd);
    return code;
}

int file_read_open(int fd, const char *path, size_t limit, uint8_t **data, size_t *bytes)
{
    *data = NULL;
    *bytes = 0;
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
    return code;
}

int file_read_own(const char *path, size_t limit, uint8_t **data, size_t *bytes)
{
    int fd;
    *data = NULL;
    *bytes = 0;
    TRY(file_open_own(path, O_RDONLY, ERR_INPUT, &fd));
    int code = file_read_open(fd, path, limit, data, bytes);
    retry_close(fd);
    return code;
}

int file_map(struct file_map *map, const char *path)
{
    *map = (struct file_map){0};
    struct stat info;
    int fd = retry_open(path, O_RDONLY | O_CLOEXEC, 0);
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
    retry_close(fd);
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

bool file_pages_are_there(const void *from, size_t bytes)
{
#ifdef MADV_POPULATE_READ
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = (uintptr_t)from / page * page, end = (uintptr_t)from + bytes;
    if (bytes == 0 || madvise((void *)first, end - first, MADV_POPULATE_READ) == 0) return true;
    return errno != EFAULT && errno != EHWPOISON && errno != EIO;
#else
    (void)from;
    (void)bytes;
    return true;
#endif
}

int file_write_all(int fd, const void *data, size_t bytes, const char *name)
{
    const uint8_t *p = data;
    while (bytes > 0) {
        ssize_t written = write(fd, p, bytes);
        if (written < 0 && errno == EINTR) continue;
        if (written == 0) errno = ENOSPC;
        if (written <= 0) return fail_errno(ERR_IO, "write %s", name);
        p += written;
        bytes -= (size_t)written;
    }
    return OK;
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
