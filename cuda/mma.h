/* Tensor cores: D += A B for one warp, A 16x16 and B 16x8 of bfloat16, D 16x8 of float, spread over
 * the lanes as PTX's mma.m16n8k16 has it ("Matrix fragments for mma.m16n8k16", PTX ISA). With
 * g = lane / 4 and t = lane % 4, a register holding two columns (rows of B), the first in its low
 * half:
 *   a[0]: A[g][2t, 2t+1]     a[1]: A[g+8][2t, 2t+1]     a[2], a[3]: the same 8 columns further
 *   b[0]: B[2t, 2t+1][g]     b[1]: B[2t+8, 2t+9][g]
 *   d[0], d[1]: D[g][2t, 2t+1]                          d[2], d[3]: D[g+8][2t, 2t+1]
 * All 32 lanes call it together. */
#ifndef IMGTRAIN_CUDA_MMA_H
#define IMGTRAIN_CUDA_MMA_H

#include "cuda/launch.h"

static __device__ inline float mma_low(uint32_t pair)
{
    return __uint_as_float(pair << 16);
}

static __device__ inline float mma_high(uint32_t pair)
{
    return __uint_as_float(pair & 0xffff0000u);
}

/* By shuffles: for GPUs before sm_80, which know no bfloat16. */
static __device__ inline void mma_bf16_shuffled(float d[4], const uint32_t a[4],
                                                const uint32_t b[2])
{
    const unsigned all = 0xffffffffu;
    int lane = (int)(threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % 32;
    int row = lane / 4 * 4, column = lane % 4 * 8;
    /* As a loop: written out at each place that multiplies, ptxas takes four times as long. */
#pragma unroll 1
    for (int t = 0; t < 4; t++)
        for (int half = 0; half < 2; half++) {
            uint32_t top = __shfl_sync(all, a[2 * half], row + t);
            uint32_t bottom = __shfl_sync(all, a[2 * half + 1], row + t);
            uint32_t left = __shfl_sync(all, b[half], column + t);
            uint32_t right = __shfl_sync(all, b[half], column + 4 + t);
            d[0] += mma_low(top) * mma_low(left) + mma_high(top) * mma_high(left);
            d[1] += mma_low(top) * mma_low(right) + mma_high(top) * mma_high(right);
            d[2] += mma_low(bottom) * mma_low(left) + mma_high(bottom) * mma_high(left);
            d[3] += mma_low(bottom) * mma_low(right) + mma_high(bottom) * mma_high(right);
        }
}

#ifndef __CUDACC__
struct mma_lane {
    float *d;
    const uint32_t *a, *b;
};

static inline float mma_element(const uint32_t *pairs, int odd)
{
    return odd ? mma_high(*pairs) : mma_low(*pairs);
}

/* A sum as tensor cores make it: in one go, cut off towards zero (Fasi et al., "Numerical behavior
 * of NVIDIA tensor cores", 2021). */
static inline float mma_sum(float d, const float *a, const float (*b)[8], int column)
{
    double sum = (double)d;
    for (int k = 0; k < 16; k++)
        sum += (double)a[k] * (double)b[k][column];
    float cut = (float)sum;
    return fabs((double)cut) > fabs(sum) ? nextafterf(cut, 0) : cut;
}

/* The whole product at once, when the last lane has come. */
static inline void mma_finish(void *const lanes[32], unsigned mask)
{
    float a[16][16], b[16][8];
    if (mask != 0xffffffffu) emu_fault("mma: mask %08x", mask);
    emu_count_tensor_product();
    for (int lane = 0; lane < 32; lane++) {
        const struct mma_lane *l = (const struct mma_lane *)lanes[lane];
        int g = lane / 4, t = lane % 4;
        for (int i = 0; i < 8; i++)
            a[g + i / 2 % 2 * 8][2 * t + i % 2 + i / 4 * 8] = mma_element(&l->a[i / 2], i % 2);
        for (int i = 0; i < 4; i++)
            b[2 * t + i % 2 + i / 2 * 8][g] = mma_element(&l->b[i / 2], i % 2);
    }
    for (int lane = 0; lane < 32; lane++) {
        float *d = ((const struct mma_lane *)lanes[lane])->d;
        for (int i = 0; i < 4; i++)
            d[i] = mma_sum(d[i], a[lane / 4 + i / 2 * 8], b, lane % 4 * 2 + i % 2);
    }
}
#endif

static __device__ inline void mma_bf16(float d[4], const uint32_t a[4], const uint32_t b[2])
{
#ifndef __CUDACC__
    struct mma_lane lane = {d, a, b};
    emu_warp(__LINE__, 0xffffffffu, mma_finish, &lane);
#elif !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, "
                 "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    mma_bf16_shuffled(d, a, b);
#endif
}

#endif
