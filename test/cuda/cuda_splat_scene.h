/* Scenes of Gaussians for the tests of splats on CUDA, in any device's memory. */
#ifndef IMGTRAIN_TEST_CUDA_CUDA_SPLAT_SCENE_H
#define IMGTRAIN_TEST_CUDA_CUDA_SPLAT_SCENE_H

#include "test/cuda/cuda_ops.h"

/* What is drawn: `large` of the Gaussians are larger than the picture. Those of a scene without a
 * name have no weights. The target has a mask where the name begins so. */
struct scene_case {
    const char *name;
    int width, height, channels, bits, count, large;
    struct splat_blend blend;
    struct splat_loss loss;
    bool sigma_scale, bands, half;
    int64_t capacity; /* 0: count */
};

static const struct scene_case scenes[] = {
    {"top 10", 61, 45, 3, 8, 70, 3, {10, false}, {{1, 0}, 0, SPLAT_SSIM_ALL, 0}, 0, 0, 0, 0},
    {"top 10, SSIM",
     37,
     45,
     3,
     8,
     70,
     3,
     {10, false},
     {{1, 0}, 0.1, SPLAT_SSIM_ALL, 0},
     0,
     0,
     0,
     0},
    {"top 3, L2 + SSIM, 16 bits, sigma",
     37,
     20,
     4,
     16,
     50,
     5,
     {3, false},
     {{0.2, 1}, 1, SPLAT_SSIM_EVEN, 0},
     1,
     0,
     0,
     0},
    {"top 1, grey", 18, 33, 1, 8, 30, 2, {1, false}, {{0, 1}, 0, SPLAT_SSIM_ALL, 0}, 0, 0, 0, 0},
    {"top 32, many in a tile",
     18,
     13,
     3,
     32,
     560,
     530,
     {32, false},
     {{1, 0}, 0.1, SPLAT_SSIM_ALL, 0},
     0,
     0,
     0,
     0},
    {"all, many in a tile",
     7,
     17,
     6,
     32,
     560,
     530,
     {0, false},
     {{0, 1}, 0, SPLAT_SSIM_ALL, 0},
     0,
     0,
     0,
     0},
    {"all, two channels",
     16,
     16,
     2,
     8,
     20,
     0,
     {0, false},
     {{1, 1}, 1, SPLAT_SSIM_ALL, 0},
     0,
     0,
     0,
     0},
    {"additive, SSIM", 47, 31, 3, 16, 60, 4, {0, true}, {{1, 0}, 1, SPLAT_SSIM_ALL, 0}, 0, 0, 0, 0},
    {"additive, smaller than the window",
     5,
     7,
     1,
     32,
     9,
     1,
     {0, true},
     {{0, 1}, 1, SPLAT_SSIM_ALL, 0},
     0,
     0,
     0,
     0},
    {"one pixel", 1, 1, 3, 8, 3, 1, {10, false}, {{1, 0}, 0.1, SPLAT_SSIM_ODD, 0}, 0, 0, 0, 0},
    {"no Gaussian", 20, 9, 3, 8, 0, 0, {10, false}, {{1, 0}, 0.1, SPLAT_SSIM_ALL, 0}, 0, 0, 0, 4},
    {"wider than a strip",
     130,
     12,
     1,
     8,
     40,
     2,
     {10, false},
     {{0, 0}, 1, SPLAT_SSIM_ALL, 0},
     0,
     0,
     0,
     0},
    {"bands", 19, 290, 3, 8, 60, 9, {10, false}, {{1, 0}, 0.1, SPLAT_SSIM_FOURTH_1, 0}, 0, 1, 0, 0},
    {"lists without room, chunks of 128",
     3,
     2200,
     1,
     8,
     2,
     2,
     {0, false},
     {{1, 0}, 0, SPLAT_SSIM_ALL, 0},
     0,
     1,
     0,
     0},
    {"chunks over bands",
     6,
     270,
     64,
     8,
     3,
     3,
     {0, false},
     {{0, 1}, 0, SPLAT_SSIM_ALL, 0},
     0,
     1,
     0,
     130000},
    {"halves", 37, 45, 3, 8, 70, 3, {10, false}, {{1, 0}, 0.1, SPLAT_SSIM_ALL, 0}, 0, 0, 1, 0},
    {"halves, additive",
     47,
     31,
     3,
     16,
     60,
     4,
     {0, true},
     {{0, 1}, 1, SPLAT_SSIM_ODD, 0},
     0,
     0,
     1,
     0},
    {"halves, bands, all",
     5,
     280,
     4,
     8,
     40,
     9,
     {0, false},
     {{1, 0}, 0.1, SPLAT_SSIM_ALL, 0},
     0,
     1,
     1,
     0},
    {"more in a region than are sorted",
     9,
     7,
     1,
     8,
     2300,
     5,
     {10, false},
     {{1, 0}, 0, SPLAT_SSIM_ALL, 0},
     0,
     0,
     0,
     0},
    {"mask", 37, 45, 3, 8, 70, 3, {10, false}, {{1, 0.5}, 0.1, SPLAT_SSIM_ODD, 0}, 0, 0, 0, 0},
    {"mask, halves, bands",
     19,
     290,
     3,
     16,
     60,
     9,
     {0, false},
     {{0, 1}, 0.1, SPLAT_SSIM_FOURTH_2, 0},
     0,
     1,
     1,
     0},
};
enum { SCENES = sizeof scenes / sizeof *scenes };
enum { TOP10_SSIM = 1, ADDITIVE = 7, BANDS = 12, MASK = 19 };

static inline bool scene_is_masked(const struct scene_case *c)
{
    return c->name && strncmp(c->name, "mask", 4) == 0;
}

/* A scene in a device's memory. */
struct drawn {
    struct splat_view view;
    struct splat_target target;
    struct splat_workspace workspace;
    struct splat_gradients gradients;
    float *parameter[SPLAT_GROUPS], *gradient[SPLAT_GROUPS];
    int columns[SPLAT_GROUPS];
};

static const char *const group_names[SPLAT_GROUPS] = {"xy", "scale", "rot", "feat", "weight"};

static inline float unit(uint64_t list, uint64_t i)
{
    return philox_uniform(philox_draw(11, STREAM_TEST, list, i).v[0]);
}

static inline float *upload_floats(struct side *s, const char *name, const float *x, size_t n,
                                   double tol)
{
    side_buffer(s, name, x, n * sizeof *x);
    return side_kind(s, BUFFER_FLOAT, tol);
}

static inline void make_parameters(struct side *s, const struct scene_case *c, struct drawn *d,
                                   double tol)
{
    float *x[SPLAT_GROUPS];
    const int columns[SPLAT_GROUPS] = {2, 2, 1, c->channels, c->name != NULL};
    for (int g = 0; g < SPLAT_GROUPS; g++) {
        d->columns[g] = columns[g];
        x[g] = malloc(sizeof(float) * (size_t)(c->count * columns[g] + 1));
    }
    for (int i = 0; i < c->count; i++) {
        uint64_t k = (uint64_t)i;
        for (int a = 0; a < 2; a++) {
            float sigma = 0.6f + 5 * unit(1, 2 * k + (uint64_t)a);
            if (i < c->large) sigma = (float)(c->width + c->height) * (0.3f + unit(2, k));
            x[SPLAT_SCALE][2 * i + a] = c->sigma_scale ? sigma : 1 / sigma;
            x[SPLAT_XY][2 * i + a] = unit(3, 2 * k + (uint64_t)a);
        }
        x[SPLAT_ROT][i] = 7 * unit(4, k) - 3;
        if (c->name) x[SPLAT_WEIGHT][i] = 2 * unit(7, k);
        for (int a = 0; a < c->channels; a++)
            x[SPLAT_FEAT][i * c->channels + a] = unit(5, k * 64 + (uint64_t)a);
    }
    for (int g = 0; g < SPLAT_GROUPS; g++) {
        d->parameter[g] =
            upload_floats(s, group_names[g], x[g], (size_t)(c->count * columns[g]), tol);
        free(x[g]);
    }
}

/* Some of it black, units as splat/splat_weights.c sets them. */
static inline void make_mask(struct side *s, const struct scene_case *c, struct splat_target *t)
{
    int n = c->width * c->height;
    double sum = 0, inner = 0;
    uint8_t *weights = malloc((size_t)n);
    for (int i = 0; i < n; i++) {
        int x = i % c->width, y = i / c->width;
        weights[i] = (uint8_t)(x < 4 ? 0 : i * 37 % 256);
        sum += weights[i];
        if (x >= 5 && x < c->width - 5 && y >= 5 && y < c->height - 5) inner += weights[i];
    }
    t->weights = side_buffer(s, "mask", weights, (size_t)n);
    t->unit = (float)(n / sum);
    t->inner_unit = (float)((c->width - 10) * (c->height - 10) / inner);
    free(weights);
}

/* Waves and noise in 0..1: [height][channels][width]. */
static inline void make_target(struct side *s, const struct scene_case *c, struct drawn *d)
{
    size_t n = (size_t)c->width * (size_t)c->height * (size_t)c->channels;
    size_t bytes = (size_t)c->bits / 8;
    uint8_t *samples = malloc(n * bytes);
    for (size_t i = 0; i < n; i++) {
        float v = 0.5f + 0.3f * sinf(0.13f * (float)i) + 0.2f * (unit(6, i) - 0.5f);
        if (c->bits == 8)
            samples[i] = (uint8_t)(v * 255);
        else if (c->bits == 16)
            ((uint16_t *)(void *)samples)[i] = (uint16_t)(v * 65535);
        else
            ((float *)(void *)samples)[i] = v;
    }
    d->target = (struct splat_target){.width = c->width,
                                      .height = c->height,
                                      .channels = c->channels,
                                      .sample_bits = c->bits,
                                      .data = side_buffer(s, "target", samples, n * bytes)};
    free(samples);
    if (scene_is_masked(c)) make_mask(s, c, &d->target);
}

static inline struct drawn draw(struct side *s, const struct scene_case *c, bool gradients,
                                double tol)
{
    struct drawn d = {.workspace.capacity = c->capacity ? c->capacity : c->count,
                      .workspace.storage = {.half = c->half, .bands = c->bands}};
    make_parameters(s, c, &d, tol);
    make_target(s, c, &d);
    float *const *p = d.parameter;
    d.view = (struct splat_view){p[SPLAT_XY],    p[SPLAT_SCALE],
                                 p[SPLAT_ROT],   p[SPLAT_FEAT],
                                 c->count,       c->channels,
                                 c->sigma_scale, c->width,
                                 c->height,      !c->name ? NULL : p[SPLAT_WEIGHT]};
    d.workspace.bytes = s->device->splat->workspace_bytes(
        s->device, c->width, c->height, c->channels, d.workspace.capacity, &d.workspace.storage);
    d.workspace.memory = side_workspace(s, d.workspace.bytes);
    for (int g = 0; gradients && g < SPLAT_GROUPS; g++)
        d.gradient[g] = side_result(s, group_names[g], (size_t)(c->count * d.columns[g]), tol);
    d.gradients = (struct splat_gradients){d.gradient[SPLAT_XY], d.gradient[SPLAT_SCALE],
                                           d.gradient[SPLAT_ROT], d.gradient[SPLAT_FEAT],
                                           !c->name ? NULL : d.gradient[SPLAT_WEIGHT]};
    return d;
}

static inline void expect_ok(int code)
{
    ck_assert_msg(code == OK, "%s", error_message());
}

#endif
