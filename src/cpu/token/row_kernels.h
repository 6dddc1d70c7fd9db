/* Norms, gates, rotary positions and SwiGLU by the vector code of one instruction set, in parts
 * that threads take. What they compute: device/token_ops.h. */
#ifndef IMGTRAIN_CPU_TOKEN_ROW_KERNELS_H
#define IMGTRAIN_CPU_TOKEN_ROW_KERNELS_H

#include "device/token_ops.h"
#include "math/token_norm.h"

/* Columns whose sums over rows are made together. */
enum { ROW_STRIP = 64 };

struct row_kernels {
    /* Rows [from, to). */
    void (*norm_forward)(const struct token_norm *n, float *y, const float *x, size_t from,
                         size_t to);
    void (*norm_measure)(const struct token_norm *n, const struct token_norm_grads *grads,
                         struct token_norm_row *stats, size_t from, size_t to);
    void (*norm_slopes)(const struct token_norm *n, const struct token_norm_grads *grads,
                        const struct token_norm_row *stats, size_t from, size_t to);
    /* sums[j] = the sum over rows [from, to) of dy times the unit row; columns [first, first +
     * count), count <= ROW_STRIP. */
    void (*norm_sums)(const struct token_norm *n, const struct token_norm_grads *grads,
                      const struct token_norm_row *stats, size_t from, size_t to, size_t first,
                      size_t count, float *sums);
    /* to = (x +) t[j] u over rows [from, to) of `width` numbers, of which [first, first + count):
     * x is NULL: without. */
    void (*gate)(float *to_rows, const float *x, const float *t, const float *u, size_t width,
                 size_t from, size_t to, size_t first, size_t count);
    /* sums[j] = the sum over rows [from, to) of a b; columns as above. */
    void (*product_sums)(const float *a, const float *b, size_t width, size_t from, size_t to,
                         size_t first, size_t count, float *sums);
    void (*rope)(const struct token_rope *rope, size_t from, size_t to);
    void (*swiglu_forward)(float *h, const float *a, const float *c, size_t count);
    void (*geglu_forward)(float *h, const float *a, const float *c, size_t count);
    void (*swiglu_backward)(float *da, float *dc, const float *dh, const float *a, const float *c,
                            size_t count);
};

extern const struct row_kernels row_kernels_base, row_kernels_avx2, row_kernels_avx512;

#endif
