/* The autoencoder that a model in latent space was trained with. */
#ifndef IMGTRAIN_DIFFUSION_LATENT_LATENT_FIND_H
#define IMGTRAIN_DIFFUSION_LATENT_LATENT_FIND_H

#include "diffusion/vae/kl_folder.h"

struct store_file;

struct latent_wanted {
    uint64_t identity;
    int channels, factor; /* of latents; pixels of a side for one of them */
};

/* Looks for the one that is wanted in model/vae beside the file (or, of a checkpoint, beside
 * its folder), then at `other`, where the training had it from. ERR_INPUT where neither is there;
 * ERR_DATA where what is there is another. kl_folder_close takes it in any case. */
int latent_find_vae(struct kl_folder *vae, const struct store_file *model,
                    const struct latent_wanted *wanted, const char *other);

#endif
