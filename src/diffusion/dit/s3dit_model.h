/* S3-DiT, the denoiser of Z-Image: its config, and the one list of its tensors that the memory
 * plan, the loader of model files, the writer and the training all walk.
 *
 * The network is a row of blocks, worked through in this order: the embedders; noise refiners (on
 * the image's tokens); context refiners (on the caption's); layers (on both); the final layer. */
#ifndef IMGTRAIN_DIFFUSION_DIT_S3DIT_MODEL_H
#define IMGTRAIN_DIFFUSION_DIT_S3DIT_MODEL_H

#include "diffusion/blocks/block_list.h"
#include "diffusion/blocks/rotary_axes.h"
#include "diffusion/blocks/time_features.h"

struct net;

enum {
    S3DIT_AXES = ROTARY_AXES,
    S3DIT_TIME_FEATURES = TIME_FEATURES,
    S3DIT_TIME_HIDDEN = 1024,
    S3DIT_PAD = 32,
    S3DIT_MOST_TOKENS = 1 << 24
};

/* As the keys of transformer/config.json; image tokens are patch x patch pixels. */
struct s3dit_config {
    int channels;              /* in_channels */
    int patch;                 /* all_patch_size[0] */
    int dim;                   /* width of a token */
    int layers;                /* n_layers */
    int refiner_layers;        /* n_refiner_layers: so many of each kind */
    int heads;                 /* n_heads */
    int text_dim;              /* cap_feat_dim */
    int axes[S3DIT_AXES];      /* axes_dims: of a head's width, for each axis of positions */
    int axes_lens[S3DIT_AXES]; /* positions on each axis are below these */
    double rope_theta, t_scale, norm_eps;
};

static inline int s3dit_head_dim(const struct s3dit_config *config)
{
    return config->dim / config->heads;
}

/* Width of the feed-forward's middle, and of the vector that blocks are modulated by. */
int s3dit_hidden(const struct s3dit_config *config);
int s3dit_time_dim(const struct s3dit_config *config);
/* Numbers of an image token. */
int s3dit_patch_dim(const struct s3dit_config *config);
/* Tokens, with those that fill up to a multiple of S3DIT_PAD. */
static inline int s3dit_padded(int tokens)
{
    return (tokens + S3DIT_PAD - 1) / S3DIT_PAD * S3DIT_PAD;
}

/* Rows of the longest caption that has positions: it begins at 1, the image stands behind its pads.
 */
static inline int s3dit_text_most(const struct s3dit_config *config)
{
    return (config->axes_lens[0] - 2) / S3DIT_PAD * S3DIT_PAD;
}

/* ERR_DATA unless the numbers fit each other and are in bounds. */
int s3dit_check_config(const struct s3dit_config *config);
/* ERR_USAGE unless images of this size (in the network's pixels) and captions of so many rows have
 * positions: both at least 1, the size a multiple of the patch. */
int s3dit_check_size(const struct s3dit_config *config, int height, int width, int text_rows);

enum s3dit_part {
    S3DIT_EMBED,
    S3DIT_NOISE_REFINER,
    S3DIT_CONTEXT_REFINER, /* a block without modulation */
    S3DIT_LAYER,
    S3DIT_FINAL
};

/* The tensors of a block, by part. Weights of linear layers are [out][in]. */
enum s3dit_embed_slot {
    S3DIT_X_WEIGHT,
    S3DIT_X_BIAS,
    S3DIT_TIME_IN_WEIGHT,
    S3DIT_TIME_IN_BIAS,
    S3DIT_TIME_OUT_WEIGHT,
    S3DIT_TIME_OUT_BIAS,
    S3DIT_TEXT_NORM,
    S3DIT_TEXT_WEIGHT,
    S3DIT_TEXT_BIAS,
    S3DIT_X_PAD,
    S3DIT_TEXT_PAD,
};
enum s3dit_block_slot {
    S3DIT_Q,
    S3DIT_K,
    S3DIT_V,
    S3DIT_OUT,
    S3DIT_NORM_Q,
    S3DIT_NORM_K,
    S3DIT_W1,
    S3DIT_W2,
    S3DIT_W3,
    S3DIT_ATTENTION_NORM1,
    S3DIT_ATTENTION_NORM2,
    S3DIT_FFN_NORM1,
    S3DIT_FFN_NORM2,
    S3DIT_MODULATION_WEIGHT, /* [scale, gate of attention; scale, gate of the feed-forward] */
    S3DIT_MODULATION_BIAS,
};
enum s3dit_final_slot {
    S3DIT_FINAL_WEIGHT,
    S3DIT_FINAL_BIAS,
    S3DIT_FINAL_SCALE_WEIGHT,
    S3DIT_FINAL_SCALE_BIAS,
};
struct s3dit_model {
    struct s3dit_config config;
    struct block_list list;
};

/* ERR_DATA for a config that s3dit_check_config refuses. s3dit_model_free takes it in any case. */
int s3dit_model_create(struct s3dit_model *model, const struct s3dit_config *config);
void s3dit_model_free(struct s3dit_model *model);

/* Blocks are named "layers.3", the two ends "embedders" and "final_layer". */
enum s3dit_part s3dit_part_of(const struct s3dit_model *model, int block);

/* The list as the parameters of a net without layers, for trained_net.h and weights_file.h: the
 * same names and offsets, matrices first. */
int s3dit_fill_net(const struct s3dit_model *model, struct net *net);
/* First weights of the flat range (host memory), by (seed, STREAM_DIFFUSION_WEIGHTS, tensor). */
void s3dit_initialise(const struct s3dit_model *model, float *parameters, uint64_t seed);

#endif
