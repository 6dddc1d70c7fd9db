#include "diffusion/vae/kl_file.h"

#include "base/error.h"
#include "base/file.h"
#include "base/file_atomic.h"
#include "base/parse_number.h"
#include "nn/weights_file.h"
#include "store/safetensors.h"
#include "store/store_bounds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *key;
    size_t offset;
    int most;
} kl_numbers[] = {
    {"vae.levels", offsetof(struct kl_config, levels), KL_LEVELS_MOST},
    {"vae.blocks", offsetof(struct kl_config, resnets), KL_RESNETS_MOST},
    {"vae.latent_channels", offsetof(struct kl_config, latent_channels), KL_LATENTS_MOST},
    {"vae.groups", offsetof(struct kl_config, groups), KL_WIDTH_MOST},
};
enum { KL_NUMBERS = sizeof kl_numbers / sizeof *kl_numbers };

static int *kl_number(struct kl_config *config, int index)
{
    return (int *)(void *)((char *)config + kl_numbers[index].offset);
}

int kl_store_config(struct store_writer *writer, const struct kl_config *config)
{
    struct kl_config own = *config;
    char key[32];
    for (int i = 0; i < KL_NUMBERS; i++)
        TRY(store_set_int(writer, kl_numbers[i].key, *kl_number(&own, i)));
    for (int l = 0; l < config->levels; l++) {
        snprintf(key, sizeof key, "vae.width.%d", l);
        TRY(store_set_int(writer, key, config->widths[l]));
    }
    TRY(store_set_int(writer, "vae.attention", config->attention));
    TRY(store_set_double(writer, "vae.scaling_factor", config->scaling));
    return store_set_double(writer, "vae.shift_factor", config->shift);
}

int kl_load_config(const struct store_file *file, struct kl_config *config)
{
    const struct store_range scales = {1e-30, 1e30};
    int64_t value;
    char key[32];
    *config = (struct kl_config){.levels = 0};
    for (int i = 0; i < KL_NUMBERS; i++) {
        TRY(store_get_int_in(file, kl_numbers[i].key, 1, kl_numbers[i].most, &value));
        *kl_number(config, i) = (int)value;
    }
    for (int l = 0; l < config->levels; l++) {
        snprintf(key, sizeof key, "vae.width.%d", l);
        TRY(store_get_int_in(file, key, 1, KL_WIDTH_MOST, &value));
        config->widths[l] = (int)value;
    }
    TRY(store_get_int_in(file, "vae.attention", 0, 1, &value));
    config->attention = value != 0;
    TRY(store_get_double_in(file, "vae.scaling_factor", scales, &config->scaling));
    TRY(store_get_double_in(file, "vae.shift_factor", store_finite(), &config->shift));
    return kl_check(config) < 0 ? fail_within(ERR_DATA, "%s", store_path(file)) : OK;
}

/* ---- a component's folder ---- */

/* Which of diffusers' releases these files were compared with. */
#define KL_DIFFUSERS "0.42.1"
enum { KL_CONFIG_BYTES = 2048 };

/* Adds `"name": [first, ...],`, one value a level. */
static void kl_add_list(char *text, const char *name, int levels, const char *word,
                        const int *numbers)
{
    size_t used = strlen(text);
    used += (size_t)snprintf(text + used, KL_CONFIG_BYTES - used, "\"%s\": [", name);
    for (int l = 0; l < levels; l++) {
        const char *comma = l ? ", " : "";
        used +=
            (size_t)(numbers
                         ? snprintf(text + used, KL_CONFIG_BYTES - used, "%s%d", comma, numbers[l])
                         : snprintf(text + used, KL_CONFIG_BYTES - used, "%s\"%s\"", comma, word));
    }
    snprintf(text + used, KL_CONFIG_BYTES - used, "],\n");
}

static int kl_write_config(const char *folder, const struct kl_config *c, int side)
{
    char text[KL_CONFIG_BYTES] = "{\"_class_name\": \"AutoencoderKL\",\n"
                                 "\"_diffusers_version\": \"" KL_DIFFUSERS "\",\n";
    char *path = path_join(folder, "config.json");
    if (!path) return ERR_SYSTEM;
    kl_add_list(text, "block_out_channels", c->levels, NULL, c->widths);
    kl_add_list(text, "down_block_types", c->levels, "DownEncoderBlock2D", NULL);
    kl_add_list(text, "up_block_types", c->levels, "UpDecoderBlock2D", NULL);
    /* All digits: these are the numbers that the file of the run has. */
    char scaling[NUMBER_TEXT_BYTES], shift[NUMBER_TEXT_BYTES];
    size_t used = strlen(text);
    used += (size_t)snprintf(
        text + used, sizeof text - used,
        "\"act_fn\": \"silu\", \"in_channels\": %d, \"out_channels\": %d,\n"
        "\"latent_channels\": %d, \"layers_per_block\": %d, \"norm_num_groups\": %d,\n"
        "\"mid_block_add_attention\": %s, \"sample_size\": %d,\n\"scaling_factor\": %s, "
        "\"shift_factor\": %s,\n\"use_quant_conv\": %s, \"use_post_quant_conv\": %s}\n",
        KL_IMAGE_CHANNELS, KL_IMAGE_CHANNELS, c->latent_channels, c->resnets, c->groups,
        c->attention ? "true" : "false", side, number_format(scaling, c->scaling),
        number_format(shift, c->shift), c->quant_conv ? "true" : "false",
        c->post_quant_conv ? "true" : "false");
    int code = file_atomic_write_whole(path, text, used, false);
    free(path);
    return code;
}

int kl_write_component(const char *folder, const struct kl_config *config, int side,
                       struct store_writer *writer)
{
    char *path = path_join(folder, "diffusion_pytorch_model.safetensors");
    const char *broken;
    int code = path ? OK : fail(ERR_SYSTEM, "out of memory");
    TRY_CLEANUP(code);
    TRY_CLEANUP(file_make_dirs(folder));
    broken = store_find_nonfinite(writer);
    if (broken)
        TRY_CLEANUP(fail(ERR_DIVERGED, "%s: tensor %s holds a NaN or an infinity", path, broken));
    TRY_CLEANUP(store_set(writer, "format", "pt")); /* loaders of PyTorch's ask for this key */
    TRY_CLEANUP(store_write(writer, path, false));
    code = kl_write_config(folder, config, side);
cleanup:
    free(path);
    return code;
}

int kl_write_folder(const char *folder, const struct kl_config *config, int side,
                    const struct net *net, const float *parameters)
{
    struct store_writer *writer = store_writer_create();
    int code =
        writer ? weights_store(writer, "", net, parameters) : fail(ERR_SYSTEM, "out of memory");
    if (code == OK) code = kl_write_component(folder, config, side, writer);
    store_writer_free(writer);
    return code;
}
