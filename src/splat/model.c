#include "splat/model.h"

#include "base/error.h"
#include "device/device.h"
#include "store/checkpoint.h"
#include "store/safetensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[SPLAT_GROUPS] = {"xy", "scale", "rot", "feat"};

const char *splat_group_name(int group)
{
    return names[group];
}

int splat_group_columns(const struct splat_model *model, int group)
{
    return group == SPLAT_FEAT ? model->channels : group == SPLAT_ROT ? 1 : 2;
}

int splat_model_declare(const struct splat_model *model, struct plan *plan, const char *prefix,
                        enum plan_kind kind, float **groups)
{
    for (int g = 0; g < SPLAT_GROUPS; g++) {
        char name[64];
        snprintf(name, sizeof name, "%s.%s", prefix, names[g]);
        size_t floats = (size_t)model->capacity * (size_t)splat_group_columns(model, g);
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
                               .height = model->height};
}

int splat_model_save(const struct splat_model *model, float *const *groups,
                     struct store_writer *writer)
{
    for (int g = 0; g < SPLAT_GROUPS; g++)
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

static int read_bounded(const struct store_file *file, const char *key, int low, int high, int *out)
{
    int64_t value;
    TRY(store_get_int(file, key, &value));
    if (value < low || value > high)
        return fail(ERR_DATA, "%s: metadata %s: %lld is outside %d..%d", store_path(file), key,
                    (long long)value, low, high);
    *out = (int)value;
    return OK;
}

static bool metadata_is(const struct store_file *file, const char *key, const char *value)
{
    const char *found = store_get(file, key);
    return found && strcmp(found, value) == 0;
}

int splat_model_describe(struct splat_model *model, const struct store_file *file)
{
    enum { MAX_SIDE = 1 << 17 };
    *model = (struct splat_model){.gamma = 1, .sample_bits = 8};
    TRY(read_bounded(file, "width", 1, MAX_SIDE, &model->width));
    TRY(read_bounded(file, "height", 1, MAX_SIDE, &model->height));
    TRY(read_bounded(file, "channels", 1, SPLAT_MAX_CHANNELS, &model->channels));
    TRY(read_bounded(file, "topk", 0, SPLAT_MAX_TOPK, &model->blend.topk));
    TRY(read_bounded(file, "sample_bits", 8, 32, &model->sample_bits));
    TRY(store_get_double(file, "gamma", &model->gamma));
    if (!(model->gamma > 0) || !isfinite(model->gamma))
        return fail(ERR_DATA, "%s: metadata gamma is not above 0", store_path(file));
    model->blend.additive = metadata_is(file, "blend", "additive");
    model->sigma_scale = metadata_is(file, "scale", "sigma");
    model->alpha = metadata_is(file, "alpha", "premultiplied");
    const struct store_tensor *xy = store_find(file, "xy");
    if (!xy || xy->dims != 2 || xy->shape[0] > INT32_MAX)
        return fail(ERR_DATA, "%s: no tensor xy of shape [N, 2]", store_path(file));
    model->count = model->capacity = xy->shape[0];
    return OK;
}

int splat_model_read(const struct splat_model *model, const struct store_file *file,
                     float *const *groups)
{
    for (int g = 0; g < SPLAT_GROUPS; g++) {
        int64_t shape[2] = {model->count, splat_group_columns(model, g)};
        TRY(store_read_f32(file, names[g], 2, shape, groups[g]));
        for (int64_t i = 0; i < shape[0] * shape[1]; i++)
            if (!isfinite(groups[g][i]))
                return fail(ERR_DATA, "%s: tensor %s: value %lld is not finite", store_path(file),
                            names[g], (long long)i);
    }
    return OK;
}

int splat_model_open(struct splat_model *model, const char *path)
{
    struct store_file *file = NULL;
    *model = (struct splat_model){0};
    TRY(checkpoint_open(path, &file));
    int code = checkpoint_expect(file, "splat", NULL);
    if (code == OK) code = splat_model_describe(model, file);
    if (code < 0) goto cleanup;
    size_t floats = (size_t)model->count * (size_t)(5 + model->channels);
    float *p = model->owned = malloc((floats + 1) * sizeof *p);
    if (!p) TRY_CLEANUP(fail(ERR_SYSTEM, "%s: out of memory for %zu parameters", path, floats));
    for (int g = 0; g < SPLAT_GROUPS; g++) {
        model->group[g] = p;
        p += model->count * splat_group_columns(model, g);
    }
    code = splat_model_read(model, file, model->group);
cleanup:
    store_close(file);
    if (code < 0) splat_model_close(model);
    return code;
}

int splat_model_upload(const struct splat_model *model, struct device *device, float **groups,
                       void **memory, size_t *bytes)
{
    size_t floats = (size_t)model->count * (size_t)(5 + model->channels);
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
