/* The body stands once and is compiled for the machine's widest vectors too: products and sums are
 * rounded one by one whatever their width. */
#include "sr/degrade/degrade_weigh.h"

#include <string.h>

#if defined(__x86_64__)
#define WEIGH_X86 1
#else
#define WEIGH_X86 0
#endif

enum { LANES = 16, BLOCK = 4 }; /* floats of a vector; vectors that are summed at a time */
typedef float weigh_lanes __attribute__((vector_size(LANES * sizeof(float))));

__attribute__((always_inline)) static inline void weigh_body(float *to, const float *from,
                                                             size_t stride, const float *weights,
                                                             int count, size_t n, bool add)
{
    size_t k = 0;
    for (; k + LANES * BLOCK <= n; k += LANES * BLOCK) {
        weigh_lanes sum[BLOCK], in;
        if (add)
            memcpy(sum, to + k, sizeof sum);
        else
            memset(sum, 0, sizeof sum);
        for (int t = 0; t < count; t++)
            for (int b = 0; b < BLOCK; b++) {
                memcpy(&in, from + (size_t)t * stride + k + (size_t)(b * LANES), sizeof in);
                sum[b] += weights[t] * in;
            }
        memcpy(to + k, sum, sizeof sum);
    }
    for (; k < n; k++) {
        float sum = add ? to[k] : 0.0f;
        for (int t = 0; t < count; t++)
            sum += weights[t] * from[(size_t)t * stride + k];
        to[k] = sum;
    }
}

#if WEIGH_X86
__attribute__((target("avx2"))) static void weigh_avx2(float *to, const float *from, size_t stride,
                                                       const float *weights, int count, size_t n,
                                                       bool add)
{
    weigh_body(to, from, stride, weights, count, n, add);
}

__attribute__((target("avx512f"))) static void weigh_avx512(float *to, const float *from,
                                                            size_t stride, const float *weights,
                                                            int count, size_t n, bool add)
{
    weigh_body(to, from, stride, weights, count, n, add);
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
    weigh_body(to, from, stride, weights, count, n, add);
}
