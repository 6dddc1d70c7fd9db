/* What images are resized with: the cubic of bicubic, and what lies beyond an image's border. */
#ifndef IMGTRAIN_MATH_RESAMPLING_H
#define IMGTRAIN_MATH_RESAMPLING_H

#include "base/host_device.h"

#include <math.h>

/* Keys' cubic with a = -1/2 (Catmull-Rom) at distance x. Keys 1981, equation 4. */
HOST_DEVICE static inline double resampling_cubic(double x)
{
    x = fabs(x);
    if (x < 1.0) return (1.5 * x - 2.5) * x * x + 1.0;
    return x < 2.0 ? ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0 : 0.0;
}

/* Which of n samples lies at `at` of a line that goes on beyond both ends as in a mirror, the last
 * sample twice. */
HOST_DEVICE static inline int resampling_mirrored(int at, int n)
{
    int place = at % (2 * n);
    if (place < 0) place += 2 * n;
    return place < n ? place : 2 * n - 1 - place;
}

/* Likewise, the last sample once. */
HOST_DEVICE static inline int resampling_reflected(int at, int n)
{
    int period = n > 1 ? 2 * (n - 1) : 1, place = at % period;
    if (place < 0) place += period;
    return place < n ? place : period - place;
}

#endif
