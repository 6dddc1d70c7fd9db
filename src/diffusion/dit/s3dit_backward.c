/* The backward pass, block by block from the end. */
#include "base/error.h"
#include "device/device.h"
#include "diffusion/dit/s3dit_ends.h"

/* The gradient at [image, caption] to those at either. */
static int s3dit_part_rows(const struct s3dit_pass *pass)
{
    const struct s3dit *dit = pass->dit;
    const struct s3dit_buffers *buffers = dit->buffers;
    int image = dit->image_padded, text = dit->text_padded, dim = dit->model->config.dim;
    const float *caption = buffers->d_all + (size_t)image * (size_t)dim;
    const struct s3dit_copy copies[] = {
        {buffers->d_image, buffers->d_all, image, image + text, image, dim},
        {buffers->d_text, caption, text, image + text, text, dim},
    };
    for (int i = 0; i < 2; i++)
        TRY(s3dit_copy_rows(pass, &copies[i]));
    return OK;
}

/* A block that kept its input alone makes what it needs again; what comes out of it goes where
 * nobody looks. */
static int s3dit_backward_held(struct s3dit_pass *pass, float *d)
{
    if (pass->dit->use == S3DIT_CHECKPOINTED)
        TRY(s3dit_block_forward(pass, pass->dit->buffers->work.e));
    if (pass->dit->use == S3DIT_HALVES) TRY(s3dit_bring_back(pass));
    return s3dit_block_backward(pass, d);
}

static int s3dit_backward_block(struct s3dit_pass *pass, int block)
{
    struct s3dit *dit = pass->dit;
    enum s3dit_part part = s3dit_part_of(dit->model, block);
    float *d = dit->buffers->d_all;
    if (part == S3DIT_NOISE_REFINER) d = dit->buffers->d_image;
    if (part == S3DIT_CONTEXT_REFINER) d = dit->buffers->d_text;
    TRY(s3dit_acquire(pass, block));
    int code = s3dit_backward_held(pass, d);
    int released = s3dit_release(pass);
    TRY(code < 0 ? code : released);
    bool parts = part == S3DIT_LAYER && s3dit_part_of(dit->model, block - 1) != S3DIT_LAYER;
    return parts ? s3dit_part_rows(pass) : OK;
}

int s3dit_backward(struct s3dit *dit, const struct block_source *source,
                   const struct s3dit_batch *batch, const float *d_out, float *gradients,
                   float *text_gradient)
{
    struct s3dit_pass pass = {
        .dit = dit, .source = source, .batch = batch, .gradients = gradients, .n = batch->samples};
    int last = dit->model->list.block_count - 1;
    if (dit->use == S3DIT_FORWARD_ONLY)
        return fail(ERR_INTERNAL, "no backward pass was planned for");
    TRY(s3dit_acquire(&pass, last));
    int code = s3dit_final_backward(&pass, d_out);
    int released = s3dit_release(&pass);
    TRY(code < 0 ? code : released);
    for (int block = last - 1; block > 0; block--)
        TRY(s3dit_backward_block(&pass, block));
    TRY(s3dit_acquire(&pass, 0));
    code = s3dit_embed_backward(&pass, text_gradient);
    released = s3dit_release(&pass);
    return code < 0 ? code : released;
}
