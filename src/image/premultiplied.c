#include "image/premultiplied.h"

#include <string.h>

enum { LIGHT = 255, LESS_LIGHT = 224, SQUARES = 8 };

void premultiplied_clamp(uint8_t *pixels, size_t count, int channels)
{
    for (uint8_t *p = pixels; channels == 4 && count; count--, p += 4)
        for (int c = 0; c < 3; c++)
            if (p[c] > p[3]) p[c] = p[3];
}

void premultiplied_divide(uint8_t *pixels, size_t count, int channels)
{
    for (uint8_t *p = pixels; channels == 4 && count; count--, p += 4)
        for (int c = 0; c < 3; c++) {
            unsigned alpha = p[3], most = p[c] < alpha ? p[c] : alpha;
            p[c] = (uint8_t)(alpha ? (2u * 255u * most + alpha) / (2u * alpha) : 0);
        }
}

static void premultiplied_pixel(uint8_t rgb[3], const uint8_t *pixel, int channels, int background)
{
    for (int c = 0; c < 3; c++) {
        int value = pixel[channels == 1 ? 0 : c];
        if (channels == 4) value += (background * (255 - pixel[3]) + 127) / 255;
        rgb[c] = (uint8_t)(value < 255 ? value : 255);
    }
}

void premultiplied_over(uint8_t *rgb, const uint8_t *pixels, size_t count, int channels,
                        int background)
{
    for (size_t i = 0; i < count; i++)
        premultiplied_pixel(rgb + 3 * i, pixels + (size_t)channels * i, channels, background);
}

void premultiplied_show(uint8_t rgb[3], const uint8_t *pixel, int channels, int width, int x, int y)
{
    int side = width < SQUARES ? 1 : width / SQUARES;
    premultiplied_pixel(rgb, pixel, channels, (x / side + y / side) % 2 ? LESS_LIGHT : LIGHT);
}

void premultiplied_show_all(uint8_t *rgb, const uint8_t *pixels, int channels, int width,
                            int height)
{
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++, rgb += 3, pixels += channels)
            premultiplied_show(rgb, pixels, channels, width, x, y);
}
