/* A mask: an image whose grey says how much each pixel counts. */
#ifndef IMGTRAIN_METRICS_MASK_H
#define IMGTRAIN_METRICS_MASK_H

#include "image/image.h"

/* *mask becomes one channel of bytes, 255 for white: the mean of the file's colours, without alpha.
 * ERR_DATA, where it has another size than width x height or is black all over. */
int mask_load(struct image *mask, const char *path, int width, int height);

/* The same check of a size that is known already. */
int mask_expect_size(const char *path, const struct image *mask, int width, int height);

#endif
