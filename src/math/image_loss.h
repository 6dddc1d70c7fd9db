/* What one number of an image that a network made adds to the loss: d = out - target. Each term has
 * its value in double, for the report, and its slope. A new term is an entry of enum nn_loss_term,
 * a line in each of the two functions, and a key. */
#ifndef IMGTRAIN_MATH_IMAGE_LOSS_H
#define IMGTRAIN_MATH_IMAGE_LOSS_H

#include "base/host_device.h"

#include <math.h>

/* Under Charbonnier's root, as in traiNNer-redux and BasicSR: L1 but within 1e-6 of 0. */
#define IMAGE_LOSS_CHARBONNIER 1e-12

/* l1, charbonnier, mse: in the order of enum nn_loss_term. */
HOST_DEVICE static inline void image_loss_add(double d, double *sums)
{
    sums[0] += fabs(d);
    sums[1] += sqrt(d * d + IMAGE_LOSS_CHARBONNIER);
    sums[2] += d * d;
}

HOST_DEVICE static inline float image_loss_slope(float d, const float *weight)
{
    float sign = (float)((d > 0) - (d < 0));
    float root = sqrtf(d * d + (float)IMAGE_LOSS_CHARBONNIER);
    return weight[0] * sign + weight[1] * (d / root) + 2 * weight[2] * d;
}

#endif
