/* Buffers of the GAN: what each use of a network needs, and for how long. */
#include "gan/core.h"

#include "base/error.h"
#include "device/device.h"
#include "memory/plan.h"
#include "nn/pass_memory.h"

#include <stdio.h>
#include <string.h>

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

/* Gradients live in phases first .. last: those of the idle network take no memory. */
static int declare_network(struct gan_network *network, const char *name, bool offload, int first,
                           int last, struct plan *plan)
{
    const struct {
        const char *name;
        enum plan_kind kind;
        int first, last;
        float **slot;
    } ranges[] = {
        {"parameters", PLAN_PARAMETERS, PLAN_ALWAYS, &network->parameters},
        {"gradients", PLAN_GRADIENTS, first, last, &network->gradients},
        {"optimiser", offload ? PLAN_OFFLOAD : PLAN_OPTIMISER, PLAN_ALWAYS, &network->v},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        char label[32];
        snprintf(label, sizeof label, "%s.%s", name, ranges[i].name);
        TRY(plan_declare(plan, label, ranges[i].kind, network->net.floats * sizeof(float),
                         ranges[i].first, ranges[i].last, (void **)ranges[i].slot));
    }
    network->v_missing = 1;
    return OK;
}

/* What a step needs of the optimiser, in its order. */
static void list_offload_ranges(const struct gan_core *core, struct offload_range *ranges)
{
    memset(ranges, 0, GAN_OFFLOAD_RANGES * sizeof *ranges);
    for (int i = 0; i < GAN_OFFLOAD_RANGES; i++) {
        const struct gan_network *network = i == GAN_OFFLOAD_D ? &core->d : &core->g;
        ranges[i] = (struct offload_range){.array_count = 1, .rows = network->net.floats};
        ranges[i].arrays[0].host = i == GAN_OFFLOAD_EMA ? core->ema : network->v;
        ranges[i].arrays[0].row = sizeof(float);
    }
}

static int declare_offload(struct gan_core *core, struct plan *plan)
{
    struct offload_range ranges[GAN_OFFLOAD_RANGES];
    enum plan_kind kind = core->choices.offload ? PLAN_OFFLOAD : PLAN_EMA;
    TRY(plan_declare(plan, "ema", kind, core->g.net.floats * sizeof(float), PLAN_ALWAYS,
                     (void **)&core->ema));
    if (!core->choices.offload) return OK;
    list_offload_ranges(core, ranges);
    core->staging_bytes = offload_stream_staging_bytes(core->device, ranges, GAN_OFFLOAD_RANGES);
    return plan_declare(plan, "offload.window", PLAN_WORKSPACE, core->staging_bytes, PLAN_ALWAYS,
                        &core->staging);
}

static size_t range_floats(const struct gan_core *core, int range)
{
    bool d = range == GAN_RANGE_D || range == GAN_RANGE_D_V;
    return d ? core->d.net.floats : core->g.net.floats;
}

/* What the host reads and writes beside a device with memory of its own. */
static int core_declare_host(struct gan_core *core, struct plan *plan)
{
    size_t states = 0;
    for (int i = 0; i < GAN_RANGES; i++)
        states += range_floats(core, i) * sizeof(float);
    for (int i = 0; i < 2; i++) {
        TRY(plan_declare(plan, i ? "odd.inputs.host" : "even.inputs.host", PLAN_HOST,
                         gan_step_inputs_layout(core, NULL, NULL), PLAN_ALWAYS,
                         (void **)&core->host_memory[i]));
        TRY(plan_declare(plan, i ? "odd.sums.host" : "even.sums.host", PLAN_HOST,
                         2 * GAN_SUMS * sizeof(double), PLAN_ALWAYS, (void **)&core->host_sums[i]));
    }
    return plan_declare(plan, "states.host", PLAN_HOST, states, PLAN_ALWAYS,
                        (void **)&core->host_states);
}

/* Everything of one batch that is neither activation nor gradient. */
static int declare_inputs(struct gan_core *core, const struct phases *p, struct plan *plan)
{
    size_t m = (size_t)core->choices.micro;
    size_t picture = (size_t)(core->h * core->w * core->c) * sizeof(float);
    const struct {
        const char *name;
        size_t bytes;
        void *slot;
    } small[] = {
        {"inputs", gan_step_inputs_layout(core, NULL, NULL), &core->inputs_memory},
        {"factors", 2 * m * sizeof(float), &core->factors},
        {"squares", 2 * m * sizeof(double), &core->squares},
        {"scores", 2 * m * sizeof(float), &core->scores},
        {"sums", 2 * GAN_SUMS * sizeof(double), &core->sums[GAN_D]},
        {"real", m * picture, &core->real},
    };
    for (size_t i = 0; i < sizeof small / sizeof *small; i++)
        TRY(plan_declare(plan, small[i].name, PLAN_DATA, small[i].bytes, PLAN_ALWAYS,
                         (void **)small[i].slot));
    if (core->ahead) TRY(core_declare_host(core, plan));
    TRY(plan_declare(plan, "pulled", PLAN_ACTIVATIONS, 2 * m * picture, p->penalty - 1, p->penalty,
                     (void **)&core->pulled));
    return plan_declare(plan, "pushed", PLAN_ACTIVATIONS, 2 * m * picture, p->penalty, p->penalty,
                        (void **)&core->pushed);
}

static int declare_d_step(struct gan_core *core, const struct phases *p, struct plan *plan)
{
    int m = core->choices.micro, slice = core->slice;
    bool c = core->choices.scheme == GAN_SCHEME_C;
    struct pass_use make = {plan, &core->g.net, "d.make", p->make, 0, m, slice, c};
    struct pass_use first = {plan,        &core->d.net, "d.first", p->first,
                             p->backward, 2 * m,        2 * slice, c};
    struct pass_use second = {plan, &core->d.net, "d.second", p->second, 0, 2 * m, 2 * slice, c};
    TRY(pass_plan_values(&make, &core->g_make, false, 0, NULL));
    TRY(pass_plan_input(&first, p->mix, p->second, &core->d_first));
    TRY(pass_plan_values(&first, &core->d_first, false, 1, NULL));
    TRY(pass_plan_masks(&first, &core->d_first, p->second));
    TRY(pass_plan_gradients(&first, &core->d_first, p->second, &core->d_second, 0));
    return pass_plan_values(&second, &core->d_second, false, 1, NULL);
}

static int declare_g_step(struct gan_core *core, const struct phases *p, struct plan *plan)
{
    int m = core->choices.micro, slice = core->slice;
    bool c = core->choices.scheme == GAN_SCHEME_C;
    struct pass_use learn = {plan, &core->g.net, "g.learn", p->learn, p->learn_backward,
                             m,    slice,        c};
    struct pass_use score = {plan,  &core->d.net, "g.judge", p->score, p->score_backward,
                             2 * m, 2 * slice,    c};
    TRY(pass_plan_values(&learn, &core->g_learn, true, 0, &core->g_back));
    TRY(pass_plan_masks(&learn, &core->g_learn, -1));
    TRY(pass_plan_gradients(&learn, &core->g_back, -1, NULL, core->design.classes ? 0 : 1));
    TRY(pass_plan_input(&score, p->show, p->score, &core->d_score));
    TRY(pass_plan_values(&score, &core->d_score, false, 1, NULL));
    TRY(pass_plan_masks(&score, &core->d_score, -1));
    score.n = m; /* the adjoint of the fakes only */
    return pass_plan_gradients(&score, &core->d_score, -1, NULL, 0);
}

int gan_slice(int h, int w)
{
    int64_t slice = 16384 / ((int64_t)h * w);
    return slice < 1 ? 1 : slice > 8 ? 8 : (int)slice;
}

int gan_core_declare(struct gan_core *core, const struct net_design *design,
                     const struct gan_mode *choices, struct device *device, struct plan *plan)
{
    core->design = *design;
    core->choices = *choices;
    core->device = device;
    core->ops = device->nn;
    core->ahead = !device->is_host;
    core->h = design->base_h << (design->stages - 1);
    core->w = design->base_w << (design->stages - 1);
    core->c = design->channels;
    core->slice = gan_slice(core->h, core->w);
    TRY(net_generator(&core->g.net, design));
    TRY(net_discriminator(&core->d.net, design));
    if (choices->amp) {
        net_mix_precision(&core->g.net);
        net_mix_precision(&core->d.net);
    }
    struct phases p = number_phases(core->g.net.layer_count, core->d.net.layer_count);
    TRY(declare_network(&core->g, "g", choices->offload, p.learn, p.end, plan));
    TRY(declare_network(&core->d, "d", choices->offload, p.make, p.learn - 1, plan));
    TRY(declare_offload(core, plan));
    TRY(declare_inputs(core, &p, plan));
    TRY(declare_d_step(core, &p, plan));
    TRY(declare_g_step(core, &p, plan));
    int m = choices->micro;
    size_t g = pass_workspace(&core->g.net, core->device, m, core->slice);
    size_t d = pass_workspace(&core->d.net, core->device, 2 * m, 2 * core->slice);
    size_t engines = choices->conv_library ? choices->workspace_cap : 0;
    return plan_declare(plan, "workspace", PLAN_WORKSPACE, (g > d ? g : d) + engines, PLAN_ALWAYS,
                        &core->g_make.workspace);
}

static void core_connect(struct gan_core *core, struct network_pass *s, struct gan_network *network,
                         bool gradients)
{
    s->net = &network->net;
    s->device = core->device;
    s->ops = core->ops;
    s->parameters = network->parameters;
    s->gradients = gradients ? network->gradients : NULL;
    s->slice = network == &core->d ? 2 * core->slice : core->slice;
    s->workspace = core->g_make.workspace;
    s->parts = core->choices.scheme == GAN_SCHEME_C;
    s->stop_requested = core->stop_requested;
}

void gan_core_listen(struct gan_core *core, bool (*stop_requested)(void))
{
    struct network_pass *passes[] = {&core->g_make,  &core->d_first, &core->d_second,
                                     &core->g_learn, &core->d_score, &core->g_back};
    core->stop_requested = stop_requested;
    for (size_t i = 0; i < sizeof passes / sizeof *passes; i++)
        passes[i]->stop_requested = stop_requested;
}

void gan_core_connect(struct gan_core *core)
{
    gan_step_inputs_layout(core, &core->inputs, core->inputs_memory);
    core->sums[GAN_G] = core->sums[GAN_D] + GAN_SUMS;
    for (int i = 0; i < 2; i++) {
        gan_step_inputs_layout(core, &core->host[i],
                               core->ahead ? core->host_memory[i] : core->inputs_memory);
        if (!core->ahead) core->host_sums[i] = core->sums[GAN_D];
    }
    struct offload_range ranges[GAN_OFFLOAD_RANGES];
    list_offload_ranges(core, ranges);
    offload_stream_describe(&core->offload, core->device, core->staging, core->staging_bytes,
                            ranges, GAN_OFFLOAD_RANGES);
    core_connect(core, &core->g_make, &core->g, false);
    core_connect(core, &core->g_learn, &core->g, false);
    core_connect(core, &core->g_back, &core->g, true);
    core_connect(core, &core->d_first, &core->d, false);
    core_connect(core, &core->d_second, &core->d, true);
    core_connect(core, &core->d_score, &core->d, false);
    struct network_pass *first = &core->d_first, *second = &core->d_second;
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

static float *core_range_of(const struct gan_core *core, enum gan_range range)
{
    switch (range) {
    case GAN_RANGE_G: return core->g.parameters;
    case GAN_RANGE_D: return core->d.parameters;
    case GAN_RANGE_G_V: return core->g.v;
    case GAN_RANGE_D_V: return core->d.v;
    default: return core->ema;
    }
}

float *gan_core_view(struct gan_core *core, enum gan_range range)
{
    float *view = core->host_states;
    if (!view) return core_range_of(core, range);
    for (int i = 0; i < (int)range; i++)
        view += range_floats(core, i);
    return view;
}

int gan_core_fetch(struct gan_core *core, void *host, const void *device, size_t bytes)
{
    if (host != device) TRY(core->device->download(core->device, host, device, bytes));
    return core->device->synchronize(core->device);
}

int gan_core_send(struct gan_core *core, void *device, const void *host, size_t bytes)
{
    if (host != device) TRY(core->device->upload(core->device, device, host, bytes));
    return core->device->synchronize(core->device);
}

int gan_core_pull(struct gan_core *core, enum gan_range range, float **view)
{
    *view = gan_core_view(core, range);
    return gan_core_fetch(core, *view, core_range_of(core, range),
                          range_floats(core, (int)range) * sizeof(float));
}

int gan_core_push(struct gan_core *core, enum gan_range range)
{
    return gan_core_send(core, core_range_of(core, range), gan_core_view(core, range),
                         range_floats(core, (int)range) * sizeof(float));
}

int gan_core_initialise(struct gan_core *core, uint64_t seed)
{
    float *g = gan_core_view(core, GAN_RANGE_G), *ema = gan_core_view(core, GAN_RANGE_EMA);
    net_initialise(&core->g.net, g, seed, GAN_G);
    net_initialise(&core->d.net, gan_core_view(core, GAN_RANGE_D), seed, GAN_D);
    memcpy(ema, g, core->g.net.floats * sizeof(float));
    TRY(gan_core_push(core, GAN_RANGE_G));
    TRY(gan_core_push(core, GAN_RANGE_D));
    return gan_core_push(core, GAN_RANGE_EMA);
}
