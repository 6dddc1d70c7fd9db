/* Half precision as bits; arithmetic goes through float, as the kernels' does. */
#ifndef CUDA_EMU_FP16_H
#define CUDA_EMU_FP16_H

#include "emu_language.h"

struct alignas(2) __half {
    unsigned short bits;
};
struct alignas(4) __half2 {
    __half x, y;
};
typedef __half half;
typedef __half2 half2;

/* To nearest, ties to even. */
static inline __half __float2half_rn(float value)
{
    unsigned f = __float_as_uint(value), sign = f >> 16 & 0x8000u;
    f &= 0x7fffffffu;
    if (f > 0x7f800000u) return __half{static_cast<unsigned short>(sign | 0x7fffu)};
    if (f >= 0x477ff000u) return __half{static_cast<unsigned short>(sign | 0x7c00u)};
    if (f < 0x38800000u) { /* a subnormal: the sum rounds at 2^-24 */
        float sum = __uint_as_float(f) + 0.5f;
        return __half{static_cast<unsigned short>(sign | (__float_as_uint(sum) - 0x3f000000u))};
    }
    f += 0xfffu + (f >> 13 & 1);
    return __half{static_cast<unsigned short>(sign | ((f - 0x38000000u) >> 13))};
}
static inline __half __float2half(float value)
{
    return __float2half_rn(value);
}
static inline float __half2float(__half h)
{
    unsigned sign = (h.bits & 0x8000u) << 16, rest = h.bits & 0x7fffu;
    if (rest >= 0x7c00u) return __uint_as_float(sign | 0x7f800000u | (rest & 0x3ffu) << 13);
    float value = static_cast<float>(rest & 0x3ffu) * 0x1p-24f;
    if (rest >= 0x400u) value = __uint_as_float((rest << 13) + 0x38000000u);
    return sign ? -value : value;
}
static inline __half2 __floats2half2_rn(float x, float y)
{
    return __half2{__float2half_rn(x), __float2half_rn(y)};
}
static inline float2 __half22float2(__half2 h)
{
    return make_float2(__half2float(h.x), __half2float(h.y));
}
static inline unsigned short __half_as_ushort(__half h)
{
    return h.bits;
}
static inline __half __ushort_as_half(unsigned short bits)
{
    return __half{bits};
}

#endif
