#include "splat/model.h"

#include "base/error.h"
#include "device/device.h"
#include "store/checkpoint.h"
#include "store/safetensors.h"
#include "store/store_bounds.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[SPLAT_GROUPS] = {"xy", "scale", "rot", "feat", "weight"};

const char *splat_group_name(int group)
{
    return names[group];
}

int splat_group_columns(const struct splat_model *model, int group)
{
    switch (group) {
    case SPLAT_FEAT: return model->channels;
    case SPLAT_WEIGHT: return model->weighted;
    default: return group == SPLAT_ROT ? 1 : 2;
    }
}

int splat_model_columns(const struct splat_model *model)
{
    int columns = 0;
    for (int g = 0; g < SPLAT_GROUPS; g++)
        columns += splat_group_columns(model, g);
    return columns;
}

int splat_model_declare(const struct splat_model *model, struct plan *plan, const char *prefix,
                        enum plan_kind kind, float **groups)
{
    for (int g = 0; g < SPLAT_GROUPS; g++) {
        char name[64];
        snprintf(name, sizeof name, "%s.%s", prefix, names[g]);
        size_t floats = (size_t)model->capacity * (size_t)splat_group_columns(model, g);
        groups[g] = NULL;
        if (floats == 0) continue;
        TRY(plan_declare(plan, name, kind, floats * sizeof(float), PLAN_ALWAYS,
                         (void **)&groups[g]));
    }
    return OK;
}

struct splat_view splat_model_view(const struct splat_model *model, float *const *groups)
{
    float *const *g = groups ? groups : model->group;
    return (struct splat_view){.xy = g[SPLAT_XY],
                               .scale = g[SPLAT_SCALE],
                               .rot = g[SPLAT_ROT],
                               .feat = g[SPLAT_FEAT],
                               .count = model->count,
                               .channels = model->channels,
                               .sigma_scale = model->sigma_scale,
                               .width = model->width,
                               .height = model->height,
                               .weight = model->weighted ? g[SPLAT_WEIGHT] : NULL};
}

int splat_model_save(const struct splat_model *model, float *const *groups,
                     struct store_writer *writer)
{
    for (int g = 0; g < SPLAT_GROUPS; g++)
        if (splat_group_columns(model, g) > 0)
            TRY(store_add_f32(writer, names[g], model->count, splat_group_columns(model, g),
                              groups ? groups[g] : model->group[g]));
    TRY(store_set_int(writer, "width", model->width));
    TRY(store_set_int(writer, "height", model->height));
    TRY(store_set_int(writer, "channels", model->channels));
    TRY(store_set_int(writer, "gaussians", model->count));
    TRY(store_set_int(writer, "topk", model->blend.topk));
    TRY(store_set(writer, "blend", model->blend.additive ? "additive" : "normalised"));
    TRY(store_set(writer, "scale", model->sigma_scale ? "sigma" : "inverse"));
    TRY(store_set_double(writer, "gamma", model->gamma));
    TRY(store_set_double(writer, "cut", (double)splat_cut(&model->blend)));
    TRY(store_set_int(writer, "sample_bits", model->sample_bits));
    return store_set(writer, "alpha", model->alpha ? "premultiplied" : "none");
}

/* Ranges of the parameters in a file. Training keeps positions within the image and sigmas within
 * bounds of their own; rounding and models of other makers may be a little outside. */
#define SCALE_MOST 1e7 /* sigmas in pixels, or one over them; and one over this is the least */
static const struct store_range group_ranges[SPLAT_GROUPS] = {
    [SPLAT_XY] = {-1, 2},
    [SPLAT_SCALE] = {-SCALE_MOST, SCALE_MOST}, /* see check_scales */
    [SPLAT_ROT] = {-1e10, 1e10},
    [SPLAT_FEAT] = {-(double)FLT_MAX, (double)FLT_MAX},
    [SPLAT_WEIGHT] = {0, SPLAT_MOST_WEIGHT},
};

/* Metadata that is one of two words, the first of them where there is none. */
static int model_read_word(const struct store_file *file, const char *key, const char *first,
                           const char *second, bool *is_second)
{
    const char *found = store_get(file, key);
    *is_second = found && strcmp(found, second) == 0;
    if (!found || *is_second || strcmp(found, first) == 0) return OK;
    return fail(ERR_DATA, "%s: metadata %s: '%.40s' is neither %s nor %s", store_path(file), key,
                found, first, second);
}

int splat_model_describe(struct splat_model *model, const struct store_file *file)
{
    enum { MAX_SIDE = 1 << 17 };
    *model = (struct splat_model){.gamma = 1, .sample_bits = 8};
    const struct store_range gamma = {0.01, 100}; /* the config's */
    TRY(store_get_int32_in(file, "width", 1, MAX_SIDE, &model->width));
    TRY(store_get_int32_in(file, "height", 1, MAX_SIDE, &model->height));
    TRY(store_get_int32_in(file, "channels", 1, SPLAT_MAX_CHANNELS, &model->channels));
    TRY(store_get_int32_in(file, "topk", 0, SPLAT_MAX_TOPK, &model->blend.topk));
    TRY(store_get_int32_in(file, "sample_bits", 8, 32, &model->sample_bits));
    if (model->sample_bits != 8 && model->sample_bits != 16 && model->sample_bits != 32)
        return fail(ERR_DATA, "%s: metadata sample_bits: %d is none of 8, 16 and 32",
                    store_path(file), model->sample_bits);
    TRY(store_get_double_in(file, "gamma", gamma, &model->gamma));
    bool additive;
    TRY(model_read_word(file, "blend", "normalised", "additive", &additive));
    model->blend.additive = additive;
    TRY(model_read_word(file, "scale", "inverse", "sigma", &model->sigma_scale));
    TRY(model_read_word(file, "alpha", "none", "premultiplied", &model->alpha));
    const struct store_tensor *xy = store_find(file, "xy");
    if (!xy || xy->dims != 2 || xy->shape[0] > INT32_MAX)
        return fail(ERR_DATA, "%s: no tensor xy of shape [N, 2]", store_path(file));
    int64_t count = model->count = model->capacity = xy->shape[0];
    model->weighted = store_find(file, "weight") != NULL;
    if (!store_get(file, "gaussians")) return OK;
    return store_get_int_in(file, "gaussians", count, count, &model->count);
}

/* Training keeps scales away from 0. In models of other makers an inverse sigma may have crossed
 * it: the sign means nothing, and at 0 the Gaussian has no end. A sigma of 0 would be no Gaussian.
 */
static int check_scales(const struct splat_model *model, const struct store_file *file,
                        const float *scale, bool trained)
{
    if (!trained && !model->sigma_scale) return OK;
    for (int64_t i = 0; i < 2 * model->count; i++)
        if (!(fabs((double)scale[i]) >= 1 / SCALE_MOST))
            return fail(ERR_DATA, "%s: tensor scale: %g, of Gaussian %lld, is below %g",
                        store_path(file), (double)scale[i], (long long)(i / 2), 1 / SCALE_MOST);
    return OK;
}

int splat_model_read(const struct splat_model *model, const struct store_file *file, bool trained,
                     float *const *groups)
{
    for (int g = 0; g < SPLAT_GROUPS; g++) {
        int64_t shape[2] = {model->count, splat_group_columns(model, g)};
        if (shape[1] > 0)
            TRY(store_read_f32_in(file, names[g], 2, shape, group_ranges[g], groups[g]));
    }
    return check_scales(model, file, groups[SPLAT_SCALE], trained);
}

int splat_model_open(struct splat_model *model, const char *path)
{
    struct store_file *file = NULL;
    *model = (struct splat_model){0};
    TRY(checkpoint_open(path, &file));
    int code = checkpoint_expect(file, "splat", NULL);
    if (code == OK) code = splat_model_describe(model, file);
    if (code < 0) goto cleanup;
    size_t floats = (size_t)model->count * (size_t)splat_model_columns(model);
    float *p = model->owned = malloc((floats + 1) * sizeof *p);
    if (!p) TRY_CLEANUP(fail(ERR_SYSTEM, "%s: out of memory for %zu parameters", path, floats));
    for (int g = 0; g < SPLAT_GROUPS; g++) {
        model->group[g] = p;
        p += model->count * splat_group_columns(model, g);
    }
    code = splat_model_read(model, file, false, model->group);
cleanup:
    store_close(file);
    if (code < 0) splat_model_close(model);
    return code;
}

int splat_model_upload(const struct splat_model *model, struct device *device, float **groups,
                       void **memory, size_t *bytes)
{
    size_t floats = (size_t)model->count * (size_t)splat_model_columns(model);
    *memory = NULL;
    *bytes = floats * sizeof(float);
    for (int g = 0; g < SPLAT_GROUPS; g++)
        groups[g] = model->group[g];
    if (device->is_host || !model->owned || floats == 0) return OK;
    TRY(device->alloc(device, *bytes, memory));
    float *p = *memory;
    int code = OK;
    for (int g = 0; g < SPLAT_GROUPS && code == OK; g++) {
        size_t values = (size_t)(model->count * splat_group_columns(model, g));
        groups[g] = p;
        code = device->upload(device, p, model->group[g], values * sizeof *p);
        p += values;
    }
    if (code == OK) code = device->synchronize(device);
    if (code < 0) device->free(device, *memory, *bytes);
    if (code < 0) *memory = NULL;
    return code;
}

void splat_model_close(struct splat_model *model)
{
    free(model->owned);
    *model = (struct splat_model){0};
}
