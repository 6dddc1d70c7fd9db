/* libFuzzer: any bytes as a safetensors file. What is accepted must be readable to the last byte.
 */
#include "store/checkpoint.h"
#include "store/safetensors.h"
#include "test/fuzz/fuzz.h"

#include <inttypes.h>
#include <string.h>

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
    struct store_file *file;
    if (store_open(&file, fuzz_file(data, bytes)) == 0) read_all(file);
    store_close(file);
    return 0;
}
