#include "image/row_band.h"

#include "base/error.h"
#include "base/format.h"

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

int row_band_check_whole(const char *name, const struct image *shape, size_t bytes,
                         size_t whole_limit, const char *why)
{
    if (whole_limit == 0 || bytes <= whole_limit) return OK;
    return fail(
        ERR_DEVICE_MEMORY,
        "%s: %s, so %dx%d pixels need %s at once, %s are there (a plain PNG or PPM is read row "
        "by row)",
        name, why, shape->width, shape->height, format_bytes((int64_t)bytes).text,
        format_bytes((int64_t)whole_limit).text);
}
