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
enum { LINE = 16 }; /* floats of a cache line */

/* Rows of tiles of `left` rows: as equal as can be, as short ones wait for their own sums. */
INLINE size_t gemm_tile_rows(size_t left)
{
    size_t tiles = (left + TILE_ROWS - 1) / TILE_ROWS;
    return (left + tiles - 1) / tiles;
}

/* B(p, j) for p in [depth, depth + count), j in [column, column + columns): panel after panel of
 * [pitch][PANEL], zeros past n. */
#define gemm_pack_panels ISA_NAME(gemm_pack_panels)
void gemm_pack_panels(float *packed, size_t pitch, const struct gemm *g, size_t depth, size_t count,
                      size_t column, size_t columns);

/* A(i, p) for p in [depth, depth + count), i in [row, row + rows). Where a_row is 1: tile after
 * tile of [GEMM_DEPTH][its rows], STRIP apart; where a_depth is 1: row after row, COPY apart. */
enum { STRIP = GEMM_DEPTH * TILE_ROWS + VF, COPY = GEMM_DEPTH + LINE };
#define gemm_pack_strips ISA_NAME(gemm_pack_strips)
void gemm_pack_strips(float *packed, const struct gemm *g, size_t depth, size_t count, size_t row,
                      size_t rows);
#define gemm_pack_copies ISA_NAME(gemm_pack_copies)
void gemm_pack_copies(float *packed, const struct gemm *g, size_t depth, size_t count, size_t row,
                      size_t rows);

/* Where a tile's sums go, and what is added to them: `from` (NULL: nothing), laid out like the
 * target, then `bias`. */
struct tile_target {
    float *to;
    const float *from, *bias;
    size_t stride;
};

/* Where its rows come from: A(r, p) = a[r stride + p step]. */
struct tile_source {
    const float *a;
    size_t stride, step;
};

/* rows <= TILE_ROWS and columns <= PANEL of sums over `count` of the depth; b: [count][PANEL]. */
#define gemm_tile_sum ISA_NAME(gemm_tile_sum)
void gemm_tile_sum(size_t rows, size_t columns, size_t count, const struct tile_source *s,
                   const float *b, const struct tile_target *t);

#endif
