/* From `start` to `end` along half a cosine, t in 0..1. */
#ifndef IMGTRAIN_MATH_COSINE_H
#define IMGTRAIN_MATH_COSINE_H

#include <math.h>

static inline double cosine_between(double start, double end, double t)
{
    return end + (start - end) * 0.5 * (1 + cos(3.141592653589793 * t));
}

#endif
