#include "diffusion/mmdit/mmdit_model.h"

#include "base/error.h"

#include <stdio.h>
#include <string.h>

/* The largest numbers that a config may have: sizes stay below 2^31, and no list is long. */
enum { MMDIT_WIDTH_MOST = 65536, MMDIT_BLOCKS_MOST = 1024, MMDIT_TEXT_MOST = 4096 };

int mmdit_check_config(const struct mmdit_config *config)
{
    TRY(block_check_range("in_channels / 4", config->channels, 1, 1024));
    TRY(block_check_range("num_layers", config->double_blocks, 0, MMDIT_BLOCKS_MOST));
    TRY(block_check_range("num_single_layers", config->single_blocks, 0, MMDIT_BLOCKS_MOST));
    TRY(block_check_range("num_layers and num_single_layers together",
                          config->double_blocks + config->single_blocks, 1, 2 * MMDIT_BLOCKS_MOST));
    TRY(block_check_range("attention_head_dim", config->head_dim, 2, TOKEN_HEAD_MOST));
    TRY(block_check_range("num_attention_heads", config->heads, 1,
                          MMDIT_WIDTH_MOST / config->head_dim));
    TRY(block_check_range("joint_attention_dim", config->text_dim, 1, MMDIT_WIDTH_MOST));
    TRY(block_check_range("pooled_projection_dim", config->pooled_dim, 1, MMDIT_WIDTH_MOST));
    return rotary_axes_check("axes_dims_rope", config->axes, config->head_dim,
                             "attention_head_dim");
}

int mmdit_check_size(const struct mmdit_config *config, int height, int width, int text_rows)
{
    (void)config;
    if (height < MMDIT_PATCH || width < MMDIT_PATCH || height % MMDIT_PATCH || width % MMDIT_PATCH)
        return fail(ERR_USAGE, "%dx%d is no size of images that consist of %dx%d patches", width,
                    height, MMDIT_PATCH, MMDIT_PATCH);
    if ((int64_t)(height / MMDIT_PATCH) * (width / MMDIT_PATCH) > MMDIT_MOST_TOKENS)
        return fail(ERR_USAGE, "%dx%d is too large: %d patches at most", width, height,
                    MMDIT_MOST_TOKENS);
    if (text_rows < 1) return fail(ERR_USAGE, "a text has no token");
    if (text_rows > MMDIT_TEXT_MOST)
        return fail(ERR_USAGE, "a text of %d tokens is too long: %d at most", text_rows,
                    MMDIT_TEXT_MOST);
    return OK;
}

/* ---- the list ---- */

/* A weight of a block with its bias, sizes by a letter or as a multiple of the width; columns ' ':
 * a vector without. */
struct mmdit_row {
    const char *name;
    char rows, columns;
};

static const struct mmdit_row mmdit_embed_rows[] = {
    {"x_embedder", '1', 'P'},
    {"context_embedder", '1', 'E'},
    {"time_text_embed.timestep_embedder.linear_1", '1', 'T'},
    {"time_text_embed.timestep_embedder.linear_2", '1', '1'},
    {"time_text_embed.text_embedder.linear_1", '1', 'V'},
    {"time_text_embed.text_embedder.linear_2", '1', '1'},
    {"time_text_embed.guidance_embedder.linear_1", '1', 'T'},
    {"time_text_embed.guidance_embedder.linear_2", '1', '1'},
};
enum { MMDIT_GUIDANCE_ROWS = 2 }; /* the last of them */

static const struct mmdit_row mmdit_double_rows[] = {
    {"norm1.linear", '6', '1'},
    {"attn.to_q", '1', '1'},
    {"attn.to_k", '1', '1'},
    {"attn.to_v", '1', '1'},
    {"attn.to_out.0", '1', '1'},
    {"ff.net.0.proj", '4', '1'},
    {"ff.net.2", '1', '4'},
    {"attn.norm_q", 'd', ' '},
    {"attn.norm_k", 'd', ' '},
    {"norm1_context.linear", '6', '1'},
    {"attn.add_q_proj", '1', '1'},
    {"attn.add_k_proj", '1', '1'},
    {"attn.add_v_proj", '1', '1'},
    {"attn.to_add_out", '1', '1'},
    {"ff_context.net.0.proj", '4', '1'},
    {"ff_context.net.2", '1', '4'},
    {"attn.norm_added_q", 'd', ' '},
    {"attn.norm_added_k", 'd', ' '},
};

static const struct mmdit_row mmdit_single_rows[] = {
    {"norm.linear", '3', '1'}, {"attn.to_q", '1', '1'},   {"attn.to_k", '1', '1'},
    {"attn.to_v", '1', '1'},   {"proj_mlp", '4', '1'},    {"proj_out", '1', '5'},
    {"attn.norm_q", 'd', ' '}, {"attn.norm_k", 'd', ' '},
};

static const struct mmdit_row mmdit_final_rows[] = {
    {"norm_out.linear", '2', '1'},
    {"proj_out", 'P', '1'},
};

/* 0 for the size that a vector does not have. */
static int64_t mmdit_length(const struct mmdit_config *config, char letter)
{
    switch (letter) {
    case 'd': return config->head_dim;
    case 'E': return config->text_dim;
    case 'P': return mmdit_patch_dim(config);
    case 'T': return MMDIT_TIME_FEATURES;
    case 'V': return config->pooled_dim;
    case ' ': return 0;
    default: return (int64_t)(letter - '0') * mmdit_dim(config);
    }
}

static void mmdit_add_rows(struct mmdit_model *model, const char *prefix,
                           const struct mmdit_row *rows, int count)
{
    for (int i = 0; i < count; i++) {
        int64_t out = mmdit_length(&model->config, rows[i].rows);
        int64_t in = mmdit_length(&model->config, rows[i].columns);
        struct block_tensor *tensor = block_list_add(&model->list, out, in);
        tensor->is_matrix = in > 0;
        snprintf(tensor->name, sizeof tensor->name, "%s%s.weight", prefix, rows[i].name);
        if (!tensor->is_matrix) continue;
        tensor = block_list_add(&model->list, out, 0);
        snprintf(tensor->name, sizeof tensor->name, "%s%s.bias", prefix, rows[i].name);
    }
}

/* Blocks of one kind, numbered. */
static void mmdit_add_blocks(struct mmdit_model *model, const char *name, int blocks,
                             const struct mmdit_row *rows, int count)
{
    for (int i = 0; i < blocks; i++) {
        char block[40], prefix[48];
        snprintf(block, sizeof block, "%s.%d", name, i);
        snprintf(prefix, sizeof prefix, "%s.", block);
        block_list_begin(&model->list, block);
        mmdit_add_rows(model, prefix, rows, count);
    }
}

static int mmdit_block_count(const struct mmdit_config *config)
{
    return 2 + config->double_blocks + config->single_blocks;
}

#define MMDIT_ROWS(rows) rows, (int)(sizeof rows / sizeof *rows)

int mmdit_model_create(struct mmdit_model *model, const struct mmdit_config *config)
{
    int embed = (int)(sizeof mmdit_embed_rows / sizeof *mmdit_embed_rows);
    *model = (struct mmdit_model){.config = *config};
    TRY(mmdit_check_config(config));
    TRY(block_list_create(&model->list, mmdit_block_count(config)));
    block_list_begin(&model->list, "embedders");
    mmdit_add_rows(model, "", mmdit_embed_rows,
                   config->guidance ? embed : embed - MMDIT_GUIDANCE_ROWS);
    mmdit_add_blocks(model, "transformer_blocks", config->double_blocks,
                     MMDIT_ROWS(mmdit_double_rows));
    mmdit_add_blocks(model, "single_transformer_blocks", config->single_blocks,
                     MMDIT_ROWS(mmdit_single_rows));
    block_list_begin(&model->list, "final_layer");
    mmdit_add_rows(model, "", MMDIT_ROWS(mmdit_final_rows));
    block_list_finish(&model->list);
    return OK;
}

void mmdit_model_free(struct mmdit_model *model)
{
    block_list_free(&model->list);
}

enum mmdit_part mmdit_part_of(const struct mmdit_model *model, int block)
{
    if (block == 0) return MMDIT_EMBED;
    if (block == mmdit_block_count(&model->config) - 1) return MMDIT_FINAL;
    return block <= model->config.double_blocks ? MMDIT_DOUBLE : MMDIT_SINGLE;
}
