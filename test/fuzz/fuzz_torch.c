/* libFuzzer: any bytes as a file of PyTorch. What is accepted must be readable to the last byte. */
#include "store/torch_file.h"
#include "test/fuzz/fuzz.h"

#include <string.h>

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
    struct torch_file *file;
    if (torch_file_open(&file, fuzz_file(data, bytes), NULL) == 0) read_all(file);
    torch_file_close(file);
    return 0;
}
