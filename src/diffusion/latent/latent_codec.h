/* The autoencoder of a denoiser in latent space, as part of another memory plan: its weights and
 * all that it works on are there in phases of their own, so they share bytes with what a training
 * step or a denoiser works on, which is then nowhere. Weights are read anew for each use. Images
 * pass one at a time, in bands of rows that change no bit (vae/kl_bands.h). */
#ifndef IMGTRAIN_DIFFUSION_LATENT_LATENT_CODEC_H
#define IMGTRAIN_DIFFUSION_LATENT_LATENT_CODEC_H

#include "diffusion/vae/kl_bands.h"
#include "diffusion/vae/kl_folder.h"

struct latent_half {
    struct net net;
    struct kl_bands bands;
    float *parameters; /* of the device */
};

struct latent_codec {
    struct device *device;
    const struct kl_folder *vae; /* borrowed */
    struct latent_half encoder, decoder;
    float *host; /* weights on their way to a device with memory of its own */
    bool (*stop_requested)(void);
};

/* For images of height x width. Declares in phases from `phase` on; encodes: the encoder too. The
 * struct must stay where it is; latent_codec_close takes it in any case. ERR_CONFIG for a size that
 * the autoencoder cannot take. */
int latent_codec_declare(struct latent_codec *codec, const struct kl_folder *vae, int height,
                         int width, bool encodes, int rows, struct device *device, int phase,
                         struct plan *plan);
void latent_codec_close(struct latent_codec *codec);

/* The rows of a band with which it takes least beyond what `plan` has for other phases: 0, all of
 * them, where that is nothing. */
int latent_codec_choose_rows(const struct kl_folder *vae, int height, int width, bool encodes,
                             struct device *device, const struct plan *plan, int *rows);

/* The weights of what is used next; whatever stood in the same bytes is gone. ERR_DATA. */
int latent_codec_begin(struct latent_codec *codec, bool decoder);
/* image [height][width][3] in -1..1 to means and deviations [height / f][width / f][channels], as
 * the encoder has them; all of the host. deviations may be NULL. */
int latent_codec_encode(struct latent_codec *codec, const float *image, float *means,
                        float *deviations);
/* latents, as a denoiser has them, to an image. */
int latent_codec_decode(struct latent_codec *codec, const float *latents, float *image);

#endif
