/* The relativistic loss of a pair and the factors of the gradient penalty (Huang et al., "The GAN
 * is dead; long live the GAN!", NeurIPS 2024), one pair or image at a time. nn/passes.h has the
 * derivation. */
#ifndef IMGTRAIN_MATH_GAN_LOSS_H
#define IMGTRAIN_MATH_GAN_LOSS_H

#include "base/host_device.h"

#include <math.h>

HOST_DEVICE static inline double gan_softplus(double x)
{
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

HOST_DEVICE static inline double gan_sign(double x)
{
    return x > 0 ? 1 : x < 0 ? -1 : 0;
}

/* The derivative of softplus(-margin) over the batch, its sign left out. Never 0, as the penalty's
 * factor divides by it; the least is far below rounding. */
HOST_DEVICE static inline float gan_seed(double margin, int batch)
{
    double c = 1 / (1 + exp(margin));
    return (float)((c > 1e-12 ? c : 1e-12) / batch);
}

/* By what T T' v' is multiplied before it is added to D's input. c: the seed of its score. */
HOST_DEVICE static inline float gan_tangent_factor(double gamma, int batch, double c)
{
    return (float)(gamma / batch / (c * c));
}

/* The second pass must end at score + gamma / (batch c) |v|^2: the relative error of `got`. */
HOST_DEVICE static inline double gan_identity_error(double got, double score, double square,
                                                    double gamma, int batch, double c)
{
    double tangent = gamma / batch * square / c;
    double size = fabs(score) + fabs(tangent) + 1e-3;
    return fabs(got - (score + tangent)) / size;
}

#endif
