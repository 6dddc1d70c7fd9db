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

static int spill_reserve(int fd, const char *dir, size_t bytes)
{
    int error = retry_fallocate(fd, (off_t)bytes);
    if (error != ENOSPC && error != EDQUOT && error != EFBIG && error != EIO) return OK;
    errno = error;
    return fail_errno(ERR_IO, "%s: %zu bytes for the decoded image", dir, bytes);
}

int spill_open(struct spill *spill, const char *dir, size_t bytes)
{
    *spill = (struct spill){.bytes = bytes, .fd = -1};
    if (bytes == 0) return OK;
    if (dir) {
        spill->fd = open_unnamed(dir);
        if (spill->fd >= 0) {
            int code = spill_reserve(spill->fd, dir, bytes);
            if (code < 0) spill_free(spill);
            return code;
        }
        log_debug("%s: no files (%s): the decoded image stays in memory", dir, strerror(errno));
    }
    spill->memory = malloc(bytes);
    return spill->memory ? OK : fail(ERR_SYSTEM, "out of memory for %zu bytes", bytes);
}

int spill_write(struct spill *spill, const void *data, size_t bytes)
{
    if (bytes > spill->bytes - spill->used)
        return fail(ERR_INTERNAL, "more was written than the %zu bytes reserved", spill->bytes);
    if (spill->memory)
        memcpy((char *)spill->memory + spill->used, data, bytes);
    else
        TRY(file_write_all(spill->fd, data, bytes, "the decoded image"));
    spill->used += bytes;
    return OK;
}

int spill_end(struct spill *spill)
{
    if (spill->used != spill->bytes)
        return fail(ERR_INTERNAL, "%zu of %zu bytes were written", spill->used, spill->bytes);
    if (spill->memory || spill->bytes == 0) {
        spill->data = spill->memory;
        return OK;
    }
    void *map = mmap(NULL, spill->bytes, PROT_READ, MAP_SHARED, spill->fd, 0);
    if (map == MAP_FAILED) return fail_errno(ERR_SYSTEM, "map the decoded image");
    spill->data = map;
    return OK;
}

bool spill_is_file(const struct spill *spill)
{
    return spill->fd >= 0;
}

void spill_free(struct spill *spill)
{
    if (spill->bytes && spill->fd >= 0) {
        if (spill->data) munmap((void *)(size_t)spill->data, spill->bytes);
        retry_close(spill->fd);
    }
    free(spill->memory);
    *spill = (struct spill){.fd = -1};
}
