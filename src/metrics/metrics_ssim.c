/* SSIM (Wang et al. 2004). Tile by tile: rows are filtered along x
 * into a ring of rows, and the ring along y. Channels stay interleaved: the filter steps over them.
 * Tiles are fixed and their sums are added in order, so the result does not depend on the threads.
 *
 * With s = a + b and d = a - b only four filtered planes are needed (s, d, s^2, d^2):
 *   var_a + var_b = (var_s + var_d) / 2,  cov_ab = (var_s - var_d) / 4, and likewise for means. */
#include "base/error.h"
#include "base/threads.h"
#include "metrics/compare.h"
#include "metrics/image_metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    WINDOW = METRIC_SSIM_WINDOW,
    PLANES = 4,
    TILE_SAMPLES = 960,
    TILE_ROWS = COMPARE_TILE_ROWS,
};
static const double SIGMA = 1.5;
static const double C1 = 0.01 * 0.01, C2 = 0.03 * 0.03; /* (K L)^2 with L = 1 */

struct window {
    int taps;
    double weights[WINDOW];
};

/* The pair's rows that are there, its windows and the shape of the map of windows that lie inside.
 */
struct comparison {
    const struct compare_rows *pair;
    int channels;
    struct window across, down;
    size_t samples; /* of a row of the map */
    int rows;
};

/* Buffers of one thread. */
struct workspace {
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

/* How many windows lie inside, across and down. */
static size_t ssim_map_width(int width)
{
    return (size_t)(width - make_window(width).taps + 1);
}

static int ssim_map_rows(int height)
{
    return height - make_window(height).taps + 1;
}

static struct comparison make_comparison(const struct compare_rows *rows)
{
    int channels = compare_channels(rows);
    return (struct comparison){.pair = rows,
                               .channels = channels,
                               .across = make_window(rows->a.width),
                               .down = make_window(rows->height),
                               .samples = ssim_map_width(rows->a.width) * (size_t)channels,
                               .rows = ssim_map_rows(rows->height)};
}

static void free_workspace(struct workspace *workspace)
{
    if (!workspace) return;
    free(workspace->a);
    free(workspace->b);
    for (int k = 0; k < WINDOW; k++)
        free(workspace->ring[k]);
    free(workspace);
}

static void free_workspaces(struct workspace **all, int count)
{
    for (int i = 0; all && i < count; i++)
        free_workspace(all[i]);
    free(all);
}

static struct workspace *make_workspace(int channels)
{
    struct workspace *workspace = calloc(1, sizeof *workspace);
    if (!workspace) return NULL;
    size_t samples = TILE_SAMPLES + (size_t)(WINDOW - 1) * (size_t)channels;
    workspace->a = malloc(samples * sizeof(double));
    workspace->b = malloc(samples * sizeof(double));
    bool enough = workspace->a && workspace->b;
    for (int k = 0; k < WINDOW; k++) {
        workspace->ring[k] = malloc(PLANES * TILE_SAMPLES * sizeof(double));
        enough = enough && workspace->ring[k];
    }
    if (enough) return workspace;
    free_workspace(workspace);
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
static void ssim_filter_across(const struct comparison *c, struct workspace *workspace,
                               double *planes, int y, size_t x, size_t n)
{
    const struct compare_rows *pair = c->pair;
    size_t step = (size_t)c->channels, row = (size_t)pair->a.width * step;
    size_t samples = n + (size_t)(c->across.taps - 1) * step;
    double *s = workspace->a, *d = workspace->b;
    size_t first = (size_t)(y - pair->first) * row + x;
    compare_row_samples(s, pair, &pair->a, first, samples);
    compare_row_samples(d, pair, &pair->b, first, samples);
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
static void ssim_filter_down(const struct comparison *c, struct workspace *workspace, int y,
                             size_t n)
{
    for (int plane = 0; plane < PLANES; plane++) {
        double *to = workspace->filtered[plane];
        memset(to, 0, n * sizeof *to);
        for (int k = 0; k < c->down.taps; k++) {
            const double *from = workspace->ring[(y + k) % WINDOW] + plane * TILE_SAMPLES;
            double weight = c->down.weights[k];
            for (size_t i = 0; i < n; i++)
                to[i] += weight * from[i];
        }
    }
}

/* Turns filtered planes into SSIM (into plane 0) and its contrast-structure term (into plane 1). */
static void compute_ssim(struct workspace *workspace, size_t n)
{
    double *s = workspace->filtered[0], *d = workspace->filtered[1];
    const double *ss = workspace->filtered[2], *dd = workspace->filtered[3];
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

/* The weight of the middle of a window, which begins in row y at sample x. */
static double ssim_window_weight(const struct comparison *c, int y, size_t x)
{
    const struct compare_rows *pair = c->pair;
    if (!pair->weights) return 1.0;
    size_t row = (size_t)(y + c->down.taps / 2), width = (size_t)pair->a.width;
    return pair->weights[row * width + x / (size_t)c->channels + (size_t)(c->across.taps / 2)];
}

static void ssim_sum_tile(const struct comparison *c, struct workspace *workspace, int y0,
                          size_t x0, struct ssim_sums *sums)
{
    size_t n = c->samples - x0 < TILE_SAMPLES ? c->samples - x0 : TILE_SAMPLES;
    int y1 = c->rows - y0 < TILE_ROWS ? c->rows : y0 + TILE_ROWS;
    int channels = c->channels;
    memset(sums, 0, sizeof *sums);
    for (int y = y0; y < y0 + c->down.taps - 1; y++)
        ssim_filter_across(c, workspace, workspace->ring[y % WINDOW], y, x0, n);
    for (int y = y0; y < y1; y++) {
        int last = y + c->down.taps - 1;
        ssim_filter_across(c, workspace, workspace->ring[last % WINDOW], last, x0, n);
        ssim_filter_down(c, workspace, y, n);
        compute_ssim(workspace, n);
        int channel = (int)(x0 % (size_t)channels);
        for (size_t i = 0; i < n; i++) {
            double weight = ssim_window_weight(c, y, x0 + i);
            sums->ssim[channel] += weight * workspace->filtered[0][i];
            sums->contrast[channel] += weight * workspace->filtered[1][i];
            sums->windows[channel] += weight;
            channel = channel + 1 == channels ? 0 : channel + 1;
        }
    }
}

struct ssim_work {
    const struct comparison *comparison;
    struct workspace **workspace; /* of each thread */
    struct ssim_sums *sums;       /* of each tile */
    int from, wide;               /* first row; tiles in a row of them */
};

static void ssim_sum_tiles(void *context, int64_t from, int64_t to)
{
    const struct ssim_work *work = context;
    for (int t = (int)from; t < (int)to; t++)
        ssim_sum_tile(work->comparison, work->workspace[threads_self()],
                      work->from + t / work->wide * TILE_ROWS,
                      (size_t)(t % work->wide) * TILE_SAMPLES, &work->sums[t]);
}

/* A workspace for each thread; NULL without memory. */
static struct workspace **make_workspaces(int threads, int channels)
{
    struct workspace **all = calloc((size_t)threads + 1, sizeof *all);
    for (int i = 0; all && i < threads; i++) {
        all[i] = make_workspace(channels);
        if (all[i]) continue;
        free_workspaces(all, i);
        return NULL;
    }
    return all;
}

int ssim_add(struct ssim_sums *sums, const struct compare_rows *rows, int from, int to)
{
    struct comparison c = make_comparison(rows);
    int wide = (int)((c.samples + TILE_SAMPLES - 1) / TILE_SAMPLES);
    if (to > c.rows) to = c.rows;
    int tiles = from < to ? wide * ((to - from + TILE_ROWS - 1) / TILE_ROWS) : 0;
    int threads = threads_count();
    if (tiles < threads) threads = tiles;
    struct ssim_sums *each = malloc((size_t)(tiles + 1) * sizeof *each);
    struct workspace **workspace = make_workspaces(threads, c.channels);
    bool enough = each && workspace;
    struct ssim_work work = {&c, workspace, each, from, wide};
    if (enough) threads_for(tiles, 1, ssim_sum_tiles, &work);
    for (int t = 0; enough && t < tiles; t++)
        for (int channel = 0; channel < c.channels; channel++) {
            sums->ssim[channel] += each[t].ssim[channel];
            sums->contrast[channel] += each[t].contrast[channel];
            sums->windows[channel] += each[t].windows[channel];
        }
    free(each);
    free_workspaces(workspace, threads);
    return enough ? OK : fail(ERR_SYSTEM, "out of memory for SSIM");
}

void ssim_means(struct ssim_sums *sums, int channels)
{
    for (int channel = 0; channel < channels; channel++) {
        sums->ssim[channel] /= sums->windows[channel];
        sums->contrast[channel] /= sums->windows[channel];
    }
}

double ssim_of(const struct ssim_sums *means, int channels)
{
    double sum = 0.0;
    for (int channel = 0; channel < channels; channel++)
        sum += means->ssim[channel];
    return sum / channels;
}

int metric_ssim(const struct image *a, const struct image *b, double *ssim)
{
    TRY(compare_check(a, b));
    struct compare_rows rows = compare_whole(a, b);
    struct ssim_sums sums = {0};
    TRY(ssim_add(&sums, &rows, 0, a->height));
    ssim_means(&sums, a->channels);
    *ssim = ssim_of(&sums, a->channels);
    return OK;
}
