/* The text encoder of CLIP, of which FLUX.1 reads one vector a prompt: its config, and the list of
 * its tensors. Beside the list there are CLIP_TABLE [vocabulary][hidden] and CLIP_POSITIONS
 * [positions][hidden], whose rows together go into the first layer. */
#ifndef IMGTRAIN_DIFFUSION_TEXT_ENCODER_CLIP_MODEL_H
#define IMGTRAIN_DIFFUSION_TEXT_ENCODER_CLIP_MODEL_H

#include "diffusion/text_encoder/text_layers.h"

struct cJSON;

/* As config.json has them. */
struct clip_config {
    int hidden;     /* hidden_size: width of the vector */
    int mlp;        /* intermediate_size */
    int layers;     /* num_hidden_layers */
    int heads;      /* num_attention_heads */
    int vocabulary; /* vocab_size */
    int positions;  /* max_position_embeddings */
    int end;        /* eos_token_id */
    int unused;     /* so that there is no padding: it is hashed whole */
    double eps;     /* layer_norm_eps */
};

#define CLIP_TABLE "embeddings.token_embedding.weight"
#define CLIP_POSITIONS "embeddings.position_embedding.weight"

/* Of a layer: each weight ([out][in]) with its bias behind it. The block behind the layers has the
 * last norm's. */
enum clip_slot {
    CLIP_NORM_ATTENTION,
    CLIP_Q = 2,
    CLIP_K = 4,
    CLIP_V = 6,
    CLIP_OUT = 8,
    CLIP_NORM_FEED = 10,
    CLIP_UP = 12,
    CLIP_DOWN = 14,
    CLIP_SLOTS = 16
};

struct clip_model {
    struct clip_config config;
    struct block_list list;
};

/* The config that the file `path` holds. ERR_DATA, naming key and file, for another network,
 * numbers that do not fit each other or are out of bounds. */
int clip_read_config(struct clip_config *config, const struct cJSON *object, const char *path);

/* ERR_DATA unless the numbers fit each other. clip_model_free takes it in any case. */
int clip_model_create(struct clip_model *model, const struct clip_config *config);
void clip_model_free(struct clip_model *model); /* accepts a zeroed struct */
struct text_widths clip_widths(const struct clip_config *config);

/* Whether a tensor is one of a CLIPTextModel; without prefix. */
bool clip_has_tensor(const struct clip_model *model, const char *name);

/* Of a prompt's ids, those that its vector depends on: up to the token that ends the text. All,
 * where there is none. */
int clip_read_ids(const struct clip_config *config, const int *ids, int count);

#endif
