/* Reduced images compared: see struct nn_reduced_loss in device/nn_losses.h. Each formula beside
 * its adjoint. */
#ifndef IMGTRAIN_MATH_REDUCED_LOSS_H
#define IMGTRAIN_MATH_REDUCED_LOSS_H

#include "base/host_device.h"
#include "math/resampling.h"

#include <math.h>
#include <stddef.h>

/* A reduction by a whole factor along one axis: pixel i is the sum of tap[k] times pixel i factor +
 * first + k; borders are mirrored, their pixel repeated. */
enum { NN_FACTOR_MOST = 16, NN_TAPS_MOST = 4 * NN_FACTOR_MOST + 2 };
struct nn_reduction {
    int factor, first, taps;
    float tap[NN_TAPS_MOST];
};

/* What of the reduced images is compared: all three channels, Cb and Cr, or the luma (BT.601). */
enum nn_loss_colour { NN_COLOUR_RGB, NN_COLOUR_CHROMA, NN_COLOUR_LUMA };

/* Reduced pixel `to` of the difference of two lines of n pixels, `step` numbers apart; b NULL: of a
 * alone. */
HOST_DEVICE static inline float reduction_pixel(const struct nn_reduction *r, const float *a,
                                                const float *b, ptrdiff_t step, int n, int to)
{
    int first = to * r->factor + r->first;
    float sum = 0;
    for (int k = 0; k < r->taps; k++) {
        ptrdiff_t at = resampling_mirrored(first + k, n) * step;
        sum += r->tap[k] * (b ? a[at] - b[at] : a[at]);
    }
    return sum;
}

/* What the reduced pixels that read place p give back to it. */
HOST_DEVICE static inline float reduction_gathered(const struct nn_reduction *r, const float *grad,
                                                   ptrdiff_t step, int n, int p)
{
    int count = n / r->factor, behind = p - r->first; /* the place behind the taps of pixel 0 */
    float sum = 0;
    if (behind < 0) return 0;
    for (int to = behind / r->factor; to >= 0 && behind - to * r->factor < r->taps; to--)
        if (to < count) sum += r->tap[behind - to * r->factor] * grad[to * step];
    return sum;
}

/* The gradient of pixel i of n out of that of the reduced pixels. */
HOST_DEVICE static inline float reduction_adjoint(const struct nn_reduction *r, const float *grad,
                                                  ptrdiff_t step, int n, int i)
{
    int reach = n + r->taps; /* places are n and more beyond the image at most */
    float sum = 0;
    for (int p = i; p < reach; p += 2 * n) /* and 2 n apart, the mirror's images between them */
        sum += reduction_gathered(r, grad, step, n, p);
    for (int p = 2 * n - 1 - i; p < reach; p += 2 * n)
        sum += reduction_gathered(r, grad, step, n, p);
    for (int p = -1 - i; p >= r->first; p -= 2 * n)
        sum += reduction_gathered(r, grad, step, n, p);
    for (int p = i - 2 * n; p >= r->first; p -= 2 * n)
        sum += reduction_gathered(r, grad, step, n, p);
    return sum;
}

/* Of one difference of two pixels: |.| of what is compared; slope[3] becomes its gradient times
 * `weight`. Cb and Cr as in BasicSR's rgb2ycbcr, of 0..1. */
HOST_DEVICE static inline double loss_colour(enum nn_loss_colour colour, const float *d,
                                             float weight, float *slope)
{
    const float rows[2][3] = {{-37.797f / 255, -74.203f / 255, 112.0f / 255},
                              {112.0f / 255, -93.786f / 255, -18.214f / 255}};
    const float luma[3] = {0.299f, 0.587f, 0.114f};
    double sum = 0;
    for (int c = 0; c < 3; c++)
        slope[c] = 0;
    if (colour == NN_COLOUR_RGB) {
        for (int c = 0; c < 3; c++) {
            sum += fabs((double)d[c]);
            slope[c] = weight * (float)((d[c] > 0) - (d[c] < 0));
        }
        return sum;
    }
    for (int row = 0; row < (colour == NN_COLOUR_CHROMA ? 2 : 1); row++) {
        const float *of = colour == NN_COLOUR_CHROMA ? rows[row] : luma;
        float value = of[0] * d[0] + of[1] * d[1] + of[2] * d[2];
        float sign = weight * (float)((value > 0) - (value < 0));
        sum += fabs((double)value);
        for (int c = 0; c < 3; c++)
            slope[c] += sign * of[c];
    }
    return sum;
}

#endif
