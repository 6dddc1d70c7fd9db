/* SSIM (Wang et al. 2004) and MS-SSIM (Wang et al. 2003). Tile by tile: rows are filtered along x
 * into a ring of rows, and the ring along y. Channels stay interleaved: the filter steps over them.
 * Tiles are fixed and their sums are added in order, so the result does not depend on the threads.
 *
 * With s = a + b and d = a - b only four filtered planes are needed (s, d, s^2, d^2):
 *   var_a + var_b = (var_s + var_d) / 2,  cov_ab = (var_s - var_d) / 4, and likewise for means. */
#include "base/error.h"
#include "image/compare.h"
#include "image/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    WINDOW = METRIC_SSIM_WINDOW,
    PLANES = 4,
    TILE_SAMPLES = 960,
    TILE_ROWS = 128,
    SCALES = METRIC_MS_SSIM_SCALES
};
static const double SIGMA = 1.5;
static const double C1 = 0.01 * 0.01, C2 = 0.03 * 0.03; /* (K L)^2 with L = 1 */

struct window {
    int taps;
    double weights[WINDOW];
};

/* The pair, its windows and the shape of the map of windows that lie inside. */
struct comparison {
    const struct image *a, *b;
    struct window across, down;
    size_t samples; /* of a row of the map */
    int rows;
};

/* Sums over windows, a channel at a time. */
struct ssim_sums {
    double ssim[IMAGE_MAX_CHANNELS], contrast[IMAGE_MAX_CHANNELS];
};

/* Buffers of one thread. */
struct scratch {
    double *a, *b;        /* a row's samples with the window's margin; then s and d */
    double *ring[WINDOW]; /* [PLANES][TILE_SAMPLES], filtered along x */
    double filtered[PLANES][TILE_SAMPLES];
};

static struct window make_window(int side)
{
    struct window window = {.taps = side < WINDOW ? side : WINDOW};
    double sum = 0.0, centre = (window.taps - 1) / 2.0;
    for (int k = 0; k < window.taps; k++) {
        window.weights[k] = exp(-(k - centre) * (k - centre) / (2.0 * SIGMA * SIGMA));
        sum += window.weights[k];
    }
    for (int k = 0; k < window.taps; k++)
        window.weights[k] /= sum;
    return window;
}

static struct comparison make_comparison(const struct image *a, const struct image *b)
{
    struct comparison c = {.a = a, .b = b};
    c.across = make_window(a->width);
    c.down = make_window(a->height);
    c.samples = (size_t)(a->width - c.across.taps + 1) * (size_t)a->channels;
    c.rows = a->height - c.down.taps + 1;
    return c;
}

static void free_scratch(struct scratch *scratch)
{
    if (!scratch) return;
    free(scratch->a);
    free(scratch->b);
    for (int k = 0; k < WINDOW; k++)
        free(scratch->ring[k]);
    free(scratch);
}

static struct scratch *make_scratch(int channels)
{
    struct scratch *scratch = calloc(1, sizeof *scratch);
    if (!scratch) return NULL;
    size_t samples = TILE_SAMPLES + (size_t)(WINDOW - 1) * (size_t)channels;
    scratch->a = malloc(samples * sizeof(double));
    scratch->b = malloc(samples * sizeof(double));
    bool enough = scratch->a && scratch->b;
    for (int k = 0; k < WINDOW; k++) {
        scratch->ring[k] = malloc(PLANES * TILE_SAMPLES * sizeof(double));
        enough = enough && scratch->ring[k];
    }
    if (enough) return scratch;
    free_scratch(scratch);
    return NULL;
}

/* to[i] = sum over k of weights[k] from[i + k step]. */
static void filter_row(double *restrict to, const double *restrict from, size_t n, size_t step,
                       const struct window *window)
{
    for (size_t i = 0; i < n; i++)
        to[i] = window->weights[0] * from[i];
    for (int k = 1; k < window->taps; k++) {
        double weight = window->weights[k];
        const double *shifted = from + (size_t)k * step;
        for (size_t i = 0; i < n; i++)
            to[i] += weight * shifted[i];
    }
}

/* Row y of the pair, n windows from sample x on: its four planes filtered along x. */
static void filter_across(const struct comparison *c, struct scratch *scratch, double *planes,
                          int y, size_t x, size_t n)
{
    size_t step = (size_t)c->a->channels, row = (size_t)c->a->width * step;
    size_t samples = n + (size_t)(c->across.taps - 1) * step;
    double *s = scratch->a, *d = scratch->b;
    compare_samples(s, c->a, (size_t)y * row + x, samples);
    compare_samples(d, c->b, (size_t)y * row + x, samples);
    for (size_t i = 0; i < samples; i++) {
        double a = s[i] - 0.5, b = d[i] - 0.5; /* centred: squares lose fewer digits */
        s[i] = a + b;
        d[i] = a - b;
    }
    filter_row(planes, s, n, step, &c->across);
    filter_row(planes + TILE_SAMPLES, d, n, step, &c->across);
    for (size_t i = 0; i < samples; i++) {
        s[i] *= s[i];
        d[i] *= d[i];
    }
    filter_row(planes + 2 * TILE_SAMPLES, s, n, step, &c->across);
    filter_row(planes + 3 * TILE_SAMPLES, d, n, step, &c->across);
}

/* The ring's rows y .. y + taps - 1 filtered along y. */
static void filter_down(const struct comparison *c, struct scratch *scratch, int y, size_t n)
{
    for (int plane = 0; plane < PLANES; plane++) {
        double *to = scratch->filtered[plane];
        memset(to, 0, n * sizeof *to);
        for (int k = 0; k < c->down.taps; k++) {
            const double *from = scratch->ring[(y + k) % WINDOW] + plane * TILE_SAMPLES;
            double weight = c->down.weights[k];
            for (size_t i = 0; i < n; i++)
                to[i] += weight * from[i];
        }
    }
}

/* Turns filtered planes into SSIM (into plane 0) and its contrast-structure term (into plane 1). */
static void compute_ssim(struct scratch *scratch, size_t n)
{
    double *s = scratch->filtered[0], *d = scratch->filtered[1];
    const double *ss = scratch->filtered[2], *dd = scratch->filtered[3];
    for (size_t i = 0; i < n; i++) {
        double var_s = ss[i] - s[i] * s[i], var_d = dd[i] - d[i] * d[i];
        double mean_s = s[i] + 1.0, mean_d = d[i]; /* back from the centring */
        double squares = mean_s * mean_s, difference = mean_d * mean_d;
        double luminance =
            (0.5 * (squares - difference) + C1) / (0.5 * (squares + difference) + C1);
        double contrast = (0.5 * (var_s - var_d) + C2) / (0.5 * (var_s + var_d) + C2);
        s[i] = luminance * contrast;
        d[i] = contrast;
    }
}

static void sum_tile(const struct comparison *c, struct scratch *scratch, int y0, size_t x0,
                     struct ssim_sums *sums)
{
    size_t n = c->samples - x0 < TILE_SAMPLES ? c->samples - x0 : TILE_SAMPLES;
    int y1 = c->rows - y0 < TILE_ROWS ? c->rows : y0 + TILE_ROWS;
    int channels = c->a->channels;
    memset(sums, 0, sizeof *sums);
    for (int y = y0; y < y0 + c->down.taps - 1; y++)
        filter_across(c, scratch, scratch->ring[y % WINDOW], y, x0, n);
    for (int y = y0; y < y1; y++) {
        int last = y + c->down.taps - 1;
        filter_across(c, scratch, scratch->ring[last % WINDOW], last, x0, n);
        filter_down(c, scratch, y, n);
        compute_ssim(scratch, n);
        int channel = (int)(x0 % (size_t)channels);
        for (size_t i = 0; i < n; i++) {
            sums->ssim[channel] += scratch->filtered[0][i];
            sums->contrast[channel] += scratch->filtered[1][i];
            channel = channel + 1 == channels ? 0 : channel + 1;
        }
    }
}

/* Means over all windows, a channel at a time. */
static int compute_means(const struct image *a, const struct image *b, struct ssim_sums *means)
{
    struct comparison c = make_comparison(a, b);
    int wide = (int)((c.samples + TILE_SAMPLES - 1) / TILE_SAMPLES);
    int tiles = wide * ((c.rows + TILE_ROWS - 1) / TILE_ROWS);
    struct ssim_sums *sums = malloc((size_t)tiles * sizeof *sums);
    bool enough = sums != NULL;
    if (sums) {
#pragma omp parallel reduction(&& : enough)
        {
            struct scratch *scratch = make_scratch(a->channels);
            enough = scratch != NULL;
#pragma omp for schedule(dynamic)
            for (int t = 0; t < tiles; t++)
                if (scratch)
                    sum_tile(&c, scratch, t / wide * TILE_ROWS, (size_t)(t % wide) * TILE_SAMPLES,
                             &sums[t]);
            free_scratch(scratch);
        }
    }
    memset(means, 0, sizeof *means);
    double windows = (double)(c.samples / (size_t)a->channels) * c.rows;
    for (int channel = 0; enough && channel < a->channels; channel++) {
        for (int t = 0; t < tiles; t++) {
            means->ssim[channel] += sums[t].ssim[channel];
            means->contrast[channel] += sums[t].contrast[channel];
        }
        means->ssim[channel] /= windows;
        means->contrast[channel] /= windows;
    }
    free(sums);
    return enough ? OK : fail(ERR_SYSTEM, "out of memory for SSIM");
}

int metric_ssim(const struct image *a, const struct image *b, double *ssim)
{
    TRY(compare_check(a, b));
    struct ssim_sums means;
    TRY(compute_means(a, b, &means));
    double sum = 0.0;
    for (int channel = 0; channel < a->channels; channel++)
        sum += means.ssim[channel];
    *ssim = sum / a->channels;
    return OK;
}

/* ---- MS-SSIM ---- */

/* A row of the half-size picture: means of 2x2 samples, of those that exist at an odd border. */
static void halve_row(struct image *out, const struct image *in, int y)
{
    size_t channels = (size_t)in->channels, row = (size_t)in->width * channels;
    size_t top = (size_t)(2 * y) * row;
    size_t bottom = 2 * y + 1 < in->height ? top + row : top;
    float *to = (float *)out->data + (size_t)y * (size_t)out->width * channels;
    for (size_t x = 0; x < (size_t)out->width; x++) {
        size_t left = 2 * x * channels;
        size_t right = 2 * x + 1 < (size_t)in->width ? left + channels : left;
        for (size_t c = 0; c < channels; c++)
            to[x * channels + c] =
                0.25f *
                (image_sample(in, top + left + c) + image_sample(in, top + right + c) +
                 image_sample(in, bottom + left + c) + image_sample(in, bottom + right + c));
    }
}

static int halve(struct image *out, const struct image *in)
{
    TRY(image_create(out, (in->width + 1) / 2, (in->height + 1) / 2, in->channels, SAMPLE_F32));
#pragma omp parallel for schedule(static)
    for (int y = 0; y < out->height; y++)
        halve_row(out, in, y);
    return OK;
}

static double positive_power(double v, double exponent)
{
    return v > 0.0 ? pow(v, exponent) : 0.0;
}

/* Multiplies each channel's product by what scale `scale` contributes: contrast and structure, and
 * luminance too at the last. */
static int multiply_scale(const struct image *a, const struct image *b, int scale, int scales,
                          double product[IMAGE_MAX_CHANNELS])
{
    static const double exponents[SCALES] = {0.0448, 0.2856, 0.3001, 0.2363, 0.1333};
    struct ssim_sums means;
    double sum = scales == SCALES ? 1.0 : 0.0; /* Wang et al.'s own make 1.0001 */
    for (int i = 0; i < scales && scales < SCALES; i++)
        sum += exponents[i];
    TRY(compute_means(a, b, &means));
    const double *factor = scale == scales - 1 ? means.ssim : means.contrast;
    for (int channel = 0; channel < a->channels; channel++)
        product[channel] *= positive_power(factor[channel], exponents[scale] / sum);
    return OK;
}

/* Replaces *shrunk (NULL data: nothing yet) by the half of it, or of `original`. */
static int shrink(struct image *shrunk, const struct image *original)
{
    struct image half;
    TRY(halve(&half, shrunk->data ? shrunk : original));
    image_free(shrunk);
    *shrunk = half;
    return OK;
}

int metric_ms_ssim(const struct image *a, const struct image *b, double *ms_ssim)
{
    TRY(compare_check(a, b));
    if (a->width < METRIC_MS_SSIM_SIDE || a->height < METRIC_MS_SSIM_SIDE)
        return fail(ERR_USAGE, "MS-SSIM needs %d pixels a side, the pictures have %dx%d",
                    METRIC_MS_SSIM_SIDE, a->width, a->height);
    return metric_ms_ssim_scales(a, b, SCALES, ms_ssim);
}

int metric_ms_ssim_scales(const struct image *a, const struct image *b, int scales, double *ms_ssim)
{
    TRY(compare_check(a, b));
    if (scales < 1 || scales > SCALES) return fail(ERR_USAGE, "MS-SSIM of %d scales", scales);
    double product[IMAGE_MAX_CHANNELS], sum = 0.0;
    for (int channel = 0; channel < a->channels; channel++)
        product[channel] = 1.0;
    struct image small_a = {0}, small_b = {0};
    int code;
    TRY_CLEANUP(multiply_scale(a, b, 0, scales, product));
    for (int scale = 1; scale < scales; scale++) {
        TRY_CLEANUP(shrink(&small_a, a));
        TRY_CLEANUP(shrink(&small_b, b));
        TRY_CLEANUP(multiply_scale(&small_a, &small_b, scale, scales, product));
    }
    for (int channel = 0; channel < a->channels; channel++)
        sum += product[channel];
    *ms_ssim = sum / a->channels;
cleanup:
    image_free(&small_a);
    image_free(&small_b);
    return code;
}
