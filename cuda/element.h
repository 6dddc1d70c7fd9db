/* Elements of tensors that are stored as floats or as bf16 (uint16_t), in kernels, and the choice
 * of a kernel's instance by the type that an operation was told. */
#ifndef IMGTRAIN_CUDA_ELEMENT_H
#define IMGTRAIN_CUDA_ELEMENT_H

#include "cuda/launch.h"
#include "math/bf16.h"

static __device__ inline float cuda_element_element(const float *x, size_t i)
{
    return x[i];
}

static __device__ inline float cuda_element_element(const uint16_t *x, size_t i)
{
    return bf16_value(x[i]);
}

static __device__ inline void element_set(float *x, size_t i, float value)
{
    x[i] = value;
}

static __device__ inline void element_set(uint16_t *x, size_t i, float value)
{
    x[i] = bf16_round(value);
}

/* Eight elements at once, from an index that is a multiple of 8 on. */
static __device__ inline void element_load8(float *v, const float *x, size_t i)
{
    const float4 *from = reinterpret_cast<const float4 *>(x + i);
    float4 a = from[0], b = from[1];
    v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w;
    v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
}

static __device__ inline void element_load8(float *v, const uint16_t *x, size_t i)
{
    uint4 a = *reinterpret_cast<const uint4 *>(x + i);
    const unsigned words[4] = {a.x, a.y, a.z, a.w};
    UNROLL
    for (int k = 0; k < 4; k++) {
        v[2 * k] = bf16_value((uint16_t)words[k]);
        v[2 * k + 1] = bf16_value((uint16_t)(words[k] >> 16));
    }
}

static __device__ inline void element_store8(float *x, size_t i, const float *v)
{
    float4 *to = reinterpret_cast<float4 *>(x + i);
    to[0] = make_float4(v[0], v[1], v[2], v[3]);
    to[1] = make_float4(v[4], v[5], v[6], v[7]);
}

static __device__ inline void element_store8(uint16_t *x, size_t i, const float *v)
{
    *reinterpret_cast<uint4 *>(x + i) = make_uint4(bf16_pair(v[0], v[1]), bf16_pair(v[2], v[3]),
                                                   bf16_pair(v[4], v[5]), bf16_pair(v[6], v[7]));
}

/* N elements from i on: 1, or 8 at a multiple of 8. */
template <int N, typename T>
static __device__ inline void element_load(float *v, const T *x, size_t i)
{
    if constexpr (N == 8)
        element_load8(v, x, i);
    else
        v[0] = cuda_element_element(x, i);
}

template <int N, typename T>
static __device__ inline void element_store(T *x, size_t i, const float *v)
{
    if constexpr (N == 8)
        element_store8(x, i, v);
    else
        element_set(x, i, v[0]);
}

/* Does what follows with T as the type of elements: float or uint16_t. */
#define WITH_TYPE(type, T, ...)                                                                    \
    do {                                                                                           \
        if ((type) == NN_BF16) {                                                                   \
            typedef uint16_t T;                                                                    \
            __VA_ARGS__;                                                                           \
        } else {                                                                                   \
            typedef float T;                                                                       \
            __VA_ARGS__;                                                                           \
        }                                                                                          \
    } while (0)

#endif
