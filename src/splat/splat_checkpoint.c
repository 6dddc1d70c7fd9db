#include "splat/splat_checkpoint.h"

#include "base/error.h"
#include "base/parse_number.h"
#include "config/config.h"
#include "splat/fingerprint.h"
#include "splat/host_mirror.h"
#include "splat/init.h"
#include "splat/size.h"
#include "splat/splat_goal.h"
#include "store/checkpoint.h"
#include "store/safetensors.h"
#include "store/store_bounds.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* max_steps is at most so much. */
enum { SPLAT_MOST_STEPS = 1000000000 };

int splat_state_save(struct splat_fit *fit, struct store_writer *writer)
{
    TRY(splat_host_pull(fit, NULL));
    TRY(splat_model_save(&fit->model, fit->host.group, writer));
    for (int g = 0; g < SPLAT_GROUPS; g++) {
        char name[64];
        int columns = splat_group_columns(&fit->model, g);
        if (columns == 0) continue;
        snprintf(name, sizeof name, "adam.first.%s", splat_group_name(g));
        TRY(store_add_f32(writer, name, fit->model.count, columns, fit->host.first[g]));
        snprintf(name, sizeof name, "adam.second.%s", splat_group_name(g));
        TRY(store_add_f32(writer, name, fit->model.count, columns, fit->host.second[g]));
    }
    if (fit->in_axes) {
        TRY(store_add_f32(writer, "adam.axes", fit->model.count, splat_fit_axes(fit),
                          fit->host.axes));
        TRY(store_add_f32(writer, "adam.moments", fit->model.count, splat_fit_moments(fit),
                          fit->host.moments));
    }
    TRY(store_add(writer, "born", TENSOR_I32, 1, &fit->model.count, fit->host.born));
    TRY(store_set_int(writer, "updates", fit->updates));
    TRY(store_set_int(writer, "grown_at", fit->grown_at));
    TRY(store_set_int(writer, "grow_first", fit->grow_first));
    TRY(store_set_int(writer, "grow_every", fit->grow_every));
    TRY(store_set_int(writer, "grow_times", fit->grow_times));
    TRY(store_set_int(writer, "relocated_at", fit->relocated_at));
    TRY(splat_fingerprint_store(fit->source, writer));
    TRY(store_set_double(writer, "psnr", fit->psnr));
    TRY(store_set_double(writer, "ssim", fit->ssim));
    TRY(splat_goal_save(fit, writer));
    return splat_schedule_save(&fit->schedule, writer);
}

bool splat_state_has_axes(const struct store_file *file)
{
    return store_find(file, "adam.axes") != NULL;
}

int splat_state_size(const struct splat_model *stored)
{
    return stored->width > stored->height ? stored->width : stored->height;
}

static int find_max_steps(void *context, const char *key, const char *stored, const char *current)
{
    (void)current;
    if (strcmp(key, "splat.max_steps") == 0) (void)number_parse_int(stored, context);
    return OK;
}

/* Checkpoints of older versions have no plan: it is that of the config they were written with. */
static void derive_growth(struct splat_fit *fit, const struct store_file *file)
{
    const char *text = store_get(file, "config");
    int64_t max_steps = fit->config->splat.max_steps;
    if (text) (void)config_diff(text, fit->config, find_max_steps, &max_steps);
    splat_growth_plan(fit, max_steps);
}

/* Of a plan only the number of its last Gaussian is not in the file: it is the config's. */
static int load_growth(struct splat_fit *fit, const struct store_file *file, int64_t steps)
{
    if (store_get(file, "grow_every") || store_get(file, "grow_times")) {
        TRY(store_get_int_in(file, "grow_every", 0, SPLAT_MOST_STEPS, &fit->grow_every));
        TRY(store_get_int_in(file, "grow_times", 0, SPLAT_MOST_STEPS, &fit->grow_times));
    } else {
        derive_growth(fit, file);
    }
    bool grows = fit->grow_every > 0 && fit->grow_times > 0;
    /* the config's, or of a start model */
    TRY(store_get_int_in(file, "grow_first", 1, fit->model.count, &fit->grow_first));
    return store_get_int_in(file, "grown_at", grows ? -1 : 0, steps, &fit->grown_at);
}

static int load_optimiser(struct splat_fit *fit, const struct store_file *file)
{
    for (int g = 0; g < SPLAT_GROUPS; g++) {
        char name[64];
        int64_t shape[2] = {fit->model.count, splat_group_columns(&fit->model, g)};
        if (shape[1] == 0) continue;
        snprintf(name, sizeof name, "adam.first.%s", splat_group_name(g));
        TRY(store_read_f32_in(file, name, 2, shape, store_finite(), fit->host.first[g]));
        snprintf(name, sizeof name, "adam.second.%s", splat_group_name(g));
        TRY(store_read_f32_in(file, name, 2, shape, store_not_negative(), fit->host.second[g]));
    }
    if (fit->in_axes) {
        int64_t axes[2] = {fit->model.count, splat_fit_axes(fit)};
        int64_t moments[2] = {fit->model.count, splat_fit_moments(fit)};
        const struct store_range unit = {-1.01, 1.01};
        TRY(store_read_f32_in(file, "adam.axes", 2, axes, unit, fit->host.axes));
        TRY(store_read_f32_in(file, "adam.moments", 2, moments, store_finite(), fit->host.moments));
    }
    return store_read_i32_in(file, "born", fit->model.count, 0, fit->updates, fit->host.born);
}

bool splat_state_fits(const struct splat_model *stored, const struct splat_source *source)
{
    int width, height, size = splat_state_size(stored);
    splat_size_shape(&source->fit, size, &width, &height);
    return size <= splat_size_of(&source->fit) && stored->width == width &&
           stored->height == height;
}

static int load_numbers(struct splat_fit *fit, const struct store_file *file, bool changed)
{
    const struct store_range psnr = {-HUGE_VAL, 1000}, ssim = {-2, 2};
    int64_t steps = SPLAT_MOST_STEPS; /* that are done: no other number may be of a later one */
    if (store_get(file, "step")) TRY(store_get_int_in(file, "step", 0, SPLAT_MOST_STEPS, &steps));
    TRY(store_get_int32_in(file, "updates", 0, (int)steps, &fit->updates));
    TRY(load_growth(fit, file, steps));
    fit->relocated_at = 0; /* these three are not in the first version's */
    fit->psnr = fit->ssim = (double)NAN;
    if (store_get(file, "relocated_at"))
        TRY(store_get_int_in(file, "relocated_at", 0, steps, &fit->relocated_at));
    if (store_get(file, "psnr")) TRY(store_get_double_or_nan(file, "psnr", psnr, &fit->psnr));
    if (store_get(file, "ssim")) TRY(store_get_double_or_nan(file, "ssim", ssim, &fit->ssim));
    if (changed) fit->psnr = fit->ssim = (double)NAN; /* of the image that it was */
    TRY(splat_schedule_load(&fit->schedule, file, steps));
    return splat_goal_load(fit, file, steps);
}

int splat_state_load(struct splat_fit *fit, const struct store_file *file, bool changed)
{
    struct splat_model stored;
    TRY(splat_model_describe(&stored, file));
    if (!(changed || splat_state_fits(&stored, fit->source)) ||
        stored.channels != fit->model.channels || stored.count > fit->model.capacity)
        return fail(ERR_DATA,
                    "%s: the checkpoint is of an image of %dx%d with %d channels, not of "
                    "%dx%d with %d",
                    store_path(file), stored.width, stored.height, stored.channels,
                    fit->source->fit.width, fit->source->fit.height, fit->model.channels);
    fit->model.count = stored.count;
    TRY(load_numbers(fit, file, changed));
    TRY(splat_host_pull(fit, NULL));
    TRY(splat_model_read(&fit->model, file, true, fit->host.group));
    TRY(load_optimiser(fit, file));
    bool smaller = stored.width != fit->model.width || stored.height != fit->model.height;
    if (smaller) splat_size_carry_fit(fit, &stored, true);
    TRY(splat_host_push(fit, 0, fit->model.count));
    if (smaller) splat_schedule_resize(&fit->schedule, false);
    return OK;
}

/* Gives `copy` scales and rotations of its own; the arrays that no size changes are the fit's. */
static int copy_shapes(struct splat_fit *fit, struct splat_host *copy)
{
    size_t bytes = (size_t)fit->model.count * sizeof(float);
    float *const *from = fit->host.group;
    free(fit->whole);
    fit->whole = malloc(3 * bytes + 1);
    if (!fit->whole) return fail(ERR_SYSTEM, "out of memory for the finished model");
    *copy = (struct splat_host){.group = {[SPLAT_XY] = from[SPLAT_XY],
                                          [SPLAT_SCALE] = fit->whole,
                                          [SPLAT_ROT] = fit->whole + 2 * fit->model.count,
                                          [SPLAT_FEAT] = from[SPLAT_FEAT],
                                          [SPLAT_WEIGHT] = from[SPLAT_WEIGHT]}};
    memcpy(copy->group[SPLAT_SCALE], from[SPLAT_SCALE], 2 * bytes);
    memcpy(copy->group[SPLAT_ROT], from[SPLAT_ROT], bytes);
    return OK;
}

int splat_state_save_model(struct splat_fit *fit, struct store_writer *writer)
{
    struct splat_model model = fit->model;
    float *const *groups;
    TRY(splat_fit_groups(fit, &groups));
    TRY(splat_host_pull(fit, groups));
    model.width = fit->source->fit.width;
    model.height = fit->source->fit.height;
    if (model.width == fit->model.width && model.height == fit->model.height)
        return splat_model_save(&model, fit->host.group, writer);
    struct splat_host whole;
    TRY(copy_shapes(fit, &whole));
    splat_size_carry(&whole, &model, &fit->model, 0, INFINITY);
    return splat_model_save(&model, whole.group, writer);
}
