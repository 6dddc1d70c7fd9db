/* The metrics of a generator against a data set. */
#ifndef IMGTRAIN_GAN_EVALUATE_H
#define IMGTRAIN_GAN_EVALUATE_H

#include "metrics/inception.h"

struct dataset;

/* Images that it takes; ms_ssim compares pairs. */
enum { EVALUATE_LEAST = SAMPLE_METRICS_LEAST, EVALUATE_LEAST_PAIR = 2 };

/* Draws the samples of n seeds and classes as bytes [n][height][width][channels]. */
typedef int gan_draw(void *context, const uint64_t *seeds, const int *classes, int n, uint8_t *out);

struct evaluate_options {
    int width, height;
    int samples;                         /* at most so many images of either kind */
    int batch;                           /* samples drawn at a time */
    const char *features;                /* Inception's weights, metrics/inception.h; NULL: none, */
    struct inception_metrics *inception; /* what they measure */
    bool (*stop_requested)(void);
};

/* Compares min(samples, training images) training images, spread evenly over all, with as many
 * samples: seeds 0, 1, ..., in the classes of those images. *count: how many that were. Figures
 * that take more than those are NaN (EVALUATE_LEAST: rkid, precision, recall, density, coverage).
 * The same generator and data give the same figures. What is no RGB is compared as RGB: grey three
 * times; with alpha over mid grey, once, so that an image stays one point for precision, recall and
 * coverage. On black or white alone the outlines or the paper of drawings would be gone. */
int gan_evaluate(struct sample_metrics *metrics, int *count, const struct dataset *set,
                 const struct evaluate_options *options, gan_draw *draw, void *context);

#endif
