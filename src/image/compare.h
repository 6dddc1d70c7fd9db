/* Inside src/image: what every metric does first. */
#ifndef IMGTRAIN_IMAGE_COMPARE_H
#define IMGTRAIN_IMAGE_COMPARE_H

#include "image/image.h"

/* ERR_USAGE, with both sizes, unless the pictures have the same width, height and channels. */
int compare_check(const struct image *a, const struct image *b);

/* `count` samples from index `first` on, as 0..1 and clamped to it (NaN becomes 0). */
void compare_samples(double *to, const struct image *image, size_t first, size_t count);

#endif
