/* From fitted values to those that are shown. */
#ifndef IMGTRAIN_MATH_SHOWN_SAMPLE_H
#define IMGTRAIN_MATH_SHOWN_SAMPLE_H

#include "base/host_device.h"

#include <math.h>
#include <stddef.h>

/* A colour of a pixel. alpha: of the pixel, NULL without; an invisible pixel has no colour: black.
 * power: negative: as it is. */
HOST_DEVICE static inline float shown_color(float v, const float *alpha, float power)
{
    if (alpha) v = *alpha > 1.0f / 512.0f ? v / *alpha : 0.0f;
    return power < 0 ? v : powf(v > 0 ? v : 0.0f, power);
}

HOST_DEVICE static inline float shown_clamped(float v)
{
    return v > 0 ? (v < 1 ? v : 1.0f) : 0.0f;
}

/* A value as a whole number of 0 .. most. By way of an int, which vectors can be turned into. */
HOST_DEVICE static inline unsigned shown_level(float v, float most)
{
    return (unsigned)(int)(shown_clamped(v) * most + 0.5f);
}

#endif
