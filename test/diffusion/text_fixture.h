/* Text encoders with weights by the formula of scripts/reference/s3dit_goldens.py, prompts, passes.
 */
#ifndef IMGTRAIN_TEST_DIFFUSION_TEXT_FIXTURE_H
#define IMGTRAIN_TEST_DIFFUSION_TEXT_FIXTURE_H

#include "device/device.h"
#include "diffusion/text_encoder/text_layers.h"
#include "math/bf16.h"
#include "math/half.h"
#include "memory/plan.h"
#include "test/diffusion/s3dit_fixture.h"
#include "test/support.h"

enum { TEXT_WORDS = 410, TEXT_LONGEST = 300 };

static inline void text_prompt(int length, int *ids)
{
    char name[32];
    snprintf(name, sizeof name, "ids.%d", length);
    for (int i = 0; i < length; i++)
        ids[i] = (int)(formula_word(name, (uint64_t)i) % TEXT_WORDS);
}

/* Number `index` of a tensor. */
static inline float text_formula(const char *name, const int64_t *shape, int dims, uint64_t index)
{
    double scale = dims == 2 ? 1 / sqrt((double)shape[1]) : 0.3;
    double offset = dims == 2 || strstr(name, "bias") ? 0 : 1;
    return (float)(offset + scale * formula_uniform(name, index));
}

/* `count` numbers in a type of files; the floats that they stand for come back. */
static inline void *text_stored(float *numbers, size_t count, enum token_type type)
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
struct text_held {
    struct text_encoder encoder;
    struct device *device;
    struct plan *plan;
    void **at; /* [tensor_count] */
    enum token_type type;
};

static inline void text_hold(struct text_held *h, const struct text_encoder *encoder,
                             struct device *device, enum token_type rounded, bool widened)
{
    const struct block_list *list = encoder->list;
    *h = (struct text_held){
        .encoder = *encoder, .device = device, .type = widened ? TOKEN_F32 : rounded};
    h->plan = plan_create();
    h->at = calloc((size_t)list->tensor_count, sizeof *h->at);
    for (int pass = 0; pass < 2; pass++) {
        for (int t = 0; t < list->tensor_count; t++) {
            const struct block_tensor *tensor = &list->tensors[t];
            bool stored = tensor->is_matrix && h->type != TOKEN_F32;
            size_t bytes = tensor->count * token_type_bytes(stored ? h->type : TOKEN_F32);
            if (pass == 0) {
                MUST(plan_declare(h->plan, tensor->name, PLAN_PARAMETERS, bytes, PLAN_ALWAYS,
                                  &h->at[t]));
                continue;
            }
            float *numbers = formula_floats(tensor->count);
            for (size_t i = 0; i < tensor->count; i++)
                numbers[i] = text_formula(tensor->name, tensor->shape, tensor->dims, i);
            void *half =
                text_stored(numbers, tensor->count, tensor->is_matrix ? rounded : TOKEN_F32);
            MUST(device_send(device, h->at[t], stored ? half : numbers, bytes));
            free(half);
            free(numbers);
        }
        if (pass == 0) MUST(plan_commit(h->plan, device));
    }
}

static inline void text_release_held(struct text_held *h)
{
    plan_free(h->plan);
    free(h->at);
}

static inline int text_held_acquire(void *context, int block, struct block_weights *weights)
{
    const struct text_held *h = context;
    const struct block_list *list = h->encoder.list;
    memset(weights, 0, sizeof *weights);
    for (int t = list->first[block]; t < list->first[block + 1]; t++) {
        int slot = list->tensors[t].slot;
        weights->at[slot] = h->at[t];
        weights->type[slot] = list->tensors[t].is_matrix ? h->type : TOKEN_F32;
    }
    return OK;
}

static inline int text_held_release(void *context, int block)
{
    (void)context;
    (void)block;
    return OK;
}

/* Adds the rows of prompts in a table of this name to x [tokens of all][width]: of their ids, or
 * (ids NULL) of their positions. */
static inline void text_add_rows(float *x, const struct text_size *size, const char *table,
                                 int width, int *const *ids)
{
    const int64_t shape[2] = {TEXT_WORDS, width};
    for (int i = 0; i < size->prompts; i++)
        for (int k = 0; k < size->lengths[i]; k++)
            for (int c = 0; c < width; c++) {
                uint64_t row = (uint64_t)(ids ? ids[i][k] : k);
                *x++ += text_formula(table, shape, 2, row * (uint64_t)width + (uint64_t)c);
            }
}

/* A pass over x [tokens of all][width] of the host, which becomes what the encoder makes of it. */
static inline void text_run(struct text_held *h, const struct text_size *size, const float *table,
                            float *x)
{
    struct text_pass pass;
    struct plan *plan = plan_create();
    const struct block_source source = {text_held_acquire, text_held_release, h};
    MUST(text_pass_memory(&pass, &h->encoder, size, h->device, plan));
    MUST(plan_commit(plan, h->device));
    MUST(text_pass_connect(&pass, table));
    size_t bytes = (size_t)pass.rows * (size_t)h->encoder.width * sizeof *x;
    MUST(device_send(h->device, pass.x, x, bytes));
    MUST(text_pass_forward(&pass, &source, NULL));
    MUST(device_fetch(h->device, x, pass.x, bytes));
    plan_free(plan);
}

#endif
