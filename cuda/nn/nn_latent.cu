/* Samples of an autoencoder's latents: see struct nn_latent in device/nn_ops.h. */
#include "cuda/cuda_device.h"
#include "cuda/nn/nn_cuda.h"
#include "cuda/reduce.h"
#include "math/latent.h"

enum { BLOCK = 256 };

static __device__ inline size_t latent_mean_at(size_t i, int c)
{
    return i / c * 2 * c + i % c;
}

/* dz NULL: to is z; else the gradient of moments. */
static __global__ void latent_kernel(float *to, const float *dz, struct nn_latent l, size_t count)
{
    size_t i = (size_t)blockIdx.x * BLOCK + threadIdx.x;
    if (i >= count) return;
    size_t at = latent_mean_at(i, l.c);
    float mean = l.moments[at], log_variance = l.moments[at + l.c];
    if (dz) {
        to[at] = dz[i];
        to[at + l.c] = l.noise ? dz[i] * latent_sample_slope(log_variance, l.noise[i]) : 0;
    } else {
        to[i] = l.noise ? latent_sample_of(mean, log_variance, l.noise[i]) : mean;
    }
}

/* A block an image. */
static __global__ void latent_kl_kernel(double *sums, float *dmoments, struct nn_latent l,
                                        float weight)
{
    size_t count = (size_t)l.pixels * l.c, first = blockIdx.x * count;
    double sum = 0;
    for (size_t i = first + threadIdx.x; i < first + count; i += BLOCK) {
        size_t at = latent_mean_at(i, l.c);
        float mean = l.moments[at], log_variance = l.moments[at + l.c];
        sum += latent_divergence((double)mean, log_variance);
        dmoments[at] += weight * mean;
        dmoments[at + l.c] += weight * latent_divergence_slope(log_variance);
    }
    sum = cuda_reduce_block_sum<BLOCK>(sum);
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

static int latent_queue(struct device *device, const struct nn_latent *l, float *to,
                        const float *dz)
{
    TRY(nn_check_sizes("latent", l->n, l->pixels, l->c));
    size_t count = (size_t)l->n * l->pixels * l->c;
    LAUNCH(latent_kernel, cuda_blocks(count, BLOCK), BLOCK, 0, cuda_stream(device), to, dz, *l,
           count);
    return cuda_take_error();
}

static int cuda_latent_sample(struct device *device, const struct nn_latent *latent, float *z)
{
    return latent_queue(device, latent, z, NULL);
}

static int cuda_latent_dgrad(struct device *device, const struct nn_latent *latent, float *dmoments,
                             const float *dz)
{
    return latent_queue(device, latent, dmoments, dz);
}

static int cuda_latent_kl(struct device *device, const struct nn_latent *latent, double *sums,
                          float *dmoments, float weight)
{
    TRY(nn_check_sizes("latent_kl", latent->n, latent->pixels, latent->c));
    LAUNCH(latent_kl_kernel, (unsigned)latent->n, BLOCK, 0, cuda_stream(device), sums, dmoments,
           *latent, weight);
    return cuda_take_error();
}

void nn_cuda_install_latent(struct nn_ops *ops)
{
    ops->latent_sample = cuda_latent_sample;
    ops->latent_dgrad = cuda_latent_dgrad;
    ops->latent_kl = cuda_latent_kl;
}
