#include "sr/sr_losses.h"

#include "base/error.h"
#include "config/config.h"
#include "device/device.h"
#include "memory/plan.h"
#include "sr/discriminator/sr_gan_files.h"
#include "sr/sr_feed.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* In the order of enum sr_term. */
static const struct {
    const char *name;
    bool always_shown; /* image_loss sums it up anyway */
    size_t weight;     /* where its key is in struct config */
} sr_terms[SR_TERMS] = {
    [SR_TERM_L1] = {"l1", true, offsetof(struct config, sr.l1_weight)},
    [SR_TERM_CHARBONNIER] = {"charbonnier", true, offsetof(struct config, sr.charbonnier_weight)},
    [SR_TERM_MSE] = {"mse", true, offsetof(struct config, sr.mse_weight)},
    [SR_TERM_CONSISTENCY] = {"consistency", false, offsetof(struct config, sr.consistency_weight)},
    [SR_TERM_COLOUR] = {"colour", false, offsetof(struct config, sr.colour_weight)},
    [SR_TERM_LUMA] = {"luma", false, offsetof(struct config, sr.luma_weight)},
    [SR_TERM_HSLUV] = {"hsluv", false, offsetof(struct config, sr.hsluv_weight)},
    [SR_TERM_MS_SSIM] = {"msssim", false, offsetof(struct config, sr.msssim_weight)},
    [SR_TERM_FFT] = {"fft", false, offsetof(struct config, sr.fft_weight)},
    [SR_TERM_PERCEPTUAL] = {"perceptual", false, offsetof(struct config, sr.perceptual_weight)},
};

const char *sr_term_name(enum sr_term term)
{
    return sr_terms[term].name;
}

bool sr_term_is_shown(const struct sr_loss_choices *choices, int term)
{
    return sr_terms[term].always_shown || choices->weight[term] > 0;
}

struct sr_loss_choices sr_losses_of(const struct config *config)
{
    struct sr_loss_choices choices = {.grad_clip = config->sr.grad_clip,
                                      .gan = sr_gan_of(config),
                                      .perceptual_file = config->sr.perceptual_file,
                                      .other_images = sr_has_other_images(config),
                                      .perceptual_other =
                                          sr_perceptual_sharpens(config) != config->sr.l1_gt_usm,
                                      .box = config->sr.consistency == CONFIG_SR_CONSISTENCY_BOX};
    for (int t = 0; t < SR_TERMS; t++)
        choices.weight[t] = *(const double *)((const char *)config + sr_terms[t].weight);
    for (int t = 0; t < PERCEPTUAL_TAPS && t < config->sr.perceptual_layers.count; t++)
        choices.perceptual_layers[t] = config->sr.perceptual_layers.values[t];
    return choices;
}

static int sr_check_perceptual(const struct config *config, const struct sr_loss_choices *choices)
{
    double all = 0;
    for (int t = 0; t < PERCEPTUAL_TAPS; t++)
        all += choices->perceptual_layers[t];
    if (config->sr.perceptual_layers.count != PERCEPTUAL_TAPS)
        return fail(ERR_CONFIG, "sr.perceptual_layers: expected %d numbers, got %d",
                    PERCEPTUAL_TAPS, config->sr.perceptual_layers.count);
    if (!(all > 0)) return fail(ERR_CONFIG, "sr.perceptual_layers: all are 0");
    if (!*choices->perceptual_file)
        return fail(ERR_CONFIG,
                    "sr.perceptual_weight: perceptual_file is not set, the weights of VGG19; "
                    "this makes it: python3 -c \"import torchvision, safetensors.torch; "
                    "safetensors.torch.save_file(torchvision.models.vgg19(weights='DEFAULT')."
                    "features.state_dict(prefix='features.'), 'vgg19.safetensors')\"");
    return perceptual_check(choices->perceptual_file);
}

int sr_losses_check(const struct config *config)
{
    const struct sr_loss_choices choices = sr_losses_of(config);
    double all = config->sr.gan_weight + config->sr.feature_weight;
    for (int t = 0; t < SR_TERMS; t++)
        all += choices.weight[t];
    if (choices.weight[SR_TERM_PERCEPTUAL] > 0) TRY(sr_check_perceptual(config, &choices));
    if (all > 0) return OK;
    return fail(ERR_CONFIG, "the weights of losses (sr.charbonnier_weight ...) are all 0: there "
                            "is nothing to learn from");
}

int sr_losses_least_side(const struct sr_loss_choices *choices, int scale, int multiple)
{
    int least = choices->weight[SR_TERM_MS_SSIM] > 0 ? MS_SSIM_MARGIN + 1 : 1, side = multiple;
    if (choices->weight[SR_TERM_PERCEPTUAL] > 0) least = PERCEPTUAL_LEAST_SIDE;
    while (side * scale < least)
        side += multiple;
    return side;
}

void sr_losses_describe(const struct sr_loss_choices *choices, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (int t = 0; t < SR_TERMS && used < size; t++)
        if (choices->weight[t] > 0)
            used += (size_t)snprintf(text + used, size - used, "%s%g %s", used ? " + " : "",
                                     choices->weight[t], sr_terms[t].name);
}

int sr_losses_phases(const struct sr_loss_choices *choices)
{
    return choices->weight[SR_TERM_PERCEPTUAL] > 0 ? 1 + PERCEPTUAL_PHASES : 1;
}

static bool is_on(const struct sr_losses *losses, enum sr_term term)
{
    return losses->choices.weight[term] > 0;
}

/* Sums lie as the operations write them: those of image_loss for each patch, then an array for each
 * other term; behind them the gradient's square; then those of VGG19's taps. */
int sr_losses_other_sums(const struct sr_losses *losses)
{
    int batch = losses->shape.batch, taps = is_on(losses, SR_TERM_PERCEPTUAL) ? PERCEPTUAL_TAPS : 0;
    return batch * SR_TERMS + 1 + taps * batch * NN_LOSS_TERMS;
}

int sr_losses_sum_count(const struct sr_losses *losses)
{
    return sr_losses_other_sums(losses) + losses->shape.other_sums;
}

static size_t patch_numbers(const struct sr_losses *losses)
{
    return (size_t)losses->shape.side * (size_t)losses->shape.side * 3;
}

/* ---- declaring ---- */

/* Patches at a time: enough to keep a device busy, and no more memory than that. */
static int sr_losses_part(const struct sr_loss_shape *shape)
{
    enum { ENOUGH = 256 * 256 };
    int part = ENOUGH / (shape->side * shape->side);
    return part < 1 ? 1 : part < shape->micro ? part : shape->micro;
}

static size_t most_of(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t sr_losses_workspace(const struct sr_losses *losses)
{
    int part = losses->part, side = losses->shape.side, scale = losses->shape.scale;
    size_t floats = 0;
    if (is_on(losses, SR_TERM_MS_SSIM))
        floats = nn_ssim_layout_of(part, side).bytes / sizeof(float);
    if (is_on(losses, SR_TERM_FFT)) floats = most_of(floats, nn_fft_loss_floats(part, side));
    if (is_on(losses, SR_TERM_CONSISTENCY) || is_on(losses, SR_TERM_COLOUR))
        floats = most_of(floats, nn_reduced_loss_floats(part, side, scale));
    if (is_on(losses, SR_TERM_LUMA))
        floats = most_of(floats, nn_reduced_loss_floats(part, side, 1));
    if (is_on(losses, SR_TERM_HSLUV))
        floats = most_of(floats, 2 * (size_t)part * (size_t)side); /* doubles */
    return floats * sizeof(float);
}

int sr_losses_declare(struct sr_losses *losses, const struct sr_loss_choices *choices,
                      const struct sr_loss_shape *shape, struct device *device, int phase,
                      struct plan *plan)
{
    losses->device = device;
    losses->choices = *choices;
    losses->shape = *shape;
    losses->part = sr_losses_part(shape);
    if (is_on(losses, SR_TERM_MS_SSIM) && shape->side <= MS_SSIM_MARGIN)
        return fail(ERR_CONFIG,
                    "sr.msssim_weight: patches of %d x %d pixels are smaller than a window of "
                    "MS-SSIM, %d x %d: lq_size %d is needed",
                    shape->side, shape->side, MS_SSIM_MARGIN + 1, MS_SSIM_MARGIN + 1,
                    sr_losses_least_side(choices, shape->scale, 2));
    if (is_on(losses, SR_TERM_PERCEPTUAL)) {
        if (shape->side < PERCEPTUAL_LEAST_SIDE)
            return fail(ERR_CONFIG,
                        "sr.perceptual_weight: patches of %d x %d pixels are too small for VGG19: "
                        "lq_size %d is needed",
                        shape->side, shape->side, sr_losses_least_side(choices, shape->scale, 2));
        TRY(perceptual_declare(&losses->perceptual, shape->side, losses->part,
                               choices->perceptual_layers, device, phase + 1, plan));
    }
    TRY(plan_declare(plan, "sums", PLAN_DATA, (size_t)sr_losses_sum_count(losses) * sizeof(double),
                     PLAN_ALWAYS, (void **)&losses->sums));
    if (is_on(losses, SR_TERM_FFT))
        TRY(plan_declare(plan, "losses.turns", PLAN_DATA, 2 * (size_t)shape->side * sizeof(float),
                         PLAN_ALWAYS, (void **)&losses->turns));
    return plan_declare(plan, "losses.workspace", PLAN_WORKSPACE, sr_losses_workspace(losses),
                        phase, phase, (void **)&losses->workspace);
}

void sr_losses_connect(struct sr_losses *losses)
{
    if (is_on(losses, SR_TERM_PERCEPTUAL)) perceptual_connect(&losses->perceptual);
}

int sr_losses_begin(struct sr_losses *losses, bool read)
{
    if (is_on(losses, SR_TERM_PERCEPTUAL) && read)
        TRY(perceptual_load(&losses->perceptual, losses->choices.perceptual_file));
    if (!losses->turns) return OK;
    size_t bytes = 2 * (size_t)losses->shape.side * sizeof(float);
    float *turns = malloc(bytes);
    if (!turns) return fail(ERR_SYSTEM, "out of memory for a table");
    nn_fft_turns(turns, losses->shape.side);
    int code = device_send(losses->device, losses->turns, turns, bytes);
    free(turns);
    return code;
}

void sr_losses_close(struct sr_losses *losses)
{
    perceptual_close(&losses->perceptual);
}

/* ---- a step ---- */

static int queue_image_loss(const struct sr_losses *losses, int first, int n, const float *out,
                            const float *target, float *grad)
{
    struct nn_image_loss loss = {.sums = losses->sums + (ptrdiff_t)first * NN_LOSS_TERMS,
                                 .grad = grad,
                                 .out = out,
                                 .target = target,
                                 .n = n,
                                 .count = patch_numbers(losses)};
    double numbers = (double)losses->shape.batch * (double)loss.count;
    for (int t = 0; t < NN_LOSS_TERMS; t++)
        loss.weight[t] = (float)((double)(float)losses->choices.weight[t] / numbers);
    return losses->device->nn->image_loss(losses->device, &loss);
}

/* How a term compares reduced images. */
static struct nn_reduced_loss sr_reduced_loss(const struct sr_losses *losses, enum sr_term term)
{
    struct nn_reduced_loss loss = {.side = losses->shape.side, .workspace = losses->workspace};
    int scale = losses->shape.scale;
    switch (term) {
    case SR_TERM_COLOUR:
        loss.colour = NN_COLOUR_CHROMA;
        loss.reduction = nn_reduction_box(scale);
        break;
    case SR_TERM_LUMA:
        loss.colour = NN_COLOUR_LUMA;
        loss.reduction = nn_reduction_box(1);
        break;
    default:
        loss.reduction =
            losses->choices.box ? nn_reduction_box(scale) : nn_reduction_bicubic(scale);
    }
    return loss;
}

/* Numbers of one patch that a term is the mean of. */
static double sr_term_count(const struct sr_losses *losses, enum sr_term term)
{
    if (term <= SR_TERM_MSE) return (double)patch_numbers(losses);
    if (term == SR_TERM_MS_SSIM || term == SR_TERM_PERCEPTUAL) return 1;
    if (term == SR_TERM_FFT) return (double)nn_fft_loss_count(losses->shape.side);
    if (term == SR_TERM_HSLUV) return (double)patch_numbers(losses) / 3;
    struct nn_reduced_loss loss = sr_reduced_loss(losses, term);
    return (double)nn_reduced_loss_count(loss.side, loss.reduction.factor, loss.colour);
}

/* [PERCEPTUAL_TAPS][batch][NN_LOSS_TERMS] */
static double *tap_sums(const struct sr_losses *losses)
{
    return losses->sums + (ptrdiff_t)losses->shape.batch * SR_TERMS + 1;
}

/* Patches first .. first + n - 1, whose images begin at these addresses. */
static int queue_term(struct sr_losses *losses, enum sr_term term, int first, int n,
                      const float *out, const float *target, float *grad)
{
    const struct nn_ops *ops = losses->device->nn;
    double *sums = losses->sums + (ptrdiff_t)term * losses->shape.batch + first;
    double numbers = (double)losses->shape.batch * sr_term_count(losses, term);
    float weight = (float)(losses->choices.weight[term] / numbers);
    if (term == SR_TERM_MS_SSIM)
        return ops->ssim_loss(losses->device,
                              &(struct nn_ssim_loss){.sums = sums,
                                                     .grad = grad,
                                                     .out = out,
                                                     .target = target,
                                                     .n = n,
                                                     .side = losses->shape.side,
                                                     .weight = weight,
                                                     .workspace = losses->workspace});
    if (term == SR_TERM_FFT)
        return ops->fft_loss(losses->device, &(struct nn_fft_loss){.sums = sums,
                                                                   .grad = grad,
                                                                   .out = out,
                                                                   .target = target,
                                                                   .turns = losses->turns,
                                                                   .n = n,
                                                                   .side = losses->shape.side,
                                                                   .weight = weight,
                                                                   .workspace = losses->workspace});
    if (term == SR_TERM_HSLUV)
        return ops->hsluv_loss(losses->device,
                               &(struct nn_hsluv_loss){.sums = sums,
                                                       .grad = grad,
                                                       .out = out,
                                                       .target = target,
                                                       .n = n,
                                                       .side = losses->shape.side,
                                                       .weight = weight,
                                                       .rows = (double *)losses->workspace});
    struct nn_reduced_loss loss = sr_reduced_loss(losses, term);
    loss.sums = sums;
    loss.grad = grad;
    loss.out = out;
    loss.target = target;
    loss.n = n;
    loss.weight = weight;
    return ops->reduced_loss(losses->device, &loss);
}

/* Likewise. grad NULL: VGG19 is not gone back through, which is a third of its work. */
static int queue_perceptual(struct sr_losses *losses, int first, int n, const float *out,
                            const float *target, float *grad)
{
    return perceptual_queue(
        &losses->perceptual, n, out, target, grad, losses->choices.weight[SR_TERM_PERCEPTUAL],
        tap_sums(losses) + (ptrdiff_t)first * NN_LOSS_TERMS, losses->shape.batch);
}

int sr_losses_queue(struct sr_losses *losses, int first, int n, const float *out,
                    const float *target, const float *other, float *grad, bool learns)
{
    size_t numbers = patch_numbers(losses);
    const float *seen = losses->choices.perceptual_other ? other : target;
    TRY(queue_image_loss(losses, first, n, out, target, grad));
    for (int t = NN_LOSS_TERMS; t < SR_TERMS; t++)
        for (int done = 0; done < n && is_on(losses, (enum sr_term)t); done += losses->part) {
            int part = n - done < losses->part ? n - done : losses->part;
            size_t at = (size_t)done * numbers;
            if (t == SR_TERM_PERCEPTUAL)
                TRY(queue_perceptual(losses, first + done, part, out + at, seen + at,
                                     learns ? grad + at : NULL));
            else
                TRY(queue_term(losses, (enum sr_term)t, first + done, part, out + at, target + at,
                               grad + at));
        }
    return OK;
}

int sr_losses_clip(struct sr_losses *losses, float *gradients, size_t count)
{
    if (!(losses->choices.grad_clip > 0)) return OK;
    return losses->device->nn->clip_norm(losses->device, gradients, count,
                                         losses->choices.grad_clip,
                                         losses->sums + (ptrdiff_t)losses->shape.batch * SR_TERMS);
}

void sr_losses_report(const struct sr_losses *losses, const double *sums, struct sr_report *report)
{
    int batch = losses->shape.batch;
    *report = (struct sr_report){.grad_norm = sqrt(sums[batch * SR_TERMS])};
    for (int i = 0; i < batch; i++)
        for (int t = 0; t < NN_LOSS_TERMS; t++)
            report->term[t] += sums[i * NN_LOSS_TERMS + t];
    for (int t = NN_LOSS_TERMS; t < SR_TERM_PERCEPTUAL; t++)
        for (int i = 0; i < batch && is_on(losses, (enum sr_term)t); i++)
            report->term[t] += sums[t * batch + i];
    for (int i = 0; is_on(losses, SR_TERM_PERCEPTUAL) && i < PERCEPTUAL_TAPS * batch; i++)
        report->term[SR_TERM_PERCEPTUAL] +=
            sums[batch * SR_TERMS + 1 + i * NN_LOSS_TERMS] *
            losses->choices.perceptual_layers[i / batch] /
            (double)perceptual_tap_count(&losses->perceptual, i / batch);
    for (int t = 0; t < SR_TERMS; t++) {
        report->term[t] /= (double)batch * sr_term_count(losses, (enum sr_term)t);
        report->loss += (double)(float)losses->choices.weight[t] * report->term[t];
    }
}
