/* A small S3-DiT, of images of up to 64 pixels a side, as an initialiser. */
#ifndef IMGTRAIN_TEST_DIFFUSION_SMALL_DIT_H
#define IMGTRAIN_TEST_DIFFUSION_SMALL_DIT_H

#include "diffusion/dit/s3dit_model.h"

/* texts: positions of captions. */
#define SMALL_DIT(of_channels, of_layers, width_of_text, texts)                                    \
    {                                                                                              \
        .channels = (of_channels), .patch = 2, .dim = 48, .layers = (of_layers),                   \
        .refiner_layers = 1, .heads = 2, .text_dim = (width_of_text), .axes = {8, 8, 8},           \
        .axes_lens = {(texts), 32, 32}, .rope_theta = 256, .t_scale = 1000, .norm_eps = 1e-5       \
    }

#endif
