/* The files that fill the CPU's table of network operations. */
#ifndef IMGTRAIN_CPU_NN_NN_CPU_H
#define IMGTRAIN_CPU_NN_NN_CPU_H

#include "device/nn_ops.h"

void nn_install_grid(struct nn_ops *ops);      /* nn_grid.c: FIR, grids of weights, embeddings */
void nn_install_images(struct nn_ops *ops);    /* nn_images.c: batches of images */
void nn_install_optimiser(struct nn_ops *ops); /* nn_optimiser.c: flat ranges */
void nn_install_strided(struct nn_ops *ops);   /* nn_strided.c: elements in another order */
void nn_install_prelu(struct nn_ops *ops);     /* nn_prelu.c: learnt leaky ReLU */
void nn_install_pointwise(struct nn_ops *ops); /* nn_pointwise.c: functions of each number */
/* These two by the kernels of this machine; bf16: NULL where there are none */
struct conv_kernels;
void nn_install_prelu_kernels(struct nn_ops *ops, const struct conv_kernels *f32,
                              const struct conv_kernels *bf16);
void nn_install_pointwise_kernels(struct nn_ops *ops, const struct conv_kernels *f32,
                                  const struct conv_kernels *bf16);
void nn_install_group_norm(struct nn_ops *ops); /* nn_group_norm.c */
void nn_install_group_norm_kernels(struct nn_ops *ops, const struct conv_kernels *f32);
void nn_install_latent(struct nn_ops *ops);  /* nn_latent.c */
void nn_install_softmax(struct nn_ops *ops); /* nn_softmax.c */
/* nn_prelu_conv.c: both in one; of the reference, and by the kernels of dense convolutions */
void nn_install_prelu_conv_reference(struct nn_ops *ops);
void nn_install_prelu_conv(struct nn_ops *ops);
/* nn_prelu.c: slopes' gradients, and dz in the place of dy */
int nn_prelu_both(const struct nn_ops *ops, const struct nn_prelu *prelu, void *dz, float *dslopes);
void nn_install_image_loss(struct nn_ops *ops);    /* nn_image_loss.c */
void nn_install_reduced_loss(struct nn_ops *ops);  /* nn_reduced_loss.c: of reduced images */
void nn_install_ssim_loss(struct nn_ops *ops);     /* nn_ssim_loss.c */
void nn_install_fft_loss(struct nn_ops *ops);      /* nn_fft_loss.c */
void nn_install_hsluv_loss(struct nn_ops *ops);    /* nn_hsluv_loss.c */
void nn_install_max_pool(struct nn_ops *ops);      /* nn_max_pool.c */
void nn_install_discriminator(struct nn_ops *ops); /* nn_discriminator.c: scores, spectral norm */
void nn_install_conv(struct nn_ops *ops);          /* conv_ops.c: fast convolutions */

#endif
