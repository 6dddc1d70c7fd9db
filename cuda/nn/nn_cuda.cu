/* The CUDA table of network operations. */
#include "cuda/nn/nn_cuda.h"

const struct nn_ops *nn_ops_cuda(void)
{
    static struct nn_ops table;
    struct nn_ops ops = {};
    ops.name = "cuda";
    nn_cuda_install_conv(&ops);
    nn_cuda_install_grid(&ops);
    nn_cuda_install_pictures(&ops);
    nn_cuda_install_loss(&ops);
    nn_cuda_install_optimiser(&ops);
    table = ops; /* always the same bytes */
    return &table;
}
