/* Drawing pixels by weight: rows over threads, each running through its pixels. */
#include "base/arena.h"
#include "base/error.h"
#include "base/threads.h"
#include "cpu/splat/splat_cpu.h"
#include "cpu/splat/splat_pass.h"
#include "device/device.h"
#include "device/splat_draws.h"

#include <string.h>

struct sampler {
    const struct splat_target *target;
    struct splat_scene *scene; /* NULL: nothing is rendered */
    const struct splat_blend *blend;
    bool residual;
    enum splat_sampling weight;
    struct splat_draws *draws;
    bool placing; /* draws are given pixels; else sums are made */
    float *xy, *color;
    float *rows;     /* [threads][3][width + 2] */
    double *weights; /* [threads][width] */
    bool (*stop_requested)(void);
};

/* Rows y - 1 .. y + 1 of channel c as floats, each with a column more at both ends. */
static void load_rows(const struct sampler *s, int y, int c, float **rows)
{
    const struct splat_target *t = s->target;
    size_t pitch = (size_t)t->width + 2;
    for (int i = 0; i < 3; i++) {
        int at = y + i - 1 < 0 ? 0 : y + i - 1 >= t->height ? t->height - 1 : y + i - 1;
        float *row = rows[i] = s->rows + ((size_t)threads_self() * 3 + (size_t)i) * pitch + 1;
        splat_kernels_get()->load_row(splat_target_row(t, at, c), t->sample_bits, t->width, row);
        row[-1] = row[0];
        row[t->width] = row[t->width - 1];
    }
}

/* The weights of a row's pixels: borrowed from the thread's buffer. */
static const double *row_weights(const struct sampler *s, int y, const float *const *color)
{
    int width = s->target->width, channels = s->target->channels;
    double *weights = s->weights + (size_t)threads_self() * (size_t)width;
    memset(weights, 0, sizeof *weights * (size_t)width);
    for (int c = 0; c < channels; c++) {
        float *p[3];
        load_rows(s, y, c, p);
        if (s->weight == SPLAT_SAMPLE_GRADIENT)
            for (int x = 0; x < width; x++)
                weights[x] += splat_sobel_square(p[0] + x, p[1] + x, p[2] + x);
        else
            for (int x = 0; x < width; x++)
                weights[x] += splat_blurred_error(p[0] + x, p[1] + x, p[2] + x, color[c][x]);
    }
    for (int x = 0; x < width; x++) {
        double weight = splat_draw_weight(s->weight, weights[x], channels);
        weights[x] =
            s->target->weights ? weight * (double)splat_target_weight(s->target, y, x) : weight;
    }
    return weights;
}

/* Pixel (y, x) goes to draw `index`; color NULL: nothing was rendered here. */
static void splat_sample_take(struct sampler *s, int64_t index, int y, int x,
                              const float *const *color)
{
    const struct splat_target *t = s->target;
    s->xy[2 * index] = ((float)x + 0.5f) / (float)t->width;
    s->xy[2 * index + 1] = ((float)y + 0.5f) / (float)t->height;
    for (int c = 0; c < t->channels; c++) {
        float wanted = splat_target_sample(t, y, x, c);
        if (s->residual) wanted = color ? wanted - color[c][x] : 0.0f;
        s->color[index * t->channels + c] = wanted;
    }
    s->draws->pixel[index] = (int64_t)y * t->width + x;
}

/* Called for every row: sums its weights, or hands its pixels to the draws that fall on them. */
static void visit_row(void *argument, int y, const float *const *color)
{
    struct sampler *s = argument;
    const struct splat_draws *d = s->draws;
    int width = s->target->width;
    const double *weights = row_weights(s, y, color);
    double mass = 0;
    if (!s->placing) {
        for (int x = 0; x < width; x++)
            mass += weights[x];
        d->row_mass[y] = mass;
        return;
    }
    int64_t k = d->row_draw[y], end = d->row_draw[y + 1];
    for (int x = 0; x < width && k < end; x++) {
        mass += weights[x];
        bool first = true;
        for (; k < end && d->draws[k].mass - d->row_start[y] < mass; k++) {
            int64_t pixel = (int64_t)y * width + x;
            if (first && !splat_pixel_taken(d->taken, d->taken_count, pixel))
                splat_sample_take(s, d->draws[k].index, y, x, color);
            first = false; /* more draws on one pixel are drawn again */
        }
    }
}

static void visit_range(void *context, int64_t from, int64_t to)
{
    for (int y = (int)from; y < (int)to; y++)
        visit_row(context, y, NULL);
}

static int splat_sample_visit_rows(struct sampler *s)
{
    if (s->scene) {
        struct splat_pass pass = {.scene = s->scene,
                                  .blend = *s->blend,
                                  .row = visit_row,
                                  .argument = s,
                                  .last_row = s->scene->height - 1,
                                  .stop_requested = s->stop_requested};
        return splat_pass_run(&pass);
    }
    threads_for(s->target->height, 1, visit_range, s);
    return OK;
}

static int splat_sample_sum(void *argument, struct splat_draws *draws)
{
    struct sampler *s = argument;
    s->draws = draws;
    TRY(splat_sample_visit_rows(s));
    s->placing = true;
    return OK;
}

static int splat_sample_place(void *argument, struct splat_draws *draws, int64_t n)
{
    (void)draws, (void)n;
    return splat_sample_visit_rows(argument);
}

static int splat_sample_rest(void *argument, struct splat_draws *draws, int64_t n)
{
    for (int64_t k = 0; k < n; k++) {
        int64_t pixel = (int64_t)draws->draws[k].mass;
        splat_sample_take(argument, draws->draws[k].index, (int)(pixel / draws->width),
                          (int)(pixel % draws->width), NULL);
    }
    return OK;
}

/* Cuts the buffers out of `memory` (NULL: only counts); returns the bytes. */
static size_t splat_sample_lay_out(struct sampler *s, struct splat_draws *draws, void *memory)
{
    struct arena arena = {.base = memory, .used = splat_draws_layout(draws, memory)};
    size_t threads = (size_t)threads_count(), width = (size_t)draws->width;
    s->rows = arena_take(&arena, threads * 3 * (width + 2) * sizeof *s->rows);
    s->weights = arena_take(&arena, threads * width * sizeof *s->weights);
    return arena.used;
}

size_t splat_sample_bytes(int width, int height, int64_t count)
{
    struct sampler unused;
    struct splat_draws draws = {.width = width, .height = height, .count = count};
    return splat_sample_lay_out(&unused, &draws, NULL);
}

/* The draws lie behind the scene in the workspace. */
static int take_workspace(struct sampler *s, struct splat_draws *draws,
                          const struct splat_workspace *workspace)
{
    const struct splat_target *t = s->target;
    struct splat_scene scene;
    size_t first = splat_scene_layout(&scene, NULL, t->width, t->height, t->channels,
                                      workspace->capacity, &workspace->storage);
    size_t bytes = splat_sample_lay_out(s, draws, (char *)workspace->memory + first);
    if (first + bytes > workspace->bytes)
        return fail(ERR_INTERNAL, "splat workspace of %zu bytes, %zu needed for %lld draws",
                    workspace->bytes, first + bytes, (long long)draws->count);
    return OK;
}

int splat_cpu_sample(struct device *device, const struct splat_workspace *workspace,
                     const struct splat_view *view, const struct splat_blend *blend,
                     const struct splat_target *target, const struct splat_sample *sample)
{
    struct splat_scene scene;
    struct sampler s = {.target = target,
                        .scene = view ? &scene : NULL,
                        .blend = blend,
                        .residual = sample->residual,
                        .weight = sample->weight,
                        .xy = sample->xy,
                        .color = sample->color,
                        .stop_requested = device->stop_requested};
    struct splat_draws draws = {.width = target->width,
                                .height = target->height,
                                .count = sample->count,
                                .seed = sample->seed,
                                .step = sample->step,
                                .stream = sample->stream};
    struct splat_drawing drawing = {&s, splat_sample_sum, splat_sample_place, splat_sample_rest};
    TRY(take_workspace(&s, &draws, workspace));
    if (view)
        TRY(splat_scene_prepare(&scene, workspace, view, blend, target->width, target->height));
    return splat_draws_run(&draws, &drawing);
}
