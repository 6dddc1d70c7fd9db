/* Buffers of the training, and its step. */
#include "diffusion/diffusion_core.h"

#include "base/error.h"
#include "device/device.h"
#include "device/nn_ops.h"
#include "memory/plan.h"

#include <math.h>
#include <string.h>

/* ---- declaring ---- */

/* Sums of each image's loss, then the gradient's squares. */
static int core_sum_count(const struct diffusion_core *core)
{
    return core->mode.batch * NN_LOSS_TERMS + 1;
}

/* Lays the inputs out from `memory` on; returns their bytes. */
static size_t core_inputs_layout(const struct diffusion_core *core, struct diffusion_inputs *inputs,
                                 char *memory)
{
    size_t span = (size_t)core->span,
           image = span * diffusion_image_floats(&core->design) * sizeof(float);
    const size_t parts[] = {sizeof(struct diffusion_numbers),
                            image,
                            image,
                            span * sizeof(float),
                            span * (size_t)core->design.conditions.rows_most * sizeof(int),
                            span * sizeof(int),
                            span * S3DIT_TIME_FEATURES * sizeof(float)};
    size_t at[7], used = 0;
    for (int i = 0; i < 7; i++) {
        at[i] = used;
        used += plan_aligned(parts[i]);
    }
    if (inputs)
        *inputs = (struct diffusion_inputs){.memory = memory,
                                            .numbers = (void *)(memory + at[0]),
                                            .samples = {.noisy = (void *)(memory + at[1]),
                                                        .target = (void *)(memory + at[2]),
                                                        .time = (void *)(memory + at[3]),
                                                        .condition = (void *)(memory + at[4]),
                                                        .length = (void *)(memory + at[5])},
                                            .time = (void *)(memory + at[6])};
    return used;
}

static void core_list_offload(const struct diffusion_core *core, struct offload_range *ranges)
{
    ranges[DIFFUSION_OFFLOAD_MOMENTS] = trained_net_offload(&core->net, TRAINED_MOMENTS);
    ranges[DIFFUSION_OFFLOAD_EMA] = trained_net_offload(&core->net, TRAINED_EMA);
}

static int core_declare_offload(struct diffusion_core *core, struct plan *plan)
{
    struct offload_range ranges[DIFFUSION_OFFLOAD_RANGES];
    if (!core->mode.offload) return OK;
    core_list_offload(core, ranges);
    return stepper_declare_offload(&core->stepper, ranges, DIFFUSION_OFFLOAD_RANGES, plan);
}

/* Phases: those of the network's passes, with the loss between them, then the update. */
int diffusion_core_declare(struct diffusion_core *core, const struct diffusion_design *design,
                           const struct diffusion_mode *mode, double clip, struct device *device,
                           struct plan *plan)
{
    core->design = *design;
    core->mode = *mode;
    core->clip = clip;
    core->device = device;
    core->ahead = !device->is_host;
    core->span = core->ahead ? mode->batch : mode->micro;
    core->stepper.device = device;
    /* Which tables of angles a step reads depends on its captions' lengths. */
    core->stepper.no_graph = design->conditions.captions;
    size_t images = (size_t)mode->micro * diffusion_image_floats(&core->design) * sizeof(float);
    TRY(diffusion_network_open(&core->network, design));
    TRY(diffusion_network_list(&core->network, &core->net.net));
    TRY(diffusion_network_declare(&core->network, mode->micro,
                                  mode->checkpointing ? S3DIT_CHECKPOINTED
                                  : mode->halves      ? S3DIT_HALVES
                                                      : S3DIT_TRAINING,
                                  device, plan, &core->phases));
    TRY(trained_net_declare(&core->net, "net",
                            &(struct trained_memory){.offload = mode->offload,
                                                     .views = core->ahead,
                                                     .means = true,
                                                     .ema = "ema",
                                                     .first = 0,
                                                     .last = core->phases},
                            plan));
    TRY(core_declare_offload(core, plan));
    TRY(plan_declare(plan, "inputs", PLAN_DATA, core_inputs_layout(core, NULL, NULL), PLAN_ALWAYS,
                     (void **)&core->inputs_memory));
    TRY(stepper_declare_arrival(&core->stepper, "inputs.arrival",
                                core_inputs_layout(core, NULL, NULL), mode->micro < mode->batch,
                                plan));
    TRY(plan_declare(plan, "sums", PLAN_DATA, (size_t)core_sum_count(core) * sizeof(double),
                     PLAN_ALWAYS, (void **)&core->sums));
    TRY(plan_declare(plan, "out", PLAN_ACTIVATIONS, images, PLAN_ALWAYS, (void **)&core->out));
    TRY(plan_declare(plan, "out.gradient", PLAN_ACTIVATIONS, images, PLAN_ALWAYS,
                     (void **)&core->gradient));
    return stepper_declare_host(&core->stepper, core_inputs_layout(core, NULL, NULL),
                                core_sum_count(core), plan);
}

void diffusion_core_close(struct diffusion_core *core)
{
    diffusion_network_close(&core->network);
    trained_net_free(&core->net);
}

int diffusion_core_connect(struct diffusion_core *core)
{
    struct offload_range ranges[DIFFUSION_OFFLOAD_RANGES];
    core_list_offload(core, ranges);
    stepper_connect(&core->stepper, core->inputs_memory, core->sums, core_sum_count(core), ranges,
                    DIFFUSION_OFFLOAD_RANGES);
    core_inputs_layout(core, &core->inputs, core->inputs_memory);
    for (int i = 0; i < 2; i++)
        core_inputs_layout(core, &core->host[i], core->stepper.host_inputs[i]);
    return diffusion_network_connect(&core->network);
}

int diffusion_core_initialise(struct diffusion_core *core, uint64_t seed)
{
    float *parameters = trained_net_view(&core->net, TRAINED_PARAMETERS);
    diffusion_network_initialise(&core->network, parameters, seed);
    memcpy(trained_net_view(&core->net, TRAINED_EMA), parameters,
           core->net.net.floats * sizeof(float));
    TRY(trained_net_push(&core->net, core->device, TRAINED_PARAMETERS));
    return trained_net_push(&core->net, core->device, TRAINED_EMA);
}

/* ---- a step ---- */

/* Samples first .. first + n - 1 of the batch, into a block of the host. */
static int core_fill(struct diffusion_core *core, const struct diffusion_inputs *host, int first,
                     int n)
{
    TRY(core->fill(core->fill_context, first, n, &host->samples));
    s3dit_time_features(&core->design.dit, host->samples.time, n, host->time);
    return OK;
}

static int core_queue_micro(struct diffusion_core *core, int first, int n)
{
    const struct diffusion_inputs *in = &core->inputs;
    const int *lengths = core->host[core->stepper.turn].samples.length;
    size_t image = diffusion_image_floats(&core->design),
           rows = (size_t)core->design.conditions.rows_most;
    size_t skip = core->ahead ? (size_t)first : 0;
    if (!core->ahead) TRY(core_fill(core, in, first, n));
    const struct diffusion_pass pass = {.parameters = core->net.parameters,
                                        .gradients = core->net.gradients,
                                        .n = n,
                                        .image = in->samples.noisy + skip * image,
                                        .time = in->time + skip * S3DIT_TIME_FEATURES,
                                        .condition = in->samples.condition + skip * rows,
                                        .length = lengths + skip,
                                        .stop_requested = core->stop_requested};
    TRY(diffusion_network_forward(&core->network, &pass, core->out));
    const struct nn_image_loss loss = {
        .sums = core->sums + (ptrdiff_t)first * NN_LOSS_TERMS,
        .grad = core->gradient,
        .out = core->out,
        .target = in->samples.target + skip * image,
        .n = n,
        .count = image,
        .weight = {[NN_LOSS_MSE] = (float)(1 / ((double)image * core->mode.batch))}};
    TRY(core->device->nn->image_loss(core->device, &loss));
    return diffusion_network_backward(&core->network, &pass, core->gradient);
}

/* Adam on a part of the flat range: matrices come first in it, and decay. */
static int core_queue_adam(struct diffusion_core *core, const struct offload_chunk *moments)
{
    const struct diffusion_numbers *numbers = core->inputs.numbers;
    size_t matrices = core->network.model.list.matrix_floats, end = moments->first + moments->rows;
    size_t split = matrices < moments->first ? moments->first : matrices < end ? matrices : end;
    const struct {
        size_t first, end;
        const struct adam_f32 *adam;
    } parts[] = {{moments->first, split, &numbers->matrices}, {split, end, &numbers->others}};
    for (int i = 0; i < 2; i++) {
        size_t at = parts[i].first, count = parts[i].end - at, skip = at - moments->first;
        if (count == 0) continue;
        TRY(core->device->nn->adam(core->device, core->net.parameters + at,
                                   (float *)moments->at[1] + skip, (float *)moments->at[0] + skip,
                                   core->net.gradients + at, count, parts[i].adam));
    }
    return OK;
}

/* When all gradients are complete. */
static int core_queue_updates(struct diffusion_core *core)
{
    struct offload_stream *offload = &core->stepper.offload;
    struct offload_chunk moments;
    double *norm2 = core->sums + core_sum_count(core) - 1;
    if (core->clip > 0)
        TRY(core->device->nn->clip_norm(core->device, core->net.gradients, core->net.net.floats,
                                        core->clip, norm2));
    TRY(offload_stream_start(offload, DIFFUSION_OFFLOAD_MOMENTS));
    for (;;) {
        TRY(offload_stream_acquire(offload, &moments));
        if (moments.rows == 0) break;
        TRY(core_queue_adam(core, &moments));
    }
    return trained_net_average(&core->net, core->device, offload, DIFFUSION_OFFLOAD_EMA,
                               &core->inputs.numbers->ema);
}

static int core_queue_step(void *context)
{
    struct diffusion_core *core = context;
    struct offload_stream *offload = &core->stepper.offload;
    int batch = core->mode.batch, micro = core->mode.micro;
    TRY(offload_stream_begin(offload));
    TRY(core->device->nn->zero(core->device, core->net.gradients,
                               core->net.net.floats * sizeof(float)));
    for (int first = 0; first < batch; first += micro)
        TRY(core_queue_micro(core, first, batch - first < micro ? batch - first : micro));
    TRY(core_queue_updates(core));
    return offload_stream_end(offload);
}

static int core_begin_step(struct diffusion_core *core, const struct diffusion_rates *rates)
{
    struct diffusion_inputs *host = &core->host[core->stepper.turn];
    TRY(stepper_await(&core->stepper, core->stepper.turn));
    host->numbers->matrices = host->numbers->others = trained_net_advance(&core->net, &rates->adam);
    host->numbers->others.decay = 0;
    host->numbers->ema = (float)rates->ema;
    if (!core->ahead) return OK;
    TRY(core_fill(core, host, 0, core->mode.batch));
    return stepper_send(&core->stepper, core->inputs.memory, host->memory,
                        core_inputs_layout(core, NULL, NULL));
}

int diffusion_train_step(struct diffusion_core *core, const struct diffusion_rates *rates,
                         diffusion_fill *fill, void *context)
{
    const double before[] = {core->net.v_missing, core->net.m_missing};
    core->fill = fill;
    core->fill_context = context;
    int code = core_begin_step(core, rates);
    if (code == OK) code = stepper_run(&core->stepper, core_queue_step, core);
    if (code < 0) {
        core->net.v_missing = before[0], core->net.m_missing = before[1];
        return code;
    }
    return stepper_end(&core->stepper);
}

int diffusion_core_report(struct diffusion_core *core, int back, struct diffusion_report *report)
{
    const double *sums;
    double loss = 0;
    int batch = core->mode.batch;
    TRY(stepper_sums(&core->stepper, back, &sums));
    for (int i = 0; i < batch; i++)
        loss += sums[i * NN_LOSS_TERMS + NN_LOSS_MSE];
    report->loss = loss / ((double)diffusion_image_floats(&core->design) * batch);
    report->grad_norm = core->clip > 0 ? sqrt(sums[batch * NN_LOSS_TERMS]) : 0;
    return OK;
}

/* ---- between steps ---- */

struct diffusion_samples diffusion_core_samples(const struct diffusion_core *core)
{
    return core->host[core->stepper.turn].samples;
}

int diffusion_core_predict(struct diffusion_core *core, int n, float *out)
{
    struct device *device = core->device;
    const struct diffusion_inputs *host = &core->host[core->stepper.turn];
    size_t image = diffusion_image_floats(&core->design);
    s3dit_time_features(&core->design.dit, host->samples.time, n, host->time);
    if (core->ahead) {
        TRY(device_upload(device, core->inputs.memory, host->memory,
                          core_inputs_layout(core, NULL, NULL)));
    }
    const float *average;
    TRY(trained_net_reach_average(&core->net, device, core->stepper.staging != NULL, &average));
    const struct diffusion_pass pass = {.parameters = average,
                                        .n = n,
                                        .image = core->inputs.samples.noisy,
                                        .time = core->inputs.time,
                                        .condition = core->inputs.samples.condition,
                                        .length = host->samples.length,
                                        .stop_requested = core->stop_requested};
    int code = diffusion_network_forward(&core->network, &pass, core->out);
    if (code == ERR_STOPPED) TRY(device->synchronize(device)); /* the inputs may be written again */
    TRY(code);
    return device_fetch(device, out, core->out, (size_t)n * image * sizeof(float));
}
