/* The products of grouped 3x3 convolutions, 16 channels a group, whatever Winograd transforms are
 * around them. */
#ifndef IMGTRAIN_CPU_ISA_CONV_GROUP_H
#define IMGTRAIN_CPU_ISA_CONV_GROUP_H

#include "cpu/isa/conv_simd.h"
#include "cpu/nn/conv_kernels.h"

#define EACH_4(X) X(0) X(1) X(2) X(3)
#define EACH_6(X) EACH_4(X) X(4) X(5)
#define EACH_12(X) EACH_6(X) X(6) X(7) X(8) X(9) X(10) X(11)
#define EACH_16(X) EACH_12(X) X(12) X(13) X(14) X(15)

#if defined(ISA_avx512)
enum { TILES_AT_ONCE = 12 };
/* values[12][16] = values w[16][16], in place: 16 weights and 12 sums in registers */
INLINE void conv_group_product(float *values, const float *w)
{
#define LOAD(i) vf w##i = vf_load(w + i * GROUP);
    EACH_16(LOAD)
#define FIRST(t) vf c##t = vf_set(values[t * GROUP]) * w0;
    EACH_12(FIRST)
#define MUL(t, i) c##t = vf_fma(vf_set(values[t * GROUP + i]), w##i, c##t);
#define STEPS(i)                                                                                   \
    MUL(0, i)                                                                                      \
    MUL(1, i)                                                                                      \
    MUL(2, i)                                                                                      \
    MUL(3, i) MUL(4, i) MUL(5, i) MUL(6, i) MUL(7, i) MUL(8, i) MUL(9, i) MUL(10, i) MUL(11, i)
    STEPS(1);
    STEPS(2);
    STEPS(3);
    STEPS(4);
    STEPS(5);
    STEPS(6);
    STEPS(7);
    STEPS(8);
    STEPS(9);
    STEPS(10);
    STEPS(11);
    STEPS(12);
    STEPS(13);
    STEPS(14);
    STEPS(15);
#define STORE(t) vf_store(values + t * GROUP, c##t);
    EACH_12(STORE)
}
#else
enum { TILES_AT_ONCE = 6 }; /* 12 sums, 2 weights and a value in 16 registers */
INLINE void conv_group_product(float *values, const float *w)
{
    float aside[TILES_AT_ONCE * GROUP] __attribute__((aligned(64)));
    float *out = 2 * VF == GROUP ? values : aside; /* one pass reads all before it stores */
    for (int v = 0; v < GROUP; v += 2 * VF) {
#define ZERO(t) vf c##t = vf_set(0), e##t = c##t;
        EACH_6(ZERO)
        for (int i = 0; i < GROUP; i++) {
            vf w0 = vf_load(w + i * GROUP + v), w1 = vf_load(w + i * GROUP + v + VF);
#define STEP(t)                                                                                    \
    {                                                                                              \
        vf x = vf_set(values[t * GROUP + i]);                                                      \
        c##t = vf_fma(x, w0, c##t), e##t = vf_fma(x, w1, e##t);                                    \
    }
            EACH_6(STEP)
        }
#define STORE(t) vf_store(out + t * GROUP + v, c##t), vf_store(out + t * GROUP + v + VF, e##t);
        EACH_6(STORE)
    }
    if (out == aside) memcpy(values, aside, sizeof aside);
}
#endif

/* sums[16][16] += sum over the tiles of a[16] b[16] */
INLINE void outer_product(float *sums, const float *a, const float *b, int count)
{
#if defined(ISA_avx512)
#define SUM(i) vf s##i = vf_load(sums + i * GROUP);
    EACH_16(SUM)
    for (int t = 0; t < count; t++, a += GROUP, b += GROUP) {
        vf y = vf_load(b);
#define ADD(i) s##i = vf_fma(vf_set(a[i]), y, s##i);
        EACH_16(ADD)
    }
#define KEEP(i) vf_store(sums + i * GROUP, s##i);
    EACH_16(KEEP)
#else
    for (int v = 0; v < GROUP; v += 2 * VF)
        for (int i = 0; i < GROUP; i += 4) {
#define SUM(j)                                                                                     \
    vf s##j = vf_load(sums + (i + j) * GROUP + v), u##j = vf_load(sums + (i + j) * GROUP + v + VF);
            EACH_4(SUM)
            for (int t = 0; t < count; t++) {
                vf y0 = vf_load(b + t * GROUP + v), y1 = vf_load(b + t * GROUP + v + VF);
#define ADD(j)                                                                                     \
    s##j = vf_fma(vf_set(a[t * GROUP + i + j]), y0, s##j);                                         \
    u##j = vf_fma(vf_set(a[t * GROUP + i + j]), y1, u##j);
                EACH_4(ADD)
            }
#define KEEP(j)                                                                                    \
    vf_store(sums + (i + j) * GROUP + v, s##j), vf_store(sums + (i + j) * GROUP + v + VF, u##j);
            EACH_4(KEEP)
        }
#endif
}

#endif
