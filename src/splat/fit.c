#include "splat/fit.h"

#include "base/error.h"
#include "config/config.h"
#include "device/device.h"
#include "math/optimiser.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static size_t fit_workspace_bytes(const struct splat_fit *fit,
                                  const struct splat_workspace *workspace,
                                  const struct splat_target *t)
{
    return fit->device->splat->workspace_bytes(fit->device, t->width, t->height, t->channels,
                                               workspace->capacity, &workspace->storage);
}

/* Files for Image-GS give these rates; others leave them to the program. */
static bool fit_has_own_rates(const struct config_splat *c)
{
    return c->pos_lr >= 0 && c->scale_lr >= 0;
}

double splat_fit_weight_rate(const struct splat_fit *fit)
{
    const struct config_splat *c = &fit->config->splat;
    if (c->weight_lr >= 0) return c->weight_lr;
    return fit_has_own_rates(c) ? 0 : 0.05;
}

static bool fit_wants_axes(const struct config_splat *c)
{
    if (c->axes == CONFIG_SPLAT_AXES_AUTO) return !fit_has_own_rates(c);
    return c->axes == CONFIG_SPLAT_AXES_TRUE;
}

void splat_fit_describe(struct splat_fit *fit, const struct splat_source *source, int64_t capacity)
{
    const struct config_splat *c = &fit->config->splat;
    fit->source = source;
    fit->target = source->fit;
    fit->full = source->full;
    fit->image = source->fit;
    fit->goal = (struct splat_goal){.steps = c->max_steps, .planned = capacity, .brake = 1};
    fit->in_axes = fit_wants_axes(c);
    fit->model = (struct splat_model){.width = fit->target.width,
                                      .height = fit->target.height,
                                      .channels = fit->target.channels,
                                      .capacity = capacity,
                                      .sigma_scale = c->disable_inverse_scale,
                                      .weighted = splat_fit_weight_rate(fit) > 0,
                                      .blend = {(int)c->topk, c->disable_topk_norm},
                                      .gamma = c->gamma,
                                      .sample_bits = source->sample_bits,
                                      .alpha = source->alpha};
}

/* Whether the image is measured at another size than it is fitted at. */
static bool is_reduced(const struct splat_fit *fit)
{
    return fit->target.width != fit->full.width || fit->target.height != fit->full.height;
}

/* Whether pixels are weighed; known before the mask is read. */
static bool fit_is_masked(const struct splat_fit *fit)
{
    return *fit->config->splat.mask != '\0';
}

static size_t fit_mask_bytes(const struct splat_fit *fit)
{
    return (size_t)fit->target.width * (size_t)fit->target.height;
}

/* Then a device has a copy of the mask; others read the mapped file. */
static bool fit_copies_mask(const struct splat_fit *fit, const struct memory_mode *mode)
{
    return fit_is_masked(fit) && !mode->bands && !fit->device->is_host;
}

/* Then a device has a copy of the full image, too, where it cannot read the mapped one. */
static bool copies_full(const struct splat_fit *fit, const struct memory_mode *mode)
{
    return is_reduced(fit) && !mode->bands && !fit->device->is_host;
}

/* Measuring needs no room for gradients, and may go band by band. */
struct splat_workspace splat_fit_measuring(const struct splat_fit *fit)
{
    struct splat_workspace workspace = fit->workspace;
    if (is_reduced(fit)) workspace.storage.bands = workspace.storage.forward = true;
    return workspace;
}

/* Whether the target comes in bands, to a device that cannot reach the mapped file itself. */
static bool is_streamed(const struct splat_fit *fit, const struct memory_mode *mode)
{
    return mode->bands && !fit->device->is_host;
}

/* Bytes of a pixel that comes in bands, with its weight. */
static int fit_streamed_pixel(const struct splat_fit *fit, const struct memory_mode *mode)
{
    int samples = fit->target.channels * fit->target.sample_bits / 8;
    return is_streamed(fit, mode) ? samples + fit_is_masked(fit) : 0;
}

/* For a device that does not work in the host's memory: what comes and goes in bands. */
static int declare_staging(struct splat_fit *fit, struct plan *plan)
{
    const struct splat_target *targets[] = {&fit->target, &fit->full};
    size_t most = 0;
    for (int i = 0; fit->device->splat->staging_bytes && i < 2; i++) {
        const struct splat_target *t = targets[i];
        size_t bytes = fit->device->splat->staging_bytes(fit->device, t->width, t->height,
                                                         t->channels, &fit->workspace.storage);
        if (bytes > most) most = bytes;
    }
    fit->workspace.staging_bytes = most;
    return most == 0 ? OK
                     : plan_declare(plan, "staging", PLAN_HOST, most, PLAN_ALWAYS,
                                    &fit->workspace.staging);
}

int splat_fit_axes(const struct splat_fit *fit)
{
    int n = splat_axes_columns(fit->model.channels, fit->model.weighted);
    return fit->in_axes ? n * n : 0;
}

int splat_fit_moments(const struct splat_fit *fit)
{
    int n = splat_axes_columns(fit->model.channels, fit->model.weighted);
    return fit->in_axes ? axes_moments(n) : 0;
}

/* The arrays of the optimiser's axes, where it has any. */
static int fit_declare_axes(const struct splat_fit *fit, struct plan *plan, const char *prefix,
                            enum plan_kind kind, float **axes, float **moments)
{
    char name[64];
    size_t floats = (size_t)fit->model.capacity * sizeof(float);
    *axes = *moments = NULL;
    if (!fit->in_axes) return OK;
    snprintf(name, sizeof name, "%s.axes", prefix);
    TRY(plan_declare(plan, name, kind, floats * (size_t)splat_fit_axes(fit), PLAN_ALWAYS,
                     (void **)axes));
    snprintf(name, sizeof name, "%s.moments", prefix);
    return plan_declare(plan, name, kind, floats * (size_t)splat_fit_moments(fit), PLAN_ALWAYS,
                        (void **)moments);
}

/* Declares copies for the host, where it may not use the device's memory. */
static int fit_declare_host(struct splat_host *host, const struct splat_fit *fit, struct plan *plan)
{
    const struct splat_model *model = &fit->model;
    if (fit->device->is_host) return OK;
    TRY(splat_model_declare(model, plan, "host.model", PLAN_HOST, host->group));
    TRY(splat_model_declare(model, plan, "host.adam.first", PLAN_HOST, host->first));
    TRY(splat_model_declare(model, plan, "host.adam.second", PLAN_HOST, host->second));
    TRY(fit_declare_axes(fit, plan, "host.adam", PLAN_HOST, &host->axes, &host->moments));
    return plan_declare(plan, "host.born", PLAN_HOST, (size_t)model->capacity * sizeof *host->born,
                        PLAN_ALWAYS, (void **)&host->born);
}

int splat_fit_declare(struct splat_fit *fit, struct plan *plan, const struct memory_mode *mode)
{
    struct splat_model *model = &fit->model;
    enum plan_kind optimiser = mode->offload ? PLAN_OFFLOAD : PLAN_OPTIMISER;
    fit->workspace.capacity = model->capacity;
    fit->workspace.storage = (struct splat_storage){
        .half = mode->amp,
        .bands = mode->checkpointing,
        .streamed_pixel = fit_streamed_pixel(fit, mode),
        .offload = mode->offload,
        .weighted = model->weighted,
        .axes = fit->in_axes,
    };
    fit->workspace.bytes = fit_workspace_bytes(fit, &fit->workspace, &fit->target);
    const struct splat_workspace measuring = splat_fit_measuring(fit);
    size_t full = fit_workspace_bytes(fit, &measuring, &fit->full);
    if (full > fit->workspace.bytes) fit->workspace.bytes = full;
    TRY(splat_model_declare(model, plan, "model", PLAN_PARAMETERS, model->group));
    if (fit->config->splat.quantize)
        TRY(splat_model_declare(model, plan, "quantized", PLAN_PARAMETERS, fit->quantized));
    TRY(splat_model_declare(model, plan, "gradient", PLAN_GRADIENTS, fit->gradient));
    TRY(splat_model_declare(model, plan, "adam.first", optimiser, fit->first));
    TRY(splat_model_declare(model, plan, "adam.second", optimiser, fit->second));
    TRY(fit_declare_axes(fit, plan, "adam", optimiser, &fit->axes, &fit->moments));
    TRY(plan_declare(plan, "born", optimiser, (size_t)model->capacity * sizeof *fit->born,
                     PLAN_ALWAYS, (void **)&fit->born));
    TRY(fit_declare_host(&fit->host, fit, plan));
    TRY(declare_staging(fit, plan));
    if (!mode->bands)
        TRY(plan_declare(plan, "target", PLAN_DATA, splat_target_bytes(&fit->target), PLAN_ALWAYS,
                         &fit->target_data));
    if (fit_copies_mask(fit, mode))
        TRY(plan_declare(plan, "mask", PLAN_DATA, fit_mask_bytes(fit), PLAN_ALWAYS,
                         &fit->mask_data));
    if (copies_full(fit, mode))
        TRY(plan_declare(plan, "target.full", PLAN_DATA, splat_target_bytes(&fit->full),
                         PLAN_ALWAYS, &fit->full_data));
    return plan_declare(plan, "workspace", PLAN_WORKSPACE, fit->workspace.bytes, PLAN_ALWAYS,
                        &fit->workspace.memory);
}

void splat_fit_connect(struct splat_fit *fit)
{
    fit->target.host_resident = fit->full.host_resident = is_streamed(fit, &fit->mode);
    fit->target.data = fit->mode.bands ? fit->image.data : fit->target_data;
    fit->full.data = copies_full(fit, &fit->mode) ? fit->full_data
                     : is_reduced(fit)            ? fit->source->full.data
                                                  : fit->target.data;
    fit->target.weights = fit->full.weights =
        fit_copies_mask(fit, &fit->mode) ? fit->mask_data : fit->image.weights;
}

static int copy_target(struct device *device, void *to, const struct splat_target *from)
{
    if (!device->is_host) return device->upload(device, to, from->data, splat_target_bytes(from));
    memcpy(to, from->data, splat_target_bytes(from));
    return OK;
}

int splat_fit_load_target(struct splat_fit *fit)
{
    splat_fit_connect(fit);
    if (fit->mode.bands) return OK;
    TRY(copy_target(fit->device, fit->target_data, &fit->image));
    if (fit_copies_mask(fit, &fit->mode))
        TRY(fit->device->upload(fit->device, fit->mask_data, fit->image.weights,
                                fit_mask_bytes(fit)));
    if (copies_full(fit, &fit->mode))
        TRY(copy_target(fit->device, fit->full_data, &fit->source->full));
    fit->target_there = true;
    return fit->device->is_host ? OK : fit->device->synchronize(fit->device);
}

void splat_fit_bits(const struct splat_fit *fit, int *bits)
{
    const struct config_splat *c = &fit->config->splat;
    const int64_t asked[SPLAT_GROUPS] = {c->pos_bits, c->scale_bits, c->rot_bits, c->feat_bits,
                                         c->scale_bits};
    for (int g = 0; g < SPLAT_GROUPS; g++)
        bits[g] = c->quantize && splat_group_columns(&fit->model, g) > 0 ? (int)asked[g] : 0;
}

int splat_fit_groups(struct splat_fit *fit, float *const **groups)
{
    int bits[SPLAT_GROUPS];
    *groups = fit->model.group;
    if (!fit->config->splat.quantize) return OK;
    splat_fit_bits(fit, bits);
    for (int g = 0; g < SPLAT_GROUPS; g++)
        if (bits[g] > 0)
            TRY(fit->device->splat->fake_quantize(fit->device, fit->model.group[g],
                                                  fit->model.count *
                                                      splat_group_columns(&fit->model, g),
                                                  bits[g], fit->quantized[g]));
    *groups = fit->quantized;
    return OK;
}

int splat_fit_measure(struct splat_fit *fit, int64_t step, bool schedule)
{
    struct splat_sums sums;
    float *const *groups;
    TRY(splat_fit_groups(fit, &groups));
    struct splat_view view = splat_model_view(&fit->model, groups);
    const struct splat_workspace workspace = splat_fit_measuring(fit);
    TRY(fit->device->splat->evaluate(fit->device, &workspace, &view, &fit->model.blend, &fit->full,
                                     (float)(1 / fit->model.gamma), &sums));
    double mse = sums.pixel[PIXEL_MSE];
    fit->psnr = -10 * log10(mse > 1e-20 ? mse : 1e-20);
    fit->ssim = sums.ssim_inner;
    if (schedule)
        splat_schedule_update(&fit->schedule, &fit->config->splat, step, fit->grown_at, fit->psnr,
                              fit->ssim);
    return OK;
}
