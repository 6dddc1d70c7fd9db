/* Drawing pixels with probabilities proportional to a weight, without replacement: the sums of the
 * rows first, then the draws of each row by running through it once more. */
#include "base/carve.h"
#include "base/error.h"
#include "base/philox.h"
#include "cpu/splat_cpu.h"
#include "cpu/splat_pass.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

/* One number that falls on a place of the picture's total weight. */
struct draw {
    double mass;   /* 0..total */
    int64_t index; /* which of the draws asked for */
};

struct sampler {
    const struct splat_target *target;
    bool residual;
    enum splat_sampling weight;
    double *row_mass;   /* [height] */
    double *row_start;  /* [height + 1]: mass before the row */
    struct draw *draws; /* sorted by mass */
    int64_t *row_draw;  /* [height + 1]: first draw of the row */
    bool placing;       /* draws are given pixels; else sums are made */
    int64_t *taken;     /* [count]: pixels of earlier rounds, sorted */
    int64_t taken_count;
    int64_t *pixel; /* [count]: of each draw that is done */
    float *xy, *color;
    uint8_t *done;   /* [count] */
    float *rows;     /* [threads][3][width + 2] */
    double *weights; /* [threads][width] */
};

static float target_at(const struct splat_target *t, int y, int x, int c)
{
    y = y < 0 ? 0 : y >= t->height ? t->height - 1 : y;
    x = x < 0 ? 0 : x >= t->width ? t->width - 1 : x;
    return splat_target_sample(t, y, x, c);
}

/* Rows y - 1 .. y + 1 of channel c as floats, each with a column more at both ends. */
static void load_rows(const struct sampler *s, int y, int c, float **rows)
{
    const struct splat_target *t = s->target;
    size_t pitch = (size_t)t->width + 2;
    for (int i = 0; i < 3; i++) {
        int at = y + i - 1 < 0 ? 0 : y + i - 1 >= t->height ? t->height - 1 : y + i - 1;
        float *row = rows[i] = s->rows + ((size_t)omp_get_thread_num() * 3 + (size_t)i) * pitch + 1;
        splat_kernels_get()->load_row(splat_target_row(t, at, c), t->sample_bits, t->width, row);
        row[-1] = row[0];
        row[t->width] = row[t->width - 1];
    }
}

/* Squared Sobel gradient, summed over channels (Image-GS's init). */
static void gradient_weights(const struct sampler *s, int y, double *weights)
{
    for (int c = 0; c < s->target->channels; c++) {
        float *p[3];
        load_rows(s, y, c, p);
        for (int x = 0; x < s->target->width; x++) {
            float gx = (p[0][x + 1] + 2 * p[1][x + 1] + p[2][x + 1]) -
                       (p[0][x - 1] + 2 * p[1][x - 1] + p[2][x - 1]);
            float gy = (p[2][x - 1] + 2 * p[2][x] + p[2][x + 1]) -
                       (p[0][x - 1] + 2 * p[0][x] + p[0][x + 1]);
            weights[x] += (double)(gx * gx + gy * gy);
        }
    }
}

/* (mean over channels of |3x3 binomial blur of the target - render|)^2 */
static void error_weights(const struct sampler *s, int y, const float *const *color,
                          double *weights)
{
    int width = s->target->width, channels = s->target->channels;
    for (int c = 0; c < channels; c++) {
        float *p[3];
        load_rows(s, y, c, p);
        for (int x = 0; x < width; x++) {
            float blurred = 0;
            for (int i = 0; i < 3; i++)
                for (int j = -1; j <= 1; j++)
                    blurred += p[i][x + j] * (float)((2 - (i - 1) * (i - 1)) * (2 - j * j)) *
                               (1.0f / 16.0f);
            weights[x] += (double)fabsf(blurred - color[c][x]);
        }
    }
    for (int x = 0; x < width; x++) {
        weights[x] /= channels;
        weights[x] *= weights[x];
    }
}

/* The weights of a row's pixels: borrowed from the thread's buffer. */
static const double *row_weights(const struct sampler *s, int y, const float *const *color)
{
    int width = s->target->width;
    double *weights = s->weights + (size_t)omp_get_thread_num() * (size_t)width;
    memset(weights, 0, sizeof *weights * (size_t)width);
    if (s->weight == SPLAT_SAMPLE_GRADIENT)
        gradient_weights(s, y, weights);
    else
        error_weights(s, y, color, weights);
    for (int x = 0; x < width; x++)
        if (!isfinite(weights[x])) weights[x] = 0;
    return weights;
}

static int compare_pixels(const void *a, const void *b)
{
    int64_t p = *(const int64_t *)a, q = *(const int64_t *)b;
    return (p > q) - (p < q);
}

static void take(struct sampler *s, int64_t index, int y, int x, const float *const *color)
{
    const struct splat_target *t = s->target;
    s->xy[2 * index] = ((float)x + 0.5f) / (float)t->width;
    s->xy[2 * index + 1] = ((float)y + 0.5f) / (float)t->height;
    for (int c = 0; c < t->channels; c++)
        s->color[index * t->channels + c] =
            target_at(t, y, x, c) - (s->residual ? color[c][x] : 0.0f);
    s->pixel[index] = (int64_t)y * t->width + x;
    s->done[index] = 1;
}

/* The pixels of all draws that are done. */
static void note_taken(struct sampler *s, int64_t count)
{
    s->taken_count = 0;
    for (int64_t i = 0; i < count; i++)
        if (s->done[i]) s->taken[s->taken_count++] = s->pixel[i];
    qsort(s->taken, (size_t)s->taken_count, sizeof *s->taken, compare_pixels);
}

static bool is_taken(const struct sampler *s, int64_t pixel)
{
    return s->taken_count > 0 && bsearch(&pixel, s->taken, (size_t)s->taken_count, sizeof *s->taken,
                                         compare_pixels) != NULL;
}

/* Called for every row: sums its weights, or hands its pixels to the draws that fall on them. */
static void visit_row(void *argument, int y, const float *const *color, const float *const *target)
{
    (void)target;
    struct sampler *s = argument;
    int width = s->target->width;
    double mass = 0;
    int64_t k = s->row_draw[y], end = s->row_draw[y + 1];
    if (s->placing && k == end) return;
    const double *weights = row_weights(s, y, color);
    if (!s->placing) {
        for (int x = 0; x < width; x++)
            mass += weights[x];
        s->row_mass[y] = mass;
        return;
    }
    for (int x = 0; x < width && k < end; x++) {
        mass += weights[x];
        bool first = true;
        for (; k < end && s->draws[k].mass - s->row_start[y] < mass; k++) {
            if (first && !is_taken(s, (int64_t)y * width + x))
                take(s, s->draws[k].index, y, x, color);
            first = false; /* more draws on one pixel are drawn again */
        }
    }
}

static void visit_rows(struct sampler *s, struct splat_scene *scene,
                       const struct splat_blend *blend)
{
    if (scene) {
        struct splat_pass pass = {.scene = scene,
                                  .blend = *blend,
                                  .row = visit_row,
                                  .argument = s,
                                  .last_row = scene->height - 1};
        splat_pass_run(&pass);
        return;
    }
#pragma omp parallel for schedule(static)
    for (int y = 0; y < s->target->height; y++)
        visit_row(s, y, NULL, NULL);
}

static int compare_draws(const void *a, const void *b)
{
    const struct draw *p = a, *q = b;
    if (p->mass != q->mass) return p->mass < q->mass ? -1 : 1;
    return p->index < q->index ? -1 : p->index > q->index;
}

static double draw_unit(uint64_t seed, uint32_t stream, uint64_t step, uint64_t index)
{
    struct philox4 r = philox_draw(seed, stream, step, index);
    return ((double)r.v[0] + (double)(r.v[1] >> 6) * 0x1p-26) * 0x1p-32;
}

/* Gives the draws that are still to be done a place in `total`, sorted; returns how many. */
static int64_t throw_draws(struct sampler *s, int64_t count, double total, uint64_t seed,
                           uint32_t stream, uint64_t step, int round)
{
    int64_t n = 0;
    for (int64_t i = 0; i < count; i++)
        if (!s->done[i])
            s->draws[n++] = (struct draw){
                draw_unit(seed, stream, step, (uint64_t)i + ((uint64_t)round << 40)) * total, i};
    qsort(s->draws, (size_t)n, sizeof *s->draws, compare_draws);
    int64_t k = 0;
    for (int y = 0; y < s->target->height; y++) {
        s->row_draw[y] = k;
        while (k < n && s->draws[k].mass < s->row_start[y + 1])
            k++;
    }
    s->row_draw[s->target->height] = k;
    return n;
}

/* What no round could place (nearly all weight on a few pixels): anywhere. */
static void place_rest(struct sampler *s, int64_t count, uint64_t seed, uint32_t stream,
                       uint64_t step)
{
    const struct splat_target *t = s->target;
    int64_t pixels = (int64_t)t->width * t->height;
    for (int64_t i = 0; i < count; i++) {
        if (s->done[i]) continue;
        double u = draw_unit(seed, stream, step, (uint64_t)i + ((uint64_t)99 << 40));
        int64_t p = (int64_t)(u * (double)pixels);
        int y = (int)(p / t->width), x = (int)(p % t->width);
        bool residual = s->residual;
        s->residual = false; /* the render is not at hand here: start from the target's colour */
        take(s, i, y, x, NULL);
        if (residual) memset(s->color + i * t->channels, 0, sizeof(float) * (size_t)t->channels);
        s->residual = residual;
    }
}

/* Cuts the buffers for `count` draws out of zeroed `memory` (NULL: only counts); returns the bytes.
 */
static size_t lay_out(struct sampler *s, void *memory, int width, int height, int64_t count)
{
    struct carver carver = {.base = memory};
    size_t rows = (size_t)height, n = (size_t)count;
    s->row_mass = carve(&carver, rows * sizeof *s->row_mass);
    s->row_start = carve(&carver, (rows + 1) * sizeof *s->row_start);
    s->row_draw = carve(&carver, (rows + 1) * sizeof *s->row_draw);
    s->draws = carve(&carver, n * sizeof *s->draws);
    s->taken = carve(&carver, n * sizeof *s->taken);
    s->pixel = carve(&carver, n * sizeof *s->pixel);
    s->done = carve(&carver, n);
    size_t threads = (size_t)omp_get_max_threads();
    s->rows = carve(&carver, threads * 3 * ((size_t)width + 2) * sizeof *s->rows);
    s->weights = carve(&carver, threads * (size_t)width * sizeof *s->weights);
    return carver.used;
}

size_t splat_sample_bytes(int width, int height, int64_t count)
{
    struct sampler unused;
    return lay_out(&unused, NULL, width, height, count);
}

/* The draws lie behind the scene in the workspace. */
static int take_workspace(struct sampler *s, const struct splat_workspace *workspace, int64_t count)
{
    const struct splat_target *t = s->target;
    struct splat_scene scene;
    size_t first =
        splat_scene_layout(&scene, NULL, t->width, t->height, t->channels, workspace->capacity);
    size_t bytes = splat_sample_bytes(t->width, t->height, count);
    if (first + bytes > workspace->bytes)
        return fail(ERR_INTERNAL, "splat workspace of %zu bytes, %zu needed for %lld draws",
                    workspace->bytes, first + bytes, (long long)count);
    char *memory = (char *)workspace->memory + first;
    memset(memory, 0, bytes);
    lay_out(s, memory, t->width, t->height, count);
    return OK;
}

int splat_cpu_sample(struct device *device, const struct splat_workspace *workspace,
                     enum splat_sampling weight, bool residual, const struct splat_view *view,
                     const struct splat_blend *blend, const struct splat_target *target,
                     uint64_t seed, uint32_t stream, uint64_t step, int64_t count, float *xy,
                     float *color)
{
    (void)device;
    enum { ROUNDS = 16 };
    struct sampler s = {
        .target = target, .residual = residual, .weight = weight, .xy = xy, .color = color};
    struct splat_scene storage, *scene = view ? &storage : NULL;
    TRY(take_workspace(&s, workspace, count));
    if (scene)
        TRY(splat_scene_prepare(scene, workspace, view, blend, target->width, target->height));
    visit_rows(&s, scene, blend);
    for (int y = 0; y < target->height; y++)
        s.row_start[y + 1] = s.row_start[y] + s.row_mass[y];
    double total = s.row_start[target->height];
    s.placing = true;
    for (int round = 0; round < ROUNDS && total > 0; round++) {
        if (throw_draws(&s, count, total, seed, stream, step, round) == 0) break;
        visit_rows(&s, scene, blend);
        note_taken(&s, count);
    }
    place_rest(&s, count, seed, stream, step);
    return OK;
}
