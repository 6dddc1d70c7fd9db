#include "diffusion/model/model_arch.h"

#include "base/error.h"
#include "base/file.h"
#include "base/format.h"
#include "base/random.h"
#include "diffusion/text/token_tables.h"
#include "math/bf16.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Bytes that are drawn at a time. */
enum { DRAWN = 1 << 16 };

enum { STEPS = 8 };

static const char arch_table_name[] = "embed_tokens.weight";

/* The denoisers of those that are meant for pixels and for latents, which differ in channels. */
#define S3DIT_1M(of)                                                                               \
    {                                                                                              \
        .channels = (of), .patch = 2, .dim = 96, .layers = 3, .refiner_layers = 1, .heads = 3,     \
        .text_dim = 64, .axes = {16, 8, 8}, .axes_lens = {512, 128, 128}, .rope_theta = 256,       \
        .t_scale = 1000, .norm_eps = 1e-5                                                          \
    }
#define S3DIT_42M(of)                                                                              \
    {                                                                                              \
        .channels = (of), .patch = 2, .dim = 384, .layers = 16, .refiner_layers = 2, .heads = 6,   \
        .text_dim = 256, .axes = {32, 16, 16}, .axes_lens = {512, 128, 128}, .rope_theta = 256,    \
        .t_scale = 1000, .norm_eps = 1e-5                                                          \
    }

/* Z-Image and FLUX.1: as many blocks whatever their widths, so that their ladders have the same
 * steps. */
#define Z_IMAGE(width, own_heads, width_of_text, ...)                                              \
    {                                                                                              \
        .channels = 16, .patch = 2, .dim = (width), .layers = 30, .refiner_layers = 2,             \
        .heads = (own_heads), .text_dim = (width_of_text), .axes = {__VA_ARGS__},                  \
        .axes_lens = {1024, 512, 512}, .rope_theta = 256, .t_scale = 1000, .norm_eps = 1e-5        \
    }
#define FLUX_1(own_heads, width_of_head, width_of_text, width_of_pooled, is_guided, ...)           \
    {                                                                                              \
        .channels = 16, .double_blocks = 19, .single_blocks = 38, .heads = (own_heads),            \
        .head_dim = (width_of_head), .text_dim = (width_of_text), .pooled_dim = (width_of_pooled), \
        .guidance = (is_guided), .axes = {                                                         \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
#define VAE_OF_16(...)                                                                             \
    {                                                                                              \
        .levels = 4, .widths = {__VA_ARGS__}, .resnets = 2, .latent_channels = 16, .groups = 32,   \
        .attention = true, .scaling = .3611, .shift = .1159                                        \
    }
#define CLIP(width, width_of_mlp, own_heads, words)                                                \
    {                                                                                              \
        .hidden = (width), .mlp = (width_of_mlp), .layers = 12, .heads = (own_heads),              \
        .vocabulary = (words), .positions = 77, .end = 2, .eps = 1e-5                              \
    }
#define T5(width, width_of_mlp, own_heads, width_of_head, words)                                   \
    {                                                                                              \
        .hidden = (width), .mlp = (width_of_mlp), .layers = 24, .heads = (own_heads),              \
        .head_dim = (width_of_head), .vocabulary = (words), .buckets = 32, .distance = 128,        \
        .eps = 1e-6                                                                                \
    }

static const struct arch {
    const char *name;
    enum tensor_type type;
    int side, text_rows;
    double shift;              /* of the schedule */
    bool is_dynamic;           /* its levels depend on the size, and not on `shift` */
    struct s3dit_config s3dit; /* dim 0: the network is */
    struct mmdit_config mmdit; /* this one */
    struct kl_config vae;      /* levels 0: none */
    struct qwen3_config text;  /* layers 0: prompts are read by */
    struct clip_config clip;   /* these two, */
    struct t5_config t5;       /* layers 0: nor by them: they are rows of a table */
} archs[] = {
    {.name = "s3dit-1m",
     .type = TENSOR_F32,
     .side = 16,
     .text_rows = 1,
     .shift = 1,
     .s3dit = S3DIT_1M(3)},
    {.name = "s3dit-1m-latent",
     .type = TENSOR_F32,
     .side = 64,
     .text_rows = 1,
     .shift = 1,
     .s3dit = S3DIT_1M(4),
     .vae = {.levels = 3,
             .widths = {16, 32, 32},
             .resnets = 1,
             .latent_channels = 4,
             .groups = 8,
             .attention = true,
             .scaling = 1,
             .shift = 0}},
    {.name = "s3dit-42m",
     .type = TENSOR_F32,
     .side = 32,
     .text_rows = 1,
     .shift = 1,
     .s3dit = S3DIT_42M(3)},
    {.name = "s3dit-42m-latent",
     .type = TENSOR_F32,
     .side = 256,
     .text_rows = 1,
     .shift = 1,
     .s3dit = S3DIT_42M(16),
     .vae = {.levels = 4,
             .widths = {64, 128, 256, 256},
             .resnets = 2,
             .latent_channels = 16,
             .groups = 32,
             .attention = true,
             .scaling = 1,
             .shift = 0}},
    {.name = "z-image-turbo",
     .type = TENSOR_BF16,
     .side = 1024,
     .text_rows = TEXT_MOST_ROWS,
     .shift = 3,
     .s3dit = Z_IMAGE(3840, 30, 2560, 32, 48, 48),
     .vae = VAE_OF_16(128, 256, 512, 512),
     .text = {.hidden = 2560,
              .mlp = 9728,
              .layers = 36,
              .heads = 32,
              .kv_heads = 8,
              .head_dim = 128,
              .vocabulary = 151936,
              .positions = 40960,
              .rope_theta = 1e6,
              .eps = 1e-6}},
    {.name = "z-image-20th",
     .type = TENSOR_BF16,
     .side = 256,
     .text_rows = 64,
     .shift = 3,
     .s3dit = Z_IMAGE(192, 6, 128, 8, 12, 12),
     .vae = VAE_OF_16(32, 32, 32, 32),
     .text = {.hidden = 128,
              .mlp = 486,
              .layers = 36,
              .heads = 12,
              .kv_heads = 3,
              .head_dim = 16,
              .vocabulary = 7597,
              .positions = 2048,
              .rope_theta = 1e6,
              .eps = 1e-6}},
    {.name = "flux-1-dev",
     .type = TENSOR_BF16,
     .side = 1024,
     .text_rows = TEXT_MOST_ROWS,
     .is_dynamic = true,
     .shift = 3,
     .mmdit = FLUX_1(24, 128, 4096, 768, true, 16, 56, 56),
     .vae = VAE_OF_16(128, 256, 512, 512),
     .clip = CLIP(768, 3072, 12, 49408),
     .t5 = T5(4096, 10240, 64, 64, 32128)},
    {.name = "flux-1-schnell",
     .type = TENSOR_BF16,
     .side = 1024,
     .text_rows = TEXT_MOST_ROWS / 2,
     .shift = 1,
     .mmdit = FLUX_1(24, 128, 4096, 768, false, 16, 56, 56),
     .vae = VAE_OF_16(128, 256, 512, 512),
     .clip = CLIP(768, 3072, 12, 49408),
     .t5 = T5(4096, 10240, 64, 64, 32128)},
    {.name = "flux-20th",
     .type = TENSOR_BF16,
     .side = 256,
     .text_rows = 64,
     .is_dynamic = true,
     .shift = 3,
     .mmdit = FLUX_1(5, 32, 208, 40, true, 4, 14, 14),
     .vae = VAE_OF_16(32, 32, 32, 32),
     .clip = CLIP(40, 154, 4, 2470),
     .t5 = T5(208, 512, 13, 16, 1606)},
};

enum { ARCHS = sizeof archs / sizeof *archs };

static const struct arch *arch_find(const char *name)
{
    for (int i = 0; i < ARCHS; i++)
        if (strcmp(archs[i].name, name) == 0) return &archs[i];
    return NULL;
}

int model_arch_side(const struct model_arch *arch)
{
    return arch_find(arch->folder.path)->side;
}

int model_arch_text_rows(const struct model_arch *arch)
{
    return arch_find(arch->folder.path)->text_rows;
}

/* Uniform, as wide as the first weights of a matrix or a convolution are, or around one; the same
 * on every machine. */
static int arch_draw(struct model_arch *arch, int index)
{
    const struct store_tensor *tensor = &arch->tensors[index];
    size_t each = tensor_type_bytes(tensor->type), count = tensor->bytes / each, inputs = 1;
    for (int d = 1; d < tensor->dims; d++)
        inputs *= (size_t)tensor->shape[d];
    bool is_norm = strstr(tensor->name, "norm") && !strstr(tensor->name, "bias");
    float scale = tensor->dims > 1 ? sqrtf(3.0F / (float)inputs) : .1F;
    float middle = tensor->dims == 1 && is_norm ? 1 : 0;
    static _Thread_local char buffer[DRAWN];
    for (size_t from = 0; from < count; from += DRAWN / each) {
        size_t n = count - from < DRAWN / each ? count - from : DRAWN / each;
        struct philox4 draw = {{0}};
        for (size_t i = 0; i < n; i++) {
            if (i % 4 == 0)
                draw = philox_draw(0, STREAM_DIFFUSION_WEIGHTS, (uint64_t)index, (from + i) / 4);
            float x = middle + scale * (float)(2 * philox_uniform(draw.v[i % 4]) - 1);
            uint16_t half = bf16_round(x);
            memcpy(buffer + each * i, tensor->type == TENSOR_F32 ? (void *)&x : (void *)&half,
                   each);
        }
        TRY(spill_write(&arch->weights, buffer, each * n));
    }
    return OK;
}

static int arch_draw_all(struct model_arch *arch, size_t bytes)
{
    size_t at = 0;
    int code = spill_open(&arch->weights, file_temporary_folder(), bytes);
    if (code < 0) return fail_within(code, "random weights");
    if (!spill_is_file(&arch->weights))
        return fail(ERR_IO, "no file of %s can be had in the folder for temporary files",
                    format_bytes((int64_t)bytes).text);
    for (int t = 0; t < arch->tensor_count; t++)
        TRY(arch_draw(arch, t));
    TRY(spill_end(&arch->weights));
    for (int t = 0; t < arch->tensor_count; t++) {
        arch->tensors[t].data = (const char *)arch->weights.data + at;
        at += arch->tensors[t].bytes;
    }
    return OK;
}

static void arch_list_tensor(struct model_arch *arch, const char *name, enum tensor_type type,
                             int dims, const int64_t *shape, size_t count)
{
    struct store_tensor *tensor = &arch->tensors[arch->tensor_count++];
    *tensor = (struct store_tensor){
        .name = name, .type = type, .dims = dims, .bytes = count * tensor_type_bytes(type)};
    memcpy(tensor->shape, shape, (size_t)dims * sizeof *shape);
}

static void arch_list_blocks(struct model_arch *arch, const struct block_list *list,
                             enum tensor_type type)
{
    for (int t = 0; t < list->tensor_count; t++) {
        const struct block_tensor *tensor = &list->tensors[t];
        arch_list_tensor(arch, tensor->name, type, tensor->dims, tensor->shape, tensor->count);
    }
}

static void arch_list_matrix(struct model_arch *arch, const char *name, enum tensor_type type,
                             int64_t rows, int64_t width)
{
    const int64_t shape[2] = {rows, width};
    arch_list_tensor(arch, name, type, 2, shape, (size_t)rows * (size_t)width);
}

static void arch_list_vae(struct model_arch *arch, enum tensor_type type)
{
    for (int t = 0; t < arch->vae.parameter_count; t++) {
        const struct net_parameter *p = &arch->vae.parameters[t];
        arch->folder.vae.encoder_tensors += kl_is_of_encoder(p->name);
        arch_list_tensor(arch, p->name, type, p->dims, p->shape, p->count);
    }
    arch->folder.vae.tensor_count = arch->vae.parameter_count;
}

/* Encoders' layers, then what lies beside them. */
static void arch_list_text(struct model_arch *arch, enum tensor_type type)
{
    const struct model_folder *folder = &arch->folder;
    const struct qwen3_config *qwen3 = &folder->qwen3.config;
    const struct clip_config *clip = &folder->clip.config;
    const struct t5_config *t5 = &folder->t5.config;
    if (folder->reader.layers.network) arch_list_blocks(arch, folder->reader.layers.list, type);
    if (folder->pooled.layers.network) arch_list_blocks(arch, folder->pooled.layers.list, type);
    if (qwen3->layers > 0)
        arch_list_matrix(arch, arch_table_name, type, qwen3->vocabulary, qwen3->hidden);
    if (t5->layers == 0) return;
    arch_list_matrix(arch, "shared.weight", type, t5->vocabulary, t5->hidden);
    arch_list_matrix(arch, T5_TABLE, type, t5->buckets, t5->heads);
    arch_list_matrix(arch, CLIP_TABLE, type, clip->vocabulary, clip->hidden);
    arch_list_matrix(arch, CLIP_POSITIONS, type, clip->positions, clip->hidden);
}

static int arch_layers_count(const struct model_encoder *encoder)
{
    return encoder->layers.network ? encoder->layers.list->tensor_count : 0;
}

/* Where the folder keeps its tensors, in the order of the list. */
static void arch_share_out(struct model_arch *arch)
{
    struct model_folder *folder = &arch->folder;
    bool has_pooled = folder->pooled.layers.network != NULL;
    const struct {
        const struct store_tensor **to;
        int count;
    } parts[] = {{folder->weights, model_tensors(folder)->tensor_count},
                 {folder->vae.weights, arch->vae.parameter_count},
                 {folder->reader.weights, arch_layers_count(&folder->reader)},
                 {folder->pooled.weights, arch_layers_count(&folder->pooled)},
                 {&folder->reader.table, folder->reader.layers.network != NULL},
                 {&folder->reader.more, has_pooled},
                 {&folder->pooled.table, has_pooled},
                 {&folder->pooled.more, has_pooled}};
    int at = 0;
    for (size_t p = 0; p < sizeof parts / sizeof *parts; p++)
        for (int t = 0; t < parts[p].count; t++)
            parts[p].to[t] = &arch->tensors[at++];
}

static int arch_list(struct model_arch *arch, enum tensor_type type, size_t *bytes)
{
    enum { BESIDE = 4 };
    struct model_folder *folder = &arch->folder;
    size_t own = (size_t)model_tensors(folder)->tensor_count,
           vae = (size_t)arch->vae.parameter_count;
    size_t reader = (size_t)arch_layers_count(&folder->reader),
           pooled = (size_t)arch_layers_count(&folder->pooled);
    arch->tensors = calloc(own + vae + reader + pooled + BESIDE, sizeof *arch->tensors);
    folder->weights = calloc(own, sizeof *folder->weights);
    folder->vae.weights = calloc(vae + 1, sizeof *folder->vae.weights);
    folder->reader.weights = calloc(reader + 1, sizeof *folder->reader.weights);
    folder->pooled.weights = calloc(pooled + 1, sizeof *folder->pooled.weights);
    if (!arch->tensors || !folder->weights || !folder->vae.weights || !folder->reader.weights ||
        !folder->pooled.weights)
        return fail(ERR_SYSTEM, "out of memory");
    arch_list_blocks(arch, model_tensors(folder), type);
    arch_list_vae(arch, type);
    arch_list_text(arch, type);
    arch_share_out(arch);
    *bytes = 0;
    for (int t = 0; t < arch->tensor_count; t++)
        *bytes += arch->tensors[t].bytes;
    return OK;
}

static int arch_build_vae(struct model_arch *arch, const struct arch *known)
{
    struct kl_folder *vae = &arch->folder.vae;
    int side = kl_factor(&known->vae), moments;
    vae->config = known->vae;
    vae->sample_size = known->side;
    vae->path = strdup(known->name);
    arch->folder.has_vae = true;
    if (!vae->path) return fail(ERR_SYSTEM, "out of memory");
    return kl_build_training(&arch->vae, &vae->config, side, side, &moments);
}

/* One class. */
static int arch_make_table(struct model_arch *arch)
{
    size_t width = (size_t)arch->folder.network.text_dim;
    TRY(tokenizer_of_labels(&arch->folder.reader.tokens, 1, NULL));
    if (arch->folder.reader.layers.network) return OK; /* it has been listed */
    size_t count = (size_t)tokenizer_rows(arch->folder.reader.tokens) * width;
    arch->rows = malloc(count * sizeof *arch->rows);
    if (!arch->rows) return fail(ERR_SYSTEM, "out of memory");
    for (size_t i = 0; i < count; i++)
        arch->rows[i] =
            (float)(2 * philox_uniform(philox_draw(1, STREAM_DIFFUSION_WEIGHTS, 0, i).v[0]) - 1);
    arch->table =
        (struct store_tensor){.name = arch_table_name,
                              .type = TENSOR_F32,
                              .dims = 2,
                              .shape = {tokenizer_rows(arch->folder.reader.tokens), (int64_t)width},
                              .data = arch->rows,
                              .bytes = count * sizeof *arch->rows};
    arch->folder.reader.table = &arch->table;
    return OK;
}

static int arch_create_network(struct model_folder *folder, const struct arch *known)
{
    if (known->s3dit.dim > 0) {
        TRY(s3dit_model_create(&folder->dit, &known->s3dit));
        denoiser_describe_s3dit(folder);
        folder->defaults.steps = STEPS;
        return OK;
    }
    TRY(mmdit_model_create(&folder->mmdit, &known->mmdit));
    denoiser_describe_mmdit(folder);
    folder->network.text_rows = known->text_rows;
    return OK;
}

static int arch_create_text(struct model_folder *folder, const struct arch *known)
{
    if (known->text.layers > 0) {
        TRY(qwen3_model_create(&folder->qwen3, &known->text));
        folder->reader.layers = qwen3_encoder(&folder->qwen3);
    }
    if (known->t5.layers == 0) return OK;
    TRY(t5_model_create(&folder->t5, &known->t5));
    folder->reader.layers = t5_encoder(&folder->t5);
    TRY(clip_model_create(&folder->clip, &known->clip));
    folder->pooled.layers = clip_encoder(&folder->clip);
    return OK;
}

int model_arch_open(struct model_arch *arch, const char *name, bool with_weights)
{
    const struct arch *known = arch_find(name);
    size_t bytes = 0;
    *arch = (struct model_arch){.weights = {.fd = -1}};
    if (!known) return fail(ERR_USAGE, "--arch %s is none of " MODEL_ARCH_NAMES, name);
    arch->folder.path = strdup(name);
    if (!arch->folder.path) return fail(ERR_SYSTEM, "out of memory");
    arch->folder.defaults = (struct model_defaults){.guidance = -1, .seed = -1};
    arch->folder.schedule = sigma_schedule_of_shift(known->shift);
    if (known->is_dynamic) arch->folder.schedule.kind = SIGMA_SHIFT_EXPONENTIAL;
    TRY(arch_create_network(&arch->folder, known));
    if (known->vae.levels > 0) TRY(arch_build_vae(arch, known));
    TRY(arch_create_text(&arch->folder, known));
    TRY(arch_list(arch, known->type, &bytes));
    TRY(arch_make_table(arch));
    return with_weights ? arch_draw_all(arch, bytes) : OK;
}

void model_arch_close(struct model_arch *arch)
{
    model_folder_close(&arch->folder);
    net_free(&arch->vae);
    free(arch->tensors);
    free(arch->rows);
    spill_free(&arch->weights);
    *arch = (struct model_arch){.weights = {.fd = -1}};
}
