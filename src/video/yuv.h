/* From 8-bit RGB to the planes that video codecs take. */
#ifndef IMGTRAIN_VIDEO_YUV_H
#define IMGTRAIN_VIDEO_YUV_H

#include "image/image.h"

#include <stdint.h>

/* Fills Y, Cb and Cr (4:2:0, BT.709, limited range: Y 16..235, Cb and Cr 16..240) from u8 RGB.
 * planes[0] has the image's size rounded up to even numbers, the others half of that; a missing
 * row or column repeats the edge. Chroma sits at the left of its pair of columns and between its
 * rows, as decoders of H.264 take it to. Matrix: Rec. ITU-R BT.709-6, items 3.2 to 3.5. */
void yuv_from_rgb(uint8_t *const planes[], const int strides[], const struct image *image);

#endif
