/* Uniform rounding between the least and the greatest of many values (Image-GS's quantisation-aware
 * training). */
#ifndef IMGTRAIN_MATH_QUANTIZE_H
#define IMGTRAIN_MATH_QUANTIZE_H

#include "base/host_device.h"

#include <math.h>

struct quantizer {
    double low, up, down; /* value -> step number: (v - low) up; back: q down + low */
};

HOST_DEVICE static inline struct quantizer quantizer_of(double low, double high, int bits)
{
    struct quantizer q;
    double steps = ldexp(1.0, bits) - 1, range = high - low;
    if (!(range > 0)) range = 1; /* all values are equal: they stay */
    q.low = low;
    q.up = steps / range;
    q.down = range / steps;
    return q;
}

HOST_DEVICE static inline float quantize_quantized(const struct quantizer *q, float value)
{
    return (float)(nearbyint(((double)value - q->low) * q->up) * q->down + q->low);
}

#endif
