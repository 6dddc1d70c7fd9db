#include "splat/state.h"

#include "base/error.h"
#include "splat/init.h"
#include "splat/size.h"
#include "store/checkpoint.h"
#include "store/safetensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int splat_state_save(struct splat_fit *fit, struct store_writer *writer)
{
    TRY(splat_host_pull(fit, NULL));
    TRY(splat_model_save(&fit->model, fit->host.group, writer));
    for (int g = 0; g < SPLAT_GROUPS; g++) {
        char name[64];
        int columns = splat_group_columns(&fit->model, g);
        snprintf(name, sizeof name, "adam.first.%s", splat_group_name(g));
        TRY(store_add_f32(writer, name, fit->model.count, columns, fit->host.first[g]));
        snprintf(name, sizeof name, "adam.second.%s", splat_group_name(g));
        TRY(store_add_f32(writer, name, fit->model.count, columns, fit->host.second[g]));
    }
    TRY(store_add(writer, "born", TENSOR_I32, 1, &fit->model.count, fit->host.born));
    TRY(store_set_int(writer, "updates", fit->updates));
    TRY(store_set_int(writer, "grown_at", fit->grown_at));
    TRY(store_set_int(writer, "grow_first", fit->grow_first));
    TRY(store_set_int(writer, "relocated_at", fit->relocated_at));
    TRY(store_set_double(writer, "psnr", fit->psnr));
    TRY(store_set_double(writer, "ssim", fit->ssim));
    return splat_schedule_save(&fit->schedule, writer);
}

int splat_state_size(const struct splat_model *stored)
{
    return stored->width > stored->height ? stored->width : stored->height;
}

static int load_optimiser(struct splat_fit *fit, const struct store_file *file)
{
    for (int g = 0; g < SPLAT_GROUPS; g++) {
        char name[64];
        int64_t shape[2] = {fit->model.count, splat_group_columns(&fit->model, g)};
        snprintf(name, sizeof name, "adam.first.%s", splat_group_name(g));
        TRY(store_read_f32(file, name, 2, shape, fit->host.first[g]));
        snprintf(name, sizeof name, "adam.second.%s", splat_group_name(g));
        TRY(store_read_f32(file, name, 2, shape, fit->host.second[g]));
    }
    const struct store_tensor *born = store_find(file, "born");
    if (!born || born->type != TENSOR_I32 || born->dims != 1 || born->shape[0] != fit->model.count)
        return fail(ERR_DATA, "no tensor born for %lld Gaussians", (long long)fit->model.count);
    memcpy(fit->host.born, born->data, born->bytes);
    return OK;
}

bool splat_state_fits(const struct splat_model *stored, const struct splat_source *source)
{
    int width, height, size = splat_state_size(stored);
    splat_size_shape(&source->fit, size, &width, &height);
    return size <= splat_size_of(&source->fit) && stored->width == width &&
           stored->height == height;
}

int splat_state_load(struct splat_fit *fit, const struct store_file *file)
{
    struct splat_model stored;
    int64_t updates;
    float least, most;
    TRY(splat_model_describe(&stored, file));
    if (!splat_state_fits(&stored, fit->source) || stored.channels != fit->model.channels ||
        stored.count > fit->model.capacity)
        return fail(ERR_DATA,
                    "the checkpoint is of a picture of %dx%d with %d channels, not of "
                    "%dx%d with %d",
                    stored.width, stored.height, stored.channels, fit->source->fit.width,
                    fit->source->fit.height, fit->model.channels);
    fit->model.count = stored.count;
    TRY(splat_host_pull(fit, NULL));
    TRY(splat_model_read(&fit->model, file, fit->host.group));
    TRY(load_optimiser(fit, file));
    bool smaller = stored.width != fit->model.width || stored.height != fit->model.height;
    splat_sigma_bounds(fit, &least, &most);
    if (smaller) splat_size_carry(&fit->host, &fit->model, &stored, least, most);
    TRY(splat_host_push(fit, 0, fit->model.count));
    TRY(store_get_int(file, "updates", &updates));
    TRY(store_get_int(file, "grown_at", &fit->grown_at));
    TRY(store_get_int(file, "grow_first",
                      &fit->grow_first)); /* the config's, or of a start model */
    if (store_get_int(file, "relocated_at", &fit->relocated_at) < 0) fit->relocated_at = 0;
    fit->updates = (int32_t)updates;
    if (store_get_double(file, "psnr", &fit->psnr) < 0) fit->psnr = (double)NAN;
    if (store_get_double(file, "ssim", &fit->ssim) < 0) fit->ssim = (double)NAN;
    TRY(splat_schedule_load(&fit->schedule, file));
    if (smaller) splat_schedule_resize(&fit->schedule, false);
    return OK;
}

/* Scales and rotations of their own; what does not depend on the size is the fit's. */
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
                                          [SPLAT_FEAT] = from[SPLAT_FEAT]}};
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
