/* Samples of an autoencoder's latents: see struct nn_latent in device/nn_ops.h. */
#include "base/error.h"
#include "base/threads.h"
#include "cpu/nn/nn_cpu.h"
#include "math/latent.h"

struct latent_work {
    struct nn_latent latent;
    float *to; /* z, or the gradient of moments */
    const float *dz;
    double *sums;
    float weight;
};

/* Pixels of all images. */
static void latent_samples(void *context, int64_t begin, int64_t end)
{
    const struct latent_work *w = context;
    int c = w->latent.c;
    for (int64_t pixel = begin; pixel < end; pixel++) {
        const float *mean = w->latent.moments + 2 * pixel * c, *logs = mean + c;
        const float *noise = w->latent.noise ? w->latent.noise + pixel * c : NULL;
        for (int k = 0; !w->dz && k < c; k++)
            w->to[pixel * c + k] = noise ? latent_sample_of(mean[k], logs[k], noise[k]) : mean[k];
        for (int k = 0; w->dz && k < c; k++) {
            float dz = w->dz[pixel * c + k];
            w->to[2 * pixel * c + k] = dz;
            w->to[(2 * pixel + 1) * c + k] =
                noise ? dz * latent_sample_slope(logs[k], noise[k]) : 0;
        }
    }
}

static int latent_over_pixels(struct latent_work *work)
{
    const struct nn_latent *l = &work->latent;
    TRY(nn_check_sizes("latent", l->n, l->pixels, l->c));
    threads_for((int64_t)l->n * l->pixels, threads_grain(32 * (int64_t)l->c), latent_samples, work);
    return OK;
}

static int cpu_latent_sample(struct device *device, const struct nn_latent *latent, float *z)
{
    struct latent_work work = {.latent = *latent, .to = z};
    (void)device;
    return latent_over_pixels(&work);
}

static int cpu_latent_dgrad(struct device *device, const struct nn_latent *latent, float *dmoments,
                            const float *dz)
{
    struct latent_work work = {.latent = *latent, .to = dmoments, .dz = dz};
    (void)device;
    return latent_over_pixels(&work);
}

/* Whole images. */
static void latent_divergences(void *context, int64_t begin, int64_t end)
{
    const struct latent_work *w = context;
    int c = w->latent.c;
    for (int64_t image = begin; image < end; image++) {
        double sum = 0;
        for (int64_t pixel = image * w->latent.pixels; pixel < (image + 1) * w->latent.pixels;
             pixel++) {
            const float *mean = w->latent.moments + 2 * pixel * c, *logs = mean + c;
            float *to = w->to + 2 * pixel * c;
            for (int k = 0; k < c; k++) {
                sum += latent_divergence((double)mean[k], logs[k]);
                to[k] += w->weight * mean[k];
                to[c + k] += w->weight * latent_divergence_slope(logs[k]);
            }
        }
        w->sums[image] = sum;
    }
}

static int cpu_latent_kl(struct device *device, const struct nn_latent *latent, double *sums,
                         float *dmoments, float weight)
{
    struct latent_work work = {.latent = *latent, .to = dmoments, .sums = sums, .weight = weight};
    (void)device;
    TRY(nn_check_sizes("latent_kl", latent->n, latent->pixels, latent->c));
    threads_for(latent->n, threads_grain(64 * (int64_t)latent->c * latent->pixels),
                latent_divergences, &work);
    return OK;
}

void nn_install_latent(struct nn_ops *ops)
{
    ops->latent_sample = cpu_latent_sample;
    ops->latent_dgrad = cpu_latent_dgrad;
    ops->latent_kl = cpu_latent_kl;
}
