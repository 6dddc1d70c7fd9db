#include "splat/relocate.h"

#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "config/config.h"
#include "device/device.h"
#include "splat/host_mirror.h"
#include "splat/init.h"
#include "splat/least_important.h"

#include <stdlib.h>
#include <string.h>

static bool is_due(const struct splat_fit *fit, int64_t step)
{
    const struct config_splat *c = &fit->config->splat;
    if (c->relocate_every == 0 || fit->grown_at < 0 || step <= fit->grown_at) return false;
    if (step == fit->relocated_at) return false; /* run again after its memory failed */
    return step % c->relocate_every == 0 &&
           (double)step <= c->relocate_until * (double)fit->goal.steps;
}

/* Lists all rows, the `wanted` least important ones first, sorted. The device tells what each is
 * worth. */
static int relocate_rank(struct splat_fit *fit, struct splat_candidate *candidates, int64_t wanted)
{
    int64_t count = fit->model.count;
    double *importance = calloc((size_t)count + 1, sizeof *importance);
    if (!importance) return fail(ERR_SYSTEM, "out of memory");
    struct splat_view view = splat_model_view(&fit->model, fit->model.group);
    int code = fit->device->splat->importance(fit->device, &fit->workspace, &view,
                                              &fit->model.blend, &fit->target, importance);
    for (int64_t i = 0; code == OK && i < count; i++)
        candidates[i] = (struct splat_candidate){importance[i], i};
    free(importance);
    if (code == OK) splat_least_important(candidates, count, wanted);
    return code;
}

/* Places and colours of `count` new Gaussians, on the host. The gradients' memory is free between
 * steps. */
static int relocate_draw(struct splat_fit *fit, int64_t step, int64_t count, float *xy, float *feat)
{
    struct device *device = fit->device;
    float *const *spill = fit->gradient, *const * groups;
    const int drawn[2] = {SPLAT_XY, SPLAT_FEAT};
    float *to[2] = {xy, feat};
    TRY(splat_fit_groups(fit, &groups));
    struct splat_view view = splat_model_view(&fit->model, groups);
    const struct splat_sample draws = {.weight = SPLAT_SAMPLE_ERROR,
                                       .residual = fit->model.blend.additive,
                                       .seed = fit->config->seed,
                                       .step = (uint64_t)step,
                                       .stream = STREAM_SPLAT_GROWTH,
                                       .count = count,
                                       .xy = spill[SPLAT_XY],
                                       .color = spill[SPLAT_FEAT]};
    TRY(device->splat->sample(device, &fit->workspace, &view, &fit->model.blend, &fit->target,
                              &draws));
    for (int k = 0; k < 2; k++) {
        size_t floats = (size_t)(count * splat_group_columns(&fit->model, drawn[k]));
        if (device->is_host)
            memcpy(to[k], spill[drawn[k]], floats * sizeof(float));
        else
            TRY(device->download(device, to[k], spill[drawn[k]], floats * sizeof(float)));
    }
    return device->is_host ? OK : device->synchronize(device);
}

/* Lets row `i` begin anew. */
static void relocate_replace(struct splat_fit *fit, int64_t i, const float *xy, const float *feat)
{
    struct splat_host *host = &fit->host;
    int channels = fit->model.channels;
    for (int g = 0; g < SPLAT_GROUPS; g++) {
        int columns = splat_group_columns(&fit->model, g);
        if (columns == 0) continue;
        memset(host->first[g] + i * columns, 0, (size_t)columns * sizeof(float));
        memset(host->second[g] + i * columns, 0, (size_t)columns * sizeof(float));
    }
    memcpy(host->group[SPLAT_XY] + 2 * i, xy, 2 * sizeof *xy);
    memcpy(host->group[SPLAT_FEAT] + i * channels, feat, (size_t)channels * sizeof *feat);
    splat_start_gaussian(fit, i);
}

int splat_relocate(struct splat_fit *fit, int64_t step)
{
    if (!is_due(fit, step)) return OK;
    int64_t all = fit->model.count, channels = fit->model.channels;
    int64_t count = (int64_t)((double)all * fit->config->splat.relocate_ratio);
    struct splat_candidate *candidates = malloc((size_t)(all + 1) * sizeof *candidates);
    float *xy = malloc((size_t)((count + 1) * (2 + channels)) * sizeof *xy);
    float *feat = xy ? xy + 2 * count : NULL;
    int code = candidates && xy ? OK : fail(ERR_SYSTEM, "out of memory");
    if (code == OK) code = relocate_rank(fit, candidates, count);
    if (code == OK) code = relocate_draw(fit, step, count, xy, feat);
    if (code == OK) code = splat_host_pull(fit, NULL);
    for (int64_t k = 0; code == OK && k < count; k++)
        relocate_replace(fit, candidates[k].row, xy + 2 * k, feat + k * channels);
    if (code == OK) code = splat_host_push(fit, 0, all);
    if (code == OK) {
        fit->relocated_at = step;
        log_debug("step %lld: %lld Gaussians moved; the last of them was worth %.3g squared error",
                  (long long)step, (long long)count, count ? candidates[count - 1].importance : 0);
    }
    free(candidates);
    free(xy);
    return code;
}
