/* An image in memory, as it came from a file: interleaved samples, any number of channels. */
#ifndef IMGTRAIN_IMAGE_IMAGE_H
#define IMGTRAIN_IMAGE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sample_type {
    SAMPLE_U8,  /* 0..255   = 0..1 */
    SAMPLE_U16, /* 0..65535 = 0..1, native byte order */
    SAMPLE_F32, /* as they are */
};

/* data: [height][width][channels], rows without padding, owned (malloc). 1 channel = grey, 2 = grey
 * and alpha, 3 = RGB, 4 = RGB and alpha (not premultiplied); more for texture stacks. */
struct image {
    int width, height, channels;
    enum sample_type type;
    void *data;
};

/* Limits that a hostile file cannot pass. */
enum { IMAGE_MAX_SIDE = 131072, IMAGE_MAX_CHANNELS = 64 };

size_t sample_bytes(enum sample_type type);
size_t image_bytes(const struct image *image);
bool image_has_alpha(const struct image *image); /* 2 or 4 channels */

/* Allocates zeroed samples. ERR_DATA for a size outside the limits, ERR_SYSTEM without memory. */
int image_create(struct image *image, int width, int height, int channels, enum sample_type type);
void image_free(struct image *image); /* accepts a zeroed struct; leaves it zeroed */

/* Reads PNG, JPEG, PNM (PPM, PGM, PAM), PFM and, where they are built in, WebP and TIFF, by the
 * first bytes. EXIF orientation is applied, palettes and CMYK become RGB, 16 bits stay 16 bits,
 * floats floats. On failure *image is zeroed.
 * ERR_INPUT missing, ERR_DATA broken, hostile or unknown format; the message names the file. */
int image_load(struct image *image, const char *path);

/* By the ending of its name: an image of a format that is read here; or the ending of one that is
 * not, NULL for anything else. Borrowed. */
bool image_name_is_readable(const char *name);
/* By the same: image_save writes it. */
bool image_name_is_writable(const char *name);
const char *image_name_foreign(const char *name);
struct image_format_names {
    char text[64]; /* "PNG, JPEG, WebP, TIFF, PNM or PFM", as built */
};
struct image_format_names image_format_names(void);
/* For `doctor`: "libwebp 1.2.4", "no: " with the reason, or "not built in". */
struct image_decoder_version {
    char text[160];
};
struct image_decoder_version image_webp_version(void);
/* What JPEGs are written and read with: the bytes of one and the other may differ by it. Borrowed.
 */
const char *image_jpeg_version(void);
struct image_decoder_version image_tiff_version(void);

/* A file's size without decoding its samples. */
int image_probe(const char *path, int *width, int *height, int *channels, enum sample_type *type);

/* A folder of equally large images as one image: the channels of all files one after the other,
 * in the order of their names. ERR_DATA when sizes differ or there is none. */
int image_load_stack(struct image *image, const char *folder);
/* The stack's shape, without decoding (data NULL). */
int image_probe_stack(const char *folder, struct image *shape);

/* Writes by the name's extension: .png (u8, u16; f32 is rounded to u8), .jpg (u8; alpha over
 * black), .ppm .pgm .pnm, .pfm. Atomic. ERR_USAGE for another extension or a channel count that the
 * format has not. */
int image_save(const struct image *image, const char *path);

/* Whether a PNG that this program wrote is whole: every chunk up to the end by its CRC, nothing is
 * decoded. ERR_INPUT when missing, ERR_DATA, naming path and fault, ERR_IO. */
int image_check_png(const char *path);

/* Compressed bytes in memory (malloc, owned by the caller). JPEG takes 1 or 3 channels of u8. */
int image_encode_jpeg(const struct image *image, int quality, uint8_t **data, size_t *bytes);
/* Chroma halved at any quality, as most programs write JPEG: the bytes of libjpeg's own cjpeg. */
int image_encode_jpeg_halved(const struct image *image, int quality, uint8_t **data, size_t *bytes);
int image_encode_png(const struct image *image, uint8_t **data, size_t *bytes);
int image_decode(struct image *image, const uint8_t *data, size_t bytes, const char *name);

/* One sample as float: u8 and u16 scaled to 0..1. */
static inline float image_sample(const struct image *image, size_t index)
{
    switch (image->type) {
    case SAMPLE_U8: return (float)((const uint8_t *)image->data)[index] * (1.0f / 255.0f);
    case SAMPLE_U16: return (float)((const uint16_t *)image->data)[index] * (1.0f / 65535.0f);
    case SAMPLE_F32: break;
    }
    return ((const float *)image->data)[index];
}

/* How far float samples reach, and how many lie outside of a range. Zeroed it is that of none. */
struct sample_extent {
    int64_t samples, outside;
    float low, high;
};
/* Adds the samples of `rows`; those of 8 and 16 bits lie in 0..1 and are not looked at. */
void sample_extent_add(struct sample_extent *extent, const struct image *rows, float from,
                       float to);

/* *out becomes a new image of another sample type: clamped to 0..1 and rounded to nearest. */
int image_convert(struct image *out, const struct image *in, enum sample_type type);

/* *out becomes the colours of `in` (1 to 4 channels) as f32, 1 or 3 channels, its alpha over black.
 */
int image_over_black(struct image *out, const struct image *in);

/* *out becomes `in` (2 or 4 channels) as f32, its colours multiplied by its alpha. */
int image_premultiply(struct image *out, const struct image *in);

/* *out becomes `in` resampled to width x height, half-pixel centres: a box-area average where it
 * shrinks (each output pixel is the exact mean of the area it covers), bicubic (Catmull-Rom) where
 * it grows. Colour is weighted by alpha when there is one. Same sample type. */
int image_resize(struct image *out, const struct image *in, int width, int height);

/* *out becomes `in` resampled as MATLAB's imresize(in, scale), which papers on super-resolution
 * make their small images with: sides are ceil(side scale), Keys' cubic with a = -1/2 (4 samples of
 * the smaller image wide), borders mirrored with the last sample twice; in double, rounded once. */
int image_resize_bicubic(struct image *out, const struct image *in, double scale);

#endif
