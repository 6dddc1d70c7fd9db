/* Operations with the tensors of a block, and where its rows stand. */
#include "base/error.h"
#include "device/device.h"
#include "device/nn_ops.h"
#include "diffusion/blocks/block_linear.h"
#include "diffusion/dit/s3dit_internal.h"

#include <string.h>

int s3dit_acquire(struct s3dit_pass *pass, int block)
{
    bool (*stop_requested)(void) = pass->batch->stop_requested;
    if (stop_requested && stop_requested()) return fail(ERR_STOPPED, "stopped");
    pass->block = block;
    return pass->source->acquire(pass->source->context, block, &pass->weights);
}

int s3dit_release(struct s3dit_pass *pass)
{
    return pass->source->release(pass->source->context, pass->block);
}

/* ---- linear layers ---- */

static struct token_linear s3dit_linear_of(const struct s3dit_pass *pass, int slot, int rows)
{
    const struct block_tensor *tensor = block_tensor_of(&pass->dit->model->list, pass->block, slot);
    struct token_linear linear = block_linear_of(tensor, &pass->weights, rows);
    linear.chunk = rows / pass->n * pass->dit->size.chunk;
    return linear;
}

int s3dit_linear(const struct s3dit_pass *pass, int slot, int rows, float *y, const float *x,
                 const struct token_epilogue *epilogue)
{
    static const struct token_epilogue nothing;
    struct device *device = pass->dit->device;
    struct token_linear linear = s3dit_linear_of(pass, slot, rows);
    return device->token->linear_forward(device, &linear, y, x, epilogue ? epilogue : &nothing,
                                         pass->dit->buffers->work.space);
}

int s3dit_linear_dgrad(const struct s3dit_pass *pass, int slot, int rows, float *dx,
                       const float *dy, bool add)
{
    struct device *device = pass->dit->device;
    struct token_linear linear = s3dit_linear_of(pass, slot, rows);
    return device->token->linear_dgrad(device, &linear, dx, dy, add,
                                       pass->dit->buffers->work.space);
}

float *s3dit_gradient(const struct s3dit_pass *pass, int slot)
{
    return pass->gradients + block_tensor_of(&pass->dit->model->list, pass->block, slot)->offset;
}

int s3dit_linear_wgrad(const struct s3dit_pass *pass, int slot, int bias_slot, int rows,
                       const float *x, const float *dy)
{
    struct device *device = pass->dit->device;
    struct token_linear linear = s3dit_linear_of(pass, slot, rows);
    return device->token->linear_wgrad(device, &linear, s3dit_gradient(pass, slot),
                                       bias_slot < 0 ? NULL : s3dit_gradient(pass, bias_slot), x,
                                       dy, pass->dit->buffers->work.space);
}

int s3dit_copy_rows(const struct s3dit_pass *pass, const struct s3dit_copy *copy)
{
    struct device *device = pass->dit->device;
    ptrdiff_t width = copy->width;
    const struct nn_strided strided = {
        .out = copy->to,
        .in = copy->from,
        .count = {1, 1, pass->n, copy->rows, copy->width},
        .out_stride = {0, 0, copy->to_rows * width, width, 1},
        .in_stride = {0, 0, copy->from_rows * width, width, 1},
    };
    return device->nn->strided_copy(device, &strided);
}

/* ---- positions ---- */

struct s3dit_stream s3dit_stream_of(const struct s3dit *dit, int block)
{
    int image = dit->image_padded, text = dit->text_padded;
    switch (s3dit_part_of(dit->model, block)) {
    case S3DIT_NOISE_REFINER: return (struct s3dit_stream){image, 0, true, S3DIT_LENGTHS};
    case S3DIT_CONTEXT_REFINER: return (struct s3dit_stream){text, image, false, S3DIT_TEXT_KEYS};
    default: return (struct s3dit_stream){image + text, 0, true, S3DIT_ALL_KEYS};
    }
}

int s3dit_variants(const struct s3dit *dit)
{
    return dit->size.mixed_text ? dit->text_padded / S3DIT_PAD : 1;
}

void s3dit_make_angles(const struct s3dit *dit, float *cosines, float *sines)
{
    const struct s3dit_config *config = &dit->model->config;
    int variants = s3dit_variants(dit), columns = dit->size.width / config->patch;
    size_t half = (size_t)s3dit_head_dim(config) / 2, line = 0;
    struct rotary_axes rotary;
    rotary_axes_make(&rotary, config->axes, config->rope_theta, true);
    for (int variant = 0; variant < variants; variant++) {
        int text = variants > 1 ? (variant + 1) * S3DIT_PAD : dit->text_padded;
        for (int i = 0; i < dit->image_padded; i++, line++) {
            int position[S3DIT_AXES] = {text + 1, i / columns, i % columns};
            if (i >= dit->image_tokens) memset(position, 0, sizeof position);
            rotary_axes_line(&rotary, position, cosines + line * half, sines + line * half);
        }
        for (int k = 0; k < dit->text_padded; k++, line++) {
            const int position[S3DIT_AXES] = {1 + k, 0, 0};
            rotary_axes_line(&rotary, position, cosines + line * half, sines + line * half);
        }
    }
}

static int s3dit_variant(const struct s3dit_pass *pass, int sample)
{
    const struct s3dit *dit = pass->dit;
    const int *keys = dit->buffers->host_lengths + S3DIT_TEXT_KEYS * dit->size.samples;
    return dit->size.mixed_text ? keys[sample] / S3DIT_PAD - 1 : 0;
}

int s3dit_turn(const struct s3dit_pass *pass, const struct s3dit_stream *stream, float *x,
               bool backwards)
{
    const struct s3dit *dit = pass->dit;
    const struct s3dit_config *config = &dit->model->config;
    size_t half = (size_t)s3dit_head_dim(config) / 2;
    for (int from = 0, to; from < pass->n; from = to) {
        int variant = stream->unequal ? s3dit_variant(pass, from) : 0;
        for (to = from + 1; to < pass->n; to++)
            if (stream->unequal && s3dit_variant(pass, to) != variant) break;
        size_t line = (size_t)variant * (size_t)(dit->image_padded + dit->text_padded) +
                      (size_t)stream->first_angle;
        const struct token_rope rope = {
            .x = x + (size_t)from * (size_t)stream->tokens * (size_t)config->dim,
            .cosines = dit->buffers->cosines + line * half,
            .sines = dit->buffers->sines + line * half,
            .rows = (to - from) * stream->tokens,
            .heads = config->heads,
            .head_dim = s3dit_head_dim(config),
            .tokens = stream->tokens,
            .backwards = backwards,
        };
        TRY(dit->device->token->rope(dit->device, &rope));
    }
    return OK;
}

int s3dit_send_lengths(const struct s3dit_pass *pass)
{
    struct s3dit *dit = pass->dit;
    int samples = dit->size.samples, rows = dit->size.text_rows;
    int *wanted = dit->buffers->wanted_lengths;
    for (int i = 0; i < samples; i++) {
        int length = pass->batch->lengths && i < pass->n ? pass->batch->lengths[i] : rows;
        if (length < 1 || length > rows)
            return fail(ERR_USAGE, "a caption of %d of %d tokens", length, rows);
        int keys = s3dit_padded(length);
        if (keys != dit->text_padded && !dit->size.mixed_text)
            return fail(ERR_INTERNAL, "captions of unequal length were not planned for");
        wanted[S3DIT_IMAGE_LENGTHS * samples + i] = dit->image_tokens;
        wanted[S3DIT_TEXT_LENGTHS * samples + i] = length;
        wanted[S3DIT_TEXT_KEYS * samples + i] = keys;
        wanted[S3DIT_ALL_KEYS * samples + i] = dit->image_padded + keys;
    }
    size_t bytes = (size_t)S3DIT_LENGTHS * (size_t)samples * sizeof *wanted;
    if (memcmp(dit->buffers->host_lengths, wanted, bytes) == 0) return OK;
    memcpy(dit->buffers->host_lengths, wanted, bytes);
    return device_send(dit->device, dit->buffers->lengths, wanted, bytes);
}

const int *s3dit_keys(const struct s3dit_pass *pass, enum s3dit_length_row row)
{
    const struct s3dit *dit = pass->dit;
    if (row == S3DIT_LENGTHS) return NULL;
    const int *keys = dit->buffers->host_lengths + S3DIT_TEXT_KEYS * dit->size.samples;
    for (int i = 0; i < pass->n; i++)
        if (keys[i] != dit->text_padded)
            return dit->buffers->lengths + (int)row * dit->size.samples;
    return NULL;
}

void s3dit_time_features(const struct s3dit_config *config, const float *s, int n, float *features)
{
    time_features(s, n, (float)config->t_scale, features);
}
