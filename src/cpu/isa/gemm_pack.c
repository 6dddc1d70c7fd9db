/* The operands of a matrix product in the order in which its tiles read them. */
#include "cpu/isa/gemm_isa.h"
#include "math/bf16.h"
#include "math/half.h"

INLINE size_t gemm_type_bytes(enum gemm_type type)
{
    return type == GEMM_F32 ? 4 : type == GEMM_I8 ? 1 : 2;
}

/* VF numbers of a type, or the first `count` of them and zeros. */
INLINE vf gemm_widen(enum gemm_type type, const void *b, size_t at)
{
    if (type == GEMM_F32) return vf_load((const float *)b + at);
    const uint16_t *from = (const uint16_t *)b + at;
    const int8_t *bytes = (const int8_t *)b + at;
#if defined(ISA_avx512)
    if (type == GEMM_I8)
        return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)bytes)));
    __m256i half = _mm256_loadu_si256((const __m256i *)from);
    if (type == GEMM_F16) return _mm512_cvtph_ps(half);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
#elif defined(ISA_avx2)
    if (type == GEMM_I8)
        return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)bytes)));
    __m128i half = _mm_loadu_si128((const __m128i *)from);
    if (type == GEMM_F16) return _mm256_cvtph_ps(half);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
#else
    float wide[VF];
    for (int i = 0; i < VF; i++)
        wide[i] = type == GEMM_I8    ? bytes[i]
                  : type == GEMM_F16 ? half_half_value(from[i])
                                     : bf16_value(from[i]);
    return vf_load(wide);
#endif
}

INLINE float gemm_widen_one(enum gemm_type type, const void *b, size_t at)
{
    if (type == GEMM_F32) return ((const float *)b)[at];
    if (type == GEMM_I8) return ((const int8_t *)b)[at];
    uint16_t half = ((const uint16_t *)b)[at];
    return type == GEMM_F16 ? half_half_value(half) : bf16_value(half);
}

INLINE vf gemm_widen_some(enum gemm_type type, const void *b, size_t at, size_t count)
{
    if (count >= VF) return gemm_widen(type, b, at);
    float wide[VF] = {0};
    for (size_t i = 0; i < count; i++)
        wide[i] = gemm_widen_one(type, b, at + i);
    return vf_load(wide);
}

enum { AHEAD = 16 }; /* rows that are fetched beforehand */

/* Rows of B lie along its columns (not those of 8 bits, which are forward passes' alone): copies. A
 * whole row at a time, as the next one lies on another page. */
INLINE void gemm_pack_lines(enum gemm_type type, float *packed, size_t pitch, const struct gemm *g,
                            size_t depth, size_t count, size_t column, size_t columns)
{
    size_t left = g->n - column, at = depth * g->b_depth + column;
    size_t bytes = gemm_type_bytes(type);
    for (size_t p = 0; p < count; p++, packed += PANEL, at += g->b_depth) {
        const char *ahead = (const char *)g->b + (at + AHEAD * g->b_depth) * bytes;
        for (size_t j = 0; j < columns * bytes; j += LINE * sizeof(float))
            __builtin_prefetch(ahead + j);
        for (size_t c = 0; c < columns; c += PANEL)
            for (size_t j = c; j < c + PANEL; j += VF)
                vf_store(packed + c * pitch + (j - c),
                         j < left ? gemm_widen_some(type, g->b, at + j, left - j) : vf_set(0));
    }
}

/* They lie along the depth: squares of VF x VF numbers, transposed. */
INLINE void gemm_pack_squares(enum gemm_type type, float *packed, size_t pitch,
                              const struct gemm *g, size_t depth, size_t count, size_t column,
                              size_t columns)
{
    size_t bytes = gemm_type_bytes(type);
    for (size_t j = 0; j < columns; j += VF)
        for (size_t p = 0; p < count; p += VF) {
            vf x[VF];
#pragma GCC unroll 16
            for (size_t i = 0; i < VF; i++) {
                size_t at = (column + j + i) * g->b_column + depth + p;
                __builtin_prefetch((const char *)g->b + (at + VF * g->b_column) * bytes);
                x[i] =
                    column + j + i < g->n ? gemm_widen_some(type, g->b, at, count - p) : vf_set(0);
                if (type == GEMM_I8 && column + j + i < g->n)
                    x[i] *= vf_set(g->b_scales[column + j + i]);
            }
            gemm_transpose(x);
            float *to = packed + j / PANEL * (PANEL * pitch) + p * PANEL + j % PANEL;
#pragma GCC unroll 16
            for (size_t i = 0; i < VF; i++)
                if (p + i < count) vf_store(to + i * PANEL, x[i]);
        }
}

INLINE void gemm_pack_type(enum gemm_type type, float *packed, size_t pitch, const struct gemm *g,
                           size_t depth, size_t count, size_t column, size_t columns)
{
    columns = (columns + PANEL - 1) / PANEL * PANEL;
    if (g->b_column == 1 && type != GEMM_I8)
        gemm_pack_lines(type, packed, pitch, g, depth, count, column, columns);
    else
        gemm_pack_squares(type, packed, pitch, g, depth, count, column, columns);
}

void gemm_pack_panels(float *packed, size_t pitch, const struct gemm *g, size_t depth, size_t count,
                      size_t column, size_t columns)
{
    if (g->b_type == GEMM_F32)
        gemm_pack_type(GEMM_F32, packed, pitch, g, depth, count, column, columns);
    else if (g->b_type == GEMM_BF16)
        gemm_pack_type(GEMM_BF16, packed, pitch, g, depth, count, column, columns);
    else if (g->b_type == GEMM_I8)
        gemm_pack_type(GEMM_I8, packed, pitch, g, depth, count, column, columns);
    else
        gemm_pack_type(GEMM_F16, packed, pitch, g, depth, count, column, columns);
}

/* Rows of TILE_ROWS floats, two less than a vector, lie close together: CLOSE of them are whole
 * vectors, as stores across two cache lines take many times as long. */
#if defined(ISA_avx512) || defined(ISA_avx2)
enum { CLOSE = VF / 2 };
_Static_assert(TILE_ROWS == VF - 2, "see gemm_join");

/* The floats of `a` from `skip` on, up to TILE_ROWS, and then those of `b`. */
INLINE vf gemm_join(vf a, vf b, int skip)
{
#if defined(ISA_avx512)
    const __m512i at =
        _mm512_add_epi32(_mm512_set1_epi32(skip),
                         _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
    const __mmask16 is_b = _mm512_cmpgt_epi32_mask(at, _mm512_set1_epi32(TILE_ROWS - 1));
    return _mm512_permutex2var_ps(a, _mm512_mask_add_epi32(at, is_b, at, _mm512_set1_epi32(2)), b);
#else
    const __m256i at =
        _mm256_add_epi32(_mm256_set1_epi32(skip), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    const __m256i is_b = _mm256_cmpgt_epi32(at, _mm256_set1_epi32(TILE_ROWS - 1));
    vf from_b = _mm256_permutevar8x32_ps(b, _mm256_add_epi32(at, _mm256_set1_epi32(2)));
    return _mm256_blendv_ps(_mm256_permutevar8x32_ps(a, at), from_b, _mm256_castsi256_ps(is_b));
#endif
}

INLINE void gemm_pack_close(float *to, const float *from, size_t stride)
{
    vf x[CLOSE];
#pragma GCC unroll 8
    for (int i = 0; i < CLOSE; i++)
        x[i] = vf_load_some(from + (size_t)i * stride, TILE_ROWS);
#pragma GCC unroll 8
    for (int i = 0; i < CLOSE - 1; i++)
        vf_store(to + i * VF, gemm_join(x[i], x[i + 1], 2 * i));
}
#else
enum { CLOSE = 4 };
#endif

/* `count` rows of a strip's `rows` floats. */
INLINE void gemm_pack_strip(float *to, const float *from, size_t stride, size_t count, size_t rows)
{
#if defined(ISA_avx512) || defined(ISA_avx2)
    if (count == CLOSE && rows == TILE_ROWS) {
        gemm_pack_close(to, from, stride);
        return;
    }
#endif
    for (size_t p = 0; p < count; p++, from += stride, to += rows)
        for (size_t i = 0; i < rows; i += VF)
            vf_store(to + i,
                     rows - i >= VF ? vf_load(from + i) : vf_load_some(from + i, (int)(rows - i)));
}

void gemm_pack_strips(float *packed, const struct gemm *g, size_t depth, size_t count, size_t row,
                      size_t rows)
{
    const float *from = g->a + row + depth * g->a_depth;
    for (size_t p = 0; p < count; p += CLOSE, from += CLOSE * g->a_depth) {
        size_t some = count - p < CLOSE ? count - p : CLOSE;
        for (size_t q = AHEAD; q < AHEAD + some; q++)
            for (size_t i = 0; i < rows; i += LINE)
                __builtin_prefetch(from + q * g->a_depth + i);
        float *strip = packed;
        for (size_t r = 0, now; r < rows; r += now, strip += STRIP) {
            now = gemm_tile_rows(rows - r);
            gemm_pack_strip(strip + p * now, from + r, g->a_depth, some, now);
        }
    }
}

void gemm_pack_copies(float *packed, const struct gemm *g, size_t depth, size_t count, size_t row,
                      size_t rows)
{
    const float *from = g->a + row * g->a_row + depth;
    for (size_t r = 0; r < rows; r++, packed += COPY, from += g->a_row) {
        for (size_t p = 0; p < count; p += LINE)
            __builtin_prefetch(from + AHEAD / 2 * g->a_row + p);
        memcpy(packed, from, count * sizeof *packed);
    }
}
