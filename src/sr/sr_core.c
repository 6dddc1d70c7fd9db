/* Buffers of the training, and its step. */
#include "sr/sr_core.h"

#include "base/error.h"
#include "device/device.h"
#include "memory/plan.h"
#include "nn/pass_memory.h"

#include <string.h>

enum { TILE_LEAST = 16, TILE_MOST = 128 }; /* without what overlaps */

static size_t patch_floats(const struct sr_core *core, bool gt)
{
    size_t side = (size_t)core->mode.lq_size * (size_t)(gt ? core->design.scale : 1);
    return side * side * 3;
}

/* Side of the tiles that images are looked at in between steps: a tile is no larger than what a
 * step takes at a time, if that can be. */
static int sr_tile_side(const struct sr_core *core)
{
    int overlaps = 2 * sr_tiles_overlap(&core->design), side = core->mode.lq_size;
    while (side < TILE_MOST + overlaps &&
           (int64_t)(side + 4) * (side + 4) <=
               (int64_t)core->mode.micro * core->mode.lq_size * core->mode.lq_size)
        side += 4;
    side = side / SR_TILE_ALIGNMENT * SR_TILE_ALIGNMENT;
    return side < TILE_LEAST + overlaps ? TILE_LEAST + overlaps : side;
}

/* ---- declaring ---- */

/* Lays the inputs out from `memory` on; returns their bytes. */
static size_t sr_inputs_layout(const struct sr_core *core, struct sr_inputs *inputs, char *memory)
{
    const size_t parts[] = {sizeof(struct sr_numbers),
                            (size_t)core->span * patch_floats(core, false) * sizeof(float),
                            (size_t)core->span * patch_floats(core, true) * sizeof(float) *
                                (core->losses.choices.other_images ? 2 : 1)};
    size_t at[3], used = 0;
    for (int i = 0; i < 3; i++) {
        at[i] = used;
        used += plan_aligned(parts[i]);
    }
    if (inputs)
        *inputs = (struct sr_inputs){.memory = memory,
                                     .numbers = (void *)(memory + at[0]),
                                     .lq = (void *)(memory + at[1]),
                                     .gt = (void *)(memory + at[2])};
    return used;
}

float *sr_core_other(const struct sr_core *core, float *gt)
{
    return core->losses.choices.other_images ? gt + (size_t)core->span * patch_floats(core, true)
                                             : NULL;
}

/* Returns how many. */
static int list_sr_offload(const struct sr_core *core, struct offload_range *ranges)
{
    ranges[SR_OFFLOAD_MOMENTS] = trained_net_offload(&core->net, TRAINED_MOMENTS);
    ranges[SR_OFFLOAD_EMA] = trained_net_offload(&core->net, TRAINED_EMA);
    if (!sr_core_has_gan(core)) return SR_OFFLOAD_D;
    ranges[SR_OFFLOAD_D] = trained_net_offload(&core->gan.net, TRAINED_MOMENTS);
    return SR_OFFLOAD_RANGES;
}

static int sr_declare_offload(struct sr_core *core, struct plan *plan)
{
    struct offload_range ranges[SR_OFFLOAD_RANGES];
    if (!core->mode.offload) return OK;
    int count = list_sr_offload(core, ranges);
    return stepper_declare_offload(&core->stepper, ranges, count, plan);
}

/* between: phases between the forward and the backward pass. In all that are the losses', the
 * result is looked at (of a discriminator's it is the copy that this took) and its gradient is
 * made. */
static int sr_declare_passes(struct sr_core *core, int between, struct plan *plan)
{
    const struct net *net = &core->net.net;
    int micro = core->mode.micro, layers = net->layer_count;
    size_t workspace = pass_workspace(net, core->device, micro, 1);
    struct pass_use use = {.plan = plan,
                           .net = net,
                           .name = "net",
                           .forward = 0,
                           .backward = layers + between,
                           .n = micro,
                           .chunk = 1,
                           .parts = core->mode.checkpointing,
                           .output_until = layers + (sr_core_has_gan(core) ? 0 : between - 1),
                           .gradient_from =
                               layers + between - sr_losses_phases(&core->losses.choices)};
    TRY(pass_open(&core->learn, net));
    TRY(pass_open(&core->back, net));
    TRY(pass_plan_values(&use, &core->learn, true, 0, &core->back));
    TRY(pass_plan_masks(&use, &core->learn, -1));
    TRY(pass_plan_gradients(&use, &core->back, -1, NULL, 1));
    if (sr_core_has_gan(core) && sr_gan_workspace(&core->gan) > workspace)
        workspace = sr_gan_workspace(&core->gan);
    return plan_declare(plan, "workspace", PLAN_WORKSPACE, workspace, 0, 2 * layers + between - 1,
                        &core->workspace);
}

/* From before the forward pass to behind the backward pass. */
static int sr_declare_derived(struct sr_core *core, int last, struct plan *plan)
{
    size_t bytes = core->net.net.derived_floats * sizeof(float);
    if (bytes == 0) return OK;
    TRY(plan_declare(plan, "derived", PLAN_PARAMETERS, bytes, 0, last, (void **)&core->derived));
    return plan_declare(plan, "derived.gradients", PLAN_GRADIENTS, bytes, 0, last,
                        (void **)&core->derived_gradients);
}

/* Phases: the forward pass, the discriminator's, the losses, the backward pass, the update, tiles.
 */
int sr_core_declare(struct sr_core *core, const struct sr_design *design,
                    const struct sr_loss_choices *choices, const struct sr_mode *mode,
                    struct device *device, struct plan *plan)
{
    core->design = *design;
    core->design.mixed = mode->mixed;
    core->mode = *mode;
    core->device = device;
    core->ahead = !device->is_host;
    core->span = core->ahead ? mode->batch : mode->micro;
    core->stepper.device = device;
    if (sr_network_side(design, mode->lq_size) != mode->lq_size)
        return fail(ERR_CONFIG, "lq_size %d is no multiple of %d, of which pixels become channels",
                    mode->lq_size, design->unshuffle);
    TRY(sr_network_build(&core->net.net, &core->design, mode->lq_size, mode->lq_size,
                         mode->checkpointing ? SR_GROUP : 0));
    int layers = core->net.net.layer_count, gan_phases;
    TRY(sr_gan_phases(&choices->gan, &gan_phases));
    int between = gan_phases + sr_losses_phases(choices), end = 2 * layers + 1 + between;
    int tile = sr_tile_side(core);
    TRY(trained_net_declare(&core->net, "net",
                            &(struct trained_memory){.offload = mode->offload,
                                                     .views = core->ahead,
                                                     .means = true,
                                                     .ema = "ema",
                                                     .first = 0,
                                                     .last = end - 1},
                            plan));
    core->losses.choices = *choices;
    const struct sr_gan_memory gan = {.batch = mode->batch,
                                      .micro = mode->micro,
                                      .side = mode->lq_size * design->scale,
                                      .parts = mode->checkpointing,
                                      .offload = mode->offload,
                                      .views = core->ahead,
                                      .phase = layers,
                                      .until = layers + between - 1,
                                      .end = end - 1};
    if (sr_core_has_gan(core)) TRY(sr_gan_declare(&core->gan, &choices->gan, &gan, device, plan));
    TRY(sr_declare_derived(core, end - 1, plan));
    TRY(sr_declare_offload(core, plan));
    TRY(plan_declare(plan, "inputs", PLAN_DATA, sr_inputs_layout(core, NULL, NULL), PLAN_ALWAYS,
                     (void **)&core->inputs_memory));
    TRY(stepper_declare_arrival(&core->stepper, "inputs.arrival",
                                sr_inputs_layout(core, NULL, NULL), mode->micro < mode->batch,
                                plan));
    const struct sr_loss_shape shape = {.batch = mode->batch,
                                        .micro = mode->micro,
                                        .side = mode->lq_size * design->scale,
                                        .scale = design->scale,
                                        .other_sums = sr_gan_sum_count(&choices->gan, mode->batch)};
    TRY(sr_losses_declare(&core->losses, choices, &shape, device, layers + gan_phases, plan));
    TRY(stepper_declare_host(&core->stepper, sr_inputs_layout(core, NULL, NULL),
                             sr_losses_sum_count(&core->losses), plan));
    TRY(sr_declare_passes(core, between, plan));
    return sr_tiles_declare(&core->tiles, design, NULL, tile, tile, device, end, plan);
}

void sr_core_close(struct sr_core *core)
{
    pass_close(&core->learn);
    pass_close(&core->back);
    sr_gan_close(&core->gan);
    sr_losses_close(&core->losses);
    sr_tiles_close(&core->tiles);
    trained_net_free(&core->net);
}

static void sr_connect_pass(struct sr_core *core, struct network_pass *s)
{
    s->device = core->device;
    s->parameters = core->net.parameters;
    s->gradients = core->net.gradients;
    s->derived = core->derived;
    s->derived_gradients = core->derived_gradients;
    s->chunk = 1;
    s->workspace = core->workspace;
    s->parts = core->mode.checkpointing;
}

void sr_core_connect(struct sr_core *core)
{
    struct offload_range ranges[SR_OFFLOAD_RANGES];
    int count = list_sr_offload(core, ranges);
    stepper_connect(&core->stepper, core->inputs_memory, core->losses.sums,
                    sr_losses_sum_count(&core->losses), ranges, count);
    sr_inputs_layout(core, &core->inputs, core->inputs_memory);
    for (int i = 0; i < 2; i++)
        sr_inputs_layout(core, &core->host[i], core->stepper.host_inputs[i]);
    sr_losses_connect(&core->losses);
    sr_connect_pass(core, &core->learn);
    sr_connect_pass(core, &core->back);
    for (int i = 0; i < core->net.net.layer_count; i++) {
        core->back.mask[i] = core->learn.mask[i];
        if (!core->back.value[i]) core->back.value[i] = core->learn.value[i];
    }
    if (!sr_core_has_gan(core)) return;
    sr_gan_connect(&core->gan, core->workspace,
                   core->losses.sums + sr_losses_other_sums(&core->losses));
}

void sr_core_listen(struct sr_core *core, bool (*stop_requested)(void))
{
    core->learn.stop_requested = core->back.stop_requested = stop_requested;
    core->losses.perceptual.of_target.stop_requested = stop_requested;
    core->losses.perceptual.of_out.stop_requested = stop_requested;
    sr_gan_listen(&core->gan, stop_requested);
}

int sr_core_initialise(struct sr_core *core, uint64_t seed)
{
    float *parameters = trained_net_view(&core->net, TRAINED_PARAMETERS);
    TRY(sr_network_initialise(&core->design, &core->net.net, parameters, seed));
    memcpy(trained_net_view(&core->net, TRAINED_EMA), parameters,
           core->net.net.floats * sizeof(float));
    if (sr_core_has_gan(core)) sr_gan_initialise(&core->gan, seed);
    return OK;
}

int sr_core_begin(struct sr_core *core)
{
    if (sr_core_has_gan(core)) TRY(sr_gan_begin(&core->gan));
    TRY(trained_net_push(&core->net, core->device, TRAINED_PARAMETERS));
    return trained_net_push(&core->net, core->device, TRAINED_EMA);
}

/* ---- a step ---- */

/* The inputs of patches first .. first + n - 1, to where the passes take them. */
static int sr_take_inputs(struct sr_core *core, int first, int n, const float **gt)
{
    size_t lq = patch_floats(core, false), skip = core->ahead ? (size_t)first : 0;
    const struct sr_inputs *in = &core->inputs;
    if (!core->ahead) TRY(core->fill(core->fill_context, first, n, in->lq, in->gt));
    *gt = in->gt + skip * patch_floats(core, true);
    return core->device->nn->copy(core->device, core->learn.value[0], in->lq + skip * lq,
                                  (size_t)n * lq * sizeof(float));
}

static int sr_queue_micro(struct sr_core *core, int first, int n)
{
    int last = core->net.net.layer_count - 1;
    bool learns = !core->generator_rests, gan = sr_core_has_gan(core);
    const float *gt, *made = core->learn.value[last];
    TRY(sr_take_inputs(core, first, n, &gt));
    core->learn.n = core->back.n = n;
    TRY(pass_forward(&core->learn, PASS_WRITE_MASKS, false));
    const float *other = gt + (size_t)core->span * patch_floats(core, true);
    if (gan) {
        const float *judged = core->gan.choices.own_images ? other : gt;
        TRY(sr_gan_queue(&core->gan, first, n, made, judged, learns));
        made = core->gan.made;
    }
    TRY(sr_losses_queue(&core->losses, first, n, made, gt, other, core->back.grad[last], learns));
    if (!learns) return OK;
    if (gan) TRY(sr_gan_queue_gradient(&core->gan, n, core->back.grad[last]));
    return pass_backward(&core->back, true);
}

/* When all gradients are complete. */
static int sr_queue_updates(struct sr_core *core)
{
    struct offload_stream *offload = &core->stepper.offload;
    const struct sr_numbers *numbers = core->inputs.numbers;
    size_t floats = core->generator_rests ? 0 : core->net.net.floats; /* that have a gradient */
    TRY(sr_losses_clip(&core->losses, core->net.gradients, floats));
    if (!core->generator_rests)
        TRY(trained_net_update(&core->net, core->device, offload, SR_OFFLOAD_MOMENTS,
                               &numbers->adam));
    TRY(trained_net_average(&core->net, core->device, offload, SR_OFFLOAD_EMA, &numbers->ema));
    if (!sr_core_has_gan(core)) return OK;
    return sr_gan_queue_end(&core->gan, offload, SR_OFFLOAD_D, &numbers->d);
}

static int sr_queue_step(void *context)
{
    struct sr_core *core = context;
    struct offload_stream *offload = &core->stepper.offload;
    int batch = core->mode.batch, micro = core->mode.micro;
    TRY(offload_stream_begin(offload));
    if (sr_core_has_gan(core)) TRY(sr_gan_queue_begin(&core->gan));
    TRY(core->device->nn->zero(core->device, core->net.gradients,
                               core->net.net.floats * sizeof(float)));
    if (core->derived_gradients)
        TRY(core->device->nn->zero(core->device, core->derived_gradients,
                                   core->net.net.derived_floats * sizeof(float)));
    TRY(pass_derive(&core->learn));
    for (int first = 0; first < batch; first += micro)
        TRY(sr_queue_micro(core, first, batch - first < micro ? batch - first : micro));
    TRY(pass_derive_gradients(&core->back));
    TRY(sr_queue_updates(core));
    return offload_stream_end(offload);
}

static int sr_begin_step(struct sr_core *core, const struct sr_rates *rates)
{
    struct sr_inputs *host = &core->host[core->stepper.turn];
    TRY(stepper_await(&core->stepper, core->stepper.turn));
    if (!rates->generator_rests)
        host->numbers->adam = trained_net_advance(&core->net, &rates->adam);
    if (sr_core_has_gan(core)) host->numbers->d = trained_net_advance(&core->gan.net, &rates->d);
    host->numbers->ema = (float)rates->ema;
    core->generator_rests = rates->generator_rests;
    core->stepper.kind = core->generator_rests ? 1 : 0;
    if (!core->ahead) return OK;
    TRY(core->fill(core->fill_context, 0, core->mode.batch, host->lq, host->gt));
    return stepper_send(&core->stepper, core->inputs.memory, host->memory,
                        sr_inputs_layout(core, NULL, NULL));
}

int sr_train_step(struct sr_core *core, const struct sr_rates *rates, sr_fill *fill, void *context)
{
    const double before[] = {core->net.v_missing, core->net.m_missing};
    const double d_before[] = {core->gan.net.v_missing, core->gan.net.m_missing};
    core->fill = fill;
    core->fill_context = context;
    int code = sr_begin_step(core, rates);
    if (code == OK) code = stepper_run(&core->stepper, sr_queue_step, core);
    if (code < 0) {
        core->net.v_missing = before[0], core->net.m_missing = before[1];
        core->gan.net.v_missing = d_before[0], core->gan.net.m_missing = d_before[1];
        return code;
    }
    return stepper_end(&core->stepper);
}

int sr_core_report(struct sr_core *core, int back, struct sr_report *report)
{
    const double *sums;
    TRY(stepper_sums(&core->stepper, back, &sums));
    sr_losses_report(&core->losses, sums, report);
    if (!sr_core_has_gan(core)) return OK;
    const struct sr_gan_choices *gan = &core->gan.choices;
    sr_gan_report(&core->gan, sums + sr_losses_other_sums(&core->losses), &report->gan);
    report->loss += gan->weight * report->gan.loss + gan->feature_weight * report->gan.feature;
    return OK;
}

/* ---- between steps ---- */

int sr_core_enlarge(struct sr_core *core, const struct sr_rows *in, int x, int y, int w, int h,
                    float *out, bool (*stop_requested)(void))
{
    const float *parameters;
    TRY(trained_net_reach_average(&core->net, core->device, core->stepper.staging != NULL,
                                  &parameters));
    return sr_tiles_enlarge(&core->tiles, parameters, in, x, y, w, h, out, stop_requested);
}
