/* Sums over a block, in an order that depends on the block's size alone. */
#ifndef IMGTRAIN_CUDA_REDUCE_H
#define IMGTRAIN_CUDA_REDUCE_H

#include "cuda/launch.h"

/* The sum of `value` over all THREADS threads, in every thread. */
template <int THREADS> static __device__ inline double cuda_reduce_block_sum(double value)
{
    __shared__ double partial[THREADS / 32 + 1];
    for (int step = 16; step > 0; step /= 2)
        value += __shfl_down_sync(0xffffffffu, value, step);
    if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = value;
    __syncthreads();
    if (threadIdx.x == 0) {
        for (int warp = 1; warp < THREADS / 32; warp++)
            partial[0] += partial[warp];
        partial[THREADS / 32] = partial[0];
    }
    __syncthreads();
    double sum = partial[THREADS / 32];
    __syncthreads(); /* before the next call writes */
    return sum;
}

#endif
