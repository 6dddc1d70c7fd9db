/* Spectral normalisation (Miyato et al., "Spectral Normalization for Generative Adversarial
 * Networks", ICLR 2018), with u and v held fixed in the gradient, as PyTorch does. */
#ifndef IMGTRAIN_MATH_SPECTRAL_H
#define IMGTRAIN_MATH_SPECTRAL_H

#include "base/host_device.h"

#include <math.h>

#define SPECTRAL_LEAST 1e-12 /* of a vector's length that is divided by, as in PyTorch */

HOST_DEVICE static inline double spectral_length(double squares)
{
    double length = sqrt(squares);
    return length > SPECTRAL_LEAST ? length : SPECTRAL_LEAST;
}

/* u' w v where u = w v / length(w v), squares: of w v. */
HOST_DEVICE static inline double spectral_sigma(double squares)
{
    return squares / spectral_length(squares);
}

/* dot: <g, out>. */
HOST_DEVICE static inline float spectral_slope(float g, float dot, float u, float v, float sigma)
{
    return (g - dot * u * v) / sigma;
}

#endif
