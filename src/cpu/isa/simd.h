/* A vector of floats for the instruction set that this file is compiled for: AVX-512, AVX2 or
 * whatever GCC's vector extension makes of 16 bytes. Arithmetic operators work on `vf`; what they
 * cannot say has a function here. Masks (`vm`) select lanes. */
#ifndef IMGTRAIN_CPU_ISA_SIMD_H
#define IMGTRAIN_CPU_ISA_SIMD_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define SIMD_JOIN2(a, b) a##_##b
#define SIMD_JOIN(a, b) SIMD_JOIN2(a, b)
/* splat_render -> splat_render_avx512 */
#define ISA_NAME(name) SIMD_JOIN(name, ISA)

#if defined(ISA_avx512)

#include <immintrin.h>
typedef __m512 vf;
typedef __mmask16 vm;
enum { LANES = 16 };

static inline vf vf_set(float a)
{
    return _mm512_set1_ps(a);
}
static inline vf vf_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
static inline void vf_store(float *p, vf a)
{
    _mm512_storeu_ps(p, a);
}
static inline vf vf_fma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}
static inline vf vf_min(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}
static inline vf vf_max(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}
static inline vm vf_le(vf a, vf b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ);
}
static inline vm vf_lt(vf a, vf b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}
static inline vm vm_and(vm a, vm b)
{
    return (vm)(a & b);
}
static inline bool vm_any(vm a)
{
    return a != 0;
}
static inline unsigned vm_bits(vm a)
{
    return a;
}
static inline vf vf_keep(vm m, vf a)
{
    return _mm512_maskz_mov_ps(m, a);
} /* 0 where m is not set */
static inline vf vf_scale2_bits(vf a, vf n)
{
    __m512i shift = _mm512_slli_epi32(_mm512_castps_si512(n), 23);
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a), shift));
} /* a with the last bits of n added to its exponent */
static inline float vf_sum(vf a)
{
    return _mm512_reduce_add_ps(a);
}
static inline vf vf_sqrt(vf a)
{
    return _mm512_sqrt_ps(a);
}
static inline vf vf_select(vm m, vf a, vf b)
{
    return _mm512_mask_mov_ps(b, m, a);
}
static inline float vf_least(vf a)
{
    return _mm512_reduce_min_ps(a);
}
static inline float vf_most(vf a)
{
    return _mm512_reduce_max_ps(a);
}
static inline vf vf_iota(void)
{
    return _mm512_set_ps(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
}

#elif defined(ISA_avx2)

#include <immintrin.h>
typedef __m256 vf;
typedef __m256 vm;
enum { LANES = 8 };

static inline vf vf_set(float a)
{
    return _mm256_set1_ps(a);
}
static inline vf vf_load(const float *p)
{
    return _mm256_loadu_ps(p);
}
static inline void vf_store(float *p, vf a)
{
    _mm256_storeu_ps(p, a);
}
static inline vf vf_fma(vf a, vf b, vf c)
{
    return _mm256_fmadd_ps(a, b, c);
}
static inline vf vf_min(vf a, vf b)
{
    return _mm256_min_ps(a, b);
}
static inline vf vf_max(vf a, vf b)
{
    return _mm256_max_ps(a, b);
}
static inline vm vf_le(vf a, vf b)
{
    return _mm256_cmp_ps(a, b, _CMP_LE_OQ);
}
static inline vm vf_lt(vf a, vf b)
{
    return _mm256_cmp_ps(a, b, _CMP_LT_OQ);
}
static inline vm vm_and(vm a, vm b)
{
    return _mm256_and_ps(a, b);
}
static inline bool vm_any(vm a)
{
    return _mm256_movemask_ps(a) != 0;
}
static inline unsigned vm_bits(vm a)
{
    return (unsigned)_mm256_movemask_ps(a);
}
static inline vf vf_keep(vm m, vf a)
{
    return _mm256_and_ps(m, a);
}
static inline vf vf_scale2_bits(vf a, vf n)
{
    __m256i shift = _mm256_slli_epi32(_mm256_castps_si256(n), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), shift));
}
static inline float vf_sum(vf a)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
}
static inline vf vf_sqrt(vf a)
{
    return _mm256_sqrt_ps(a);
}
static inline vf vf_select(vm m, vf a, vf b)
{
    return _mm256_blendv_ps(b, a, m);
}
static inline vf vf_iota(void)
{
    return _mm256_set_ps(7, 6, 5, 4, 3, 2, 1, 0);
}

#else

typedef float vf __attribute__((vector_size(16)));
typedef int32_t vm __attribute__((vector_size(16)));
typedef uint32_t vu __attribute__((vector_size(16)));
enum { LANES = 4 };

static inline vf vf_set(float a)
{
    return (vf){a, a, a, a};
}
static inline vf vf_load(const float *p)
{
    vf a;
    memcpy(&a, p, sizeof a);
    return a;
}
static inline void vf_store(float *p, vf a)
{
    memcpy(p, &a, sizeof a);
}
static inline vf vf_fma(vf a, vf b, vf c)
{
    return a * b + c;
}
static inline vf vf_select(vm m, vf a, vf b)
{
    return (vf)((m & (vm)a) | (~m & (vm)b));
}
static inline vf vf_min(vf a, vf b)
{
    return vf_select(a < b, a, b);
}
static inline vf vf_max(vf a, vf b)
{
    return vf_select(a > b, a, b);
}
static inline vm vf_le(vf a, vf b)
{
    return a <= b;
}
static inline vm vf_lt(vf a, vf b)
{
    return a < b;
}
static inline vm vm_and(vm a, vm b)
{
    return a & b;
}
static inline bool vm_any(vm a)
{
    return (a[0] | a[1] | a[2] | a[3]) != 0;
}
static inline unsigned vm_bits(vm a)
{
    return (unsigned)((a[0] & 1) | (a[1] & 2) | (a[2] & 4) | (a[3] & 8));
}
static inline vf vf_keep(vm m, vf a)
{
    return (vf)(m & (vm)a);
}
static inline vf vf_scale2_bits(vf a, vf n)
{
    return (vf)((vu)a + ((vu)n << 23));
}
static inline float vf_sum(vf a)
{
    return (a[0] + a[2]) + (a[1] + a[3]);
}
static inline vf vf_sqrt(vf a)
{
    return (vf){__builtin_sqrtf(a[0]), __builtin_sqrtf(a[1]), __builtin_sqrtf(a[2]),
                __builtin_sqrtf(a[3])};
}
static inline vf vf_iota(void)
{
    return (vf){0, 1, 2, 3};
}

#endif

#if !defined(ISA_avx512)
static inline float vf_least(vf a)
{
    float least = a[0];
    for (int i = 1; i < LANES; i++)
        least = a[i] < least ? a[i] : least;
    return least;
}
static inline float vf_most(vf a)
{
    float most = a[0];
    for (int i = 1; i < LANES; i++)
        most = a[i] > most ? a[i] : most;
    return most;
}
#endif

/* 2^-power for power in [0, 120]: relative error below 2.2e-7. What is larger gives anything.
 * Coefficients: minimax on [-1/2, 1/2]. The sum with `magic` holds the rounded -power in its last
 * bits, which become the exponent. */
static inline vf vf_exp2_negative(vf power)
{
    vf magic = vf_set(0x1.8p23f), shifted = magic - power;
    vf f = power + (shifted - magic); /* -f is left of -power */
    vf p = vf_set(-1.327647245e-3f);
    p = vf_fma(p, f, vf_set(9.675540961e-3f));
    p = vf_fma(p, f, vf_set(-5.550713092e-2f));
    p = vf_fma(p, f, vf_set(2.402212024e-1f));
    p = vf_fma(p, f, vf_set(-6.931469440e-1f));
    p = vf_fma(p, f, vf_set(1.000000119f));
    return vf_scale2_bits(p, shifted);
}

#endif
