/* Whatever channels an image has, as RGB: grey three times, alpha over white. */
#ifndef IMGTRAIN_DATA_FLATTEN_H
#define IMGTRAIN_DATA_FLATTEN_H

#include "image/image.h"

/* out: [height][width][3] of `type`, which is SAMPLE_U8 or SAMPLE_U16. */
void flatten_rgb(void *out, enum sample_type type, const struct image *in);

#endif
