#include "cuda/ceilings.h"
#include "cuda/cuda_device.h"
#include "cuda/mma.h"

enum { BLOCK = 256, CHAINS = 8 };

static __global__ void copy_ceiling_kernel(float4 *to, const float4 *from, size_t count)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) to[i] = from[i];
}

/* Independent chains, so that no unit waits for a result. */
static __global__ void fma_ceiling_kernel(float *out, int rounds, float factor)
{
    float x[CHAINS];
    for (int k = 0; k < CHAINS; k++)
        x[k] = (float)(threadIdx.x + (unsigned)k);
    for (int i = 0; i < rounds; i++)
#pragma unroll
        for (int k = 0; k < CHAINS; k++)
            x[k] = fmaf(x[k], factor, 1.0f);
    float sum = 0;
    for (int k = 0; k < CHAINS; k++)
        sum += x[k];
    out[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}

static __global__ void mma_ceiling_kernel(float *out, int rounds)
{
    float d[CHAINS][4] = {};
    uint32_t a[4], b[2];
    for (int i = 0; i < 4; i++)
        a[i] = 0x3f803f80u + threadIdx.x % 4; /* pairs near 1 */
    b[0] = b[1] = 0x38003800u;
    for (int i = 0; i < rounds; i++)
#pragma unroll
        for (int k = 0; k < CHAINS; k++)
            mma_bf16(d[k], a, b);
    float sum = 0;
    for (int k = 0; k < CHAINS; k++)
        sum += d[k][0] + d[k][1] + d[k][2] + d[k][3];
    out[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}

cudaError_t cuda_find_code(void)
{
    struct cudaFuncAttributes attributes;
    cudaError_t error = cudaFuncGetAttributes(&attributes, copy_ceiling_kernel);
    if (error != cudaSuccess) cudaGetLastError();
    return error;
}

struct ceiling_run {
    struct device *device;
    void *to, *from;
    size_t bytes;
    unsigned blocks;
    int rounds;
};

static void run_copy(const struct ceiling_run *r)
{
    size_t count = r->bytes / sizeof(float4);
    LAUNCH(copy_ceiling_kernel, cuda_blocks(count, BLOCK), BLOCK, 0, cuda_stream(r->device),
           (float4 *)r->to, (const float4 *)r->from, count);
}

static void run_fma(const struct ceiling_run *r)
{
    LAUNCH(fma_ceiling_kernel, r->blocks, BLOCK, 0, cuda_stream(r->device), (float *)r->to,
           r->rounds, 0.5f);
}

static void run_mma(const struct ceiling_run *r)
{
    LAUNCH(mma_ceiling_kernel, r->blocks, BLOCK, 0, cuda_stream(r->device), (float *)r->to,
           r->rounds);
}

/* Seconds of the fastest of `times` runs, after one that does not count. */
static int cuda_ceilings_fastest(void (*run)(const struct ceiling_run *),
                                 const struct ceiling_run *r, int times, double *seconds)
{
    cudaEvent_t from = NULL, to = NULL;
    float milliseconds;
    cuda_check(cudaEventCreate(&from));
    cuda_check(cudaEventCreate(&to));
    *seconds = (double)INFINITY;
    for (int i = -1; i < times; i++) {
        cuda_check(cudaEventRecord(from, cuda_stream(r->device)));
        run(r);
        cuda_check(cudaEventRecord(to, cuda_stream(r->device)));
        TRY(r->device->synchronize(r->device));
        cuda_check(cudaEventElapsedTime(&milliseconds, from, to));
        if (i >= 0) *seconds = fmin(*seconds, 1e-3 * (double)milliseconds);
    }
    cudaEventDestroy(from);
    cudaEventDestroy(to);
    return OK;
}

static int cuda_ceilings_measure(const struct ceiling_run *r, int times, struct cuda_ceilings *c)
{
    double seconds, threads = (double)r->blocks * BLOCK;
    TRY(cuda_ceilings_fastest(run_copy, r, times, &seconds));
    c->copy_bytes = 2 * (double)r->bytes / seconds;
    TRY(cuda_ceilings_fastest(run_fma, r, times, &seconds));
    c->fma_flops = 2 * threads * CHAINS * r->rounds / seconds;
    TRY(cuda_ceilings_fastest(run_mma, r, times, &seconds));
    c->mma_flops = 2.0 * 16 * 16 * 8 * threads / 32 * CHAINS * r->rounds / seconds;
    return OK;
}

int cuda_measure_ceilings(struct device *device, size_t bytes, int rounds, int times,
                          struct cuda_ceilings *ceilings)
{
    struct ceiling_run r = {};
    r.device = device;
    r.bytes = bytes;
    r.rounds = rounds;
    r.blocks = 8 * (unsigned)cuda_of(device)->multiprocessors;
    size_t most = bytes / (BLOCK * sizeof(float)); /* each thread leaves a number */
    if (most == 0) return fail(ERR_INTERNAL, "cuda_measure_ceilings: %zu bytes are too few", bytes);
    if (r.blocks > most) r.blocks = (unsigned)most;
    int code = device->alloc(device, bytes, &r.to);
    if (code == OK) code = device->alloc(device, bytes, &r.from);
    if (code == OK) code = cuda_ceilings_measure(&r, times, ceilings);
    device->free(device, r.to, bytes);
    device->free(device, r.from, bytes);
    return code;
}
