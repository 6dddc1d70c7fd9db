/* exp, log, sine, ... in double of additions, products, quotients and square roots alone, which
 * IEEE 754 rounds alike everywhere: data that is made by them has the same bits on any machine,
 * whatever its libm. Relative errors below 1e-14 (sine and cosine: absolute). */
#ifndef IMGTRAIN_MATH_PORTABLE_H
#define IMGTRAIN_MATH_PORTABLE_H

#include <math.h>

#define PORTABLE_PI 3.14159265358979323846

/* x in -700..700; below: 0. */
static inline double portable_exp(double x)
{
    if (x < -700.0) return 0.0;
    double n = floor(x * 1.4426950408889634 + 0.5), sum = 1.0;
    double r = x - n * 6.93147180369123816490e-01 - n * 1.90821492927058770002e-10;
    for (int k = 15; k > 0; k--)
        sum = 1.0 + r / k * sum;
    return ldexp(sum, (int)n);
}

/* x > 0. */
static inline double portable_log(double x)
{
    int exponent;
    double m = frexp(x, &exponent), sum = 0.0;
    if (m < 0.70710678118654752) {
        m *= 2.0;
        exponent--;
    }
    double s = (m - 1.0) / (m + 1.0);
    for (int k = 21; k > 0; k -= 2)
        sum = sum * s * s + 1.0 / k;
    return 2.0 * s * sum + exponent * 0.69314718055994530942;
}

/* x >= 0; 0 to the power of what is above 0 is 0. */
static inline double portable_pow(double x, double y)
{
    return x > 0.0 ? portable_exp(y * portable_log(x)) : 0.0;
}

/* x in some hundred turns around 0. */
static inline double portable_sin(double x)
{
    double r = x - floor(x / (2.0 * PORTABLE_PI) + 0.5) * (2.0 * PORTABLE_PI), sum = 0.0;
    for (int k = 29; k > 0; k -= 2)
        sum = 1.0 - r * r / ((k + 1) * (k + 2)) * sum;
    return r * sum;
}

static inline double portable_cos(double x)
{
    double r = x - floor(x / (2.0 * PORTABLE_PI) + 0.5) * (2.0 * PORTABLE_PI), sum = 0.0;
    for (int k = 28; k >= 0; k -= 2)
        sum = 1.0 - r * r / ((k + 1) * (k + 2)) * sum;
    return sum;
}

/* Bessel's function of order 1, x in 0..1000: Miller's recurrence downwards from an order where it
 * has no weight, scaled by 1 = J0 + 2 J2 + 2 J4 + ... */
static inline double portable_bessel_j1(double x)
{
    if (x <= 0.0) return 0.0;
    int start = 2 * ((int)((1.5 * x + 50.0) / 2.0));
    double above = 0.0, here = 1e-250, even = 0.0, first = 0.0;
    for (int n = start; n > 0; n--) {
        double below = 2.0 * n / x * here - above;
        if (n % 2 == 0) even += 2.0 * here;
        if (n == 1) first = here;
        above = here;
        here = below;
        if (fabs(here) > 1e100) {
            above *= 1e-200;
            here *= 1e-200;
            even *= 1e-200;
            first *= 1e-200;
        }
    }
    return first / (even + here);
}

#endif
