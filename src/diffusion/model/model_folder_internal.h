/* What the files that read a model folder's components share. */
#ifndef IMGTRAIN_DIFFUSION_MODEL_MODEL_FOLDER_INTERNAL_H
#define IMGTRAIN_DIFFUSION_MODEL_MODEL_FOLDER_INTERNAL_H

#include "diffusion/model/model_folder.h"
#include "store/json_file.h"

/* PATH/NAME/FILE, or PATH/FILE where there is no NAME (malloc); NULL with the message set. */
char *model_path(const struct model_folder *model, const char *component, const char *file);

/* Adds the bytes of a config to the checksum, and reads it. Owned: cJSON_Delete. */
int model_read_config(struct model_folder *model, const char *path, cJSON **config);

/* Adds name, size and the first bytes of a tensor. */
void model_checksum_tensor(uint64_t *checksum, const struct store_tensor *tensor);

/* Tensors PREFIXn.* with n up to count - 1 are known, as `key` of config.json says. */
struct model_blocks {
    const char *prefix, *key;
    int count;
};

/* Blocks that the config does not count would be left out, and what is made be another network's:
 * ERR_DATA names the first. */
int model_check_blocks(const struct store_shards *shards, const struct model_blocks *blocks,
                       int count);

/* ---- model_text.c ---- */

/* Text encoders and their tokenizers, after transformer/: of Z-Image, and of FLUX.1. */
int model_read_qwen3(struct model_folder *model);
int model_read_t5_and_clip(struct model_folder *model);
void model_encoder_close(struct model_encoder *encoder);

#endif
