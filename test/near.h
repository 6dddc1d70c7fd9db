/* How far numbers are off. One that is no number is never near: fmax and <= alone would pass it. */
#ifndef IMGTRAIN_TEST_NEAR_H
#define IMGTRAIN_TEST_NEAR_H

#include <math.h>
#include <stddef.h>

/* The larger one; NaN where one of them is. */
static inline double larger_error(double a, double b)
{
    return isnan(a) || isnan(b) ? a + b : fmax(a, b);
}

/* The largest |got - right|, in units of the largest |right|; NaN where one of them all is. */
static inline double relative_error(const float *got, const float *right, size_t count)
{
    double error = 0, most = 0;
    for (size_t i = 0; i < count; i++) {
        error = larger_error(error, fabs((double)got[i] - (double)right[i]));
        most = fmax(most, fabs((double)right[i]));
    }
    return most > 0 ? error / most : error;
}

/* The root of the mean square of got - right, in units of right's. */
static inline double rms_error(const float *got, const float *right, size_t count)
{
    double error = 0, size = 0;
    for (size_t i = 0; i < count; i++) {
        error += ((double)got[i] - (double)right[i]) * ((double)got[i] - (double)right[i]);
        size += (double)right[i] * (double)right[i];
    }
    return sqrt(error / size);
}

#endif
