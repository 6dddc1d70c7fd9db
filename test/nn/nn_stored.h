/* Arrays of floats as tensors of another type, and back; convolutions on them. */
#ifndef IMGTRAIN_TEST_NN_NN_STORED_H
#define IMGTRAIN_TEST_NN_NN_STORED_H

#include "device/nn_ops.h"
#include "math/bf16.h"
#include "test/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What storing makes of a float. */
static inline float stored(enum nn_type type, float x)
{
    return type == NN_BF16 ? bf16_value(bf16_round(x)) : x;
}

/* As a tensor of `type`, 64-byte aligned. The caller frees it. */
static inline void *stored_from(enum nn_type type, const float *x, size_t count)
{
    uint16_t *half = aligned_alloc(64, (count * sizeof(float) + 127) / 64 * 64);
    if (type == NN_F32) memcpy(half, x, count * sizeof(float));
    for (size_t i = 0; type == NN_BF16 && i < count; i++)
        half[i] = bf16_round(x[i]);
    return half;
}

static inline void stored_to(float *x, enum nn_type type, void *tensor, size_t count)
{
    const uint16_t *half = tensor;
    if (type == NN_F32) memcpy(x, tensor, count * sizeof(float));
    for (size_t i = 0; type == NN_BF16 && i < count; i++)
        x[i] = bf16_value(half[i]);
    free(tensor);
}

static inline void stored_conv(const struct nn_ops *ops, const struct nn_conv *s, int adjoint,
                               float *out, const float *in, const float *weights,
                               const struct nn_epilogue *epilogue, void *workspace)
{
    size_t pixels = (size_t)(s->n * s->h * s->w);
    size_t ins = pixels * (size_t)(adjoint ? s->cout : s->cin);
    size_t outs = pixels * (size_t)(adjoint ? s->cin : s->cout);
    enum nn_type from = adjoint ? s->out_type : s->in_type, to = adjoint ? s->in_type : s->out_type;
    struct nn_epilogue e = *epilogue;
    void *input = stored_from(from, in, ins), *output = stored_from(to, out, outs),
         *residual = NULL;
    if (e.residual == out)
        e.residual = output;
    else if (e.residual)
        e.residual = residual = stored_from(to, e.residual, outs);
    MUST((adjoint ? ops->conv_dgrad : ops->conv_forward)(NULL, s, output, input, weights, &e,
                                                         workspace));
    stored_to(out, to, output, outs);
    free(input);
    free(residual);
}

static inline void stored_wgrad(const struct nn_ops *ops, const struct nn_conv *s, float *dw,
                                const float *in, const float *dout, void *workspace)
{
    size_t pixels = (size_t)(s->n * s->h * s->w);
    void *a = stored_from(s->in_type, in, pixels * (size_t)s->cin);
    void *b = stored_from(s->out_type, dout, pixels * (size_t)s->cout);
    MUST(ops->conv_wgrad(NULL, s, dw, a, b, workspace));
    free(a);
    free(b);
}

#endif
