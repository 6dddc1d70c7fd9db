/* Two colours compared by hue, saturation and lightness of HSLuv (hsluv.org; constants of its
 * reference, sRGB under D65), with the gradient: the loss of traiNNer-redux, but that saturation
 * goes by the colour's own hue also where that is too grey to count. In double, as hues of almost
 * grey colours are quotients of small differences. */
#ifndef IMGTRAIN_MATH_HSLUV_H
#define IMGTRAIN_MATH_HSLUV_H

#include "base/host_device.h"

#include <math.h>
#include <stdbool.h>

/* Lightness and saturation are 0..1. What the gradients of a colour are made of stays in it. */
struct hsluv {
    double lightness, saturation;
    double u, v; /* chromaticity less that of white: the hue's direction; of grey: (1, 0) */
    bool has_hue;
    double linear[3], slope[3]; /* light, and its slope by the sample */
    double x, y, z, sum;        /* sum: X + 15 Y + 3 Z */
    double lightness_y;         /* d lightness / d Y */
    double saturation_u, saturation_v, saturation_y;
};

/* Rows: X, Y, Z of linear RGB; and back. */
#define HSLUV_XYZ                                                                                  \
    {                                                                                              \
        {0.41239079926595, 0.35758433938387, 0.18048078840183},                                    \
            {0.21263900587151, 0.71516867876775, 0.072192315360733},                               \
        {                                                                                          \
            0.019330818715591, 0.11919477979462, 0.95053215224966                                  \
        }                                                                                          \
    }
#define HSLUV_RGB                                                                                  \
    {                                                                                              \
        {3.240969941904521, -1.537383177570093, -0.498610760293},                                  \
            {-0.96924363628087, 1.87596750150772, 0.041555057407175},                              \
        {                                                                                          \
            0.055630079696993, -0.20397695888897, 1.056971514242878                                \
        }                                                                                          \
    }

HOST_DEVICE static inline void hsluv_from_rgb(struct hsluv *of, const float *rgb)
{
    const double xyz[3][3] = HSLUV_XYZ, white_u = 0.19783000664283, white_v = 0.46831999493879;
    double sums[3] = {0, 0, 0};
    for (int c = 0; c < 3; c++) {
        double s = (double)rgb[c], within = s < 1e-12 ? 1e-12 : s > 1 ? 1 : s;
        bool dark = within <= 0.04045;
        double base = (within + 0.055) / 1.055, light = dark ? within / 12.92 : pow(base, 2.4);
        of->linear[c] = light;
        of->slope[c] = s != within ? 0 : dark ? 1 / 12.92 : 2.4 / 1.055 * light / base;
        for (int row = 0; row < 3; row++)
            sums[row] += xyz[row][c] * light;
    }
    of->x = sums[0], of->y = sums[1], of->z = sums[2];
    double root = cbrt(of->y);
    bool dark = !(of->y > 0.0088564516);
    of->lightness = dark ? 9.032962962 * of->y : 1.16 * root - 0.16;
    of->lightness_y = dark ? 9.032962962 : 1.16 / 3 / (root * root);
    of->sum = fmax(of->x + 15 * of->y + 3 * of->z, 1e-6);
    of->u = 4 * of->x / of->sum - white_u;
    of->v = 9 * of->y / of->sum - white_v;
    of->has_hue = 1300 * of->lightness * hypot(of->u, of->v) >= 0.028972067;
}

/* How far the colour is from grey, on the way to where RGB of its lightness and hue end: the most
 * over the six planes at which a channel is 0 or 1. In chromaticities that way is a ray, and at a
 * given Y a plane meets it at num / den. */
HOST_DEVICE static inline void hsluv_saturate(struct hsluv *of)
{
    const double rgb[3][3] = HSLUV_RGB;
    double y = of->y;
    of->saturation = of->saturation_u = of->saturation_v = of->saturation_y = 0;
    if (of->lightness > 0.9999 || of->lightness < 0.0001) return;
    for (int plane = 0; plane < 6; plane++) {
        const double *m = rgb[plane / 2];
        double by_u = 13 * (284517 * m[0] - 94839 * m[2]);
        double by_v = 13 * (632260 * m[2] - 126452 * m[1]), end = plane % 2 ? 1 : 0;
        double by_y = 838422 * m[2] + 769860 * m[1] + 731718 * m[0];
        double v_factor = by_v * y + 13 * 126452 * end, den = by_y * y - 769860 * end;
        double num = of->v * v_factor - of->u * by_u * y;
        if (!(num / den > of->saturation)) continue;
        of->saturation = num / den;
        of->saturation_u = -by_u * y / den;
        of->saturation_v = v_factor / den;
        of->saturation_y = (of->v * by_v - of->u * by_u - of->saturation * by_y) / den;
    }
    if (of->saturation <= 1) return;
    of->saturation = 1;
    of->saturation_u = of->saturation_v = of->saturation_y = 0;
}

/* What of the loss hangs on lightness, saturation, u and v, carried back to RGB. */
HOST_DEVICE static inline void hsluv_back(const struct hsluv *of, double lightness,
                                          double saturation, double u, double v, double *rgb)
{
    const double xyz[3][3] = HSLUV_XYZ;
    double sum = of->sum, by[3];
    u += saturation * of->saturation_u;
    v += saturation * of->saturation_v;
    double by_sum = -(u * 4 * of->x + v * 9 * of->y) / (sum * sum);
    by[0] = u * 4 / sum + by_sum;
    by[1] = v * 9 / sum + 15 * by_sum + lightness * of->lightness_y + saturation * of->saturation_y;
    by[2] = 3 * by_sum;
    for (int c = 0; c < 3; c++)
        rgb[c] = of->slope[c] * (by[0] * xyz[0][c] + by[1] * xyz[1][c] + by[2] * xyz[2][c]);
}

/* Hue: twice the part of a turn between the hues, a difference from grey counting as the larger
 * saturation and none between two greys, blacks or whites. *by_saturation, *turn: its slopes. */
HOST_DEVICE static inline double hsluv_hue(const struct hsluv *out, const struct hsluv *target,
                                           double *by_saturation, double *turn)
{
    const double pi = 3.14159265358979323846, little = 0.1;
    bool grey = out->saturation < little, other_grey = target->saturation < little;
    *by_saturation = *turn = 0;
    if (out->lightness < little && target->lightness < little) return 0;
    if (out->lightness > 1 - little && target->lightness > 1 - little) return 0;
    if (grey && other_grey) return 0;
    if (grey || other_grey) {
        bool largest = out->saturation > target->saturation;
        *by_saturation = largest ? 1 : 0;
        return largest ? out->saturation : target->saturation;
    }
    double u = out->has_hue ? out->u : 1, v = out->has_hue ? out->v : 0;
    double tu = target->has_hue ? target->u : 1, tv = target->has_hue ? target->v : 0;
    double angle = atan2(tu * v - tv * u, tu * u + tv * v);
    if (out->has_hue) *turn = (angle > 0 ? 1 : angle < 0 ? -1 : 0) / pi;
    return fabs(angle) / pi;
}

/* A third each of hue, saturation (weighted by the lightnesses' distances from black and white) and
 * lightness; differences of the last two by sqrt(d^2 + 1e-12). slope[3]: by the samples of out. */
HOST_DEVICE static inline double hsluv_loss(const float *out, const float *target, double *slope)
{
    struct hsluv a, b;
    double by_saturation, turn, u = 0, v = 0;
    hsluv_from_rgb(&a, out);
    hsluv_from_rgb(&b, target);
    hsluv_saturate(&a);
    hsluv_saturate(&b);
    double hue = hsluv_hue(&a, &b, &by_saturation, &turn);
    if (turn != 0) {
        double square = a.u * a.u + a.v * a.v;
        u = -turn * a.v / square;
        v = turn * a.u / square;
    }
    double from_end = fmin(a.lightness, 1 - a.lightness), ds = a.saturation - b.saturation;
    double weight = fmax(from_end, 0.) + fmax(fmin(b.lightness, 1 - b.lightness), 0.);
    double s = sqrt(ds * ds + 1e-12), dl = a.lightness - b.lightness, l = sqrt(dl * dl + 1e-12);
    double by_lightness = dl / l;
    if (from_end > 0) by_lightness += a.lightness < 0.5 ? s : -s;
    by_saturation += weight * ds / s;
    hsluv_back(&a, by_lightness / 3, by_saturation / 3, u / 3, v / 3, slope);
    return (hue + weight * s + l) / 3;
}

#endif
