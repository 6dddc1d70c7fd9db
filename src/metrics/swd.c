/* Sliced Wasserstein distance (Karras et al. 2018, "Progressive Growing of GANs", section 5): 7x7
 * patches at random places of each level of a Laplacian pyramid (Burt and Adelson 1983), in 4 x 128
 * random directions. Unlike there both sets are normalised by the mean and the spread of the real
 * patches, so that a set of other colour or contrast is seen as such. */
#include "base/error.h"
#include "base/random.h"
#include "base/threads.h"
#include "device/nn_ops.h"
#include "math/resampling.h"
#include "metrics/sample_metrics_internal.h"
#include "nn/net_init.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    PATCH = 7,
    PATCHES = 128,        /* of an image and level ... */
    PATCHES_MOST = 16384, /* ... but no more in all */
    LEVEL_SIDE = 16,      /* the coarsest level's shorter side, at least */
    LEVELS_MOST = 8,
    DIRECTIONS = 128,
    REPEATS = 4,
};

/* Steps of STREAM_GAN_METRICS, behind those of the features. */
enum { STEP_PLACES = 1000, STEP_DIRECTIONS = 2000 };

struct level {
    int w, h;
};

struct slicer {
    const struct nn_ops *ops;
    struct level levels[LEVELS_MOST];
    int level_count;
    int side_x, side_y, dims; /* of a patch */
    int images, each, total;  /* of a set; patches an image; patches of a set */
    uint64_t seed;
    struct metrics_rows patches[2][LEVELS_MOST]; /* real, fake */
    struct metrics_rows directions;
    float *slices[2]; /* [total][DIRECTIONS] */
    void *workspace;
};

/* ---- the pyramid ---- */

/* The binomial filter 1 4 6 4 1 along one axis of `count` lines, mirrored at the ends; out[i] =
 * sum of in[2 i + k] / 16. Lines' samples are `step` apart, lines `line` apart. */
static const float binomial[5] = {1 / 16.0f, 4 / 16.0f, 6 / 16.0f, 4 / 16.0f, 1 / 16.0f};

/* Every second sample of the filtered image: [h][w][3] -> [(h+1)/2][(w+1)/2][3]. */
static void swd_reduce(float *out, const float *in, int h, int w, float *workspace)
{
    int h2 = (h + 1) / 2, w2 = (w + 1) / 2;
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w2; x++)
            for (int c = 0; c < 3; c++) {
                float sum = 0;
                for (int k = 0; k < 5; k++)
                    sum +=
                        binomial[k] * in[(y * w + resampling_reflected(2 * x + k - 2, w)) * 3 + c];
                workspace[(y * w2 + x) * 3 + c] = sum;
            }
    for (int y = 0; y < h2; y++)
        for (int i = 0; i < w2 * 3; i++) {
            float sum = 0;
            for (int k = 0; k < 5; k++)
                sum += binomial[k] * workspace[resampling_reflected(2 * y + k - 2, h) * w2 * 3 + i];
            out[y * w2 * 3 + i] = sum;
        }
}

/* Takes the enlarged half-size image away: zeros between its samples, filtered, times 4. */
static void take_away(float *out, const float *small, int h, int w, float *workspace)
{
    int h2 = (h + 1) / 2, w2 = (w + 1) / 2;
    for (int y = 0; y < h2; y++)
        for (int x = 0; x < w; x++)
            for (int c = 0; c < 3; c++) {
                float sum = 0;
                for (int k = 0; k < 5; k++) {
                    int from = resampling_reflected(x + k - 2, w);
                    if (from % 2 == 0) sum += binomial[k] * small[(y * w2 + from / 2) * 3 + c];
                }
                workspace[(y * w + x) * 3 + c] = 2 * sum;
            }
    for (int y = 0; y < h; y++)
        for (int i = 0; i < w * 3; i++) {
            float sum = 0;
            for (int k = 0; k < 5; k++) {
                int from = resampling_reflected(y + k - 2, h);
                if (from % 2 == 0) sum += binomial[k] * workspace[from / 2 * w * 3 + i];
            }
            out[y * w * 3 + i] -= 2 * sum;
        }
}

/* ---- patches ---- */

/* The patches of one image's level into their rows. */
static void cut_patches(struct slicer *s, int set, int level, int image, const float *pixels)
{
    int w = s->levels[level].w, h = s->levels[level].h;
    struct metrics_rows *rows = &s->patches[set][level];
    for (int i = 0; i < s->each; i++) {
        int number = image * s->each + i;
        struct philox4 draw =
            philox_draw(s->seed, STREAM_GAN_METRICS, (uint64_t)(STEP_PLACES + 2 * level + set),
                        (uint64_t)number);
        int x0 = (int)(draw.v[0] % (uint32_t)(w - s->side_x + 1));
        int y0 = (int)(draw.v[1] % (uint32_t)(h - s->side_y + 1));
        float *row = rows->data + (size_t)number * (size_t)s->dims;
        for (int y = 0; y < s->side_y; y++, row += s->side_x * 3)
            memcpy(row, pixels + ((y0 + y) * w + x0) * 3, (size_t)s->side_x * 3 * sizeof *row);
    }
}

/* pyramid: room for all levels one after the other and as much again for a workspace. */
static void cut_image(struct slicer *s, int set, int image, const uint8_t *pixels, float *pyramid,
                      size_t room)
{
    float *at = pyramid, *workspace = pyramid + room;
    size_t samples = (size_t)s->levels[0].w * (size_t)s->levels[0].h * 3;
    for (size_t i = 0; i < samples; i++)
        at[i] = (float)pixels[i];
    for (int i = 0; i < s->level_count; i++) {
        int w = s->levels[i].w, h = s->levels[i].h;
        float *next = at + (size_t)w * (size_t)h * 3;
        if (i + 1 < s->level_count) {
            swd_reduce(next, at, h, w, workspace);
            take_away(at, next, h, w, workspace);
        }
        cut_patches(s, set, i, image, at);
        at = next;
    }
}

struct cutting {
    struct slicer *slicer;
    int set;
    struct image_list images;
    size_t room;
    float *pyramids; /* of each thread */
};

static void cut_images(void *context, int64_t from, int64_t to)
{
    const struct cutting *c = context;
    struct slicer *s = c->slicer;
    for (int i = (int)from; i < (int)to; i++)
        cut_image(s, c->set, i, c->images.pixels[metrics_spread(i, s->images, c->images.n)],
                  c->pyramids + (size_t)threads_self() * 2 * c->room, c->room);
}

static int cut_set(struct slicer *s, int set, struct image_list images)
{
    size_t room = 0;
    for (int i = 0; i < s->level_count; i++)
        room += (size_t)s->levels[i].w * (size_t)s->levels[i].h * 3;
    struct cutting cutting = {s, set, images, room, NULL};
    cutting.pyramids = malloc((size_t)threads_count() * 2 * room * sizeof *cutting.pyramids);
    if (!cutting.pyramids) return fail(ERR_SYSTEM, "out of memory for the metrics");
    threads_for(s->images, threads_grain(16 * (int64_t)room), cut_images, &cutting);
    free(cutting.pyramids);
    return OK;
}

/* Each channel of both sets by the real patches' mean and standard deviation. */
static void swd_normalise(struct slicer *s, int level)
{
    int per_channel = s->dims / 3;
    for (int c = 0; c < 3; c++) {
        const struct metrics_rows *real = &s->patches[0][level];
        double count = (double)real->n * per_channel, sum = 0, squares = 0;
        size_t samples = (size_t)real->n * (size_t)s->dims;
        for (size_t i = (size_t)c; i < samples; i += 3)
            sum += (double)real->data[i];
        double mean = sum / count;
        for (size_t i = (size_t)c; i < samples; i += 3)
            squares += ((double)real->data[i] - mean) * ((double)real->data[i] - mean);
        float shift = (float)mean, factor = squares > 0 ? (float)sqrt(count / squares) : 1.0f;
        for (int set = 0; set < 2; set++)
            for (size_t i = (size_t)c; i < samples; i += 3)
                s->patches[set][level].data[i] = (s->patches[set][level].data[i] - shift) * factor;
    }
}

/* ---- slices ---- */

/* Unit vectors. */
static void draw_directions(struct slicer *s, int level, int repeat)
{
    size_t dims = (size_t)s->dims;
    net_normal(s->directions.data, DIRECTIONS * dims, s->seed, STREAM_GAN_METRICS,
               (uint64_t)(STEP_DIRECTIONS + level * REPEATS + repeat), 0);
    for (size_t d = 0; d < DIRECTIONS; d++) {
        float *row = s->directions.data + d * dims;
        double squares = 0;
        for (size_t i = 0; i < dims; i++)
            squares += (double)row[i] * (double)row[i];
        float factor = (float)(1 / sqrt(squares));
        for (size_t i = 0; i < dims; i++)
            row[i] *= factor;
    }
}

/* Unsigned numbers in the order of the floats: the sign bit flipped, negative ones reversed. */
static uint32_t to_sortable(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

static double from_sortable(uint32_t bits)
{
    float x;
    bits = bits & 0x80000000u ? bits & 0x7FFFFFFFu : ~bits;
    memcpy(&x, &bits, sizeof x);
    return (double)x;
}

/* Radix sort of 11, 11 and 10 bits; the result lies in `other`. */
static void swd_sort(uint32_t *keys, uint32_t *other, int n)
{
    for (int pass = 0; pass < 3; pass++) {
        uint32_t starts[2048] = {0}, sum = 0;
        for (int i = 0; i < n; i++)
            starts[keys[i] >> (11 * pass) & 2047]++;
        for (int b = 0; b < 2048; b++) {
            uint32_t count = starts[b];
            starts[b] = sum;
            sum += count;
        }
        for (int i = 0; i < n; i++)
            other[starts[keys[i] >> (11 * pass) & 2047]++] = keys[i];
        uint32_t *swapped = keys;
        keys = other;
        other = swapped;
    }
}

/* Mean distance of the two sets in one direction: of points of equal rank. room: 3 x total. */
static double slice_distance(const struct slicer *s, int direction, uint32_t *room)
{
    uint32_t *sorted[2] = {room, room + s->total}, *keys = room + 2 * s->total;
    for (int set = 0; set < 2; set++) {
        for (int i = 0; i < s->total; i++)
            keys[i] = to_sortable(s->slices[set][(size_t)i * DIRECTIONS + (size_t)direction]);
        swd_sort(keys, sorted[set], s->total);
    }
    double sum = 0;
    for (int i = 0; i < s->total; i++)
        sum += fabs(from_sortable(sorted[0][i]) - from_sortable(sorted[1][i]));
    return sum / s->total;
}

struct slicing {
    const struct slicer *slicer;
    double *distances;
    uint32_t *room; /* 3 x total for each thread */
};

static void measure_directions(void *context, int64_t from, int64_t to)
{
    const struct slicing *s = context;
    uint32_t *room = s->room + (size_t)threads_self() * 3 * (size_t)s->slicer->total;
    for (int d = (int)from; d < (int)to; d++)
        s->distances[d] = slice_distance(s->slicer, d, room);
}

static int measure_slices(const struct slicer *s, double distances[DIRECTIONS])
{
    struct slicing slicing = {s, distances, NULL};
    slicing.room = malloc((size_t)threads_count() * 3 * (size_t)s->total * sizeof *slicing.room);
    if (!slicing.room) return fail(ERR_SYSTEM, "out of memory for the metrics");
    threads_for(DIRECTIONS, 1, measure_directions, &slicing);
    free(slicing.room);
    return OK;
}

static struct nn_conv swd_projection(const struct slicer *s)
{
    return (struct nn_conv){.n = 1,
                            .h = s->total,
                            .w = 1,
                            .cin = s->dims,
                            .cout = DIRECTIONS,
                            .kernel = 1,
                            .groups = 1,
                            .chunk = 1};
}

static int measure_level(struct slicer *s, int level, double *mean)
{
    static const struct nn_epilogue plain = {.slope = 1};
    struct nn_conv shape = swd_projection(s);
    double sum = 0, distances[DIRECTIONS];
    swd_normalise(s, level);
    for (int repeat = 0; repeat < REPEATS; repeat++) {
        draw_directions(s, level, repeat);
        for (int set = 0; set < 2; set++)
            TRY(s->ops->conv_forward(NULL, &shape, s->slices[set], s->patches[set][level].data,
                                     s->directions.data, &plain, s->workspace));
        TRY(measure_slices(s, distances));
        for (int d = 0; d < DIRECTIONS; d++)
            sum += distances[d];
    }
    *mean = sum / (REPEATS * DIRECTIONS);
    return OK;
}

/* ---- all of it ---- */

static void plan_levels(struct slicer *s, int width, int height)
{
    int w = width, h = height;
    for (;; w = (w + 1) / 2, h = (h + 1) / 2) {
        s->levels[s->level_count++] = (struct level){w, h};
        int side = w < h ? w : h;
        if ((side + 1) / 2 < LEVEL_SIDE || s->level_count == LEVELS_MOST) break;
    }
    s->side_x = w < PATCH ? w : PATCH;
    s->side_y = h < PATCH ? h : PATCH;
    s->dims = s->side_x * s->side_y * 3;
}

static int swd_allocate(struct slicer *s)
{
    for (int set = 0; set < 2; set++) {
        for (int i = 0; i < s->level_count; i++)
            TRY(metrics_rows_create(&s->patches[set][i], s->total, s->dims));
        s->slices[set] = aligned_alloc(64, (size_t)s->total * DIRECTIONS * sizeof(float));
    }
    TRY(metrics_rows_create(&s->directions, DIRECTIONS, s->dims));
    struct nn_conv shape = swd_projection(s);
    s->workspace = aligned_alloc(64, (s->ops->conv_workspace(NULL, &shape) + 127) / 64 * 64);
    if (s->slices[0] && s->slices[1] && s->workspace) return OK;
    return fail(ERR_SYSTEM, "out of memory for the metrics");
}

static void slicer_close(struct slicer *s)
{
    for (int set = 0; set < 2; set++) {
        for (int i = 0; i < s->level_count; i++)
            metrics_rows_free(&s->patches[set][i]);
        free(s->slices[set]);
    }
    metrics_rows_free(&s->directions);
    free(s->workspace);
}

int metrics_swd(double *swd, struct image_list real, struct image_list fake, int width, int height,
                uint64_t seed, bool (*stop_requested)(void))
{
    struct slicer s = {.ops = nn_ops_cpu(), .seed = seed};
    double sum = 0;
    int code;
    *swd = (double)NAN;
    if (real.n < 1 || fake.n < 1) return OK;
    plan_levels(&s, width, height);
    s.images = real.n < fake.n ? real.n : fake.n;
    if (s.images > PATCHES_MOST) s.images = PATCHES_MOST;
    s.each = PATCHES_MOST / s.images < PATCHES ? PATCHES_MOST / s.images : PATCHES;
    s.total = s.images * s.each;
    TRY_CLEANUP(swd_allocate(&s));
    TRY_CLEANUP(cut_set(&s, 0, real));
    TRY_CLEANUP(cut_set(&s, 1, fake));
    for (int i = 0; i < s.level_count; i++) {
        double mean = 0;
        TRY_CLEANUP(metrics_poll(stop_requested));
        TRY_CLEANUP(measure_level(&s, i, &mean));
        sum += mean;
    }
    *swd = 1000 * sum / s.level_count;
cleanup:
    slicer_close(&s);
    return code;
}
