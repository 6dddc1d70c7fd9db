/* A network of MMDiT with weights and inputs by the formula of scripts/reference/mmdit_goldens.py,
 * its plan and its pass. */
#ifndef IMGTRAIN_TEST_MMDIT_FIXTURE_H
#define IMGTRAIN_TEST_MMDIT_FIXTURE_H

#include "device/device.h"
#include "diffusion/mmdit/mmdit.h"
#include "memory/plan.h"
#include "registry/devices.h"
#include "test/formula.h"
#include "test/support.h"

#include <math.h>

/* Of the host, then of the device. */
enum mmdit_array {
    MM_PARAMETERS,
    MM_IMAGE,
    MM_TIME,
    MM_GUIDANCE,
    MM_POOLED,
    MM_TEXT,
    MM_OUT,
    MM_ARRAYS
};

/* The config of a network that is tested quickly. */
#define SMALL_MMDIT                                                                                \
    {                                                                                              \
        .channels = 4, .double_blocks = 2, .single_blocks = 3, .heads = 2, .head_dim = 24,         \
        .text_dim = 20, .pooled_dim = 12, .guidance = true, .axes = {                              \
            8,                                                                                     \
            8,                                                                                     \
            8                                                                                      \
        }                                                                                          \
    }

struct mmdit_case {
    struct mmdit_config config;
    struct mmdit_size size;
};

struct mmdit_fixture {
    struct mmdit_case is;
    struct device *device;
    struct mmdit_model model;
    struct mmdit mmdit;
    struct plan *plan;
    size_t counts[MM_ARRAYS];
    float *host[MM_ARRAYS];
    float *on[MM_ARRAYS]; /* the same where the device is the host */
};

static inline void mm_formula_weights(const struct mmdit_model *model, float *parameters)
{
    for (int i = 0; i < model->list.tensor_count; i++) {
        const struct block_tensor *t = &model->list.tensors[i];
        bool is_norm = t->dims == 1 && !strstr(t->name, "bias");
        double scale = t->dims == 2 ? 1 / sqrt((double)t->shape[1]) : 0.3;
        formula_fill(parameters + t->offset, t->count, t->name, scale, is_norm);
    }
}

static inline void mm_fill_batch(struct mmdit_fixture *f)
{
    int n = f->is.size.samples;
    float numbers[8];
    static const struct {
        enum mmdit_array array;
        const char *name;
    } drawn[] = {{MM_IMAGE, "image"}, {MM_TEXT, "text"}, {MM_POOLED, "pooled"}};
    ck_assert_int_le(n, 8);
    formula_fill(numbers, (size_t)n, "time", 0.45, 0.5);
    mmdit_time_features(numbers, n, f->host[MM_TIME]);
    formula_fill(numbers, (size_t)n, "guidance", 1, 3);
    mmdit_time_features(numbers, n, f->host[MM_GUIDANCE]);
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < n; i++) {
            char name[32];
            size_t each = f->counts[drawn[k].array] / (size_t)n;
            snprintf(name, sizeof name, "%s.%d", drawn[k].name, i);
            formula_fill(f->host[drawn[k].array] + (size_t)i * each, each, name, 1, 0);
        }
}

/* Takes the device. */
static inline void mm_open_on(struct mmdit_fixture *f, const struct mmdit_case *is,
                              struct device *device)
{
    *f = (struct mmdit_fixture){.is = *is, .device = device};
    const struct mmdit_config *c = &is->config;
    size_t n = (size_t)is->size.samples;
    MUST(mmdit_model_create(&f->model, c));
    size_t image = n * (size_t)(is->size.height * is->size.width * c->channels);
    const size_t counts[MM_ARRAYS] = {f->model.list.floats,
                                      image,
                                      n * MMDIT_TIME_FEATURES,
                                      n * MMDIT_TIME_FEATURES,
                                      n * (size_t)c->pooled_dim,
                                      n * (size_t)(is->size.text_rows * c->text_dim),
                                      image};
    for (int i = 0; i < MM_ARRAYS; i++) {
        f->counts[i] = counts[i];
        f->host[i] = f->on[i] = calloc(counts[i], sizeof(float));
        ck_assert_ptr_nonnull(f->host[i]);
        if (!device->is_host)
            MUST(device->alloc(device, counts[i] * sizeof(float), (void **)&f->on[i]));
    }
    mm_formula_weights(&f->model, f->host[MM_PARAMETERS]);
    mm_fill_batch(f);
}

static inline void mm_open(struct mmdit_fixture *f, const struct mmdit_case *is, int threads)
{
    struct device *device;
    MUST(device_open(&device, "cpu", threads));
    mm_open_on(f, is, device);
}

static inline void mm_plan(struct mmdit_fixture *f)
{
    f->plan = plan_create();
    MUST(mmdit_memory(&f->mmdit, &f->model, &f->is.size, f->device, f->plan, 0));
    MUST(plan_commit(f->plan, f->device));
    MUST(mmdit_connect(&f->mmdit));
}

static inline void mm_unplan(struct mmdit_fixture *f)
{
    mmdit_close(&f->mmdit);
    plan_free(f->plan);
    f->plan = NULL;
}

static inline void mm_close(struct mmdit_fixture *f)
{
    if (f->plan) mm_unplan(f);
    for (int i = 0; i < MM_ARRAYS; i++) {
        if (!f->device->is_host) f->device->free(f->device, f->on[i], f->counts[i] * sizeof(float));
        free(f->host[i]);
    }
    mmdit_model_free(&f->model);
    device_close(f->device);
}

/* All samples, or one of them. */
static inline struct mmdit_batch mm_batch(const struct mmdit_fixture *f, int from, int count)
{
    size_t n = (size_t)f->is.size.samples, at = (size_t)from;
    const float *of[MM_ARRAYS];
    for (int i = MM_IMAGE; i < MM_ARRAYS; i++)
        of[i] = f->on[i] + at * (f->counts[i] / n);
    return (struct mmdit_batch){.samples = count,
                                .image = of[MM_IMAGE],
                                .time = of[MM_TIME],
                                .guidance = of[MM_GUIDANCE],
                                .pooled = of[MM_POOLED],
                                .text = of[MM_TEXT]};
}

static inline void mm_send(struct mmdit_fixture *f)
{
    for (int i = 0; i < MM_ARRAYS && !f->device->is_host; i++)
        MUST(device_send(f->device, f->on[i], f->host[i], f->counts[i] * sizeof(float)));
}

static inline void mm_fetch_out(struct mmdit_fixture *f)
{
    MUST(f->device->synchronize(f->device));
    if (!f->device->is_host)
        MUST(device_fetch(f->device, f->host[MM_OUT], f->on[MM_OUT],
                          f->counts[MM_OUT] * sizeof(float)));
}

/* The pass over the batch, into host[MM_OUT]. */
static inline void mm_run(struct mmdit_fixture *f)
{
    struct block_flat flat = {&f->model.list, f->on[MM_PARAMETERS]};
    const struct block_source source = block_flat_source(&flat);
    const struct mmdit_batch batch = mm_batch(f, 0, f->is.size.samples);
    mm_send(f);
    MUST(mmdit_forward(&f->mmdit, &source, &batch, f->on[MM_OUT]));
    mm_fetch_out(f);
}

#endif
