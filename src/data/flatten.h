/* Whatever channels an image has, as RGB (grey three times, alpha over white), RGB times alpha, or
 * grey. */
#ifndef IMGTRAIN_DATA_FLATTEN_H
#define IMGTRAIN_DATA_FLATTEN_H

#include "image/image.h"

#include <stddef.h>
#include <stdint.h>

/* out: [height][width][3] of `type`, which is SAMPLE_U8 or SAMPLE_U16. */
void flatten_rgb(void *out, enum sample_type type, const struct image *in);

/* out: [height][width][4] of 8 bits, RGB times alpha and alpha. */
void flatten_premultiplied(uint8_t *out, const struct image *in);
/* out: [height][width] of 8 bits, the brightness (BT.601) of what flatten_rgb makes. */
void flatten_brightness(uint8_t *out, const struct image *in);

/* RGB becomes its brightness (BT.601), three times. */
void flatten_grey(uint8_t *pixels, size_t count);

#endif
