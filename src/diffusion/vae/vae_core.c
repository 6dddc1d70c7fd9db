/* Buffers of the training, and its step. */
#include "diffusion/vae/vae_core.h"

#include "base/error.h"
#include "base/random.h"
#include "device/device.h"
#include "memory/plan.h"
#include "nn/net_init.h"
#include "nn/pass_memory.h"

#include <math.h>
#include <string.h>

/* ---- declaring ---- */

static size_t vae_image_floats(const struct vae_core *core)
{
    return net_elements(&core->net.net, KL_IMAGE);
}

static size_t vae_noise_floats(const struct vae_core *core)
{
    return net_elements(&core->net.net, KL_NOISE);
}

/* Sums of each image: of |d| and its kin, 1 - SSIM, KL; then the gradient's squares. */
static size_t vae_sum_count(const struct vae_core *core)
{
    return (size_t)core->mode.batch * (NN_LOSS_TERMS + 2) + 1;
}

/* Lays the inputs out from `memory` on; returns their bytes. */
static size_t vae_inputs_layout(const struct vae_core *core, struct vae_inputs *inputs,
                                char *memory)
{
    size_t span = (size_t)core->span * sizeof(float);
    size_t images = plan_aligned(sizeof(struct vae_numbers));
    size_t noise = images + plan_aligned(span * vae_image_floats(core));
    if (inputs)
        *inputs = (struct vae_inputs){.memory = memory,
                                      .numbers = (void *)memory,
                                      .images = (void *)(memory + images),
                                      .noise = (void *)(memory + noise)};
    return noise + plan_aligned(span * vae_noise_floats(core));
}

static void vae_list_offload(const struct vae_core *core, struct offload_range *ranges)
{
    ranges[VAE_OFFLOAD_MOMENTS] = trained_net_offload(&core->net, TRAINED_MOMENTS);
    ranges[VAE_OFFLOAD_EMA] = trained_net_offload(&core->net, TRAINED_EMA);
}

static int vae_declare_offload(struct vae_core *core, struct plan *plan)
{
    struct offload_range ranges[VAE_OFFLOAD_RANGES];
    if (!core->mode.offload) return OK;
    vae_list_offload(core, ranges);
    return stepper_declare_offload(&core->stepper, ranges, VAE_OFFLOAD_RANGES, plan);
}

/* The 1x1 convolution that makes 0..1 of -1..1. */
static struct nn_conv shown_conv(const struct vae_core *core, int n)
{
    return (struct nn_conv){.n = n,
                            .h = core->side,
                            .w = core->side,
                            .cin = KL_IMAGE_CHANNELS,
                            .cout = KL_IMAGE_CHANNELS,
                            .kernel = 1,
                            .groups = 1,
                            .chunk = 1};
}
enum { SHOWN_BIAS = KL_IMAGE_CHANNELS * KL_IMAGE_CHANNELS, SHOWN_NUMBERS = 16 };

static int vae_declare_losses(struct vae_core *core, int phase, struct plan *plan)
{
    size_t images = (size_t)core->mode.micro * vae_image_floats(core) * sizeof(float);
    const struct {
        const char *name;
        int last;
        float **slot;
    } buffers[] = {{"shown", phase, &core->shown},
                   {"target", phase, &core->target},
                   {"shown.gradient", phase + 1, &core->shown_grad}};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        TRY(plan_declare(plan, buffers[i].name, PLAN_ACTIVATIONS, images, phase, buffers[i].last,
                         (void **)buffers[i].slot));
    TRY(plan_declare(plan, "shown.weights", PLAN_DATA, SHOWN_NUMBERS * sizeof(float), PLAN_ALWAYS,
                     (void **)&core->constants));
    TRY(plan_declare(plan, "shown.weights.host", PLAN_HOST, SHOWN_NUMBERS * sizeof(float),
                     PLAN_ALWAYS, (void **)&core->host_constants));
    return plan_declare(plan, "sums", PLAN_DATA, vae_sum_count(core) * sizeof(double), PLAN_ALWAYS,
                        (void **)&core->sums);
}

static size_t vae_workspace_bytes(const struct vae_core *core)
{
    const struct device *device = core->device;
    int micro = core->mode.micro;
    struct nn_conv shown = shown_conv(core, micro);
    const size_t wanted[] = {pass_workspace(&core->net.net, device, micro, 1),
                             device->nn->conv_workspace(device, &shown),
                             nn_ssim_layout_of(micro, core->side).bytes};
    size_t most = 0;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (wanted[i] > most) most = wanted[i];
    return most;
}

/* Phases: the forward pass, the losses, their gradient, the backward pass, the update. */
int vae_core_declare(struct vae_core *core, const struct kl_config *config, int side,
                     const struct vae_mode *mode, const struct vae_losses *losses,
                     struct device *device, struct plan *plan)
{
    core->config = *config;
    core->side = side;
    core->mode = *mode;
    core->losses = *losses;
    core->device = device;
    core->ahead = !device->is_host;
    core->span = core->ahead ? mode->batch : mode->micro;
    core->stepper.device = device;
    TRY(kl_build_training(&core->net.net, config, side, side, &core->moments));
    const struct net *net = &core->net.net;
    int layers = net->layer_count, end = 2 * layers + 2;
    struct pass_use use = {.plan = plan,
                           .net = net,
                           .name = "net",
                           .backward = layers + 2,
                           .n = mode->micro,
                           .chunk = 1,
                           .parts = mode->checkpointing,
                           .output_until = layers};
    TRY(pass_open(&core->learn, net));
    TRY(pass_open(&core->back, net));
    TRY(trained_net_declare(&core->net, "net",
                            &(struct trained_memory){.offload = mode->offload,
                                                     .views = core->ahead,
                                                     .means = true,
                                                     .ema = "ema",
                                                     .first = 0,
                                                     .last = end},
                            plan));
    TRY(vae_declare_offload(core, plan));
    TRY(plan_declare(plan, "inputs", PLAN_DATA, vae_inputs_layout(core, NULL, NULL), PLAN_ALWAYS,
                     (void **)&core->inputs_memory));
    TRY(stepper_declare_arrival(&core->stepper, "inputs.arrival",
                                vae_inputs_layout(core, NULL, NULL), mode->micro < mode->batch,
                                plan));
    TRY(pass_plan_values(&use, &core->learn, true, KL_NOISE + 1, &core->back));
    TRY(pass_plan_gradients(&use, &core->back, -1, NULL, KL_NOISE + 1));
    TRY(vae_declare_losses(core, layers, plan));
    TRY(plan_declare(plan, "workspace", PLAN_WORKSPACE, vae_workspace_bytes(core), 0, end - 1,
                     &core->workspace));
    return stepper_declare_host(&core->stepper, vae_inputs_layout(core, NULL, NULL),
                                (int)vae_sum_count(core), plan);
}

void vae_core_close(struct vae_core *core)
{
    pass_close(&core->learn);
    pass_close(&core->back);
    trained_net_free(&core->net);
}

int vae_core_connect(struct vae_core *core)
{
    struct offload_range ranges[VAE_OFFLOAD_RANGES];
    struct network_pass *const passes[] = {&core->learn, &core->back};
    vae_list_offload(core, ranges);
    stepper_connect(&core->stepper, core->inputs_memory, core->sums, (int)vae_sum_count(core),
                    ranges, VAE_OFFLOAD_RANGES);
    vae_inputs_layout(core, &core->inputs, core->inputs_memory);
    for (int i = 0; i < 2; i++)
        vae_inputs_layout(core, &core->host[i], core->stepper.host_inputs[i]);
    for (int i = 0; i < 2; i++) {
        passes[i]->device = core->device;
        passes[i]->parameters = core->net.parameters;
        passes[i]->gradients = core->net.gradients;
        passes[i]->chunk = 1;
        passes[i]->workspace = core->workspace;
        passes[i]->addend = core->back.addend;
        passes[i]->parts = core->mode.checkpointing;
    }
    for (int i = 0; i < core->net.net.layer_count; i++)
        if (!core->back.value[i]) core->back.value[i] = core->learn.value[i];
    memset(core->host_constants, 0, SHOWN_NUMBERS * sizeof(float));
    for (int c = 0; c < KL_IMAGE_CHANNELS; c++)
        core->host_constants[c * (KL_IMAGE_CHANNELS + 1)] = core->host_constants[SHOWN_BIAS + c] =
            0.5f;
    return device_upload(core->device, core->constants, core->host_constants,
                         SHOWN_NUMBERS * sizeof(float));
}

void vae_core_listen(struct vae_core *core, bool (*stop_requested)(void))
{
    core->learn.stop_requested = core->back.stop_requested = stop_requested;
}

/* A latent's variance at first: noise as large as what it is added to would hide all but outlines
 * for as long as means grow. */
static const float FIRST_LOG_VARIANCE = -6;

static void vae_draw_weights(const struct net *net, float *parameters, uint64_t seed)
{
    net_initialise(net, parameters, seed, STREAM_VAE_WEIGHTS, 0);
    for (int i = 0; i < net->parameter_count; i++) {
        const struct net_parameter *p = &net->parameters[i];
        if (strcmp(p->name, "encoder.conv_out.bias") != 0) continue;
        for (size_t k = p->count / 2; k < p->count; k++)
            parameters[p->offset + k] = FIRST_LOG_VARIANCE;
    }
}

int vae_core_initialise(struct vae_core *core, uint64_t seed)
{
    float *parameters = trained_net_view(&core->net, TRAINED_PARAMETERS);
    vae_draw_weights(&core->net.net, parameters, seed);
    memcpy(trained_net_view(&core->net, TRAINED_EMA), parameters,
           core->net.net.floats * sizeof(float));
    TRY(trained_net_push(&core->net, core->device, TRAINED_PARAMETERS));
    return trained_net_push(&core->net, core->device, TRAINED_EMA);
}

/* ---- a step ---- */

static int vae_show(struct vae_core *core, int n, float *to, const float *image)
{
    const struct nn_epilogue e = {.bias = core->constants + SHOWN_BIAS, .slope = 1};
    struct nn_conv shape = shown_conv(core, n);
    return core->device->nn->conv_forward(core->device, &shape, to, image, core->constants, &e,
                                          core->workspace);
}

/* Losses of images first .. first + n - 1, and their gradient at the decoder's output. */
static int vae_queue_losses(struct vae_core *core, int first, int n)
{
    const struct nn_ops *nn = core->device->nn;
    const struct nn_epilogue plain = {.slope = 1};
    int last = core->net.net.layer_count - 1, batch = core->mode.batch;
    size_t count = vae_image_floats(core);
    struct nn_conv shape = shown_conv(core, n);
    struct nn_image_loss colours = {.sums = core->sums + (ptrdiff_t)first * NN_LOSS_TERMS,
                                    .grad = core->shown_grad,
                                    .out = core->shown,
                                    .target = core->target,
                                    .n = n,
                                    .count = count};
    const struct nn_ssim_loss ssim = {.sums = core->sums + (ptrdiff_t)batch * NN_LOSS_TERMS + first,
                                      .grad = core->shown_grad,
                                      .out = core->shown,
                                      .target = core->target,
                                      .n = n,
                                      .side = core->side,
                                      .weight = (float)(core->losses.ssim / batch),
                                      .workspace = core->workspace};
    colours.weight[NN_LOSS_L1] = (float)(1 / ((double)count * batch));
    colours.weight[NN_LOSS_MSE] = (float)(core->losses.mse / ((double)count * batch));
    TRY(vae_show(core, n, core->shown, core->learn.value[last]));
    TRY(vae_show(core, n, core->target, core->learn.value[KL_IMAGE]));
    TRY(nn->image_loss(core->device, &colours));
    TRY(nn->ssim_loss(core->device, &ssim));
    return nn->conv_dgrad(core->device, &shape, core->back.grad[last], core->shown_grad,
                          core->constants, &plain, core->workspace);
}

static int vae_queue_kl(struct vae_core *core, int first, int n)
{
    const struct net_layer *noise = &core->net.net.layers[KL_NOISE];
    int batch = core->mode.batch;
    const struct nn_latent latent = {.moments = core->learn.value[core->moments],
                                     .n = n,
                                     .pixels = noise->h * noise->w,
                                     .c = noise->c};
    return core->device->nn->latent_kl(
        core->device, &latent, core->sums + (ptrdiff_t)batch * (NN_LOSS_TERMS + 1) + first,
        core->back.grad[core->moments], (float)(core->losses.kl / batch));
}

static int vae_queue_micro(struct vae_core *core, int first, int n)
{
    const struct vae_inputs *in = &core->inputs;
    size_t skip = core->ahead ? (size_t)first : 0;
    int last = core->net.net.layer_count - 1;
    struct network_pass *const passes[] = {&core->learn, &core->back};
    if (!core->ahead) TRY(core->fill(core->fill_context, first, n, in->images, in->noise));
    for (int i = 0; i < 2; i++) {
        passes[i]->n = n;
        passes[i]->parameters = core->net.parameters;
        passes[i]->value[KL_IMAGE] = in->images + skip * vae_image_floats(core);
        passes[i]->value[KL_NOISE] = in->noise + skip * vae_noise_floats(core);
    }
    TRY(pass_forward(&core->learn, PASS_NO_MASKS, false));
    TRY(vae_queue_losses(core, first, n));
    TRY(pass_backward_through(&core->back, last, core->moments + 1, true));
    TRY(vae_queue_kl(core, first, n));
    return pass_backward_through(&core->back, core->moments, 0, true);
}

static int vae_queue_step(void *context)
{
    struct vae_core *core = context;
    const struct nn_ops *nn = core->device->nn;
    struct offload_stream *offload = &core->stepper.offload;
    const struct vae_numbers *numbers = core->inputs.numbers;
    int batch = core->mode.batch, micro = core->mode.micro;
    size_t floats = core->net.net.floats;
    TRY(offload_stream_begin(offload));
    TRY(nn->zero(core->device, core->net.gradients, floats * sizeof(float)));
    for (int first = 0; first < batch; first += micro)
        TRY(vae_queue_micro(core, first, batch - first < micro ? batch - first : micro));
    if (core->losses.clip > 0)
        TRY(nn->clip_norm(core->device, core->net.gradients, floats, core->losses.clip,
                          core->sums + vae_sum_count(core) - 1));
    TRY(trained_net_update(&core->net, core->device, offload, VAE_OFFLOAD_MOMENTS, &numbers->adam));
    TRY(trained_net_average(&core->net, core->device, offload, VAE_OFFLOAD_EMA, &numbers->ema));
    return offload_stream_end(offload);
}

static int vae_begin_step(struct vae_core *core, const struct vae_rates *rates)
{
    struct vae_inputs *host = &core->host[core->stepper.turn];
    TRY(stepper_await(&core->stepper, core->stepper.turn));
    host->numbers->adam = trained_net_advance(&core->net, &rates->adam);
    host->numbers->ema = (float)rates->ema;
    if (!core->ahead) return OK;
    TRY(core->fill(core->fill_context, 0, core->mode.batch, host->images, host->noise));
    return stepper_send(&core->stepper, core->inputs.memory, host->memory,
                        vae_inputs_layout(core, NULL, NULL));
}

int vae_train_step(struct vae_core *core, const struct vae_rates *rates, vae_fill *fill,
                   void *context)
{
    const double before[] = {core->net.v_missing, core->net.m_missing};
    core->fill = fill;
    core->fill_context = context;
    int code = vae_begin_step(core, rates);
    if (code == OK) code = stepper_run(&core->stepper, vae_queue_step, core);
    if (code < 0) {
        core->net.v_missing = before[0], core->net.m_missing = before[1];
        return code;
    }
    return stepper_end(&core->stepper);
}

int vae_core_report(struct vae_core *core, int back, struct vae_report *r)
{
    const double *sums;
    int batch = core->mode.batch;
    TRY(stepper_sums(&core->stepper, back, &sums));
    *r = (struct vae_report){.ssim = 1};
    double colours = (double)vae_image_floats(core) * batch;
    for (int i = 0; i < batch; i++) {
        r->l1 += sums[i * NN_LOSS_TERMS + NN_LOSS_L1] / colours;
        r->mse += sums[i * NN_LOSS_TERMS + NN_LOSS_MSE] / colours;
        r->ssim -= sums[batch * NN_LOSS_TERMS + i] / batch;
        r->kl += sums[batch * (NN_LOSS_TERMS + 1) + i] / batch;
    }
    r->loss = r->l1 + core->losses.mse * r->mse + core->losses.ssim * (1 - r->ssim) +
              core->losses.kl * r->kl;
    r->grad_norm = core->losses.clip > 0 ? sqrt(sums[vae_sum_count(core) - 1]) : 0;
    return OK;
}

/* ---- between steps ---- */

float *vae_core_images(const struct vae_core *core)
{
    return core->host[core->stepper.turn].images;
}

int vae_core_try(struct vae_core *core, int n, float *moments, float *images)
{
    struct device *device = core->device;
    struct network_pass *pass = &core->learn;
    struct vae_inputs *host = &core->host[core->stepper.turn];
    int last = core->net.net.layer_count - 1;
    memset(host->noise, 0, (size_t)n * vae_noise_floats(core) * sizeof(float));
    if (core->ahead) /* what comes down is waited for: by then this has gone up */
        TRY(device_upload(device, core->inputs.memory, host->memory,
                          vae_inputs_layout(core, NULL, NULL)));
    TRY(trained_net_reach_average(&core->net, device, core->stepper.staging != NULL,
                                  &pass->parameters));
    pass->n = n;
    pass->value[KL_IMAGE] = core->inputs.images;
    pass->value[KL_NOISE] = core->inputs.noise;
    TRY(pass_forward_through(pass, 0, core->moments, PASS_NO_MASKS, false));
    if (moments)
        TRY(device_fetch(device, moments, pass->value[core->moments],
                         (size_t)n * net_bytes(&core->net.net, core->moments)));
    if (!images) return OK;
    TRY(pass_forward_through(pass, core->moments + 1, last, PASS_NO_MASKS, false));
    return device_fetch(device, images, pass->value[last],
                        (size_t)n * net_bytes(&core->net.net, last));
}
