/* MS-SSIM as a loss, one number at a time: metrics/ms_ssim.c measures the same. What a window sees
 * beside an image's border is left out, so an image of `side` pixels has side - 10 windows. */
#ifndef IMGTRAIN_MATH_SSIM_SCALES_H
#define IMGTRAIN_MATH_SSIM_SCALES_H

#include "base/host_device.h"
#include "math/ssim_window.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

/* A mean below counts as this, so that its slope still leads up. */
#define MS_SSIM_LEAST 1e-4

#define REAL float
#define FORMULA(name) ms_##name
#define REAL_FMA(a, b, c) ((a) * (b) + (c))
#define REAL_SET(x) ((float)(x))
#include "math/ssim.h"

/* ---- windows: along one axis, `step` numbers from pixel to pixel, the first one at `in` ---- */

HOST_DEVICE static inline float ms_ssim_filter(const float *in, ptrdiff_t step)
{
    const float w[] = SSIM_WINDOW;
    float sum = w[0] * in[SSIM_RADIUS * step];
    for (int k = 1; k <= SSIM_RADIUS; k++)
        sum += w[k] * (in[(SSIM_RADIUS - k) * step] + in[(SSIM_RADIUS + k) * step]);
    return sum;
}

/* Means of x, y, x^2 + y^2 and x y. */
struct ms_ssim_moments {
    float x, y, squares, product;
};
HOST_DEVICE static inline struct ms_ssim_moments ms_ssim_moments_of(const float *x, const float *y,
                                                                    ptrdiff_t step)
{
    const float w[] = SSIM_WINDOW;
    struct ms_ssim_moments m = {0, 0, 0, 0};
    for (int k = -SSIM_RADIUS; k <= SSIM_RADIUS; k++) {
        float a = x[(SSIM_RADIUS + k) * step], b = y[(SSIM_RADIUS + k) * step];
        float weight = w[k < 0 ? -k : k];
        m.x += weight * a;
        m.y += weight * b;
        m.squares += weight * (a * a + b * b);
        m.product += weight * (a * b);
    }
    return m;
}

/* Of a row of those planes of moments, `plane` numbers apart, three channels side by side. */
HOST_DEVICE static inline struct ms_ssim_moments ms_ssim_moments_along(const float *columns,
                                                                       ptrdiff_t plane)
{
    struct ms_ssim_moments m = {ms_ssim_filter(columns, 3), ms_ssim_filter(columns + plane, 3),
                                ms_ssim_filter(columns + 2 * plane, 3),
                                ms_ssim_filter(columns + 3 * plane, 3)};
    return m;
}

/* What a window is worth at a scale: contrast and structure, or at the last one SSIM; and its
 * slopes by the means of x, of the squares and of the product. */
HOST_DEVICE static inline float ms_ssim_window_value(const struct ms_ssim_moments *m, bool last,
                                                     float *slopes)
{
    if (last)
        return ms_ssim_pixel(m->x, m->y, m->squares, m->product, &slopes[0], &slopes[1],
                             &slopes[2]);
    float a = 2 * (m->product - m->x * m->y) + (float)SSIM_C2;
    float b = m->squares - m->x * m->x - m->y * m->y + (float)SSIM_C2;
    float value = a / b;
    slopes[0] = 2 * (value * m->x - m->y) / b;
    slopes[1] = -value / b;
    slopes[2] = 2 / b;
    return value;
}

/* The slope by a pixel x beside y, of those by its windows' means: three planes, likewise. */
HOST_DEVICE static inline float ms_ssim_slope(const float *columns, ptrdiff_t plane, float x,
                                              float y)
{
    return ms_ssim_filter(columns, 3) + 2 * x * ms_ssim_filter(columns + plane, 3) +
           y * ms_ssim_filter(columns + 2 * plane, 3);
}

/* ---- scales ---- */

/* Pixel (x, y) of the image of half the side: the mean of 2 x 2, of those that exist at a border.
 */
HOST_DEVICE static inline float ms_ssim_halved(const float *in, int side, int channels, int y,
                                               int x)
{
    ptrdiff_t row = (ptrdiff_t)side * channels, at = 2 * y * row + (ptrdiff_t)2 * x * channels;
    ptrdiff_t right = 2 * x + 1 < side ? channels : 0, down = 2 * y + 1 < side ? row : 0;
    return 0.25f * (in[at] + in[at + right] + in[at + down] + in[at + down + right]);
}

/* What pixel (x, y) of the larger image gets back. */
HOST_DEVICE static inline float ms_ssim_halved_adjoint(const float *grad, int side, int channels,
                                                       int y, int x)
{
    int half = (side + 1) / 2;
    float across = x + 1 == side && side % 2 ? 1.0f : 0.5f;
    float down = y + 1 == side && side % 2 ? 1.0f : 0.5f;
    return across * down * grad[((ptrdiff_t)(y / 2) * half + x / 2) * channels];
}

/* A scale's mean as it counts; NaN stays NaN. */
HOST_DEVICE static inline double ms_ssim_mean(double mean)
{
    return mean < MS_SSIM_LEAST ? MS_SSIM_LEAST : mean;
}

/* One channel's product over the scales, means `step` numbers apart; slopes: by them. */
HOST_DEVICE static inline double ms_ssim_product(const double *means, ptrdiff_t step, int scales,
                                                 double *slopes)
{
    const double exponents[MS_SSIM_SCALES] = {0.0448, 0.2856, 0.3001, 0.2363, 0.1333};
    double product = 1, sum = 0;
    for (int s = 0; s < scales; s++)
        sum += exponents[s];
    if (scales == MS_SSIM_SCALES) sum = 1; /* Wang et al.'s own make 1.0001 */
    for (int s = 0; s < scales; s++)
        product *= pow(ms_ssim_mean(means[s * step]), exponents[s] / sum);
    for (int s = 0; s < scales; s++)
        slopes[s] = product * exponents[s] / sum / ms_ssim_mean(means[s * step]);
    return product;
}

/* An image's loss, of means [scales][3]; factors, likewise: what slopes of each scale, whose sides
 * are `side`, are to be multiplied by. */
HOST_DEVICE static inline double ms_ssim_loss(const double *means, double *factors, const int *side,
                                              int scales, float weight)
{
    double loss = 1;
    for (int c = 0; c < 3; c++) {
        double slopes[MS_SSIM_SCALES];
        loss -= ms_ssim_product(means + c, 3, scales, slopes) / 3;
        for (int s = 0; s < scales; s++) {
            double windows = side[s] - MS_SSIM_MARGIN;
            factors[3 * s + c] = -(double)weight / 3 * slopes[s] / (windows * windows);
        }
    }
    return loss;
}

#endif
