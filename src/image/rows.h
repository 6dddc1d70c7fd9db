/* Images that need not fit into memory: their rows pass by from the top down, some at a time. */
#ifndef IMGTRAIN_IMAGE_ROWS_H
#define IMGTRAIN_IMAGE_ROWS_H

#include "image/image.h"

/* A receiver of rows. A failure of either function ends the passage with its code. */
struct image_sink {
    /* Once, before the first rows: the whole image's shape (data NULL). May be NULL. */
    int (*begin)(void *argument, const struct image *shape);
    /* Rows [y, y + rows->height), each row once and in order. Rows that are the whole image may
     * be taken over: then rows->data is NULL afterwards. */
    int (*put)(void *argument, struct image *rows, int y);
    void *argument;
};

/* Reads an image file as image_load does, but row by row. A file that cannot be decoded like that
 * (interlaced PNGs, JPEGs of several scans, images that EXIF turns) is decoded whole, if that takes
 * no more than whole_limit bytes (0: no limit): ERR_DEVICE_MEMORY otherwise, with a message that
 * says what to do. The sink has got rows already when a later part turns out broken. */
int image_stream(const char *path, size_t whole_limit, const struct image_sink *sink);

/* The same of a folder, as image_load_stack: it is put together whole. */
int image_stream_stack(const char *folder, size_t whole_limit, const struct image_sink *sink);

/* The names of that folder's images in the order of their channels, with / between them: malloc.
 */
int image_stack_names(const char *folder, char **names);

/* Hands an image that is in memory to the sink, which may take it over. */
int image_stream_whole(struct image *image, const struct image_sink *sink);

/* Two images side by side: whatever hands rows to a sink, the second one in a thread of its own.
 * begin: once, with both shapes; it must fail when their heights differ. put: the next rows of
 * both, as many, borrowed. The first failure ends it and comes out. */
struct image_source {
    int (*stream)(void *argument, const struct image_sink *sink);
    void *argument;
};
struct image_pair_sink {
    int (*begin)(void *argument, const struct image *a, const struct image *b);
    int (*put)(void *argument, const struct image *a, const struct image *b);
    void *argument;
};
int image_stream_pair(const struct image_source *a, const struct image_source *b,
                      const struct image_pair_sink *to);

/* Scaling: rows of an image of shape `in` are put, those of the scaled one come out, bit for bit
 * as image_resize would make them. In memory are the rows that one output row needs, and some. */
struct image_scaler;
int image_scaler_open(struct image_scaler **scaler, const struct image *in, int width, int height,
                      const struct image_sink *to);
int image_scaler_open_bicubic(struct image_scaler **scaler, const struct image *in, double scale,
                              const struct image_sink *to); /* as image_resize_bicubic */
int image_scaler_put(struct image_scaler *scaler, const struct image *rows);
void image_scaler_close(struct image_scaler *scaler); /* accepts NULL */

/* Writing row by row, atomically, as image_save writes the whole: rows come in order. */
struct image_writer;
int image_writer_open(struct image_writer **writer, const char *path, const struct image *shape);
int image_writer_put(struct image_writer *writer, const struct image *rows);
/* Ends the file and puts it into place. */
int image_writer_commit(struct image_writer *writer);
void image_writer_close(struct image_writer *writer); /* drops it unless committed; accepts NULL */

/* A sink that makes one image of the rows: argument is a zeroed struct image, owned by the caller
 * also after a failure. */
struct image_sink image_collector(struct image *image);

/* How many rows of an image make a band of about a megabyte. */
int image_band_rows(const struct image *shape);

#endif
