/* Numbers of matrices that are stored as floats, bf16, fp16 or (without their scale) 8
 * bits: a type for each, to choose a
 * kernel's instance by. */
#ifndef IMGTRAIN_CUDA_TOKEN_MATRIX_ELEMENT_H
#define IMGTRAIN_CUDA_TOKEN_MATRIX_ELEMENT_H

#include "cuda/launch.h"
#include "math/bf16.h"
#include "math/half.h"

struct token_bf16 {
    uint16_t bits;
};
struct token_f16 {
    uint16_t bits;
};
/* Stored as a float, rounded to bf16 as it is read. */
struct token_rounded {
    float value;
};

static __device__ inline float token_element(const float *x, size_t i)
{
    return x[i];
}

static __device__ inline float token_element(const struct token_bf16 *x, size_t i)
{
    return bf16_value(x[i].bits);
}

static __device__ inline float token_element(const struct token_rounded *x, size_t i)
{
    return bf16_value(bf16_round(x[i].value));
}

static __device__ inline float token_element(const struct token_f16 *x, size_t i)
{
    return half_half_value(x[i].bits);
}

static __device__ inline float token_element(const int8_t *x, size_t i)
{
    return x[i];
}

#endif
