/* What the convolution kernels need of vectors beside simd.h. */
#ifndef IMGTRAIN_CPU_ISA_CONV_SIMD_H
#define IMGTRAIN_CPU_ISA_CONV_SIMD_H

#include "cpu/isa/simd.h"

#include <stddef.h>

#define INLINE static inline __attribute__((always_inline))

enum { VF = LANES };

#if defined(ISA_avx512)

/* One bit for each lane that is > 0, from bit `at` on; `at` is a multiple of VF. */
INLINE void vf_mask_store(uint8_t *bits, size_t at, vf v)
{
    uint16_t m = _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_GT_OQ);
    memcpy(bits + at / 8, &m, sizeof m);
}
/* v where v > 0, slope * v elsewhere. */
INLINE vf vf_lrelu(vf v, vf slope)
{
    return _mm512_mask_mul_ps(v, _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_NGT_UQ), v, slope);
}
/* v where the bit (from `at` on) is set, slope * v elsewhere. */
INLINE vf vf_mask_mul(const uint8_t *bits, size_t at, vf v, vf slope)
{
    uint16_t m;
    memcpy(&m, bits + at / 8, sizeof m);
    return _mm512_mask_mul_ps(v, (__mmask16)~m, v, slope);
}
/* The first `count` floats (0 < count <= VF); the others are 0, or are left alone. */
INLINE vf vf_load_some(const float *p, int count)
{
    return _mm512_maskz_loadu_ps((__mmask16)(0xffffU >> (16 - count)), p);
}
INLINE void vf_store_some(float *p, vf v, int count)
{
    _mm512_mask_storeu_ps(p, (__mmask16)(0xffffU >> (16 - count)), v);
}

#elif defined(ISA_avx2)

INLINE void vf_mask_store(uint8_t *bits, size_t at, vf v)
{
    bits[at / 8] = (uint8_t)_mm256_movemask_ps(_mm256_cmp_ps(v, _mm256_setzero_ps(), _CMP_GT_OQ));
}
INLINE vf vf_lrelu(vf v, vf slope)
{
    __m256 above = _mm256_cmp_ps(v, _mm256_setzero_ps(), _CMP_GT_OQ);
    return _mm256_blendv_ps(_mm256_mul_ps(v, slope), v, above);
}
INLINE vf vf_mask_mul(const uint8_t *bits, size_t at, vf v, vf slope)
{
    const __m256i lane = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    __m256i set = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(bits[at / 8]), lane), lane);
    return _mm256_blendv_ps(_mm256_mul_ps(v, slope), v, _mm256_castsi256_ps(set));
}
INLINE __m256i vf_first(int count)
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), lane);
}
INLINE vf vf_load_some(const float *p, int count)
{
    return _mm256_maskload_ps(p, vf_first(count));
}
INLINE void vf_store_some(float *p, vf v, int count)
{
    _mm256_maskstore_ps(p, vf_first(count), v);
}

#else

INLINE void vf_mask_store(uint8_t *bits, size_t at, vf v)
{
    const vm lane = {1, 2, 4, 8};
    vm m = (v > vf_set(0)) & lane;
    unsigned low = at % 8, four = (unsigned)(m[0] | m[1] | m[2] | m[3]);
    bits[at / 8] = (uint8_t)((bits[at / 8] & ~(0xfU << low)) | four << low);
}
INLINE vf vf_lrelu(vf v, vf slope)
{
    return vf_select(v > vf_set(0), v, v * slope);
}
INLINE vf vf_mask_mul(const uint8_t *bits, size_t at, vf v, vf slope)
{
    const vm lane = {1, 2, 4, 8};
    int four = bits[at / 8] >> at % 8;
    vm set = ((vm){four, four, four, four} & lane) == lane;
    return vf_select(set, v, v * slope);
}
INLINE vf vf_load_some(const float *p, int count)
{
    float some[LANES] = {0};
    for (int i = 0; i < count; i++)
        some[i] = p[i];
    return vf_load(some);
}
INLINE void vf_store_some(float *p, vf v, int count)
{
    for (int i = 0; i < count; i++)
        p[i] = v[i];
}
#endif

#endif
