/* Drawing pixels with probabilities proportional to a weight, without replacement: what devices
 * share. A device sums the weights of each row, and hands pixels to the draws that fall on them by
 * running through their rows once more. */
#ifndef IMGTRAIN_DEVICE_SPLAT_DRAWS_H
#define IMGTRAIN_DEVICE_SPLAT_DRAWS_H

#include "device/splat_ops.h"

#include <math.h>

/* One number that falls on a place of the image's total weight. */
struct splat_draw {
    double mass;   /* 0..total */
    int64_t index; /* which of the draws asked for */
};

struct splat_draws {
    int width, height;
    int64_t count; /* draws asked for */
    uint64_t seed, step;
    uint32_t stream;
    double *row_mass;         /* [height]: sums of the weights, written by `sum` */
    double *row_start;        /* [height + 1]: mass before the row */
    struct splat_draw *draws; /* sorted by mass */
    int64_t *row_draw;        /* [height + 1]: first draw of the row */
    int64_t *pixel;           /* [count]: of each draw, set by `place`; -1: it has none yet */
    int64_t *taken;           /* [count]: pixels of earlier rounds, sorted */
    int64_t taken_count;
};

/* Is the pixel one of `count` sorted ones? */
HOST_DEVICE static inline bool splat_pixel_taken(const int64_t *taken, int64_t count, int64_t pixel)
{
    int64_t low = 0, high = count;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (taken[middle] < pixel)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && taken[low] == pixel;
}

/* A device's part of the drawing; 0 or an error. place: every pixel that is not taken goes to the
 * first of the `n` draws that fall on it. rest: draws that found no pixel lie where draws[] of `n`
 * says: mass is the pixel's number. */
struct splat_drawing {
    void *argument;
    int (*sum)(void *argument, struct splat_draws *draws);
    int (*place)(void *argument, struct splat_draws *draws, int64_t n);
    int (*rest)(void *argument, struct splat_draws *draws, int64_t n);
};

/* Cuts the arrays for draws->height rows and draws->count draws out of host memory (NULL: only
 * counts); returns the bytes. */
size_t splat_draws_layout(struct splat_draws *draws, void *memory);

/* `draws` comes with its first three lines set, and laid out. */
int splat_draws_run(struct splat_draws *draws, const struct splat_drawing *drawing);

/* ---- weights ---- */

/* The target at a row and column, those outside moved to the edge. */
HOST_DEVICE static inline float splat_target_near(const struct splat_target *t, int y, int x, int c)
{
    y = y < 0 ? 0 : y >= t->height ? t->height - 1 : y;
    x = x < 0 ? 0 : x >= t->width ? t->width - 1 : x;
    return splat_target_sample(t, y, x, c);
}

/* Squared Sobel gradient of a channel (Image-GS's init); rows above, at and below the pixel, [0] in
 * its column. */
HOST_DEVICE static inline double splat_sobel_square(const float *above, const float *at,
                                                    const float *below)
{
    float gx = (above[1] + 2 * at[1] + below[1]) - (above[-1] + 2 * at[-1] + below[-1]);
    float gy = (below[-1] + 2 * below[0] + below[1]) - (above[-1] + 2 * above[0] + above[1]);
    return (double)(gx * gx + gy * gy);
}

/* |3x3 binomial blur of the target - what is rendered| of a channel, likewise. */
HOST_DEVICE static inline double splat_blurred_error(const float *above, const float *at,
                                                     const float *below, float rendered)
{
    float blurred = 0;
    for (int i = -1; i <= 1; i++)
        for (int j = -1; j <= 1; j++)
            blurred += (i < 0   ? above
                        : i > 0 ? below
                                : at)[j] *
                       (float)((2 - i * i) * (2 - j * j)) * (1.0f / 16.0f);
    return (double)fabsf(blurred - rendered);
}

/* A pixel's weight out of its channels' sum of either; one that is not finite is never drawn. */
HOST_DEVICE static inline double splat_draw_weight(enum splat_sampling weight, double sum,
                                                   int channels)
{
    double mean = sum / channels;
    double w = weight == SPLAT_SAMPLE_GRADIENT ? sum : mean * mean;
    return isfinite(w) ? w : 0;
}

#endif
