/* Processor seconds of one block of a network: from where it is acquired to where it is released.
 * For scripts/reference/block_speed.py, which sets
 *   BLOCK_SPEED="double|single|z-image|t5 PIXELS TEXT f32|bf16|bf16-in-f32|int8"
 * (bf16: with products of bf16 where they pay; -in-f32: weights alone) */
#ifndef IMGTRAIN_TEST_TIMED_BLOCK_H
#define IMGTRAIN_TEST_TIMED_BLOCK_H

#include "diffusion/blocks/block_list.h"
#include "math/bf16.h"
#include "test/support.h"

struct timed_request {
    char part[16], type[16];
    int pixels, text;
};

struct timed_block {
    struct block_source source; /* of fp32 */
    int block;
    enum token_type type;
    bool bf16;
    void *matrices[BLOCK_SLOTS]; /* of the block, of another type than fp32 */
    double begin, seconds;
};

/* false: nothing of this name is to be timed. */
static inline bool timed_requested(const char *parts, struct timed_request *request)
{
    const char *text = getenv("BLOCK_SPEED");
    if (!text) return false;
    return sscanf(text, "%15s %d %d %15s", request->part, &request->pixels, &request->text,
                  request->type) == 4 &&
           strstr(parts, request->part);
}

/* A matrix as bf16 or, by whole numbers that mean nothing, as 8 bits. */
static inline void *timed_matrix(const struct block_tensor *t, const float *numbers,
                                 enum token_type type)
{
    char *memory = calloc(1, token_scales_at(2 * t->count) + (size_t)t->shape[0] * sizeof(float));
    ck_assert_ptr_nonnull(memory);
    for (size_t i = 0; i < t->count; i++)
        if (type == TOKEN_BF16)
            ((uint16_t *)(void *)memory)[i] = bf16_round(numbers[i]);
        else
            memory[i] = (char)(i * 37 % 255 - 127);
    for (int64_t row = 0; type == TOKEN_I8 && row < t->shape[0]; row++)
        ((float *)(void *)(memory + token_scales_at(t->count)))[row] = 1e-4f;
    return memory;
}

static inline void timed_open(struct timed_block *timed, struct block_flat *flat, int block,
                              const char *type)
{
    *timed = (struct timed_block){.source = block_flat_source(flat), .block = block};
    timed->type = type[0] == 'f' ? TOKEN_F32 : type[0] == 'b' ? TOKEN_BF16 : TOKEN_I8;
    timed->bf16 = strcmp(type, "bf16") == 0 && token_ops_cpu()->bf16;
    for (int slot = 0; timed->type != TOKEN_F32 && slot < BLOCK_SLOTS; slot++) {
        const struct block_tensor *t = block_tensor_of(flat->list, block, slot);
        if (t && t->is_matrix)
            timed->matrices[slot] = timed_matrix(t, flat->parameters + t->offset, timed->type);
    }
}

static inline void timed_close(struct timed_block *timed)
{
    printf("block: %.3f s\n", timed->seconds);
    for (int slot = 0; slot < BLOCK_SLOTS; slot++)
        free(timed->matrices[slot]);
}

static inline int timed_acquire(void *context, int block, struct block_weights *weights)
{
    struct timed_block *t = context;
    int code = t->source.acquire(t->source.context, block, weights);
    for (int slot = 0; block == t->block && slot < BLOCK_SLOTS; slot++) {
        if (!t->matrices[slot]) continue;
        weights->at[slot] = t->matrices[slot];
        weights->type[slot] = t->type;
    }
    weights->bf16 = t->bf16;
    t->begin = processor_seconds();
    return code;
}

static inline int timed_release(void *context, int block)
{
    struct timed_block *t = context;
    if (block == t->block) t->seconds = processor_seconds() - t->begin;
    return t->source.release(t->source.context, block);
}

#endif
