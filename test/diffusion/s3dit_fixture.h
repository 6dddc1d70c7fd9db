/* A network of S3-DiT with weights and inputs by the formula of scripts/reference/s3dit_goldens.py,
 * its plan and its passes. */
#ifndef IMGTRAIN_TEST_S3DIT_FIXTURE_H
#define IMGTRAIN_TEST_S3DIT_FIXTURE_H

#include "device/device.h"
#include "diffusion/dit/s3dit.h"
#include "memory/plan.h"
#include "registry/devices.h"
#include "test/formula.h"
#include "test/support.h"

#include <math.h>

enum { FORMULA_SAMPLES = 8 }; /* most of a batch */

static inline void formula_weights(const struct s3dit_model *model, float *parameters)
{
    for (int i = 0; i < model->list.tensor_count; i++) {
        const struct block_tensor *t = &model->list.tensors[i];
        double scale = 0.3, offset = 0;
        if (strstr(t->name, "pad_token"))
            scale = 0.8;
        else if (t->dims == 2)
            scale = 1 / sqrt((double)t->shape[1]);
        else if (!strstr(t->name, "bias"))
            offset = 1;
        formula_fill(parameters + t->offset, t->count, t->name, scale, offset);
    }
}

struct dit_case {
    struct s3dit_config config;
    struct s3dit_size size; /* of the whole batch */
    int lengths[FORMULA_SAMPLES];
};

/* Arrays of a network and a batch; what it puts out and its gradients. */
struct dit_arrays {
    float *parameters, *gradients, *image, *time, *text, *d_out, *out, *text_gradient;
};
enum { DIT_ARRAYS = sizeof(struct dit_arrays) / sizeof(float *) };

struct dit_fixture {
    struct dit_case is;
    struct device *device;
    struct s3dit_model model;
    struct s3dit dit;
    struct plan *plan;
    size_t image_floats, text_floats; /* of a sample */
    size_t counts[DIT_ARRAYS];
    union {
        struct { /* the host's, in the order of struct dit_arrays */
            float *parameters, *gradients, *image, *time, *text, *d_out, *out, *text_gradient;
        };
        float *host[DIT_ARRAYS];
    };
    union {
        struct dit_arrays on; /* the device's; the same where it is the host */
        float *device_arrays[DIT_ARRAYS];
    };
};

static inline float *formula_floats(size_t count)
{
    float *memory = calloc(count, sizeof *memory);
    ck_assert_ptr_nonnull(memory);
    return memory;
}

static inline void fixture_fill_batch(struct dit_fixture *f)
{
    float s[FORMULA_SAMPLES];
    formula_fill(s, (size_t)f->is.size.samples, "time", 0.45, 0.5);
    s3dit_time_features(&f->model.config, s, f->is.size.samples, f->time);
    for (size_t i = 0; i < (size_t)f->is.size.samples; i++) {
        char name[32];
        snprintf(name, sizeof name, "image.%zu", i);
        formula_fill(f->image + i * f->image_floats, f->image_floats, name, 1, 0);
        snprintf(name, sizeof name, "text.%zu", i);
        formula_fill(f->text + i * f->text_floats, f->text_floats, name, 1, 0);
        snprintf(name, sizeof name, "d_out.%zu", i);
        formula_fill(f->d_out + i * f->image_floats, f->image_floats, name, 1, 0);
    }
}

/* The batch and the model; passes are planned by fixture_plan. Takes the device. */
static inline void fixture_open_on(struct dit_fixture *f, const struct dit_case *is,
                                   struct device *device)
{
    *f = (struct dit_fixture){.is = *is, .device = device};
    size_t n = (size_t)is->size.samples;
    MUST(s3dit_model_create(&f->model, &is->config));
    f->image_floats = (size_t)(is->size.height * is->size.width * is->config.channels);
    f->text_floats = (size_t)(is->size.text_rows * is->config.text_dim);
    size_t image = n * f->image_floats, text = n * f->text_floats, all = f->model.list.floats;
    const size_t counts[DIT_ARRAYS] = {all,  all,   image, n * S3DIT_TIME_FEATURES,
                                       text, image, image, text};
    for (int i = 0; i < DIT_ARRAYS; i++) {
        f->counts[i] = counts[i];
        f->host[i] = f->device_arrays[i] = formula_floats(counts[i]);
        if (!device->is_host)
            MUST(device->alloc(device, counts[i] * sizeof(float), (void **)&f->device_arrays[i]));
    }
    formula_weights(&f->model, f->parameters);
    fixture_fill_batch(f);
}

static inline void fixture_open(struct dit_fixture *f, const struct dit_case *is, int threads)
{
    struct device *device;
    MUST(device_open(&device, "cpu", threads));
    fixture_open_on(f, is, device);
}

static inline void fixture_plan(struct dit_fixture *f, enum s3dit_use use, int micro)
{
    struct s3dit_size size = f->is.size;
    size.samples = micro;
    f->plan = plan_create();
    MUST(s3dit_memory(&f->dit, &f->model, &size, use, f->device, f->plan, 0));
    MUST(plan_commit(f->plan, f->device));
    MUST(s3dit_connect(&f->dit));
}

static inline void fixture_unplan(struct dit_fixture *f)
{
    s3dit_close(&f->dit);
    plan_free(f->plan);
    f->plan = NULL;
}

static inline void fixture_close(struct dit_fixture *f)
{
    if (f->plan) fixture_unplan(f);
    for (int i = 0; i < DIT_ARRAYS; i++) {
        if (!f->device->is_host)
            f->device->free(f->device, f->device_arrays[i], f->counts[i] * sizeof(float));
        free(f->host[i]);
    }
    s3dit_model_free(&f->model);
    device_close(f->device);
}

static inline struct s3dit_batch fixture_batch(const struct dit_fixture *f, int from, int count)
{
    size_t at = (size_t)from;
    return (struct s3dit_batch){.samples = count,
                                .image = f->on.image + at * f->image_floats,
                                .time = f->on.time + at * S3DIT_TIME_FEATURES,
                                .text = f->on.text + at * f->text_floats,
                                .lengths = f->is.lengths + from};
}

/* All arrays to the device, or back. */
static inline void fixture_send(struct dit_fixture *f)
{
    for (int i = 0; i < DIT_ARRAYS && !f->device->is_host; i++)
        MUST(device_send(f->device, f->device_arrays[i], f->host[i], f->counts[i] * sizeof(float)));
}

static inline void fixture_fetch(struct dit_fixture *f)
{
    for (int i = 0; i < DIT_ARRAYS && !f->device->is_host; i++)
        MUST(
            device_fetch(f->device, f->host[i], f->device_arrays[i], f->counts[i] * sizeof(float)));
}

/* The passes over the batch, `f->dit.size.samples` at a time; gradients from 0. */
static inline void fixture_run(struct dit_fixture *f)
{
    struct block_flat flat = {&f->model.list, f->on.parameters};
    const struct block_source source = block_flat_source(&flat);
    int n = f->is.size.samples, micro = f->dit.size.samples;
    memset(f->gradients, 0, f->model.list.floats * sizeof *f->gradients);
    fixture_send(f);
    for (int from = 0; from < n; from += micro) {
        const struct s3dit_batch batch =
            fixture_batch(f, from, n - from < micro ? n - from : micro);
        size_t image = (size_t)from * f->image_floats, text = (size_t)from * f->text_floats;
        MUST(s3dit_forward(&f->dit, &source, &batch, f->on.out + image));
        if (f->dit.use != S3DIT_FORWARD_ONLY)
            MUST(s3dit_backward(&f->dit, &source, &batch, f->on.d_out + image, f->on.gradients,
                                f->on.text_gradient + text));
    }
    MUST(f->device->synchronize(f->device));
    fixture_fetch(f);
}

#endif
