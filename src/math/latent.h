/* Latents of an autoencoder (Kingma and Welling, arXiv:1312.6114): a mean and the logarithm of a
 * variance, a sample of that normal distribution, how far it is from the standard one, and the
 * slopes of both. */
#ifndef IMGTRAIN_MATH_LATENT_H
#define IMGTRAIN_MATH_LATENT_H

#include "base/host_device.h"

#include <math.h>
#include <stdbool.h>

/* The logarithm is held between these. */
#define LATENT_LEAST_LOG (-30.0f)
#define LATENT_MOST_LOG 20.0f

HOST_DEVICE static inline float latent_log(float log_variance)
{
    if (log_variance < LATENT_LEAST_LOG) return LATENT_LEAST_LOG;
    return log_variance > LATENT_MOST_LOG ? LATENT_MOST_LOG : log_variance;
}

HOST_DEVICE static inline bool latent_is_held(float log_variance)
{
    return !(log_variance >= LATENT_LEAST_LOG && log_variance <= LATENT_MOST_LOG);
}

HOST_DEVICE static inline float latent_sample_of(float mean, float log_variance, float noise)
{
    return mean + expf(0.5f * latent_log(log_variance)) * noise;
}

/* Of a sample, by the logarithm; that by the mean is 1. */
HOST_DEVICE static inline float latent_sample_slope(float log_variance, float noise)
{
    if (latent_is_held(log_variance)) return 0;
    return 0.5f * expf(0.5f * latent_log(log_variance)) * noise;
}

/* The Kullback-Leibler divergence from the standard normal distribution. */
HOST_DEVICE static inline double latent_divergence(double mean, float log_variance)
{
    double l = (double)latent_log(log_variance);
    return 0.5 * (mean * mean + exp(l) - 1 - l);
}

/* Of the divergence, by the logarithm; that by the mean is the mean. */
HOST_DEVICE static inline float latent_divergence_slope(float log_variance)
{
    if (latent_is_held(log_variance)) return 0;
    return 0.5f * (expf(latent_log(log_variance)) - 1);
}

#endif
