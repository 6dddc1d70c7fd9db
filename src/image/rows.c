#include "image/rows.h"

#include "base/error.h"

#include <string.h>

int image_band_rows(const struct image *shape)
{
    enum { BAND_BYTES = 1 << 20 };
    struct image row = {shape->width, 1, shape->channels, shape->type, NULL};
    size_t bytes = image_bytes(&row), rows = bytes < BAND_BYTES ? BAND_BYTES / bytes : 1;
    return rows < (size_t)shape->height ? (int)rows : shape->height;
}

int image_stream_whole(struct image *image, const struct image_sink *sink)
{
    struct image shape = *image;
    shape.data = NULL;
    if (sink->begin) TRY(sink->begin(sink->argument, &shape));
    return sink->put(sink->argument, image, 0);
}

/* ---- making one image of rows ---- */

static int collect_begin(void *argument, const struct image *shape)
{
    struct image *whole = argument;
    *whole = *shape;
    whole->data = NULL;
    return OK;
}

/* Takes memory only when the first rows come, as they may be the whole image. */
static int collect_put(void *argument, struct image *rows, int y)
{
    struct image *whole = argument;
    if (rows->height == whole->height) {
        *whole = *rows;
        rows->data = NULL;
        return OK;
    }
    if (!whole->data)
        TRY(image_create(whole, whole->width, whole->height, whole->channels, whole->type));
    size_t bytes = image_bytes(rows), row = bytes / (size_t)rows->height;
    memcpy((uint8_t *)whole->data + (size_t)y * row, rows->data, bytes);
    return OK;
}

struct image_sink image_collector(struct image *image)
{
    *image = (struct image){0};
    return (struct image_sink){collect_begin, collect_put, image};
}
