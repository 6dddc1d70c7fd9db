/* Qwen3, the text encoder of Z-Image: its config, and the list of its tensors.
 *
 * What a denoiser reads is the second last hidden state: the output of all layers but the last,
 * without the final norm. So the last layer's weights are never asked for; of one layer, what goes
 * into it is the feature: a row of the embedding. */
#ifndef IMGTRAIN_DIFFUSION_TEXT_ENCODER_QWEN3_MODEL_H
#define IMGTRAIN_DIFFUSION_TEXT_ENCODER_QWEN3_MODEL_H

#include "diffusion/text_encoder/text_layers.h"

struct cJSON;

/* As config.json has them. */
struct qwen3_config {
    int hidden;     /* hidden_size: width of a feature */
    int mlp;        /* intermediate_size */
    int layers;     /* num_hidden_layers */
    int heads;      /* num_attention_heads: of queries */
    int kv_heads;   /* num_key_value_heads: query head j reads j / (heads / kv_heads) */
    int head_dim;   /* heads * head_dim need not be `hidden` */
    int vocabulary; /* vocab_size: rows of the embedding */
    int positions;  /* max_position_embeddings */
    double rope_theta;
    double eps; /* rms_norm_eps */
};

/* Of a layer. Weights of linear layers are [out][in]. */
enum qwen3_slot {
    QWEN3_NORM_ATTENTION,
    QWEN3_Q,
    QWEN3_K,
    QWEN3_V,
    QWEN3_OUT,
    QWEN3_NORM_Q,
    QWEN3_NORM_K,
    QWEN3_NORM_FEED,
    QWEN3_GATE,
    QWEN3_UP,
    QWEN3_DOWN,
    QWEN3_SLOTS
};

struct qwen3_model {
    struct qwen3_config config;
    struct block_list list; /* the layers that are computed: all but the last */
};

/* The config that the file `path` holds. ERR_DATA, naming key and file, for another network,
 * numbers that do not fit each other or are out of bounds. */
int qwen3_read_config(struct qwen3_config *config, const struct cJSON *object, const char *path);

/* ERR_DATA unless the numbers fit each other. qwen3_model_free takes it in any case. */
int qwen3_model_create(struct qwen3_model *model, const struct qwen3_config *config);
void qwen3_model_free(struct qwen3_model *model); /* accepts a zeroed struct */

struct text_widths qwen3_widths(const struct qwen3_config *config);

/* Whether a tensor is one of a whole Qwen3, of the layers that are computed or not; without
 * prefix. */
bool qwen3_has_tensor(const struct qwen3_model *model, const char *name);

#endif
