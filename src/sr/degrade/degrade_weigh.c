/* The body stands once and is compiled for the machine's widest vectors too: products and sums are
 * rounded one by one whatever their width. */
#include "sr/degrade/degrade_weigh.h"

#include <string.h>

#if defined(__x86_64__)
#define WEIGH_X86 1
#else
#define WEIGH_X86 0
#endif

/* Vectors of `lanes` floats, 64 floats at a time: their sums stay in registers. */
#define WEIGH_BODY(name, lanes)                                                                    \
    typedef float name##_lanes __attribute__((vector_size(lanes * sizeof(float))));                \
    __attribute__((always_inline)) static inline void name(float *to, const float *from,           \
                                                           size_t stride, const float *weights,    \
                                                           int count, size_t n, bool add)          \
    {                                                                                              \
        enum { BLOCK = 64 / lanes };                                                               \
        name##_lanes sum[BLOCK], in;                                                               \
        size_t k = 0;                                                                              \
        for (; k + 64 <= n; k += 64) {                                                             \
            if (add)                                                                               \
                memcpy(sum, to + k, sizeof sum);                                                   \
            else                                                                                   \
                memset(sum, 0, sizeof sum);                                                        \
            for (int t = 0; t < count; t++)                                                        \
                for (int b = 0; b < BLOCK; b++) {                                                  \
                    memcpy(&in, from + (size_t)t * stride + k + (size_t)(b * lanes), sizeof in);   \
                    sum[b] += weights[t] * in;                                                     \
                }                                                                                  \
            memcpy(to + k, sum, sizeof sum);                                                       \
        }                                                                                          \
        for (; k < n; k++) {                                                                       \
            float one = add ? to[k] : 0.0f;                                                        \
            for (int t = 0; t < count; t++)                                                        \
                one += weights[t] * from[(size_t)t * stride + k];                                  \
            to[k] = one;                                                                           \
        }                                                                                          \
    }

WEIGH_BODY(weigh_by_4, 4)

#if WEIGH_X86
WEIGH_BODY(weigh_by_8, 8)
WEIGH_BODY(weigh_by_16, 16)

__attribute__((target("avx2"))) static void weigh_avx2(float *to, const float *from, size_t stride,
                                                       const float *weights, int count, size_t n,
                                                       bool add)
{
    weigh_by_8(to, from, stride, weights, count, n, add);
}

__attribute__((target("avx512f"))) static void weigh_avx512(float *to, const float *from,
                                                            size_t stride, const float *weights,
                                                            int count, size_t n, bool add)
{
    weigh_by_16(to, from, stride, weights, count, n, add);
}
#endif

void degrade_weigh(float *to, const float *from, size_t stride, const float *weights, int count,
                   size_t n, bool add)
{
#if WEIGH_X86
    if (__builtin_cpu_supports("avx512f")) {
        weigh_avx512(to, from, stride, weights, count, n, add);
        return;
    }
    if (__builtin_cpu_supports("avx2")) {
        weigh_avx2(to, from, stride, weights, count, n, add);
        return;
    }
#endif
    weigh_by_4(to, from, stride, weights, count, n, add);
}
