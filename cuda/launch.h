/* What every file of cuda/ includes first: the C headers it shares with the CPU, the launch of a
 * kernel and the check of a call. Two compilers read these files: nvcc, and a host C++ compiler
 * with test/cuda_emu on its include path, which runs the same kernels without a GPU.
 *
 * Kernels are `static __global__ void`, C with templates. */
#ifndef IMGTRAIN_CUDA_LAUNCH_H
#define IMGTRAIN_CUDA_LAUNCH_H

/* Before the C headers: included within extern "C", C++'s own versions of these do not compile. */
#include <cuda_runtime.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern "C" {
#include "base/error.h"
#include "base/format.h"
#include "device/device.h"
#include "device/gan_ops.h"
#include "device/nn_ops.h"
#include "device/splat_ops.h"
#include "device/token_ops.h"
}

#include "base/host_device.h"
#include "base/random.h"

/* LAUNCH(kernel, grid, block, shared_bytes, stream, arguments...): an instance of a template stands
 * in brackets: LAUNCH((sum<256>), ...). A launch that fails is kept: an operation ends with
 * `return cuda_take_error()`, or else it comes back from the next device->synchronize.
 *
 * DYNAMIC_SHARED(type, name): `type *name`, the shared_bytes of the launch, 16-byte aligned. */
#ifdef __CUDACC__
#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                     \
    do {                                                                                           \
        void *cuda_clock_to = cuda_clock_on ? cuda_clock_begin(#kernel, (stream)) : NULL;          \
        kernel<<<(grid), (block), (shared_bytes), (stream)>>>(__VA_ARGS__);                        \
        cuda_keep_error(cudaPeekAtLastError(), #kernel);                                           \
        if (cuda_clock_on) cuda_clock_end(cuda_clock_to, (stream));                                \
    } while (0)
#define DYNAMIC_SHARED(type, name)                                                                 \
    extern __shared__ __align__(16) unsigned char cuda_dynamic_shared[];                           \
    type *name = reinterpret_cast<type *>(cuda_dynamic_shared)
#else
#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                     \
    do {                                                                                           \
        void *cuda_clock_to = cuda_clock_on ? cuda_clock_begin(#kernel, (stream)) : NULL;          \
        emu_launch(#kernel, kernel, (grid), (block), (shared_bytes), (stream), __VA_ARGS__);       \
        cuda_keep_error(cudaPeekAtLastError(), #kernel);                                           \
        if (cuda_clock_on) cuda_clock_end(cuda_clock_to, (stream));                                \
    } while (0)
#define DYNAMIC_SHARED(type, name) type *name = static_cast<type *>(emu_dynamic_shared())
#endif

/* COUNT_WORK(n): n steps of a kernel's work for emu_work, nothing on a GPU. */
#ifdef __CUDACC__
#define COUNT_WORK(n)
#else
#define COUNT_WORK(n) (emu_work += (n))
#endif

/* Before a loop whose indices must be constants, so that its arrays are registers. */
#ifdef __CUDACC__
#define UNROLL _Pragma("unroll")
#else
#define UNROLL
#endif

/* OK, ERR_DEVICE_MEMORY or ERR_DEVICE with "WHAT: reason". */
int cuda_result(cudaError_t error, const char *what);

/* Returns from the calling function when a call of the CUDA runtime fails. */
#define cuda_check(call) TRY(cuda_result((call), #call))

/* For what returns nothing, as launches do: keeps the first failure, and gives it back once. */
void cuda_keep_error(cudaError_t error, const char *what);
int cuda_take_error(void);

/* The time of each kernel (kernel_clock.cu). begin returns what end wants: NULL where it failed. */
extern bool cuda_clock_on;
void *cuda_clock_begin(const char *kernel, cudaStream_t stream);
void cuda_clock_end(void *to, cudaStream_t stream);

/* Blocks of `block` threads that cover `count` items. */
static inline unsigned cuda_blocks(size_t count, unsigned block)
{
    return (unsigned)((count + block - 1) / block);
}

#endif
