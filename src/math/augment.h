/* DiffAugment (Zhao et al., NeurIPS 2020) for one number: T is affine in the image for fixed
 * draws. Order: brightness, saturation, contrast, translation, cutout. Means: `grey` over the
 * channels of the pixel, `mean` over the whole image, both of the input. Four channels are RGB
 * times alpha and alpha. */
#ifndef IMGTRAIN_MATH_AUGMENT_H
#define IMGTRAIN_MATH_AUGMENT_H

#include "base/host_device.h"
#include "base/random.h"

#include <stdint.h>

/* One image's draws of the augmentation T; augment_none() of math/augment.h gives the identity.
 */
struct nn_augment {
    float brightness, saturation, contrast;
    int dy, dx;         /* translation */
    int y0, x0, y1, x1; /* cutout: zero where y0 <= y < y1 and x0 <= x < x1 */
};

static inline struct nn_augment augment_none(void)
{
    struct nn_augment t = {0, 1, 1, 0, 0, 0, 0, 0, 0}; /* saturation and contrast 1 */
    return t;
}

/* The colour part of T at one value; brightness b is 0 in the linear part. Saturation and contrast
 * leave the means where they are, so both can be taken of the input. */
HOST_DEVICE static inline float augment_colour(const struct nn_augment *t, float b, float x,
                                               float grey, float mean)
{
    float saturated = (x - grey) * t->saturation + (grey + b);
    return (saturated - (mean + b)) * t->contrast + (mean + b);
}

/* The adjoint of its linear part: k g + (1 - k) mean(g), then s g + (1 - s) grey(g). */
HOST_DEVICE static inline float augment_colour_adjoint(const struct nn_augment *t, float g,
                                                       float grey, float mean)
{
    float offset = (1 - t->contrast) * mean, k = t->contrast, s = t->saturation;
    return s * (k * g + offset) + (1 - s) * (k * grey + offset);
}

/* Of RGB times alpha and alpha, in place: the same formulas on the colours that are covered, but
 * the contrast turns about mid grey, as their mean over the image is a quotient and T would not be
 * affine. With colours p and alpha A in 0..1 a straight colour becomes T(p / A) = k (p / A) + d, so
 * p' = k p + d A: no division, and what is transparent stays so. Values are 2 p - 1 and 2 A - 1;
 * the linear part leaves out what does not depend on them. */
HOST_DEVICE static inline void augment_covered(const struct nn_augment *t, float x[4], int linear)
{
    float k = t->contrast, s = t->saturation, d = (1 - k + t->brightness) / 2;
    float grey = (x[0] + x[1] + x[2]) / 3, offset = linear ? 0 : k - 1 + d;
    for (int i = 0; i < 3; i++)
        x[i] = k * ((x[i] - grey) * s + grey) + d * x[3] + offset;
}

/* The adjoint of its linear part, likewise. */
HOST_DEVICE static inline void augment_covered_adjoint(const struct nn_augment *t, float g[4])
{
    float k = t->contrast, s = t->saturation, sum = g[0] + g[1] + g[2];
    for (int i = 0; i < 3; i++)
        g[i] = k * (s * g[i] + (1 - s) * (sum / 3));
    g[3] += (1 - k + t->brightness) / 2 * sum;
}

/* What shows where the image was moved away or cut out: mid grey, or of four channels nothing. */
HOST_DEVICE static inline float augment_outside(int c, int linear)
{
    return c == 4 && !linear ? -1.0f : 0.0f;
}

HOST_DEVICE static inline int augment_cuts(const struct nn_augment *t, int y, int x)
{
    return y >= t->y0 && y < t->y1 && x >= t->x0 && x < t->x1;
}

/* The draws of image `index` of `step` for a w x h image: each kind (colour, translation,
 * cutout) is applied with probability p. */
static inline struct nn_augment augment_draw(uint64_t seed, uint64_t step, uint64_t index, float p,
                                             int h, int w)
{
    struct nn_augment t = augment_none();
    struct philox4 a = philox_draw(seed, STREAM_GAN_AUGMENT, step, 3 * index);
    struct philox4 b = philox_draw(seed, STREAM_GAN_AUGMENT, step, 3 * index + 1);
    struct philox4 c = philox_draw(seed, STREAM_GAN_AUGMENT, step, 3 * index + 2);
    if (philox_uniform(a.v[0]) < p) {
        t.brightness = philox_uniform(a.v[1]) - 0.5f;
        t.saturation = 2 * philox_uniform(a.v[2]);
        t.contrast = 0.5f + philox_uniform(a.v[3]);
    }
    if (philox_uniform(b.v[0]) < p) { /* up to 1/8 of a side, either way */
        int my = (h + 4) / 8, mx = (w + 4) / 8;
        t.dy = (int)(philox_uniform(b.v[1]) * (float)(2 * my + 1)) - my;
        t.dx = (int)(philox_uniform(b.v[2]) * (float)(2 * mx + 1)) - mx;
    }
    if (philox_uniform(c.v[0]) < p) { /* half the sides, its centre anywhere */
        int y = (int)(philox_uniform(c.v[1]) * (float)h) - h / 4;
        int x = (int)(philox_uniform(c.v[2]) * (float)w) - w / 4;
        t.y0 = y < 0 ? 0 : y;
        t.x0 = x < 0 ? 0 : x;
        t.y1 = y + h / 2 < h ? y + h / 2 : h;
        t.x1 = x + w / 2 < w ? x + w / 2 : w;
    }
    return t;
}

#endif
