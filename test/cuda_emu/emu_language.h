/* The language of kernels: qualifiers, indices, vector types, barriers, warps, atomics. */
#ifndef CUDA_EMU_LANGUAGE_H
#define CUDA_EMU_LANGUAGE_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
/* One copy for all blocks, since they run one after the other; filled with NaN before each. `used`:
 * the compiler must not take what no kernel writes for the zero that C promises. */
#define __shared__ static __attribute__((section("emu_shared"), used))

#define EMU_VECTOR2(name, type)                                                                    \
    struct alignas(2 * sizeof(type)) name {                                                        \
        type x, y;                                                                                 \
    };                                                                                             \
    static inline name make_##name(type x, type y)                                                 \
    {                                                                                              \
        return name{x, y};                                                                         \
    }
#define EMU_VECTOR3(name, type)                                                                    \
    struct name {                                                                                  \
        type x, y, z;                                                                              \
    };                                                                                             \
    static inline name make_##name(type x, type y, type z)                                         \
    {                                                                                              \
        return name{x, y, z};                                                                      \
    }
#define EMU_VECTOR4(name, type)                                                                    \
    struct __attribute__((aligned(sizeof(type) * 4 > 16 ? 16 : sizeof(type) * 4))) name {          \
        type x, y, z, w;                                                                           \
    };                                                                                             \
    static inline name make_##name(type x, type y, type z, type w)                                 \
    {                                                                                              \
        return name{x, y, z, w};                                                                   \
    }
typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
EMU_VECTOR2(uchar2, unsigned char)
EMU_VECTOR4(uchar4, unsigned char)
EMU_VECTOR2(ushort2, unsigned short)
EMU_VECTOR4(ushort4, unsigned short)
EMU_VECTOR2(int2, int)
EMU_VECTOR2(uint2, unsigned)
EMU_VECTOR2(float2, float)
EMU_VECTOR2(double2, double)
EMU_VECTOR3(int3, int)
EMU_VECTOR3(uint3, unsigned)
EMU_VECTOR3(float3, float)
EMU_VECTOR4(int4, int)
EMU_VECTOR4(uint4, unsigned)
EMU_VECTOR4(float4, float)

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_)
    {
    }
};

/* ---- the thread that runs ---- */
extern uint3 emu_thread_index, emu_block_index;
extern dim3 emu_block_size, emu_grid_size;
#define threadIdx emu_thread_index
#define blockIdx emu_block_index
#define blockDim emu_block_size
#define gridDim emu_grid_size
static const int warpSize = 32;

void *emu_dynamic_shared(void);
/* Ends the program: "cuda_emu: kernel K block (..) thread (..): MESSAGE". */
void emu_count_tensor_product(void);
[[noreturn]] void emu_fault(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- barriers ---- */
/* Waits for all threads of the block, at the same line; the number of those with `predicate`. */
int emu_barrier(int line, int predicate);
#define __syncthreads() ((void)emu_barrier(__LINE__, 0))
#define __syncthreads_count(predicate) emu_barrier(__LINE__, (predicate))
#define __syncthreads_or(predicate) (emu_barrier(__LINE__, (predicate)) > 0)
#define __syncthreads_and(predicate) (emu_barrier(__LINE__, !(predicate)) == 0)
static inline void __threadfence(void)
{
}
static inline void __threadfence_block(void)
{
}

/* ---- warps ---- */
/* Waits for the lanes of `mask` at the same line. The last to come calls `finish` once with each
 * lane's argument (NULL for lanes that take no part): it may read and write them all. */
typedef void (*emu_finish)(void *const arguments[32], unsigned mask);
void emu_warp(int line, unsigned mask, emu_finish finish, void *argument);
unsigned emu_lane(void);

extern "C" unsigned long long emu_work; /* see emu_grid.h */
#define __syncwarp(...) emu_syncwarp(__LINE__, ##__VA_ARGS__)
void emu_syncwarp(int line, unsigned mask = 0xffffffffu);

struct emu_vote {
    int predicate;
    unsigned ballot;
};
unsigned emu_ballot(int line, unsigned mask, int predicate);
#define __ballot_sync(mask, predicate) emu_ballot(__LINE__, (mask), (predicate) != 0)
#define __any_sync(mask, predicate) (emu_ballot(__LINE__, (mask), (predicate) != 0) != 0)
#define __all_sync(mask, predicate) (emu_ballot(__LINE__, (mask), !(predicate)) == 0)

template <typename T> struct emu_shuffled {
    T in, out;
    int from; /* lane to read; -1: its own value */
};

template <typename T> static void emu_shuffle_finish(void *const arguments[32], unsigned mask)
{
    for (int lane = 0; lane < 32; lane++) {
        if (!(mask >> lane & 1)) continue;
        emu_shuffled<T> *s = static_cast<emu_shuffled<T> *>(arguments[lane]);
        int from = s->from < 0 ? lane : s->from;
        if (!(mask >> from & 1))
            emu_fault("shuffle: lane %d reads lane %d, which is not in mask %08x", lane, from,
                      mask);
        s->out = static_cast<emu_shuffled<T> *>(arguments[from])->in;
    }
}

enum emu_shuffle_kind { EMU_INDEX, EMU_UP, EMU_DOWN, EMU_XOR };
/* The lane that `lane` reads, as the table of the CUDA C++ Programming Guide has it; -1: itself. */
int emu_shuffle_source(int kind, unsigned lane, int operand, int width);

template <typename T>
static inline T emu_shuffle(int line, int kind, unsigned mask, T value, int operand, int width = 32)
{
    emu_shuffled<T> s;
    s.in = s.out = value;
    s.from = emu_shuffle_source(kind, emu_lane(), operand, width);
    emu_warp(line, mask, emu_shuffle_finish<T>, &s);
    return s.out;
}
#define __shfl_sync(...) emu_shuffle(__LINE__, EMU_INDEX, __VA_ARGS__)
#define __shfl_up_sync(...) emu_shuffle(__LINE__, EMU_UP, __VA_ARGS__)
#define __shfl_down_sync(...) emu_shuffle(__LINE__, EMU_DOWN, __VA_ARGS__)
#define __shfl_xor_sync(...) emu_shuffle(__LINE__, EMU_XOR, __VA_ARGS__)

/* ---- atomics: one thread runs at a time ---- */
#define EMU_ATOMIC(name, expression)                                                               \
    template <typename T, typename U> static inline T name(T *p, U operand)                        \
    {                                                                                              \
        T old = *p, value = static_cast<T>(operand);                                               \
        *p = static_cast<T>(expression);                                                           \
        return old;                                                                                \
    }
EMU_ATOMIC(atomicAdd, old + value)
EMU_ATOMIC(atomicSub, old - value)
EMU_ATOMIC(atomicMax, old > value ? old : value)
EMU_ATOMIC(atomicMin, old < value ? old : value)
EMU_ATOMIC(atomicOr, old | value)
EMU_ATOMIC(atomicAnd, old &value)
EMU_ATOMIC(atomicXor, old ^ value)
EMU_ATOMIC(atomicExch, value)
template <typename T> static inline T atomicCAS(T *p, T compare, T value)
{
    T old = *p;
    if (old == compare) *p = value;
    return old;
}

/* ---- loads, bits, mathematics ---- */
template <typename T> static inline T __ldg(const T *p)
{
    return *p;
}
template <typename T> static inline T __ldcs(const T *p)
{
    return *p;
}
template <typename T> static inline void __stcs(T *p, T value)
{
    *p = value;
}

#define EMU_BITS(name, to, from)                                                                   \
    static inline to name(from x)                                                                  \
    {                                                                                              \
        to y;                                                                                      \
        memcpy(&y, &x, sizeof y);                                                                  \
        return y;                                                                                  \
    }
EMU_BITS(__float_as_uint, unsigned, float)
EMU_BITS(__float_as_int, int, float)
EMU_BITS(__uint_as_float, float, unsigned)
EMU_BITS(__int_as_float, float, int)

static inline int __popc(unsigned x)
{
    return __builtin_popcount(x);
}
static inline int __popcll(unsigned long long x)
{
    return __builtin_popcountll(x);
}
static inline int __clz(int x)
{
    return x ? __builtin_clz(static_cast<unsigned>(x)) : 32;
}
static inline int __ffs(int x)
{
    return __builtin_ffs(x);
}
static inline unsigned __umulhi(unsigned a, unsigned b)
{
    return static_cast<unsigned>(static_cast<uint64_t>(a) * b >> 32);
}
static inline float rsqrtf(float x)
{
    return 1 / sqrtf(x);
}

/* ---- functions that CUDA's library does not round correctly ----
 * With IMGTRAIN_EMU="ulp=N", a kernel gets them off by up to N times the limit
 * below (meant to be that of the CUDA C++ Programming Guide's tables, not yet held against them),
 * in units in the last place; else the C library's. What errs depends on the arguments alone.
 * Division, square root and fmaf are exact there too: nvcc is not asked for anything less
 * (-use_fast_math, -prec-div, -prec-sqrt, -ftz). Exact stay 0, inf, NaN, and what C promises at an
 * argument of 0; no error carries sin and cos beyond 1, or exponentials to the other side of 1. */
extern long long emu_noise; /* N while a kernel runs, else 0 */
float emu_noisy(float exact, unsigned ulp, float x, float y);
double emu_noisy_double(double exact, unsigned ulp, double x, double y);

#define EMU_NOISY(name, ulp)                                                                       \
    static inline float emu_##name(float x)                                                        \
    {                                                                                              \
        float exact = name(x);                                                                     \
        return emu_noise ? emu_noisy(exact, (ulp), x, 0) : exact;                                  \
    }
#define EMU_NOISY_DOUBLE(name, ulp)                                                                \
    static inline double emu_##name(double x)                                                      \
    {                                                                                              \
        double exact = name(x);                                                                    \
        return emu_noise ? emu_noisy_double(exact, (ulp), x, 0) : exact;                           \
    }
EMU_NOISY(exp2f, 2)
EMU_NOISY(expf, 2)
EMU_NOISY(expm1f, 1)
EMU_NOISY(logf, 1)
EMU_NOISY(log2f, 1)
EMU_NOISY(log1pf, 1)
EMU_NOISY(sinf, 2)
EMU_NOISY(cosf, 2)
EMU_NOISY(tanhf, 2)
EMU_NOISY(rsqrtf, 2)
EMU_NOISY_DOUBLE(exp, 1)
EMU_NOISY_DOUBLE(exp2, 1)
EMU_NOISY_DOUBLE(log, 1)
EMU_NOISY_DOUBLE(log1p, 1)
EMU_NOISY_DOUBLE(sin, 2)
EMU_NOISY_DOUBLE(cos, 2)
EMU_NOISY_DOUBLE(tanh, 2)
static inline float emu_powf(float x, float y)
{
    float exact = powf(x, y);
    return emu_noise ? emu_noisy(exact, 4, x, y) : exact;
}
static inline double emu_pow(double x, double y)
{
    double exact = pow(x, y);
    return emu_noise ? emu_noisy_double(exact, 2, x, y) : exact;
}
#define exp2f(x) emu_exp2f(x)
#define expf(x) emu_expf(x)
#define expm1f(x) emu_expm1f(x)
#define logf(x) emu_logf(x)
#define log2f(x) emu_log2f(x)
#define log1pf(x) emu_log1pf(x)
#define sinf(x) emu_sinf(x)
#define cosf(x) emu_cosf(x)
#define tanhf(x) emu_tanhf(x)
#define rsqrtf(x) emu_rsqrtf(x)
#define powf(x, y) emu_powf((x), (y))
#define exp(x) emu_exp(x)
#define exp2(x) emu_exp2(x)
#define log(x) emu_log(x)
#define log1p(x) emu_log1p(x)
#define sin(x) emu_sin(x)
#define cos(x) emu_cos(x)
#define tanh(x) emu_tanh(x)
#define pow(x, y) emu_pow((x), (y))

/* glibc has functions of these names. */
#define __expf(x) expf(x)
#define __logf(x) logf(x)
#define __sinf(x) sinf(x)
#define __cosf(x) cosf(x)
#define __powf(x, y) powf(x, y)
static inline float __fdividef(float a, float b)
{
    return a / b;
}
static inline float __frcp_rn(float a)
{
    return 1 / a;
}
static inline float __fsqrt_rn(float a)
{
    return sqrtf(a);
}
static inline float __fdiv_rn(float a, float b)
{
    return a / b;
}
static inline float __fmul_rn(float a, float b)
{
    return a * b;
}
static inline float __fadd_rn(float a, float b)
{
    return a + b;
}
static inline float __fmaf_rn(float a, float b, float c)
{
    return fmaf(a, b, c);
}
static inline int __float2int_rn(float x)
{
    return static_cast<int>(rintf(x));
}
static inline int __float2int_rd(float x)
{
    return static_cast<int>(floorf(x));
}
static inline int __float2int_ru(float x)
{
    return static_cast<int>(ceilf(x));
}
static inline float __saturatef(float x)
{
    return x > 0 ? (x < 1 ? x : 1) : 0;
}
/* CUDA's min and max; a call with mixed types is refused, as it is a trap there. */
template <typename T> static inline T min(T a, T b)
{
    return b < a ? b : a;
}
template <typename T> static inline T max(T a, T b)
{
    return a < b ? b : a;
}

#endif
