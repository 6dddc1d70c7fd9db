/* libFuzzer: any bytes as a safetensors file. What is accepted must be readable to the last byte.
 */
#include "store/checkpoint.h"
#include "store/safetensors.h"

#include <inttypes.h>
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

static void read_all(const struct store_file *file)
{
    static volatile uint8_t sink;
    uint64_t total = 0;
    for (int i = 0; i < store_count(file); i++) {
        const struct store_tensor *tensor = store_at(file, i);
        const uint8_t *p = tensor->data;
        for (size_t k = 0; k < tensor->bytes; k++)
            sink = (uint8_t)(sink + p[k]);
        require((uintptr_t)p % tensor_type_bytes(tensor->type) == 0);
        require(store_find(file, tensor->name) == tensor);
        total += tensor->bytes;
    }
    require(total <= store_bytes(file));
    for (int i = 0; i < store_metadata_count(file); i++) {
        const char *key, *value;
        int64_t number;
        double real;
        store_metadata_at(file, i, &key, &value);
        require(store_get(file, key) == value);
        (void)store_get_int(file, key, &number);
        (void)store_get_double(file, key, &real);
    }
    (void)checkpoint_expect(file, "splat", "model");
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
    struct store_file *file;
    if (store_open(&file, path) == 0) read_all(file);
    store_close(file);
    return 0;
}
