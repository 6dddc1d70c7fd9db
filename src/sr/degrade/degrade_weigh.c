/* The body stands once and is compiled for the machine's widest vectors too: products and sums are
 * rounded one by one whatever their width. */
#include "sr/degrade/degrade_weigh.h"

#include <string.h>

#if defined(__x86_64__)
#define WEIGH_X86 1
#else
#define WEIGH_X86 0
#endif

/* `blocks` vectors of `lanes` floats at k, whose sums stay in registers; all of them that there
 * are, 64 floats at a time; and what is left below a vector. */
#define WEIGH_BODY(name, lanes)                                                                    \
    typedef float name##_lanes __attribute__((vector_size(lanes * sizeof(float))));                \
    __attribute__((always_inline)) static inline void name##_blocks(                               \
        float *to, const float *from, size_t stride, const float *weights, int count, bool add,    \
        const int blocks)                                                                          \
    {                                                                                              \
        name##_lanes sum[64 / lanes], in;                                                          \
        for (int b = 0; b < blocks; b++)                                                           \
            if (add)                                                                               \
                memcpy(&sum[b], to + (size_t)(b * lanes), sizeof in);                              \
            else                                                                                   \
                sum[b] = (name##_lanes){0};                                                        \
        for (int t = 0; t < count; t++)                                                            \
            for (int b = 0; b < blocks; b++) {                                                     \
                memcpy(&in, from + (size_t)t * stride + (size_t)(b * lanes), sizeof in);           \
                sum[b] += weights[t] * in;                                                         \
            }                                                                                      \
        for (int b = 0; b < blocks; b++)                                                           \
            memcpy(to + (size_t)(b * lanes), &sum[b], sizeof in);                                  \
    }                                                                                              \
    __attribute__((always_inline)) static inline size_t name(float *to, const float *from,         \
                                                             size_t stride, const float *weights,  \
                                                             int count, size_t n, bool add)        \
    {                                                                                              \
        size_t k = 0;                                                                              \
        for (; k + 64 <= n; k += 64)                                                               \
            name##_blocks(to + k, from + k, stride, weights, count, add, 64 / lanes);              \
        for (; k + 2 * lanes <= n; k += 2 * lanes)                                                 \
            name##_blocks(to + k, from + k, stride, weights, count, add, 2);                       \
        for (; k + lanes <= n; k += lanes)                                                         \
            name##_blocks(to + k, from + k, stride, weights, count, add, 1);                       \
        return k;                                                                                  \
    }

WEIGH_BODY(weigh_by_4, 4)

static void weigh_plain(float *to, const float *from, size_t stride, const float *weights,
                        int count, size_t n, bool add)
{
    size_t k = weigh_by_4(to, from, stride, weights, count, n, add);
    for (; k < n; k++) {
        float one = add ? to[k] : 0.0f;
        for (int t = 0; t < count; t++)
            one += weights[t] * from[(size_t)t * stride + k];
        to[k] = one;
    }
}

#if WEIGH_X86
WEIGH_BODY(weigh_by_8, 8)
WEIGH_BODY(weigh_by_16, 16)

__attribute__((target("avx2"))) static void weigh_avx2(float *to, const float *from, size_t stride,
                                                       const float *weights, int count, size_t n,
                                                       bool add)
{
    size_t k = weigh_by_8(to, from, stride, weights, count, n, add);
    if (k < n) weigh_plain(to + k, from + k, stride, weights, count, n - k, add);
}

__attribute__((target("avx512f"))) static void weigh_avx512(float *to, const float *from,
                                                            size_t stride, const float *weights,
                                                            int count, size_t n, bool add)
{
    size_t k = weigh_by_16(to, from, stride, weights, count, n, add);
    if (k < n) weigh_plain(to + k, from + k, stride, weights, count, n - k, add);
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
    weigh_plain(to, from, stride, weights, count, n, add);
}
