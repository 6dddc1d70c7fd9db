/* Inside src/image: what each file format offers, and the plausibility rules they share. */
#ifndef IMGTRAIN_IMAGE_FORMAT_H
#define IMGTRAIN_IMAGE_FORMAT_H

#include "image/row_band.h"

/* Bytes of an image file, borrowed. `total` is the whole file's size where `data` holds only its
 * beginning (probing), else the same as `bytes`. */
struct source {
    const uint8_t *data;
    size_t bytes, total;
    const char *name; /* for messages */
};

/* The shape that a file announces, after orientation and palette were applied. */
struct image_header {
    int width, height, channels;
    enum sample_type type;
};

struct image_format {
    const char *name;           /* NULL: not built in */
    const char *const *endings; /* of file names, without the dot, up to a NULL */
    bool (*matches)(const uint8_t *data, size_t bytes); /* by the first bytes */
    int (*probe)(const struct source *source, struct image_header *header);
    /* Decodes into the sink; see image_stream. */
    int (*read)(const struct source *source, size_t whole_limit, const struct image_sink *sink);
};

extern const struct image_format format_png, format_jpeg, format_webp, format_tiff, format_pnm,
    format_pfm;
/* All formats. */
enum { IMAGE_FORMATS = 6 };
extern const struct image_format *const image_formats[IMAGE_FORMATS];

/* ERR_DATA unless the size lies within the limits and `samples bytes` of image can come out of
 * the file's bytes: a compressor that reaches `best_ratio` at most cannot have made more. Beyond
 * 4 GiB a modest ratio is asked for too, so that a real bomb is refused by its header. */
int format_check_size(const struct source *source, const struct image_header *header,
                      size_t best_ratio);

/* The header's shape as an image without samples. */
struct image format_shape(const struct image_header *header);

/* Says once for each file what is wrong with it although all its pixels are there. */
void format_note(const struct source *source, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The orientation 1..8 in an EXIF block (TIFF header on, or "Exif" and two zeros before it); 1
 * where there is none or it is broken. CIPA DC-008 (EXIF 2.32), 4.5 and 4.6.4. */
int exif_orientation(const uint8_t *tiff, size_t bytes);

/* Turns the image upright from EXIF orientation 1..8. On failure *image is unchanged. */
int exif_apply(struct image *image, int orientation);

/* The part of a format's read() that heeds the orientation: read_stored() decodes the image as the
 * file has it; an image that has to be turned is collected whole first, which whole_limit bounds.
 */
int exif_read(const struct source *source, int orientation, size_t whole_limit,
              const struct image_sink *sink,
              int (*read_stored)(const struct source *source, size_t whole_limit,
                                 const struct image_sink *sink));

/* The receiver of an encoder's bytes; `at`: their place in the file, which grows without holes but
 * for PFM, whose last row comes first. A failure's code and message come out of the encoder. */
struct byte_sink {
    int (*write)(void *argument, size_t at, const void *data, size_t bytes);
    void *argument;
};

/* Encoders take an image's rows from the top down, some at a time. */
struct encoder {
    /* The shape that the format takes of such an image: maybe fewer channels, or another sample
     * type. ERR_USAGE for an image that it cannot hold. */
    int (*take)(const struct image *shape, struct image *taken);
    /* `shape`: as taken. quality: JPEG's. */
    int (*open)(void **state, const struct image *shape, int quality, const struct byte_sink *to);
    int (*put)(void *state, const struct image *rows);
    int (*end)(void *state);
    void (*close)(void *state); /* accepts NULL */
    /* The bytes of the file, where they are known before; may be NULL. */
    size_t (*bytes)(const struct image *shape);
};
/* PNM picks PGM, PPM or PAM by the channel count. */
extern const struct encoder encoder_png, encoder_jpeg, encoder_jpeg_halved, encoder_pnm,
    encoder_pfm;

/* A whole image into one malloc'ed buffer, owned by the caller. */
int encoder_make(const struct encoder *encoder, const struct image *image, int quality,
                 uint8_t **data, size_t *bytes);

#endif
