/* bfloat16 as bits; arithmetic goes through float, as the kernels' does. */
#ifndef CUDA_EMU_BF16_H
#define CUDA_EMU_BF16_H

#include "emu_language.h"

struct alignas(2) __nv_bfloat16 {
    unsigned short bits;
};
struct alignas(4) __nv_bfloat162 {
    __nv_bfloat16 x, y;
};

/* To nearest, ties to even. */
static inline __nv_bfloat16 __float2bfloat16_rn(float value)
{
    unsigned f = __float_as_uint(value);
    if ((f & 0x7fffffffu) > 0x7f800000u) return __nv_bfloat16{0x7fff};
    f += 0x7fffu + (f >> 16 & 1);
    return __nv_bfloat16{static_cast<unsigned short>(f >> 16)};
}
static inline __nv_bfloat16 __float2bfloat16(float value)
{
    return __float2bfloat16_rn(value);
}
static inline float __bfloat162float(__nv_bfloat16 b)
{
    return __uint_as_float(static_cast<unsigned>(b.bits) << 16);
}
static inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y)
{
    return __nv_bfloat162{__float2bfloat16_rn(x), __float2bfloat16_rn(y)};
}
static inline float2 __bfloat1622float2(__nv_bfloat162 b)
{
    return make_float2(__bfloat162float(b.x), __bfloat162float(b.y));
}
static inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 b)
{
    return b.bits;
}
static inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short bits)
{
    return __nv_bfloat16{bits};
}

#endif
