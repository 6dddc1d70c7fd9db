/* A leaky ReLU with a slope for each channel, on a vector of them. */
#ifndef IMGTRAIN_CPU_ISA_CONV_PRELU_H
#define IMGTRAIN_CPU_ISA_CONV_PRELU_H

#include "cpu/isa/conv_simd.h"

/* x where z > 0, slope x elsewhere. */
INLINE vf prelu_select(vf z, vf x, vf slope)
{
    return vf_select(vf_lt(vf_set(0), z), x, x * slope);
}

INLINE vf prelu_apply(vf z, vf slope)
{
    return prelu_select(z, z, slope);
}

/* `count` slopes, at most VF of them. */
INLINE vf prelu_slopes(const float *slopes, int count)
{
    return count >= VF ? vf_load(slopes) : count > 0 ? vf_load_some(slopes, count) : vf_set(0);
}

#endif
