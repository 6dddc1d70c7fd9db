#include "splat/splat_step.h"

#include "base/error.h"
#include "base/log.h"
#include "config/config.h"
#include "device/device.h"
#include "math/ssim_window.h"
#include "splat/init.h"
#include "splat/relocate.h"
#include "splat/splat_goal.h"

#include <math.h>

/* Learning rates at the start. Rates that the config leaves open follow from the model:
 * a share of the distance between neighbours, and of the sigma with which all cover the image. */
static void group_rates(const struct splat_fit *fit, double *rates)
{
    const struct config_splat *c = &fit->config->splat;
    /* Rates in the config count the image's pixels: at half the size sigmas are half as large. */
    double size = (double)fit->model.width / fit->source->fit.width;
    double scale_lr = fit->model.sigma_scale ? c->scale_lr * size : c->scale_lr / size;
    double sigma = splat_covering_sigma(fit);
    rates[SPLAT_XY] = c->pos_lr >= 0 ? c->pos_lr : 0.05 / sqrt((double)fit->goal.planned);
    rates[SPLAT_SCALE] =
        c->scale_lr >= 0 ? scale_lr : 0.03 * (fit->model.sigma_scale ? sigma : 1 / sigma);
    rates[SPLAT_ROT] = c->rot_lr;
    rates[SPLAT_FEAT] = c->feat_lr;
    rates[SPLAT_WEIGHT] = splat_fit_weight_rate(fit);
}

static int splat_is_in_axes(const struct splat_fit *fit, int group)
{
    if (!fit->in_axes || splat_group_columns(&fit->model, group) == 0) return 0;
    return group != SPLAT_FEAT || splat_axes_have_colours(fit->model.channels);
}

static void describe_groups(const struct splat_fit *fit, int64_t step, struct splat_adam *groups)
{
    double rates[SPLAT_GROUPS];
    float least, most;
    group_rates(fit, rates);
    double factor = splat_goal_rate(fit, step);
    const struct splat_target *whole = &fit->source->fit; /* gradients are of a mean over it */
    double samples = (double)whole->width * whole->height * whole->channels;
    splat_sigma_bounds(fit, &least, &most);
    for (int g = 0; g < SPLAT_GROUPS; g++)
        groups[g] = (struct splat_adam){.parameter = fit->model.group[g],
                                        .first = fit->first[g],
                                        .second = fit->second[g],
                                        .gradient = fit->gradient[g],
                                        .columns = splat_group_columns(&fit->model, g),
                                        .rate = (float)(rates[g] * factor),
                                        .unit = (float)(rates[g] * samples),
                                        .in_axes = splat_is_in_axes(fit, g),
                                        .low = {-INFINITY, -INFINITY},
                                        .high = {INFINITY, INFINITY}};
    for (int k = 0; k < 2; k++) {
        groups[SPLAT_XY].low[k] = 0;
        groups[SPLAT_XY].high[k] = 1;
        groups[SPLAT_SCALE].low[k] = fit->model.sigma_scale ? least : 1 / most;
        groups[SPLAT_SCALE].high[k] = fit->model.sigma_scale ? most : 1 / least;
        groups[SPLAT_WEIGHT].low[k] = 0;
        groups[SPLAT_WEIGHT].high[k] = SPLAT_MOST_WEIGHT;
    }
}

/* A small image has too few windows for turns. */
static enum splat_ssim_rows splat_step_ssim_rows(const struct splat_fit *fit, int64_t step)
{
    static const enum splat_ssim_rows halves[] = {SPLAT_SSIM_EVEN, SPLAT_SSIM_ODD},
                                      fourths[] = {
                                          SPLAT_SSIM_FOURTH_0,
                                          SPLAT_SSIM_FOURTH_2, /* two steps: even, or odd ones */
                                          SPLAT_SSIM_FOURTH_1, SPLAT_SSIM_FOURTH_3};
    enum config_splat_ssim_rows asked = fit->config->splat.ssim_rows;
    if (asked == CONFIG_SPLAT_SSIM_ROWS_ALL || fit->target.height < SSIM_TAPS)
        return SPLAT_SSIM_ALL;
    return asked == CONFIG_SPLAT_SSIM_ROWS_HALF ? halves[step & 1] : fourths[step & 3];
}

static struct splat_training describe_training(const struct splat_fit *fit, int64_t step)
{
    const struct config_splat *c = &fit->config->splat;
    float *const *g = fit->gradient;
    struct splat_training training = {
        .view = splat_model_view(&fit->model, c->quantize ? fit->quantized : NULL),
        .blend = fit->model.blend,
        .target = fit->target,
        .loss = {.pixel = {[PIXEL_L1] = c->l1_loss_ratio, [PIXEL_L2] = c->l2_loss_ratio},
                 .ssim = c->ssim_loss_ratio,
                 .ssim_rows = splat_step_ssim_rows(fit, step)},
        .gradients = {g[SPLAT_XY], g[SPLAT_SCALE], g[SPLAT_ROT], g[SPLAT_FEAT], g[SPLAT_WEIGHT]},
        .rows = {fit->born, fit->axes, fit->moments},
        .t = fit->updates + 1,
        .b2 = c->b2};
    describe_groups(fit, step, training.groups);
    splat_fit_bits(fit, training.bits);
    for (int k = 0; k < SPLAT_GROUPS; k++)
        training.quantized[k] = fit->quantized[k];
    return training;
}

int splat_fit_step(struct splat_fit *fit, int64_t step, bool wait, double *loss)
{
    struct splat_sums sums;
    int64_t skipped;
    splat_goal_plan_time(fit, step);
    TRY(splat_grow(fit, step));
    TRY(splat_relocate(fit, step));
    struct splat_training training = describe_training(fit, step);
    TRY(fit->device->splat->train(fit->device, &fit->workspace, &training, wait, &sums, &skipped));
    *loss = splat_loss_of(&training.loss, &sums);
    if (!isfinite(*loss)) return OK; /* the loop decides; the state stays as it is */
    fit->updates++;
    if (skipped)
        log_debug("update %d left %lld Gaussians alone: their gradient is not finite", fit->updates,
                  (long long)skipped);
    return OK;
}
