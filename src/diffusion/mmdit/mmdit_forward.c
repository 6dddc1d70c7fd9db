/* The forward pass: embedders, blocks, final layer. */
#include "base/error.h"
#include "device/device.h"
#include "device/nn_ops.h"
#include "diffusion/blocks/block_linear.h"
#include "diffusion/mmdit/mmdit_internal.h"

/* ---- operations ---- */

static const float MMDIT_EPS = 1e-6f;

int mmdit_multiply(const struct mmdit_pass *pass, const struct mmdit_product *p)
{
    struct device *device = pass->mmdit->device;
    const struct block_tensor *tensor =
        block_tensor_of(&pass->mmdit->model->list, pass->block, p->slot);
    struct token_linear linear = block_linear_of(tensor, &pass->weights, p->rows);
    const struct token_epilogue epilogue = {
        .bias = pass->weights.at[p->slot + 1], .activation = p->activation, .add = p->add};
    linear.x_stride = p->x_stride;
    linear.y_stride = p->y_stride;
    return device->token->linear_forward(device, &linear, p->y, p->x, &epilogue,
                                         pass->mmdit->buffers->space);
}

float *mmdit_modulation(const struct mmdit_pass *pass, int sample, int stream, int which)
{
    size_t dim = (size_t)mmdit_dim(&pass->mmdit->model->config);
    size_t at = (size_t)((sample * MMDIT_STREAMS + stream) * MMDIT_MODULATIONS + which);
    return pass->mmdit->buffers->modulation + at * dim;
}

int mmdit_modulated_norm(const struct mmdit_pass *pass, const struct mmdit_norm *n)
{
    struct device *device = pass->mmdit->device;
    int dim = mmdit_dim(&pass->mmdit->model->config);
    const struct token_norm norm = {.kind = TOKEN_LAYER,
                                    .rows = n->rows,
                                    .width = dim,
                                    .eps = MMDIT_EPS,
                                    .scale = n->scale,
                                    .shift = n->shift,
                                    .scale_stride =
                                        (size_t)(MMDIT_STREAMS * MMDIT_MODULATIONS * dim),
                                    .rows_per_sample = n->rows_per_sample};
    return device->token->norm_forward(device, &norm, n->y, n->x);
}

/* ---- embedders ---- */

/* c (+)= W2 silu(W1 features): of time, guidance, pooled text. */
static int mmdit_embed_vector(const struct mmdit_pass *pass, int in, int out, const float *features,
                              bool add)
{
    const struct mmdit_buffers *b = pass->mmdit->buffers;
    const struct mmdit_product first = {
        .slot = in, .rows = pass->n, .y = b->middle, .x = features, .activation = TOKEN_SILU};
    const struct mmdit_product second = {
        .slot = out, .rows = pass->n, .y = b->c, .x = b->middle, .add = add};
    TRY(mmdit_multiply(pass, &first));
    return mmdit_multiply(pass, &second);
}

static int mmdit_embed_conditions(const struct mmdit_pass *pass)
{
    struct device *device = pass->mmdit->device;
    const struct mmdit_config *config = &pass->mmdit->model->config;
    float *c = pass->mmdit->buffers->c;
    const struct nn_pointwise silu = {
        .function = NN_SILU, .a = c, .count = (size_t)pass->n * (size_t)mmdit_dim(config)};
    TRY(mmdit_embed_vector(pass, MMDIT_TIME_IN, MMDIT_TIME_OUT, pass->batch->time, false));
    if (config->guidance)
        TRY(mmdit_embed_vector(pass, MMDIT_GUIDANCE_IN, MMDIT_GUIDANCE_OUT, pass->batch->guidance,
                               true));
    TRY(mmdit_embed_vector(pass, MMDIT_POOLED_IN, MMDIT_POOLED_OUT, pass->batch->pooled, true));
    return device->nn->pointwise_forward(device, &silu, c);
}

/* Latents and tokens of MMDIT_PATCH x MMDIT_PATCH of them, (channel, row, column) in each. */
static struct nn_strided mmdit_patching(const struct mmdit_pass *pass, float *patches,
                                        const float *image)
{
    const struct mmdit_size *size = &pass->mmdit->size;
    const struct mmdit_config *config = &pass->mmdit->model->config;
    enum { P = MMDIT_PATCH };
    ptrdiff_t channels = config->channels, line = size->width * channels;
    ptrdiff_t all = mmdit_patch_dim(config), columns = size->width / P;
    /* Rows of patches of all samples, one behind the other. */
    return (struct nn_strided){
        .out = patches,
        .in = image,
        .count = {pass->n * size->height / P, (int)columns, (int)channels, P, P},
        .out_stride = {columns * all, all, P * P, P, 1},
        .in_stride = {P * line, P * channels, 1, line, channels},
    };
}

int mmdit_embed_forward(const struct mmdit_pass *pass)
{
    struct mmdit *mmdit = pass->mmdit;
    const struct mmdit_buffers *b = mmdit->buffers;
    const struct mmdit_config *config = &mmdit->model->config;
    const struct nn_strided copy = mmdit_patching(pass, b->patches, pass->batch->image);
    size_t text = (size_t)mmdit->size.text_rows, image = (size_t)mmdit->image_tokens;
    size_t dim = (size_t)mmdit_dim(config);
    TRY(mmdit_embed_conditions(pass));
    TRY(mmdit->device->nn->strided_copy(mmdit->device, &copy));
    for (size_t i = 0; i < (size_t)pass->n; i++) {
        float *x = b->x + i * (text + image) * dim;
        const struct mmdit_product products[] = {
            {.slot = MMDIT_TEXT,
             .rows = (int)text,
             .y = x,
             .x = pass->batch->text + i * text * (size_t)config->text_dim},
            {.slot = MMDIT_X,
             .rows = (int)image,
             .y = x + text * dim,
             .x = b->patches + i * image * (size_t)mmdit_patch_dim(config)},
        };
        for (int k = 0; k < 2; k++)
            TRY(mmdit_multiply(pass, &products[k]));
    }
    return OK;
}

/* ---- final layer ---- */

int mmdit_final_forward(const struct mmdit_pass *pass, float *out)
{
    struct mmdit *mmdit = pass->mmdit;
    const struct mmdit_buffers *b = mmdit->buffers;
    size_t dim = (size_t)mmdit_dim(&mmdit->model->config), tokens = (size_t)mmdit_tokens(mmdit);
    size_t text = (size_t)mmdit->size.text_rows, image = (size_t)mmdit->image_tokens;
    const struct mmdit_product modulation = {.slot = MMDIT_FINAL_MODULATION,
                                             .rows = pass->n,
                                             .y = b->modulation,
                                             .x = b->c,
                                             .y_stride = MMDIT_STREAMS * MMDIT_MODULATIONS * dim};
    const struct mmdit_product last = {
        .slot = MMDIT_FINAL_OUT, .rows = pass->n * (int)image, .y = b->tokens, .x = b->y};
    struct nn_strided copy = nn_strided_adjoint(mmdit_patching(pass, NULL, NULL));
    TRY(mmdit_multiply(pass, &modulation));
    for (size_t i = 0; i < (size_t)pass->n; i++) {
        const struct mmdit_norm norm = {.rows = (int)image,
                                        .scale = mmdit_modulation(pass, (int)i, 0, 0),
                                        .shift = mmdit_modulation(pass, (int)i, 0, 1),
                                        .y = b->y + i * image * dim,
                                        .x = b->x + (i * tokens + text) * dim};
        TRY(mmdit_modulated_norm(pass, &norm));
    }
    TRY(mmdit_multiply(pass, &last));
    copy.out = out;
    copy.in = b->tokens;
    return mmdit->device->nn->strided_copy(mmdit->device, &copy);
}

/* ---- the whole ---- */

static int mmdit_forward_part(const struct mmdit_pass *pass, float *out)
{
    switch (mmdit_part_of(pass->mmdit->model, pass->block)) {
    case MMDIT_EMBED: return mmdit_embed_forward(pass);
    case MMDIT_DOUBLE: return mmdit_double_forward(pass);
    case MMDIT_SINGLE: return mmdit_single_forward(pass);
    default: return mmdit_final_forward(pass, out);
    }
}

static int mmdit_forward_block(struct mmdit_pass *pass, int block, float *out)
{
    const struct block_source *source = pass->source;
    bool (*stop_requested)(void) = pass->batch->stop_requested;
    if (stop_requested && stop_requested()) return fail(ERR_STOPPED, "stopped");
    pass->block = block;
    TRY(source->acquire(source->context, block, &pass->weights));
    int code = mmdit_forward_part(pass, out);
    int released = source->release(source->context, block);
    return code < 0 ? code : released;
}

int mmdit_forward(struct mmdit *mmdit, const struct block_source *source,
                  const struct mmdit_batch *batch, float *out)
{
    struct mmdit_pass pass = {
        .mmdit = mmdit, .source = source, .batch = batch, .n = batch->samples};
    if (batch->samples < 1 || batch->samples > mmdit->size.samples)
        return fail(ERR_INTERNAL, "%d samples: planned for %d", batch->samples,
                    mmdit->size.samples);
    for (int block = 0; block < mmdit->model->list.block_count; block++)
        TRY(mmdit_forward_block(&pass, block, out));
    return OK;
}

void mmdit_time_features(const float *numbers, int n, float *features)
{
    time_features(numbers, n, 1000, features);
}
