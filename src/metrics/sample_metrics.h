/* How good the samples of a generator are, without any downloaded network. All figures are relative
 * within one data set and one size of images, and rkid is no FID or KID of other programs.
 * Images are uint8 [n][height][width][3] in host memory. */
#ifndef IMGTRAIN_METRICS_SAMPLE_METRICS_H
#define IMGTRAIN_METRICS_SAMPLE_METRICS_H

#include <stdbool.h>
#include <stdint.h>

struct sample_metrics {
    double swd;  /* sliced Wasserstein distance on a Laplacian pyramid, x 1000; lower is better */
    double rkid; /* kernel distance over a fixed-seed random CNN; lower is better */
    double precision, recall, density, coverage; /* over the same features */
    double ms_ssim;  /* mean MS-SSIM between pairs of samples: high means collapse */
    double nn_ratio; /* mean distance to the nearest training image / to the nearest held-out one,
                        from sets of equal size: well below 1 means copying; NaN without held-out */
};

struct image_list {
    const uint8_t *const *pixels; /* n images, borrowed */
    int n;
};

/* Figures that too few images allow no telling of are NaN (balls of neighbours want 6 of a set).
 * real: training images; held: held-out ones (n may be 0); fake: samples. The same images and
 * seed give the same figures on any thread count. stop_requested (or NULL) is polled: ERR_STOPPED.
 */
int sample_metrics_measure(struct sample_metrics *metrics, struct image_list real,
                           struct image_list held, struct image_list fake, int width, int height,
                           uint64_t seed, bool (*stop_requested)(void));

/* Images of either kind that figures of features (rkid, precision, recall, density, coverage) take.
 * rkid of two images has been 71330: from ten on it keeps to its order of magnitude, and a ball of
 * five neighbours is not the whole set. */
enum { SAMPLE_METRICS_LEAST = 10 };
/* Those figures are NaN where there are fewer. */
void sample_metrics_leave_out(struct sample_metrics *metrics, int count);

/* rkid of each of `count` sets against the same real images: what its size means is told by those
 * of other sets. NaN for a set of fewer than 2. */
int sample_metrics_rkid(double *rkid, struct image_list real, const struct image_list *sets,
                        int count, int width, int height, bool (*stop_requested)(void));

/* Share of the real images that have a fake nearer than their k-th nearest real one, by plain
 * distance of pixels (Naeem et al. 2020): for the test that training learns. k <= 64. */
int sample_metrics_pixel_coverage(double *coverage, struct image_list real, struct image_list fake,
                                  int width, int height, int k);

#endif
