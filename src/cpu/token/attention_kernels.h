/* Attention by the vector code of one instruction set, in parts that threads take. */
#ifndef IMGTRAIN_CPU_TOKEN_ATTENTION_KERNELS_H
#define IMGTRAIN_CPU_TOKEN_ATTENTION_KERNELS_H

#include "device/token_ops.h"

struct attention_operands {
    const struct token_attention *a;
    const float *q, *k, *v;
    float *o, *lse; /* lse: NULL where it is not wanted */
};

enum { ATTENTION_QUERIES = 128 }; /* at a time */

/* Floats of a thread's workspace in the backward pass. */
enum { ATTENTION_WORKSPACE = TOKEN_KEY_BLOCK * (7 * TOKEN_HEAD_MOST + 2 * TOKEN_KEY_BLOCK) };

struct attention_kernels {
    /* Queries [first, first + count) of a sample's head; count <= ATTENTION_QUERIES. */
    void (*forward)(const struct attention_operands *operands, int sample, int head, int first,
                    int count);
    /* All gradients of a sample's head of keys and of the heads that read it. delta:
     * [samples][heads][q_tokens]. */
    void (*backward)(const struct token_attention *a, const struct token_attention_grads *grads,
                     int sample, int kv_head, float *delta, float *workspace);
};

extern const struct attention_kernels attention_kernels_base, attention_kernels_avx2,
    attention_kernels_avx512;

#endif
