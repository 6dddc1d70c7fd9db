/* A picture rendered in slices of rows, each with the Gaussians that reach it: the same bits with
 * less memory on the device. */
#ifndef IMGTRAIN_SPLAT_SLICES_H
#define IMGTRAIN_SPLAT_SLICES_H

#include "splat/picture.h"

/* splat_picture_stream of the window's own size for `rows` rows at a time. */
int splat_slices_stream(struct device *device, const struct splat_model *model,
                        const struct splat_window *window, enum sample_type type, int rows,
                        const struct image_sink *to);

#endif
