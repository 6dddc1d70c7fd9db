/* What the files of the matrix product share, in the variant for ISA. */
#ifndef IMGTRAIN_CPU_ISA_GEMM_ISA_H
#define IMGTRAIN_CPU_ISA_GEMM_ISA_H

#include "cpu/isa/conv_simd.h"
#include "cpu/token/gemm_kernels.h"

/* A tile of sums: TILE_ROWS x TILE_COLS vectors, which leave registers for a row of B and one
 * number of A. */
#if defined(ISA_avx512)
enum { TILE_ROWS = 14, TILE_COLS = 2 };
#else
enum { TILE_ROWS = 6, TILE_COLS = 2 };
#endif
enum { PANEL = TILE_COLS * VF };

/* packed[p][j] = B(p, column + j) for p in [depth, depth + count), j < PANEL; zeros past n. */
void ISA_NAME(gemm_pack_b)(float *packed, const struct gemm *g, size_t depth, size_t count,
                           size_t column);
/* packed[p][i] = A(row + i, p) for p in [depth, depth + count), i < rows, where a_row is 1: strips
 * of `rows` <= TILE_ROWS. Writes up to VF - 1 floats past the end. */
void ISA_NAME(gemm_pack_a)(float *packed, const struct gemm *g, size_t depth, size_t count,
                           size_t row, size_t rows);

#endif
