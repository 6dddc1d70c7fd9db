/* The files that fill the CUDA table of operations on rows of tokens. */
#ifndef IMGTRAIN_CUDA_TOKEN_TOKEN_CUDA_H
#define IMGTRAIN_CUDA_TOKEN_TOKEN_CUDA_H

#include "cuda/cuda_device.h"
#include "math/formulas_f32.h"

const struct token_ops *token_ops_cuda(void);

void token_cuda_install_linear(struct token_ops *ops);
void token_cuda_install_norms(struct token_ops *ops);
void token_cuda_install_rows(struct token_ops *ops);
void token_cuda_install_attention(struct token_ops *ops);
void token_cuda_install_embedding(struct token_ops *ops);

#endif
