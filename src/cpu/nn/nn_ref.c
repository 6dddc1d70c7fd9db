/* The plain reference of the convolutions, and the table of reference operations: written to be
 * seen to be right. Everything faster is compared with it. */
#include "base/error.h"
#include "base/threads.h"
#include "cpu/nn/nn_cpu.h"
#include "cpu/nn/nn_types.h"

#include <string.h>

static size_t workspace_none(const struct device *device, const struct nn_conv *shape)
{
    (void)device;
    (void)shape;
    return 0;
}

/* The epilogue for one value at element `i` and channel `c` of the output. */
static float reference_finish(const struct nn_epilogue *e, enum nn_type type, float value, size_t i,
                              int c, uint8_t *bits)
{
    if (e->bias) value += e->bias[c];
    if (e->residual) value += nn_get(e->residual, type, i);
    if (e->mask_out) {
        if (i % 8 == 0) *bits = 0;
        if (value > 0) *bits = (uint8_t)(*bits | 1 << i % 8);
        if (i % 8 == 7) e->mask_out[i / 8] = *bits;
    }
    if (!(value > 0)) value *= e->slope;
    if (e->mask_in && !(e->mask_in[i / 8] >> i % 8 & 1)) value *= e->mask_slope;
    return value;
}

/* One output pixel of a convolution: sum over the kernel's positions and a group's channels.
 * adjoint: from the output channels to the input channels, the kernel turned round. */
static float tap_sum(const struct nn_conv *s, const void *in, const float *weights, int y, int x,
                     int channel, int adjoint)
{
    int ci = s->cin / s->groups, co = s->cout / s->groups, k = s->kernel, r = k / 2;
    int from = adjoint ? co : ci, to = adjoint ? ci : co, group = channel / to;
    int channels = adjoint ? s->cout : s->cin;
    enum nn_type type = adjoint ? s->out_type : s->in_type;
    float sum = 0;
    for (int ky = 0; ky < k; ky++) {
        int yy = y + (adjoint ? r - ky : ky - r);
        for (int kx = 0; kx < k; kx++) {
            int xx = x + (adjoint ? r - kx : kx - r);
            if (yy < 0 || yy >= s->h || xx < 0 || xx >= s->w) continue;
            size_t pixel = ((size_t)yy * (size_t)s->w + (size_t)xx) * (size_t)channels +
                           (size_t)(group * from);
            for (int i = 0; i < from; i++) {
                int o = adjoint ? group * co + i : channel, j = adjoint ? channel % ci : i;
                sum += nn_get(in, type, pixel + (size_t)i) *
                       weights[(((size_t)o * (size_t)ci + (size_t)j) * (size_t)k + (size_t)ky) *
                                   (size_t)k +
                               (size_t)kx];
            }
        }
    }
    return sum;
}

struct conv_work {
    const struct nn_conv *shape;
    void *out;
    float *dw;
    const void *in, *dout;
    const float *weights;
    const struct nn_epilogue *epilogue;
    int adjoint;
};

static void convolve_pictures(void *context, int64_t begin, int64_t end)
{
    const struct conv_work *work = context;
    const struct nn_conv *s = work->shape;
    int adjoint = work->adjoint;
    int channels_in = adjoint ? s->cout : s->cin, channels = adjoint ? s->cin : s->cout;
    enum nn_type from = adjoint ? s->out_type : s->in_type, to = adjoint ? s->in_type : s->out_type;
    size_t pixels = (size_t)s->h * (size_t)s->w;
    for (int n = (int)begin; n < (int)end; n++) {
        const void *picture = nn_from(work->in, from, (size_t)n * pixels * (size_t)channels_in);
        uint8_t bits = 0; /* masked tensors have whole bytes in each pixel */
        size_t i = (size_t)n * pixels * (size_t)channels;
        for (int y = 0; y < s->h; y++)
            for (int x = 0; x < s->w; x++)
                for (int c = 0; c < channels; c++, i++) {
                    float sum = tap_sum(s, picture, work->weights, y, x, c, adjoint);
                    nn_put(work->out, to, i,
                           reference_finish(work->epilogue, to, sum, i, c, &bits));
                }
    }
}

static void reference_convolve(const struct nn_conv *s, void *out, const void *in,
                               const float *weights, const struct nn_epilogue *e, int adjoint)
{
    struct conv_work work = {
        .shape = s, .out = out, .in = in, .weights = weights, .epilogue = e, .adjoint = adjoint};
    threads_for(s->n, 1, convolve_pictures, &work);
}

static int reference_conv_forward(struct device *device, const struct nn_conv *shape, void *out,
                                  const void *in, const float *weights,
                                  const struct nn_epilogue *epilogue, void *workspace)
{
    (void)device;
    TRY(nn_check_conv(shape, epilogue, false));
    (void)workspace;
    reference_convolve(shape, out, in, weights, epilogue, 0);
    return OK;
}

static int reference_conv_dgrad(struct device *device, const struct nn_conv *shape, void *din,
                                const void *dout, const float *weights,
                                const struct nn_epilogue *epilogue, void *workspace)
{
    (void)device;
    TRY(nn_check_conv(shape, epilogue, true));
    (void)workspace;
    reference_convolve(shape, din, dout, weights, epilogue, 1);
    return OK;
}

/* sum over a chunk of in[.., c] at offset (ky, kx) times dout[.., o] */
static float weight_sum(const struct nn_conv *s, const void *in, const void *dout, int n, int c,
                        int o, int ky, int kx)
{
    float sum = 0;
    int r = s->kernel / 2;
    for (int p = 0; p < n; p++)
        for (int y = 0; y < s->h; y++)
            for (int x = 0; x < s->w; x++) {
                int yy = y + ky - r, xx = x + kx - r;
                if (yy < 0 || yy >= s->h || xx < 0 || xx >= s->w) continue;
                size_t at = (size_t)p * (size_t)s->h, w = (size_t)s->w;
                size_t i = ((at + (size_t)yy) * w + (size_t)xx) * (size_t)s->cin + (size_t)c;
                size_t j = ((at + (size_t)y) * w + (size_t)x) * (size_t)s->cout + (size_t)o;
                sum += nn_get(in, s->in_type, i) * nn_get(dout, s->out_type, j);
            }
    return sum;
}

static void sum_outputs(void *context, int64_t from, int64_t end)
{
    const struct conv_work *work = context;
    const struct nn_conv *s = work->shape;
    int ci = s->cin / s->groups, co = s->cout / s->groups, k = s->kernel;
    size_t pixels = (size_t)s->h * (size_t)s->w;
    for (int o = (int)from; o < (int)end; o++)
        for (int first = 0; first < s->n; first += s->chunk) {
            int n = s->n - first < s->chunk ? s->n - first : s->chunk;
            const void *a = nn_from(work->in, s->in_type, (size_t)first * pixels * (size_t)s->cin);
            const void *b =
                nn_from(work->dout, s->out_type, (size_t)first * pixels * (size_t)s->cout);
            float *to = work->dw + (size_t)(o * ci * k * k);
            for (int j = 0; j < ci; j++)
                for (int ky = 0; ky < k; ky++)
                    for (int kx = 0; kx < k; kx++)
                        *to++ += weight_sum(s, a, b, n, o / co * ci + j, o, ky, kx);
        }
}

static int reference_conv_wgrad(struct device *device, const struct nn_conv *s, float *dw,
                                const void *in, const void *dout, void *workspace)
{
    (void)device;
    TRY(nn_check_conv_wgrad(s));
    (void)workspace;
    struct conv_work work = {.shape = s, .dw = dw, .in = in, .dout = dout};
    threads_for(s->cout, 1, sum_outputs, &work);
    return OK;
}

static const struct nn_ops reference = {
    .name = "reference",
    .conv_workspace = workspace_none,
    .conv_forward = reference_conv_forward,
    .conv_dgrad = reference_conv_dgrad,
    .conv_wgrad = reference_conv_wgrad,
};

const struct nn_ops *nn_ops_reference(void)
{
    static struct nn_ops table;
    struct nn_ops ops = reference;
    nn_install_grid(&ops);
    nn_install_images(&ops);
    nn_install_strided(&ops);
    nn_install_prelu(&ops);
    nn_install_pointwise(&ops);
    nn_install_prelu_conv_reference(&ops);
    nn_install_optimiser(&ops);
    nn_install_image_loss(&ops);
    nn_install_reduced_loss(&ops);
    nn_install_ssim_loss(&ops);
    nn_install_fft_loss(&ops);
    nn_install_hsluv_loss(&ops);
    nn_install_max_pool(&ops);
    nn_install_group_norm(&ops);
    nn_install_softmax(&ops);
    nn_install_latent(&ops);
    nn_install_discriminator(&ops);
    table = ops; /* always the same bytes */
    return &table;
}
