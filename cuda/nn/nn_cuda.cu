/* The CUDA table of network operations. */
#include "cuda/nn/nn_cuda.h"

size_t cuda_launch_most = 1 << 30;

const struct nn_ops *nn_ops_cuda(const struct cuda_device *device)
{
    static struct nn_ops table;
    struct nn_ops ops = {};
    ops.name = "cuda";
    ops.bf16 = device->capability >= 80;
    nn_cuda_install_conv(&ops);
    nn_cuda_install_grid(&ops);
    nn_cuda_install_images(&ops);
    nn_cuda_install_strided(&ops);
    nn_cuda_install_prelu(&ops);
    nn_cuda_install_pointwise(&ops);
    nn_cuda_install_image_loss(&ops);
    nn_cuda_install_reduced_loss(&ops);
    nn_cuda_install_ssim_loss(&ops);
    nn_cuda_install_fft_loss(&ops);
    nn_cuda_install_hsluv_loss(&ops);
    nn_cuda_install_max_pool(&ops);
    nn_cuda_install_group_norm(&ops);
    nn_cuda_install_softmax(&ops);
    nn_cuda_install_latent(&ops);
    nn_cuda_install_discriminator(&ops);
    nn_cuda_install_optimiser(&ops);
    table = ops; /* always the same bytes for one device */
    return &table;
}
