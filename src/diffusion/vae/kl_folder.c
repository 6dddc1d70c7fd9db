#include "diffusion/vae/kl_folder.h"

#include "base/checksum.h"
#include "base/error.h"
#include "base/file.h"
#include "diffusion/vae/kl_file.h"
#include "store/checkpoint.h"
#include "store/json_file.h"
#include "store/store_bounds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KL_CONFIG_MAX = 1 << 20, KL_LOOKED_AT = 4096, KL_SAMPLE_MOST = 1 << 17 };

static const char *const kl_stems[] = {"diffusion_pytorch_model", "model", NULL};

/* ---- config.json ---- */

/* What would make another network of it. */
static int kl_refuse(const cJSON *config, const char *path)
{
    static const char *const statistics[] = {"latents_mean", "latents_std"};
    const char *act = "silu";
    int channels = KL_IMAGE_CHANNELS;
    for (int i = 0; i < 2; i++)
        if (json_file_member(config, statistics[i]))
            return fail(ERR_DATA, "%s: %s is not computed here", path, statistics[i]);
    TRY(json_file_string(config, path, "act_fn", &act));
    if (strcmp(act, "silu") != 0 && strcmp(act, "swish") != 0)
        return fail(ERR_DATA, "%s: act_fn is %.40s; silu is computed here", path, act);
    TRY(json_file_int(config, path, "in_channels", KL_IMAGE_CHANNELS, KL_IMAGE_CHANNELS,
                      &channels));
    return json_file_int(config, path, "out_channels", KL_IMAGE_CHANNELS, KL_IMAGE_CHANNELS,
                         &channels);
}

/* Blocks of all levels are of this one class. */
static int kl_expect_blocks(const cJSON *config, const char *path, const char *key, int levels,
                            const char *wanted)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(config, key), *item;
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != levels)
        return fail(ERR_DATA, "%s: %s: a list of %d, one a level, is expected", path, key, levels);
    cJSON_ArrayForEach(item, list)
    {
        const char *name = cJSON_GetStringValue(item);
        if (!name || strcmp(name, wanted) != 0)
            return fail(ERR_DATA, "%s: %s: %.60s; %s is computed here", path, key,
                        name ? name : "no name", wanted);
    }
    return OK;
}

static int kl_read_config(struct kl_folder *vae, const cJSON *config, const char *path)
{
    struct kl_config *c = &vae->config;
    const char *class = "none";
    const cJSON *widths = cJSON_GetObjectItemCaseSensitive(config, "block_out_channels");
    /* Absent, a key has diffusers' default. */
    *c = (struct kl_config){.resnets = 1,
                            .latent_channels = 4,
                            .groups = 32,
                            .attention = true,
                            .quant_conv = true,
                            .post_quant_conv = true,
                            .scaling = 0.18215};
    TRY(json_file_string(config, path, "_class_name", &class));
    if (strcmp(class, "AutoencoderKL") != 0)
        return fail(ERR_DATA, "%s: _class_name is %.60s; AutoencoderKL is computed here", path,
                    class);
    c->levels = cJSON_IsArray(widths) ? cJSON_GetArraySize(widths) : 0;
    if (c->levels < 1 || c->levels > KL_LEVELS_MOST)
        return fail(ERR_DATA, "%s: block_out_channels: a list of 1 to %d widths is expected", path,
                    KL_LEVELS_MOST);
    TRY(json_file_ints(config, path, "block_out_channels", 1, KL_WIDTH_MOST, c->levels, c->widths));
    TRY(kl_refuse(config, path));
    TRY(kl_expect_blocks(config, path, "down_block_types", c->levels, "DownEncoderBlock2D"));
    TRY(kl_expect_blocks(config, path, "up_block_types", c->levels, "UpDecoderBlock2D"));
    TRY(json_file_int(config, path, "layers_per_block", 1, KL_RESNETS_MOST, &c->resnets));
    TRY(json_file_int(config, path, "latent_channels", 1, KL_LATENTS_MOST, &c->latent_channels));
    TRY(json_file_int(config, path, "norm_num_groups", 1, KL_WIDTH_MOST, &c->groups));
    TRY(json_file_bool(config, path, "mid_block_add_attention", &c->attention));
    TRY(json_file_bool(config, path, "use_quant_conv", &c->quant_conv));
    TRY(json_file_bool(config, path, "use_post_quant_conv", &c->post_quant_conv));
    TRY(json_file_double(config, path, "scaling_factor", 1e-30, 1e30, &c->scaling));
    TRY(json_file_double(config, path, "shift_factor", -1e30, 1e30, &c->shift));
    TRY(json_file_int(config, path, "sample_size", 0, KL_SAMPLE_MOST, &vae->sample_size));
    int code = kl_check(c);
    return code < 0 ? fail_within(ERR_DATA, "%s", path) : OK;
}

/* ---- where it lies ---- */

static int kl_open_component(struct kl_folder *vae)
{
    cJSON *config = NULL;
    char *path = path_join(vae->path, "config.json");
    int code = path ? json_file_read(&config, path, KL_CONFIG_MAX) : ERR_SYSTEM;
    if (code == OK) code = kl_read_config(vae, config, path);
    if (code == OK) code = store_shards_open(&vae->shards, vae->path, kl_stems);
    cJSON_Delete(config);
    free(path);
    return code;
}

static int kl_open_file(struct kl_folder *vae)
{
    int64_t side = 0;
    TRY(store_shards_open_file(&vae->shards, vae->path));
    const struct store_file *file = store_shards_at(vae->shards, 0);
    const char *kind = store_get(file, "kind");
    if (kind && strcmp(kind, "checkpoint") == 0 && store_get(file, "vae.levels"))
        TRY(store_get_int_in(file, "step", 0, CHECKPOINT_MOST_STEPS, &vae->step));
    TRY(kl_load_config(file, &vae->config));
    if (store_get(file, "vae.size"))
        TRY(store_get_int_in(file, "vae.size", 0, KL_SAMPLE_MOST, &side));
    vae->sample_size = (int)side;
    return OK;
}

/* Turns a folder around it into its own path. *is_file: it is a file. */
static int kl_locate(struct kl_folder *vae, bool *is_file)
{
    static const char *const inside[] = {"config.json", "vae/config.json", "model.safetensors"};
    static const char *const becomes[] = {NULL, "vae", "model.safetensors"};
    *is_file = !file_is_dir(vae->path);
    if (*is_file) return OK;
    for (int i = 0; i < 3; i++) {
        if (!file_exists_in(vae->path, inside[i])) continue;
        char *path = becomes[i] ? path_join(vae->path, becomes[i]) : vae->path;
        if (!path) return ERR_SYSTEM;
        if (path != vae->path) free(vae->path);
        vae->path = path;
        *is_file = i == 2;
        return OK;
    }
    return fail(ERR_INPUT,
                "%s: no autoencoder in it: neither config.json of an AutoencoderKL nor "
                "vae/",
                vae->path);
}

/* ---- tensors ---- */

static void kl_add_checksum(struct kl_folder *vae, const void *data, size_t bytes)
{
    vae->checksum = hash_bytes(vae->checksum, data, bytes);
}

static void kl_checksum_config(struct kl_folder *vae)
{
    const struct kl_config *c = &vae->config;
    const int numbers[] = {c->levels, c->resnets, c->latent_channels, c->groups,
                           c->attention + 2 * c->quant_conv + 4 * c->post_quant_conv};
    const float scales[] = {(float)c->scaling, (float)c->shift}; /* as many digits as config.json */
    kl_add_checksum(vae, numbers, sizeof numbers);
    kl_add_checksum(vae, c->widths, sizeof c->widths);
    kl_add_checksum(vae, scales, sizeof scales);
}

/* As the file calls it: older ones have other names for the parts of attention. */
struct kl_name {
    char text[sizeof((struct net_parameter *)0)->name + 8];
};

static struct kl_name kl_stored_name(const struct kl_folder *vae, const char *name)
{
    static const char *const names[][2] = {
        {"to_q.", "query."}, {"to_k.", "key."}, {"to_v.", "value."}, {"to_out.0.", "proj_attn."}};
    struct kl_name stored;
    snprintf(stored.text, sizeof stored.text, "%s%s", vae->step < 0 ? "" : "ema.", name);
    if (vae->step >= 0 || store_shards_find(vae->shards, name, NULL)) return stored;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *at = strstr(name, names[i][0]);
        if (!at) continue;
        struct kl_name old;
        snprintf(old.text, sizeof old.text, "%.*s%s%s", (int)(at - name), name, names[i][1],
                 at + strlen(names[i][0]));
        if (store_shards_find(vae->shards, old.text, NULL)) return old;
    }
    return stored;
}

static int kl_expect_tensors(struct kl_folder *vae, const struct net *net)
{
    vae->weights = calloc((size_t)net->parameter_count, sizeof *vae->weights);
    if (!vae->weights) return fail(ERR_SYSTEM, "out of memory");
    for (int i = 0; i < net->parameter_count; i++) {
        const struct net_parameter *p = &net->parameters[i];
        struct kl_name name = kl_stored_name(vae, p->name);
        TRY(store_shards_expect(vae->shards, name.text, p->dims, p->shape, &vae->weights[i]));
        const struct store_tensor *tensor = vae->weights[i];
        vae->encoder_tensors += kl_is_of_encoder(p->name);
        kl_add_checksum(vae, p->name, strlen(p->name));
        kl_add_checksum(vae, &tensor->type, sizeof tensor->type);
        kl_add_checksum(vae, tensor->data,
                        tensor->bytes < KL_LOOKED_AT ? tensor->bytes : KL_LOOKED_AT);
    }
    vae->tensor_count = net->parameter_count;
    return store_shards_check_small(vae->shards);
}

static bool kl_has_tensor(const void *context, const char *name)
{
    const struct kl_folder *vae = context;
    for (int i = 0; i < vae->tensor_count; i++)
        if (strcmp(vae->weights[i]->name, name) == 0) return true;
    return false;
}

int kl_folder_open_any(struct kl_folder *vae, const char *path)
{
    struct net net = {.layer_count = 0};
    bool is_file;
    int code = OK, moments;
    *vae = (struct kl_folder){.path = string_format("%s", path), .step = -1};
    if (!vae->path) return ERR_SYSTEM;
    TRY_CLEANUP(kl_locate(vae, &is_file));
    TRY_CLEANUP(is_file ? kl_open_file(vae) : kl_open_component(vae));
    int side = kl_factor(&vae->config);
    TRY_CLEANUP(kl_build_training(&net, &vae->config, side, side, &moments));
    kl_checksum_config(vae);
    TRY_CLEANUP(kl_expect_tensors(vae, &net));
    if (vae->step < 0) store_shards_warn_unused(vae->shards, vae->tensor_count, kl_has_tensor, vae);
cleanup:
    net_free(&net);
    return code;
}

uint64_t kl_folder_identity(const struct kl_folder *vae)
{
    uint64_t checksum = vae->checksum;
    for (int i = 0; i < vae->tensor_count; i++)
        checksum = hash_bytes(checksum, vae->weights[i]->data, vae->weights[i]->bytes);
    return checksum;
}

int kl_folder_open(struct kl_folder *vae, const char *path)
{
    TRY(kl_folder_open_any(vae, path));
    if (vae->step < 0) return OK;
    return fail(ERR_DATA,
                "%s: a checkpoint of a run that has not ended: finish it (train --resume)",
                vae->path);
}

void kl_folder_close(struct kl_folder *vae)
{
    store_shards_close(vae->shards);
    free(vae->weights);
    free(vae->path);
    *vae = (struct kl_folder){.path = NULL};
}

int kl_folder_load(const struct kl_folder *vae, const struct net *net, float *range)
{
    for (int i = 0; i < net->parameter_count; i++) {
        const struct net_parameter *p = &net->parameters[i];
        const struct store_file *file;
        struct kl_name name = kl_stored_name(vae, p->name);
        if (!store_shards_find(vae->shards, name.text, &file))
            return fail(ERR_INTERNAL, "%s: tensor %s is gone", vae->path, p->name);
        TRY(store_read_float_in(file, name.text, p->dims, p->shape, store_finite(),
                                range + p->offset));
    }
    return OK;
}
