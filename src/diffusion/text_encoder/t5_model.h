/* The encoder of T5, of which FLUX.1 reads a row a token: its config, and the list of its tensors.
 * Beside the list there are an embedding, "shared.weight" or "encoder.embed_tokens.weight"
 * [vocabulary][hidden], and T5_TABLE [buckets][heads], from which attention's bias is made. */
#ifndef IMGTRAIN_DIFFUSION_TEXT_ENCODER_T5_MODEL_H
#define IMGTRAIN_DIFFUSION_TEXT_ENCODER_T5_MODEL_H

#include "diffusion/text_encoder/text_layers.h"

struct cJSON;

/* As config.json has them. */
struct t5_config {
    int hidden;     /* d_model */
    int mlp;        /* d_ff */
    int layers;     /* num_layers */
    int heads;      /* num_heads */
    int head_dim;   /* d_kv: heads * head_dim need not be `hidden` */
    int vocabulary; /* vocab_size */
    int buckets;    /* relative_attention_num_buckets: half for keys behind the query */
    int distance;   /* relative_attention_max_distance: from there on all are alike */
    double eps;     /* layer_norm_epsilon */
};

#define T5_TABLE "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"

/* Of a layer. Weights of linear layers are [out][in]. The block behind the layers has one tensor:
 * the weights of the last norm. */
enum t5_slot {
    T5_NORM_ATTENTION,
    T5_Q,
    T5_K,
    T5_V,
    T5_OUT,
    T5_NORM_FEED,
    T5_GATE, /* wi_0 */
    T5_UP,   /* wi_1 */
    T5_DOWN, /* wo */
    T5_SLOTS
};

struct t5_model {
    struct t5_config config;
    struct block_list list;
};

/* The config that the file `path` holds. ERR_DATA, naming key and file, for another network,
 * numbers that do not fit each other or are out of bounds. */
int t5_read_config(struct t5_config *config, const struct cJSON *object, const char *path);

/* ERR_DATA unless the numbers fit each other. t5_model_free takes it in any case. */
int t5_model_create(struct t5_model *model, const struct t5_config *config);
void t5_model_free(struct t5_model *model); /* accepts a zeroed struct */
struct text_widths t5_widths(const struct t5_config *config);

/* Whether a tensor is one of a T5 encoder. */
bool t5_has_tensor(const struct t5_model *model, const char *name);

/* The row of T5_TABLE for a key that stands `distance` tokens behind the query. */
int t5_bucket(const struct t5_config *config, int distance);

#endif
