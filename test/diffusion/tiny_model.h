/* A model folder for tests: a small network with drawn weights, none of them 0. */
#ifndef IMGTRAIN_TEST_DIFFUSION_TINY_MODEL_H
#define IMGTRAIN_TEST_DIFFUSION_TINY_MODEL_H

#include "base/checksum.h"
#include "diffusion/model/model_write.h"
#include "test/support.h"

static inline struct s3dit_config tiny_config(void)
{
    return (struct s3dit_config){.channels = 3,
                                 .patch = 2,
                                 .dim = 48,
                                 .layers = 1,
                                 .refiner_layers = 1,
                                 .heads = 2,
                                 .text_dim = 16,
                                 .axes = {8, 8, 8},
                                 .axes_lens = {64, 32, 32},
                                 .rope_theta = 256.0,
                                 .t_scale = 1000.0,
                                 .norm_eps = 1e-5};
}

static inline float tiny_number(uint64_t seed, size_t i)
{
    return (float)((double)(hash_mix(seed * 1000003 + i) >> 11) * 0x1p-53 - 0.5);
}

/* Owned; padding between tensors is 0. */
static inline float *tiny_weights(const struct s3dit_model *dit)
{
    float *flat = calloc(dit->floats, sizeof *flat);
    ck_assert_ptr_nonnull(flat);
    for (int t = 0; t < dit->tensor_count; t++) {
        const struct s3dit_tensor *tensor = &dit->tensors[t];
        float scale = tensor->is_matrix ? 0.2f : 0.5f;
        for (size_t i = 0; i < tensor->count; i++)
            flat[tensor->offset + i] = tensor->start + scale * tiny_number((uint64_t)t + 1, i);
    }
    return flat;
}

/* kind TEXT_LABELS: three classes, circle, "red square" and triangle. */
static inline void tiny_model_write(const char *path, enum text_kind kind)
{
    static const char *const names[] = {"circle", "red square", "triangle"};
    const struct s3dit_config config = tiny_config();
    struct s3dit_model dit;
    struct text_table text;
    MUST(s3dit_model_create(&dit, &config));
    if (kind == TEXT_BYTES)
        text_table_of_bytes(&text);
    else
        MUST(text_table_of_labels(&text, 3, names));
    float *flat = tiny_weights(&dit), *table = calloc((size_t)text.rows * 16, sizeof *table);
    ck_assert_ptr_nonnull(table);
    for (int i = 0; i < text.rows * 16; i++)
        table[i] = 2.0f * tiny_number(99, (size_t)i);
    const struct model_writing writing = {&dit, flat, table, &text, 1.0};
    MUST(model_folder_write(path, &writing));
    free(flat);
    free(table);
    text_table_free(&text);
    s3dit_model_free(&dit);
}

#endif
