/* The files that fill the CUDA table of operations on rows of tokens. */
#ifndef IMGTRAIN_CUDA_TOKEN_TOKEN_CUDA_H
#define IMGTRAIN_CUDA_TOKEN_TOKEN_CUDA_H

#include "cuda/cuda_device.h"
#include "math/formulas_f32.h"

const struct token_ops *token_ops_cuda(void);

/* Row and column of number i of rows of `width`, by one division: what fits is divided in 32 bits.
 */
static __device__ inline int token_row_at(size_t i, int width, int *column)
{
    size_t row = i / (unsigned)width;
    *column = (int)(i - row * (unsigned)width);
    return (int)row;
}

void token_cuda_install_linear(struct token_ops *ops);
void token_cuda_install_norms(struct token_ops *ops);
void token_cuda_install_rows(struct token_ops *ops);
void token_cuda_install_attention(struct token_ops *ops);
void token_cuda_install_embedding(struct token_ops *ops);

#endif
