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

/* Element j of row i becomes element i of row j. */
INLINE void gemm_transpose(vf x[VF])
{
#if defined(ISA_avx512)
    vf y[VF];
#pragma GCC unroll 4
    for (int i = 0; i < VF; i += 4) {
        vf a = _mm512_unpacklo_ps(x[i], x[i + 1]), b = _mm512_unpackhi_ps(x[i], x[i + 1]);
        vf c = _mm512_unpacklo_ps(x[i + 2], x[i + 3]), d = _mm512_unpackhi_ps(x[i + 2], x[i + 3]);
#define PAIRS(function, left, right)                                                               \
    _mm512_castpd_ps(function(_mm512_castps_pd(left), _mm512_castps_pd(right)))
        y[i] = PAIRS(_mm512_unpacklo_pd, a, c);
        y[i + 1] = PAIRS(_mm512_unpackhi_pd, a, c);
        y[i + 2] = PAIRS(_mm512_unpacklo_pd, b, d);
        y[i + 3] = PAIRS(_mm512_unpackhi_pd, b, d);
    }
    /* y[4 q + e] holds, in its lane l, element 4 l + e of rows 4 q ... 4 q + 3 */
#pragma GCC unroll 4
    for (int e = 0; e < 4; e++) {
        vf a = _mm512_shuffle_f32x4(y[e], y[4 + e], 0x44);
        vf b = _mm512_shuffle_f32x4(y[e], y[4 + e], 0xee);
        vf c = _mm512_shuffle_f32x4(y[8 + e], y[12 + e], 0x44);
        vf d = _mm512_shuffle_f32x4(y[8 + e], y[12 + e], 0xee);
        x[e] = _mm512_shuffle_f32x4(a, c, 0x88);
        x[4 + e] = _mm512_shuffle_f32x4(a, c, 0xdd);
        x[8 + e] = _mm512_shuffle_f32x4(b, d, 0x88);
        x[12 + e] = _mm512_shuffle_f32x4(b, d, 0xdd);
    }
#elif defined(ISA_avx2)
    vf y[VF];
#pragma GCC unroll 2
    for (int i = 0; i < VF; i += 4) {
        vf a = _mm256_unpacklo_ps(x[i], x[i + 1]), b = _mm256_unpackhi_ps(x[i], x[i + 1]);
        vf c = _mm256_unpacklo_ps(x[i + 2], x[i + 3]), d = _mm256_unpackhi_ps(x[i + 2], x[i + 3]);
        y[i] = _mm256_shuffle_ps(a, c, 0x44);
        y[i + 1] = _mm256_shuffle_ps(a, c, 0xee);
        y[i + 2] = _mm256_shuffle_ps(b, d, 0x44);
        y[i + 3] = _mm256_shuffle_ps(b, d, 0xee);
    }
#pragma GCC unroll 4
    for (int e = 0; e < 4; e++) {
        x[e] = _mm256_permute2f128_ps(y[e], y[4 + e], 0x20);
        x[4 + e] = _mm256_permute2f128_ps(y[e], y[4 + e], 0x31);
    }
#else
    vf a = {x[0][0], x[1][0], x[2][0], x[3][0]}, b = {x[0][1], x[1][1], x[2][1], x[3][1]};
    vf c = {x[0][2], x[1][2], x[2][2], x[3][2]}, d = {x[0][3], x[1][3], x[2][3], x[3][3]};
    x[0] = a, x[1] = b, x[2] = c, x[3] = d;
#endif
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
