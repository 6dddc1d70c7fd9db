/* The files that fill the CUDA table of network operations. */
#ifndef IMGTRAIN_CUDA_NN_NN_CUDA_H
#define IMGTRAIN_CUDA_NN_NN_CUDA_H

#include "cuda/cuda_device.h"

extern "C" {
#include "cuda/device_cuda.h"
#include "device/conv_library.h"
}

enum { MOST_IMAGES = 65535 }; /* at a time: blocks in a second dimension */

/* How many of `left` images of `count` elements one launch has: one at least. */
static inline int cuda_images_at_once(int left, size_t count)
{
    size_t most = cuda_launch_most / count;
    if (most < 1) most = 1;
    return (size_t)left < most ? left : (int)most;
}

const struct nn_ops *nn_ops_cuda(const struct cuda_device *device);
extern const struct gan_ops gan_ops_cuda; /* gan_cuda.cu */

extern const struct conv_library conv_library_cuda; /* conv_library.cu: cuDNN */
void conv_library_close(void);                      /* before the device's stream goes */

void nn_cuda_install_conv(struct nn_ops *ops);       /* conv_ops.cu: convolutions */
void nn_cuda_install_grid(struct nn_ops *ops);       /* nn_grid.cu: FIR, grids, embeddings */
void nn_cuda_install_images(struct nn_ops *ops);     /* nn_images.cu: batches of images */
void nn_cuda_install_strided(struct nn_ops *ops);    /* nn_strided.cu: elements in another order */
void nn_cuda_install_prelu(struct nn_ops *ops);      /* nn_prelu.cu: learnt leaky ReLU */
void nn_cuda_install_pointwise(struct nn_ops *ops);  /* nn_pointwise.cu: each number alone */
void nn_cuda_install_image_loss(struct nn_ops *ops); /* nn_image_loss.cu */
void nn_cuda_install_reduced_loss(struct nn_ops *ops); /* nn_reduced_loss.cu: of reduced images */
void nn_cuda_install_ssim_loss(struct nn_ops *ops);    /* nn_ssim_loss.cu */
void nn_cuda_install_fft_loss(struct nn_ops *ops);     /* nn_fft_loss.cu */
void nn_cuda_install_hsluv_loss(struct nn_ops *ops);   /* nn_hsluv_loss.cu */
void nn_cuda_install_max_pool(struct nn_ops *ops);     /* nn_max_pool.cu */
void nn_cuda_install_latent(struct nn_ops *ops);       /* nn_latent.cu */
void nn_cuda_install_softmax(struct nn_ops *ops);      /* nn_softmax.cu */
void nn_cuda_install_group_norm(struct nn_ops *ops);   /* nn_group_norm.cu */
void nn_cuda_install_discriminator(
    struct nn_ops *ops);                            /* nn_discriminator.cu: scores, spectral norm */
void nn_cuda_install_optimiser(struct nn_ops *ops); /* nn_optimiser.cu: flat ranges */

#endif
