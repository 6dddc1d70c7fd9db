/* Operations on flat ranges of parameters. */
#include "cuda/cuda_device.h"
#include "cuda/nn/nn_cuda.h"
#include "cuda/reduce.h"
#include "math/clip.h"
#include "math/optimiser.h"

enum { BLOCK = 256, CHUNK = 16384, MAX_CHUNKS = CUDA_WORKSPACE_BYTES / sizeof(double) };

static int cuda_zero(struct device *device, void *x, size_t bytes)
{
    return cuda_result(cudaMemsetAsync(x, 0, bytes, cuda_stream(device)), "zero");
}

static int cuda_copy_bytes(struct device *device, void *out, const void *in, size_t bytes)
{
    return cuda_result(
        cudaMemcpyAsync(out, in, bytes, cudaMemcpyDeviceToDevice, cuda_stream(device)), "copy");
}

/* m: NULL where there is no first moment. */
static __global__ void cuda_adam_kernel(float *p, float *m, float *v, const float *g, size_t count,
                                        const struct adam_f32 *rates)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count)
        p[i] = adam_update_f32(rates, ADAM_SQUARE_FIRST, p[i], g[i], m ? &m[i] : NULL, &v[i]);
}

static int cuda_adam(struct device *device, float *p, float *m, float *v, const float *g,
                     size_t count, const struct adam_f32 *rates)
{
    if (count == 0) return OK;
    LAUNCH(cuda_adam_kernel, cuda_blocks(count, BLOCK), BLOCK, 0, cuda_stream(device), p, m, v, g,
           count, rates);
    return cuda_take_error();
}

static __global__ void ema_kernel(float *e, const float *p, size_t count, const float *beta)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) e[i] = ema_update(*beta, e[i], p[i]);
}

static int cuda_ema(struct device *device, float *e, const float *p, size_t count,
                    const float *beta)
{
    if (count == 0) return OK;
    LAUNCH(ema_kernel, cuda_blocks(count, BLOCK), BLOCK, 0, cuda_stream(device), e, p, count, beta);
    return cuda_take_error();
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

/* Sums of squares by chunks, into the device's workspace. Returns how many. */
static size_t cuda_queue_norm2(struct cuda_device *d, const float *x, size_t count)
{
    size_t chunk = (count + MAX_CHUNKS - 1) / MAX_CHUNKS;
    if (chunk < CHUNK) chunk = CHUNK;
    size_t chunks = (count + chunk - 1) / chunk;
    LAUNCH(norm2_kernel, (unsigned)chunks, BLOCK, 0, d->stream, (double *)d->workspace, x, count,
           chunk);
    return chunks;
}

static int cuda_norm2(struct device *device, double *sum, const float *x, size_t count)
{
    struct cuda_device *d = cuda_of(device);
    *sum = 0;
    if (count == 0) return OK;
    size_t chunks = cuda_queue_norm2(d, x, count);
    TRY(cuda_fetch_scratch(d, chunks * sizeof *sum));
    for (size_t i = 0; i < chunks; i++)
        *sum += ((const double *)d->workspace_host)[i];
    return OK;
}

/* One block: each thread has the same sums whatever the device. */
static __global__ void norm2_total_kernel(double *norm2, const double *sums, size_t chunks)
{
    double part = 0;
    for (size_t i = threadIdx.x; i < chunks; i += BLOCK)
        part += sums[i];
    double sum = cuda_reduce_block_sum<BLOCK>(part);
    if (threadIdx.x == 0) *norm2 = sum;
}

static __global__ void clip_kernel(float *x, size_t count, double most, const double *norm2)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    float factor = clip_factor(*norm2, most);
    if (i < count && factor < 1) x[i] *= factor;
}

static int cuda_clip_norm(struct device *device, float *x, size_t count, double most, double *norm2)
{
    struct cuda_device *d = cuda_of(device);
    if (count == 0) return cuda_zero(device, norm2, sizeof *norm2);
    size_t chunks = cuda_queue_norm2(d, x, count);
    LAUNCH(norm2_total_kernel, 1, BLOCK, 0, d->stream, norm2, (const double *)d->workspace, chunks);
    LAUNCH(clip_kernel, cuda_blocks(count, BLOCK), BLOCK, 0, d->stream, x, count, most, norm2);
    return cuda_take_error();
}

void nn_cuda_install_optimiser(struct nn_ops *ops)
{
    ops->zero = cuda_zero;
    ops->copy = cuda_copy_bytes;
    ops->adam = cuda_adam;
    ops->ema = cuda_ema;
    ops->norm2 = cuda_norm2;
    ops->clip_norm = cuda_clip_norm;
}
