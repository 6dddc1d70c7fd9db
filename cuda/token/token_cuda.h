/* The files that fill the CUDA table of operations on rows of tokens, and the formulas of math/ for
 * floats: NAME_f32. */
#ifndef IMGTRAIN_CUDA_TOKEN_TOKEN_CUDA_H
#define IMGTRAIN_CUDA_TOKEN_TOKEN_CUDA_H

#include "cuda/cuda_device.h"
#include "math/real.h"

#define REAL float
#define FORMULA(name) name##_f32
#define REAL_FMA(a, b, c) FMA_F32(a, b, c)
#define REAL_SET(x) (x)
#define REAL_SIGMOID(x) (1 / (1 + expf(-(x))))
#include "math/activation.h"

#define REAL float
#define FORMULA(name) name##_f32
#define REAL_FMA(a, b, c) FMA_F32(a, b, c)
#define REAL_SET(x) (x)
#include "math/token_norm.h"

const struct token_ops *token_ops_cuda(void);

void token_cuda_install_linear(struct token_ops *ops);
void token_cuda_install_norms(struct token_ops *ops);
void token_cuda_install_rows(struct token_ops *ops);
void token_cuda_install_attention(struct token_ops *ops);
void token_cuda_install_embedding(struct token_ops *ops);

#endif
