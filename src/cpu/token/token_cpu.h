/* How the CPU's table of operations on rows of tokens is put together (device/token_ops.h): each
 * file installs its part of the plain reference. */
#ifndef IMGTRAIN_CPU_TOKEN_TOKEN_CPU_H
#define IMGTRAIN_CPU_TOKEN_TOKEN_CPU_H

#include "device/token_ops.h"

#include <stdint.h>

/* Rows of samples in chunks, `width` columns in strips. */
struct token_strips {
    int rows, rows_per_sample, chunk, width, strip;
};

/* Adds the sums over rows [from, to), a chunk of one sample, of columns [first, first + count). */
typedef void token_chunk_sums(const void *work, int from, int to, int first, int count);

/* All chunks one after the other, strips over threads, `grain` at a time at least. */
void token_over_strips(const struct token_strips *strips, token_chunk_sums *sums, const void *work,
                       int64_t grain);

void token_install_linear(struct token_ops *ops);
void token_install_norms(struct token_ops *ops);
void token_install_rows(struct token_ops *ops);
void token_install_attention(struct token_ops *ops);
void token_install_embedding(struct token_ops *ops);

/* By vector code: token_gemm.c, attention_ops.c, row_ops.c */
void token_install_gemm(struct token_ops *ops);
void token_install_fast_attention(struct token_ops *ops);
void token_install_row_vectors(struct token_ops *ops);

#endif
