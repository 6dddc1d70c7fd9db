/* System calls on files, begun again when a signal interrupts them: on network disks and FUSE
 * nearly any of them can be, whatever SA_RESTART says. Otherwise each is the call that it is named
 * after. */
#ifndef IMGTRAIN_BASE_RETRY_H
#define IMGTRAIN_BASE_RETRY_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static inline int retry_open(const char *path, int flags, mode_t mode)
{
    int fd;
    do {
        fd = open(path, flags, mode);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

/* An interrupted close has closed all the same (Linux): a second one might hit another file. */
static inline int retry_close(int fd)
{
    return close(fd) != 0 && errno != EINTR && errno != EINPROGRESS ? -1 : 0;
}

static inline int retry_fsync(int fd)
{
    int result;
    do {
        result = fsync(fd);
    } while (result != 0 && errno == EINTR);
    return result;
}

static inline int retry_ftruncate(int fd, off_t bytes)
{
    int result;
    do {
        result = ftruncate(fd, bytes);
    } while (result != 0 && errno == EINTR);
    return result;
}

static inline int retry_flock(int fd, int operation)
{
    int result;
    do {
        result = flock(fd, operation);
    } while (result != 0 && errno == EINTR);
    return result;
}

/* Returns the error instead of setting errno, as posix_fallocate does. */
static inline int retry_fallocate(int fd, off_t bytes)
{
    int error;
    do {
        error = posix_fallocate(fd, 0, bytes);
    } while (error == EINTR);
    return error;
}

static inline int retry_rename(const char *from, const char *to)
{
    int result;
    do {
        result = rename(from, to);
    } while (result != 0 && errno == EINTR);
    return result;
}

static inline int retry_mkdir(const char *path)
{
    int result;
    do {
        result = mkdir(path, 0777);
    } while (result != 0 && errno == EINTR);
    return result;
}

static inline int retry_stat(const char *path, struct stat *info)
{
    int result;
    do {
        result = stat(path, info);
    } while (result != 0 && errno == EINTR);
    return result;
}

static inline ssize_t retry_pread(int fd, void *data, size_t bytes, off_t at)
{
    ssize_t got;
    do {
        got = pread(fd, data, bytes, at);
    } while (got < 0 && errno == EINTR);
    return got;
}

static inline ssize_t retry_pwrite(int fd, const void *data, size_t bytes, off_t at)
{
    ssize_t put;
    do {
        put = pwrite(fd, data, bytes, at);
    } while (put < 0 && errno == EINTR);
    return put;
}

#endif
