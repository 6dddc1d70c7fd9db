#include "metrics/sample_metrics.h"

#include "base/error.h"
#include "base/random.h"
#include "base/threads.h"
#include "image/image.h"
#include "metrics/image_metrics.h"
#include "metrics/sample_metrics_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NEIGHBOUR = 5, PAIRS_MOST = 256, PAIRS_LEAST = 32, PAIR_PIXELS = 1 << 22 };
enum { STEP_PAIRS = 3000 }; /* of STREAM_GAN_METRICS */

/* ---- pairs of samples ---- */

/* As many scales as leave the window its place. */
static int scales_for(int width, int height)
{
    int side = width < height ? width : height, scales = 1;
    for (; scales < METRIC_MS_SSIM_SCALES && (side + 1) / 2 >= METRIC_SSIM_WINDOW; scales++)
        side = (side + 1) / 2;
    return scales;
}

static int compare_pair(struct image_list fake, int width, int height, uint64_t seed, int pair,
                        double *likeness)
{
    struct philox4 draw = philox_draw(seed, STREAM_GAN_METRICS, STEP_PAIRS, (uint64_t)pair);
    uint32_t n = (uint32_t)fake.n, first = draw.v[0] % n, second = draw.v[1] % (n - 1);
    second += second >= first;
    /* image_load's own images are not changed either */
    struct image a = {width, height, 3, SAMPLE_U8, (void *)(uintptr_t)fake.pixels[first]};
    struct image b = {width, height, 3, SAMPLE_U8, (void *)(uintptr_t)fake.pixels[second]};
    return metric_ms_ssim_scales(&a, &b, scales_for(width, height), likeness);
}

struct pair_work {
    struct image_list fake;
    int width, height;
    uint64_t seed;
    double *likeness; /* of each pair */
    int failed;
};

static void compare_pairs(void *context, int64_t from, int64_t to)
{
    struct pair_work *w = context;
    for (int i = (int)from; i < (int)to; i++)
        if (compare_pair(w->fake, w->width, w->height, w->seed, i, &w->likeness[i]) < 0)
            __atomic_fetch_add(&w->failed, 1, __ATOMIC_RELAXED);
}

static int sample_metrics_compare_samples(double *mean, struct image_list fake, int width,
                                          int height, uint64_t seed)
{
    double likeness[PAIRS_MOST], sum = 0;
    int pairs = PAIR_PIXELS / (width * height);
    pairs = pairs > PAIRS_MOST ? PAIRS_MOST : pairs < PAIRS_LEAST ? PAIRS_LEAST : pairs;
    *mean = (double)NAN;
    if (fake.n < 2) return OK;
    struct pair_work work = {fake, width, height, seed, likeness, 0};
    threads_for(pairs, 1, compare_pairs, &work);
    if (work.failed) return fail(ERR_SYSTEM, "out of memory for the metrics");
    for (int i = 0; i < pairs; i++)
        sum += likeness[i];
    *mean = sum / pairs;
    return OK;
}

/* ---- features ---- */

struct features {
    struct metrics_rows real, held, fake;
    struct metrics_blocks blocks;
    struct metrics_scaling scaling;
};

static void free_features(struct features *f)
{
    metrics_rows_free(&f->real);
    metrics_rows_free(&f->held);
    metrics_rows_free(&f->fake);
    free(f->scaling.shift);
}

static int make_features(struct features *f, struct image_list real, struct image_list held,
                         struct image_list fake, int width, int height,
                         bool (*stop_requested)(void))
{
    struct metrics_blocks *blocks = &f->blocks;
    TRY(metrics_features(&f->real, blocks, real, width, height, stop_requested));
    TRY(metrics_features(&f->held, blocks, held, width, height, stop_requested));
    TRY(metrics_features(&f->fake, blocks, fake, width, height, stop_requested));
    TRY(metrics_scaling_of(&f->scaling, &f->real, blocks));
    metrics_scale(&f->real, &f->scaling, blocks);
    metrics_scale(&f->held, &f->scaling, blocks);
    metrics_scale(&f->fake, &f->scaling, blocks);
    return OK;
}

/* Compares sets of equal size, as of more images some are nearer by chance. */
static int compare_neighbours(double *ratio, const struct features *f, bool (*stop_requested)(void))
{
    struct metrics_rows some = {0};
    double to_training, to_held;
    int n = f->real.n < f->held.n ? f->real.n : f->held.n;
    size_t row = (size_t)f->real.dims * sizeof(float);
    *ratio = (double)NAN;
    if (n < 1) return OK;
    TRY(metrics_rows_create(&some, n, f->real.dims));
    for (int i = 0; i < n; i++)
        memcpy((char *)some.data + (size_t)i * row,
               (const char *)f->real.data + (size_t)metrics_spread(i, n, f->real.n) * row, row);
    struct metrics_rows held = {n, f->held.dims, f->held.data};
    int code = metrics_nearest(&to_training, &f->fake, &some, stop_requested);
    if (code == OK) code = metrics_nearest(&to_held, &f->fake, &held, stop_requested);
    if (code == OK) *ratio = to_training / to_held;
    metrics_rows_free(&some);
    return code;
}

static int compare_features(struct sample_metrics *metrics, const struct features *f,
                            bool (*stop_requested)(void))
{
    struct metrics_sets sets;
    TRY(metrics_compare(&sets, &f->real, &f->fake, NEIGHBOUR, stop_requested));
    metrics->rkid = sets.kid;
    metrics->precision = sets.precision;
    metrics->recall = sets.recall;
    metrics->density = sets.density;
    metrics->coverage = sets.coverage;
    return compare_neighbours(&metrics->nn_ratio, f, stop_requested);
}

/* ---- all of them ---- */

int sample_metrics_measure(struct sample_metrics *metrics, struct image_list real,
                           struct image_list held, struct image_list fake, int width, int height,
                           uint64_t seed, bool (*stop_requested)(void))
{
    struct features features = {0};
    int code;
    TRY_CLEANUP(make_features(&features, real, held, fake, width, height, stop_requested));
    TRY_CLEANUP(compare_features(metrics, &features, stop_requested));
    TRY_CLEANUP(metrics_swd(&metrics->swd, real, fake, width, height, seed, stop_requested));
    TRY_CLEANUP(sample_metrics_compare_samples(&metrics->ms_ssim, fake, width, height, seed));
cleanup:
    free_features(&features);
    return code;
}

void sample_metrics_leave_out(struct sample_metrics *metrics, int count)
{
    if (count >= SAMPLE_METRICS_LEAST) return;
    metrics->rkid = metrics->precision = metrics->recall = metrics->density = metrics->coverage =
        (double)NAN;
}

int sample_metrics_rkid(double *rkid, struct image_list real, const struct image_list *sets,
                        int count, int width, int height, bool (*stop_requested)(void))
{
    struct features f = {0};
    struct metrics_sets found;
    int code;
    TRY_CLEANUP(metrics_features(&f.real, &f.blocks, real, width, height, stop_requested));
    TRY_CLEANUP(metrics_scaling_of(&f.scaling, &f.real, &f.blocks));
    metrics_scale(&f.real, &f.scaling, &f.blocks);
    for (int i = 0; i < count; i++) {
        metrics_rows_free(&f.fake);
        TRY_CLEANUP(metrics_features(&f.fake, &f.blocks, sets[i], width, height, stop_requested));
        metrics_scale(&f.fake, &f.scaling, &f.blocks);
        TRY_CLEANUP(metrics_compare(&found, &f.real, &f.fake, NEIGHBOUR, stop_requested));
        rkid[i] = found.kid;
    }
cleanup:
    free_features(&f);
    return code;
}

int sample_metrics_pixel_coverage(double *coverage, struct image_list real, struct image_list fake,
                                  int width, int height, int k)
{
    struct metrics_rows a = {0}, b = {0};
    struct metrics_sets sets = {.coverage = (double)NAN};
    int code;
    TRY_CLEANUP(metrics_pixels(&a, real, width, height));
    TRY_CLEANUP(metrics_pixels(&b, fake, width, height));
    TRY_CLEANUP(metrics_compare(&sets, &a, &b, k, NULL));
    *coverage = sets.coverage;
cleanup:
    metrics_rows_free(&a);
    metrics_rows_free(&b);
    return code;
}
