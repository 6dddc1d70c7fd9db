/* bf16: the upper half of a float, rounded to nearest, ties to even. NaN stays NaN. */
#ifndef IMGTRAIN_MATH_BF16_H
#define IMGTRAIN_MATH_BF16_H

#include "base/host_device.h"

#include <stdint.h>
#include <string.h>

HOST_DEVICE static inline uint16_t bf16_round(float x)
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800 /* the same rule, but for a NaN's payload */
    uint16_t one;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(one) : "f"(x));
    return one;
#else
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    uint32_t rounded = (u + 0x7fffU + (u >> 16 & 1U)) >> 16;
    uint32_t quiet = u >> 16 | 0x40U;
    return (uint16_t)((u & 0x7fffffffU) > 0x7f800000U ? quiet : rounded);
#endif
}

/* Two at once, `low` in the lower half. */
HOST_DEVICE static inline uint32_t bf16_pair(float low, float high)
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    uint32_t both;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
    return both;
#else
    return bf16_round(low) | (uint32_t)bf16_round(high) << 16;
#endif
}

HOST_DEVICE static inline float bf16_value(uint16_t half)
{
    uint32_t u = (uint32_t)half << 16;
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

#endif
