/* Products of what lies in shared memory: operands of mma_bf16 (mma.h), and the same in fp32.
 * Functions are given by `row(i)` where a row of bf16 lies: 16-byte aligned, its elements one after
 * the other; rows in different banks load at once. */
#ifndef IMGTRAIN_CUDA_FRAGMENT_H
#define IMGTRAIN_CUDA_FRAGMENT_H

#include "cuda/mma.h"

/* In fp32: d += a^T b for 4 columns of a from `top` on and 4 of b from `left` on; all rows of a and
 * b. */
template <int DEPTH, int A, int B>
static __device__ inline void multiply_f32(float d[4][4], const float (&a)[DEPTH][A],
                                           const float (&b)[DEPTH][B], int top, int left)
{
    for (int k = 0; k < DEPTH; k++)
        UNROLL
    for (int i = 0; i < 4; i++)
        UNROLL
    for (int j = 0; j < 4; j++)
        d[i][j] += a[k][top + i] * b[k][left + j];
}

struct fragment_a {
    uint32_t x[4];
};
struct fragment_b {
    uint32_t x[2];
};
struct fragment_d {
    float x[4];
};

static __device__ inline void cuda_fragment_mma(struct fragment_d *d, const struct fragment_a *a,
                                                const struct fragment_b *b)
{
    mma_bf16(d->x, a->x, b->x);
}

/* Row and column of d->x[i] for this lane. */
static __device__ inline int mma_row(int i)
{
    return (int)(threadIdx.x % 32 / 4) + i / 2 * 8;
}

static __device__ inline int mma_column(int i)
{
    return (int)(threadIdx.x % 4) * 2 + i % 2;
}

/* Row m, column n of the sums to `to` + m * pitch + at(first + n), where at() keeps pairs of
 * columns together: without bank conflicts where pitch % 32 is 8 or 24. */
template <typename AT>
static __device__ inline void store_d(float *to, int pitch, int first, AT at,
                                      const struct fragment_d *d)
{
    UNROLL
    for (int i = 0; i < 4; i += 2)
        *reinterpret_cast<float2 *>(to + mma_row(i) * pitch + at(first + mma_column(i))) =
            make_float2(d->x[i], d->x[i + 1]);
}

#ifdef __CUDACC__

static __device__ inline unsigned shared_address(const void *p)
{
    return (unsigned)__cvta_generic_to_shared(p);
}

/* row(m): A[m][0..15] */
template <typename ROW> static __device__ inline struct fragment_a load_a(ROW row)
{
    int lane = (int)(threadIdx.x % 32);
    struct fragment_a a;
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(a.x[0]), "=r"(a.x[1]), "=r"(a.x[2]), "=r"(a.x[3])
                 : "r"(shared_address(row(lane % 16) + lane / 16 * 8))
                 : "memory");
    return a;
}

/* row(k): A[0..15][k] */
template <typename ROW> static __device__ inline struct fragment_a load_a_columns(ROW row)
{
    int lane = (int)(threadIdx.x % 32);
    struct fragment_a a;
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(a.x[0]), "=r"(a.x[1]), "=r"(a.x[2]), "=r"(a.x[3])
                 : "r"(shared_address(row(lane % 8 + lane / 16 * 8) + lane / 8 % 2 * 8))
                 : "memory");
    return a;
}

/* row(k): B[k][0..7] */
template <typename ROW> static __device__ inline struct fragment_b load_b(ROW row)
{
    int lane = (int)(threadIdx.x % 32);
    struct fragment_b b;
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                 : "=r"(b.x[0]), "=r"(b.x[1])
                 : "r"(shared_address(row(lane % 16)))
                 : "memory");
    return b;
}

/* row(n): B[0..15][n] */
template <typename ROW> static __device__ inline struct fragment_b load_b_columns(ROW row)
{
    int lane = (int)(threadIdx.x % 32);
    struct fragment_b b;
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                 : "=r"(b.x[0]), "=r"(b.x[1])
                 : "r"(shared_address(row(lane % 8) + lane / 8 % 2 * 8))
                 : "memory");
    return b;
}

#else /* by the layout that mma.h describes */

static inline uint32_t fragment_pair(uint16_t low, uint16_t high)
{
    return low | (uint32_t)high << 16;
}

/* A row as ldmatrix wants it. */
static inline const uint16_t *fragment_row(const uint16_t *row)
{
    if ((uintptr_t)row % 16 != 0) emu_fault("a row of a fragment lies at %p", (const void *)row);
    return row;
}

template <typename ROW> static inline struct fragment_a load_a(ROW row)
{
    int g = mma_row(0), t = mma_column(0);
    struct fragment_a a;
    for (int i = 0; i < 4; i++) {
        const uint16_t *from = fragment_row(row(g + i % 2 * 8)) + t + i / 2 * 8;
        a.x[i] = fragment_pair(from[0], from[1]);
    }
    return a;
}

template <typename ROW> static inline struct fragment_a load_a_columns(ROW row)
{
    int g = mma_row(0), t = mma_column(0);
    struct fragment_a a;
    for (int i = 0; i < 4; i++) {
        int k = t + i / 2 * 8, m = g + i % 2 * 8;
        a.x[i] = fragment_pair(fragment_row(row(k))[m], fragment_row(row(k + 1))[m]);
    }
    return a;
}

template <typename ROW> static inline struct fragment_b load_b(ROW row)
{
    int g = mma_row(0), t = mma_column(0);
    struct fragment_b b;
    for (int i = 0; i < 2; i++)
        b.x[i] =
            fragment_pair(fragment_row(row(t + 8 * i))[g], fragment_row(row(t + 8 * i + 1))[g]);
    return b;
}

template <typename ROW> static inline struct fragment_b load_b_columns(ROW row)
{
    const uint16_t *from = fragment_row(row(mma_row(0))) + mma_column(0);
    return {{fragment_pair(from[0], from[1]), fragment_pair(from[8], from[9])}};
}

#endif

#endif
