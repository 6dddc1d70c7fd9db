/* Image files made byte by byte, for tests: a growing buffer, PNG chunks, EXIF, ink JPEGs. */
#ifndef IMGTRAIN_TEST_IMAGE_IMAGE_FILES_H
#define IMGTRAIN_TEST_IMAGE_IMAGE_FILES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* clang-format off: jpeglib.h needs stdio.h before it */
#include <jpeglib.h>
/* clang-format on */
#include <zlib.h>

struct bytes {
    uint8_t *data;
    size_t count, room;
};

static inline void bytes_put(struct bytes *to, const void *from, size_t count)
{
    if (to->count + count > to->room) {
        to->room = 2 * (to->count + count);
        to->data = realloc(to->data, to->room);
        if (!to->data) abort();
    }
    if (count) memcpy(to->data + to->count, from, count);
    to->count += count;
}

static inline void bytes_put8(struct bytes *to, unsigned value)
{
    uint8_t byte = (uint8_t)value;
    bytes_put(to, &byte, 1);
}

static inline void bytes_put32(struct bytes *to, unsigned value)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        bytes_put8(to, value >> shift & 255);
}

static inline void bytes_free(struct bytes *bytes)
{
    free(bytes->data);
    memset(bytes, 0, sizeof *bytes);
}

static inline void png_put_chunk(struct bytes *file, const char *kind, const void *body,
                                 size_t count)
{
    bytes_put32(file, (unsigned)count);
    size_t start = file->count;
    bytes_put(file, kind, 4);
    bytes_put(file, body, count);
    bytes_put32(file, (unsigned)crc32(0, file->data + start, (uInt)(count + 4)));
}

static inline void png_put_start(struct bytes *file, unsigned width, unsigned height, int bits,
                                 int colour, bool adam7)
{
    struct bytes header = {0};
    bytes_put(file, "\x89PNG\r\n\x1a\n", 8);
    bytes_put32(&header, width);
    bytes_put32(&header, height);
    bytes_put8(&header, (unsigned)bits);
    bytes_put8(&header, (unsigned)colour);
    bytes_put8(&header, 0);
    bytes_put8(&header, 0);
    bytes_put8(&header, adam7);
    png_put_chunk(file, "IHDR", header.data, header.count);
    bytes_free(&header);
}

static inline void png_put_deflated(struct bytes *file, const void *raw, size_t count)
{
    uLongf room = compressBound((uLong)count);
    uint8_t *packed = malloc(room);
    if (!packed || compress(packed, &room, raw, (uLong)count) != Z_OK) abort();
    png_put_chunk(file, "IDAT", packed, room);
    free(packed);
}

/* A TIFF header with one entry: the orientation. Returns its size; `to` has 64 bytes. */
static inline size_t exif_block(uint8_t *to, int orientation, bool little)
{
    static const uint8_t big[] = {'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0,
                                  3,   0,   0, 0,  1, 0, 0, 0, 0, 0, 0, 0,    0};
    static const uint8_t small[] = {'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3,
                                    0,   1,   0,  0, 0, 0, 0, 0, 0, 0, 0,    0, 0};
    memcpy(to, little ? small : big, sizeof big);
    to[little ? 18 : 19] = (uint8_t)orientation;
    return sizeof big;
}

/* The file with an APP1 segment behind its first marker. */
static inline struct bytes jpeg_with_exif(const struct bytes *plain, int orientation, bool little)
{
    uint8_t exif[64];
    size_t count = exif_block(exif, orientation, little);
    struct bytes file = {0};
    bytes_put(&file, plain->data, 2);
    bytes_put(&file, "\xFF\xE1\0", 3);
    bytes_put8(&file, (unsigned)(count + 8));
    bytes_put(&file, "Exif\0", 6);
    bytes_put(&file, exif, count);
    bytes_put(&file, plain->data + 2, plain->count - 2);
    return file;
}

/* 16x16 of one ink mixture (255 = full), as CMYK or YCCK, with Adobe's marker (then inverted) or
 * without. */
static inline struct bytes jpeg_of_ink(const uint8_t ink[4], bool adobe, bool ycck)
{
    struct jpeg_compress_struct info;
    struct jpeg_error_mgr errors;
    unsigned char *data = NULL;
    unsigned long count = 0;
    uint8_t row[16 * 4];
    for (int i = 0; i < 64; i++)
        row[i] = (uint8_t)(adobe ? 255 - ink[i % 4] : ink[i % 4]);
    info.err = jpeg_std_error(&errors);
    jpeg_create_compress(&info);
    jpeg_mem_dest(&info, &data, &count);
    info.image_width = info.image_height = 16;
    info.input_components = 4;
    info.in_color_space = JCS_CMYK;
    jpeg_set_defaults(&info);
    jpeg_set_colorspace(&info, ycck ? JCS_YCCK : JCS_CMYK);
    info.write_Adobe_marker = adobe;
    jpeg_set_quality(&info, 100, TRUE);
    jpeg_start_compress(&info, TRUE);
    JSAMPROW line = row;
    while (info.next_scanline < 16)
        jpeg_write_scanlines(&info, &line, 1);
    jpeg_finish_compress(&info);
    jpeg_destroy_compress(&info);
    struct bytes file = {data, count, count};
    return file;
}

#endif
