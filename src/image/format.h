/* Inside src/image: what each file format offers, and the plausibility rules they share. */
#ifndef IMGTRAIN_IMAGE_FORMAT_H
#define IMGTRAIN_IMAGE_FORMAT_H

#include "image/image.h"

/* Bytes of a picture file, borrowed. `total` is the whole file's size where `data` holds only its
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
    const char *name;
    bool (*matches)(const uint8_t *data, size_t bytes); /* by the first bytes */
    int (*probe)(const struct source *source, struct image_header *header);
    int (*decode)(const struct source *source, struct image *image); /* *image is zeroed */
};

extern const struct image_format format_png, format_jpeg, format_pnm, format_pfm;

/* ERR_DATA unless the size lies within the limits and `samples bytes` of picture can come out of
 * the file's bytes: a compressor that reaches `best_ratio` at most cannot have made more. Beyond
 * 4 GiB a modest ratio is asked for too, so that a real bomb is refused by its header. */
int format_check_size(const struct source *source, const struct image_header *header,
                      size_t best_ratio);

/* Opens *image with the header's shape, its samples not zeroed. */
int format_create(const struct source *source, const struct image_header *header,
                  struct image *image);

/* The orientation 1..8 in an EXIF block (TIFF header on); 1 where there is none or it is broken.
 * CIPA DC-008 (EXIF 2.32), 4.5 and 4.6.4. */
int exif_orientation(const uint8_t *tiff, size_t bytes);

/* Turns the picture upright from EXIF orientation 1..8. On failure *image is unchanged. */
int exif_apply(struct image *image, int orientation);

/* Encoders into one malloc'ed buffer, owned by the caller. PNM picks PGM, PPM or PAM by the channel
 * count; PFM needs f32 of 1 or 3 channels. */
int pnm_encode(const struct image *image, uint8_t **data, size_t *bytes);
int pfm_encode(const struct image *image, uint8_t **data, size_t *bytes);

#endif
