/* Matrix products of any shape: C [m][n] = A [m][k] B [k][n], by the vector code of one instruction
 * set. Each output is a sum over blocks of GEMM_DEPTH of k at most (AMX: GEMM_AMX_DEPTH), as equal
 * as can be, each from zero and in order, added one after the other: its bits depend on k and its
 * chunks alone, not on m, n, threads or where the work is cut. */
#ifndef IMGTRAIN_CPU_TOKEN_GEMM_KERNELS_H
#define IMGTRAIN_CPU_TOKEN_GEMM_KERNELS_H

#include <stdbool.h>
#include <stddef.h>

enum { GEMM_DEPTH = 288 };
enum gemm_type { GEMM_F32, GEMM_BF16, GEMM_F16, GEMM_I8 }; /* of B; widened while it is packed */
enum gemm_activation { GEMM_PLAIN, GEMM_SILU, GEMM_GELU_TANH, GEMM_GELU_QUICK };

struct gemm {
    size_t m, n, k;
    const float *a; /* A(i, p) = a[i a_row + p a_depth]; one of the strides is 1 */
    size_t a_row, a_depth;
    const void *b; /* B(p, j) = b[p b_depth + j b_column]; one of the strides is 1 */
    size_t b_depth, b_column;
    enum gemm_type b_type;
    const float *b_scales; /* [n], of GEMM_I8: that its columns are multiplied by */
    float *c;              /* C(i, j) = c[i c_row + j] */
    size_t c_row;
    bool add;          /* C += instead; without activation */
    size_t chunk;      /* blocks of k begin anew at its multiples; 0: k. Smaller than k: with add */
    const float *bias; /* [n] or NULL */
    enum gemm_activation activation;
};

/* A part of C. */
struct gemm_part {
    size_t row, rows, column, columns;
};

struct gemm_kernels {
    size_t rows, columns; /* of a tile of sums in registers: cuts are multiples of these */
    size_t part_rows, part_columns; /* of a part: rows are best at most so many, columns are */
    size_t few_columns;             /* likewise, where C has no more rows than a tile */
    /* One part of C with a workspace of GEMM_WORKSPACE floats (gemm_kernels_amx:
     * gemm_amx_workspace), aligned to 64 bytes. */
    void (*part)(const struct gemm *gemm, const struct gemm_part *part, float *workspace);
    /* to[j] += the sum of from[i * stride + j] over i < rows, for j < count <= 64 */
    void (*add_rows)(float *to, const float *from, size_t rows, size_t stride, size_t count);
};

/* Of a part: columns and rows, at most, so that a block of the depth of B and the part's C stay in
 * the second-level cache (1.5 MiB) until the depth is through; rows whose share of A is packed at
 * once. */
enum { GEMM_COLUMNS = 384, GEMM_PART_ROWS = 672, GEMM_ROWS = 112 };
enum { GEMM_WORKSPACE = GEMM_DEPTH * (GEMM_COLUMNS + GEMM_ROWS) + 16 * GEMM_ROWS };

/* Of products of bf16 on AMX (isa/gemm_amx.c): larger ones, as its numbers are half as long and its
 * sums so quick that packing A anew for each part shows. */
enum {
    GEMM_AMX_DEPTH = 1024,
    GEMM_AMX_COLUMNS = 512,
    GEMM_AMX_FEW_COLUMNS = 128, /* of B alone: packed and read once */
    GEMM_AMX_ROWS = 128,
    GEMM_AMX_SIDE = 32 /* rows and columns that are summed at once */
};

static inline size_t gemm_amx_whole(size_t count, size_t most)
{
    size_t whole = (count + GEMM_AMX_SIDE - 1) / GEMM_AMX_SIDE * GEMM_AMX_SIDE;
    return whole < most ? whole : most;
}

/* Floats of workspace for products of up to this shape. */
static inline size_t gemm_amx_workspace(size_t m, size_t n, size_t k)
{
    size_t depth = gemm_amx_whole(k, GEMM_AMX_DEPTH);
    size_t lines = gemm_amx_whole(n, GEMM_AMX_COLUMNS) + gemm_amx_whole(m, GEMM_AMX_ROWS);
    return GEMM_AMX_SIDE * GEMM_AMX_SIDE + depth * lines / 2;
}

extern const struct gemm_kernels gemm_kernels_base, gemm_kernels_avx2, gemm_kernels_avx512;
/* Of GEMM_BF16 alone, whose A is rounded to bf16; part alone, forward: b_depth and a_depth are 1,
 * no chunks. */
extern const struct gemm_kernels gemm_kernels_amx;

#endif
