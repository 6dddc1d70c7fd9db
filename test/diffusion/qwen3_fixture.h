/* Text encoders of scripts/reference/zimage_goldens.py: weights by its formula, prompts, passes. */
#ifndef IMGTRAIN_TEST_QWEN3_FIXTURE_H
#define IMGTRAIN_TEST_QWEN3_FIXTURE_H

#include "device/device.h"
#include "diffusion/text_encoder/qwen3.h"
#include "math/bf16.h"
#include "math/half.h"
#include "memory/plan.h"
#include "test/diffusion/s3dit_fixture.h"
#include "test/support.h"

enum { QWEN3_WORDS = 410 };

static inline struct qwen3_config qwen3_small(void)
{
    return (struct qwen3_config){.hidden = 32,
                                 .mlp = 64,
                                 .layers = 3,
                                 .heads = 4,
                                 .kv_heads = 2,
                                 .head_dim = 16,
                                 .vocabulary = QWEN3_WORDS,
                                 .positions = 4096,
                                 .rope_theta = 1e6,
                                 .eps = 1e-6};
}

/* More heads than fit into a feature's width, odd sides. */
static inline struct qwen3_config qwen3_odd(void)
{
    struct qwen3_config config = qwen3_small();
    config.hidden = 20;
    config.mlp = 27;
    config.layers = 4;
    config.heads = 3;
    config.kv_heads = 1;
    config.head_dim = 6;
    return config;
}

static inline void qwen3_prompt(int length, int *ids)
{
    char name[32];
    snprintf(name, sizeof name, "ids.%d", length);
    for (int i = 0; i < length; i++)
        ids[i] = (int)(formula_word(name, (uint64_t)i) % QWEN3_WORDS);
}

/* Number `index` of a tensor. */
static inline float qwen3_formula(const char *name, const int64_t *shape, int dims, uint64_t index)
{
    double scale = dims == 2 ? 1 / sqrt((double)shape[1]) : 0.3;
    return (float)((dims == 2 ? 0 : 1) + scale * formula_uniform(name, index));
}

/* `count` numbers in a type of files; the floats that they stand for come back. */
static inline void *qwen3_stored(float *numbers, size_t count, enum token_type type)
{
    uint16_t *half = calloc(count + 1, 2 * sizeof *half);
    ck_assert_ptr_nonnull(half);
    if (type == TOKEN_F32) return memcpy(half, numbers, count * sizeof *numbers);
    for (size_t i = 0; i < count; i++) {
        half[i] = type == TOKEN_BF16 ? bf16_round(numbers[i]) : half_round(numbers[i]);
        numbers[i] = type == TOKEN_BF16 ? bf16_value(half[i]) : half_half_value(half[i]);
    }
    return half;
}

/* All weights, in memory of a device: matrices in a type of files, or widened from it. */
struct qwen3_held {
    struct qwen3_model model;
    struct device *device;
    struct plan *plan;
    void **at; /* [tensor_count] */
    enum token_type type;
};

static inline void qwen3_hold(struct qwen3_held *h, const struct qwen3_config *config,
                              struct device *device, enum token_type rounded, bool widened)
{
    *h = (struct qwen3_held){.device = device, .type = widened ? TOKEN_F32 : rounded};
    MUST(qwen3_model_create(&h->model, config));
    h->plan = plan_create();
    h->at = calloc((size_t)h->model.tensor_count, sizeof *h->at);
    for (int pass = 0; pass < 2; pass++) {
        for (int t = 0; t < h->model.tensor_count; t++) {
            const struct qwen3_tensor *tensor = &h->model.tensors[t];
            bool stored = tensor->is_matrix && h->type != TOKEN_F32;
            size_t bytes = tensor->count * token_type_bytes(stored ? h->type : TOKEN_F32);
            if (pass == 0) {
                MUST(plan_declare(h->plan, tensor->name, PLAN_PARAMETERS, bytes, PLAN_ALWAYS,
                                  &h->at[t]));
                continue;
            }
            float *numbers = formula_floats(tensor->count);
            for (size_t i = 0; i < tensor->count; i++)
                numbers[i] = qwen3_formula(tensor->name, tensor->shape, tensor->dims, i);
            void *half =
                qwen3_stored(numbers, tensor->count, tensor->is_matrix ? rounded : TOKEN_F32);
            MUST(device_send(device, h->at[t], stored ? half : numbers, bytes));
            free(half);
            free(numbers);
        }
        if (pass == 0) MUST(plan_commit(h->plan, device));
    }
}

static inline void qwen3_release_held(struct qwen3_held *h)
{
    plan_free(h->plan);
    free(h->at);
    qwen3_model_free(&h->model);
}

static inline int qwen3_held_acquire(void *context, int layer, struct qwen3_weights *weights)
{
    const struct qwen3_held *h = context;
    for (int slot = 0; slot < QWEN3_SLOTS; slot++) {
        int t = layer * QWEN3_SLOTS + slot;
        weights->at[slot] = h->at[t];
        weights->type[slot] = h->model.tensors[t].is_matrix ? h->type : TOKEN_F32;
    }
    return OK;
}

static inline int qwen3_held_release(void *context, int layer)
{
    (void)context;
    (void)layer;
    return OK;
}

/* Features of prompts of these lengths, [tokens of all][hidden] of the host. */
static inline void qwen3_features(struct qwen3_held *h, int prompts, const int *lengths,
                                  float *features)
{
    struct qwen3 qwen;
    struct qwen3_size size = {.prompts = prompts};
    struct plan *plan = plan_create();
    const struct qwen3_source source = {qwen3_held_acquire, qwen3_held_release, h};
    const int64_t shape[2] = {QWEN3_WORDS, h->model.config.hidden};
    size_t width = (size_t)h->model.config.hidden, row = 0;
    for (int i = 0; i < prompts; i++) {
        int ids[64];
        qwen3_prompt(size.lengths[i] = lengths[i], ids);
        for (int k = 0; k < lengths[i]; k++, row++)
            for (size_t c = 0; c < width; c++)
                features[row * width + c] =
                    qwen3_formula("embed_tokens.weight", shape, 2, (uint64_t)ids[k] * width + c);
    }
    size_t bytes = row * width * sizeof *features;
    MUST(qwen3_memory(&qwen, &h->model, &size, h->device, plan));
    MUST(plan_commit(plan, h->device));
    MUST(qwen3_connect(&qwen));
    MUST(device_send(h->device, qwen.x, features, bytes));
    MUST(qwen3_forward(&qwen, &source, NULL));
    MUST(device_fetch(h->device, features, qwen.x, bytes));
    plan_free(plan);
}

#endif
