/* Which shapes network operations take, on whatever device. */
#include "device/nn_ops.h"

#include "base/error.h"

static int check_conv_shape(const char *what, const struct nn_conv *s)
{
    if (s->n > 0 && s->h > 0 && s->w > 0 && s->cin > 0 && s->cout > 0 && s->groups > 0 &&
        (s->kernel == 1 || s->kernel == 3) && s->cin % s->groups == 0 && s->cout % s->groups == 0)
        return OK;
    return fail(ERR_USAGE,
                "%s: no convolution of %d x %d x %d pixels, %d to %d channels in %d groups, kernel "
                "%d",
                what, s->n, s->h, s->w, s->cin, s->cout, s->groups, s->kernel);
}

int nn_check_conv(const struct nn_conv *shape, const struct nn_epilogue *epilogue, bool adjoint)
{
    const char *what = adjoint ? "conv_dgrad" : "conv_forward";
    int channels = adjoint ? shape->cin : shape->cout;
    TRY(check_conv_shape(what, shape));
    if ((epilogue->mask_in || epilogue->mask_out) && channels % 8 != 0)
        return fail(ERR_USAGE, "%s: a mask of %d channels, no multiple of 8", what, channels);
    return OK;
}

int nn_check_conv_wgrad(const struct nn_conv *shape)
{
    TRY(check_conv_shape("conv_wgrad", shape));
    if (shape->chunk <= 0)
        return fail(ERR_USAGE, "conv_wgrad: chunks of %d pictures", shape->chunk);
    return OK;
}

int nn_check_fir(const struct nn_fir *f)
{
    if (f->n > 0 && f->h > 0 && f->w > 0 && f->c > 0) return OK;
    return fail(ERR_USAGE, "fir: no tensor of %d x %d x %d x %d", f->n, f->h, f->w, f->c);
}

int nn_check_strided(const struct nn_strided *s)
{
    for (int axis = 0; axis < NN_STRIDED_AXES; axis++)
        if (s->count[axis] < 1)
            return fail(ERR_USAGE, "strided_copy: %d elements along axis %d", s->count[axis], axis);
    return OK;
}

int nn_check_image_loss(const struct nn_image_loss *loss)
{
    if (loss->n > 0 && loss->count > 0) return OK;
    return fail(ERR_USAGE, "image_loss: %d images of %zu numbers", loss->n, loss->count);
}

int nn_check_score_loss(const struct nn_score_loss *loss)
{
    if (loss->n > 0 && loss->count > 0) return OK;
    return fail(ERR_USAGE, "score_loss: %d maps of %zu scores", loss->n, loss->count);
}

int nn_check_spectral(const struct nn_spectral *spectral)
{
    if (spectral->rows > 0 && spectral->cols > 0) return OK;
    return fail(ERR_USAGE, "spectral_norm: no matrix of %d x %d", spectral->rows, spectral->cols);
}

int nn_check_pointwise(const struct nn_pointwise *p, int operand)
{
    int operands = nn_pointwise_operands(p->function);
    if (p->count > 0 && p->count <= INT64_MAX && operand >= 0 && operand < operands &&
        (p->b != NULL) == (operands == 2))
        return OK;
    return fail(ERR_USAGE, "pointwise function %d of %zu numbers, operand %d", (int)p->function,
                p->count, operand);
}

int nn_check_group_norm(const struct nn_group_norm *g)
{
    if (g->n > 0 && g->rows > 0 && g->width > 0 && g->c > 0 && g->groups > 0 &&
        g->c <= NN_GROUP_NORM_CHANNELS && g->c % g->groups == 0 &&
        g->pixels >= (double)g->rows * g->width)
        return OK;
    return fail(ERR_USAGE, "group_norm: no tensor of %d x %d x %d x %d in %d groups", g->n, g->rows,
                g->width, g->c, g->groups);
}

int nn_check_sizes(const char *what, int n, int pixels, int c)
{
    if (n > 0 && pixels > 0 && c > 0) return OK;
    return fail(ERR_USAGE, "%s: no tensor of %d x %d x %d", what, n, pixels, c);
}

int nn_check_embedding(const char *what, int n, int e, int k, int stride)
{
    if (n > 0 && e > 0 && k > 0 && stride >= e) return OK;
    return fail(ERR_USAGE, "%s: no %d rows of %d by %d labels, %d apart", what, n, e, k, stride);
}

/* ---- a convolution behind a PReLU, as two operations ---- */

static struct nn_prelu composed_prelu(const struct nn_prelu_conv *p)
{
    return (struct nn_prelu){.z = p->z,
                             .slopes = p->slopes,
                             .z_type = p->conv.in_type,
                             .y_type = p->conv.in_type,
                             .n = p->conv.n,
                             .pixels = p->conv.h * p->conv.w,
                             .c = p->conv.cin};
}

enum { COMPOSED_ALIGNMENT = 256 };

/* Bytes of what the PReLU makes, which lies in front of the convolution's own workspace. */
static size_t composed_values(const struct nn_conv *s)
{
    size_t values = (size_t)s->n * (size_t)s->h * (size_t)s->w * (size_t)s->cin;
    return (values * nn_type_bytes(s->in_type) + COMPOSED_ALIGNMENT - 1) / COMPOSED_ALIGNMENT *
           COMPOSED_ALIGNMENT;
}

size_t nn_composed_workspace(const struct nn_ops *ops, const struct device *device,
                             const struct nn_conv *s)
{
    return composed_values(s) + ops->conv_workspace(device, s);
}

int nn_composed_forward(const struct nn_ops *ops, struct device *device,
                        const struct nn_prelu_conv *p, void *out, const float *weights,
                        const struct nn_epilogue *epilogue, void *workspace)
{
    struct nn_prelu prelu = composed_prelu(p);
    void *own = (char *)workspace + composed_values(&p->conv);
    TRY(nn_check_conv(&p->conv, epilogue, false));
    TRY(ops->prelu_forward(device, &prelu, workspace));
    return ops->conv_forward(device, &p->conv, out, workspace, weights, epilogue, own);
}

int nn_composed_dgrad(const struct nn_ops *ops, struct device *device,
                      const struct nn_prelu_conv *p, void *dz, const void *dout,
                      const float *weights, float *dslopes, void *workspace)
{
    struct nn_prelu prelu = composed_prelu(p);
    struct nn_epilogue plain = {.slope = 1};
    TRY(ops->conv_dgrad(device, &p->conv, dz, dout, weights, &plain, workspace));
    if (dslopes) TRY(ops->prelu_grad(device, &prelu, dslopes, dz));
    return ops->prelu_dgrad(device, &prelu, dz, dz, false);
}

int nn_composed_wgrad(const struct nn_ops *ops, struct device *device,
                      const struct nn_prelu_conv *p, float *dw, const void *dout, void *workspace)
{
    struct nn_prelu prelu = composed_prelu(p);
    void *own = (char *)workspace + composed_values(&p->conv);
    TRY(nn_check_conv_wgrad(&p->conv));
    TRY(ops->prelu_forward(device, &prelu, workspace));
    return ops->conv_wgrad(device, &p->conv, dw, workspace, dout, own);
}
