/* A Gaussian in an image of some size, and the way back from sums over its pixels to the gradient
 * by its parameters. For float alone: this is done once a Gaussian, not once a pixel. */
#ifndef IMGTRAIN_MATH_GAUSSIAN_FORM_H
#define IMGTRAIN_MATH_GAUSSIAN_FORM_H

#include "math/real.h"

#include <math.h>
#include <stdbool.h>

#define REAL float
#define FORMULA(name) name##_f32
#define REAL_FMA(a, b, c) FMA_F32(a, b, c)
#include "math/gaussian.h"

#define GAUSSIAN_TO_LOG2 0.72134752044448170368f /* 1 / (2 ln 2) */

struct gaussian_form {
    float mx, my;  /* centre in pixels */
    float A, B, C; /* gaussian_power */
    float slope;   /* a row's closest point lies at mx + slope dy */
    float inverse_A;
    float row_power; /* the power at that point is row_power dy^2 */
};

/* The cut of `sigmas` in units of gaussian_power. */
HOST_DEVICE static inline float gaussian_cut_power(float sigmas)
{
    return sigmas * sigmas * GAUSSIAN_TO_LOG2;
}

/* Inverse sigmas of a Gaussian whose parameters hold them or, with sigma_scale, sigmas. */
HOST_DEVICE static inline void gaussian_inverse_sigmas(const float *scale, bool sigma_scale,
                                                       float *ix, float *iy)
{
    *ix = sigma_scale ? 1.0f / scale[0] : scale[0];
    *iy = sigma_scale ? 1.0f / scale[1] : scale[1];
}

/* The form in an image of width x height, which is fx, fy times as large as the one that the
 * parameters belong to. May hold what is not finite: see gaussian_rows. */
HOST_DEVICE static inline struct gaussian_form gaussian_form_of(const float *xy, const float *scale,
                                                                float rot, bool sigma_scale,
                                                                int width, int height, double fx,
                                                                double fy)
{
    struct gaussian_form g;
    float ix, iy, a, b, d;
    gaussian_inverse_sigmas(scale, sigma_scale, &ix, &iy);
    gaussian_conic_f32(ix, iy, cosf(rot), sinf(rot), &a, &b, &d);
    a *= (float)(1 / (fx * fx));
    b *= (float)(1 / (fx * fy));
    d *= (float)(1 / (fy * fy));
    g.mx = xy[0] * (float)width;
    g.my = xy[1] * (float)height;
    g.A = a * GAUSSIAN_TO_LOG2;
    g.B = 2 * b * GAUSSIAN_TO_LOG2;
    g.C = d * GAUSSIAN_TO_LOG2;
    g.inverse_A = 1 / g.A;
    g.slope = -b / a;
    /* det / a; the determinant from the factors, which cannot cancel to below zero */
    g.row_power = (float)((double)(ix * ix) * (double)(iy * iy) / (fx * fx * fy * fy) / (double)a) *
                  GAUSSIAN_TO_LOG2;
    return g;
}

/* Rows, in pixel coordinates, that its ellipse reaches, a little wider than the cut: the exact test
 * is the power. False for none in an image of `height` rows, as for what is not finite. */
HOST_DEVICE static inline bool gaussian_rows(const struct gaussian_form *g, float cut_power,
                                             int height, float *top, float *bottom)
{
    float reach = sqrtf(cut_power / g->row_power) * 1.0001f + 0.001f;
    *top = g->my - reach;
    *bottom = g->my + reach;
    /* written so that a NaN reaches none */
    return *bottom >= 0 && *top < (float)height && g->inverse_A < 1e30f;
}

/* Half of what the ellipse covers of the row at distance dy, likewise wider, around mx + slope dy;
 * < 0: not in the row. */
HOST_DEVICE static inline float gaussian_row_half(const struct gaussian_form *g, float cut_power,
                                                  float dy)
{
    float room = cut_power - g->row_power * dy * dy;
    if (!(room > 0)) return -1e30f;
    /* A thousandth wider than the ellipse: rounding must not lose a pixel of it. */
    return sqrtf(room * g->inverse_A) * 1.0001f + 0.001f;
}

/* Sums over the pixels of a Gaussian with v = dL/dp for the power p = ln alpha = -q / 2:
 * v dx, v dy, v dx^2, v dx dy, v dy^2, v. The last one is the weight's: alpha = 2^-weight e^p. */
enum { GAUSSIAN_SUMS = 6, GAUSSIAN_SUM_WEIGHT = 5 };

HOST_DEVICE static inline float gaussian_weight_adjoint(const float *sums)
{
    return -0.69314718055994530942f * sums[GAUSSIAN_SUM_WEIGHT];
}

/* From these sums to the gradient by the parameters:
 *   dL/da = -sum v dx^2 / 2, dL/db = -sum v dx dy, dL/dd = -sum v dy^2 / 2,
 *   dL/dmx = sum v (a dx + b dy), dL/dmy = sum v (b dx + d dy).
 * For an image of the size that the parameters belong to. Overwrites. */
HOST_DEVICE static inline void gaussian_form_adjoint(const float *sums, const float *scale,
                                                     float rot, bool sigma_scale, int width,
                                                     int height, float *gxy, float *gscale,
                                                     float *grot)
{
    float ix, iy, a, b, d, gix, giy, cosine = cosf(rot), sine = sinf(rot);
    gaussian_inverse_sigmas(scale, sigma_scale, &ix, &iy);
    gaussian_conic_f32(ix, iy, cosine, sine, &a, &b, &d);
    gxy[0] = (a * sums[0] + b * sums[1]) * (float)width;
    gxy[1] = (b * sums[0] + d * sums[1]) * (float)height;
    gaussian_conic_adjoint_f32(ix, iy, cosine, sine, -0.5f * sums[2], -sums[3], -0.5f * sums[4],
                               &gix, &giy, grot);
    /* sigma = 1 / ix: d ix / d sigma = -ix^2 */
    gscale[0] = sigma_scale ? -gix * ix * ix : gix;
    gscale[1] = sigma_scale ? -giy * iy * iy : giy;
}

/* Pixels within the cut, out of the area of the ellipse: exact but for what lies outside. */
HOST_DEVICE static inline double gaussian_pixels(const float *scale, bool sigma_scale, double cut)
{
    double sx = (double)scale[0], sy = (double)scale[1];
    if (!sigma_scale) {
        sx = 1 / sx;
        sy = 1 / sy;
    }
    return 3.14159265358979 * cut * cut * sx * sy;
}

#endif
