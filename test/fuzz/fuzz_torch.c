/* libFuzzer: any bytes as a file of PyTorch. What is accepted must be readable to the last byte. */
#include "store/torch_file.h"

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

static void read_all(const struct torch_file *file)
{
    static volatile uint8_t sink;
    require(torch_file_count(file) > 0);
    for (int i = 0; i < torch_file_count(file); i++) {
        const struct store_tensor *tensor = torch_file_at(file, i);
        const uint8_t *p = tensor->data;
        size_t numbers = 1;
        for (size_t k = 0; k < tensor->bytes; k++)
            sink = (uint8_t)(sink + p[k]);
        for (int d = 0; d < tensor->dims; d++)
            numbers *= (size_t)tensor->shape[d];
        require(numbers * tensor_type_bytes(tensor->type) == tensor->bytes);
        require(tensor->bytes == 0 || (uintptr_t)p % tensor_type_bytes(tensor->type) == 0);
        require(strlen(tensor->name) > 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static int fd = -1;
    static char path[32];
    if (fd < 0) {
        fd = memfd_create("fuzz", MFD_CLOEXEC);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    require(ftruncate(fd, 0) == 0 && pwrite(fd, data, bytes, 0) == (ssize_t)bytes);
    struct torch_file *file;
    if (torch_file_open(&file, path, NULL) == 0) read_all(file);
    torch_file_close(file);
    return 0;
}
