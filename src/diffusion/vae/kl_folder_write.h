/* An autoencoder once more, as a component of a model folder. */
#ifndef IMGTRAIN_DIFFUSION_VAE_KL_FOLDER_WRITE_H
#define IMGTRAIN_DIFFUSION_VAE_KL_FOLDER_WRITE_H

#include "diffusion/vae/kl_folder.h"

/* config.json and the tensors as they are, in `folder`, which is made where it is missing: its
 * checksum is the same. side: of the images that it is used on, where it does not say. ERR_OUTPUT,
 * ERR_IO, ERR_ACCESS; ERR_DIVERGED where a weight is no number. */
int kl_folder_write(const struct kl_folder *vae, int side, const char *folder);

#endif
