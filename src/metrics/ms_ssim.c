/* MS-SSIM (Wang et al. 2003): SSIM's contrast and structure at scales of half the size each, and
 * its luminance at the last. Each scale takes the rows of the one above as they come. */
#include "base/error.h"
#include "base/threads.h"
#include "metrics/compare.h"
#include "metrics/image_metrics.h"

#include <math.h>
#include <stdlib.h>

enum { SCALES = METRIC_MS_SSIM_SCALES, HALVED_ROWS = 8 };

struct scale {
    struct ssim_pyramid *pyramid;
    int number;
    struct image shape;
    struct compare_window window; /* the first scale's rows are the caller's */
    struct ssim_sums sums;
};

struct ssim_pyramid {
    struct scale scale[SCALES];
    int scales;
};

/* ---- half the size ---- */

/* Row y of the half-size image, of rows [first, ...) of one with `height` rows: means of 2x2
 * samples, of those that exist at an odd border. */
static void halve_row(float *to, int width, const struct image *in, int first, int height, int y)
{
    size_t channels = (size_t)in->channels, row = (size_t)in->width * channels;
    size_t top = (size_t)(2 * y - first) * row;
    size_t bottom = 2 * y + 1 < height ? top + row : top;
    for (size_t x = 0; x < (size_t)width; x++) {
        size_t left = 2 * x * channels;
        size_t right = 2 * x + 1 < (size_t)in->width ? left + channels : left;
        for (size_t c = 0; c < channels; c++)
            to[x * channels + c] =
                0.25f *
                (image_sample(in, top + left + c) + image_sample(in, top + right + c) +
                 image_sample(in, bottom + left + c) + image_sample(in, bottom + right + c));
    }
}

struct halving {
    struct image *out;
    const struct image *in;
    int first, height; /* of the image that `in` is a part of */
    int from;          /* row of the half-size image that goes to row 0 of `out` */
};

static void ms_ssim_halve_rows(void *context, int64_t from, int64_t to)
{
    const struct halving *h = context;
    size_t row = (size_t)h->out->width * (size_t)h->out->channels;
    for (int y = (int)from; y < (int)to; y++)
        halve_row((float *)h->out->data + (size_t)y * row, h->out->width, h->in, h->first,
                  h->height, h->from + y);
}

static void ms_ssim_halve(struct image *out, const struct image *in, int first, int height,
                          int from)
{
    struct halving halving = {out, in, first, height, from};
    threads_for(out->height, threads_grain(4 * (int64_t)out->width * out->channels),
                ms_ssim_halve_rows, &halving);
}

/* Rows [from, to) of the half-size images go into the next scale's window. */
static int put_halves(struct scale *next, const struct compare_rows *rows, int from, int to)
{
    struct image a = {0}, b = {0};
    int code, width = next->shape.width, channels = next->shape.channels;
    TRY_CLEANUP(image_create(&a, width, HALVED_ROWS, channels, SAMPLE_F32));
    TRY_CLEANUP(image_create(&b, width, HALVED_ROWS, channels, SAMPLE_F32));
    for (int y = from; y < to; y += HALVED_ROWS) {
        a.height = b.height = to - y < HALVED_ROWS ? to - y : HALVED_ROWS;
        ms_ssim_halve(&a, &rows->a, rows->first, rows->height, y);
        ms_ssim_halve(&b, &rows->b, rows->first, rows->height, y);
        TRY_CLEANUP(compare_window_put(&next->window, &a, &b));
    }
cleanup:
    image_free(&a);
    image_free(&b);
    return code;
}

/* ---- the scales ---- */

static int ms_ssim_add(void *argument, const struct compare_rows *rows, int from, int to)
{
    struct scale *scale = argument;
    TRY(ssim_add(&scale->sums, rows, from, to));
    if (scale->number + 1 == scale->pyramid->scales) return OK;
    return put_halves(scale + 1, rows, from / 2, (to + 1) / 2);
}

int ssim_pyramid_open(struct ssim_pyramid **out, const struct image *a, const struct image *b,
                      int scales)
{
    *out = NULL;
    TRY(compare_check(a, b));
    if (scales < 1 || scales > SCALES) return fail(ERR_USAGE, "MS-SSIM of %d scales", scales);
    struct ssim_pyramid *pyramid = calloc(1, sizeof *pyramid);
    if (!pyramid) return fail(ERR_SYSTEM, "out of memory for SSIM");
    struct image shape = *a;
    int code = OK;
    pyramid->scales = scales;
    for (int i = 0; i < scales && code == OK; i++) {
        struct scale *scale = &pyramid->scale[i];
        scale->pyramid = pyramid;
        scale->number = i;
        scale->shape = shape;
        if (i > 0) code = compare_window_open(&scale->window, &shape, &shape, ms_ssim_add, scale);
        shape = (struct image){(shape.width + 1) / 2, (shape.height + 1) / 2, shape.channels,
                               SAMPLE_F32, NULL};
    }
    if (code < 0)
        ssim_pyramid_close(pyramid);
    else
        *out = pyramid;
    return code;
}

int ssim_pyramid_add(struct ssim_pyramid *pyramid, const struct compare_rows *rows, int from,
                     int to)
{
    return ms_ssim_add(&pyramid->scale[0], rows, from, to);
}

void ssim_pyramid_end(struct ssim_pyramid *pyramid, double *ssim, double *ms_ssim)
{
    static const double exponents[SCALES] = {0.0448, 0.2856, 0.3001, 0.2363, 0.1333};
    int scales = pyramid->scales, channels = pyramid->scale[0].shape.channels;
    double sum = scales == SCALES ? 1.0 : 0.0; /* Wang et al.'s own make 1.0001 */
    for (int i = 0; i < scales; i++) {
        ssim_means(&pyramid->scale[i].sums, channels);
        if (scales < SCALES) sum += exponents[i];
    }
    *ssim = ssim_of(&pyramid->scale[0].sums, channels);
    if (!ms_ssim) return;
    *ms_ssim = 0.0;
    for (int channel = 0; channel < channels; channel++) {
        double product = 1.0;
        for (int i = 0; i < scales; i++) {
            const struct ssim_sums *means = &pyramid->scale[i].sums;
            double factor = i == scales - 1 ? means->ssim[channel] : means->contrast[channel];
            product *= factor > 0.0 ? pow(factor, exponents[i] / sum) : 0.0;
        }
        *ms_ssim += product;
    }
    *ms_ssim /= channels;
}

void ssim_pyramid_close(struct ssim_pyramid *pyramid)
{
    for (int i = 0; pyramid && i < pyramid->scales; i++)
        compare_window_close(&pyramid->scale[i].window);
    free(pyramid);
}

/* ---- whole images ---- */

int metric_ms_ssim(const struct image *a, const struct image *b, double *ms_ssim)
{
    TRY(compare_check(a, b));
    if (a->width < METRIC_MS_SSIM_SIDE || a->height < METRIC_MS_SSIM_SIDE)
        return fail(ERR_USAGE, "MS-SSIM needs %d pixels a side, the images have %dx%d",
                    METRIC_MS_SSIM_SIDE, a->width, a->height);
    return metric_ms_ssim_scales(a, b, SCALES, ms_ssim);
}

int metric_ms_ssim_scales(const struct image *a, const struct image *b, int scales, double *ms_ssim)
{
    struct ssim_pyramid *pyramid;
    double ssim;
    TRY(ssim_pyramid_open(&pyramid, a, b, scales));
    struct compare_rows rows = compare_whole(a, b);
    int code = ssim_pyramid_add(pyramid, &rows, 0, a->height);
    if (code == OK) ssim_pyramid_end(pyramid, &ssim, ms_ssim);
    ssim_pyramid_close(pyramid);
    return code;
}
