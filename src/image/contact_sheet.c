#include "image/contact_sheet.h"

#include "base/error.h"
#include "image/image.h"
#include "image/premultiplied.h"

#include <math.h>
#include <stddef.h>

enum { LEAST_SIDE = 512 };

struct contact_sheet_layout {
    int columns, rows, factor;
    int width, height; /* before it is scaled to max_side */
};

static struct contact_sheet_layout contact_sheet_lay_out(int count, int w, int h)
{
    struct contact_sheet_layout l;
    l.columns = (int)ceil(sqrt((double)count * h / w));
    if (l.columns < 1) l.columns = 1;
    if (l.columns > count) l.columns = count;
    l.rows = (count + l.columns - 1) / l.columns;
    int side = l.columns * w > l.rows * h ? l.columns * w : l.rows * h;
    l.factor = side < LEAST_SIDE ? (LEAST_SIDE + side - 1) / side : 1;
    l.width = l.columns * w * l.factor;
    l.height = l.rows * h * l.factor;
    return l;
}

/* The enlargement is given up before pixels are lost. */
static void contact_sheet_fit(struct contact_sheet_layout *l, int max_side, int *width, int *height)
{
    int side = l->width > l->height ? l->width : l->height;
    *width = l->width;
    *height = l->height;
    if (max_side <= 0 || side <= max_side) return;
    *width = (int)((int64_t)l->width * max_side / side);
    *height = (int)((int64_t)l->height * max_side / side);
    if (*width < 1) *width = 1;
    if (*height < 1) *height = 1;
}

int contact_sheet_columns(int count, int w, int h)
{
    return contact_sheet_lay_out(count, w, h).columns;
}

void contact_sheet_size(int count, int w, int h, int max_side, int *width, int *height)
{
    struct contact_sheet_layout l = contact_sheet_lay_out(count, w, h);
    contact_sheet_fit(&l, max_side, width, height);
}

int contact_sheet_draw(struct image *out, const float *images, int count, int w, int h,
                       int channels, int max_side)
{
    struct contact_sheet_layout l = contact_sheet_lay_out(count, w, h);
    struct image full = {0};
    int width, height;
    contact_sheet_fit(&l, max_side, &width, &height);
    TRY(image_create(&full, l.width, l.height, 3, SAMPLE_U8));
    uint8_t *to = full.data;
    for (int y = 0; y < l.height; y++)
        for (int x = 0; x < l.width; x++, to += 3) {
            int yy = y / l.factor, xx = x / l.factor;
            int i = yy / h * l.columns + xx / w;
            if (i >= count) continue;
            size_t at = ((size_t)i * (size_t)h + (size_t)(yy % h)) * (size_t)w + (size_t)(xx % w);
            const float *pixel = images + at * (size_t)channels;
            uint8_t bytes[4];
            for (int c = 0; c < channels; c++)
                bytes[c] = contact_sheet_byte(pixel[c]);
            premultiplied_clamp(bytes, 1, channels);
            premultiplied_show(to, bytes, channels, w, xx % w, yy % h);
        }
    if (width == l.width && height == l.height) {
        *out = full;
        return OK;
    }
    int code = image_resize(out, &full, width, height);
    image_free(&full);
    return code;
}

uint8_t contact_sheet_byte(float x)
{
    float u = x * 128 + 128.5f;
    return u > 0 ? (uint8_t)(u < 255 ? u : 255) : 0; /* NaN becomes black */
}
