/* Normalisation of groups of channels (Wu and He, "Group Normalization", ECCV 2018): y = (x - mean)
 * scale w + b, with the mean and the deviation of a group's numbers in a whole image, and the
 * adjoint. */
#ifndef IMGTRAIN_MATH_GROUP_MOMENTS_H
#define IMGTRAIN_MATH_GROUP_MOMENTS_H

#include "base/host_device.h"

#include <math.h>

struct group_norm_moments {
    float mean, scale; /* scale: 1 / sqrt(variance + eps) */
};

/* sums: of the group's numbers and of their squares. */
HOST_DEVICE static inline struct group_norm_moments group_norm_moments_of(const double *sums,
                                                                          double count, float eps)
{
    double mean = sums[0] / count, variance = sums[1] / count - mean * mean;
    struct group_norm_moments m = {
        (float)mean, (float)(1 / sqrt((variance > 0 ? variance : variance * 0) + (double)eps))};
    return m;
}

HOST_DEVICE static inline float group_norm_value(float x, struct group_norm_moments m)
{
    return (x - m.mean) * m.scale;
}

/* The gradient of x from dy, that of y, and the means over the group of w dy and of w dy times the
 * normalised value. */
HOST_DEVICE static inline float group_norm_slope(float x, float w, float dy,
                                                 struct group_norm_moments m, float mean_dy,
                                                 float mean_product)
{
    return m.scale * (w * dy - mean_dy - group_norm_value(x, m) * mean_product);
}

#endif
