/* A network's parameters as tensors of a mapped file, in fp32 or bf16: pages may be dropped. */
#ifndef IMGTRAIN_TEST_MAPPED_WEIGHTS_H
#define IMGTRAIN_TEST_MAPPED_WEIGHTS_H

#include "diffusion/blocks/block_list.h"
#include "math/bf16.h"
#include "store/tensor.h"
#include "test/support.h"

#include <sys/mman.h>

struct mapped_weights {
    struct store_tensor *tensors;
    const struct store_tensor **list;
    void *mapped;
    size_t bytes;
};

static inline void *mapped_weights_map(const struct block_list *list, const float *parameters,
                                       bool half, size_t bytes)
{
    FILE *file = tmpfile();
    ck_assert_ptr_nonnull(file);
    for (size_t i = 0; i < list->floats; i++) {
        uint16_t rounded = bf16_round(parameters[i]);
        ck_assert_uint_eq(half ? fwrite(&rounded, 2, 1, file) : fwrite(&parameters[i], 4, 1, file),
                          1);
    }
    ck_assert_int_eq(fflush(file), 0);
    void *mapped = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fileno(file), 0);
    ck_assert_ptr_ne(mapped, MAP_FAILED);
    fclose(file);
    return mapped;
}

static inline void mapped_weights_create(struct mapped_weights *w, const struct block_list *list,
                                         const float *parameters, bool half)
{
    int count = list->tensor_count;
    ck_assert_int_gt(count, 0);
    size_t each = half ? 2 : 4;
    w->bytes = each * list->floats;
    w->mapped = mapped_weights_map(list, parameters, half, w->bytes);
    w->tensors = calloc((size_t)count, sizeof *w->tensors);
    w->list = calloc((size_t)count, sizeof *w->list);
    for (int t = 0; t < count; t++) {
        const struct block_tensor *tensor = &list->tensors[t];
        w->tensors[t] = (struct store_tensor){.name = tensor->name,
                                              .type = half ? TENSOR_BF16 : TENSOR_F32,
                                              .data = (char *)w->mapped + each * tensor->offset};
        w->list[t] = &w->tensors[t];
    }
}

static inline void mapped_weights_free(struct mapped_weights *w)
{
    munmap(w->mapped, w->bytes);
    free(w->tensors);
    free(w->list);
}

#endif
