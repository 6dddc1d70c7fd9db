/* Shared by the metrics: samples, and two images whose rows come band by band. */
#include "metrics/compare.h"

#include "base/error.h"

#include <string.h>

enum { WINDOW_BYTES = 8 << 20 }; /* of both images; more where a row of tiles takes more */

int compare_check(const struct image *a, const struct image *b)
{
    if (a->width == b->width && a->height == b->height && a->channels == b->channels) return OK;
    return fail(ERR_USAGE, "images differ in shape: %dx%d with %d channels, %dx%d with %d",
                a->width, a->height, a->channels, b->width, b->height, b->channels);
}

void compare_samples(double *to, const struct image *image, size_t first, size_t count)
{
    const uint8_t *u8 = (const uint8_t *)image->data + first;
    const uint16_t *u16 = (const uint16_t *)image->data + first;
    const float *f32 = (const float *)image->data + first;
    switch (image->type) {
    case SAMPLE_U8:
        for (size_t i = 0; i < count; i++)
            to[i] = u8[i] * (1.0 / 255.0);
        break;
    case SAMPLE_U16:
        for (size_t i = 0; i < count; i++)
            to[i] = u16[i] * (1.0 / 65535.0);
        break;
    case SAMPLE_F32:
        for (size_t i = 0; i < count; i++) {
            double v = (double)f32[i];
            to[i] = v > 0.0 ? (v < 1.0 ? v : 1.0) : 0.0;
        }
        break;
    }
}

int compare_channels(const struct compare_rows *rows)
{
    return rows->luma ? 1 : rows->a.channels;
}

void compare_row_samples(double *to, const struct compare_rows *rows, const struct image *image,
                         size_t first, size_t count)
{
    if (!rows->luma) {
        compare_samples(to, image, first, count);
        return;
    }
    const uint8_t *rgb = (const uint8_t *)image->data + 3 * first;
    for (size_t i = 0; i < count; i++, rgb += 3)
        to[i] = (16.0 + (65.481 * rgb[0] + 128.553 * rgb[1] + 24.966 * rgb[2]) / 255.0) / 255.0;
}

struct compare_rows compare_whole(const struct image *a, const struct image *b)
{
    return (struct compare_rows){.a = *a, .b = *b, .height = a->height};
}

/* ---- a window that slides down ---- */

static size_t compare_row_bytes(const struct image *image)
{
    struct image row = *image;
    row.height = 1;
    return image_bytes(&row);
}

int compare_window_open(struct compare_window *w, const struct image *a, const struct image *b,
                        int (*add)(void *argument, const struct compare_rows *rows, int from,
                                   int to),
                        void *argument)
{
    *w = (struct compare_window){.rows.height = a->height, .add = add, .argument = argument};
    size_t tile = COMPARE_TILE_ROWS * (compare_row_bytes(a) + compare_row_bytes(b));
    int tiles = tile < WINDOW_BYTES ? (int)(WINDOW_BYTES / tile) : 1;
    int most = (a->height + COMPARE_TILE_ROWS - 1) / COMPARE_TILE_ROWS;
    w->room = (tiles < most ? tiles : most) * COMPARE_TILE_ROWS + 2 * COMPARE_MARGIN;
    if (w->room > a->height) w->room = a->height;
    TRY(image_create(&w->rows.a, a->width, w->room, a->channels, a->type));
    return image_create(&w->rows.b, b->width, w->room, b->channels, b->type);
}

/* `count` rows from row `from` of one image to row `to` of another; both may be the same. */
static void move_rows(struct image *out, int to, const struct image *in, int from, int count)
{
    size_t row = compare_row_bytes(in);
    memmove((uint8_t *)out->data + (size_t)to * row, (const uint8_t *)in->data + (size_t)from * row,
            (size_t)count * row);
}

/* Adds the rows whose margin is there; then the rows that the next ones need move to the top. */
static int add_rows(struct compare_window *w)
{
    struct compare_rows *rows = &w->rows;
    int end = rows->first + w->filled, to = end;
    if (end < rows->height) to = (end - COMPARE_MARGIN) / COMPARE_TILE_ROWS * COMPARE_TILE_ROWS;
    rows->a.height = rows->b.height = w->filled;
    int code = w->add(w->argument, rows, w->done, to);
    rows->a.height = rows->b.height = w->room;
    TRY(code);
    int keep = to - COMPARE_MARGIN, gone = keep - rows->first;
    w->done = to;
    if (end == rows->height) return OK;
    move_rows(&rows->a, 0, &rows->a, gone, w->filled - gone);
    move_rows(&rows->b, 0, &rows->b, gone, w->filled - gone);
    rows->first = keep;
    w->filled -= gone;
    return OK;
}

int compare_window_put(struct compare_window *w, const struct image *a, const struct image *b)
{
    for (int y = 0; y < a->height;) {
        int count = a->height - y < w->room - w->filled ? a->height - y : w->room - w->filled;
        move_rows(&w->rows.a, w->filled, a, y, count);
        move_rows(&w->rows.b, w->filled, b, y, count);
        w->filled += count;
        y += count;
        if (w->filled == w->room || w->rows.first + w->filled == w->rows.height) TRY(add_rows(w));
    }
    return OK;
}

void compare_window_close(struct compare_window *w)
{
    image_free(&w->rows.a);
    image_free(&w->rows.b);
}
