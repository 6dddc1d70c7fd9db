/* A model folder as diffusers lays it out: model_index.json, and a folder for each component with
 * its config.json and its weights. Opening reads configs and headers, no weights.
 *
 *   scheduler/       scheduler_config.json    levels of noise
 *   text_encoder/    Qwen3 (diffusion/text_encoder), of one layer a table of one row a token; CLIP
 *   text_encoder_2/  T5, beside CLIP
 *   tokenizer/       tokenizer.json: of a table names of classes, or bytes
 *   tokenizer_2/     T5's
 *   transformer/     S3-DiT (diffusion/dit); MMDiT (diffusion/mmdit) beside CLIP and T5
 *   vae/             AutoencoderKL (diffusion/vae); absent: images themselves are made */
#ifndef IMGTRAIN_DIFFUSION_MODEL_MODEL_FOLDER_H
#define IMGTRAIN_DIFFUSION_MODEL_MODEL_FOLDER_H

#include "diffusion/dit/s3dit_model.h"
#include "diffusion/mmdit/mmdit_model.h"
#include "diffusion/model/denoiser.h"
#include "diffusion/sigmas.h"
#include "diffusion/text/tokenizer.h"
#include "diffusion/text_encoder/clip_text.h"
#include "diffusion/text_encoder/qwen3.h"
#include "diffusion/text_encoder/t5_text.h"
#include "diffusion/vae/kl_folder.h"
#include "store/shards.h"

/* What imgtrain.json says, beside model_index.json: how images are made where nobody says
 * otherwise. 0: it does not say. */
struct model_defaults {
    int width, height, steps; /* steps: model_usual_steps */
    double guidance; /* beyond what is predicted with the condition; below 0: it does not say */
    double seed; /* of the training, which says what images it held out; below 0: it does not say */
};

/* A text encoder of the folder. */
struct model_encoder {
    struct text_encoder layers; /* network NULL: none, rows of its table are read as they are */
    struct store_shards *shards;
    const struct store_tensor **weights; /* of layers.list, in that order */
    const struct store_tensor *table;    /* the embedding: [words][width] */
    const struct store_tensor *more;     /* CLIP_POSITIONS or T5_TABLE; NULL: it has none */
    struct tokenizer *tokens;
    uint64_t checksum; /* of config and headers, and some bytes of each tensor's begin and end */
};

struct model_folder {
    char *path;
    struct sigma_schedule schedule;
    struct denoiser network;
    struct s3dit_model dit; /* one of these, by its kind */
    struct mmdit_model mmdit;
    struct store_shards *denoiser;
    const struct store_tensor **weights; /* of model_tensors, in that order */
    struct qwen3_model qwen3;            /* those that the folder has: */
    struct t5_model t5;
    struct clip_model clip;
    struct model_encoder reader; /* of prompts, for the denoiser's rows: Qwen3 or T5 */
    struct model_encoder pooled; /* for its vector: CLIP, where it is told one */
    struct kl_folder vae;        /* with has_vae */
    bool has_vae;
    struct model_defaults defaults;
    uint64_t checksum; /* of configs, headers, and some bytes of each tensor */
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

/* ERR_DATA unless its network is the one that is trained here. */
int model_expect_s3dit(const struct model_folder *model);
/* Trained for few steps, as its schedule shows: that of Z-Image-Turbo. */
bool model_is_turbo(const struct model_folder *model);
/* Steps and guidance of an image where nobody says otherwise. */
int model_usual_steps(const struct model_folder *model);
double model_usual_guidance(const struct model_folder *model);

/* Pixels of an image along a side for one of the network's, and its channels. */
int model_scale(const struct model_folder *model);
int model_image_channels(const struct model_folder *model);

/* Row `row` of a matrix as floats. ERR_IO where its page cannot be read any more. */
int model_tensor_row(const struct model_folder *model, const struct store_tensor *matrix, int row,
                     float *numbers);

/* What a text is to model->reader: rows of its table, or tokens in its template, at most
 * TEXT_MOST_ROWS; of a model whose texts are filled up (network.text_rows) `length` of them. name:
 * of the text in messages, "--prompt". */
int model_text_rows(const struct model_folder *model, const char *name, const char *text,
                    size_t bytes, int length, int *rows, int *count);
/* What it is to model->pooled: tokens up to the one that ends it, TEXT_MOST_POOLED at most; none
 * where there is no such encoder. */
int model_pooled_rows(const struct model_folder *model, const char *name, const char *text,
                      size_t bytes, int *rows, int *count);
/* The same where nobody says anything: the row for that, or the template alone. */
int model_empty_rows(const struct model_folder *model, int *rows, int *count);

/* ---- configs; each takes the object that the file `path` holds ---- */

struct cJSON;
int model_read_scheduler(struct sigma_schedule *schedule, const struct cJSON *config,
                         const char *path);
int model_read_s3dit(struct s3dit_config *dit, const struct cJSON *config, const char *path);
int model_read_mmdit(struct mmdit_config *mmdit, const struct cJSON *config, const char *path);

#endif
