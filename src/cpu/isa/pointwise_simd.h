/* Functions of each number of a vector: NAME_vf of math/pointwise.h. */
#ifndef IMGTRAIN_CPU_ISA_POINTWISE_SIMD_H
#define IMGTRAIN_CPU_ISA_POINTWISE_SIMD_H

#include "cpu/isa/conv_simd.h"
#include "math/real.h"

/* By e = exp(-|x|), which does not overflow. */
INLINE vf vf_sigmoid(vf x)
{
    vf size = vf_max(x, vf_set(0) - x) * vf_set(1.4426950408889634f);
    vf e = vf_exp2_negative(vf_min(size, vf_set(120)));
    vf s = vf_set(1) / (vf_set(1) + e);
    return vf_select(vf_lt(x, vf_set(0)), e * s, s);
}

#define REAL vf
#define FORMULA(name) name##_vf
#define REAL_FMA(a, b, c) vf_fma(a, b, c)
#define REAL_SET(x) vf_set((float)(x))
#define REAL_SIGMOID(x) vf_sigmoid(x)
#include "math/pointwise.h"

#endif
