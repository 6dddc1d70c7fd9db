/* A dense 3x3 convolution of what a PReLU makes: the PReLU is applied where the convolution reads
 * its inputs, so what it makes is kept nowhere. See struct nn_prelu_conv in device/nn_ops.h. */
#include "base/error.h"
#include "cpu/nn/conv_dense_ops.h"
#include "cpu/nn/nn_cpu.h"

/* ---- the reference: one after the other ---- */

static size_t reference_prelu_conv_workspace(const struct device *device, const struct nn_conv *s)
{
    return nn_composed_workspace(nn_ops_reference(), device, s);
}

static int reference_prelu_conv_forward(struct device *device, const struct nn_prelu_conv *p,
                                        void *out, const float *weights,
                                        const struct nn_epilogue *epilogue, void *workspace)
{
    return nn_composed_forward(nn_ops_reference(), device, p, out, weights, epilogue, workspace);
}

static int reference_prelu_conv_dgrad(struct device *device, const struct nn_prelu_conv *p,
                                      void *dz, const void *dout, const float *weights,
                                      float *dslopes, void *workspace)
{
    return nn_composed_dgrad(nn_ops_reference(), device, p, dz, dout, weights, dslopes, workspace);
}

static int reference_prelu_conv_wgrad(struct device *device, const struct nn_prelu_conv *p,
                                      float *dw, const void *dout, void *workspace)
{
    return nn_composed_wgrad(nn_ops_reference(), device, p, dw, dout, workspace);
}

void nn_install_prelu_conv_reference(struct nn_ops *ops)
{
    ops->prelu_conv_workspace = reference_prelu_conv_workspace;
    ops->prelu_conv_forward = reference_prelu_conv_forward;
    ops->prelu_conv_dgrad = reference_prelu_conv_dgrad;
    ops->prelu_conv_wgrad = reference_prelu_conv_wgrad;
}

/* ---- by the kernels of dense convolutions, which other shapes and types do without ---- */

static size_t cpu_prelu_conv_workspace(const struct device *device, const struct nn_conv *s)
{
    struct dense_kernels dense;
    if (conv_dense_kernels(&dense, s)) return conv_dense_workspace(s, &dense);
    return nn_composed_workspace(nn_ops_cpu(), device, s);
}

static int cpu_prelu_conv_forward(struct device *device, const struct nn_prelu_conv *p, void *out,
                                  const float *weights, const struct nn_epilogue *epilogue,
                                  void *workspace)
{
    struct dense_kernels dense;
    if (!conv_dense_kernels(&dense, &p->conv))
        return nn_composed_forward(nn_ops_cpu(), device, p, out, weights, epilogue, workspace);
    TRY(nn_check_conv(&p->conv, epilogue, false));
    struct dense_operands operands = {out, p->z, weights, p->slopes, epilogue};
    conv_dense(&p->conv, &dense, &operands, 0, workspace);
    return OK;
}

static int cpu_prelu_conv_dgrad(struct device *device, const struct nn_prelu_conv *p, void *dz,
                                const void *dout, const float *weights, float *dslopes,
                                void *workspace)
{
    const struct nn_ops *ops = nn_ops_cpu();
    const struct nn_conv *s = &p->conv;
    struct nn_epilogue plain = {.slope = 1};
    struct nn_prelu prelu = {p->z, p->slopes, s->in_type, s->in_type, s->n, s->h * s->w, s->cin};
    TRY(ops->conv_dgrad(device, s, dz, dout, weights, &plain, workspace));
    if (dslopes) return nn_prelu_both(ops, &prelu, dz, dslopes);
    return ops->prelu_dgrad(device, &prelu, dz, dz, false);
}

static int cpu_prelu_conv_wgrad(struct device *device, const struct nn_prelu_conv *p, float *dw,
                                const void *dout, void *workspace)
{
    struct dense_kernels dense;
    if (!conv_dense_kernels(&dense, &p->conv))
        return nn_composed_wgrad(nn_ops_cpu(), device, p, dw, dout, workspace);
    TRY(nn_check_conv_wgrad(&p->conv));
    conv_dense_wgrad(&p->conv, &dense, dw, p->z, p->slopes, dout, workspace);
    return OK;
}

void nn_install_prelu_conv(struct nn_ops *ops)
{
    ops->prelu_conv_workspace = cpu_prelu_conv_workspace;
    ops->prelu_conv_forward = cpu_prelu_conv_forward;
    ops->prelu_conv_dgrad = cpu_prelu_conv_dgrad;
    ops->prelu_conv_wgrad = cpu_prelu_conv_wgrad;
}
