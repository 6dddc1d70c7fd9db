/* Latents that draw given images: gradient descent on z through a trained generator (Abdal et al.,
 * "Image2StyleGAN", ICCV 2019; the loss is the mean squared error alone, as nothing here was
 * trained on other images), and then, where it is wanted, on a copy of the generator while z stays
 * (Roich et al., "Pivotal Tuning", 2021). */
#ifndef IMGTRAIN_GAN_PROJECTION_H
#define IMGTRAIN_GAN_PROJECTION_H

#include <stdbool.h>

struct device;
struct store_file;
struct store_writer;

struct projection;

/* Of a model or checkpoint of task gan, which may be closed afterwards; n images at a time. tunes:
 * the generator may be changed, too. ERR_DATA, ERR_DEVICE_MEMORY. */
int projection_open(struct projection **projection, struct device *device,
                    const struct store_file *file, int n, bool tunes);
void projection_close(struct projection *projection); /* accepts NULL */

/* Where the descent begins: latents [n][z] and labels [n] (NULL without classes) of at most as many
 * images as were opened for, and what they are to look like, [n][h][w][channels] in -1..1. All
 * moments are 0 again. */
int projection_begin(struct projection *projection, int n, const float *latents, const int *labels,
                     const float *targets);
/* The images of the present latents into `images` (as targets; NULL: not wanted) and the mean
 * squared error of each into errors [n]; then a step of Adam on the latents (lr_z > 0), or on the
 * generator by the sum of the errors (lr_g > 0). Each image's latent depends on that image alone.
 */
int projection_step(struct projection *projection, double lr_z, double lr_g, float *images,
                    double *errors);

/* [n][z]; and d error / d latent of the last step that had a rate, likewise. Borrowed. */
const float *projection_latents(const struct projection *projection);
const float *projection_gradient(const struct projection *projection);

/* The generator as it is now, as gan_store_model writes it. */
int projection_store(struct projection *projection, struct store_writer *writer);

#endif
