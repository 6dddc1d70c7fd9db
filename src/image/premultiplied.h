/* Pixels of 8 bits as data sets and generators have them, of one, three or four channels: grey,
 * RGB, or RGB times alpha and alpha. */
#ifndef IMGTRAIN_IMAGE_PREMULTIPLIED_H
#define IMGTRAIN_IMAGE_PREMULTIPLIED_H

#include <stddef.h>
#include <stdint.h>

/* Behind samples in the metrics: neither the ink nor the paper of drawings. */
enum { PREMULTIPLIED_GREY = 128, PREMULTIPLIED_WHITE = 255 };

/* Colours of four channels that are more than alpha lets through become as much. */
void premultiplied_clamp(uint8_t *pixels, size_t count, int channels);

/* Four channels become RGB and alpha as files have them, rounded to nearest; where alpha is 0 all
 * are 0. Others stay. */
void premultiplied_divide(uint8_t *pixels, size_t count, int channels);

/* As RGB: [count][3], grey three times, four channels over a grey of this brightness. */
void premultiplied_over(uint8_t *rgb, const uint8_t *pixels, size_t count, int channels,
                        int background);

/* One pixel (x, y) of an image of that width, likewise; four channels over the light squares that
 * say "nothing here". */
void premultiplied_show(uint8_t rgb[3], const uint8_t *pixel, int channels, int width, int x,
                        int y);
/* The whole image. */
void premultiplied_show_all(uint8_t *rgb, const uint8_t *pixels, int channels, int width,
                            int height);

#endif
