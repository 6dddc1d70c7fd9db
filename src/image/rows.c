/* Rows on their way from a decoder to a sink. */
#include "image/rows.h"

#include "base/error.h"
#include "base/format.h"
#include "image/image_format.h"

#include <string.h>

int image_band_rows(const struct image *shape)
{
    enum { BAND_BYTES = 1 << 20 };
    struct image row = {shape->width, 1, shape->channels, shape->type, NULL};
    size_t bytes = image_bytes(&row), rows = bytes < BAND_BYTES ? BAND_BYTES / bytes : 1;
    return rows < (size_t)shape->height ? (int)rows : shape->height;
}

/* ---- a band that a decoder fills ---- */

int row_band_open(struct row_band *band, const struct image *shape, const struct image_sink *sink)
{
    *band = (struct row_band){.sink = sink, .height = shape->height};
    if (sink->begin) TRY(sink->begin(sink->argument, shape));
    band->room = image_band_rows(shape);
    return image_create(&band->rows, shape->width, band->room, shape->channels, shape->type);
}

size_t row_band_first(const struct row_band *band)
{
    return (size_t)band->filled * (size_t)band->rows.width * (size_t)band->rows.channels;
}

void *row_band_row(const struct row_band *band)
{
    return (uint8_t *)band->rows.data + row_band_first(band) * sample_bytes(band->rows.type);
}

int row_band_next(struct row_band *band)
{
    band->filled++;
    bool last = band->y + band->filled == band->height;
    if (band->filled < band->room && !last) return OK;
    band->rows.height = band->filled;
    TRY(band->sink->put(band->sink->argument, &band->rows, band->y));
    band->y += band->filled;
    band->filled = 0;
    if (last || band->rows.data) return OK;
    return fail(ERR_INTERNAL, "a band of rows was taken over");
}

void row_band_close(struct row_band *band)
{
    image_free(&band->rows);
}

/* ---- whole pictures ---- */

int check_whole(const char *name, const struct image *shape, size_t bytes, size_t whole_limit,
                const char *why)
{
    if (whole_limit == 0 || bytes <= whole_limit) return OK;
    return fail(
        ERR_DEVICE_MEMORY,
        "%s: %s, so %dx%d pixels need %s at once, %s are there (a plain PNG or PPM is read row "
        "by row)",
        name, why, shape->width, shape->height, format_bytes((int64_t)bytes).text,
        format_bytes((int64_t)whole_limit).text);
}

int image_stream_whole(struct image *image, const struct image_sink *sink)
{
    struct image shape = *image;
    shape.data = NULL;
    if (sink->begin) TRY(sink->begin(sink->argument, &shape));
    return sink->put(sink->argument, image, 0);
}

/* ---- making one picture of rows ---- */

static int collect_begin(void *argument, const struct image *shape)
{
    struct image *whole = argument;
    *whole = *shape;
    whole->data = NULL;
    return OK;
}

/* Memory only when the first rows are there, which may be the picture itself. */
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
