#include "video/yuv.h"

#include <stddef.h>

/* Weights in 1/65536. Y = 16 + 219/255 (.2126 R + .7152 G + .0722 B); Cb = 128 + 224/255 (B - Y') /
 * 1.8556 and Cr = 128 + 224/255 (R - Y') / 1.5748, Y' being the sum in brackets. Those of a chroma
 * row add up to 0, so that grey stays exactly 128. */
enum {
    Y_R = 11966,
    Y_G = 40254,
    Y_B = 4064,
    CB_R = -6596,
    CB_G = -22189,
    CB_B = 28785,
    CR_R = 28784,
    CR_G = -26145,
    CR_B = -2639,
    HALF = 1 << 15,
};

static uint8_t yuv_luma(const uint8_t *rgb)
{
    return (uint8_t)((Y_R * rgb[0] + Y_G * rgb[1] + Y_B * rgb[2] + (16 << 16) + HALF) >> 16);
}

static void luma_row(uint8_t *y, const uint8_t *rgb, int width)
{
    for (int x = 0; x < width; x++)
        y[x] = yuv_luma(rgb + 3 * (ptrdiff_t)x);
    if (width % 2) y[width] = y[width - 1];
}

/* One row of chroma out of two of RGB: columns weigh 1 2 1 around the sample, so the sum is of 8.
 */
static void chroma_row(uint8_t *cb, uint8_t *cr, const uint8_t *top, const uint8_t *bottom,
                       int width)
{
    for (int i = 0; 2 * i < width; i++) {
        ptrdiff_t here = 6 * (ptrdiff_t)i;
        ptrdiff_t left = i > 0 ? here - 3 : here;
        ptrdiff_t right = 2 * i + 1 < width ? here + 3 : here;
        int32_t sum[3];
        for (int c = 0; c < 3; c++)
            sum[c] = top[left + c] + bottom[left + c] + 2 * (top[here + c] + bottom[here + c]) +
                     top[right + c] + bottom[right + c];
        const int32_t offset = (128 << 19) + (HALF << 3); /* 8 sums: 3 more bits to shift out */
        cb[i] = (uint8_t)((CB_R * sum[0] + CB_G * sum[1] + CB_B * sum[2] + offset) >> 19);
        cr[i] = (uint8_t)((CR_R * sum[0] + CR_G * sum[1] + CR_B * sum[2] + offset) >> 19);
    }
}

void yuv_from_rgb(uint8_t *const planes[], const int strides[], const struct image *image)
{
    const uint8_t *rgb = image->data;
    ptrdiff_t row_bytes = 3 * (ptrdiff_t)image->width;
    for (int y = 0; y < image->height; y += 2) {
        const uint8_t *top = rgb + y * row_bytes;
        const uint8_t *bottom = y + 1 < image->height ? top + row_bytes : top;
        uint8_t *luma_top = planes[0] + (ptrdiff_t)y * strides[0];
        luma_row(luma_top, top, image->width);
        luma_row(luma_top + strides[0], bottom, image->width);
        chroma_row(planes[1] + (ptrdiff_t)(y / 2) * strides[1],
                   planes[2] + (ptrdiff_t)(y / 2) * strides[2], top, bottom, image->width);
    }
}
