/* Many small images as one. */
#ifndef IMGTRAIN_IMAGE_CONTACT_SHEET_H
#define IMGTRAIN_IMAGE_CONTACT_SHEET_H

#include <stdint.h>

struct image;

/* One value of such an image as a byte: clamp((x + 1) * 128) rounded. */
uint8_t contact_sheet_byte(float x);

/* count images of w x h, about as wide as high; small ones are enlarged by a whole factor so that
 * the grid has at least 512 pixels, large ones scaled to fit max_side (0: full size). */
void contact_sheet_size(int count, int w, int h, int max_side, int *width, int *height);

int contact_sheet_columns(int count, int w, int h); /* images side by side in it */

/* images: [count][h][w][channels] in -1..1 (clamped), as in image/premultiplied.h -> 8-bit RGB of
 * contact_sheet_size, owned by the caller. */
int contact_sheet_draw(struct image *out, const float *images, int count, int w, int h,
                       int channels, int max_side);

#endif
