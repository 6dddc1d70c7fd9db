/* A trained generator in use: nothing of D and of the optimiser is loaded. */
#ifndef IMGTRAIN_GAN_SAMPLER_H
#define IMGTRAIN_GAN_SAMPLER_H

#include <stdbool.h>
#include <stdint.h>

struct device;
struct plan;
struct store_file;

struct sampler;

/* `file`: a model or a checkpoint of task gan (its EMA weights), which may be closed afterwards.
 * micro: images made at a time. The device must outlive the sampler. ERR_DATA,
 * naming the file, before any memory is taken; ERR_DEVICE_MEMORY. */
int sampler_open(struct sampler **sampler, struct device *device, const struct store_file *file,
                 int micro);
void sampler_close(struct sampler *sampler); /* accepts NULL */

int sampler_width(const struct sampler *sampler);
int sampler_height(const struct sampler *sampler);
int sampler_channels(const struct sampler *sampler);
int sampler_classes(const struct sampler *sampler); /* 0 = unconditional */
int sampler_z(const struct sampler *sampler);       /* length of a latent */

/* The latent of `seed`, into sampler_z() floats. */
void sampler_latent(const struct sampler *sampler, uint64_t seed, float *latent);

/* From now on images are of a mixture of classes: the mean of their vectors, by weights [classes]
 * that are not negative, of a sum above 0. NULL: of the labels again. */
int sampler_mix(struct sampler *sampler, const double *weights);

/* From now on images have the tags of `text`, "red, round", whatever their labels. ERR_USAGE,
 * naming `option`, for a tag that the model does not have. */
int sampler_tag(struct sampler *sampler, const char *option, const char *text);
bool sampler_has_tags(const struct sampler *sampler);
/* The set of tags that a label is: "red, round". */
const char *sampler_set(const struct sampler *sampler, int label);

/* n images of n latents (one after the other) and labels (NULL without classes, and of
 * a mixture): out [n][h][w][channels]
 * in -1..1, host memory. ERR_DATA when one is not finite. Each image depends on its own latent
 * and label alone. */
int sampler_make(struct sampler *sampler, const float *latents, const int *labels, int n,
                 float *out);

#endif
