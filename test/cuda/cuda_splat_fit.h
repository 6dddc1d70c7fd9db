/* A fit of Gaussians in a device's memory, for tests of splat_ops.train. */
#ifndef IMGTRAIN_TEST_CUDA_CUDA_SPLAT_FIT_H
#define IMGTRAIN_TEST_CUDA_CUDA_SPLAT_FIT_H

#include "test/cuda/cuda_splat_scene.h"

/* A scene with all that training needs. */
struct fit {
    struct side s;
    struct drawn d;
    struct splat_training training;
    int count;
};

/* in_axes: Adam goes along axes of each Gaussian. */
static inline void open_fit(struct fit *f, struct device *device, const struct scene_case *c,
                            int bits, bool in_axes)
{
    static const float rates[SPLAT_GROUPS] = {5e-4f, 2e-3f, 2e-3f, 5e-3f, 5e-2f};
    memset(f, 0, sizeof *f);
    f->s.device = device;
    f->d = draw(&f->s, c, true, 0);
    f->count = c->count;
    struct splat_training *t = &f->training;
    t->view = f->d.view;
    t->blend = c->blend;
    t->target = f->d.target;
    t->loss = c->loss;
    t->b2 = 0.999;
    t->gradients = f->d.gradients;
    int32_t *born = calloc((size_t)c->count + 1, sizeof *born);
    t->rows.born = side_buffer(&f->s, "born", born, (size_t)c->count * sizeof *born);
    if (in_axes) {
        size_t n = (size_t)splat_axes_columns(c->channels, c->name != NULL),
               count = (size_t)c->count;
        t->rows.axes = side_result(&f->s, "axes", count * n * n, 0);
        t->rows.moments = side_result(&f->s, "moments", count * n * (n + 1) / 2, 0);
    }
    for (int g = 0; g < SPLAT_GROUPS; g++) {
        size_t n = (size_t)(c->count * f->d.columns[g]);
        float *zeros = calloc(n + 1, sizeof *zeros);
        bool scale = g == SPLAT_SCALE;
        t->groups[g] =
            (struct splat_adam){.parameter = f->d.parameter[g],
                                .first = upload_floats(&f->s, "m", zeros, n, 0),
                                .second = upload_floats(&f->s, "v", zeros, n, 0),
                                .gradient = f->d.gradient[g],
                                .columns = f->d.columns[g],
                                .rate = rates[g],
                                .unit = 1e3f * rates[g],
                                .in_axes = g != SPLAT_FEAT || splat_axes_have_colours(c->channels),
                                .low = {scale ? 0.001f : -1e9f, scale ? 0.001f : -1e9f},
                                .high = {1e9f, 1e9f}};
        t->bits[g] = bits;
        if (bits) t->quantized[g] = side_result(&f->s, "quantised", n, 0);
        free(zeros);
    }
    free(born);
    if (!bits) return;
    t->view.xy = t->quantized[SPLAT_XY];
    t->view.scale = t->quantized[SPLAT_SCALE];
    t->view.rot = t->quantized[SPLAT_ROT];
    t->view.feat = t->quantized[SPLAT_FEAT];
    if (c->name) t->view.weight = t->quantized[SPLAT_WEIGHT];
}

static inline double train(struct fit *f, bool wait)
{
    struct splat_sums sums;
    int64_t skipped;
    struct device *device = f->s.device;
    f->training.t++;
    expect_ok(device->splat->train(device, &f->d.workspace, &f->training, wait, &sums, &skipped));
    return splat_loss_of(&f->training.loss, &sums);
}

static inline float *fetch_group(struct fit *f, int g)
{
    size_t n = (size_t)(f->count * f->d.columns[g]);
    float *x = malloc((n + 1) * sizeof *x);
    expect_ok(f->s.device->download(f->s.device, x, f->d.parameter[g], n * sizeof *x));
    expect_ok(f->s.device->synchronize(f->s.device));
    return x;
}

/* Largest difference of the parameters. */
static inline double difference(struct fit *a, struct fit *b)
{
    double most = 0;
    for (int g = 0; g < SPLAT_GROUPS; g++) {
        float *x = fetch_group(a, g), *y = fetch_group(b, g);
        for (int i = 0; i < a->count * a->d.columns[g]; i++) {
            double d = fabs((double)x[i] - (double)y[i]);
            if (!(d <= most)) most = d;
        }
        free(x);
        free(y);
    }
    return most;
}

#endif
