/* What blocks keep, stored as bf16. */
#include "base/error.h"
#include "device/device.h"
#include "device/nn_ops.h"
#include "diffusion/dit/s3dit_internal.h"

/* In the order of s3dit_block.half. */
enum { HELD_X, HELD_Q, HELD_K, HELD_V, HELD_O, HELD_U, HELD_F, HELD_A, HELD_C };

int s3dit_held_width(const struct s3dit_config *config, int index)
{
    return index < HELD_A ? config->dim : s3dit_hidden(config);
}

static int s3dit_convert(const struct s3dit_pass *pass, int index, bool back)
{
    const struct s3dit *dit = pass->dit;
    const struct s3dit_block *kept = &dit->blocks[pass->block];
    float *const full[S3DIT_HELD] = {kept->x, kept->q, kept->k, kept->v, kept->o,
                                     kept->u, kept->f, kept->a, kept->c};
    int width = s3dit_held_width(&dit->model->config, index);
    int rows = pass->n * s3dit_stream_of(dit, pass->block).tokens;
    struct nn_strided copy = {.out = kept->half[index],
                              .in = full[index],
                              .out_type = NN_BF16,
                              .count = {1, 1, 1, rows, width},
                              .out_stride = {0, 0, 0, width, 1},
                              .in_stride = {0, 0, 0, width, 1}};
    if (back) {
        copy = nn_strided_adjoint(copy);
        copy.out = full[index];
        copy.in = kept->half[index];
    }
    return dit->device->nn->strided_copy(dit->device, &copy);
}

int s3dit_hold_input(const struct s3dit_pass *pass)
{
    return pass->dit->use == S3DIT_HALVES ? s3dit_convert(pass, HELD_X, false) : OK;
}

int s3dit_round_heads(const struct s3dit_pass *pass)
{
    /* lse, which stays fp32, is of what the backward pass reads. */
    for (int i = HELD_Q; i <= HELD_V && pass->dit->use == S3DIT_HALVES; i++) {
        TRY(s3dit_convert(pass, i, false));
        TRY(s3dit_convert(pass, i, true));
    }
    return OK;
}

int s3dit_hold_rest(const struct s3dit_pass *pass)
{
    for (int i = HELD_O; i <= HELD_C && pass->dit->use == S3DIT_HALVES; i++)
        TRY(s3dit_convert(pass, i, false));
    return OK;
}

int s3dit_bring_back(const struct s3dit_pass *pass)
{
    for (int i = HELD_X; i <= HELD_C; i++)
        TRY(s3dit_convert(pass, i, true));
    return OK;
}
