/* Buffers of the GAN: what each use of a network needs, and for how long. */
#include "gan/core.h"

#include "base/error.h"
#include "base/random.h"
#include "device/device.h"
#include "memory/plan.h"
#include "nn/net_init.h"
#include "nn/pass_memory.h"

#include <string.h>

enum { GAN_PASSES = 6 };

/* The phases of a step: one for each layer of each pass, and one between passes. */
struct phases {
    int make, mix, first, backward, penalty, second;                   /* D step */
    int learn, show, score, score_backward, back, learn_backward, end; /* G step */
};

static struct phases number_phases(int g, int d)
{
    struct phases p = {.make = 0};
    p.mix = p.make + g;
    p.first = p.mix + 1;
    p.backward = p.first + d;
    p.penalty = p.backward + d;
    p.second = p.penalty + 1;
    p.learn = p.second + d;
    p.show = p.learn + g;
    p.score = p.show + 1;
    p.score_backward = p.score + d;
    p.back = p.score_backward + d;
    p.learn_backward = p.back + 1;
    p.end = p.learn_backward + g;
    return p;
}

/* What a step needs of the optimiser, in its order. */
static void list_offload_ranges(const struct gan_core *core, struct offload_range *ranges)
{
    ranges[GAN_OFFLOAD_D] = trained_net_offload(&core->d, TRAINED_MOMENTS);
    ranges[GAN_OFFLOAD_G] = trained_net_offload(&core->g, TRAINED_MOMENTS);
    ranges[GAN_OFFLOAD_EMA] = trained_net_offload(&core->g, TRAINED_EMA);
}

static int declare_offload(struct gan_core *core, struct plan *plan)
{
    struct offload_range ranges[GAN_OFFLOAD_RANGES];
    if (!core->mode.offload) return OK;
    list_offload_ranges(core, ranges);
    return stepper_declare_offload(&core->stepper, ranges, GAN_OFFLOAD_RANGES, plan);
}

/* Everything of one batch that is neither activation nor gradient. */
static int gan_declare_inputs(struct gan_core *core, const struct phases *p, struct plan *plan)
{
    size_t m = (size_t)core->mode.micro;
    size_t picture = (size_t)(core->shape.h * core->shape.w * core->shape.c) * sizeof(float);
    const struct {
        const char *name;
        size_t bytes;
        void *slot;
    } small[] = {
        {"inputs", gan_step_inputs_layout(&core->shape, NULL, NULL), &core->inputs_memory},
        {"factors", 2 * m * sizeof(float), &core->factors},
        {"squares", 2 * m * sizeof(double), &core->squares},
        {"scores", 2 * m * sizeof(float), &core->scores},
        {"sums", 2 * GAN_SUMS * sizeof(double), &core->sums[GAN_D]},
        {"real", m * picture, &core->real},
    };
    for (size_t i = 0; i < sizeof small / sizeof *small; i++)
        TRY(plan_declare(plan, small[i].name, PLAN_DATA, small[i].bytes, PLAN_ALWAYS,
                         (void **)small[i].slot));
    TRY(net_declare_label_sets(&core->design, plan, &core->label_sets));
    TRY(stepper_declare_host(&core->stepper, gan_step_inputs_layout(&core->shape, NULL, NULL),
                             2 * GAN_SUMS, plan));
    TRY(stepper_declare_arrival(&core->stepper, "inputs.arrival",
                                gan_step_inputs_layout(&core->shape, NULL, NULL),
                                core->mode.micro < core->mode.batch, plan));
    TRY(plan_declare(plan, "pulled", PLAN_ACTIVATIONS, 2 * m * picture, p->penalty - 1, p->penalty,
                     (void **)&core->pulled));
    return plan_declare(plan, "pushed", PLAN_ACTIVATIONS, 2 * m * picture, p->penalty, p->penalty,
                        (void **)&core->pushed);
}

static int declare_d_step(struct gan_core *core, const struct phases *p, struct plan *plan)
{
    int m = core->mode.micro, chunk = core->chunk;
    bool c = core->mode.scheme == GAN_SCHEME_BLOCK;
    struct pass_use make = {plan, &core->g.net, "d.make", p->make, 0, m, chunk, c, 0, 0};
    struct pass_use first = {plan,  &core->d.net, "d.first", p->first, p->backward,
                             2 * m, 2 * chunk,    c,         0,        0};
    struct pass_use second = {plan,  &core->d.net, "d.second", p->second, 0,
                              2 * m, 2 * chunk,    c,          0,         0};
    TRY(pass_plan_values(&make, &core->g_make, false, 0, NULL));
    TRY(pass_plan_input(&first, p->mix, p->second, &core->d_first));
    TRY(pass_plan_values(&first, &core->d_first, false, 1, NULL));
    TRY(pass_plan_masks(&first, &core->d_first, p->second));
    TRY(pass_plan_gradients(&first, &core->d_first, p->second, &core->d_second, 0));
    return pass_plan_values(&second, &core->d_second, false, 1, NULL);
}

static int declare_g_step(struct gan_core *core, const struct phases *p, struct plan *plan)
{
    int m = core->mode.micro, chunk = core->chunk;
    bool c = core->mode.scheme == GAN_SCHEME_BLOCK;
    struct pass_use learn = {plan, &core->g.net, "g.learn", p->learn, p->learn_backward,
                             m,    chunk,        c,         0,        0};
    struct pass_use score = {plan,  &core->d.net, "g.judge", p->score, p->score_backward,
                             2 * m, 2 * chunk,    c,         0,        0};
    TRY(pass_plan_values(&learn, &core->g_learn, true, 0, &core->g_back));
    TRY(pass_plan_masks(&learn, &core->g_learn, -1));
    TRY(pass_plan_gradients(&learn, &core->g_back, -1, NULL, core->design.classes ? 0 : 1));
    TRY(pass_plan_input(&score, p->show, p->score, &core->d_score));
    TRY(pass_plan_values(&score, &core->d_score, false, 1, NULL));
    TRY(pass_plan_masks(&score, &core->d_score, -1));
    score.n = m; /* the adjoint of the fakes only */
    return pass_plan_gradients(&score, &core->d_score, -1, NULL, 0);
}

int gan_chunk(int h, int w)
{
    int64_t chunk = 16384 / ((int64_t)h * w);
    return chunk < 1 ? 1 : chunk > 8 ? 8 : (int)chunk;
}

static void list_passes(struct gan_core *core, struct network_pass *passes[GAN_PASSES])
{
    struct network_pass *const all[GAN_PASSES] = {&core->g_make,  &core->g_learn,  &core->g_back,
                                                  &core->d_first, &core->d_second, &core->d_score};
    memcpy(passes, all, sizeof all);
}

/* Those of G come first. */
static int open_passes(struct gan_core *core)
{
    struct network_pass *passes[GAN_PASSES];
    list_passes(core, passes);
    for (int i = 0; i < GAN_PASSES; i++)
        TRY(pass_open(passes[i], i < GAN_PASSES / 2 ? &core->g.net : &core->d.net));
    return OK;
}

void gan_core_close(struct gan_core *core)
{
    struct network_pass *passes[GAN_PASSES];
    list_passes(core, passes);
    for (int i = 0; i < GAN_PASSES; i++)
        pass_close(passes[i]);
    trained_net_free(&core->g);
    trained_net_free(&core->d);
}

int gan_core_declare(struct gan_core *core, const struct net_design *design,
                     const struct gan_mode *mode, struct device *device, struct plan *plan)
{
    core->design = *design;
    core->mode = *mode;
    core->device = device;
    core->stepper.device = device;
    core->shape = (struct gan_input_shape){
        .h = design->base_h << (design->stages - 1),
        .w = design->base_w << (design->stages - 1),
        .c = design->channels,
        .z = design->z,
        .z_stride = design->z + design->embedding,
        .span = device->is_host ? mode->micro : mode->batch,
        .ahead = !device->is_host,
    };
    core->chunk = gan_chunk(core->shape.h, core->shape.w);
    TRY(net_generator(&core->g.net, design, mode->amp));
    TRY(net_discriminator(&core->d.net, design, mode->amp));
    TRY(net_require_piecewise_linear(&core->d.net));
    TRY(open_passes(core));
    struct phases p = number_phases(core->g.net.layer_count, core->d.net.layer_count);
    TRY(trained_net_declare(&core->g, "g",
                            &(struct trained_memory){.offload = mode->offload,
                                                     .views = core->shape.ahead,
                                                     .ema = "ema",
                                                     .first = p.learn,
                                                     .last = p.end},
                            plan));
    TRY(trained_net_declare(&core->d, "d",
                            &(struct trained_memory){.offload = mode->offload,
                                                     .views = core->shape.ahead,
                                                     .first = p.make,
                                                     .last = p.learn - 1},
                            plan));
    TRY(declare_offload(core, plan));
    TRY(gan_declare_inputs(core, &p, plan));
    TRY(declare_d_step(core, &p, plan));
    TRY(declare_g_step(core, &p, plan));
    int m = mode->micro;
    size_t g = pass_workspace(&core->g.net, core->device, m, core->chunk);
    size_t d = pass_workspace(&core->d.net, core->device, 2 * m, 2 * core->chunk);
    size_t engines = mode->conv_library ? mode->workspace_cap : 0;
    return plan_declare(plan, "workspace", PLAN_WORKSPACE, (g > d ? g : d) + engines, PLAN_ALWAYS,
                        &core->workspace);
}

static void connect_pass(struct gan_core *core, struct network_pass *s,
                         const struct trained_net *network, bool gradients)
{
    s->device = core->device;
    s->parameters = network->parameters;
    s->gradients = gradients ? network->gradients : NULL;
    s->chunk = network == &core->d ? 2 * core->chunk : core->chunk;
    s->workspace = core->workspace;
    s->labels.sets = core->label_sets;
    s->parts = core->mode.scheme == GAN_SCHEME_BLOCK;
    s->stop_requested = core->stop_requested;
}

void gan_core_listen(struct gan_core *core, bool (*stop_requested)(void))
{
    struct network_pass *passes[GAN_PASSES];
    list_passes(core, passes);
    core->stop_requested = stop_requested;
    for (int i = 0; i < GAN_PASSES; i++)
        passes[i]->stop_requested = stop_requested;
}

/* What one pass of a network leaves for another. */
static void connect_passes(struct gan_core *core)
{
    struct network_pass *first = &core->d_first, *second = &core->d_second;
    connect_pass(core, &core->g_make, &core->g, false);
    connect_pass(core, &core->g_learn, &core->g, false);
    connect_pass(core, &core->g_back, &core->g, true);
    connect_pass(core, first, &core->d, false);
    connect_pass(core, second, &core->d, true);
    connect_pass(core, &core->d_score, &core->d, false);
    second->value[0] = first->value[0];
    for (int i = 0; i < core->d.net.layer_count; i++) {
        second->mask[i] = first->mask[i];
        if (!second->grad[i]) second->grad[i] = first->grad[i];
    }
    for (int i = 0; i < core->g.net.layer_count; i++) {
        core->g_back.mask[i] = core->g_learn.mask[i];
        if (!core->g_back.value[i]) core->g_back.value[i] = core->g_learn.value[i];
    }
}

int gan_core_connect(struct gan_core *core)
{
    struct offload_range ranges[GAN_OFFLOAD_RANGES];
    list_offload_ranges(core, ranges);
    core->sums[GAN_G] = core->sums[GAN_D] + GAN_SUMS;
    stepper_connect(&core->stepper, core->inputs_memory, core->sums[GAN_D], 2 * GAN_SUMS, ranges,
                    GAN_OFFLOAD_RANGES);
    gan_step_inputs_layout(&core->shape, &core->inputs, core->inputs_memory);
    for (int i = 0; i < 2; i++)
        gan_step_inputs_layout(&core->shape, &core->host[i], core->stepper.host_inputs[i]);
    connect_passes(core);
    return net_send_label_sets(&core->design, core->device, core->label_sets);
}

/* Which numbers of which network a range is. */
static const struct {
    bool d;
    enum trained_range range;
} gan_ranges[GAN_RANGES] = {
    [GAN_RANGE_G] = {false, TRAINED_PARAMETERS}, [GAN_RANGE_D] = {true, TRAINED_PARAMETERS},
    [GAN_RANGE_G_V] = {false, TRAINED_MOMENTS},  [GAN_RANGE_D_V] = {true, TRAINED_MOMENTS},
    [GAN_RANGE_EMA] = {false, TRAINED_EMA},
};

const struct trained_net *gan_core_network(const struct gan_core *core, enum gan_range range)
{
    return gan_ranges[range].d ? &core->d : &core->g;
}

float *gan_core_view(struct gan_core *core, enum gan_range range)
{
    return trained_net_view(gan_core_network(core, range), gan_ranges[range].range);
}

int gan_core_pull(struct gan_core *core, enum gan_range range, float **view)
{
    return trained_net_pull(gan_core_network(core, range), core->device, gan_ranges[range].range,
                            view);
}

int gan_core_push(struct gan_core *core, enum gan_range range)
{
    return trained_net_push(gan_core_network(core, range), core->device, gan_ranges[range].range);
}

int gan_core_initialise(struct gan_core *core, uint64_t seed)
{
    float *g = gan_core_view(core, GAN_RANGE_G), *ema = gan_core_view(core, GAN_RANGE_EMA);
    net_initialise(&core->g.net, g, seed, STREAM_GAN_WEIGHTS, GAN_G);
    net_initialise(&core->d.net, gan_core_view(core, GAN_RANGE_D), seed, STREAM_GAN_WEIGHTS, GAN_D);
    memcpy(ema, g, core->g.net.floats * sizeof(float));
    TRY(gan_core_push(core, GAN_RANGE_G));
    TRY(gan_core_push(core, GAN_RANGE_D));
    return gan_core_push(core, GAN_RANGE_EMA);
}
