/* How alike two images are. Both float [height][width][channels], interleaved, same shape. */
#ifndef IMGTRAIN_METRICS_IMAGE_METRICS_H
#define IMGTRAIN_METRICS_IMAGE_METRICS_H

#include "image/image.h"

/* All functions: a and b must have equal width, height and channels (ERR_USAGE otherwise), any
 * sample type; samples are clamped to 0..1 as a display would. */

/* 10 log10(1 / mean squared error) over all samples; +infinity for equal images. */
int metric_psnr(const struct image *a, const struct image *b, double *psnr);

/* Mean SSIM: Gaussian window 11x11, sigma 1.5, K1 .01, K2 .03, population variances, windows that
 * lie inside the image, mean over pixels and channels (Wang et al. 2004). A side below 11 pixels
 * uses the window cut to it and renormalised. */
int metric_ssim(const struct image *a, const struct image *b, double *ssim);

/* MS-SSIM, 5 scales with Wang et al.'s 2003 exponents, 2x2 mean between scales (of the samples that
 * exist at an odd border). ERR_USAGE below METRIC_MS_SSIM_SIDE pixels a side: the message says so.
 */
enum { METRIC_MS_SSIM_SIDE = 161 };
int metric_ms_ssim(const struct image *a, const struct image *b, double *ms_ssim);

/* For smaller images: the first `scales` of the 5, their exponents divided by their sum. Not to
 * be compared with MS-SSIM of other sizes. */
enum { METRIC_MS_SSIM_SCALES = 5, METRIC_SSIM_WINDOW = 11 };
int metric_ms_ssim_scales(const struct image *a, const struct image *b, int scales,
                          double *ms_ssim);

/* Mean LDR-FLIP (Andersson et al. 2020), 67 pixels per degree, for sRGB images of 1 or 3
 * channels. `map`: NULL, or float [height][width], the error a pixel. */
int metric_flip(const struct image *a, const struct image *b, double *mean, float *map);

/* As BasicSR and papers on restoration measure them: samples are rounded to 8 bits first, grey
 * counts as R = G = B, `border` pixels of each side are left out; psnr and ssim over R, G and B,
 * psnr_y and ssim_y over BT.601's Y = 16 + 65.481 R + 128.553 G + 24.966 B (of 255; not rounded).
 * ERR_USAGE for other channels or where the border leaves nothing. */
struct metric_restoration {
    double psnr, ssim, psnr_y, ssim_y;
};
int metric_restoration(const struct image *a, const struct image *b, int border,
                       struct metric_restoration *scores);

/* All measures for images whose rows come band by band: the numbers are those of the functions
 * above to the last bit, with some hundred rows in memory. Where a measure does not apply its score
 * is NAN: MS-SSIM below METRIC_MS_SSIM_SIDE, FLIP where channels are not grey or RGB. alpha: the
 * last of 2 or 4 channels is one. Colours then count multiplied by it, as they are fitted, so
 * colours that alpha hides are not compared; for FLIP they lie over black. */
struct metric_scores {
    double psnr, ssim, ms_ssim, flip;
    double psnr_y, ssim_y; /* NAN but after metric_scorer_add_luma */
};
struct metric_scorer;
int metric_scorer_open(struct metric_scorer **scorer, const struct image *a, const struct image *b,
                       bool alpha);
/* Before the first rows: psnr_y and ssim_y are wanted too, as metric_restoration has them.
 * ERR_USAGE unless both images are of RGB bytes. */
int metric_scorer_add_luma(struct metric_scorer *scorer);
/* Before the first rows: means go by the weights of the pixels, [height][width] bytes, not all 0,
 * which stay borrowed; SSIM's by those in the middle of windows. MS-SSIM is NAN then. */
void metric_scorer_weigh(struct metric_scorer *scorer, const uint8_t *weights);
/* The next rows of both, as many. */
int metric_scorer_put(struct metric_scorer *scorer, const struct image *a, const struct image *b);
/* Behind the last row. */
void metric_scorer_end(struct metric_scorer *scorer, struct metric_scores *scores);
void metric_scorer_close(struct metric_scorer *scorer); /* accepts NULL */

#endif
