#include "base/spill.h"

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/retry.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* File systems without unnamed files get one whose name is taken away at once. */
static int open_unnamed(const char *dir)
{
    int fd = retry_open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)) return fd;
    char *path = string_format("%s/.imgtrain-XXXXXX", dir);
    if (!path) return -1;
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0) unlink(path);
    free(path);
    return fd;
}

static int reserve(int fd, const char *dir, size_t bytes)
{
    int error = retry_fallocate(fd, (off_t)bytes);
    if (error != ENOSPC && error != EDQUOT && error != EFBIG && error != EIO) return OK;
    errno = error;
    return fail_errno(ERR_IO, "%s: %zu bytes for the decoded picture", dir, bytes);
}

int scratch_open(struct scratch *scratch, const char *dir, size_t bytes)
{
    *scratch = (struct scratch){.bytes = bytes, .fd = -1};
    if (bytes == 0) return OK;
    if (dir) {
        scratch->fd = open_unnamed(dir);
        if (scratch->fd >= 0) {
            int code = reserve(scratch->fd, dir, bytes);
            if (code < 0) scratch_free(scratch);
            return code;
        }
        log_debug("%s: no files (%s): the decoded picture stays in memory", dir, strerror(errno));
    }
    scratch->memory = malloc(bytes);
    return scratch->memory ? OK : fail(ERR_SYSTEM, "out of memory for %zu bytes", bytes);
}

int scratch_write(struct scratch *scratch, const void *data, size_t bytes)
{
    if (bytes > scratch->bytes - scratch->used)
        return fail(ERR_INTERNAL, "more was written than the %zu bytes reserved", scratch->bytes);
    if (scratch->memory)
        memcpy((char *)scratch->memory + scratch->used, data, bytes);
    else
        TRY(file_write_all(scratch->fd, data, bytes, "the decoded picture"));
    scratch->used += bytes;
    return OK;
}

int scratch_end(struct scratch *scratch)
{
    if (scratch->used != scratch->bytes)
        return fail(ERR_INTERNAL, "%zu of %zu bytes were written", scratch->used, scratch->bytes);
    if (scratch->memory || scratch->bytes == 0) {
        scratch->data = scratch->memory;
        return OK;
    }
    void *map = mmap(NULL, scratch->bytes, PROT_READ, MAP_SHARED, scratch->fd, 0);
    if (map == MAP_FAILED) return fail_errno(ERR_SYSTEM, "map the decoded picture");
    scratch->data = map;
    return OK;
}

bool scratch_is_file(const struct scratch *scratch)
{
    return scratch->fd >= 0;
}

void scratch_free(struct scratch *scratch)
{
    if (scratch->bytes && scratch->fd >= 0) {
        if (scratch->data) munmap((void *)(size_t)scratch->data, scratch->bytes);
        retry_close(scratch->fd);
    }
    free(scratch->memory);
    *scratch = (struct scratch){.fd = -1};
}
