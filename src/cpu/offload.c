#include "cpu/offload.h"

#include "base/error.h"
#include "base/file.h"
#include "base/format.h"
#include "base/retry.h"
#include "device/device.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* A file without a name: it is gone with the process, however that ends. */
static int open_nameless(const char *dir)
{
    char path[4096];
    int fd = retry_open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0) return fd;
    if ((size_t)snprintf(path, sizeof path, "%s/offload-XXXXXX", dir) >= sizeof path) return -1;
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0) unlink(path);
    return fd;
}

static const char *folder_of(const struct device *device)
{
    return device->offload_dir ? device->offload_dir : file_temporary_folder();
}

int cpu_alloc_offload(struct device *device, size_t bytes, void **memory)
{
    const char *dir = folder_of(device);
    *memory = NULL;
    if (bytes == 0) return OK;
    int fd = open_nameless(dir);
    if (fd < 0) return fail_errno(ERR_IO, "make a file in %s", dir);
    errno = retry_fallocate(fd, (off_t)bytes); /* a full disk shows now, not as a SIGBUS */
    int error = errno;
    void *mapped =
        error ? MAP_FAILED : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (!error && mapped == MAP_FAILED) error = errno;
    retry_close(fd);
    if (mapped == MAP_FAILED) {
        errno = error;
        bool full = error == ENOSPC || error == EDQUOT || error == ENOMEM || error == EFBIG;
        return fail_errno(full ? ERR_DEVICE_MEMORY : ERR_IO, "no %s in %s to move state to",
                          format_bytes((int64_t)bytes).text, dir);
    }
    *memory = mapped;
    return OK;
}

void cpu_free_offload(struct device *device, void *memory, size_t bytes)
{
    (void)device;
    if (memory) munmap(memory, bytes);
}
