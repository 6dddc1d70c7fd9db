/* The task vae: an autoencoder learns to make few numbers of an image, and the image of them again
 * (README.md). */
#ifndef IMGTRAIN_DIFFUSION_VAE_VAE_H
#define IMGTRAIN_DIFFUSION_VAE_VAE_H

#include "task/task.h"

extern const struct task task_vae;

#endif
