#include "cmd/generate/generate_dump.h"

#include "base/error.h"
#include "store/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct generate_dump {
    struct store_writer *writer;
    float **copies;
    int count, room;
};

struct generate_dump *generate_dump_open(void)
{
    struct generate_dump *dump = calloc(1, sizeof *dump);
    if (dump) dump->writer = store_writer_create();
    if (dump && dump->writer) return dump;
    free(dump);
    fail(ERR_SYSTEM, "out of memory");
    return NULL;
}

static int dump_copy(struct generate_dump *dump, const float *data, size_t count, float **copy)
{
    if (dump->count == dump->room) {
        int room = dump->room ? 2 * dump->room : 64;
        float **copies = realloc(dump->copies, (size_t)room * sizeof *copies);
        if (!copies) return fail(ERR_SYSTEM, "out of memory");
        dump->copies = copies;
        dump->room = room;
    }
    *copy = malloc((count + 1) * sizeof **copy);
    if (!*copy) return fail(ERR_SYSTEM, "out of memory");
    memcpy(*copy, data, count * sizeof **copy);
    dump->copies[dump->count++] = *copy;
    return OK;
}

int generate_dump_add(struct generate_dump *dump, int image, const char *name, int dims,
                      const int64_t *shape, const float *data)
{
    char full[96];
    float *copy;
    size_t count = 1;
    for (int i = 0; i < dims; i++)
        count *= (size_t)shape[i];
    TRY(dump_copy(dump, data, count, &copy));
    if (image > 0)
        snprintf(full, sizeof full, "image-%d.%s", image, name);
    else
        snprintf(full, sizeof full, "%s", name);
    return store_add(dump->writer, full, TENSOR_F32, dims, shape, copy);
}

int generate_dump_write(struct generate_dump *dump, const char *path)
{
    return store_write(dump->writer, path, false);
}

void generate_dump_close(struct generate_dump *dump)
{
    if (!dump) return;
    store_writer_free(dump->writer);
    for (int i = 0; i < dump->count; i++)
        free(dump->copies[i]);
    free(dump->copies);
    free(dump);
}
