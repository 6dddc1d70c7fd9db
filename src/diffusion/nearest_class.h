/* Which class an image looks like: that whose mean training image is nearest. */
#ifndef IMGTRAIN_DIFFUSION_NEAREST_CLASS_H
#define IMGTRAIN_DIFFUSION_NEAREST_CLASS_H

#include <stdbool.h>
#include <stdint.h>

struct dataset;

/* nearest[i]: of images[i], each of the set's size; -1 where the set has no classes. A class
 * without a training image looks like none. Texts count as classes, and there may be as many as
 * images: one mean is in memory at a time. stop_requested (or NULL) is polled: ERR_STOPPED. */
int nearest_class_find(const struct dataset *set, int width, int height,
                       const uint8_t *const *images, int count, bool (*stop_requested)(void),
                       int *nearest);

#endif
