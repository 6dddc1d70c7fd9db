/* Samples by their seeds: each image is a pure function of the model, its seed and its class. */
#ifndef IMGTRAIN_GAN_SAMPLE_SEEDS_H
#define IMGTRAIN_GAN_SAMPLE_SEEDS_H

#include <stdint.h>

struct sampler;

/* The class of a seed where none is asked for: they take turns. 0 without classes. */
int seeds_class(const struct sampler *sampler, uint64_t seed);

/* n images of n latents (one after the other) and classes: out
 * [n][height][width][channels] as in image/premultiplied.h. ERR_SYSTEM. */
int seeds_draw(struct sampler *sampler, const float *latents, const int *classes, int n,
               uint8_t *out);

/* The same from seeds; classes NULL: seeds_class. */
int seeds_make(struct sampler *sampler, const uint64_t *seeds, const int *classes, int n,
               uint8_t *out);

/* Towards the mean by `truncation` (1: as it is, 0: the mean): the truncation trick of Karras et
 * al.
 * ("A Style-Based Generator Architecture", CVPR 2019, appendix B), w' = mean + T (w - mean), on the
 * output w of G's first layer. That layer is linear without a bias and latents have the mean 0, so
 * it is the same to scale the z numbers of the latent; a class's vector stays. */
void seeds_truncate(float *latent, int z, double truncation);

/* The latent at t (0..1) of the way from `a` to `b`, of z floats: along the circle through both
 * (Shoemake 1985), as normal latents lie near a sphere; the length changes evenly. */
void seeds_between(float *latent, const float *a, const float *b, int z, double t);

#endif
