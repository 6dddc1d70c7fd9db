/* The linker puts __wrap_NAME in the place of NAME, which is __real_NAME here. */
#include "test/failing_calls.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

static _Thread_local struct failing_call plan;
static _Thread_local int calls;
static _Thread_local const char *failed_name; /* of the first one that did */

void call_fails(struct failing_call which)
{
    plan = which;
    calls = 0;
    failed_name = NULL;
}

const char *call_that_failed(void)
{
    plan = (struct failing_call){0};
    return failed_name;
}

static bool call_must_fail(const char *name, int error)
{
    if (plan.turn == 0 || (plan.name && strcmp(plan.name, name) != 0)) return false;
    int behind = ++calls - plan.turn;
    if (behind != 0 && (behind < 0 || plan.every == 0 || behind % plan.every != 0)) return false;
    if (!failed_name) failed_name = name;
    errno = plan.error ? plan.error : error;
    return true;
}

#define WRAP(type, failed, error, name, parameters, ...)                                           \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters                                                                  \
    {                                                                                              \
        return call_must_fail(#name, error) ? failed : __real_##name(__VA_ARGS__);                 \
    }

/* ---- memory ---- */

WRAP(void *, NULL, ENOMEM, malloc, (size_t bytes), bytes)
WRAP(void *, NULL, ENOMEM, calloc, (size_t count, size_t bytes), count, bytes)
WRAP(void *, NULL, ENOMEM, realloc, (void *old, size_t bytes), old, bytes)
WRAP(char *, NULL, ENOMEM, strdup, (const char *text), text)
WRAP(int, -1, ENOMEM, vasprintf, (char **text, const char *format, va_list words), text, format,
     words)
WRAP(FILE *, NULL, ENOMEM, fopencookie, (void *to, const char *mode, cookie_io_functions_t how), to,
     mode, how)
WRAP(void *, MAP_FAILED, ENOMEM, mmap,
     (void *at, size_t bytes, int may, int flags, int fd, off_t from), at, bytes, may, flags, fd,
     from)

/* ---- files ---- */

WRAP(int, -1, EIO, stat, (const char *path, struct stat *info), path, info)
WRAP(int, -1, EIO, lstat, (const char *path, struct stat *info), path, info)
WRAP(int, -1, EIO, fstat, (int fd, struct stat *info), fd, info)
WRAP(int, -1, EIO, fstatat, (int folder, const char *name, struct stat *info, int flags), folder,
     name, info, flags)
WRAP(ssize_t, -1, EIO, read, (int fd, void *to, size_t bytes), fd, to, bytes)
WRAP(ssize_t, -1, EIO, pread, (int fd, void *to, size_t bytes, off_t at), fd, to, bytes, at)
WRAP(ssize_t, -1, EIO, write, (int fd, const void *from, size_t bytes), fd, from, bytes)
WRAP(ssize_t, -1, EIO, pwrite, (int fd, const void *from, size_t bytes, off_t at), fd, from, bytes,
     at)
WRAP(off_t, -1, EIO, lseek, (int fd, off_t at, int from), fd, at, from)
WRAP(int, -1, EIO, ftruncate, (int fd, off_t bytes), fd, bytes)
WRAP(int, errno, EIO, posix_fallocate, (int fd, off_t at, off_t bytes), fd, at, bytes)
WRAP(int, -1, EIO, flock, (int fd, int operation), fd, operation)
WRAP(int, -1, EIO, madvise, (void *at, size_t bytes, int advice), at, bytes, advice)
WRAP(int, -1, EIO, rename, (const char *from, const char *to), from, to)
WRAP(int, -1, EIO, linkat, (int from, const char *a, int to, const char *b, int flags), from, a, to,
     b, flags)
WRAP(int, -1, EIO, unlink, (const char *path), path)
WRAP(int, -1, EIO, unlinkat, (int folder, const char *name, int flags), folder, name, flags)
WRAP(int, -1, EIO, mkdir, (const char *path, mode_t mode), path, mode)
WRAP(DIR *, NULL, EIO, fdopendir, (int fd), fd)
WRAP(struct dirent *, NULL, EIO, readdir, (DIR * folder), folder)

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    va_list words;
    va_start(words, flags);
    mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(words, mode_t) : 0;
    va_end(words);
    return call_must_fail("open", EIO) ? -1 : __real_open(path, flags, mode);
}

static bool instant;

void fsync_is_instant(void)
{
    instant = true;
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
    return call_must_fail("fsync", EIO) ? -1 : instant ? 0 : __real_fsync(fd);
}

int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
    int result = __real_close(fd);
    return call_must_fail("close", EIO) ? -1 : result;
}

WRAP(ssize_t, -1, ENOSYS, getrandom, (void *to, size_t bytes, unsigned flags), to, bytes, flags)
