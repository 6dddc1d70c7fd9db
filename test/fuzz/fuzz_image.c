/* libFuzzer: any bytes as a PNG, JPEG (with EXIF), WebP, TIFF, PNM or PFM. What is accepted must
 * have a sound shape, survive resampling, and come back from a lossless file as it was. PNG's
 * checksums are repaired after each mutation: else nothing behind the first of them would ever be
 * reached. */
#include "base/error.h"
#include "image/image_format.h"
#include "metrics/image_metrics.h"
#include "test/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t room, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t bytes, size_t room);

static uint32_t read_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void repair_png(uint8_t *data, size_t bytes)
{
    for (size_t at = 8; bytes >= 12 && at <= bytes - 12;) {
        size_t length = read_be32(data + at);
        if (length > bytes - at - 12) return;
        uint32_t sum = (uint32_t)crc32(0, data + at + 4, (uInt)length + 4);
        for (int i = 0; i < 4; i++)
            data[at + 8 + length + (size_t)i] = (uint8_t)(sum >> (24 - 8 * i));
        at += length + 12;
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t room, unsigned seed)
{
    bytes = LLVMFuzzerMutate(data, bytes, room);
    if (seed % 16 && bytes > 8 && memcmp(data, "\x89PNG", 4) == 0) repair_png(data, bytes);
    return bytes;
}

static const struct image_format *find_format(const uint8_t *data, size_t bytes)
{
    for (int i = 0; i < IMAGE_FORMATS; i++)
        if (image_formats[i]->name && image_formats[i]->matches(data, bytes))
            return image_formats[i];
    return NULL;
}

/* The probe and the decoder must agree on what they both accept. */
static void check_probe(const struct image *image, const uint8_t *data, size_t bytes)
{
    struct source source = {data, bytes, bytes, "fuzz"};
    struct image_header header;
    const struct image_format *format = find_format(data, bytes);
    require(format && format->probe(&source, &header) == OK);
    require(header.width == image->width && header.height == image->height);
    require(header.channels == image->channels && header.type == image->type);
}

/* Honest images of one colour pack so well that a few bytes may stand for seconds of work. */
static int is_vast(const uint8_t *data, size_t bytes)
{
    struct source source = {data, bytes, bytes, "fuzz"};
    struct image_header header;
    const struct image_format *format = find_format(data, bytes);
    if (format != &format_webp && format != &format_tiff) return 0;
    if (format->probe(&source, &header) != OK) return 0;
    return (double)header.width * header.height * header.channels > 4e6;
}

static void check_round_trip(const struct image *image)
{
    uint8_t *data;
    size_t bytes;
    struct image back;
    const struct encoder *encoder = image->type == SAMPLE_F32 ? &encoder_pfm
                                    : image->channels <= 4    ? &encoder_png
                                                              : &encoder_pnm;
    require(encoder_make(encoder, image, 0, &data, &bytes) == OK);
    require(image_decode(&back, data, bytes, "fuzz") == OK);
    require(image_bytes(&back) == image_bytes(image));
    require(memcmp(back.data, image->data, image_bytes(image)) == 0);
    image_free(&back);
    free(data);
}

static void check_resize(const struct image *image)
{
    struct image small, eight;
    require(image_resize(&small, image, 3, image->height + 2) == OK);
    require(image_convert(&eight, &small, SAMPLE_U8) == OK);
    double ssim;
    require(metric_ssim(&eight, &small, &ssim) == OK && ssim > -1.001 && ssim < 1.001);
    image_free(&small);
    image_free(&eight);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct image image;
    if (is_vast(data, bytes)) return 0;
    int code = image_decode(&image, data, bytes, "fuzz");
    if (code != OK) {
        require(code == ERR_DATA && error_message()[0] && !image.data);
        return 0;
    }
    require(image.width > 0 && image.height > 0 && image.channels > 0 && image.data);
    check_probe(&image, data, bytes);
    if (image_bytes(&image) < 65536) {
        check_round_trip(&image);
        check_resize(&image);
    }
    image_free(&image);
    return 0;
}
