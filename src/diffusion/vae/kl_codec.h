/* A trained autoencoder at work: images to latents and back, on a device, in host memory. Latents
 * are handed out as a denoiser takes them: (mean - shift) scaling. */
#ifndef IMGTRAIN_DIFFUSION_VAE_KL_CODEC_H
#define IMGTRAIN_DIFFUSION_VAE_KL_CODEC_H

#include "diffusion/vae/kl.h"

struct device;
struct kl_codec;

/* path: as kl_folder_open takes it. ERR_INPUT, ERR_DATA. Nothing is on the device yet. */
int kl_codec_open(struct kl_codec **codec, const char *path, struct device *device);
void kl_codec_close(struct kl_codec *codec); /* accepts NULL */
const struct kl_config *kl_codec_config(const struct kl_codec *codec);
uint64_t kl_codec_checksum(const struct kl_codec *codec); /* of kl_folder.h */
/* Polled within: then ERR_STOPPED. */
void kl_codec_listen(struct kl_codec *codec, bool (*stop_requested)(void));

/* image [h][w][3] in -1..1 to means and deviations [h/f][w/f][latent_channels]; deviations may be
 * NULL. ERR_CONFIG where f does not divide a side. The networks stay on the device for the next
 * call of the same size; encoding lets go of the decoder, and the other way round. */
int kl_codec_encode(struct kl_codec *codec, const float *image, int h, int w, float *means,
                    float *deviations);
/* latents [h][w][latent_channels] to an image [h f][w f][3]; rows: of a band (kl_bands.h), 0: all.
 */
int kl_codec_decode(struct kl_codec *codec, const float *latents, int h, int w, int rows,
                    float *image);
/* Bytes of the device that either would take; of the host's operations for a device. */
int kl_codec_bytes(const struct kl_codec *codec, bool decoder, int h, int w, int rows,
                   size_t *bytes);

#endif
