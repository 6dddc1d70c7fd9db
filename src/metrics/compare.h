/* Inside src/image: what the metrics share, and those that sum over rows as they come. Sums go over
 * tiles that lie at the same places whatever rows come together, and are added in one order: the
 * result does not depend on threads or on bands. */
#ifndef IMGTRAIN_METRICS_COMPARE_H
#define IMGTRAIN_METRICS_COMPARE_H

#include "image/image.h"

enum {
    COMPARE_TILE_ROWS = 128,
    COMPARE_MARGIN = 10, /* rows beside those that are compared which a metric looks at, at most */
};

/* ERR_USAGE, with both sizes, unless the images have the same width, height and channels. */
int compare_check(const struct image *a, const struct image *b);

/* `count` samples from index `first` on, as 0..1 and clamped to it (NaN becomes 0). */
void compare_samples(double *to, const struct image *image, size_t first, size_t count);

/* Rows [first, first + a.height) of two images, which have `height` of them. luma: of RGB bytes,
 * compared is BT.601's Y, one channel, unrounded, as a share of 255: in double, as floats cannot
 * hold it (8-bit RGB has Y in steps of 1/255000) and PSNR of nearly equal images would show that.
 */
struct compare_rows {
    struct image a, b;
    int first, height;
    bool luma;
    const uint8_t *weights; /* [height][width] of the whole image; NULL: all pixels count alike */
};
int compare_channels(const struct compare_rows *rows);
/* As compare_samples, of rows->a or rows->b; with luma a sample is a pixel's Y. */
void compare_row_samples(double *to, const struct compare_rows *rows, const struct image *image,
                         size_t first, size_t count);
struct compare_rows compare_whole(const struct image *a, const struct image *b);

/* Rows that come band by band, with those around them: `add` is called for rows [from, to), each
 * once and in order, `from` a multiple of COMPARE_TILE_ROWS, with COMPARE_MARGIN rows more on both
 * sides where the image has them. */
struct compare_window {
    struct compare_rows rows;
    int room, filled, done;
    int (*add)(void *argument, const struct compare_rows *rows, int from, int to);
    void *argument;
};
int compare_window_open(struct compare_window *window, const struct image *a, const struct image *b,
                        int (*add)(void *argument, const struct compare_rows *rows, int from,
                                   int to),
                        void *argument);
int compare_window_put(struct compare_window *window, const struct image *a, const struct image *b);
void compare_window_close(struct compare_window *window); /* accepts a zeroed one */

/* Adds the squared differences of rows [from, to), times the weights. */
int psnr_add(double *squares, const struct compare_rows *rows, int from, int to);
double psnr_of(double squares, const struct image *shape);

/* Sums over windows of SSIM, a channel at a time. add: those that begin in rows [from, to), each
 * times the weight of its middle. means: divides by the sum of these. */
struct ssim_sums {
    double ssim[IMAGE_MAX_CHANNELS], contrast[IMAGE_MAX_CHANNELS], windows[IMAGE_MAX_CHANNELS];
};
int ssim_add(struct ssim_sums *sums, const struct compare_rows *rows, int from, int to);
void ssim_means(struct ssim_sums *sums, int channels);
double ssim_of(const struct ssim_sums *means, int channels);

/* SSIM at `scales` scales, 1 for SSIM alone. end: means; ms_ssim may be NULL. */
struct ssim_pyramid;
int ssim_pyramid_open(struct ssim_pyramid **pyramid, const struct image *a, const struct image *b,
                      int scales);
int ssim_pyramid_add(struct ssim_pyramid *pyramid, const struct compare_rows *rows, int from,
                     int to);
void ssim_pyramid_end(struct ssim_pyramid *pyramid, double *ssim, double *ms_ssim);
void ssim_pyramid_close(struct ssim_pyramid *pyramid); /* accepts NULL */

/* The sum of FLIP's errors over rows [from, to), times the weights. map: NULL, or the whole
 * image's, not weighted. */
struct flip;
int flip_open(struct flip **flip);
int flip_add(struct flip *flip, double *sum, const struct compare_rows *rows, int from, int to,
             float *map);
void flip_close(struct flip *flip); /* accepts NULL */

#endif
