#include "splat/init.h"

#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "config/config.h"
#include "device/device.h"
#include "splat/host_mirror.h"

#include <math.h>

void splat_growth_plan(struct splat_fit *fit, int64_t max_steps)
{
    const struct config_splat *c = &fit->config->splat;
    int64_t total = fit->model.capacity;
    int64_t fitting = max_steps / (2 * (c->add_times + 1)); /* 0: too short to grow in */
    bool grows = !c->disable_prog_optim && c->add_times > 0 && c->initial_ratio < 1 && fitting > 0;
    fit->grow_times = grows ? c->add_times : 0;
    fit->grow_first = grows ? (int64_t)llround((double)total * c->initial_ratio) : total;
    if (fit->grow_first < 1) fit->grow_first = 1;
    fit->grow_every = fitting < c->add_steps ? fitting : c->add_steps;
    fit->grown_at = grows ? -1 : 0;
}

void splat_growth_pace(struct splat_fit *fit, int64_t steps)
{
    const struct config_splat *c = &fit->config->splat;
    if (fit->goal.finds || fit->grown_at >= 0) return;
    int64_t fitting = steps / (2 * (fit->grow_times + 1));
    fit->grow_every = fitting < 1 ? 1 : fitting < c->add_steps ? fitting : c->add_steps;
}

/* Discs of two sigma that cover the image once. SmartSplat takes three sigma, which leaves holes
 * that no Gaussian reaches: 0.3 to 0.8 dB less after 500 steps on two Kodak images. */
double splat_covering_sigma(const struct splat_fit *fit)
{
    double pixels = (double)fit->model.width * fit->model.height;
    return sqrt(pixels / (3.14159265358979 * (double)fit->goal.planned)) / 2;
}

void splat_sigma_bounds(const struct splat_fit *fit, float *least, float *most)
{
    /* 32 covering sigmas: more than a useful Gaussian has, and it bounds the work of a step. */
    double bound = 32 * splat_covering_sigma(fit);
    *least = 0.3f;
    *most = (float)(bound > 16 ? bound : 16);
}

double splat_initial_sigma(const struct splat_fit *fit)
{
    float least, most;
    double sigma = fit->config->splat.init_scale;
    sigma *= (double)fit->model.width / fit->source->fit.width; /* it counts the image's pixels */
    if (!(sigma > 0)) sigma = splat_covering_sigma(fit);
    splat_sigma_bounds(fit, &least, &most);
    return fmin(fmax(sigma, (double)least), (double)most);
}

void splat_start_gaussian(struct splat_fit *fit, int64_t i)
{
    const struct splat_host *host = &fit->host;
    double sigma = splat_initial_sigma(fit);
    float scale = (float)(fit->model.sigma_scale ? sigma : 1 / sigma);
    host->group[SPLAT_SCALE][2 * i] = host->group[SPLAT_SCALE][2 * i + 1] = scale;
    host->group[SPLAT_ROT][i] = 0;
    if (fit->model.weighted) host->group[SPLAT_WEIGHT][i] = 1; /* to be learnt both ways */
    host->born[i] = fit->updates;
}

static void start_gaussians(struct splat_fit *fit, int64_t from, int64_t to)
{
    for (int64_t i = from; i < to; i++)
        splat_start_gaussian(fit, i);
}

/* Whether a place that was drawn is taken: as often as its pixel counts. */
static bool init_counts(const struct splat_fit *fit, const struct philox4 *r)
{
    const struct splat_target *t = &fit->image;
    if (!t->weights) return true;
    int x = (int)(philox_uniform(r->v[0]) * (float)t->width);
    int y = (int)(philox_uniform(r->v[1]) * (float)t->height);
    x = x < t->width ? x : t->width - 1;
    y = y < t->height ? y : t->height - 1;
    return philox_uniform(r->v[2]) < splat_target_weight(t, y, x);
}

/* Places Gaussians anywhere, not only at pixel centres, in the colour of the pixel there. */
static void place_uniformly(struct splat_fit *fit, int64_t from, int64_t to)
{
    for (int64_t i = from; i < to; i++) {
        struct philox4 r = philox_draw(fit->config->seed, STREAM_SPLAT_INIT, 1, (uint64_t)i);
        for (uint64_t again = 1; again < 64 && !init_counts(fit, &r); again++)
            r = philox_draw(fit->config->seed, STREAM_SPLAT_INIT, 1, (uint64_t)i + (again << 40));
        for (int k = 0; k < 2; k++)
            fit->host.group[SPLAT_XY][2 * i + k] = philox_uniform(r.v[k]);
    }
}

static void color_from_target(struct splat_fit *fit, int64_t from, int64_t to)
{
    const struct splat_target *t = &fit->image;
    for (int64_t i = from; i < to; i++) {
        const float *xy = fit->host.group[SPLAT_XY] + 2 * i;
        int x = (int)(xy[0] * (float)t->width), y = (int)(xy[1] * (float)t->height);
        x = x < t->width ? x : t->width - 1;
        y = y < t->height ? y : t->height - 1;
        for (int c = 0; c < t->channels; c++)
            fit->host.group[SPLAT_FEAT][i * t->channels + c] = splat_target_sample(t, y, x, c);
    }
}

static void color_randomly(struct splat_fit *fit, int64_t count)
{
    for (int64_t i = 0; i < count * fit->model.channels; i++) {
        struct philox4 r = philox_draw(fit->config->seed, STREAM_SPLAT_INIT, 2, (uint64_t)i);
        fit->host.group[SPLAT_FEAT][i] = philox_uniform(r.v[0]);
    }
}

int splat_init(struct splat_fit *fit)
{
    const struct config_splat *c = &fit->config->splat;
    struct splat_model *model = &fit->model;
    int64_t count = fit->grow_first, random = count;
    if (c->init_mode == CONFIG_SPLAT_INIT_MODE_GRADIENT)
        random = (int64_t)llround((double)count * c->init_random_ratio);
    int64_t pixels = (int64_t)fit->target.width * fit->target.height;
    if (count - random > pixels) random = count - pixels; /* no more pixels to choose from */
    int64_t drawn = count - random;
    const struct splat_sample draws = {.weight = SPLAT_SAMPLE_GRADIENT,
                                       .seed = fit->config->seed,
                                       .stream = STREAM_SPLAT_INIT,
                                       .count = drawn,
                                       .xy = model->group[SPLAT_XY],
                                       .color = model->group[SPLAT_FEAT]};
    if (drawn > 0)
        TRY(fit->device->splat->sample(fit->device, &fit->workspace, NULL, &model->blend,
                                       &fit->target, &draws));
    model->count = count;
    TRY(splat_host_pull(fit, NULL));
    place_uniformly(fit, drawn, count);
    color_from_target(fit, drawn, count);
    if (c->disable_color_init) color_randomly(fit, count);
    start_gaussians(fit, 0, count);
    return splat_host_push(fit, 0, count);
}

int splat_grow(struct splat_fit *fit, int64_t step)
{
    struct splat_model *model = &fit->model;
    if (fit->grown_at >= 0 || step == 0) return OK;
    bool last = fit->goal.settled;
    int64_t from = model->count, to = fit->goal.planned;
    if (!fit->goal.finds) {
        if (step % fit->grow_every) return OK;
        int64_t turn = step / fit->grow_every, times = fit->grow_times;
        int64_t room = model->capacity - fit->grow_first;
        last = turn >= times; /* later only where the plan is not the one of the steps so far */
        to = last ? model->capacity : fit->grow_first + room * turn / times;
    }
    if (to <= from) { /* a step that is run again after its memory failed comes here */
        if (last) fit->grown_at = step;
        return OK;
    }
    float *const *groups;
    TRY(splat_fit_groups(fit, &groups));
    struct splat_view view = splat_model_view(model, groups);
    /* In a weighted mean a new Gaussian pulls towards its colour: the target's. In a sum it adds:
     * the residual. */
    const struct splat_sample draws = {.weight = SPLAT_SAMPLE_ERROR,
                                       .residual = model->blend.additive,
                                       .seed = fit->config->seed,
                                       .step = (uint64_t)step,
                                       .stream = STREAM_SPLAT_GROWTH,
                                       .count = to - from,
                                       .xy = model->group[SPLAT_XY] + 2 * from,
                                       .color = model->group[SPLAT_FEAT] + from * model->channels};
    TRY(fit->device->splat->sample(fit->device, &fit->workspace, &view, &model->blend, &fit->target,
                                   &draws));
    model->count = to;
    int code = splat_host_pull(fit, NULL);
    if (code == OK) start_gaussians(fit, from, to);
    if (code == OK) code = splat_host_push(fit, from, to);
    if (code < 0) {
        model->count = from;
        return code;
    }
    if (last) fit->grown_at = step;
    log_debug("step %lld: %lld Gaussians", (long long)step, (long long)to);
    return OK;
}
