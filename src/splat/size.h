/* The size that a fit is trained at: that of the image, or a smaller one while memory is short
 * (memory.grow). Metrics and images are of the full size all the same. */
#ifndef IMGTRAIN_SPLAT_SIZE_H
#define IMGTRAIN_SPLAT_SIZE_H

#include "splat/fit.h"

/* The size of `target`: its longer side in pixels. */
int splat_size_of(const struct splat_target *target);
/* The shape of `of` at this size. */
void splat_size_shape(const struct splat_target *of, int size, int *width, int *height);

/* The size that a fit begins at: the image's, or memory.max_size with memory.grow. */
int splat_size_first(const struct splat_fit *fit);
/* The sizes that a fit may change to. */
void splat_size_range(const struct splat_fit *fit, struct memory_range *range);

/* Trains the fit at `size` from now on: target and model are described anew. */
void splat_size_describe(struct splat_fit *fit, int size);
/* Makes fit->image in host memory: the source's image, or that scaled. */
int splat_size_scale(struct splat_fit *fit);

/* Turns scales and rotations on the host, which count the pixels of `from`, into those of `to`, and
 * Adam's moments (NULL: none) with them; sigmas end between least and most pixels. The Gaussians
 * cover the same parts of the image as before. */
void splat_size_carry(struct splat_host *host, const struct splat_model *to,
                      const struct splat_model *from, float least, float most);
/* The same of the fit's own arrays on the host. moments: Adam's have seen steps, and go along. */
void splat_size_carry_fit(struct splat_fit *fit, const struct splat_model *from, bool moments);

#endif
