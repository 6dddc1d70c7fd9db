/* Vectors of floats to bytes. */
#ifndef IMGTRAIN_CPU_ISA_SIMD_BYTES_H
#define IMGTRAIN_CPU_ISA_SIMD_BYTES_H

#include "cpu/isa/simd.h"

/* Writes the whole parts of numbers of 0..255, 3 LANES bytes: a[0] b[0] c[0] a[1] b[1] ... */
static inline void vf_store_triples(uint8_t *p, vf a, vf b, vf c)
{
#if defined(ISA_avx512)
    const __m512i whole = _mm512_or_si512(
        _mm512_cvttps_epi32(a), _mm512_or_si512(_mm512_slli_epi32(_mm512_cvttps_epi32(b), 8),
                                                _mm512_slli_epi32(_mm512_cvttps_epi32(c), 16)));
    const __m512i three = _mm512_broadcast_i32x4(
        _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1));
    const __m512i words = _mm512_setr_epi32(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 15, 15, 15, 15);
    const __m512i packed = _mm512_permutexvar_epi32(words, _mm512_shuffle_epi8(whole, three));
    _mm512_mask_storeu_epi32(p, 0xfff, packed);
#elif defined(ISA_avx2)
    const __m256i whole = _mm256_or_si256(
        _mm256_cvttps_epi32(a), _mm256_or_si256(_mm256_slli_epi32(_mm256_cvttps_epi32(b), 8),
                                                _mm256_slli_epi32(_mm256_cvttps_epi32(c), 16)));
    const __m256i three = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1));
    const __m256i words = _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 7, 7);
    const __m256i packed = _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(whole, three), words);
    _mm_storeu_si128((__m128i *)(void *)p, _mm256_castsi256_si128(packed));
    _mm_storel_epi64((__m128i *)(void *)(p + 16), _mm256_extracti128_si256(packed, 1));
#else
    for (int i = 0; i < LANES; i++) {
        p[3 * i] = (uint8_t)a[i];
        p[3 * i + 1] = (uint8_t)b[i];
        p[3 * i + 2] = (uint8_t)c[i];
    }
#endif
}

#endif
