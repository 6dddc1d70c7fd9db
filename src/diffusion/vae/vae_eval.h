/* `imgtrain eval` of a trained autoencoder. */
#ifndef IMGTRAIN_DIFFUSION_VAE_VAE_EVAL_H
#define IMGTRAIN_DIFFUSION_VAE_VAE_EVAL_H

#include <stddef.h>

struct task_evaluation;

/* Images of a folder made again of their latents' means: PSNR, and whether latents are as a
 * denoiser expects them. */
int vae_evaluate(const struct task_evaluation *wanted);

/* In dB, of an image that was made again, numbers of -1..1 that a file can hold. */
double vae_psnr(const float *made, const float *image, size_t count);

#endif
