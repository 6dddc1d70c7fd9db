/* How this build of the kernels stores tensors: floats, or bf16 (CONV_BF16: AVX-512 with its bf16
 * instructions), and how it multiplies them. Products take `DEPTH` summands of an output at a time:
 * vdpbf16ps adds two products of bf16 pairs to each float. */
#ifndef IMGTRAIN_CPU_ISA_CONV_STORED_H
#define IMGTRAIN_CPU_ISA_CONV_STORED_H

#include "cpu/isa/conv_simd.h"
#include "math/bf16.h"

#if defined(CONV_BF16)

enum { DEPTH = 2 };
typedef uint16_t stored;

INLINE vf vs_load(const stored *p)
{
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}
INLINE void vs_store(stored *p, vf v)
{
    _mm256_storeu_si256((__m256i *)p, (__m256i)_mm512_cvtneps_pbh(v));
}
INLINE vf vs_load_some(const stored *p, int count)
{
    __m256i some = _mm256_maskz_loadu_epi16((__mmask16)(0xffffU >> (16 - count)), p);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(some), 16));
}
INLINE void vs_store_some(stored *p, vf v, int count)
{
    _mm256_mask_storeu_epi16(p, (__mmask16)(0xffffU >> (16 - count)),
                             (__m256i)_mm512_cvtneps_pbh(v));
}
INLINE float stored_value(stored x)
{
    return bf16_value(x);
}
INLINE stored stored_round(float x)
{
    return bf16_round(x);
}
/* DEPTH values in every lane, for vf_product. */
INLINE vf vs_each(const stored *p)
{
    int pair;
    memcpy(&pair, p, sizeof pair);
    return _mm512_castsi512_ps(_mm512_set1_epi32(pair));
}
INLINE vf vf_product(vf x, vf w, vf sum)
{
    return _mm512_dpbf16_ps(sum, (__m512bh)x, (__m512bh)w);
}
/* Pairs of up to VF values of two rows (NULL: zeros). */
INLINE vf vs_pairs(const stored *even, const stored *odd, int count)
{
    __mmask16 some = (__mmask16)(0xffffU >> (16 - count));
    __m512i low = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(some, even));
    if (!odd) return _mm512_castsi512_ps(low);
    __m512i high = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(some, odd));
    return _mm512_castsi512_ps(_mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
}

#else

enum { DEPTH = 1 };
typedef float stored;

INLINE vf vs_load(const stored *p)
{
    return vf_load(p);
}
INLINE void vs_store(stored *p, vf v)
{
    vf_store(p, v);
}
INLINE vf vs_load_some(const stored *p, int count)
{
    return vf_load_some(p, count);
}
INLINE void vs_store_some(stored *p, vf v, int count)
{
    vf_store_some(p, v, count);
}
INLINE float stored_value(stored x)
{
    return x;
}
INLINE stored stored_round(float x)
{
    return x;
}
INLINE vf vs_each(const stored *p)
{
    return vf_set(*p);
}
INLINE vf vf_product(vf x, vf w, vf sum)
{
    return vf_fma(x, w, sum);
}

#endif

#endif
