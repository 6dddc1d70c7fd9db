#include "diffusion/dit/s3dit_ends.h"

#include "base/error.h"
#include "device/device.h"
#include "device/nn_ops.h"

/* ---- pieces ---- */

static int s3dit_silu(const struct s3dit_pass *pass, float *y, const float *x, int width)
{
    struct device *device = pass->dit->device;
    const struct nn_pointwise silu = {
        .function = NN_SILU, .a = x, .count = (size_t)pass->n * (size_t)width};
    return device->nn->pointwise_forward(device, &silu, y);
}

static int s3dit_silu_gradient(const struct s3dit_pass *pass, float *dx, const float *dy,
                               const float *x, int width)
{
    struct device *device = pass->dit->device;
    const struct nn_pointwise silu = {
        .function = NN_SILU, .a = x, .count = (size_t)pass->n * (size_t)width};
    return device->nn->pointwise_dgrad(device, &silu, 0, dx, dy, false);
}

/* Pixels and patches of T0 tokens, of `rows` that a sample has: (row, column, channel) of a patch,
 * the channel fastest. */
static struct nn_strided s3dit_patching(const struct s3dit_pass *pass, float *patches, int rows,
                                        const float *image)
{
    const struct s3dit *dit = pass->dit;
    const struct s3dit_config *config = &dit->model->config;
    int patch = config->patch, width = dit->size.width, height = dit->size.height;
    ptrdiff_t line = patch * config->channels, all = s3dit_patch_dim(config);
    ptrdiff_t pixels = (ptrdiff_t)width * config->channels;
    return (struct nn_strided){
        .out = patches,
        .in = image,
        .count = {pass->n, height / patch, width / patch, patch, (int)line},
        .out_stride = {rows * all, width / patch * all, all, line, 1},
        .in_stride = {height * pixels, patch * pixels, line, pixels, 1},
    };
}

static int s3dit_unpatch(const struct s3dit_pass *pass, float *image, const float *tokens)
{
    struct device *device = pass->dit->device;
    struct nn_strided copy =
        nn_strided_adjoint(s3dit_patching(pass, NULL, pass->dit->image_tokens, NULL));
    copy.out = image;
    copy.in = tokens;
    return device->nn->strided_copy(device, &copy);
}

static struct token_pads s3dit_pads(const struct s3dit_pass *pass, enum s3dit_length_row row,
                                    int tokens)
{
    const struct s3dit *dit = pass->dit;
    return (struct token_pads){.samples = pass->n,
                               .tokens = tokens,
                               .width = dit->model->config.dim,
                               .lengths = dit->buffers->lengths + (int)row * dit->size.samples};
}

static struct token_norm s3dit_text_norm(const struct s3dit_pass *pass)
{
    const struct s3dit_config *config = &pass->dit->model->config;
    int rows = pass->dit->size.text_rows;
    return (struct token_norm){.kind = TOKEN_RMS,
                               .rows = pass->n * rows,
                               .width = config->text_dim,
                               .eps = (float)config->norm_eps,
                               .weight = pass->weights.at[S3DIT_TEXT_NORM],
                               .rows_per_sample = rows,
                               .chunk = rows};
}

static struct s3dit_copy s3dit_text_copy(const struct s3dit_pass *pass, float *padded, float *rows)
{
    const struct s3dit *dit = pass->dit;
    return (struct s3dit_copy){.to = padded,
                               .from = rows,
                               .to_rows = dit->text_padded,
                               .from_rows = dit->size.text_rows,
                               .rows = dit->size.text_rows,
                               .width = dit->model->config.dim};
}

/* ---- embedders ---- */

static int s3dit_embed_time(const struct s3dit_pass *pass)
{
    const struct s3dit_buffers *buffers = pass->dit->buffers;
    const struct token_epilogue in = {.bias = pass->weights.at[S3DIT_TIME_IN_BIAS]};
    const struct token_epilogue out = {.bias = pass->weights.at[S3DIT_TIME_OUT_BIAS]};
    TRY(s3dit_linear(pass, S3DIT_TIME_IN_WEIGHT, pass->n, buffers->time_in, pass->batch->time,
                     &in));
    TRY(s3dit_silu(pass, buffers->time_middle, buffers->time_in, S3DIT_TIME_HIDDEN));
    return s3dit_linear(pass, S3DIT_TIME_OUT_WEIGHT, pass->n, buffers->c, buffers->time_middle,
                        &out);
}

static int s3dit_embed_image(const struct s3dit_pass *pass, float *x)
{
    struct s3dit *dit = pass->dit;
    struct device *device = dit->device;
    const struct s3dit_buffers *buffers = dit->buffers;
    int rows = pass->n * dit->image_padded;
    bool pads = dit->image_padded > dit->image_tokens;
    const struct token_epilogue bias = {.bias = pass->weights.at[S3DIT_X_BIAS]};
    const struct nn_strided copy =
        s3dit_patching(pass, buffers->patches, dit->image_padded, pass->batch->image);
    size_t floats = (size_t)rows * (size_t)s3dit_patch_dim(&dit->model->config);
    if (pads) TRY(device->nn->zero(device, buffers->patches, floats * sizeof(float)));
    TRY(device->nn->strided_copy(device, &copy));
    TRY(s3dit_linear(pass, S3DIT_X_WEIGHT, rows, x, buffers->patches, &bias));
    if (!pads) return OK;
    const struct token_pads padding = s3dit_pads(pass, S3DIT_IMAGE_LENGTHS, dit->image_padded);
    return device->token->pads_set(device, &padding, x, pass->weights.at[S3DIT_X_PAD]);
}

static int s3dit_embed_text(const struct s3dit_pass *pass, float *y)
{
    struct s3dit *dit = pass->dit;
    struct device *device = dit->device;
    const struct s3dit_buffers *buffers = dit->buffers;
    const struct token_norm norm = s3dit_text_norm(pass);
    const struct token_epilogue bias = {.bias = pass->weights.at[S3DIT_TEXT_BIAS]};
    const struct s3dit_copy copy = s3dit_text_copy(pass, y, buffers->text_rows);
    const struct token_pads padding = s3dit_pads(pass, S3DIT_TEXT_LENGTHS, dit->text_padded);
    TRY(device->token->norm_forward(device, &norm, buffers->text_in, pass->batch->text));
    TRY(s3dit_linear(pass, S3DIT_TEXT_WEIGHT, norm.rows, buffers->text_rows, buffers->text_in,
                     &bias));
    TRY(s3dit_copy_rows(pass, &copy));
    return device->token->pads_set(device, &padding, y, pass->weights.at[S3DIT_TEXT_PAD]);
}

int s3dit_embed_forward(const struct s3dit_pass *pass)
{
    const struct s3dit *dit = pass->dit;
    int refiners = dit->model->config.refiner_layers;
    TRY(s3dit_embed_time(pass));
    TRY(s3dit_embed_image(pass, refiners ? dit->blocks[1].x : dit->buffers->image_end));
    return s3dit_embed_text(pass, refiners ? dit->blocks[1 + refiners].x : dit->buffers->text_end);
}

static int s3dit_embed_text_backward(const struct s3dit_pass *pass, float *text_gradient)
{
    struct s3dit *dit = pass->dit;
    struct device *device = dit->device;
    const struct s3dit_buffers *buffers = dit->buffers;
    const struct token_norm norm = s3dit_text_norm(pass);
    const struct token_pads padding = s3dit_pads(pass, S3DIT_TEXT_LENGTHS, dit->text_padded);
    struct s3dit_copy copy = s3dit_text_copy(pass, buffers->d_text, buffers->text_rows);
    copy = (struct s3dit_copy){.to = buffers->text_rows,
                               .from = buffers->d_text,
                               .to_rows = copy.from_rows,
                               .from_rows = copy.to_rows,
                               .rows = copy.rows,
                               .width = copy.width};
    TRY(device->token->pads_backward(device, &padding, s3dit_gradient(pass, S3DIT_TEXT_PAD),
                                     buffers->d_text));
    TRY(s3dit_copy_rows(pass, &copy));
    TRY(s3dit_linear_wgrad(pass, S3DIT_TEXT_WEIGHT, S3DIT_TEXT_BIAS, norm.rows, buffers->text_in,
                           buffers->text_rows));
    TRY(s3dit_linear_dgrad(pass, S3DIT_TEXT_WEIGHT, norm.rows, buffers->text_in, buffers->text_rows,
                           false));
    const struct token_norm_grads grads = {.x = pass->batch->text,
                                           .dy = buffers->text_in,
                                           .dx = text_gradient ? text_gradient : buffers->text_in,
                                           .dweight = s3dit_gradient(pass, S3DIT_TEXT_NORM),
                                           .workspace = buffers->work.space};
    return device->token->norm_backward(device, &norm, &grads);
}

static int s3dit_embed_image_backward(const struct s3dit_pass *pass)
{
    struct s3dit *dit = pass->dit;
    struct device *device = dit->device;
    const struct s3dit_buffers *buffers = dit->buffers;
    const struct token_pads padding = s3dit_pads(pass, S3DIT_IMAGE_LENGTHS, dit->image_padded);
    if (dit->image_padded > dit->image_tokens)
        TRY(device->token->pads_backward(device, &padding, s3dit_gradient(pass, S3DIT_X_PAD),
                                         buffers->d_image));
    return s3dit_linear_wgrad(pass, S3DIT_X_WEIGHT, S3DIT_X_BIAS, pass->n * dit->image_padded,
                              buffers->patches, buffers->d_image);
}

static int s3dit_embed_time_backward(const struct s3dit_pass *pass)
{
    const struct s3dit_buffers *buffers = pass->dit->buffers;
    TRY(s3dit_linear_wgrad(pass, S3DIT_TIME_OUT_WEIGHT, S3DIT_TIME_OUT_BIAS, pass->n,
                           buffers->time_middle, buffers->dc));
    TRY(s3dit_linear_dgrad(pass, S3DIT_TIME_OUT_WEIGHT, pass->n, buffers->time_middle, buffers->dc,
                           false));
    TRY(s3dit_silu_gradient(pass, buffers->time_middle, buffers->time_middle, buffers->time_in,
                            S3DIT_TIME_HIDDEN));
    return s3dit_linear_wgrad(pass, S3DIT_TIME_IN_WEIGHT, S3DIT_TIME_IN_BIAS, pass->n,
                              pass->batch->time, buffers->time_middle);
}

int s3dit_embed_backward(const struct s3dit_pass *pass, float *text_gradient)
{
    TRY(s3dit_embed_text_backward(pass, text_gradient));
    TRY(s3dit_embed_image_backward(pass));
    return s3dit_embed_time_backward(pass);
}

/* ---- final layer ---- */

static const float S3DIT_FINAL_EPS = 1e-6f;

static struct token_norm s3dit_final_norm(const struct s3dit_pass *pass)
{
    const struct s3dit *dit = pass->dit;
    int rows = dit->image_tokens;
    return (struct token_norm){.kind = TOKEN_LAYER,
                               .rows = pass->n * rows,
                               .width = dit->model->config.dim,
                               .eps = S3DIT_FINAL_EPS,
                               .scale = dit->buffers->final_scale,
                               .rows_per_sample = rows,
                               .chunk = rows};
}

int s3dit_final_forward(const struct s3dit_pass *pass, float *out)
{
    struct s3dit *dit = pass->dit;
    struct device *device = dit->device;
    const struct s3dit_buffers *buffers = dit->buffers;
    const struct token_norm norm = s3dit_final_norm(pass);
    const struct token_epilogue bias = {.bias = pass->weights.at[S3DIT_FINAL_BIAS]};
    const struct token_epilogue scale_bias = {.bias = pass->weights.at[S3DIT_FINAL_SCALE_BIAS]};
    const struct s3dit_copy copy = {.to = buffers->last,
                                    .from = buffers->end,
                                    .to_rows = dit->image_tokens,
                                    .from_rows = dit->image_padded + dit->text_padded,
                                    .rows = dit->image_tokens,
                                    .width = norm.width};
    TRY(s3dit_silu(pass, buffers->c_silu, buffers->c, s3dit_time_dim(&dit->model->config)));
    TRY(s3dit_linear(pass, S3DIT_FINAL_SCALE_WEIGHT, pass->n, buffers->final_scale, buffers->c_silu,
                     &scale_bias));
    TRY(s3dit_copy_rows(pass, &copy));
    TRY(device->token->norm_forward(device, &norm, buffers->work.y, buffers->last));
    TRY(s3dit_linear(pass, S3DIT_FINAL_WEIGHT, norm.rows, buffers->tokens, buffers->work.y, &bias));
    return s3dit_unpatch(pass, out, buffers->tokens);
}

/* The gradient at the image's own rows, in work.e, to that at all rows. */
static int s3dit_spread_last(const struct s3dit_pass *pass)
{
    const struct s3dit *dit = pass->dit;
    struct device *device = dit->device;
    const struct s3dit_buffers *buffers = dit->buffers;
    int tokens = dit->image_padded + dit->text_padded, dim = dit->model->config.dim;
    const struct s3dit_copy copy = {.to = buffers->d_all,
                                    .from = buffers->work.e,
                                    .to_rows = tokens,
                                    .from_rows = dit->image_tokens,
                                    .rows = dit->image_tokens,
                                    .width = dim};
    size_t floats = (size_t)pass->n * (size_t)tokens * (size_t)dim;
    TRY(device->nn->zero(device, buffers->d_all, floats * sizeof(float)));
    return s3dit_copy_rows(pass, &copy);
}

int s3dit_final_backward(const struct s3dit_pass *pass, const float *d_out)
{
    struct s3dit *dit = pass->dit;
    struct device *device = dit->device;
    const struct s3dit_buffers *buffers = dit->buffers;
    const struct token_norm norm = s3dit_final_norm(pass);
    const struct nn_strided patching =
        s3dit_patching(pass, buffers->tokens, dit->image_tokens, d_out);
    const struct token_norm_grads grads = {.x = buffers->last,
                                           .dy = buffers->work.e,
                                           .dx = buffers->work.e,
                                           .dscale = buffers->d_final_scale,
                                           .workspace = buffers->work.space};
    size_t scale_bytes = (size_t)pass->n * (size_t)norm.width * sizeof(float);
    TRY(device->nn->strided_copy(device, &patching));
    TRY(device->token->norm_forward(device, &norm, buffers->work.y, buffers->last));
    TRY(s3dit_linear_wgrad(pass, S3DIT_FINAL_WEIGHT, S3DIT_FINAL_BIAS, norm.rows, buffers->work.y,
                           buffers->tokens));
    TRY(s3dit_linear_dgrad(pass, S3DIT_FINAL_WEIGHT, norm.rows, buffers->work.e, buffers->tokens,
                           false));
    TRY(device->nn->zero(device, buffers->d_final_scale, scale_bytes));
    TRY(device->token->norm_backward(device, &norm, &grads));
    TRY(s3dit_spread_last(pass));
    TRY(s3dit_linear_wgrad(pass, S3DIT_FINAL_SCALE_WEIGHT, S3DIT_FINAL_SCALE_BIAS, pass->n,
                           buffers->c_silu, buffers->d_final_scale));
    TRY(s3dit_linear_dgrad(pass, S3DIT_FINAL_SCALE_WEIGHT, pass->n, buffers->dc,
                           buffers->d_final_scale, false));
    return s3dit_silu_gradient(pass, buffers->dc, buffers->dc, buffers->c,
                               s3dit_time_dim(&dit->model->config));
}
