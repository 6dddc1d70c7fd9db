/* IEEE half precision as 16 bits, for buffers: the arithmetic stays in float. */
#ifndef IMGTRAIN_MATH_HALF_H
#define IMGTRAIN_MATH_HALF_H

#include "base/host_device.h"

#include <stdint.h>
#include <string.h>

#ifdef __CUDACC__
#include <cuda_fp16.h>
#endif

#define HALF_MAX 65504.0f

HOST_DEVICE static inline float half_half_value(uint16_t h)
{
#ifdef __CUDA_ARCH__
    return __half2float(__ushort_as_half(h));
#else
    uint32_t sign = (uint32_t)(h & 0x8000U) << 16, magnitude = h & 0x7fffU, u;
    float x;
    if (magnitude >= 0x7c00U) { /* infinity, NaN */
        u = sign | 0x7f800000U | (magnitude & 0x3ffU) << 13;
    } else if (magnitude < 0x400U) { /* denormal: a multiple of 2^-24 */
        x = (float)magnitude * 0x1p-24f;
        memcpy(&u, &x, sizeof u);
        u |= sign;
    } else {
        u = sign | ((magnitude << 13) + ((127U - 15U) << 23));
    }
    memcpy(&x, &u, sizeof x);
    return x;
#endif
}

/* To nearest, ties to even; larger than HALF_MAX gives infinity. */
HOST_DEVICE static inline uint16_t half_round(float x)
{
#ifdef __CUDA_ARCH__
    return __half_as_ushort(__float2half_rn(x));
#else
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    uint16_t sign = (uint16_t)(u >> 16 & 0x8000U);
    u &= 0x7fffffffU;
    if (u > 0x7f800000U) return sign | 0x7e00U;  /* NaN */
    if (u >= 0x477ff000U) return sign | 0x7c00U; /* rounds to infinity */
    if (u >= 0x38800000U) {                      /* normal */
        u += 0xfffU + (u >> 13 & 1U) - ((127U - 15U) << 23);
        return sign | (uint16_t)(u >> 13);
    }
    memcpy(&x, &u, sizeof x);
    x += 0.5f; /* adds so much that the last bit of a float is 2^-24: rounds to a denormal */
    memcpy(&u, &x, sizeof u);
    return sign | (uint16_t)(u - 0x3f000000U);
#endif
}

/* The largest half that is not above x >= 0. */
HOST_DEVICE static inline uint16_t half_floor(float x)
{
#ifdef __CUDA_ARCH__
    return __half_as_ushort(__float2half_rd(x));
#else
    uint16_t h = half_round(x);
    return half_half_value(h) > x ? (uint16_t)(h - 1) : h;
#endif
}

#endif
