/* A model folder as diffusers lays it out: model_index.json, and a folder for each component with
 * its config.json and its weights. Opening reads configs and headers, no weights.
 *
 *   scheduler/     scheduler_config.json    levels of noise
 *   text_encoder/  Qwen3 (diffusion/text); of one layer it is a table of one row a token
 *   tokenizer/     tokenizer.json: of a table names of classes, or bytes
 *   transformer/   S3-DiT (diffusion/dit)
 *   vae/           AutoencoderKL (diffusion/vae); absent: images themselves are made */
#ifndef IMGTRAIN_DIFFUSION_MODEL_MODEL_FOLDER_H
#define IMGTRAIN_DIFFUSION_MODEL_MODEL_FOLDER_H

#include "diffusion/dit/s3dit_model.h"
#include "diffusion/model/denoiser.h"
#include "diffusion/sigmas.h"
#include "diffusion/text/tokenizer.h"
#include "diffusion/text_encoder/qwen3.h"
#include "diffusion/vae/kl_folder.h"
#include "store/shards.h"

/* What imgtrain.json says, beside model_index.json: how images are made where nobody says
 * otherwise. 0: it does not say. */
struct model_defaults {
    int width, height, steps; /* steps: model_usual_steps */
    double guidance; /* beyond what is predicted with the condition; below 0: it does not say */
    double seed; /* of the training, which says what images it held out; below 0: it does not say */
};

struct model_folder {
    char *path;
    struct sigma_schedule schedule;
    struct denoiser network;
    struct s3dit_model dit; /* where it is one */
    struct store_shards *denoiser, *text_encoder;
    const struct store_tensor **weights; /* of model_tensors, in that order */
    struct qwen3_model encoder;
    struct text_encoder reader; /* of prompts; network NULL: the denoiser reads rows of the table */
    const struct store_tensor **text_weights; /* of the reader's list */
    const struct store_tensor *table;         /* the embedding: [rows of text][network.text_dim] */
    struct tokenizer *text;
    struct kl_folder vae; /* with has_vae */
    bool has_vae;
    struct model_defaults defaults;
    uint64_t checksum;      /* of configs, headers, and some bytes of each tensor */
    uint64_t text_checksum; /* likewise of the text encoder alone, and of each tensor's end */
};

/* The denoiser's. */
static inline const struct block_list *model_tensors(const struct model_folder *model)
{
    return model->network.traits->list(model);
}

/* ERR_INPUT for a folder without model_index.json; ERR_DATA, naming the file, for a file or a
 * folder of another kind, a config that this program does not compute, tensors that are missing or
 * of another shape. model_folder_close takes it in any case. */
int model_folder_open(struct model_folder *model, const char *path);
void model_folder_close(struct model_folder *model);

/* The folder that a user means (malloc): `name` itself, its model/ where it is a run's folder, or
 * what has that name below the folder IMGTRAIN_MODELS (./models) or in the hub's cache (HF_HOME,
 * TRANSFORMERS_CACHE; NAME is owner/name). ERR_INPUT says where it was looked for. */
int model_folder_find(char **path, const char *name);

/* Trained for few steps, as its schedule shows: that of Z-Image-Turbo. */
bool model_is_turbo(const struct model_folder *model);
/* Steps of an image where nobody says otherwise. */
int model_usual_steps(const struct model_folder *model);

/* Pixels of an image along a side for one of the network's, and its channels. */
int model_scale(const struct model_folder *model);
int model_image_channels(const struct model_folder *model);

/* Row `row` of the table as floats: [text_dim]. ERR_IO where its page cannot be read any more. */
int model_text_row(const struct model_folder *model, int row, float *features);

/* What a text is to the model: rows of its table, or tokens in its encoder's template, at most
 * TEXT_MOST_ROWS. name: of the text in messages, "--prompt". */
int model_text_rows(const struct model_folder *model, const char *name, const char *text,
                    size_t bytes, int *rows, int *count);
/* The same where nobody says anything: the row for that, or the template alone. */
int model_empty_rows(const struct model_folder *model, int *rows, int *count);

/* ---- configs; each takes the object that the file `path` holds ---- */

struct cJSON;
int model_read_scheduler(struct sigma_schedule *schedule, const struct cJSON *config,
                         const char *path);
int model_read_s3dit(struct s3dit_config *dit, const struct cJSON *config, const char *path);

#endif
