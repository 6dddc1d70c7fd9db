/* MMDiT, the denoiser of FLUX.1: its config, and the list of its tensors.
 *
 * Blocks, in this order: the embedders; double blocks, in which text and image have weights of
 * their own; single blocks, which see both as one sequence; the final layer. */
#ifndef IMGTRAIN_DIFFUSION_MMDIT_MMDIT_MODEL_H
#define IMGTRAIN_DIFFUSION_MMDIT_MMDIT_MODEL_H

#include "diffusion/blocks/block_list.h"
#include "diffusion/blocks/rotary_axes.h"
#include "diffusion/blocks/time_features.h"

enum {
    MMDIT_AXES = ROTARY_AXES,
    MMDIT_TIME_FEATURES = TIME_FEATURES,
    MMDIT_PATCH = 2, /* latents a side of a token; its vector is (channel, row, column) */
    MMDIT_MOST_TOKENS = 1 << 24
};

/* Of the keys of transformer/config.json; patch_size must be 1 there, out_channels null or
 * in_channels. */
struct mmdit_config {
    int channels;         /* of latents: in_channels / 4 */
    int double_blocks;    /* num_layers */
    int single_blocks;    /* num_single_layers */
    int heads;            /* num_attention_heads */
    int head_dim;         /* attention_head_dim */
    int text_dim;         /* joint_attention_dim: of T5's features */
    int pooled_dim;       /* pooled_projection_dim: of CLIP's vector */
    bool guidance;        /* guidance_embeds */
    int axes[MMDIT_AXES]; /* axes_dims_rope */
};

static inline int mmdit_dim(const struct mmdit_config *config)
{
    return config->heads * config->head_dim;
}

/* Width of the feed-forward's middle; numbers of an image token. */
static inline int mmdit_hidden(const struct mmdit_config *config)
{
    return 4 * mmdit_dim(config);
}
static inline int mmdit_patch_dim(const struct mmdit_config *config)
{
    return MMDIT_PATCH * MMDIT_PATCH * config->channels;
}

/* ERR_DATA unless the numbers fit each other and are in bounds. */
int mmdit_check_config(const struct mmdit_config *config);
/* ERR_USAGE unless latents of this size are whole patches, and so many rows of text can be. */
int mmdit_check_size(const struct mmdit_config *config, int height, int width, int text_rows);

enum mmdit_part { MMDIT_EMBED, MMDIT_DOUBLE, MMDIT_SINGLE, MMDIT_FINAL };

/* The tensors of a block, by part: each weight ([out][in]) with its bias behind it. */
enum mmdit_embed_slot {
    MMDIT_X,
    MMDIT_TEXT = 2,
    MMDIT_TIME_IN = 4,
    MMDIT_TIME_OUT = 6,
    MMDIT_POOLED_IN = 8,
    MMDIT_POOLED_OUT = 10,
    MMDIT_GUIDANCE_IN = 12, /* where config.guidance */
    MMDIT_GUIDANCE_OUT = 14,
};
/* Of a stream; the image's, then the text's MMDIT_STREAM slots further on. */
enum mmdit_double_slot {
    MMDIT_MODULATION,
    MMDIT_Q = 2,
    MMDIT_K = 4,
    MMDIT_V = 6,
    MMDIT_OUT = 8,
    MMDIT_FEED_IN = 10,
    MMDIT_FEED_OUT = 12,
    MMDIT_NORM_Q = 14,
    MMDIT_NORM_K = 15,
    MMDIT_STREAM = 16
};
enum mmdit_single_slot {
    MMDIT_SINGLE_FEED_IN = 8, /* modulation, q, k, v: as above */
    MMDIT_SINGLE_OUT = 10,    /* of [attention, feed-forward] */
    MMDIT_SINGLE_NORM_Q = 12,
    MMDIT_SINGLE_NORM_K = 13,
};
enum mmdit_final_slot { MMDIT_FINAL_MODULATION, MMDIT_FINAL_OUT = 2 };

struct mmdit_model {
    struct mmdit_config config;
    struct block_list list;
};

/* ERR_DATA for a config that mmdit_check_config refuses. mmdit_model_free takes it in any case. */
int mmdit_model_create(struct mmdit_model *model, const struct mmdit_config *config);
void mmdit_model_free(struct mmdit_model *model);

enum mmdit_part mmdit_part_of(const struct mmdit_model *model, int block);

#endif
