/* Inside the metrics: images as rows of numbers, and what is measured between sets of rows. */
#ifndef IMGTRAIN_METRICS_SAMPLE_METRICS_INTERNAL_H
#define IMGTRAIN_METRICS_SAMPLE_METRICS_INTERNAL_H

#include "metrics/sample_metrics.h"

#include <stddef.h>

/* n points: [n][dims], owned (malloc). */
struct metrics_rows {
    int n, dims;
    float *data;
};

int metrics_rows_create(struct metrics_rows *rows, int n, int dims);
void metrics_rows_free(struct metrics_rows *rows); /* accepts a zeroed struct; leaves it zeroed */

/* Whether to end, with the message set. */
int metrics_poll(bool (*stop_requested)(void));

/* Image i of m that are spread evenly over all n. */
static inline int metrics_spread(int i, int m, int n)
{
    return (int)((int64_t)i * n / m);
}

/* ---- metrics_features.c ---- */

/* Responses of a random convolutional network that depends on the images' size alone. *rows is
 * created. `blocks`: where each stage's columns end (at most METRICS_STAGES), for metrics_scale. */
enum { METRICS_STAGES = 4 };
struct metrics_blocks {
    int count, end[METRICS_STAGES];
};
int metrics_features(struct metrics_rows *rows, struct metrics_blocks *blocks,
                     struct image_list images, int width, int height, bool (*stop_requested)(void));

/* Rows of the images' samples, 0..1. */
int metrics_pixels(struct metrics_rows *rows, struct image_list images, int width, int height);

/* The shift and scale that give `real` mean 0 in each column and mean variance 1 in each block, to
 * be applied to other sets as well. shift: [dims]. */
struct metrics_scaling {
    float *shift; /* owned */
    float factor[METRICS_STAGES];
};
int metrics_scaling_of(struct metrics_scaling *scaling, const struct metrics_rows *real,
                       const struct metrics_blocks *blocks);
void metrics_scale(struct metrics_rows *rows, const struct metrics_scaling *scaling,
                   const struct metrics_blocks *blocks);

/* ---- metrics_rows.c ---- */

/* Between two sets of points. */
struct metrics_sets {
    double kid; /* squared maximum mean discrepancy, unbiased, kernel (x.y / dims + 1)^3
                   (Binkowski et al. 2018, "Demystifying MMD GANs") */
    double precision, recall; /* Kynkaanniemi et al. 2019 */
    double density, coverage; /* Naeem et al. 2020, "Reliable Fidelity and Diversity Metrics" */
};

/* k: which neighbour bounds a point's ball; figures of balls are NaN where a set has no more than k
 * points, kid where one has fewer than 2. */
int metrics_compare(struct metrics_sets *sets, const struct metrics_rows *real,
                    const struct metrics_rows *fake, int k, bool (*stop_requested)(void));

/* Mean distance from a point of `from` to the nearest of `to`; NaN when either is empty. */
int metrics_nearest(double *mean, const struct metrics_rows *from, const struct metrics_rows *to,
                    bool (*stop_requested)(void));

/* ---- metrics_swd.c ---- */

/* Sliced Wasserstein distance, times 1000, mean over the levels of a Laplacian pyramid. */
int metrics_swd(double *swd, struct image_list real, struct image_list fake, int width, int height,
                uint64_t seed, bool (*stop_requested)(void));

#endif
