/* Two small networks in training on one device, for the tests of the GAN on CUDA. */
#ifndef IMGTRAIN_TEST_CUDA_CUDA_GAN_BENCH_H
#define IMGTRAIN_TEST_CUDA_CUDA_GAN_BENCH_H

#include "cpu/device_cpu.h"
#include "gan/core.h"
#include "math/augment.h"
#include "memory/plan.h"
#include "nn/net_init.h"
#include "test/cuda/cuda_ops.h"

enum { BATCH = 3, WORKSPACE = 4 << 20 };

struct bench {
    struct device *device;
    struct plan *plan;
    struct gan_core core;
    void *workspace;
    int step;
};

/* A pure function of the step and the pair, as in a training. */
static inline int fill(void *context, enum gan_which which, struct gan_inputs *in)
{
    const struct bench *b = context;
    size_t one = (size_t)(b->core.shape.h * b->core.shape.w * b->core.shape.c);
    uint64_t call = 2 * (uint64_t)b->step + (uint64_t)which;
    for (int i = 0; i < in->n; i++) {
        uint64_t pair = (uint64_t)(in->first + i);
        for (size_t j = 0; j < one; j++)
            in->pixels[(size_t)i * one + j] =
                (uint8_t)philox_draw(1, STREAM_TEST, call, pair * one + j).v[0];
        in->flips[i] = pair % 2 == 1;
        in->labels[i] = (int)(pair + call) % 3;
        net_normal(in->z + (ptrdiff_t)i * in->z_stride, (size_t)in->z_count, 1, STREAM_GAN_LATENT,
                   call, pair * 64);
        in->real_draws[i] = augment_draw(1, call, 2 * pair, 0.6f, b->core.shape.h, b->core.shape.w);
        in->fake_draws[i] =
            augment_draw(1, call, 2 * pair + 1, 0.6f, b->core.shape.h, b->core.shape.w);
    }
    return OK;
}

/* The last layer of a block begins at 0, which would hide what is inside: here nothing does. */
static inline void shake(struct gan_core *core, enum gan_range range, const struct net *net)
{
    float *noise = malloc(net->floats * sizeof *noise), *view = gan_core_view(core, range);
    ck_assert_ptr_nonnull(noise);
    net_normal(noise, net->floats, 1, STREAM_TEST, (uint64_t)range, 0);
    for (size_t i = 0; i < net->floats; i++)
        view[i] += 0.1f * noise[i];
    free(noise);
    MUST(gan_core_push(core, range));
}

/* side: of the pictures' height; a width that is half as much again. */
static inline void bench_open_with(struct bench *b, bool cuda, int side, int micro,
                                   struct gan_mode choices)
{
    memset(b, 0, sizeof *b);
    struct net_design design = {.stages = 2, .base_h = side / 2, .base_w = side * 3 / 4};
    design.width[0] = 24;
    design.width[1] = 16;
    design.blocks[0] = design.blocks[1] = 1;
    design.z = 9;
    design.classes = 3;
    design.embedding = 7;
    design.channels = 3;
    MUST(cuda ? cuda_open(&b->device) : device_open_cpu(&b->device, 1));
    b->plan = plan_create();
    ck_assert_ptr_nonnull(b->plan);
    MUST(gan_core_declare(&b->core, &design, &choices, b->device, b->plan));
    MUST(plan_commit(b->plan, b->device));
    gan_core_connect(&b->core);
    b->core.mode.micro = micro; /* chunks of one pair, so that this small batch can be cut */
    MUST(b->device->alloc(b->device, WORKSPACE, &b->workspace));
    struct network_pass *passes[] = {&b->core.d_second, &b->core.g_back};
    for (int i = 0; i < 2; i++) {
        passes[i]->chunk = i ? 1 : 2;
        passes[i]->workspace = b->workspace; /* smaller chunks need more of it */
    }
    MUST(gan_core_initialise(&b->core, 1));
    shake(&b->core, GAN_RANGE_G, &b->core.g.net);
    shake(&b->core, GAN_RANGE_D, &b->core.d.net);
}

static inline void bench_open(struct bench *b, bool cuda, int side, int micro,
                              enum gan_scheme scheme, bool amp)
{
    struct gan_mode choices = {.batch = BATCH, .micro = BATCH, .scheme = scheme, .amp = amp};
    bench_open_with(b, cuda, side, micro, choices);
}

static inline void bench_close(struct bench *b)
{
    stepper_rest(&b->core.stepper);
    b->device->free(b->device, b->workspace, WORKSPACE);
    plan_free(b->plan);
    gan_core_close(&b->core);
    device_close(b->device);
}

static inline float *fetch(struct bench *b, const float *range, const struct net *net)
{
    float *copy = malloc(net->floats * sizeof *copy);
    ck_assert_ptr_nonnull(copy);
    MUST(device_fetch(b->device, copy, range, net->floats * sizeof *copy));
    return copy;
}

static inline void train_step(struct bench *b, int step, struct gan_report *d, struct gan_report *g)
{
    struct gan_core *core = &b->core;
    b->step = step;
    const struct gan_rates rates = {.gamma = 2, .adam = {.lr = 1e-3, .b2 = 0.9}, .ema = 0.9};
    MUST(gan_train_step(core, &rates, fill, b));
    MUST(gan_report(core, 0, d, g));
}

/* Every number of the state, behind another. */
static inline float *fetch_state(struct bench *b, size_t *bytes)
{
    float *copy = malloc(GAN_RANGES * (b->core.g.net.floats + b->core.d.net.floats) * sizeof *copy);
    ck_assert_ptr_nonnull(copy);
    size_t used = 0;
    for (int i = 0; i < GAN_RANGES; i++) {
        size_t floats = gan_core_network(&b->core, (enum gan_range)i)->net.floats;
        float *view;
        MUST(gan_core_pull(&b->core, (enum gan_range)i, &view));
        memcpy(copy + used, view, floats * sizeof *copy);
        used += floats;
    }
    *bytes = used * sizeof *copy;
    return copy;
}

#endif
