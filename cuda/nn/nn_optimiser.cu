/* Operations on flat ranges of parameters. */
#include "cuda/cuda_device.h"
#include "cuda/nn/nn_cuda.h"
#include "math/optimiser.h"

enum { BLOCK = 256, CHUNK = 16384, MAX_CHUNKS = CUDA_SCRATCH / sizeof(double) };

static void cuda_zero(void *x, size_t bytes)
{
    cuda_keep_error(cudaMemsetAsync(x, 0, bytes, cuda_stream()), "zero");
}

static void cuda_copy_bytes(void *out, const void *in, size_t bytes)
{
    cuda_keep_error(cudaMemcpyAsync(out, in, bytes, cudaMemcpyDeviceToDevice, cuda_stream()),
                    "copy");
}

static __global__ void cuda_adam_kernel(float *p, float *v, const float *g, size_t count,
                                        const struct nn_adam *rates)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) nn_adam_update(rates, &p[i], &v[i], g[i]);
}

static void cuda_adam(float *p, float *v, const float *g, size_t count, const struct nn_adam *rates)
{
    if (count == 0) return;
    LAUNCH(cuda_adam_kernel, cuda_blocks(count, BLOCK), BLOCK, 0, cuda_stream(), p, v, g, count,
           rates);
}

static __global__ void ema_kernel(float *e, const float *p, size_t count, const float *beta)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) e[i] = nn_ema(*beta, e[i], p[i]);
}

static void cuda_ema(float *e, const float *p, size_t count, const float *beta)
{
    if (count == 0) return;
    LAUNCH(ema_kernel, cuda_blocks(count, BLOCK), BLOCK, 0, cuda_stream(), e, p, count, beta);
}

/* sums[block] = sum of squares of a chunk, in an order that depends on the chunk's length alone */
static __global__ void norm2_kernel(double *sums, const float *x, size_t count, size_t chunk)
{
    __shared__ double partial[BLOCK / 32];
    size_t first = blockIdx.x * chunk, last = first + chunk < count ? first + chunk : count;
    double sum = 0;
    for (size_t i = first + threadIdx.x; i < last; i += BLOCK)
        sum += (double)x[i] * (double)x[i];
    for (int step = 16; step > 0; step /= 2)
        sum += __shfl_down_sync(0xffffffffu, sum, step);
    if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x > 0) return;
    for (int warp = 1; warp < BLOCK / 32; warp++)
        sum += partial[warp];
    sums[blockIdx.x] = sum;
}

static double cuda_norm2(const float *x, size_t count)
{
    struct cuda_device *d = cuda_current();
    double *sums = (double *)d->workspace, total = 0;
    size_t chunk = (count + MAX_CHUNKS - 1) / MAX_CHUNKS;
    if (chunk < CHUNK) chunk = CHUNK;
    size_t chunks = (count + chunk - 1) / chunk;
    if (count == 0) return 0;
    LAUNCH(norm2_kernel, (unsigned)chunks, BLOCK, 0, d->stream, sums, x, count, chunk);
    cuda_fetch_scratch(chunks * sizeof *sums);
    for (size_t i = 0; i < chunks; i++)
        total += ((const double *)d->workspace_host)[i];
    return total;
}

void nn_cuda_install_optimiser(struct nn_ops *ops)
{
    ops->zero = cuda_zero;
    ops->copy = cuda_copy_bytes;
    ops->adam = cuda_adam;
    ops->ema = cuda_ema;
    ops->norm2 = cuda_norm2;
}
