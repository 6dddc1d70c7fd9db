#include "diffusion/dit/s3dit_model.h"

#include "base/error.h"
#include "base/random.h"
#include "device/token_ops.h"
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

static int s3dit_check_range(const char *key, int64_t value, int64_t least, int64_t most)
{
    if (value >= least && value <= most) return OK;
    return fail(ERR_DATA, "%s is %lld: it must be %lld to %lld", key, (long long)value,
                (long long)least, (long long)most);
}

static int s3dit_check_axes(const struct s3dit_config *config)
{
    int64_t sum = 0;
    for (int i = 0; i < S3DIT_AXES; i++) {
        TRY(s3dit_check_range("a number of axes_dims", config->axes[i], 2, S3DIT_WIDTH_MOST));
        TRY(s3dit_check_range("a number of axes_lens", config->axes_lens[i], 1, S3DIT_LENGTH_MOST));
        if (config->axes[i] % 2)
            return fail(ERR_DATA, "axes_dims must be even: %d", config->axes[i]);
        sum += config->axes[i];
    }
    if (config->dim % config->heads)
        return fail(ERR_DATA, "dim %d is no multiple of n_heads %d", config->dim, config->heads);
    if (s3dit_head_dim(config) > S3DIT_HEAD_MOST)
        return fail(ERR_DATA, "a head's width is %d, dim / n_heads: it must be at most %d",
                    s3dit_head_dim(config), S3DIT_HEAD_MOST);
    if (sum != s3dit_head_dim(config))
        return fail(ERR_DATA, "axes_dims make %lld: a head's width, dim / n_heads, is %d",
                    (long long)sum, s3dit_head_dim(config));
    return OK;
}

int s3dit_check_config(const struct s3dit_config *config)
{
    TRY(s3dit_check_range("in_channels", config->channels, 1, 1024));
    TRY(s3dit_check_range("all_patch_size", config->patch, 1, 16));
    TRY(s3dit_check_range("dim", config->dim, 2, S3DIT_WIDTH_MOST));
    TRY(s3dit_check_range("n_layers", config->layers, 1, S3DIT_BLOCKS_MOST));
    TRY(s3dit_check_range("n_refiner_layers", config->refiner_layers, 0, S3DIT_BLOCKS_MOST));
    TRY(s3dit_check_range("n_heads", config->heads, 1, config->dim));
    TRY(s3dit_check_range("cap_feat_dim", config->text_dim, 1, S3DIT_WIDTH_MOST));
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
    int slot;
    char rows, columns;
    float std, start;
};

static const float S3DIT_STD = 0.02f;

static const struct s3dit_row s3dit_embed_rows[] = {
    {"all_x_embedder.%d-1.weight", S3DIT_X_WEIGHT, 'D', 'P', S3DIT_STD, 0},
    {"all_x_embedder.%d-1.bias", S3DIT_X_BIAS, 'D', ' ', 0, 0},
    {"t_embedder.mlp.0.weight", S3DIT_TIME_IN_WEIGHT, 'M', 'T', S3DIT_STD, 0},
    {"t_embedder.mlp.0.bias", S3DIT_TIME_IN_BIAS, 'M', ' ', 0, 0},
    {"t_embedder.mlp.2.weight", S3DIT_TIME_OUT_WEIGHT, 'A', 'M', S3DIT_STD, 0},
    {"t_embedder.mlp.2.bias", S3DIT_TIME_OUT_BIAS, 'A', ' ', 0, 0},
    {"cap_embedder.0.weight", S3DIT_TEXT_NORM, 'E', ' ', 0, 1},
    {"cap_embedder.1.weight", S3DIT_TEXT_WEIGHT, 'D', 'E', S3DIT_STD, 0},
    {"cap_embedder.1.bias", S3DIT_TEXT_BIAS, 'D', ' ', 0, 0},
    {"x_pad_token", S3DIT_X_PAD, '1', 'D', S3DIT_STD, 0},
    {"cap_pad_token", S3DIT_TEXT_PAD, '1', 'D', S3DIT_STD, 0},
};

static const struct s3dit_row s3dit_block_rows[] = {
    {"attention.to_q.weight", S3DIT_Q, 'D', 'D', S3DIT_STD, 0},
    {"attention.to_k.weight", S3DIT_K, 'D', 'D', S3DIT_STD, 0},
    {"attention.to_v.weight", S3DIT_V, 'D', 'D', S3DIT_STD, 0},
    {"attention.to_out.0.weight", S3DIT_OUT, 'D', 'D', S3DIT_STD, 0},
    {"attention.norm_q.weight", S3DIT_NORM_Q, 'd', ' ', 0, 1},
    {"attention.norm_k.weight", S3DIT_NORM_K, 'd', ' ', 0, 1},
    {"feed_forward.w1.weight", S3DIT_W1, 'F', 'D', S3DIT_STD, 0},
    {"feed_forward.w2.weight", S3DIT_W2, 'D', 'F', S3DIT_STD, 0},
    {"feed_forward.w3.weight", S3DIT_W3, 'F', 'D', S3DIT_STD, 0},
    {"attention_norm1.weight", S3DIT_ATTENTION_NORM1, 'D', ' ', 0, 1},
    {"attention_norm2.weight", S3DIT_ATTENTION_NORM2, 'D', ' ', 0, 1},
    {"ffn_norm1.weight", S3DIT_FFN_NORM1, 'D', ' ', 0, 1},
    {"ffn_norm2.weight", S3DIT_FFN_NORM2, 'D', ' ', 0, 1},
    {"adaLN_modulation.0.weight", S3DIT_MODULATION_WEIGHT, '4', 'A', 0, 0},
    {"adaLN_modulation.0.bias", S3DIT_MODULATION_BIAS, '4', ' ', 0, 0},
};

static const struct s3dit_row s3dit_final_rows[] = {
    {"all_final_layer.%d-1.linear.weight", S3DIT_FINAL_WEIGHT, 'P', 'D', 0, 0},
    {"all_final_layer.%d-1.linear.bias", S3DIT_FINAL_BIAS, 'P', ' ', 0, 0},
    {"all_final_layer.%d-1.adaLN_modulation.1.weight", S3DIT_FINAL_SCALE_WEIGHT, 'D', 'A', 0, 0},
    {"all_final_layer.%d-1.adaLN_modulation.1.bias", S3DIT_FINAL_SCALE_BIAS, 'D', ' ', 0, 0},
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

enum s3dit_part s3dit_part_of(const struct s3dit_model *model, int block)
{
    int refiners = model->config.refiner_layers;
    if (block == 0) return S3DIT_EMBED;
    if (block == model->block_count - 1) return S3DIT_FINAL;
    if (block <= refiners) return S3DIT_NOISE_REFINER;
    return block <= 2 * refiners ? S3DIT_CONTEXT_REFINER : S3DIT_LAYER;
}

void s3dit_block_name(const struct s3dit_model *model, int block, char *name, size_t size)
{
    int refiners = model->config.refiner_layers;
    switch (s3dit_part_of(model, block)) {
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

static bool s3dit_has_prefix(enum s3dit_part part)
{
    return part != S3DIT_EMBED && part != S3DIT_FINAL;
}

static void s3dit_name_tensor(const struct s3dit_model *model, struct s3dit_tensor *tensor,
                              const char *name)
{
    char block[32];
    const char *number = strstr(name, "%d");
    s3dit_block_name(model, tensor->block, block, sizeof block);
    if (s3dit_has_prefix(s3dit_part_of(model, tensor->block)))
        snprintf(tensor->name, sizeof tensor->name, "%s.%s", block, name);
    else if (number)
        snprintf(tensor->name, sizeof tensor->name, "%.*s%d%s", (int)(number - name), name,
                 model->config.patch, number + 2);
    else
        snprintf(tensor->name, sizeof tensor->name, "%s", name);
}

static void s3dit_add_tensor(struct s3dit_model *model, int block, const struct s3dit_row *row)
{
    struct s3dit_tensor *tensor = &model->tensors[model->tensor_count++];
    *tensor = (struct s3dit_tensor){.dims = row->columns == ' ' ? 1 : 2,
                                    .shape = {s3dit_length(&model->config, row->rows),
                                              s3dit_length(&model->config, row->columns)},
                                    .block = block,
                                    .slot = row->slot,
                                    .is_matrix = row->columns != ' ' && row->rows != '1',
                                    .std = row->std,
                                    .start = row->start};
    tensor->count = (size_t)tensor->shape[0] * (tensor->dims == 2 ? (size_t)tensor->shape[1] : 1);
    s3dit_name_tensor(model, tensor, row->name);
    model->parameter_total += tensor->count;
}

/* As net_add_parameter lays parameters out. */
static void s3dit_lay_out(struct s3dit_model *model, bool matrices)
{
    for (int i = 0; i < model->tensor_count; i++) {
        struct s3dit_tensor *tensor = &model->tensors[i];
        if (tensor->is_matrix != matrices) continue;
        tensor->offset = model->floats;
        model->floats += (tensor->count + 15) / 16 * 16;
    }
}

int s3dit_model_create(struct s3dit_model *model, const struct s3dit_config *config)
{
    *model = (struct s3dit_model){.config = *config};
    TRY(s3dit_check_config(config));
    model->block_count = 2 + 2 * config->refiner_layers + config->layers;
    model->tensors = calloc((size_t)model->block_count * S3DIT_SLOTS, sizeof *model->tensors);
    model->first = calloc((size_t)model->block_count + 1, sizeof *model->first);
    if (!model->tensors || !model->first) return fail(ERR_SYSTEM, "out of memory");
    for (int block = 0; block < model->block_count; block++) {
        model->first[block] = model->tensor_count;
        struct s3dit_rows rows = s3dit_rows_of(s3dit_part_of(model, block));
        for (int i = 0; i < rows.count; i++)
            s3dit_add_tensor(model, block, &rows.rows[i]);
    }
    model->first[model->block_count] = model->tensor_count;
    s3dit_lay_out(model, true);
    model->matrix_floats = model->floats;
    s3dit_lay_out(model, false);
    return OK;
}

void s3dit_model_free(struct s3dit_model *model)
{
    free(model->tensors);
    free(model->first);
    model->tensors = NULL;
    model->first = NULL;
}

const struct s3dit_tensor *s3dit_tensor_of(const struct s3dit_model *model, int block, int slot)
{
    int index = model->first[block] + slot;
    return index < model->first[block + 1] ? &model->tensors[index] : NULL;
}

int s3dit_fill_net(const struct s3dit_model *model, struct net *net)
{
    for (int matrices = 1; matrices >= 0; matrices--)
        for (int i = 0; i < model->tensor_count; i++) {
            const struct s3dit_tensor *tensor = &model->tensors[i];
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
    memset(parameters, 0, model->floats * sizeof *parameters);
    for (int i = 0; i < model->tensor_count; i++) {
        const struct s3dit_tensor *tensor = &model->tensors[i];
        float *to = parameters + tensor->offset;
        for (size_t j = 0; j < tensor->count; j++)
            to[j] = tensor->std > 0
                        ? (float)((double)tensor->std * s3dit_cut_normal(seed, (uint64_t)i, j))
                        : tensor->start;
    }
}
