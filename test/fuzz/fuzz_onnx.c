/* libFuzzer: any bytes as an ONNX file whose summary is read. */
#include "store/onnx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void require(int truth)
{
    if (!truth) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static int fd = -1;
    static char path[32];
    struct onnx_summary summary;
    if (fd < 0) {
        fd = memfd_create("fuzz", MFD_CLOEXEC);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    require(ftruncate(fd, 0) == 0 && pwrite(fd, data, bytes, 0) == (ssize_t)bytes);
    if (onnx_read_summary(&summary, path) != 0) return 0;
    require(summary.ir > 0 && summary.graph != NULL);
    for (int i = 0; i < summary.value_count; i++)
        require(summary.values[i].dims >= 0 && summary.values[i].dims <= ONNX_MOST_DIMS);
    onnx_summary_free(&summary);
    return 0;
}
