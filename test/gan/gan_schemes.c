/* Scheme block works through checkpoint segments part by part, makes what is inside them again, and
 * lets many tensors share bytes: networks with all kinds of groups, and batches of several parts,
 * must give the bits of scheme none. */
#include "base/error.h"
#include "cpu/isa.h"
#include "device/device.h"
#include "gan/core.h"
#include "math/augment.h"
#include "memory/plan.h"
#include "nn/net_init.h"
#include "registry/devices.h"
#include "test/support.h"

#include <check.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

Suite *gan_schemes_suite(void);

enum { BATCH = 24 };

struct run {
    struct device *device;
    struct plan *plan;
    struct gan_core *core;
    int step, steps;
};

static const struct net_design designs[] = {
    /* widths that change and stay, two blocks in a stage, classes, a rectangle: chunks of 8 pairs
     */
    {.stages = 3,
     .base_h = 6,
     .base_w = 8,
     .width = {32, 24, 24},
     .blocks = {2, 1, 2},
     .z = 16,
     .classes = 3,
     .embedding = 8,
     .channels = 3},
    /* the kind of the presets: twice the width at half the side */
    {.stages = 4,
     .base_h = 4,
     .base_w = 4,
     .width = {32, 32, 16, 8},
     .blocks = {1, 1, 1, 1},
     .z = 16,
     .channels = 3},
    /* with alpha, and grey */
    {.stages = 2,
     .base_h = 4,
     .base_w = 6,
     .width = {32, 16},
     .blocks = {1, 1},
     .z = 8,
     .channels = 4},
    {.stages = 2,
     .base_h = 6,
     .base_w = 4,
     .width = {32, 16},
     .blocks = {1, 1},
     .z = 8,
     .channels = 1},
};

static int fill(void *context, enum gan_which which, struct gan_inputs *in)
{
    const struct run *r = context;
    const struct gan_core *core = r->core;
    size_t one = (size_t)(core->shape.h * core->shape.w * core->shape.c);
    for (int i = 0; i < in->n; i++) {
        uint64_t pair = (uint64_t)(in->first + i), call = (uint64_t)(2 * r->step) + which;
        for (size_t k = 0; k < one; k++)
            in->pixels[(size_t)i * one + k] =
                (uint8_t)philox_draw(pair, STREAM_TEST, call, k / 4).v[k % 4];
        net_normal(in->z + (ptrdiff_t)i * in->z_stride, (size_t)in->z_count, 5, STREAM_TEST, call,
                   pair * 64);
        in->flips[i] = pair % 2;
        in->labels[i] = core->design.classes ? (int)pair % core->design.classes : 0;
        in->real_draws[i] = augment_draw(5, call, 2 * pair, 0.5f, core->shape.h, core->shape.w);
        in->fake_draws[i] = augment_draw(5, call, 2 * pair + 1, 0.5f, core->shape.h, core->shape.w);
    }
    return OK;
}

/* No weight is 0, so that every layer counts. */
static void draw_weights(struct trained_net *network, uint64_t which)
{
    const struct net *net = &network->net;
    for (int i = 0; i < net->parameter_count; i++) {
        const struct net_parameter *p = &net->parameters[i];
        float *to = network->parameters + p->offset;
        net_normal(to, p->count, 3, STREAM_TEST, which, p->offset);
        for (size_t k = 0; k < p->count; k++)
            to[k] *= p->dims > 1 ? 0.7f * p->std + 0.05f : 0.05f;
    }
}

static void train(struct run *r, const struct net_design *design, const struct gan_mode *choices)
{
    r->plan = plan_create();
    r->core = calloc(1, sizeof *r->core);
    ck_assert(r->plan && r->core);
    MUST(device_open(&r->device, "cpu", 1));
    MUST(gan_core_declare(r->core, design, choices, r->device, r->plan));
    MUST(plan_commit(r->plan, r->device));
    MUST(gan_core_connect(r->core));
    MUST(gan_core_initialise(r->core, 1));
    draw_weights(&r->core->g, 0);
    draw_weights(&r->core->d, 1);
    const struct gan_rates rates = {.gamma = 0.5, .adam = {.lr = 1e-3, .b2 = 0.9}};
    for (r->step = 0; r->step < r->steps; r->step++) {
        struct gan_report d, g;
        MUST(gan_train_step(r->core, &rates, fill, r));
        MUST(gan_report(r->core, 0, &d, &g));
        ck_assert_msg(d.invariant <= (choices->amp ? 0.2 : 1e-3), "identity off by %g",
                      d.invariant);
    }
}

static void close_run(struct run *r)
{
    plan_free(r->plan);
    gan_core_close(r->core);
    device_close(r->device);
    free(r->core);
}

static void compare(const struct run *a, const struct run *b, const char *what)
{
    const struct trained_net *want[] = {&a->core->d, &a->core->g};
    const struct trained_net *got[] = {&b->core->d, &b->core->g};
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < want[i]->net.parameter_count; k++) {
            const struct net_parameter *p = &want[i]->net.parameters[k];
            const float *x = want[i]->gradients + p->offset, *y = got[i]->gradients + p->offset;
            ck_assert_msg(memcmp(x, y, p->count * sizeof *x) == 0, "%s: gradient of %s", what,
                          p->name);
            x = want[i]->parameters + p->offset, y = got[i]->parameters + p->offset;
            ck_assert_msg(memcmp(x, y, p->count * sizeof *x) == 0, "%s: %s", what, p->name);
        }
}

/* _i: design, and with or without bf16 */
START_TEST(scheme_c_gives_the_bits_of_a)
{
    static const int micro[] = {8, 16, BATCH};
    const struct net_design *design = &designs[_i / 2];
    struct gan_mode choices = {.batch = BATCH, .micro = BATCH, .amp = _i % 2};
    /* Without bf16 instructions the plain reference computes them, 20 times slower */
    bool slow = choices.amp && cpu_isa() < CPU_ISA_AVX512_BF16 && !getenv("TEST_SLOW");
    struct run a = {.steps = slow ? 1 : 2}, c = a;
    train(&a, design, &choices);
    choices.scheme = GAN_SCHEME_BLOCK;
    for (int i = 0; i < (slow ? 1 : 3); i++) {
        char what[32];
        choices.micro = micro[i];
        snprintf(what, sizeof what, "%d pairs at a time", choices.micro);
        train(&c, design, &choices);
        compare(&a, &c, what);
        size_t kept = plan_kind_bytes(c.plan, PLAN_ACTIVATIONS);
        ck_assert_uint_lt(kept, plan_kind_bytes(a.plan, PLAN_ACTIVATIONS) / 2);
        close_run(&c);
    }
    close_run(&a);
}
END_TEST

/* What C keeps is a small part of PyTorch's: 2.9 times all activations of D for reals and fakes
 * (scripts/gan_memory.sh measures it). */
START_TEST(scheme_c_keeps_an_eighth)
{
    const struct net_design design = {.stages = 5,
                                      .base_h = 4,
                                      .base_w = 4,
                                      .width = {128, 128, 64, 32, 16},
                                      .blocks = {1, 1, 1, 1, 1},
                                      .z = 64,
                                      .channels = 3};
    struct gan_mode choices = {.batch = 16, .micro = 16, .scheme = GAN_SCHEME_BLOCK};
    struct gan_core *core = calloc(1, sizeof *core);
    struct plan *plan = plan_create();
    struct device *device;
    size_t all = 0;
    ck_assert(core && plan);
    MUST(device_open(&device, "cpu", 1));
    MUST(gan_core_declare(core, &design, &choices, device, plan));
    MUST(plan_layout(plan));
    for (int i = 0; i < core->d.net.layer_count; i++)
        all += 32 * net_bytes(&core->d.net, i);
    ck_assert_uint_lt(plan_kind_bytes(plan, PLAN_ACTIVATIONS), (size_t)(2.9 * (double)all) / 8);
    plan_free(plan);
    gan_core_close(core);
    device_close(device);
    free(core);
}
END_TEST

Suite *gan_schemes_suite(void)
{
    Suite *suite = suite_create("gan_schemes");
    TCase *tests = tcase_create("schemes");
    tcase_add_loop_test(tests, scheme_c_gives_the_bits_of_a, 0,
                        2 * (int)(sizeof designs / sizeof *designs));
    tcase_add_test(tests, scheme_c_keeps_an_eighth);
    suite_add_tcase(suite, tests);
    return suite;
}
