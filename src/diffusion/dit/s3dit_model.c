#include "diffusion/dit/s3dit_model.h"

#include "base/error.h"
#include "base/random.h"
#include "math/portable.h"
#include "nn/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The largest numbers that a config may have: sizes stay below 2^31, and no list is long. */
enum {
    S3DIT_WIDTH_MOST = 65536,
    S3DIT_BLOCKS_MOST = 1024,
    S3DIT_LENGTH_MOST = 1 << 20,
    S3DIT_HEAD_MOST = TOKEN_HEAD_MOST
};

int s3dit_hidden(const struct s3dit_config *config)
{
    return (int)((double)config->dim / 3.0 * 8.0);
}

int s3dit_time_dim(const struct s3dit_config *config)
{
    return config->dim < S3DIT_TIME_FEATURES ? config->dim : S3DIT_TIME_FEATURES;
}

int s3dit_patch_dim(const struct s3dit_config *config)
{
    return config->patch * config->patch * config->channels;
}

static int s3dit_check_axes(const struct s3dit_config *config)
{
    for (int i = 0; i < S3DIT_AXES; i++)
        TRY(block_check_range("a number of axes_lens", config->axes_lens[i], 1, S3DIT_LENGTH_MOST));
    if (config->dim % config->heads)
        return fail(ERR_DATA, "dim %d is no multiple of n_heads %d", config->dim, config->heads);
    if (s3dit_head_dim(config) > S3DIT_HEAD_MOST)
        return fail(ERR_DATA, "a head's width is %d, dim / n_heads: it must be at most %d",
                    s3dit_head_dim(config), S3DIT_HEAD_MOST);
    return rotary_axes_check("axes_dims", config->axes, s3dit_head_dim(config),
                             "a head's width, dim / n_heads,");
}

int s3dit_check_config(const struct s3dit_config *config)
{
    TRY(block_check_range("in_channels", config->channels, 1, 1024));
    TRY(block_check_range("all_patch_size", config->patch, 1, 16));
    TRY(block_check_range("dim", config->dim, 2, S3DIT_WIDTH_MOST));
    TRY(block_check_range("n_layers", config->layers, 1, S3DIT_BLOCKS_MOST));
    TRY(block_check_range("n_refiner_layers", config->refiner_layers, 0, S3DIT_BLOCKS_MOST));
    TRY(block_check_range("n_heads", config->heads, 1, config->dim));
    TRY(block_check_range("cap_feat_dim", config->text_dim, 1, S3DIT_WIDTH_MOST));
    TRY(s3dit_check_axes(config));
    if (!(config->rope_theta > 1 && config->rope_theta <= 1e9))
        return fail(ERR_DATA, "rope_theta is %g: it must be above 1", config->rope_theta);
    if (!(config->t_scale > 0 && config->t_scale <= 1e6))
        return fail(ERR_DATA, "t_scale is %g: it must be above 0", config->t_scale);
    if (!(config->norm_eps > 0 && config->norm_eps <= 1))
        return fail(ERR_DATA, "norm_eps is %g: it must be in 0..1", config->norm_eps);
    return OK;
}

int s3dit_check_size(const struct s3dit_config *config, int height, int width, int text_rows)
{
    int p = config->patch;
    if (height < p || width < p || height % p || width % p)
        return fail(ERR_USAGE, "%dx%d is no size of images that consist of %dx%d patches", width,
                    height, p, p);
    if (height / p > config->axes_lens[1] || width / p > config->axes_lens[2])
        return fail(ERR_USAGE, "%dx%d is too large: the network knows positions of %dx%d at most",
                    width, height, config->axes_lens[2] * p, config->axes_lens[1] * p);
    if ((int64_t)(height / p) * (width / p) > S3DIT_MOST_TOKENS)
        return fail(ERR_USAGE, "%dx%d is too large: %d patches at most", width, height,
                    S3DIT_MOST_TOKENS);
    if (text_rows < 1) return fail(ERR_USAGE, "a caption has no token");
    if (text_rows > s3dit_text_most(config))
        return fail(ERR_USAGE, "a caption of %d tokens is too long: the network knows %d at most",
                    text_rows, s3dit_text_most(config));
    return OK;
}

/* ---- the list ---- */

/* A tensor of a block as the tables below have it: a letter for each size, or ' '. */
struct s3dit_row {
    const char *name;
    char rows, columns;
    float std, start;
};

static const float S3DIT_STD = 0.02f;

static const struct s3dit_row s3dit_embed_rows[] = {
    [S3DIT_X_WEIGHT] = {"all_x_embedder.%d-1.weight", 'D', 'P', S3DIT_STD, 0},
    [S3DIT_X_BIAS] = {"all_x_embedder.%d-1.bias", 'D', ' ', 0, 0},
    [S3DIT_TIME_IN_WEIGHT] = {"t_embedder.mlp.0.weight", 'M', 'T', S3DIT_STD, 0},
    [S3DIT_TIME_IN_BIAS] = {"t_embedder.mlp.0.bias", 'M', ' ', 0, 0},
    [S3DIT_TIME_OUT_WEIGHT] = {"t_embedder.mlp.2.weight", 'A', 'M', S3DIT_STD, 0},
    [S3DIT_TIME_OUT_BIAS] = {"t_embedder.mlp.2.bias", 'A', ' ', 0, 0},
    [S3DIT_TEXT_NORM] = {"cap_embedder.0.weight", 'E', ' ', 0, 1},
    [S3DIT_TEXT_WEIGHT] = {"cap_embedder.1.weight", 'D', 'E', S3DIT_STD, 0},
    [S3DIT_TEXT_BIAS] = {"cap_embedder.1.bias", 'D', ' ', 0, 0},
    [S3DIT_X_PAD] = {"x_pad_token", '1', 'D', S3DIT_STD, 0},
    [S3DIT_TEXT_PAD] = {"cap_pad_token", '1', 'D', S3DIT_STD, 0},
};

static const struct s3dit_row s3dit_block_rows[] = {
    [S3DIT_Q] = {"attention.to_q.weight", 'D', 'D', S3DIT_STD, 0},
    [S3DIT_K] = {"attention.to_k.weight", 'D', 'D', S3DIT_STD, 0},
    [S3DIT_V] = {"attention.to_v.weight", 'D', 'D', S3DIT_STD, 0},
    [S3DIT_OUT] = {"attention.to_out.0.weight", 'D', 'D', S3DIT_STD, 0},
    [S3DIT_NORM_Q] = {"attention.norm_q.weight", 'd', ' ', 0, 1},
    [S3DIT_NORM_K] = {"attention.norm_k.weight", 'd', ' ', 0, 1},
    [S3DIT_W1] = {"feed_forward.w1.weight", 'F', 'D', S3DIT_STD, 0},
    [S3DIT_W2] = {"feed_forward.w2.weight", 'D', 'F', S3DIT_STD, 0},
    [S3DIT_W3] = {"feed_forward.w3.weight", 'F', 'D', S3DIT_STD, 0},
    [S3DIT_ATTENTION_NORM1] = {"attention_norm1.weight", 'D', ' ', 0, 1},
    [S3DIT_ATTENTION_NORM2] = {"attention_norm2.weight", 'D', ' ', 0, 1},
    [S3DIT_FFN_NORM1] = {"ffn_norm1.weight", 'D', ' ', 0, 1},
    [S3DIT_FFN_NORM2] = {"ffn_norm2.weight", 'D', ' ', 0, 1},
    [S3DIT_MODULATION_WEIGHT] = {"adaLN_modulation.0.weight", '4', 'A', 0, 0},
    [S3DIT_MODULATION_BIAS] = {"adaLN_modulation.0.bias", '4', ' ', 0, 0},
};

static const struct s3dit_row s3dit_final_rows[] = {
    [S3DIT_FINAL_WEIGHT] = {"all_final_layer.%d-1.linear.weight", 'P', 'D', 0, 0},
    [S3DIT_FINAL_BIAS] = {"all_final_layer.%d-1.linear.bias", 'P', ' ', 0, 0},
    [S3DIT_FINAL_SCALE_WEIGHT] = {"all_final_layer.%d-1.adaLN_modulation.1.weight", 'D', 'A', 0, 0},
    [S3DIT_FINAL_SCALE_BIAS] = {"all_final_layer.%d-1.adaLN_modulation.1.bias", 'D', ' ', 0, 0},
};

/* 0 for the size that a tensor does not have. */
static int64_t s3dit_length(const struct s3dit_config *config, char letter)
{
    switch (letter) {
    case '1': return 1;
    case '4': return 4 * (int64_t)config->dim;
    case 'A': return s3dit_time_dim(config);
    case 'D': return config->dim;
    case 'd': return s3dit_head_dim(config);
    case 'E': return config->text_dim;
    case 'F': return s3dit_hidden(config);
    case 'M': return S3DIT_TIME_HIDDEN;
    case 'P': return s3dit_patch_dim(config);
    case 'T': return S3DIT_TIME_FEATURES;
    default: return 0;
    }
}

static int s3dit_block_count(const struct s3dit_config *config)
{
    return 2 + 2 * config->refiner_layers + config->layers;
}

enum s3dit_part s3dit_part_of(const struct s3dit_model *model, int block)
{
    int refiners = model->config.refiner_layers;
    if (block == 0) return S3DIT_EMBED;
    if (block == s3dit_block_count(&model->config) - 1) return S3DIT_FINAL;
    if (block <= refiners) return S3DIT_NOISE_REFINER;
    return block <= 2 * refiners ? S3DIT_CONTEXT_REFINER : S3DIT_LAYER;
}

static void s3dit_block_name(const struct s3dit_config *config, int block, enum s3dit_part part,
                             char *name, size_t size)
{
    int refiners = config->refiner_layers;
    switch (part) {
    case S3DIT_EMBED: snprintf(name, size, "embedders"); break;
    case S3DIT_NOISE_REFINER: snprintf(name, size, "noise_refiner.%d", block - 1); break;
    case S3DIT_CONTEXT_REFINER:
        snprintf(name, size, "context_refiner.%d", block - 1 - refiners);
        break;
    case S3DIT_LAYER: snprintf(name, size, "layers.%d", block - 1 - 2 * refiners); break;
    case S3DIT_FINAL: snprintf(name, size, "final_layer"); break;
    }
}

struct s3dit_rows {
    const struct s3dit_row *rows;
    int count;
};

static struct s3dit_rows s3dit_rows_of(enum s3dit_part part)
{
    int blocks = (int)(sizeof s3dit_block_rows / sizeof *s3dit_block_rows);
    switch (part) {
    case S3DIT_EMBED:
        return (struct s3dit_rows){s3dit_embed_rows,
                                   (int)(sizeof s3dit_embed_rows / sizeof *s3dit_embed_rows)};
    case S3DIT_FINAL:
        return (struct s3dit_rows){s3dit_final_rows,
                                   (int)(sizeof s3dit_final_rows / sizeof *s3dit_final_rows)};
    case S3DIT_CONTEXT_REFINER: /* without the modulation, the last two */
        return (struct s3dit_rows){s3dit_block_rows, blocks - 2};
    default: return (struct s3dit_rows){s3dit_block_rows, blocks};
    }
}

static void s3dit_name_tensor(const struct s3dit_model *model, struct block_tensor *tensor,
                              enum s3dit_part part, const char *name)
{
    const char *number = strstr(name, "%d");
    if (part != S3DIT_EMBED && part != S3DIT_FINAL)
        snprintf(tensor->name, sizeof tensor->name, "%s.%s", model->list.names[tensor->block],
                 name);
    else if (number)
        snprintf(tensor->name, sizeof tensor->name, "%.*s%d%s", (int)(number - name), name,
                 model->config.patch, number + 2);
    else
        snprintf(tensor->name, sizeof tensor->name, "%s", name);
}

static void s3dit_add_tensor(struct s3dit_model *model, enum s3dit_part part,
                             const struct s3dit_row *row)
{
    struct block_tensor *tensor =
        block_list_add(&model->list, s3dit_length(&model->config, row->rows),
                       s3dit_length(&model->config, row->columns));
    tensor->is_matrix = row->columns != ' ' && row->rows != '1';
    tensor->std = row->std;
    tensor->start = row->start;
    s3dit_name_tensor(model, tensor, part, row->name);
}

int s3dit_model_create(struct s3dit_model *model, const struct s3dit_config *config)
{
    struct block_list *list = &model->list;
    *model = (struct s3dit_model){.config = *config};
    TRY(s3dit_check_config(config));
    int blocks = s3dit_block_count(config);
    TRY(block_list_create(list, blocks));
    for (int block = 0; block < blocks; block++) {
        char name[32];
        enum s3dit_part part = s3dit_part_of(model, block);
        struct s3dit_rows rows = s3dit_rows_of(part);
        s3dit_block_name(config, block, part, name, sizeof name);
        block_list_begin(list, name);
        for (int i = 0; i < rows.count; i++)
            s3dit_add_tensor(model, part, &rows.rows[i]);
    }
    block_list_finish(list);
    return OK;
}

void s3dit_model_free(struct s3dit_model *model)
{
    block_list_free(&model->list);
}

int s3dit_fill_net(const struct s3dit_model *model, struct net *net)
{
    for (int matrices = 1; matrices >= 0; matrices--)
        for (int i = 0; i < model->list.tensor_count; i++) {
            const struct block_tensor *tensor = &model->list.tensors[i];
            if (tensor->is_matrix != matrices) continue;
            int number = net_add_parameter(net, tensor->name, tensor->dims, tensor->shape);
            TRY(number);
            net->parameters[number].std = tensor->std;
            net->parameters[number].start = tensor->start;
            if (net->parameters[number].offset != tensor->offset)
                return fail(ERR_INTERNAL, "%s lies elsewhere in the net", tensor->name);
        }
    return OK;
}

/* ---- first weights ---- */

/* A normal number below 2 in size: of the first draw that is. */
static double s3dit_cut_normal(uint64_t seed, uint64_t tensor, uint64_t index)
{
    for (uint64_t attempt = 0;; attempt++) {
        struct philox4 draw =
            philox_draw(seed, STREAM_DIFFUSION_WEIGHTS, tensor, index | attempt << 40);
        double radius = sqrt(-2 * portable_log(((double)draw.v[0] + 1) * 0x1p-32));
        double normal = radius * portable_cos(2 * PORTABLE_PI * draw.v[1] * 0x1p-32);
        if (fabs(normal) <= 2) return normal;
    }
}

void s3dit_initialise(const struct s3dit_model *model, float *parameters, uint64_t seed)
{
    memset(parameters, 0, model->list.floats * sizeof *parameters);
    for (int i = 0; i < model->list.tensor_count; i++) {
        const struct block_tensor *tensor = &model->list.tensors[i];
        float *to = parameters + tensor->offset;
        for (size_t j = 0; j < tensor->count; j++)
            to[j] = tensor->std > 0
                        ? (float)((double)tensor->std * s3dit_cut_normal(seed, (uint64_t)i, j))
                        : tensor->start;
    }
}
