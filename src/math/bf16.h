/* bf16: the upper half of a float, rounded to nearest, ties to even. NaN stays NaN. */
#ifndef IMGTRAIN_MATH_BF16_H
#define IMGTRAIN_MATH_BF16_H

#include "base/host_device.h"

#include <stdint.h>
#include <string.h>

HOST_DEVICE static inline uint16_t bf16_round(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    uint32_t rounded = (u + 0x7fffU + (u >> 16 & 1U)) >> 16;
    uint32_t quiet = u >> 16 | 0x40U;
    return (uint16_t)((u & 0x7fffffffU) > 0x7f800000U ? quiet : rounded);
}

HOST_DEVICE static inline float bf16_value(uint16_t half)
{
    uint32_t u = (uint32_t)half << 16;
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

#endif
