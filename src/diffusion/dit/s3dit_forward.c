/* The forward pass: embedders, blocks, final layer. */
#include "base/error.h"
#include "device/device.h"
#include "device/nn_ops.h"
#include "diffusion/dit/s3dit_ends.h"
#include "diffusion/dit/s3dit_internal.h"

float *s3dit_next_rows(const struct s3dit *dit, int block)
{
    enum s3dit_part part = s3dit_part_of(dit->model, block);
    const struct s3dit_buffers *buffers = dit->buffers;
    if (s3dit_part_of(dit->model, block + 1) == part) return dit->blocks[block + 1].x;
    if (part == S3DIT_NOISE_REFINER) return buffers->image_end;
    return part == S3DIT_CONTEXT_REFINER ? buffers->text_end : buffers->end;
}

/* Image and caption, one behind the other in each sample. */
static int s3dit_join(const struct s3dit_pass *pass, float *all)
{
    const struct s3dit *dit = pass->dit;
    int image = dit->image_padded, text = dit->text_padded, dim = dit->model->config.dim;
    const struct s3dit_copy copies[] = {
        {all, dit->buffers->image_end, image + text, image, image, dim},
        {all + (size_t)image * (size_t)dim, dit->buffers->text_end, image + text, text, text, dim},
    };
    for (int i = 0; i < 2; i++)
        TRY(s3dit_copy_rows(pass, &copies[i]));
    return OK;
}

static int s3dit_forward_block(struct s3dit_pass *pass, int block)
{
    struct s3dit *dit = pass->dit;
    bool joins = s3dit_part_of(dit->model, block) == S3DIT_LAYER &&
                 s3dit_part_of(dit->model, block - 1) != S3DIT_LAYER;
    if (joins) TRY(s3dit_join(pass, dit->blocks[block].x));
    TRY(s3dit_acquire(pass, block));
    int code = s3dit_block_forward(pass, s3dit_next_rows(dit, block));
    int released = s3dit_release(pass);
    return code < 0 ? code : released;
}

int s3dit_forward(struct s3dit *dit, const struct block_source *source,
                  const struct s3dit_batch *batch, float *out)
{
    struct s3dit_pass pass = {.dit = dit, .source = source, .batch = batch, .n = batch->samples};
    int last = dit->model->list.block_count - 1;
    if (batch->samples < 1 || batch->samples > dit->size.samples)
        return fail(ERR_INTERNAL, "%d samples: planned for %d", batch->samples, dit->size.samples);
    TRY(s3dit_send_lengths(&pass));
    TRY(s3dit_acquire(&pass, 0));
    int code = s3dit_embed_forward(&pass);
    int released = s3dit_release(&pass);
    TRY(code < 0 ? code : released);
    for (int block = 1; block < last; block++)
        TRY(s3dit_forward_block(&pass, block));
    TRY(s3dit_acquire(&pass, last));
    code = s3dit_final_forward(&pass, out);
    released = s3dit_release(&pass);
    return code < 0 ? code : released;
}
