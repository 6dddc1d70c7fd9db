/* An autoencoder in a file: its shape in the metadata, its tensors under their names. */
#ifndef IMGTRAIN_DIFFUSION_VAE_KL_FILE_H
#define IMGTRAIN_DIFFUSION_VAE_KL_FILE_H

#include "diffusion/vae/kl.h"

struct store_file;
struct store_writer;

/* The shape, with scaling and shift. */
int kl_store_config(struct store_writer *writer, const struct kl_config *config);
/* ERR_DATA for a file without one, or with one that cannot be built. */
int kl_load_config(const struct store_file *file, struct kl_config *config);

/* The folder of one component as diffusers lays it out, config.json and the weights, which are the
 * flat range of `net`, of the host. side: of the images that it was trained on. ERR_OUTPUT, ERR_IO,
 * ERR_ACCESS; ERR_DIVERGED where a weight is no number. */
int kl_write_folder(const char *folder, const struct kl_config *config, int side,
                    const struct net *net, const float *parameters);

/* The same with the tensors that `writer` holds. */
int kl_write_component(const char *folder, const struct kl_config *config, int side,
                       struct store_writer *writer);

#endif
