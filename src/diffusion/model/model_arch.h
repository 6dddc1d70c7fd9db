/* Models that are known by the name of their architecture: what they take can be planned without a
 * file, and measured with weights drawn at random. */
#ifndef IMGTRAIN_DIFFUSION_MODEL_MODEL_ARCH_H
#define IMGTRAIN_DIFFUSION_MODEL_MODEL_ARCH_H

#include "base/spill.h"
#include "diffusion/model/model_folder.h"
#include "store/tensor.h"

/* All of them. */
#define MODEL_ARCH_NAMES                                                                           \
    "s3dit-1m, s3dit-1m-latent, s3dit-42m, s3dit-42m-latent, z-image-20th, z-image-turbo, "        \
    "flux-20th, flux-1-schnell, flux-1-dev"

struct model_arch {
    struct model_folder folder;   /* as if it had been read */
    struct store_tensor *tensors; /* the denoiser's, the VAE's, the text encoders' */
    int tensor_count;
    struct store_tensor table; /* where no encoder reads prompts */
    struct net vae;            /* encoder and decoder: its tensors' names and shapes */
    struct spill weights;
    float *rows; /* of the table */
};

/* ERR_USAGE for a name that is unknown, with those there are. Without weights: types and shapes
 * alone, so that no forward pass may be asked for. With them: into a file without a name in the
 * folder for temporary files; as many bytes as the model has. model_arch_close takes it in any
 * case. */
int model_arch_open(struct model_arch *arch, const char *name, bool with_weights);
void model_arch_close(struct model_arch *arch);

/* Sides of the images that it is meant for, in pixels; rows of a prompt. */
int model_arch_side(const struct model_arch *arch);
int model_arch_text_rows(const struct model_arch *arch);

#endif
