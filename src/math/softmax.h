/* Numbers x of a row become shares of 1, y = exp(scale x) / the sum of those, and the adjoint. */
#ifndef IMGTRAIN_MATH_SOFTMAX_H
#define IMGTRAIN_MATH_SOFTMAX_H

#include "base/host_device.h"

#include <math.h>

/* A share before it is divided by the sum of all; most: the row's largest number. */
HOST_DEVICE static inline float softmax_part(float x, float most, float scale)
{
    return expf(scale * (x - most));
}

/* The gradient of x; sum: of dy y over the row. */
HOST_DEVICE static inline float softmax_slope(float y, float dy, float sum, float scale)
{
    return scale * y * (dy - sum);
}

#endif
