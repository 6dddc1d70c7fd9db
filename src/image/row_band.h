/* Inside src/image: the rows that a decoder makes, on their way to a sink. */
#ifndef IMGTRAIN_IMAGE_ROW_BAND_H
#define IMGTRAIN_IMAGE_ROW_BAND_H

#include "image/rows.h"

/* A band of rows that a decoder fills: row_band_open() begins it, row_band_row() is where the next
 * row goes (samples from row_band_first() on in rows.data), row_band_next() counts it. */
struct row_band {
    struct image rows;
    int room, filled, y, height;
    const struct image_sink *sink;
};
int row_band_open(struct row_band *band, const struct image *shape, const struct image_sink *sink);
size_t row_band_first(const struct row_band *band);
void *row_band_row(const struct row_band *band);
int row_band_next(struct row_band *band);
void row_band_close(struct row_band *band);

/* ERR_DEVICE_MEMORY unless `bytes` of an image that has to be decoded whole are within the limit;
 * `why`: "an interlaced PNG ...". */
int row_band_check_whole(const char *name, const struct image *shape, size_t bytes,
                         size_t whole_limit, const char *why);

#endif
