/* Writing PNG with libpng's classic API: into memory, or row by row into a file. */
#include "base/error.h"
#include "image/format.h"

#include <png.h>
#include <stdlib.h>
#include <string.h>

enum { COMPRESSION_LEVEL = 4 };

struct png_encoder {
    png_structp png;
    png_infop info;
    struct image shape;
    int (*write)(void *argument, const void *data, size_t bytes);
    void *argument;
    int code; /* of a write that failed; its message is set */
    char message[160];
};

static void on_error(png_structp png, png_const_charp text)
{
    struct png_encoder *encoder = png_get_error_ptr(png);
    snprintf(encoder->message, sizeof encoder->message, "%s", text);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static void write_bytes(png_structp png, png_bytep from, size_t bytes)
{
    struct png_encoder *encoder = png_get_io_ptr(png);
    encoder->code = encoder->write(encoder->argument, from, bytes);
    if (encoder->code < 0) png_error(png, "write failed");
}

static void flush_nothing(png_structp png)
{
    (void)png;
}

static int fail_encode(const struct png_encoder *encoder)
{
    if (encoder->code < 0) return encoder->code;
    return fail(ERR_SYSTEM, "write PNG: %s", encoder->message);
}

static int write_header(struct png_encoder *encoder)
{
    static const int colour[] = {0, PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_GRAY_ALPHA,
                                 PNG_COLOR_TYPE_RGB, PNG_COLOR_TYPE_RGB_ALPHA};
    png_structp png = encoder->png;
    const struct image *shape = &encoder->shape;
    if (setjmp(png_jmpbuf(png))) return fail_encode(encoder);
    png_set_user_limits(png, IMAGE_MAX_SIDE, IMAGE_MAX_SIDE);
    png_set_write_fn(png, encoder, write_bytes, flush_nothing);
    png_set_compression_level(png, COMPRESSION_LEVEL);
    png_set_IHDR(png, encoder->info, (png_uint_32)shape->width, (png_uint_32)shape->height,
                 shape->type == SAMPLE_U16 ? 16 : 8, colour[shape->channels], PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, encoder->info);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (shape->type == SAMPLE_U16) png_set_swap(png);
#endif
    return OK;
}

int png_encoder_open(struct png_encoder **out, const struct image *shape,
                     int (*write)(void *argument, const void *data, size_t bytes), void *argument)
{
    *out = NULL;
    if (shape->channels > 4 || shape->type == SAMPLE_F32)
        return fail(ERR_USAGE, "PNG holds 1 to 4 channels of 8 or 16 bits");
    struct png_encoder *encoder = calloc(1, sizeof *encoder);
    if (!encoder) return fail(ERR_SYSTEM, "out of memory");
    encoder->shape = *shape;
    encoder->write = write;
    encoder->argument = argument;
    encoder->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, encoder, on_error, on_warning);
    if (encoder->png) encoder->info = png_create_info_struct(encoder->png);
    int code = encoder->info ? write_header(encoder) : fail(ERR_SYSTEM, "out of memory");
    if (code < 0)
        png_encoder_close(encoder);
    else
        *out = encoder;
    return code;
}

int png_encoder_put(struct png_encoder *encoder, const struct image *rows)
{
    size_t row = image_bytes(rows) / (size_t)rows->height;
    if (setjmp(png_jmpbuf(encoder->png))) return fail_encode(encoder);
    for (int y = 0; y < rows->height; y++)
        png_write_row(encoder->png, (png_const_bytep)rows->data + (size_t)y * row);
    return OK;
}

int png_encoder_end(struct png_encoder *encoder)
{
    if (setjmp(png_jmpbuf(encoder->png))) return fail_encode(encoder);
    png_write_end(encoder->png, NULL);
    return OK;
}

void png_encoder_close(struct png_encoder *encoder)
{
    if (!encoder) return;
    png_destroy_write_struct(&encoder->png, &encoder->info);
    free(encoder);
}

/* ---- into memory ---- */

struct buffer {
    uint8_t *data;
    size_t bytes, room;
};

static int append(void *argument, const void *data, size_t bytes)
{
    struct buffer *buffer = argument;
    if (bytes > buffer->room - buffer->bytes) {
        size_t room = 2 * (buffer->bytes + bytes) + 65536;
        uint8_t *larger = realloc(buffer->data, room);
        if (!larger) return fail(ERR_SYSTEM, "write PNG: out of memory");
        buffer->data = larger;
        buffer->room = room;
    }
    memcpy(buffer->data + buffer->bytes, data, bytes);
    buffer->bytes += bytes;
    return OK;
}

static int encode_integers(const struct image *image, uint8_t **data, size_t *bytes)
{
    struct buffer buffer = {0};
    struct png_encoder *encoder = NULL;
    int code = png_encoder_open(&encoder, image, append, &buffer);
    if (code == OK) code = png_encoder_put(encoder, image);
    if (code == OK) code = png_encoder_end(encoder);
    png_encoder_close(encoder);
    if (code < 0) {
        free(buffer.data);
        return code;
    }
    *data = buffer.data;
    *bytes = buffer.bytes;
    return OK;
}

int image_encode_png(const struct image *image, uint8_t **data, size_t *bytes)
{
    *data = NULL;
    *bytes = 0;
    if (image->channels > 4)
        return fail(ERR_USAGE, "PNG holds 1 to 4 channels, not %d", image->channels);
    if (image->type != SAMPLE_F32) return encode_integers(image, data, bytes);
    struct image rounded;
    TRY(image_convert(&rounded, image, SAMPLE_U8));
    int code = encode_integers(&rounded, data, bytes);
    image_free(&rounded);
    return code;
}
