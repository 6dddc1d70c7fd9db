/* The sRGB transfer function. IEC 61966-2-1. */
#ifndef IMGTRAIN_IMAGE_COLOUR_H
#define IMGTRAIN_IMAGE_COLOUR_H

#include <math.h>

static inline float colour_srgb_to_linear(float v)
{
    return v <= 0.04045f ? v / 12.92f : powf((v + 0.055f) / 1.055f, 2.4f);
}

#endif
