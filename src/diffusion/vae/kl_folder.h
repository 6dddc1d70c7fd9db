/* A trained KL autoencoder where it lies on a disk: a folder as diffusers lays AutoencoderKL out
 * (config.json, diffusion_pytorch_model.safetensors or its shards; tensors of F32, F16 or BF16), or
 * a file that a run of task vae wrote. Opening reads config and headers, no weights. */
#ifndef IMGTRAIN_DIFFUSION_VAE_KL_FOLDER_H
#define IMGTRAIN_DIFFUSION_VAE_KL_FOLDER_H

#include "diffusion/vae/kl.h"
#include "store/shards.h"

struct kl_folder {
    char *path; /* the folder of the component, or the file */
    struct kl_config config;
    int sample_size; /* side of the images that it was trained on; 0: it does not say */
    struct store_shards *shards;
    /* Those of both networks, in the order of their parameters: an encoder's, then a decoder's. */
    const struct store_tensor **weights; /* [tensor_count] */
    int tensor_count, encoder_tensors;
    int64_t step; /* of a checkpoint of task vae, whose latents are as they come; -1: none */
    /* Of config, headers, and the beginning of each tensor: the same for a run's file and its vae/,
     * wherever they lie. */
    uint64_t checksum;
};

/* path: the component's folder; a folder with vae/ in it (a run of task vae, a model folder); a
 * run's model.safetensors, or its folder. ERR_INPUT where there is none; ERR_DATA, naming file and
 * tensor, for another class, a config that is not computed here, tensors that are missing or of
 * another shape or type. kl_folder_close takes it in any case. */
int kl_folder_open(struct kl_folder *vae, const char *path);
/* Also the averaged network of a checkpoint, which kl_folder_open refuses: nobody knows yet by what
 * its latents are to be normalised. */
int kl_folder_open_any(struct kl_folder *vae, const char *path);
void kl_folder_close(struct kl_folder *vae);

/* A checksum of all that it computes with, every weight to its end: whose latents a training works
 * on. Reads the weights, which opening does not. */
uint64_t kl_folder_identity(const struct kl_folder *vae);

/* The parameters of `net` (an encoder, a decoder, or both), widened, into its flat range. ERR_DATA
 * for a number that is not finite. */
int kl_folder_load(const struct kl_folder *vae, const struct net *net, float *range);

#endif
