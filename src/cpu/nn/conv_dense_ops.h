/* Dense 3x3 convolutions (groups 1) on the CPU: any channels up to a sum of about 750. */
#ifndef IMGTRAIN_CPU_NN_CONV_DENSE_OPS_H
#define IMGTRAIN_CPU_NN_CONV_DENSE_OPS_H

#include "cpu/nn/conv_kernels.h"

#include <stdbool.h>

struct dense_kernels {
    const struct conv_kernels *products; /* of floats */
    const struct conv_kernels *in,
        *out; /* of the type of the tensor with cin, with cout channels */
};

bool conv_dense_takes(const struct nn_conv *shape, const struct dense_kernels *kernels);
size_t conv_dense_workspace(const struct nn_conv *shape, const struct dense_kernels *kernels);
/* As conv_forward and (adjoint) conv_dgrad of nn_ops. slopes: of a PReLU that what the forward pass
 * and the weights' gradient read goes through; NULL: none. */
struct dense_operands {
    void *to;
    const void *from;
    const float *weights, *slopes;
    const struct nn_epilogue *epilogue;
};
void conv_dense(const struct nn_conv *shape, const struct dense_kernels *kernels,
                const struct dense_operands *operands, int adjoint, float *workspace);
void conv_dense_wgrad(const struct nn_conv *shape, const struct dense_kernels *kernels, float *dw,
                      const void *in, const float *slopes, const void *dout, float *workspace);
/* conv_ops.c: which kernels take the shape, in `kernels`; NULL: another way is taken. */
const struct dense_kernels *conv_dense_kernels(struct dense_kernels *kernels,
                                               const struct nn_conv *shape);

#endif
